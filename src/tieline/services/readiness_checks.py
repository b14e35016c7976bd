"""What must be true before a contract's period may be billed: one table, in order of precedence.

Weights: ``block`` needs a person, ``risk`` heals by itself or by time, ``warn`` is only told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

HOURLY_METHODS = ("time_and_materials", "capped_time_and_materials")
FIXED_FEE = "fixed_fee"
SUPPORTED_METHODS = (*HOURLY_METHODS, FIXED_FEE)
_VAT_COUNTRIES = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR"}
    | {"HU", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: ``fails`` answers from the facts, ``amount`` is the money it holds up.

    ``may_be_carried``: what it found is merely not on this invoice, and a person may say that it
    comes with the next one. What would make the invoice itself wrong is mended first.
    """

    code: str
    weight: str
    owner_queue: str
    fix: str
    fails: Callable[[Facts], bool]
    amount: Callable[[Facts], Decimal] | None = None
    seconds: Callable[[Facts], int] | None = None
    may_be_carried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """A check that failed: whose it is, what mends it, what it is worth, by when."""

    code: str
    weight: str
    owner_queue: str
    fix: str
    amount: Decimal
    seconds: int
    deadline_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored; the amount as text, so that it stays exact."""
        return {
            "code": self.code,
            "weight": self.weight,
            "owner_queue": self.owner_queue,
            "fix": self.fix,
            "amount": str(self.amount),
            "seconds": self.seconds,
            "deadline_at": self.deadline_at.isoformat(),
        }


def _is(name: str) -> Callable[[Facts], bool]:
    return lambda facts: bool(facts[name])


def _money(name: str) -> Callable[[Facts], Decimal]:
    return lambda facts: Decimal(facts[name])


def _count(name: str) -> Callable[[Facts], int]:
    return lambda facts: int(facts[name])


def _is_hourly(facts: Facts) -> bool:
    return facts["billing_method"] in HOURLY_METHODS


def _is_fixed(facts: Facts) -> bool:
    return bool(facts["billing_method"] == FIXED_FEE)


def _outside_dates(facts: Facts) -> bool:
    ends_on = facts["contract_ends_on"]
    has_hours = bool(facts["seconds"])
    return not has_hours and (
        facts["contract_starts_on"] >= facts["ends_on"]
        or (ends_on is not None and ends_on <= facts["starts_on"])
    )


def _cap_excess(facts: Facts) -> Decimal:
    if facts["billing_method"] != "capped_time_and_materials" or facts["cap_amount"] is None:
        return Decimal(0)
    over = facts["billed_amount"] + facts["expected_amount"] - facts["cap_amount"]
    return max(Decimal(over), Decimal(0))


def _lacks_address(facts: Facts) -> bool:
    return not (facts["street"] and facts["city"] and facts["country_code"])


def _lacks_vat(facts: Facts) -> bool:
    return facts["country_code"] in _VAT_COUNTRIES and not facts["vat_number"]


CHECKS: tuple[Check, ...] = (
    # -- the contract ----------------------------------------------------------------------------
    Check(
        code="readiness.contract_inactive",
        weight="block",
        owner_queue="sales",
        fix="Reactivate the contract, or leave its hours out.",
        fails=lambda facts: not facts["is_active"],
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.contract_outside_dates",
        weight="block",
        owner_queue="sales",
        fix="Extend the contract's dates in the CRM.",
        fails=_outside_dates,
    ),
    Check(
        code="readiness.billing_method_unsupported",
        weight="block",
        owner_queue="finance",
        fix="Bill it in the ERP by hand: only time and materials, with or without cap,"
        " and fixed fee are drafted.",
        fails=lambda facts: facts["billing_method"] not in SUPPORTED_METHODS,
        amount=_money("ledger_amount"),
    ),
    Check(
        code="readiness.currency_not_companys",
        weight="block",
        owner_queue="finance",
        fix="The ERP bills in the company's currency only: agree the contract in it.",
        fails=lambda facts: facts["currency"] != facts["company_currency"],
        amount=_money("ledger_amount"),
    ),
    Check(
        code="readiness.contract_lines_missing",
        weight="block",
        owner_queue="sales",
        fix="Add the priced lines to the deal.",
        fails=lambda facts: _is_hourly(facts) and not facts["contract_lines"],
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.line_currency_differs",
        weight="block",
        owner_queue="sales",
        fix="Price every line in the contract's currency.",
        fails=_is("other_currency_contract_lines"),
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.fixed_value_missing",
        weight="block",
        owner_queue="sales",
        fix="Enter the agreed value of the fixed-fee contract.",
        fails=lambda facts: _is_fixed(facts) and not facts["value_amount"],
    ),
    Check(
        code="readiness.cap_missing",
        weight="block",
        owner_queue="sales",
        fix="Enter the cap of the capped contract.",
        fails=lambda facts: (
            facts["billing_method"] == "capped_time_and_materials" and facts["cap_amount"] is None
        ),
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.cap_exceeded",
        weight="block",
        owner_queue="delivery",
        fix="Raise the cap with the client, or leave out the hours above it.",
        fails=lambda facts: _cap_excess(facts) > 0,
        amount=_cap_excess,
    ),
    Check(
        code="readiness.purchase_order_missing",
        weight="block",
        owner_queue="sales",
        fix="Enter the client's purchase order on the deal.",
        fails=lambda facts: facts["is_purchase_order_required"] and not facts["purchase_order"],
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.tax_treatment_missing",
        weight="warn",
        owner_queue="finance",
        fix="Enter the tax treatment on the deal; the ERP uses the client's own until then.",
        fails=lambda facts: not facts["tax_treatment"],
    ),
    # -- the client ------------------------------------------------------------------------------
    Check(
        code="readiness.client_inactive",
        weight="block",
        owner_queue="finance",
        fix="Reactivate the client, or bill its successor.",
        fails=lambda facts: not facts["client_is_active"],
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.client_address_missing",
        weight="block",
        owner_queue="finance",
        fix="Complete street, city and country of the client.",
        fails=_lacks_address,
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.client_vat_missing",
        weight="block",
        owner_queue="finance",
        fix="Enter the client's VAT number.",
        fails=_lacks_vat,
        amount=_money("expected_amount"),
    ),
    # -- the hours -------------------------------------------------------------------------------
    Check(
        code="readiness.hours_held",
        weight="block",
        may_be_carried=True,
        owner_queue="delivery",
        fix="Fix the cases that hold the hours, or carry them to the next cycle.",
        fails=_is("held_seconds"),
        amount=_money("held_amount"),
        seconds=_count("held_seconds"),
    ),
    Check(
        code="readiness.hours_not_approved",
        weight="block",
        may_be_carried=True,
        owner_queue="delivery",
        fix="Approve or reject the hours in the time tool.",
        fails=_is("unapproved_seconds"),
        seconds=_count("unapproved_seconds"),
    ),
    Check(
        code="readiness.hours_waiting",
        weight="risk",
        may_be_carried=True,
        owner_queue="integration",
        fix="They are on their way into the ERP; look again in a few minutes.",
        fails=_is("waiting_seconds"),
        amount=_money("waiting_amount"),
        seconds=_count("waiting_seconds"),
    ),
    Check(
        code="readiness.late_hours_open",
        weight="block",
        may_be_carried=True,
        owner_queue="delivery",
        fix="Hours of earlier periods, or without a date, are not in the ERP: fix their cases, or"
        " carry them on.",
        fails=_is("late_seconds"),
        amount=_money("late_amount"),
        seconds=_count("late_seconds"),
    ),
    Check(
        code="readiness.hours_leaving",
        weight="block",
        owner_queue="integration",
        fix="Hours that were deleted or lost their approval are being taken back from the ERP.",
        fails=_is("leaving_seconds"),
        amount=_money("leaving_amount"),
        seconds=_count("leaving_seconds"),
    ),
    Check(
        code="readiness.people_without_time",
        weight="warn",
        owner_queue="delivery",
        fix="Ask the assigned people who booked nothing in the period.",
        fails=_is("absent_people"),
    ),
    Check(
        code="readiness.handed_over_unmatched",
        weight="risk",
        may_be_carried=True,
        owner_queue="finance",
        fix="Load the file that was given to finance, then reconcile.",
        fails=_is("handed_over_seconds"),
        amount=_money("handed_over_amount"),
        seconds=_count("handed_over_seconds"),
    ),
    Check(
        code="readiness.nonbillable_on_billed_task",
        weight="block",
        owner_queue="delivery",
        fix="Hours that must not be billed stand on a priced task: move them to another task.",
        fails=_is("nonbillable_seconds"),
        seconds=_count("nonbillable_seconds"),
    ),
    # -- the writes ------------------------------------------------------------------------------
    Check(
        code="readiness.writes_unconfirmed",
        weight="risk",
        may_be_carried=True,
        owner_queue="integration",
        fix="The ERP is being asked whether it has them.",
        fails=_is("unconfirmed_writes"),
        amount=_money("unconfirmed_amount"),
        seconds=_count("unconfirmed_seconds"),
    ),
    Check(
        code="readiness.writes_refused",
        weight="block",
        may_be_carried=True,
        owner_queue="integration",
        fix="Fix what the ERP refused and send it again.",
        fails=_is("refused_writes"),
        amount=_money("refused_amount"),
    ),
    Check(
        code="readiness.altered_by_target",
        weight="block",
        owner_queue="finance",
        fix="The ERP stored other hours than were sent: explain or correct them.",
        fails=_is("altered_seconds"),
        seconds=lambda facts: abs(int(facts["altered_seconds"])),
    ),
    # -- the price -------------------------------------------------------------------------------
    Check(
        code="readiness.rate_missing",
        weight="block",
        owner_queue="finance",
        fix="Give every billable hour a rate.",
        fails=lambda facts: _is_hourly(facts) and bool(facts["unrated_lines"]),
        seconds=_count("unrated_seconds"),
    ),
    Check(
        code="readiness.rate_changed",
        weight="block",
        owner_queue="finance",
        fix="The rate was changed after posting: rebook the hours, or keep the old rate.",
        fails=lambda facts: _is_hourly(facts) and bool(facts["rerated_lines"]),
        amount=lambda facts: abs(Decimal(facts["rerated_amount"])),
    ),
    Check(
        code="readiness.ledger_currency_differs",
        weight="block",
        owner_queue="finance",
        fix="Hours were priced in another currency than the contract's.",
        fails=_is("other_currency_lines"),
        amount=_money("ledger_amount"),
    ),
    # -- the project and the systems -------------------------------------------------------------
    Check(
        code="readiness.project_missing",
        weight="block",
        owner_queue="integration",
        fix="Finish the hand-over of the deal.",
        fails=lambda facts: not facts["projects"],
    ),
    Check(
        code="readiness.project_not_active",
        weight="block",
        owner_queue="integration",
        fix="Finish the hand-over of the deal.",
        fails=_is("inactive_projects"),
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.provisioning_unfinished",
        weight="risk",
        may_be_carried=True,
        owner_queue="integration",
        fix="The hand-over of the deal is under way.",
        fails=_is("unfinished_plans"),
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.erp_project_missing",
        weight="block",
        owner_queue="integration",
        fix="Link the project to the ERP's.",
        fails=lambda facts: _is_hourly(facts) and bool(facts["unlinked_projects"]),
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.erp_contract_missing",
        weight="block",
        owner_queue="integration",
        fix="Link the contract to the ERP's sale.",
        fails=lambda facts: _is_fixed(facts) and not facts["is_contract_linked"],
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.erp_task_missing",
        weight="block",
        owner_queue="integration",
        fix="Link the priced lines to the ERP's tasks.",
        fails=_is("unlinked_lines"),
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.erp_unavailable",
        weight="block",
        owner_queue="integration",
        fix="Set the ERP's connection to act, and lift its pause.",
        fails=lambda facts: facts["erp_mode"] != "act" or facts["erp_paused"],
        amount=_money("expected_amount"),
    ),
    # -- casework and earlier invoices -----------------------------------------------------------
    Check(
        code="readiness.cases_open",
        weight="block",
        may_be_carried=True,
        owner_queue="finance",
        fix="Close the open cases of the contract.",
        fails=_is("open_cases"),
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.earlier_invoice_differs",
        weight="block",
        owner_queue="finance",
        fix="An earlier invoice differs from the ledger: credit it, or explain it.",
        fails=_is("mismatched_invoices"),
        amount=_money("mismatched_amount"),
    ),
    Check(
        code="readiness.released_for_another_period",
        weight="risk",
        may_be_carried=True,
        owner_queue="finance",
        fix="Another period of the contract is being invoiced.",
        fails=_is("is_released_elsewhere"),
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.cut_off_passed",
        weight="warn",
        owner_queue="finance",
        fix="The cut-off has passed: release it now, or carry it on.",
        fails=lambda facts: facts["is_over"] and facts["now"] > facts["cut_off_at"],
        amount=_money("expected_amount"),
    ),
    Check(
        code="readiness.target_makes_no_invoices",
        weight="block",
        owner_queue="finance",
        fix="The ERP's connector makes no invoices: bill this contract there by hand.",
        fails=lambda facts: not facts["makes_invoices"],
        amount=_money("expected_amount"),
    ),
)

# What no connected system can answer. They are said and counted, never shown as passed.
NOT_CHECKED: tuple[tuple[str, str], ...] = (
    ("readiness.expenses", "No expense system is connected."),
    ("readiness.supplier_bills", "No supplier bills of subcontractors are connected."),
    ("readiness.client_sign_off", "No client sign-off of hours is connected."),
    ("readiness.milestones", "No milestones are connected."),
    ("readiness.e_invoice_channel", "No e-invoice channel or portal is connected."),
    ("readiness.credit_hold", "No credit hold is read from the ERP."),
    ("readiness.wip_account", "No WIP account is read from the ERP."),
)


CARRIABLE = frozenset(check.code for check in CHECKS if check.may_be_carried)


def failed(facts: Facts) -> tuple[Blocker, ...]:
    """Return every check that fails, so that a person can mend all of it at once."""
    return tuple(
        Blocker(
            code=check.code,
            weight=check.weight,
            owner_queue=check.owner_queue,
            fix=check.fix,
            amount=_amount(check, facts),
            seconds=check.seconds(facts) if check.seconds else 0,
            deadline_at=facts["cut_off_at"],
        )
        for check in CHECKS
        if check.fails(facts)
    )


def _amount(check: Check, facts: Facts) -> Decimal:
    # Decimal arithmetic in the database brings more digits than money has.
    return (check.amount(facts) if check.amount else Decimal(0)).quantize(Decimal("0.01"))

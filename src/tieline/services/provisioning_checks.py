"""What must be true before a won deal becomes a project; every blocker is told at once.

A check answers with the things at fault: none is fine, None is *not checked* for want of data.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pycountry
from stdnum.exceptions import ValidationError
from stdnum.util import get_cc_module

from tieline.services.provisioning_facts import ACT, DealFacts, Staffed

ERROR, WARN, IGNORE = "error", "warn", "ignore"
NAME_CHARACTERS_MAX = 200
PROJECT_CODE_FORMAT = re.compile(r"[A-Z0-9][A-Z0-9._/-]{1,24}")
TIME_AND_MATERIALS = "time_and_materials"
CAPPED = "capped_time_and_materials"
FIXED_FEE = "fixed_fee"
SUPPORTED_METHODS = frozenset({TIME_AND_MATERIALS, CAPPED, FIXED_FEE})
KNOWN_METHODS = SUPPORTED_METHODS | {
    "milestone",
    "retainer",
    "subscription",
    "cost_plus",
    "prepaid",
}
TAX_TREATMENTS = frozenset({"standard", "reverse_charge", "exempt", "zero_rated", "outside_scope"})
SAME_CLIENT_UNCLEAR, HIERARCHY_CYCLE = "client.same_client_unclear", "client.hierarchy_cycle"
SALES, STEWARDS, FINANCE, DELIVERY, STAFFING, INTEGRATION = (
    "sales_operations", "client_steward", "finance", "delivery", "resource_management", "integration",
)  # fmt: skip

Faults = Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule of the provisioning book."""

    code: str
    owner_queue: str
    message: str
    fix_hint: str
    faults: Callable[[DealFacts], Faults]
    severity: str = ERROR
    opens_case: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """What a check found, in words a person can act on."""

    code: str
    severity: str
    owner_queue: str
    message: str
    fix_hint: str
    things: tuple[str, ...]
    opens_case: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict on one deal: every reason, and what nobody could check."""

    blockers: tuple[Blocker, ...]
    warnings: tuple[Blocker, ...]
    not_checked: tuple[str, ...]


def judge_deal(facts: DealFacts, *, severities: Mapping[str, str]) -> Judged:
    """Run every check; a release may change the severity of one."""
    found: dict[str, list[Blocker]] = {ERROR: [], WARN: []}
    not_checked = []
    for check in CHECKS:
        severity = severities.get(check.code, check.severity)
        if severity == IGNORE:
            continue
        faults = check.faults(facts)
        if faults is None:
            not_checked.append(check.code)
        elif faults:
            found.setdefault(severity, []).append(
                Blocker(
                    code=check.code,
                    severity=severity,
                    owner_queue=check.owner_queue,
                    message=check.message,
                    fix_hint=check.fix_hint,
                    things=tuple(thing for thing in faults if thing),
                    opens_case=check.opens_case,
                )
            )
    return Judged(
        blockers=tuple(found[ERROR]),
        warnings=tuple(found[WARN]),
        not_checked=tuple(not_checked),
    )


def _unless(is_true: object) -> Faults:
    return () if is_true else ("",)


def _unknown(_: DealFacts) -> Faults:
    return None


def _close_date(facts: DealFacts) -> Faults:
    closed_on = facts.deal.closed_on
    return None if closed_on is None else _unless(closed_on <= facts.today)


def _amount(facts: DealFacts) -> Faults:
    amounts = [line.amount for line in facts.deal.lines]
    if facts.deal.amount is None or not amounts or None in amounts:
        return None
    total = sum((amount for amount in amounts if amount is not None), Decimal(0))
    return _unless(total == facts.deal.amount)


def _client_missing(facts: DealFacts) -> Faults:
    return _unless(facts.client is not None or facts.client_trouble is not None)


def _address(facts: DealFacts) -> Faults:
    if facts.client is None:
        return None
    fields = ("street", "city", "postal_code", "country_code")
    return [name for name in fields if not getattr(facts.client, name)]


def _country(facts: DealFacts) -> Faults:
    if facts.client is None or not facts.client.country_code:
        return None
    return _unless(pycountry.countries.get(alpha_2=facts.client.country_code))


def _vat(facts: DealFacts) -> Faults:
    if facts.client is None or not facts.client.vat_number:
        return None
    country_code = facts.client.country_code or facts.client.vat_number[:2]
    module = get_cc_module(country_code.lower(), "vat")
    if module is None:
        return None
    try:
        module.validate(facts.client.vat_number)
    except ValidationError:
        return ("vat_number",)
    return ()


def _client_active(facts: DealFacts) -> Faults:
    return None if facts.client is None else _unless(facts.client.is_active)


def _billing_supported(facts: DealFacts) -> Faults:
    method = facts.deal.billing_method
    return None if method not in KNOWN_METHODS else _unless(method in SUPPORTED_METHODS)


def _currency(facts: DealFacts) -> Faults:
    if facts.entity is None or facts.deal.currency is None:
        return None
    return _unless(facts.deal.currency == facts.entity.currency)


def _lines_without(name: str) -> Callable[[DealFacts], Faults]:
    def faults(facts: DealFacts) -> Faults:
        return [line.line_ref for line in facts.deal.lines if getattr(line, name) in (None, "")]

    return faults


def _hours(facts: DealFacts) -> Faults:
    return [line.line_ref for line in facts.deal.lines if line.hours is None or line.hours <= 0]


def _rate_negative(facts: DealFacts) -> Faults:
    return [
        line.line_ref
        for line in facts.deal.lines
        if line.rate_amount is not None and line.rate_amount < 0
    ]


def _overlap(facts: DealFacts) -> Faults:
    counted = Counter(line.part for line in facts.lines)
    return [line.line_ref for line in facts.lines if counted[line.part] > 1]


def _rate_outside(facts: DealFacts) -> Faults:
    starts_on, ends_on = facts.deal.starts_on, facts.deal.ends_on
    if starts_on is None:
        return None
    return [
        line.line_ref
        for line in facts.lines
        if line.starts_on < starts_on or (ends_on is not None and line.starts_on >= ends_on)
    ]


def _cap_missing(facts: DealFacts) -> Faults:
    if facts.deal.billing_method != CAPPED:
        return ()
    return _unless(facts.deal.cap_amount is not None and facts.deal.cap_amount > 0)


def _cap_over(facts: DealFacts) -> Faults:
    if facts.deal.cap_amount is None or facts.deal.amount is None:
        return None
    return _unless(facts.deal.cap_amount <= facts.deal.amount)


def _purchase_order(facts: DealFacts) -> Faults:
    required = facts.deal.is_purchase_order_required
    return None if required is None else _unless(not required or facts.deal.purchase_order)


def _ends(facts: DealFacts) -> Faults:
    if facts.deal.starts_on is None or facts.deal.ends_on is None:
        return None
    return _unless(facts.deal.ends_on > facts.deal.starts_on)


def _code_format(facts: DealFacts) -> Faults:
    code = facts.deal.project_code
    return None if not code else _unless(PROJECT_CODE_FORMAT.fullmatch(code))


def _period(facts: DealFacts) -> Faults:
    return None if facts.period_state is None else _unless(facts.period_state == "open")


def _named(facts: DealFacts, is_fine: Callable[[Staffed], bool]) -> list[str]:
    return [one.part for one in facts.staff if not is_fine(one)]


def _employee(facts: DealFacts) -> Faults:
    if facts.entity is None or facts.entity.erp_connection_key is None:
        return None
    return _named(facts, lambda one: one.has_record_here or one.home_record_ref is not None)


def _agreed(facts: DealFacts) -> Faults:
    if facts.entity is None:
        return None
    here = facts.entity.entity_code
    return _named(
        facts,
        lambda one: one.has_record_here or one.home_entity_code in (None, here) or one.is_agreed,
    )


def _on_rate_card(facts: DealFacts) -> Faults:
    sold = {line.labor_category for line in facts.lines}
    return _named(facts, lambda one: one.labor_category in sold)


def _assigned_within(facts: DealFacts) -> Faults:
    starts_on, ends_on = facts.deal.starts_on, facts.deal.ends_on
    if starts_on is None:
        return None
    return _named(
        facts,
        lambda one: (
            one.starts_on is None
            or (
                one.starts_on >= starts_on
                and (ends_on is None or (one.ends_on or ends_on) <= ends_on)
            )
        ),
    )


def _erp(facts: DealFacts) -> Faults:
    return None if facts.entity is None else _unless(facts.entity.erp_connection_key)


def _may_write(facts: DealFacts) -> Faults:
    modes = [mode for _, mode in facts.time_connections]
    if facts.entity is not None and facts.entity.erp_mode is not None:
        modes.append(facts.entity.erp_mode)
    return _unless(all(mode == ACT for mode in modes))


CHECKS: tuple[Check, ...] = (
    Check(code="deal.reopened", owner_queue=SALES, faults=lambda f: _unless(f.deal.is_won and not f.source.is_deleted),
          message="The deal is no longer won.", fix_hint="Win it again, or leave it.", opens_case=False),
    Check(code="deal.already_provisioned", owner_queue=SALES, faults=lambda f: _unless(not f.is_provisioned_elsewhere),
          message="A project was already made for this deal.", fix_hint="Use the project that stands."),
    Check(code="deal.amount_differs_from_lines", owner_queue=SALES, faults=_amount,
          message="The deal's amount is not the sum of its lines.", fix_hint="Correct the amount or the lines."),
    Check(code="deal.close_date_in_future", owner_queue=SALES, faults=_close_date,
          message="The deal is won but closes in the future.", fix_hint="Correct the close date."),
    Check(code="deal.owner_missing", owner_queue=SALES, faults=lambda f: _unless(f.owner is not None and f.owner.is_active),
          message="The deal has no active owner.", fix_hint="Give the deal an active owner.", severity=WARN),
    Check(code="deal.client_missing", owner_queue=SALES, faults=_client_missing,
          message="The deal has no client that we know.", fix_hint="Associate a company with the deal."),
    Check(code="deal.client_unclear", owner_queue=STEWARDS, faults=lambda f: _unless(f.client_trouble in (None, HIERARCHY_CYCLE)),
          message="It is unclear which client this is.", fix_hint="Decide the open case of the client.", opens_case=False),
    Check(code="deal.client_cycle", owner_queue=STEWARDS, faults=lambda f: _unless(f.client_trouble != HIERARCHY_CYCLE),
          message="The client is its own parent in the end.", fix_hint="Correct the parent company.", opens_case=False),
    Check(code="deal.client_inactive", owner_queue=SALES, faults=_client_active,
          message="The client is not active.", fix_hint="Activate the client, or choose another."),
    Check(code="deal.client_address_incomplete", owner_queue=SALES, faults=_address,
          message="The client's address is incomplete.", fix_hint="Fill in street, city, postal code and country."),
    Check(code="deal.client_country_invalid", owner_queue=SALES, faults=_country,
          message="The client's country is not an ISO code.", fix_hint="Write the country as two letters."),
    Check(code="deal.client_vat_invalid", owner_queue=FINANCE, faults=_vat,
          message="The client's tax number does not pass its country's check.", fix_hint="Correct the tax number."),
    Check(code="deal.client_credit_hold", owner_queue=FINANCE, faults=_unknown,
          message="The client is on credit hold.", fix_hint="Ask accounts receivable."),
    Check(code="deal.entity_unknown", owner_queue=SALES, faults=lambda f: _unless(f.entity is not None),
          message="The deal names no legal entity of ours.", fix_hint="Choose the contracting company."),
    Check(code="deal.practice_missing", owner_queue=SALES, faults=lambda f: _unless(f.deal.practice),
          message="The deal names no practice.", fix_hint="Choose the practice."),
    Check(code="deal.billing_method_unknown", owner_queue=SALES, faults=lambda f: _unless(f.deal.billing_method in KNOWN_METHODS),
          message="The billing method is missing or unknown.", fix_hint="Choose a billing method."),
    Check(code="deal.billing_method_unsupported", owner_queue=FINANCE, faults=_billing_supported,
          message="The ERP cannot bill this method through us yet.", fix_hint="Choose another method, or bill by hand."),
    Check(code="deal.currency_missing", owner_queue=SALES, faults=lambda f: _unless(f.deal.currency),
          message="The deal names no currency.", fix_hint="Choose the contract's currency."),
    Check(code="deal.currency_not_billable", owner_queue=FINANCE, faults=_currency,
          message="The ERP bills only in the company's own currency.", fix_hint="Agree the company's currency, or another company."),
    Check(code="deal.lines_missing", owner_queue=SALES, faults=lambda f: _unless(f.deal.lines),
          message="The deal has no lines.", fix_hint="Add what was sold as line items."),
    Check(code="deal.line_task_missing", owner_queue=SALES, faults=_lines_without("task_name"),
          message="A line names no task.", fix_hint="Name the task of each line."),
    Check(code="deal.line_labor_category_missing", owner_queue=SALES, faults=_lines_without("labor_category"),
          message="A line names no labor category.", fix_hint="Choose the labor category of each line."),
    Check(code="deal.line_rate_missing", owner_queue=SALES, faults=_lines_without("rate_amount"),
          message="A line has no rate.", fix_hint="Fill in the price per hour."),
    Check(code="deal.line_rate_negative", owner_queue=SALES, faults=_rate_negative,
          message="A line's rate is below zero.", fix_hint="Correct the price per hour."),
    Check(code="deal.line_rate_overlap", owner_queue=SALES, faults=_overlap,
          message="Two rates hold for the same task, category and day.", fix_hint="Give the later rate its own first day."),
    Check(code="deal.line_rate_outside_contract", owner_queue=SALES, faults=_rate_outside,
          message="A rate begins outside the contract's dates.", fix_hint="Correct the rate's first day."),
    Check(code="deal.line_hours_not_positive", owner_queue=SALES, faults=_hours,
          message="A line sells no hours.", fix_hint="Fill in the hours sold."),
    Check(code="deal.cap_missing", owner_queue=SALES, faults=_cap_missing,
          message="A capped contract has no cap.", fix_hint="Fill in the cap."),
    Check(code="deal.cap_over_value", owner_queue=FINANCE, faults=_cap_over, severity=WARN,
          message="The cap is above the contract's value.", fix_hint="Confirm or correct the cap."),
    Check(code="deal.purchase_order_missing", owner_queue=SALES, faults=_purchase_order,
          message="The client requires a purchase order and none is given.", fix_hint="Ask the client for its purchase order number."),
    Check(code="deal.starts_on_missing", owner_queue=SALES, faults=lambda f: _unless(f.deal.starts_on),
          message="The contract has no first day.", fix_hint="Fill in the start date."),
    Check(code="deal.ends_before_start", owner_queue=SALES, faults=_ends,
          message="The contract ends before it starts.", fix_hint="Correct the dates."),
    Check(code="deal.project_code_missing", owner_queue=DELIVERY, faults=lambda f: _unless(f.deal.project_code),
          message="The project has no code.", fix_hint="Give the project its code."),
    Check(code="deal.project_code_taken", owner_queue=DELIVERY, faults=lambda f: _unless(not f.is_code_taken),
          message="Another project has this code.", fix_hint="Choose a free code."),
    Check(code="deal.project_code_format", owner_queue=DELIVERY, faults=_code_format,
          message="The project code does not fit: 2 to 25 capitals, digits, . _ / -", fix_hint="Correct the code."),
    Check(code="deal.name_too_long", owner_queue=SALES, faults=lambda f: _unless(len(f.deal.name) <= NAME_CHARACTERS_MAX),
          message="The name is longer than the target systems keep.", fix_hint="Shorten the name."),
    Check(code="deal.tax_treatment_unknown", owner_queue=FINANCE, faults=lambda f: _unless(f.deal.tax_treatment in TAX_TREATMENTS),
          message="The tax treatment is missing or unknown.", fix_hint="Choose the tax treatment."),
    Check(code="deal.rate_card_missing", owner_queue=FINANCE, faults=lambda f: _unless(f.deal.rate_card),
          message="The deal names no rate card.", fix_hint="Choose the rate card it was priced by."),
    Check(code="deal.period_not_open", owner_queue=FINANCE, faults=_period,
          message="The fiscal period of the first day is closed.", fix_hint="Open the period, or start later."),
    Check(code="deal.staffing_missing", owner_queue=STAFFING, faults=lambda f: _unless(f.staff), severity=WARN,
          message="Nobody is assigned yet.", fix_hint="Assign people to the project."),
    Check(code="deal.person_unknown", owner_queue=STAFFING, faults=lambda f: _named(f, lambda one: one.person_id is not None),
          message="An assigned person is unknown.", fix_hint="Add the person's employment, or correct the e-mail."),
    Check(code="deal.person_without_employee_record", owner_queue=STAFFING, faults=_employee,
          message="An assigned person has no employee record in the ERP.", fix_hint="Enter the person in the ERP."),
    Check(code="deal.person_without_time_user", owner_queue=STAFFING, faults=lambda f: _named(f, lambda one: one.is_time_user), severity=WARN,
          message="An assigned person cannot book time.", fix_hint="Invite the person to the time tool."),
    Check(code="deal.intercompany_not_agreed", owner_queue=FINANCE, faults=_agreed,
          message="A person of another company is assigned without an agreement.", fix_hint="Agree it, or assign somebody else."),
    Check(code="deal.person_not_on_rate_card", owner_queue=STAFFING, faults=_on_rate_card, severity=WARN,
          message="Nobody agreed a price for an assigned person's labor category.", fix_hint="Add a line, or change the assignment."),
    Check(code="deal.assignment_outside_contract", owner_queue=STAFFING, faults=_assigned_within, severity=WARN,
          message="An assignment reaches beyond the contract.", fix_hint="Correct the assignment's dates."),
    Check(code="deal.erp_not_connected", owner_queue=INTEGRATION, faults=_erp,
          message="The company's ERP is not connected.", fix_hint="Connect the ERP."),
    Check(code="deal.time_tool_unclear", owner_queue=INTEGRATION, faults=lambda f: _unless(len(f.time_connections) == 1),
          message="There is not exactly one time tool.", fix_hint="Connect one time tool."),
    Check(code="deal.target_read_only", owner_queue=INTEGRATION, faults=_may_write, severity=WARN,
          message="A target is only watched: the plan waits for a person.", fix_hint="Set the connection to act."),
    Check(code="deal.contract_unsigned", owner_queue=SALES, faults=_unknown,
          message="The signed contract is not attached.", fix_hint="Attach the signed contract."),
    Check(code="deal.approval_missing", owner_queue=FINANCE, faults=_unknown,
          message="The amount needs an approval that is not there.", fix_hint="Ask for the approval."),
)  # fmt: skip

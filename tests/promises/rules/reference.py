"""What each rule of the time book means, one hour at a time: written from the meaning, not from its predicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from tests.promises.rules.firm import NOW
from tests.promises.rules.hour import Hour, only

Violates = Callable[[Hour], object]
RULES: dict[str, Violates] = {}
# What an hour that is no longer to be posted is still asked, so that it may be taken back.
# Rules that have no function here yet, or never will, each with the reason.
_NOT_LOADED = "the firm here has loaded no such terms"
NOT_COVERED: dict[str, str] = dict.fromkeys(
    (
        "time.cap_reached",
        "time.cap_hours_reached",
        "time.funding_exhausted",
        "time.funding_hours_exhausted",
        "time.budget_exceeded",
        "time.budget_hours_exceeded",
        "time.retainer_used_up",
        "time.retainer_hours_used_up",
        "time.limit_currency_differs",
        "time.purchase_order_not_valid",
        "time.purchase_order_ambiguous",
        "time.purchase_order_exhausted",
        "time.tax_treatment_not_active",
        "time.revenue_account_missing",
        "time.transfer_price_missing",
        "time.transfer_currency_differs",
        "time.entity_currency_differs",
        "time.not_contemporaneous",
        "time.after_lock",
        "time.week_crosses_period",
        "time.instant_on_another_day",
        "time.clock_change",
        "time.after_cut_off",
        "time.day_over_scheduled",
        "time.day_under_minimum",
        "time.week_over_scheduled",
        "time.week_under_minimum",
        "time.over_part_leave",
        "time.not_in_increments",
        "time.billed_over_worked",
        "time.not_a_working_day",
        "time.rest_too_short",
        "time.week_over_limit",
        "time.overtime_not_agreed",
        "time.travel_over_maximum",
        "time.day_of_many_lines",
        "time.unusual_length",
        "time.every_day_alike",
    ),
    _NOT_LOADED,
)
# Held to real tables in tests/rooms/validation/test_guidelines.py.
NOT_COVERED |= dict.fromkeys(
    (
        "time.approver_unknown",
        "time.approver_not_authorized",
        "time.unallowable_cost_billed",
        "time.day_under_attendance",
        "time.day_over_attendance",
        "time.subcontract_not_valid",
        "time.person_not_qualified",
        "time.timekeeper_not_approved",
        "time.timekeeper_category_differs",
        "time.clearance_missing",
        "time.ethical_wall",
        "time.closed_for_time",
        "time.charge_not_allowed",
        "time.task_code_missing",
        "time.planned_hours_exceeded",
        "time.practice_missing",
        "time.guideline_ambiguous",
        "time.narrative_too_short",
        "time.narrative_too_long",
        "time.narrative_language",
        "time.narrative_vague",
        "time.narrative_repeated",
        "time.several_tasks_in_one",
        "time.forbidden_word",
        "time.contact_data_in_text",
        "time.activity_code_not_allowed",
        "time.travel_not_billable",
        "time.administration_not_billable",
        "time.training_not_billable",
        "time.client_day_over_maximum",
        "time.people_per_day_exceeded",
    ),
    _NOT_LOADED,
)
NOT_COVERED |= dict.fromkeys(
    ("time.approved_before_work", "time.changed_after_approval"),
    "no instant of approval is told here",
)
NOT_COVERED["time.posted_before_reset"] = "no account was reset here"
NOT_COVERED["time.worked_in_another_zone"] = "shipped as ignore: it never reaches a verdict"
NOT_COVERED["time.rule_failed"] = "the firm here has written no rule of its own"
NOT_COVERED["time.project_at_risk"] = "every deal here was won before its project was made"
_ASKED_OF_LEAVERS = {"time.already_invoiced", "time.period_closed", "time.change_not_agreed"}


def _rule(function: Violates) -> Violates:
    RULES[f"time.{function.__name__}"] = function
    return function


def judge(hour: Hour, *, severities: Mapping[str, str]) -> tuple[str, frozenset[str]]:
    """Return the outcome of an hour and every reason, each with its weight."""
    weighed = {
        code: _weight(hour, severities[code])
        for code in violated(hour)
        if severities[code] != "ignore"
    }
    reasons = frozenset(f"{code}={weight}" for code, weight in weighed.items())
    return _outcome(hour, set(weighed.values())), reasons


def violated(hour: Hour) -> list[str]:
    """Return the rules that an hour violates."""
    if hour.is_leaving:
        return [code for code in RULES if code in _ASKED_OF_LEAVERS and RULES[code](hour)]
    if not hour.counts or hour.is_posted_unchanged:
        return []
    return [code for code, is_violated in RULES.items() if is_violated(hour)]


def _weight(hour: Hour, severity: str) -> str:
    """What was parked for too long is held."""
    if severity != "park":
        return severity
    since = hour.row["recorded_at"]
    if hour.project_now is not None:
        since = max(since, hour.project_now["recorded_at"])
    ends_at = since + timedelta(seconds=hour.books.values["park_seconds"])
    return "error" if ends_at <= NOW else "park"


def _outcome(hour: Hour, weights: set[str]) -> str:
    if hour.is_leaving:
        return "held" if "error" in weights else "correct"
    if not hour.counts:
        is_left_out = hour.row["is_excluded"] and not hour.row["is_deleted"]
        return "excluded" if is_left_out and hour.row["approval"] != "not_approved" else "outside"
    if "error" in weights:
        return "held"
    if "park" in weights:
        return "parked"
    return "correct" if hour.standing and not hour.is_posted_unchanged else "cleared"


# -- approval --------------------------------------------------------------------------------------


@_rule
def approval_unknown(hour: Hour) -> object:
    return hour.row["approval"] not in ("approved", "not_approved")


@_rule
def approved_by_self(hour: Hour) -> object:
    return hour.row["approver_ref"] == hour.row["person_ref"]


# -- person ----------------------------------------------------------------------------------------


@_rule
def person_unknown(hour: Hour) -> object:
    return not hour.people


@_rule
def person_ambiguous(hour: Hour) -> object:
    return len(hour.people) > 1


@_rule
def person_not_employed(hour: Hour) -> object:
    return hour.person_id and hour.work_date and not hour.homes


@_rule
def employer_ambiguous(hour: Hour) -> object:
    return len(hour.homes) > 1


@_rule
def labor_category_missing(hour: Hour) -> object:
    if not hour.is_active or hour.person_id is None:
        return False
    is_free = hour.contract is None or hour.contract["allows_unassigned_time"]
    return (
        (hour.assignments or is_free)
        and not hour.is_any_category_priced
        and hour.labor_category is None
    )


@_rule
def on_leave(hour: Hour) -> object:
    return hour.work_date and hour.is_on_leave


@_rule
def employee_record_missing(hour: Hour) -> object:
    if hour.home is None or hour.entity_code is None or hour.has_employee_record:
        return False
    return hour.home == hour.entity_code or hour.is_agreed


@_rule
def erp_link_ambiguous(hour: Hour) -> object:
    return hour.has_employee_record and (hour.erp_employees > 1 or hour.erp_tasks > 1)


# -- project, task and assignment ------------------------------------------------------------------


@_rule
def project_unknown(hour: Hour) -> object:
    return not hour.projects


@_rule
def project_ambiguous(hour: Hour) -> object:
    return len(hour.projects) > 1


@_rule
def project_provisioning(hour: Hour) -> object:
    return hour.project_now and hour.project_now["status"] == "provisioning"


@_rule
def project_not_active(hour: Hour) -> object:
    if hour.project_now is None or hour.project_now["status"] == "provisioning":
        return False
    return not (hour.is_active and hour.project_now["accepts_time"])


@_rule
def outside_project_dates(hour: Hour) -> object:
    return hour.is_active and _is_outside(hour, hour.project_now)


@_rule
def task_unknown(hour: Hour) -> object:
    is_open = hour.is_project_told_of or hour.is_any_task_priced
    return hour.is_active and not is_open and not hour.tasks


@_rule
def task_ambiguous(hour: Hour) -> object:
    return len(hour.tasks) > 1


@_rule
def task_not_chargeable(hour: Hour) -> object:
    return hour.task and not hour.task["is_leaf"]


@_rule
def outside_task_dates(hour: Hour) -> object:
    return _is_outside(hour, hour.task)


@_rule
def assignment_missing(hour: Hour) -> object:
    if not hour.is_active or hour.person_id is None or hour.contract is None:
        return False
    return not hour.assignments and not hour.contract["allows_unassigned_time"]


@_rule
def after_assignment_end(hour: Hour) -> object:
    if not hour.assignments or hour.work_date is None or hour.contract is None:
        return False
    return not hour.is_covered and not hour.contract["allows_unassigned_time"]


@_rule
def client_inactive(hour: Hour) -> object:
    return hour.client and not hour.client["is_active"]


@_rule
def erp_link_missing(hour: Hour) -> object:
    will_be_sent = hour.rate is not None or hour.is_billable is False
    is_known = hour.erp_employees and hour.erp_tasks
    return hour.has_employee_record and will_be_sent and not is_known


# -- contract --------------------------------------------------------------------------------------


@_rule
def task_not_on_contract(hour: Hour) -> object:
    return hour.is_active and hour.is_project_told_of and hour.task is None


@_rule
def billable_unknown(hour: Hour) -> object:
    is_priced = hour.task is not None or hour.is_any_task_priced
    return is_priced and hour.is_billable is None


@_rule
def rate_missing(hour: Hour) -> object:
    if not (hour.is_active and hour.task and hour.is_billable):
        return False
    is_kind_known = hour.labor_category is not None or hour.is_any_category_priced
    return is_kind_known and not hour.rates


@_rule
def rate_ambiguous(hour: Hour) -> object:
    return len(hour.rates) > 1


@_rule
def rate_zero(hour: Hour) -> object:
    if hour.bills_costs and hour.rate_amount is None:
        return False  # Another rule says what of the price is missing.
    # A price that nobody can work out is no price above zero either.
    return hour.rate is not None and hour.is_billable and not hour.rate_amount


@_rule
def markup_missing(hour: Hour) -> object:
    is_asked = hour.bills_costs and hour.rate is not None and hour.is_billable
    return is_asked and hour.markup_percent is None


@_rule
def cost_rate_not_one(hour: Hour) -> object:
    is_asked = hour.bills_costs and hour.markup_percent is not None and hour.is_billable
    return is_asked and len(hour.cost_rates) != 1


@_rule
def fx_rate_missing(hour: Hour) -> object:
    return hour.is_exchange_missing


@_rule
def rate_above_agreed(hour: Hour) -> object:
    return _is_beyond(hour, "rate_max", 1)


@_rule
def rate_below_agreed(hour: Hour) -> object:
    return _is_beyond(hour, "rate_min", -1)


@_rule
def currency_differs(hour: Hour) -> object:
    return hour.rate and hour.contract and hour.currency != hour.contract["currency"]


@_rule
def contract_not_active(hour: Hour) -> object:
    return hour.contract and not hour.contract["is_active"]


@_rule
def outside_contract_dates(hour: Hour) -> object:
    return _is_outside(hour, hour.contract)


@_rule
def purchase_order_missing(hour: Hour) -> object:
    if hour.contract is None or not hour.contract["is_purchase_order_required"]:
        return False
    return not hour.contract["purchase_order"]


@_rule
def cap_exceeded(hour: Hour) -> object:
    if hour.cap_amount is None or hour.amount is None or hour.capped_seconds:
        return False
    return hour.cap_used + hour.amount > hour.cap_amount


@_rule
def capped(hour: Hour) -> object:
    return hour.capped_seconds


@_rule
def capped_line_missing(hour: Hour) -> object:
    return hour.over_cap and hour.capped_line is None


@_rule
def capped_link_missing(hour: Hour) -> object:
    return hour.capped_seconds and not hour.capped_tasks


@_rule
def cost_rate_missing(hour: Hour) -> object:
    return hour.home and hour.cost_rate is None


@_rule
def role_dearer(hour: Hour) -> object:
    return _compare_roles(hour) > 0


@_rule
def role_cheaper(hour: Hour) -> object:
    return _compare_roles(hour) < 0


# -- dates -----------------------------------------------------------------------------------------


@_rule
def work_date_in_future(hour: Hour) -> object:
    if hour.work_date is None:
        return False
    return (hour.work_date - hour.today).days > hour.books.values["future_days_max"]


@_rule
def late_entry(hour: Hour) -> object:
    if hour.work_date is None or hour.created_on is None:
        return False
    return (hour.created_on - hour.work_date).days > hour.books.values["late_entry_days"]


@_rule
def back_dated(hour: Hour) -> object:
    if hour.work_date is None or hour.created_on is None:
        return False
    return (hour.created_on - hour.work_date).days > hour.books.values["back_dating_days"]


@_rule
def period_unknown(hour: Hour) -> object:
    return hour.entity_code and hour.work_date and hour.period is None


@_rule
def period_closed(hour: Hour) -> object:
    states = [hour.period["state"] if hour.period else None]
    if hour.is_leaving:
        states = []  # Only what stands is taken back.
    elif hour.period is None and hour.standing is None:
        return False
    if hour.standing is not None:
        states.append(hour.standing["period"]["state"])
    return any(state != "open" for state in states)


# -- integrity -------------------------------------------------------------------------------------


@_rule
def work_date_missing(hour: Hour) -> object:
    return hour.work_date is None


@_rule
def already_invoiced(hour: Hour) -> object:
    return hour.standing and hour.standing["is_invoiced"]


@_rule
def change_not_agreed(hour: Hour) -> object:
    # The firm as it begins lets a change in an open period be rebooked by itself.
    return False


@_rule
def duplicate_content(hour: Hour) -> object:
    return len(hour.same) > 1 and not hour.is_first_of_its_kind


@_rule
def quantum_not_representable(hour: Hour) -> object:
    return hour.seconds % hour.books.values["target_quantum_seconds"]


@_rule
def person_not_given(hour: Hour) -> object:
    return not hour.row["person_ref"]


@_rule
def project_not_given(hour: Hour) -> object:
    return not hour.row["project_ref"]


@_rule
def task_not_given(hour: Hour) -> object:
    is_asked = hour.is_active and hour.is_project_told_of and not hour.is_any_task_priced
    return is_asked and not hour.row["task_ref"]


@_rule
def task_of_another_project(hour: Hour) -> object:
    task = hour.any_task
    return task and hour.project_id and task["project_id"] != hour.project_id


@_rule
def category_differs_from_assignment(hour: Hour) -> object:
    told, assigned = hour.row["labor_category"], hour.assigned_category
    return told is not None and assigned is not None and told != assigned


@_rule
def reversal_without_original(hour: Hour) -> object:
    return hour.seconds < 0 and not _alike(hour, -hour.seconds)


@_rule
def reversal_repeated(hour: Hour) -> object:
    taken_back = _alike(hour, -hour.seconds)
    return hour.seconds < 0 and taken_back and len(_alike(hour, hour.seconds)) > len(taken_back)


def _alike(hour: Hour, seconds: int) -> list[Hour]:
    return [
        each for each in hour.day if each.work_word == hour.work_word and each.seconds == seconds
    ]


# -- quantity --------------------------------------------------------------------------------------


@_rule
def duration_not_positive(hour: Hour) -> object:
    return hour.seconds <= 0


@_rule
def day_over_maximum(hour: Hour) -> object:
    return hour.work_date and hour.seconds > 0 and _is_day_full(hour)


@_rule
def entry_over_maximum(hour: Hour) -> object:
    if hour.work_date is None or _is_day_full(hour):
        return False
    return hour.seconds > hour.books.values["entry_seconds_max"]


@_rule
def overlap(hour: Hour) -> object:
    if hour.row["started_at"] is None or hour.work_date is None:
        return False
    return any(hour.overlaps(other) for other in hour.day if other is not hour)


@_rule
def ends_before_start(hour: Hour) -> object:
    started_at, ended_at = hour.row["started_at"], hour.row["ended_at"]
    return started_at and ended_at and ended_at <= started_at


@_rule
def still_running(hour: Hour) -> object:
    return hour.row["started_at"] and hour.row["ended_at"] is None


# -- narrative and intercompany --------------------------------------------------------------------


@_rule
def narrative_missing(hour: Hour) -> object:
    return len(hour.row["narrative"] or "") < hour.books.values["narrative_length_min"]


@_rule
def intercompany_not_agreed(hour: Hour) -> object:
    if hour.home is None or hour.entity_code is None:
        return False
    return hour.home != hour.entity_code and not hour.is_agreed


@_rule
def home_period_closed(hour: Hour) -> object:
    if hour.home is None or hour.work_date is None or hour.home == hour.entity_code:
        return False
    if hour.entity_code is None:
        return False
    periods = hour.books.find("fiscal_period", hour.home, on=hour.work_date)
    return any(period["state"] != "open" for period in periods)


def _compare_roles(hour: Hour) -> Decimal:
    """Return how much dearer the line is in the role that the hour names than in the one assigned."""
    line, assigned = only(hour.best_lines), hour.assigned_line
    if line is None or assigned is None:
        return Decimal(0)
    return Decimal(line["rate_amount"] - assigned["rate_amount"])


def _is_outside(hour: Hour, thing: Mapping[str, object] | None) -> bool:
    """Tell whether the work lies outside the dates of a thing; a last day is open or excluded."""
    if thing is None or hour.work_date is None:
        return False
    starts_on, ends_on = thing["starts_on"], thing["ends_on"]
    return bool(
        hour.work_date < starts_on or (ends_on is not None and hour.work_date >= ends_on)  # type: ignore[operator]
    )


def _is_beyond(hour: Hour, name: str, sign: int) -> bool:
    """Tell whether a billed hour's rate lies beyond a bound; a rate nobody knows is never inside."""
    bound = hour.bound[name] if hour.bound else None
    if bound is None or hour.rate is None or not hour.is_billable:
        return False
    return hour.rate_amount is None or (hour.rate_amount - bound) * sign > 0


def _is_day_full(hour: Hour) -> bool:
    worked = sum(other.seconds for other in hour.day)
    return worked > hour.books.values["day_seconds_max"]

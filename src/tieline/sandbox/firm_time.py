"""A month of timesheets: mostly right, with planted mistakes and what people change afterwards."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from tieline.sandbox.firm_calendar import (
    business_now,
    common_days,
    early_end,
    month_before,
    next_workday,
    working_days,
)
from tieline.sandbox.firm_deals import RATE_CHANGE_DAY
from tieline.sandbox.firm_model import (
    Assignment,
    Deal,
    Entry,
    LaterChange,
    Leave,
    Mistake,
    Person,
)
from tieline.sandbox.firm_narratives import narratives
from tieline.sandbox.firm_people import LAB_CONSULTANTS, LAB_SENIORS, LOAD_TEAM
from tieline.sandbox.firm_running import CREW
from tieline.sandbox.firm_running_time import fill_teams
from tieline.sandbox.firm_sheets import APPROVED, UNKNOWN_LOCK, Draft, Options, Sheets

FOREIGN_TASK = "Travel"
# Only these projects carry mistakes and hours not yet approved, so that the others can be billed.
TROUBLED = ("AUR-GRID", "NOR-ROUTE", "ALD-PRICE")
_UNAPPROVED_DAYS = 3

# Projects and people whose every hour the story counts.
_PLANNED = ("ISA-CLAIM", "KES-LIMS", "LEC-PLAN")
_PLANNED_PEOPLE = ("pl-analyst",)
_RATE_DAYS = 5
# 50 days at EUR 180 an hour and 40 at EUR 150 come to the cap of EUR 120,000.
_CAP_SENIOR_DAYS, _CAP_DAYS = 50, 40
# Of the load model's team, in its order: how many of the month's last days are not handed in.
_DAYS_MISSING = (3, 3, 3, 2, 2, 4, 3)
EDITED, DELETED, OVER_CAP = "board-edit", "board-delete", "over-cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePlan:
    """The month's entries, what is wrong with them, and what happens to them later.

    ``edited`` and ``deleted`` are entries that the board changes.
    """

    entries: tuple[Entry, ...]
    mistakes: tuple[Mistake, ...]
    later_changes: tuple[LaterChange, ...]
    edited: str
    deleted: str


def make_time(
    *,
    seed: int,
    month: date,
    people: Sequence[Person],
    deals: Sequence[Deal],
    assignments: Sequence[Assignment],
    leave: Sequence[Leave],
) -> TimePlan:
    """Return the month's time for everybody who is assigned."""
    options = _options(deals, assignments)
    sheets = _normal_month(seed=seed, month=month, people=people, options=options, leave=leave)
    plan_sheets(sheets, month)
    _leave_last_days_open(sheets, month)
    _plant(sheets, month)
    changes = _changes(sheets, month)
    teams = fill_teams(seed=seed, month=month, people=people, options=options)
    sheets.slots |= teams.slots
    sheets.mistakes += teams.mistakes
    entries, keys = _written(sheets, month)
    return TimePlan(
        entries=entries,
        mistakes=tuple(replace(mistake, ref=keys[mark]) for mark, mistake in sheets.mistakes),
        later_changes=tuple(
            replace(change, entry_key=keys[change.entry_key]) for change in changes
        ),
        edited=keys[EDITED],
        deleted=keys[DELETED],
    )


def _options(deals: Sequence[Deal], assignments: Sequence[Assignment]) -> Options:
    """Return what somebody may book on which day: the lines of their category where they are assigned."""
    sold: dict[tuple[str, str], set[str]] = defaultdict(set)
    for deal in deals:
        for line in deal.lines:
            sold[deal.project_code, line.labor_category].add(line.task)
    offered: dict[str, list[tuple[Assignment, str]]] = defaultdict(list)
    for each in assignments:
        if each.project_code in _PLANNED and each.person_key not in CREW:
            continue
        for task in sold[each.project_code, each.labor_category]:
            offered[each.person_key].append((each, task))

    def options(person_key: str, day: date) -> list[tuple[str, str]]:
        return sorted(
            (assignment.project_code, task)
            for assignment, task in offered[person_key]
            if assignment.starts_on <= day < assignment.ends_on
        )

    return options


def _normal_month(
    *,
    seed: int,
    month: date,
    people: Sequence[Person],
    options: Options,
    leave: Sequence[Leave],
) -> Sheets:
    sheets = Sheets(
        dice=random.Random(f"time:{seed}:{month}"),
        people={person.key: person for person in people},
        options=options,
    )
    away = {(n.person_key, day) for n in leave for day in _days(n.starts_on, n.ends_on)}
    slots = [
        (person.key, day)
        for person in people
        if person.labor_category is not None
        and not person.is_from_agency
        and person.key not in _PLANNED_PEOPLE
        and person.key not in CREW
        for day in working_days(month, country_code=person.country_code)
        if (person.key, day) not in away
        and (person.employed_to is None or day < person.employed_to)
    ]
    for slot in slots:
        sheets.fill(slot, 1 if sheets.people[slot[0]].is_planned else 2)
    return sheets


def plan_sheets(sheets: Sheets, month: date) -> None:
    """Write the days that the story counts to the quarter of an hour, and leave out what is missing."""
    days = working_days(month, country_code="DE")
    _plan_rate_change(sheets, days)
    _plan_cap(sheets, days)
    _plan_lent(sheets, working_days(month, country_code="PL"))
    _plan_board(sheets, month)
    for person_key, count in zip(LOAD_TEAM, _DAYS_MISSING, strict=True):
        for day in days[-count:]:
            del sheets.slots[person_key, day]


def _plan_rate_change(sheets: Sheets, days: Sequence[date]) -> None:
    """Book a week before the price rises inside the month, and a week after."""
    before = [day for day in days if day.day < RATE_CHANGE_DAY][:_RATE_DAYS]
    after = [day for day in days if day.day >= RATE_CHANGE_DAY][-_RATE_DAYS:]
    for day in (*before, *after):
        sheets.plan(("de-senior-2", day), ("ISA-CLAIM", "Claims model", "8.00"))


def _plan_cap(sheets: Sheets, days: Sequence[date]) -> None:
    """Work the capped contract up to its cap, and a bit over it by an hour that is handed in late."""
    for keys, count in ((LAB_SENIORS, _CAP_SENIOR_DAYS), (LAB_CONSULTANTS, _CAP_DAYS)):
        for slot in [(key, day) for day in days for key in keys][:count]:
            sheets.plan(slot, ("KES-LIMS", "Process design", "8.00"))
    last = (LAB_SENIORS[-1], days[-1])
    sheets.plan(last, ("KES-LIMS", "Process design", "3.50"), ("VOL-HUB", "Load model", "4.50"))
    over, rest = sheets.slots[last]
    sheets.slots[last] = [replace(over, is_late=True, mark=OVER_CAP), rest]
    mistake = Mistake(kind="over_cap", reason="time.cap_exceeded", ref=OVER_CAP)
    sheets.mistakes.append((OVER_CAP, mistake))


def _plan_lent(sheets: Sheets, days: Sequence[date]) -> None:
    """Let somebody of Krakow work for Munich, which nobody agreed to."""
    for number, (day, hours) in enumerate(
        zip(days, ("8.00", "8.00", "8.00", "7.00"), strict=False)
    ):
        slot, mark = ("pl-analyst", day), f"lent-{number}"
        sheets.plan(slot, ("NOR-ROUTE", "Network analysis", hours))
        sheets.slots[slot] = [replace(draft, mark=mark) for draft in sheets.slots[slot]]
        mistake = Mistake(kind="not_lent", reason="time.intercompany_not_agreed", ref=mark)
        sheets.mistakes.append((mark, mistake))


def _plan_board(sheets: Sheets, month: date) -> None:
    """Write the hour of a month that is over, and the day in London, that the board changes."""
    over = working_days(month_before(month), country_code="DE")[-1]
    for slot, line, mark in (
        (("de-senior-1", over), ("LEC-PLAN", "Planning model", "6.00"), EDITED),
        (
            ("uk-senior", working_days(month, country_code="GB")[1]),
            ("ALD-PRICE", "Pricing model", "8.00"),
            DELETED,
        ),
    ):
        sheets.plan(slot, line)
        sheets.slots[slot] = [replace(draft, mark=mark) for draft in sheets.slots[slot]]


def _days(starts_on: date, ends_on: date) -> list[date]:
    return [starts_on + timedelta(days=n) for n in range((ends_on - starts_on).days)]


def _leave_last_days_open(sheets: Sheets, month: date) -> None:
    """Leave the last days of some projects unapproved: approvers are never quite done."""
    for day in common_days(month)[-_UNAPPROVED_DAYS:]:
        for slot in [slot for slot in sheets.slots if slot[1] == day and slot not in sheets.taken]:
            sheets.taken.add(slot)
            sheets.slots[slot] = [
                replace(draft, locked_reason=None) if draft.project_code in TROUBLED else draft
                for draft in sheets.slots[slot]
            ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swap:
    """One planted entry that takes the place of a normal one."""

    kind: str
    reason: str
    person_key: str
    project_code: str
    task: str
    hours: str | None = None
    from_day: int = 0
    is_after_early_end: bool = False
    has_narrative: bool = True
    locked_reason: str = APPROVED
    is_healed_later: bool = False
    may_also: tuple[str, ...] = ()


_NO_RATE = ("time.rate_missing",)
_SWAPS = (
    *(
        _Swap(
            kind="after_assignment_end",
            reason="time.after_assignment_end",
            person_key="de-senior-2",
            project_code="NOR-ROUTE",
            task="Network analysis",
            hours=hours,
            is_after_early_end=True,
        )
        for hours in ("5.00", "5.00", "4.50")
    ),
    *(
        _Swap(
            kind="no_rate",
            reason="time.rate_missing",
            person_key="uk-senior-engineer",
            project_code="ALD-PRICE",
            task="Pricing model",
            hours=hours,
            from_day=5,
        )
        for hours in ("7.00",) * 6
    ),
    *(
        _Swap(
            kind="unassigned_person",
            reason="time.assignment_missing",
            person_key="de-part-time",
            project_code="AUR-GRID",
            task="Discovery",
            hours="2.50",
            from_day=from_day,
            may_also=_NO_RATE,
        )
        for from_day in (2, 9)
    ),
    _Swap(
        kind="zero_hours",
        reason="time.duration_not_positive",
        person_key="de-engineer",
        project_code="NOR-ROUTE",
        task="Route engine",
        hours="0.00",
    ),
    _Swap(
        kind="zero_hours",
        reason="time.duration_not_positive",
        person_key="uk-senior",
        project_code="ALD-PRICE",
        task="Pricing model",
        hours="0.00",
    ),
    _Swap(
        kind="missing_narrative",
        reason="time.narrative_missing",
        person_key="de-engineer",
        project_code="AUR-GRID",
        task="Data platform",
        has_narrative=False,
        from_day=6,
    ),
    _Swap(
        kind="missing_narrative",
        reason="time.narrative_missing",
        person_key="de-pm",
        project_code="AUR-GRID",
        task="Project management",
        has_narrative=False,
    ),
    _Swap(
        kind="missing_narrative",
        reason="time.narrative_missing",
        person_key="uk-pm",
        project_code="ALD-PRICE",
        task="Project management",
        has_narrative=False,
        is_healed_later=True,
    ),
    _Swap(
        kind="unknown_locked_reason",
        reason="time.approval_unknown",
        person_key="de-senior-engineer",
        project_code="AUR-GRID",
        task="Data platform",
        locked_reason=UNKNOWN_LOCK,
    ),
    _Swap(
        kind="unknown_locked_reason",
        reason="time.approval_unknown",
        person_key="uk-pm",
        project_code="ALD-PRICE",
        task="Project management",
        locked_reason=UNKNOWN_LOCK,
        from_day=4,
    ),
    _Swap(
        kind="task_not_on_contract",
        reason="time.task_not_on_contract",
        person_key="de-senior-1",
        project_code="AUR-GRID",
        task=FOREIGN_TASK,
        hours="3.00",
        may_also=_NO_RATE,
    ),
    _Swap(
        kind="task_not_on_contract",
        reason="time.task_not_on_contract",
        person_key="uk-senior",
        project_code="ALD-PRICE",
        task=FOREIGN_TASK,
        hours="2.25",
        from_day=3,
        may_also=_NO_RATE,
    ),
)


def _plant(sheets: Sheets, month: date) -> None:
    days = common_days(month)
    _plant_leave(sheets, days)
    _plant_leaver(sheets, days)
    for number, swap in enumerate(_SWAPS):
        late = [day for day in days if day >= early_end(month)]
        possible = late if swap.is_after_early_end else days[swap.from_day :]
        _plant_swap(sheets, swap, possible, mark=f"swap-{number}")
    _plant_88_hours(sheets, days)
    _plant_long_day(sheets, days)
    _plant_duplicates(sheets, days)
    _plant_future(sheets, month)


def _plant_swap(sheets: Sheets, swap: _Swap, days: Sequence[date], *, mark: str) -> None:
    slot = sheets.free_slot(swap.person_key, swap.project_code, days=days)
    present = next(
        (d for d in sheets.slots[slot] if d.project_code == swap.project_code),
        sheets.slots[slot][0],
    )
    draft = Draft(
        project_code=swap.project_code,
        task=swap.task,
        hours=Decimal(swap.hours) if swap.hours is not None else present.hours,
        narrative=present.narrative if swap.has_narrative else None,
        locked_reason=swap.locked_reason,
        mark=mark,
    )
    sheets.swap(slot, draft)
    mistake = Mistake(
        kind=swap.kind,
        reason=swap.reason,
        ref=mark,
        is_healed_later=swap.is_healed_later,
        may_also=swap.may_also,
    )
    sheets.mistakes.append((mark, mistake))


def _plant_leave(sheets: Sheets, days: Sequence[date]) -> None:
    draft = Draft(
        project_code="AUR-GRID",
        task="Data platform",
        hours=Decimal("2.00"),
        narrative="Rückfrage der Netzleitstelle beantwortet",
        mark="leave",
    )
    sheets.slots[("de-engineer", days[3])] = [draft]
    sheets.taken.add(("de-engineer", days[3]))
    mistake = Mistake(kind="on_leave", reason="time.on_leave", ref="leave", is_warning=True)
    sheets.mistakes.append(("leave", mistake))


def _plant_leaver(sheets: Sheets, days: Sequence[date]) -> None:
    gone = sheets.people["de-leaver"].employed_to
    after = [day for day in days if gone is not None and day >= gone][:2]
    for number, day in enumerate(after):
        mark = f"leaver-{number}"
        draft = Draft(
            project_code="NOR-ROUTE",
            task="Route engine",
            hours=Decimal("3.50"),
            narrative="Übergabe der Lösertests",
            mark=mark,
        )
        sheets.slots[("de-leaver", day)] = [draft]
        sheets.taken.add(("de-leaver", day))
        mistake = Mistake(kind="not_employed", reason="time.person_not_employed", ref=mark)
        sheets.mistakes.append((mark, mistake))


def _plant_88_hours(sheets: Sheets, days: Sequence[date]) -> None:
    for person_key, project, task, is_healed in (
        ("us-senior", "HAR-RISK", "Underwriting model", False),
        ("uk-consultant", "ALD-PRICE", "Pricing model", True),
    ):
        slot = sheets.free_slot(person_key, project, days=days[4:])
        mark = f"typo-{person_key}"
        draft = replace(
            sheets.slots[slot][0],
            project_code=project,
            task=task,
            hours=Decimal("88.00"),
            mark=mark,
        )
        sheets.slots[slot] = [draft]
        mistake = Mistake(
            kind="typo_88_hours",
            reason="time.day_over_maximum",
            ref=mark,
            is_healed_later=is_healed,
        )
        sheets.mistakes.append((mark, mistake))


def _plant_long_day(sheets: Sheets, days: Sequence[date]) -> None:
    slot = sheets.free_slot("uk-engineer", "NOR-ROUTE", days=days[7:])
    words = narratives(country_code="GB", task="Route engine", dice=sheets.dice, count=3)
    drafts = []
    for number, (hours, word) in enumerate(zip(("9.50", "9.00", "8.50"), words, strict=True)):
        mark = f"long-day-{number}"
        drafts.append(
            Draft(
                project_code="NOR-ROUTE",
                task="Route engine",
                hours=Decimal(hours),
                narrative=word,
                mark=mark,
            )
        )
        mistake = Mistake(kind="person_day_over_24h", reason="time.day_over_maximum", ref=mark)
        sheets.mistakes.append((mark, mistake))
    sheets.slots[slot] = drafts


def _plant_duplicates(sheets: Sheets, days: Sequence[date]) -> None:
    for person_key, project in (("de-senior-1", "AUR-GRID"), ("uk-consultant", "ALD-PRICE")):
        slot = sheets.free_slot(person_key, project, days=days[2:])
        mark = f"duplicate-{person_key}"
        original = next(
            (d for d in sheets.slots[slot] if d.project_code == project), sheets.slots[slot][0]
        )
        short = replace(original, hours=min(original.hours, Decimal("4.00")))
        sheets.slots[slot] = [short, replace(short, mark=mark)]
        mistake = Mistake(kind="content_duplicate", reason="time.duplicate_content", ref=mark)
        sheets.mistakes.append((mark, mistake))


def _plant_future(sheets: Sheets, month: date) -> None:
    day = next_workday(business_now(month).date(), after=4)
    draft = Draft(
        project_code="AUR-GRID",
        task="Discovery",
        hours=Decimal("6.00"),
        narrative="Workshop zu Lastprofilen",
        mark="future",
    )
    sheets.slots[("de-senior-1", day)] = [draft]
    sheets.taken.add(("de-senior-1", day))
    mistake = Mistake(kind="future_date", reason="time.work_date_in_future", ref="future")
    sheets.mistakes.append(("future", mistake))


# What people do after the hours were posted: kind, person, project, hours more or less.
_HOURS_CHANGED = (
    ("de-senior-1", "AUR-GRID", "-1.50"),
    ("de-consultant-2", "VOL-HUB", "-0.50"),
    ("uk-senior", "THO-STOCK", "0.75"),
    ("de-senior-2", "DON-STRAT", "0.50"),
)
_DELETED = (
    ("uk-engineer", "THO-STOCK"),
    ("de-consultant-1", "VOL-HUB"),
    ("de-part-time", "DON-STRAT"),
    ("uk-consultant", "ALD-PRICE"),
)
_UNAPPROVED = (("de-engineer", "NOR-ROUTE"), ("uk-pm", "ALD-PRICE"))
_TWO_HOURS = Decimal("2.00")


def _changes(sheets: Sheets, month: date) -> list[LaterChange]:
    days = common_days(month)
    changes = []
    for person_key, project, delta in _HOURS_CHANGED:
        mark, draft = _touch(sheets, person_key, project, days, hours_min=_TWO_HOURS)
        hours = draft.hours + Decimal(delta)
        changes.append(
            LaterChange(
                kind="hours_changed",
                verb="edit",
                entry_key=mark,
                project_code=project,
                hours=hours,
            )
        )
    changes += [_moved(sheets, days), _redated(sheets, days)]
    for verb, kind, wanted in (
        ("delete", "deleted", _DELETED),
        ("unapprove", "approval_withdrawn", _UNAPPROVED),
    ):
        for person_key, project in wanted:
            mark, _ = _touch(sheets, person_key, project, days)
            changes.append(LaterChange(kind=kind, verb=verb, entry_key=mark, project_code=project))
    return changes + _healings(sheets)


def _touch(
    sheets: Sheets,
    person_key: str,
    project: str,
    days: Sequence[date],
    *,
    hours_min: Decimal = Decimal(0),
) -> tuple[str, Draft]:
    """Mark an untouched, approved entry of a person on a project."""
    for day in days:
        slot = (person_key, day)
        if slot in sheets.taken or slot not in sheets.slots:
            continue
        for index, draft in enumerate(sheets.slots[slot]):
            if draft.project_code == project and draft.hours >= hours_min:
                mark = f"touched-{person_key}-{day}"
                sheets.taken.add(slot)
                sheets.slots[slot][index] = replace(draft, mark=mark)
                return mark, draft
    raise LookupError(f"{person_key} has no untouched entry on {project} in this month")


def _moved(sheets: Sheets, days: Sequence[date]) -> LaterChange:
    mark, _ = _touch(sheets, "de-senior-1", "AUR-GRID", days)
    return LaterChange(
        kind="moved_to_other_project",
        verb="edit",
        entry_key=mark,
        project_code="AUR-GRID",
        to_project_code="VOL-HUB",
        to_task="Load model",
    )


def _redated(sheets: Sheets, days: Sequence[date]) -> LaterChange:
    mark, _ = _touch(sheets, "uk-senior", "ALD-PRICE", days)
    to_day = next(
        day
        for day in reversed(days[:-_UNAPPROVED_DAYS])
        if ("uk-senior", day) in sheets.slots and ("uk-senior", day) not in sheets.taken
    )
    sheets.taken.add(("uk-senior", to_day))
    return LaterChange(
        kind="redated",
        verb="edit",
        entry_key=mark,
        project_code="ALD-PRICE",
        work_date=to_day,
    )


def _healings(sheets: Sheets) -> list[LaterChange]:
    changes = []
    for mark, mistake in sheets.mistakes:
        if not mistake.is_healed_later:
            continue
        is_typo = mistake.kind == "typo_88_hours"
        changes.append(
            LaterChange(
                kind="healed",
                verb="edit",
                entry_key=mark,
                project_code="ALD-PRICE",
                hours=Decimal("8.80") if is_typo else None,
                narrative=None if is_typo else "Weekly planning with the actuaries",
            )
        )
    return changes


def _written(sheets: Sheets, month: date) -> tuple[tuple[Entry, ...], Mapping[str, str]]:
    """Return the entries in the order they were typed, and which key each mark became."""
    last = business_now(month) - timedelta(hours=2)
    entries = []
    keys: dict[str, str] = {}
    for (person_key, day), drafts in sorted(sheets.slots.items(), key=lambda item: item[0][::-1]):
        for number, draft in enumerate(drafts, start=1):
            key = f"{person_key}/{day}/{number}"
            keys[draft.mark] = key
            typed = datetime.combine(day, time(16, 5 * number), tzinfo=UTC)
            entries.append(
                Entry(
                    key=key,
                    person_key=person_key,
                    project_code=draft.project_code,
                    task=draft.task,
                    work_date=day,
                    hours=draft.hours.quantize(Decimal("0.01")),
                    narrative=draft.narrative,
                    is_locked=draft.locked_reason is not None,
                    locked_reason=draft.locked_reason,
                    entered_at=min(typed, last),
                    is_late=draft.is_late,
                )
            )
    return tuple(entries), keys

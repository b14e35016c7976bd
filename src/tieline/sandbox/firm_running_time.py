"""Five weeks of the teams' time: right, except on the contracts that are at risk or blocked in the month."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from tieline.kernel.periods import next_month
from tieline.sandbox.firm_calendar import (
    weeks_before,
    working_days_of_five_weeks,
    working_days_since,
)
from tieline.sandbox.firm_model import Mistake, Person
from tieline.sandbox.firm_running import AT_RISK, BLOCKED, BOSTON, CREW, STATES
from tieline.sandbox.firm_sheets import UNKNOWN_LOCK, Options, Sheets, Slot

_PARTS, _PARTS_OF_PART_TIME = 3, 2
_PART_TIME_HOURS_MAX = 25
# Of an at-risk contract: what was worked on so many of its last days, and nobody has approved yet.
_UNAPPROVED_DAYS = 2
# What is planted, and which reason it must yield.
_LOCKED = ("unknown_locked_reason", "time.approval_unknown")
_WORDLESS = ("missing_narrative", "time.narrative_missing")


def fill_teams(*, seed: int, month: date, people: Sequence[Person], options: Options) -> Sheets:
    """Return the teams' timesheets; they draw from dice of their own."""
    sheets = Sheets(
        dice=random.Random(f"teams:{seed}:{month}"),
        people={person.key: person for person in people},
        options=options,
    )
    for person in people:
        if person.key not in CREW:
            continue
        is_part_time = person.weekly_hours <= _PART_TIME_HOURS_MAX
        for day in _days_of(person, month):
            sheets.fill((person.key, day), _PARTS_OF_PART_TIME if is_part_time else _PARTS)
    worked = _by_contract(sheets, month)
    blocked = [code for code, state in STATES.items() if state == BLOCKED]
    for number, code in enumerate(blocked):
        _hold_one(sheets, worked[code], is_unknown_lock=number % 2 == 1)
    for code in (code for code, state in STATES.items() if state == AT_RISK):
        _leave_open(sheets, worked[code])
    # Of the month that has begun nobody has approved anything yet, unless Boston's period was longer.
    for slot in sheets.slots:
        of_boston = sheets.people[slot[0]].entity_code == BOSTON
        begun_on = max(next_month(month), weeks_before(month)[1] if of_boston else month)
        if slot[1] >= begun_on:
            sheets.slots[slot] = [replace(each, locked_reason=None) for each in sheets.slots[slot]]
    return sheets


def _days_of(person: Person, month: date) -> tuple[date, ...]:
    """Return the days that somebody works: five weeks, and in Boston all of its period that is over."""
    if person.entity_code != BOSTON:
        return working_days_of_five_weeks(month, country_code=person.country_code)
    starts_on, _ = weeks_before(month)
    return working_days_since(starts_on, month=month, country_code=person.country_code)


def _by_contract(sheets: Sheets, month: date) -> dict[str, list[tuple[Slot, int]]]:
    """Return where time of the month stands, by the code of its contract and in the order of days."""
    found: dict[str, list[tuple[Slot, int]]] = {}
    for slot in sorted(sheets.slots, key=lambda slot: slot[::-1]):
        if not month <= slot[1] < next_month(month):
            continue
        for index, draft in enumerate(sheets.slots[slot]):
            found.setdefault(draft.project_code, []).append((slot, index))
    return found


def _hold_one(sheets: Sheets, worked: Sequence[tuple[Slot, int]], *, is_unknown_lock: bool) -> None:
    """Plant one entry that a person has to look at."""
    (slot, index), mark = worked[len(worked) // 2], f"team-{len(sheets.mistakes)}"
    draft = replace(sheets.slots[slot][index], mark=mark)
    if is_unknown_lock:
        held, kind, reason = replace(draft, locked_reason=UNKNOWN_LOCK), *_LOCKED
    else:
        held, kind, reason = replace(draft, narrative=None), *_WORDLESS
    sheets.slots[slot][index] = held
    sheets.mistakes.append((mark, Mistake(kind=kind, reason=reason, ref=mark)))


def _leave_open(sheets: Sheets, worked: Sequence[tuple[Slot, int]]) -> None:
    days = sorted({slot[1] for slot, _ in worked})[-_UNAPPROVED_DAYS:]
    for slot, index in worked:
        if slot[1] in days:
            sheets.slots[slot][index] = replace(sheets.slots[slot][index], locked_reason=None)

"""Everybody's timesheets while they are being filled."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise

from tieline.sandbox.firm_model import Mistake, Person
from tieline.sandbox.firm_narratives import narratives

APPROVED = "Item Approved and Locked for this Time Period"
UNKNOWN_LOCK = "Item Locked by Payroll Export"
_QUARTER = Decimal("0.25")
# A planted entry is one mistake and no second one: the day stays a day.
_DAY_HOURS_MAX = Decimal(10)

Slot = tuple[str, date]
Options = Callable[[str, date], Sequence[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    project_code: str
    task: str
    hours: Decimal
    narrative: str | None
    locked_reason: str | None = APPROVED
    mark: str = ""
    is_late: bool = False


@dataclass(slots=True, kw_only=True)
class Sheets:
    """Everybody's timesheets while they are being filled."""

    dice: random.Random
    people: Mapping[str, Person]
    options: Options
    slots: dict[Slot, list[Draft]] = field(default_factory=dict)
    taken: set[Slot] = field(default_factory=set)
    mistakes: list[tuple[str, Mistake]] = field(default_factory=list)

    def fill(self, slot: Slot, count: int) -> None:
        """Write a normal day."""
        person_key, day = slot
        person = self.people[person_key]
        options = self.options(person_key, day)
        chosen = [self.dice.choice(options) for _ in range(count)]
        hours = self._split(person.weekly_hours / 5, count)
        words = {
            task: narratives(
                country_code=person.country_code, task=task, dice=self.dice, count=count
            )
            for task in {task for _, task in chosen}
        }
        self.slots[slot] = [
            Draft(project_code=project, task=task, hours=part, narrative=words[task].pop())
            for (project, task), part in zip(chosen, hours, strict=True)
        ]

    def _split(self, hours: Decimal, count: int) -> list[Decimal]:
        quarters = int(hours / _QUARTER)
        cuts = sorted(self.dice.sample(range(2, quarters - 1), count - 1))
        edges = [0, *cuts, quarters]
        return [(b - a) * _QUARTER for a, b in pairwise(edges)]

    def free_slot(self, person_key: str, project_code: str, *, days: Sequence[date]) -> Slot:
        """Take the first untouched day of a person, one with hours on the project if there is."""
        free = [
            (person_key, day)
            for day in days
            if (person_key, day) in self.slots and (person_key, day) not in self.taken
        ]
        on_project = [
            slot for slot in free if any(d.project_code == project_code for d in self.slots[slot])
        ]
        if not free:
            raise LookupError(f"{person_key} has no untouched day left for {project_code}")
        slot = (on_project or free)[0]
        self.taken.add(slot)
        return slot

    def plan(self, slot: Slot, *lines: tuple[str, str, str]) -> None:
        """Write a day of the story, and keep everything else away from it; lines are project, task, hours."""
        country = self.people[slot[0]].country_code
        self.taken.add(slot)
        self.slots[slot] = [
            Draft(
                project_code=project,
                task=task,
                hours=Decimal(hours),
                narrative=narratives(country_code=country, task=task, dice=self.dice, count=1)[0],
            )
            for project, task, hours in lines
        ]

    def swap(self, slot: Slot, draft: Draft) -> None:
        """Put the draft in place of the day's entry on the same project, or of its first."""
        drafts = self.slots[slot]
        index = next(
            (n for n, own in enumerate(drafts) if own.project_code == draft.project_code), 0
        )
        kept = [draft]
        for own in drafts[:index] + drafts[index + 1 :]:
            if sum(one.hours for one in kept) + own.hours <= _DAY_HOURS_MAX:
                kept.append(own)
        self.slots[slot] = kept

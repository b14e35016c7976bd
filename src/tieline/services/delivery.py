"""How projects stand: sold, planned, booked, approved and billed hours, and who is to be assigned anew.

Pattern: one read on request. Vendor calls: none. No rate, no cost and no margin is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.sdk.directory import Systems
from tieline.services.links import Links, read_links

ENDING_WORKING_DAYS = 10
# Ten working days are never more calendar days than these, long holidays among them.
_AHEAD_DAYS = 45
# Who booked without an assignment longer ago than this is a matter of the past.
LOOK_BACK_DAYS = 60
_STAFFING, _TIME = "hr", "time"


class State(StrEnum):
    """Which contracts to list: all of them, those that need a look, or those of one reason."""

    ALL = "all"
    ATTENTION = "attention"
    ENDING = "ending"
    EXCEEDED = "exceeded"
    STRAY = "stray"
    OVERSOLD = "oversold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Someone:
    """A person as a page writes them; ``name`` is None where it was erased or never told."""

    person_id: UUID
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something is changed: a system, the file and line in it, and its address where it has one."""

    connection_key: str
    file_name: str | None = None
    line_number: int | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One assignment of today or later, in [starts_on, ends_on); no end means until further notice.

    ``days_left`` counts the person's working days up to the last one, today among them, where the
    assignment ends soon and nothing follows it. ``told_by`` is where it is told, of those that need a look.
    """

    assignment_id: UUID
    person: Someone
    approver: Someone | None
    labor_category: str
    starts_on: date
    ends_on: date | None
    planned_seconds: int | None
    booked_seconds: int
    days_left: int | None
    told_by: Place | None

    @property
    def is_ending(self) -> bool:
        """Tell whether it ends within ten working days."""
        return self.days_left is not None and self.days_left <= ENDING_WORKING_DAYS

    @property
    def is_exceeded(self) -> bool:
        """Tell whether more was booked on it than was planned."""
        return self.planned_seconds is not None and self.booked_seconds > self.planned_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A person who booked lately on days on which nothing assigns them to the project."""

    person: Someone
    seconds: int
    first_on: date
    last_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectStanding:
    """One running project, in seconds; ``sold_seconds`` is the whole contract's, None where no line tells it.

    ``planned_seconds`` is None where no assignment tells it, and ``unplanned`` of them do not.
    ``early_seconds`` are those of the booked ones from before the go-live; ``nobody_seconds`` those of
    people who are linked to nobody. Without staffing data of the legal entity nobody is astray.
    """

    contract_id: UUID
    contract_code: str
    contract_name: str
    client_name: str | None
    entity_code: str
    zone: str
    today_on: date
    sold_seconds: int | None
    unsold_lines: int
    project_id: UUID
    project_code: str
    project_name: str
    ends_on: date | None
    is_staffed: bool
    may_stray: bool
    assignments: int
    unplanned: int
    planned_seconds: int | None
    booked_seconds: int
    early_seconds: int
    approved_seconds: int
    billed_seconds: int
    nobody_seconds: int
    time_tools: tuple[Place, ...]
    placements: tuple[Placement, ...]
    strays: tuple[Stray, ...]

    @property
    def ending(self) -> tuple[Placement, ...]:
        """Return the assignments that end within ten working days."""
        return tuple(each for each in self.placements if each.is_ending)

    @property
    def exceeded(self) -> tuple[Placement, ...]:
        """Return the assignments on which more was booked than planned."""
        return tuple(each for each in self.placements if each.is_exceeded)

    def has_approver(self, person_id: UUID) -> bool:
        """Tell whether somebody approves on an assignment of it."""
        return any(
            each.approver is not None and each.approver.person_id == person_id
            for each in self.placements
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractStanding:
    """A contract with its running projects; what was sold is sold once."""

    projects: tuple[ProjectStanding, ...]

    @property
    def first(self) -> ProjectStanding:
        """Return one of its projects, which all tell the same of the contract."""
        return self.projects[0]

    @property
    def sold_seconds(self) -> int | None:
        """Return what was sold; None where no line tells it."""
        return self.first.sold_seconds

    @property
    def planned_seconds(self) -> int | None:
        """Return what assignments plan; None where none tells it."""
        return _sum(each.planned_seconds for each in self.projects)

    @property
    def unplanned(self) -> int:
        """Return how many assignments tell no plan."""
        return sum(each.unplanned for each in self.projects)

    @property
    def booked_seconds(self) -> int:
        """Return what the time tools hold, approved or not."""
        return sum(each.booked_seconds for each in self.projects)

    @property
    def early_seconds(self) -> int:
        """Return the part of it from before the go-live."""
        return sum(each.early_seconds for each in self.projects)

    @property
    def approved_seconds(self) -> int:
        """Return the approved part of it."""
        return sum(each.approved_seconds for each in self.projects)

    @property
    def billed_seconds(self) -> int:
        """Return what stands on invoices."""
        return sum(each.billed_seconds for each in self.projects)

    @property
    def over_seconds(self) -> int:
        """Return how much more was booked than sold; 0 where it is not told what was sold in full."""
        if self.sold_seconds is None or self.first.unsold_lines:
            return 0
        return max(self.booked_seconds - self.sold_seconds, 0)

    @property
    def problems(self) -> int:
        """Return how many assignments and people need a look."""
        return sum(
            len({each.assignment_id for each in (*project.ending, *project.exceeded)})
            + len(project.strays)
            for project in self.projects
        ) + (self.over_seconds > 0)

    def is_in(self, state: State) -> bool:
        """Tell whether a contract belongs in a list."""
        match state:
            case State.ALL:
                return True
            case State.ATTENTION:
                return self.problems > 0
            case State.ENDING:
                return any(each.ending for each in self.projects)
            case State.EXCEEDED:
                return any(each.exceeded for each in self.projects)
            case State.STRAY:
                return any(each.strays for each in self.projects)
            case State.OVERSOLD:
                return self.over_seconds > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The running contracts in sight, those that need a look first."""

    contracts: tuple[ContractStanding, ...]
    staffing: tuple[Place, ...]

    def of(
        self, *, state: State = State.ALL, approver_id: UUID | None = None, words: str = ""
    ) -> Delivery:
        """Return the part that somebody asks for; ``words`` is in a code or a name."""
        found: list[ContractStanding] = []
        for each in self.contracts:
            projects = tuple(
                project
                for project in each.projects
                if (approver_id is None or project.has_approver(approver_id))
                and words.casefold() in _told(project).casefold()
            )
            if projects and each.is_in(state):
                found.append(replace(each, projects=projects))
        return replace(self, contracts=tuple(found))

    @property
    def projects(self) -> tuple[ProjectStanding, ...]:
        """Return the projects of all contracts."""
        return tuple(project for each in self.contracts for project in each.projects)

    @property
    def sold_seconds(self) -> int:
        """Return what is told to be sold."""
        return _sum(each.sold_seconds for each in self.contracts) or 0

    @property
    def planned_seconds(self) -> int | None:
        """Return what assignments plan; None where none tells it."""
        return _sum(each.planned_seconds for each in self.contracts)

    @property
    def booked_seconds(self) -> int:
        """Return what the time tools hold, approved or not."""
        return sum(each.booked_seconds for each in self.contracts)

    @property
    def approved_seconds(self) -> int:
        """Return the approved part of it."""
        return sum(each.approved_seconds for each in self.contracts)

    @property
    def billed_seconds(self) -> int:
        """Return what stands on invoices."""
        return sum(each.billed_seconds for each in self.contracts)

    @property
    def ending(self) -> tuple[tuple[ProjectStanding, Placement], ...]:
        """Return the assignments that end within ten working days, the next one first."""
        found = [(each, one) for each in self.projects for one in each.ending]
        return tuple(sorted(found, key=lambda pair: (pair[1].days_left, pair[0].project_code)))

    @property
    def exceeded(self) -> tuple[tuple[ProjectStanding, Placement], ...]:
        """Return the assignments on which more was booked than planned, by how much."""
        found = [(each, one) for each in self.projects for one in each.exceeded]
        return tuple(
            sorted(found, key=lambda pair: (pair[1].planned_seconds or 0) - pair[1].booked_seconds)
        )

    @property
    def strays(self) -> tuple[tuple[ProjectStanding, Stray], ...]:
        """Return who books without an assignment, most hours first."""
        found = [(each, one) for each in self.projects for one in each.strays]
        return tuple(sorted(found, key=lambda pair: -pair[1].seconds))

    @property
    def approvers(self) -> tuple[Someone, ...]:
        """Return whoever approves on an assignment of these projects."""
        found = {
            one.approver.person_id: one.approver
            for each in self.projects
            for one in each.placements
            if one.approver is not None
        }
        return tuple(sorted(found.values(), key=lambda each: (each.name or "", each.person_id)))

    @property
    def unstaffed(self) -> tuple[str, ...]:
        """Return the legal entities of which nobody tells who is assigned: strays are not checked there."""
        return tuple(sorted({each.entity_code for each in self.projects if not each.is_staffed}))


def read_delivery(
    connection: Connection[Row],
    *,
    systems: Systems,
    now: datetime,
    known_at: datetime | None = None,
    entity_code: str = "",
) -> Delivery:
    """Return how the running projects of the legal entities in sight stand."""
    rows = connection.execute(
        "SELECT * FROM page_delivery(%s, %s, %s, %s, %s)",
        (entity_code, now, known_at or now, _AHEAD_DAYS, LOOK_BACK_DAYS),
    ).fetchall()
    links = read_links(connection, systems=systems)
    staffing = connection.execute(
        "SELECT connection_key FROM connection WHERE kind = %s ORDER BY connection_key",
        (_STAFFING,),
    ).fetchall()
    projects = [_project(row, links) for row in rows]
    contracts = [
        ContractStanding(projects=tuple(theirs))
        for _, theirs in groupby(projects, key=lambda each: each.contract_id)
    ]
    return Delivery(
        contracts=tuple(sorted(contracts, key=_first_those_that_need_a_look)),
        staffing=tuple(Place(connection_key=row["connection_key"]) for row in staffing),
    )


def _first_those_that_need_a_look(each: ContractStanding) -> tuple[int, int, str]:
    return (-each.problems, -each.over_seconds, each.first.contract_code)


def _project(row: Row, links: Links) -> ProjectStanding:
    lists = ("placements", "strays", "records")
    values = {name: value for name, value in row.items() if name not in lists}
    return ProjectStanding(
        **values,
        time_tools=tuple(
            _tool(each["connection_key"], each["source_ref"], links)
            for each in row["records"]
            if each["kind"] == _TIME
        ),
        placements=tuple(_placement(each) for each in row["placements"]),
        strays=tuple(_stray(each) for each in row["strays"]),
    )


def _tool(connection_key: str, source_ref: str, links: Links) -> Place:
    url = links.record(connection_key=connection_key, object="projects", source_ref=source_ref)
    return Place(connection_key=connection_key, url=url)


def _placement(told: Mapping[str, Any]) -> Placement:
    return Placement(
        assignment_id=UUID(told["assignment_id"]),
        person=_someone(told, "person"),
        approver=None if told["approver_id"] is None else _someone(told, "approver"),
        labor_category=told["labor_category"],
        starts_on=date.fromisoformat(told["starts_on"]),
        ends_on=None if told["ends_on"] is None else date.fromisoformat(told["ends_on"]),
        planned_seconds=told["planned_seconds"],
        booked_seconds=told["booked_seconds"],
        days_left=told["days_left"],
        told_by=None if told["told_by"] is None else Place(**told["told_by"]),
    )


def _stray(told: Mapping[str, Any]) -> Stray:
    return Stray(
        person=_someone(told, "person"),
        seconds=told["seconds"],
        first_on=date.fromisoformat(told["first_on"]),
        last_on=date.fromisoformat(told["last_on"]),
    )


def _someone(told: Mapping[str, Any], part: str) -> Someone:
    return Someone(person_id=UUID(told[f"{part}_id"]), name=told[f"{part}_name"])


def _told(project: ProjectStanding) -> str:
    return " ".join(
        (
            project.project_code,
            project.project_name,
            project.contract_code,
            project.contract_name,
            project.client_name or "",
        )
    )


def _sum(seconds: Iterable[int | None]) -> int | None:
    told = [each for each in seconds if each is not None]
    return sum(told) if told else None

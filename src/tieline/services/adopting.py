"""Adopt what connected systems already hold: propose links with a reason each, link what a person confirmed.

Pattern: on request; one statement proposes for everything, links are made in sets. Vendor calls: none, it reads
what the connections brought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import record_audit
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.sql import load
from tieline.runtime.telemetry import new_correlation_id
from tieline.services.client_sync import find_strangers
from tieline.validation import mark_reference_change

_LINK = "link"
_STRONG = "strong"
SHEET = "Adopt"
HEADER = (
    "System",
    "What",
    "Their reference",
    "Their name",
    "Their code",
    "Their parent",
    "How sure",
    "Why",
    "Ours",
    "Our name",
    "Decision",
    "Our id",
)
_AT_ONCE = 5_000
_BECAUSE = "adopted"
_PROPOSALS = load("tieline.services", "adopt_proposals")
_STORE = load("tieline.services", "adopt_store")
_MARKS = load("tieline.services", "adopt_marks")

Row = dict[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoptable:
    """One record that is no link of ours yet; ``our_id`` is the one it most likely is, with a reason."""

    connection_key: str
    noun: str
    source_ref: str
    name: str
    code: str
    parent: str
    our_id: UUID | None
    ours: str
    our_name: str
    state: str
    why: str

    @property
    def decision(self) -> str:
        """Return what is proposed to a person: only a strong reason is filled in."""
        return _LINK if self.state == _STRONG else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptPlan:
    """Everything that is not linked, and how much of it a reason links."""

    proposals: tuple[Adoptable, ...]

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Count by noun and state."""
        found: dict[str, Counter[str]] = {}
        for each in self.proposals:
            found.setdefault(each.noun, Counter())[each.state] += 1
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """One link that a person confirmed."""

    connection_key: str
    noun: str
    source_ref: str
    our_id: UUID
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What was linked, what was not and why, and how many hours are looked at again."""

    linked: int
    refused: tuple[str, ...]
    looked_at_again: int


def plan_adoption(connection: Connection[Row]) -> AdoptPlan:
    """Propose a link for every record that has none."""
    rows = connection.execute(_PROPOSALS).fetchall()
    strangers = find_strangers(connection)
    return AdoptPlan(
        proposals=tuple(
            Adoptable(**row)
            for row in rows
            if row["noun"] != "client"
            or (row["connection_key"], row["source_ref"]) not in strangers
        )
    )


def as_cells(plan: AdoptPlan) -> list[tuple[str, ...]]:
    """Return the rows of the sheet that a person corrects."""
    return [
        (
            each.connection_key,
            each.noun,
            each.source_ref,
            each.name,
            each.code,
            each.parent,
            each.state,
            each.why,
            each.ours,
            each.our_name,
            each.decision,
            "" if each.our_id is None else str(each.our_id),
        )
        for each in plan.proposals
    ]


def read_confirmed(
    connection: Connection[Row], *, rows: Sequence[Sequence[str]]
) -> tuple[Confirmed, ...]:
    """Understand a corrected sheet; `Ours` may name another project, task or e-mail than was proposed.

    :raises UserMistake: the header is not ours, a row names what there is not, or two rows confirm the same; the
        sentence says which.
    """
    if not rows or tuple(rows[0][: len(HEADER)]) != HEADER:
        raise UserMistake(f"the first row of the sheet {SHEET} is not the header that was written")
    ours = _ours(connection)
    found = []
    row_of: dict[tuple[object, ...], int] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = dict(zip(HEADER, (*row, *[""] * len(HEADER)), strict=False))
        match cells["Decision"].strip().lower():
            case "" | "leave":
                continue
            case "link":
                found.append(_confirmed(cells, ours, number))
                _refuse_second(found[-1], row_of, number)
            case other:
                raise UserMistake(f"row {number}: Decision is link or leave, not {other[:40]}")
    return tuple(found)


def adopt(
    database: Database,
    *,
    confirmed: Sequence[Confirmed],
    by: str,
    reason: str,
    now: datetime,
    progress: Progress,
) -> Adopted:
    """Link what was confirmed, in one transaction, and ask for a new look at the hours it concerns."""
    with database.transaction() as connection:
        _stage(connection, confirmed)
        linked: set[tuple[str, str, str]] = set()
        for after in range(0, len(confirmed), _AT_ONCE):
            rows = connection.execute(
                _STORE, {"after": after, "until": after + _AT_ONCE, "now": now}
            ).fetchall()
            linked |= {(row["connection_key"], row["noun"], row["source_ref"]) for row in rows}
            progress(min(after + _AT_ONCE, len(confirmed)), len(confirmed))
        keys = [row["neighbor_key"] for row in connection.execute(_MARKS).fetchall()]
        mark_reference_change(
            connection,
            keys=keys,
            because="register.adopted",
            correlation_id=new_correlation_id(),
            now=now,
        )
        record_audit(
            connection,
            now=now,
            actor=by,
            action="register.adopted",
            object="crosswalk",
            entity_code=None,
            reason=reason,
            data={"confirmed": len(confirmed), "linked": len(linked)},
        )
    return Adopted(
        linked=len(linked),
        refused=tuple(
            f"{each.noun} {each.source_ref} of {each.connection_key}: it, or ours, is linked already"
            for each in confirmed
            if (each.connection_key, each.noun, each.source_ref) not in linked
        ),
        looked_at_again=len(keys),
    )


def _ours(connection: Connection[Row]) -> Mapping[tuple[str, str], UUID | None]:
    """Return ours by what a person writes in the sheet; None where several are written so."""
    rows = connection.execute(
        """
        SELECT 'project' AS noun, project_code AS word, project_id AS our_id FROM project
        UNION ALL
        SELECT 'task', p.project_code || ' / ' || t.task_name, t.task_id FROM task t JOIN project p USING (project_id)
        WHERE t.superseded_at IS NULL
        UNION ALL
        SELECT 'person', s.email, p.person_id FROM subject s JOIN person p ON p.person_id = s.subject_id
        WHERE s.kind = 'person' AND s.email IS NOT NULL AND p.redirect_to IS NULL
        """
    ).fetchall()
    found: dict[tuple[str, str], UUID | None] = {}
    for row in rows:
        key = (row["noun"], row["word"].lower())
        found[key] = None if key in found else row["our_id"]
    return found


def _confirmed(
    cells: Mapping[str, str], ours: Mapping[tuple[str, str], UUID | None], number: int
) -> Confirmed:
    noun, word = cells["What"], cells["Ours"].strip()
    # A name is no answer: who has no e-mail is confirmed by the id that was proposed.
    our_id = ours.get((noun, word.lower())) if word else _id(cells["Our id"])
    if our_id is None:
        raise UserMistake(f"row {number}: {word or 'nothing'} is no {noun} of ours, or several are")
    return Confirmed(
        connection_key=cells["System"],
        noun=noun,
        source_ref=cells["Their reference"],
        our_id=our_id,
        because=f"{_BECAUSE}: {cells['Why'][:200]}",
    )


def _refuse_second(
    confirmed: Confirmed, row_of: dict[tuple[object, ...], int], number: int
) -> None:
    for side in (confirmed.source_ref, confirmed.our_id):
        first = row_of.setdefault((confirmed.connection_key, confirmed.noun, side), number)
        if first != number:
            raise UserMistake(f"row {number}: it, or ours, is linked by row {first} as well")


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _stage(connection: Connection[Row], confirmed: Sequence[Confirmed]) -> None:
    connection.execute(
        """
        CREATE TEMPORARY TABLE adopt_confirmed (number integer PRIMARY KEY, connection_key text NOT NULL,
            noun text NOT NULL, source_ref text NOT NULL, our_id uuid NOT NULL, because text NOT NULL)
        ON COMMIT DROP
        """
    )
    with connection.cursor().copy("COPY adopt_confirmed FROM STDIN") as copy:
        for number, each in enumerate(confirmed, start=1):
            copy.write_row(
                (
                    number,
                    each.connection_key,
                    each.noun,
                    each.source_ref,
                    each.our_id,
                    each.because,
                )
            )
    connection.execute("ANALYZE adopt_confirmed")

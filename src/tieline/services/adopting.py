"""Adopt what connected systems already hold: link or leave, in sets, what a person confirmed of what is proposed.

Pattern: on request; links are made in sets, and before that what is proposed is looked at anew. Vendor calls: none,
it reads what the connections brought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from psycopg import Connection

from tieline.governance import record_audit
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.runtime.sql import hashed, load
from tieline.runtime.telemetry import new_correlation_id
from tieline.services.proposing_links import (
    CLIENT,
    LEFT,
    NOUNS,
    STRONG,
    Adoptable,
    Filters,
    Key,
    Progress,
    Record,
    Tally,
    columns,
    find_proposals,
    key_of,
    list_proposals,
    look_anew,
    read_look,
)
from tieline.validation import mark_reference_change

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
_STORE = load("tieline.services", "adopt_store")
_MARKS = load("tieline.services", "adopt_marks")
_LEAVE_ALONE = load("tieline.services", "adopt_leave")
_AGAIN = load("tieline.services", "adopt_again")
_PROGRESS = load("tieline.services", "adopt_progress")
_LINKED_OTHERWISE = """
    SELECT c.connection_key, c.noun, c.source_ref, c.our_id, min(x.source_ref) AS taken_by
    FROM unnest(%(connection_keys)s::text[], %(nouns)s::text[], %(source_refs)s::text[], %(our_ids)s::uuid[])
        AS c (connection_key, noun, source_ref, our_id)
    JOIN crosswalk x ON x.connection_key = c.connection_key AND x.noun = c.noun AND x.our_id = c.our_id
        AND x.superseded_at IS NULL AND x.source_ref <> c.source_ref
    GROUP BY 1, 2, 3, 4
"""

_OURS = """
    SELECT 'project' AS noun, project_code AS word, project_id AS our_id FROM project
    UNION ALL
    SELECT 'task', p.project_code || ' / ' || t.task_name, t.task_id FROM task t JOIN project p USING (project_id)
    WHERE t.superseded_at IS NULL
    UNION ALL
    SELECT 'person', s.email, p.person_id FROM subject s JOIN person p ON p.person_id = s.subject_id
    WHERE s.kind = 'person' AND s.email IS NOT NULL AND p.redirect_to IS NULL
    UNION ALL
    SELECT 'erp_task', p.project_code || ' / ' || l.task_name || ' / ' || l.labor_category, l.contract_line_id
    FROM contract_line l JOIN project p USING (contract_id) WHERE l.superseded_at IS NULL
"""

Ours = Mapping[tuple[str, str], frozenset[UUID]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed(Record):
    """One link that a person confirmed."""

    our_id: UUID
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What a person decided in one go: links to make, and records to leave without one."""

    links: tuple[Confirmed, ...]
    left: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What was linked and left, what was not linked and why, and how many hours are looked at again."""

    linked: int
    left: int
    refused: tuple[str, ...]
    looked_at_again: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far the records of one kind in one system are."""

    connection_key: str
    noun: str
    linked: int
    left: int
    open: int

    @property
    def decided(self) -> int:
        """Return how many need nobody any more."""
        return self.linked + self.left

    @property
    def total(self) -> int:
        """Return how many there are."""
        return self.decided + self.open


@dataclass(frozen=True, slots=True, kw_only=True)
class GoLive:
    """Since when hours of a connection count for a legal entity, and what was received from before."""

    connection_key: str
    entity_code: str
    go_live_on: date | None
    early_entries: int
    early_seconds: int
    counted_entries: int
    counted_seconds: int


def as_cells(proposals: Iterable[Adoptable]) -> list[tuple[str, ...]]:
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
        for each in proposals
    ]


def read_decisions(ours: Ours, *, rows: Sequence[Sequence[str]]) -> Decisions:
    """Understand a corrected sheet; `Ours` may name another project, task or e-mail than was proposed.

    No transaction is held meanwhile: a sheet of hundreds of thousands of rows takes its time.

    :raises UserMistake: the header is not ours, a row names what there is not, or two rows confirm the same; the
        sentence says which.
    """
    if not rows or tuple(rows[0][: len(HEADER)]) != HEADER:
        raise UserMistake(f"the first row of the sheet {SHEET} is not the header that was written")
    links: list[Confirmed] = []
    left: list[Record] = []
    row_of: dict[tuple[object, ...], int] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = dict(zip(HEADER, (*row, *[""] * len(HEADER)), strict=False))
        match cells["Decision"].strip().lower():
            case "":
                continue
            case "leave":
                left.append(_record(cells, number))
            case "link":
                links.append(_confirmed(cells, ours, number))
                _refuse_second(links[-1], row_of, number)
            case other:
                raise UserMistake(f"row {number}: Decision is link or leave, not {other[:40]}")
    return Decisions(links=tuple(links), left=tuple(left))


def decide(
    connection: Connection[Row],
    *,
    links: Iterable[tuple[Record, UUID]],
    left: Iterable[Record],
) -> Decisions:
    """Turn what somebody picked of what was proposed into decisions.

    :raises UserMistake: something picked is not proposed so any more; the sentence names it.
    """
    wanted, kept = tuple(links), tuple(left)
    proposed = find_proposals(connection, records=[*(record for record, _ in wanted), *kept])
    found = [proposed[key_of(record)] for record, _ in wanted if key_of(record) in proposed]
    holding = look_anew(connection, of=found) if found else {}
    for record, our_id in wanted:
        shown = proposed.get(key_of(record))
        if shown is None or not our_id == shown.our_id == holding.get(key_of(record)):
            raise UserMistake(f"{_words(record)}: it is not proposed so any more; look again")
    for record in kept:
        standing = proposed.get(key_of(record))
        if standing is None or not standing.may_be_left:
            raise UserMistake(f"{_words(record)}: it does not wait for this any more; look again")
    links_made = (_as_proposed(proposed[key_of(record)], our_id) for record, our_id in wanted)
    return Decisions(links=tuple(links_made), left=kept)


def shown_sure(connection: Connection[Row], *, found: Tally) -> str:
    """Return what tells whether the sure links are still those that somebody was shown."""
    return f"{read_look(connection).look_no}.{found.sure}"


def decide_sure(connection: Connection[Row], *, filters: Filters, shown: str) -> Decisions:
    """Link everything that is sure under some filters, as somebody was shown it.

    :raises UserMistake: it is not what they were shown any more.
    """
    sure = list_proposals(connection, filters=replace(filters, state=STRONG))
    holding = look_anew(connection, of=None)
    is_as_shown = f"{read_look(connection).look_no}.{len(sure)}" == shown
    if not is_as_shown or any(holding.get(key_of(each)) != each.our_id for each in sure):
        raise UserMistake("what is sure has changed since it was shown; look again")
    links = tuple(_as_proposed(each, each.our_id) for each in sure if each.our_id is not None)
    return Decisions(links=links, left=())


def adopt(
    connection: Connection[Row],
    *,
    decisions: Decisions,
    by: str,
    reason: str,
    now: datetime,
    progress: Progress,
) -> Adopted:
    """Link and leave what was decided, in sets, and ask for a new look at the hours it concerns."""
    confirmed = decisions.links
    _stage(connection, confirmed)
    linked: set[Key] = set()
    is_much = len(confirmed) > _AT_ONCE
    for after in range(0, len(confirmed), _AT_ONCE):
        values = {"after": after, "until": after + _AT_ONCE, "now": now}
        # What was linked a moment ago is in no statistics: of the next, each would be held against all of it.
        with hashed(connection, is_so=is_much):
            rows = connection.execute(_STORE, values).fetchall()
        linked |= {_key_of_row(row) for row in rows}
        progress(min(after + _AT_ONCE, len(confirmed)), len(confirmed))
    said = {"by": by, "reason": reason, "now": now}
    with hashed(connection, is_so=is_much):
        connection.execute(_AGAIN, said | columns(confirmed))
        left = connection.execute(_LEAVE_ALONE, said | columns(decisions.left)).rowcount
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
        data={"confirmed": len(confirmed), "linked": len(linked), "left": left},
    )
    return Adopted(
        linked=len(linked),
        left=left,
        refused=_refused(connection, [each for each in confirmed if key_of(each) not in linked]),
        looked_at_again=len(keys),
    )


def _refused(connection: Connection[Row], confirmed: Sequence[Confirmed]) -> tuple[str, ...]:
    """Say of each what it, or ours, is linked to in place of what was confirmed."""
    asked = columns(confirmed) | {"our_ids": [each.our_id for each in confirmed]}
    with hashed(connection, is_so=len(confirmed) > _AT_ONCE):
        rows = connection.execute(_LINKED_OTHERWISE, asked).fetchall()
    others = {(*_key_of_row(row), row["our_id"]): row["taken_by"] for row in rows}
    return tuple(
        f"{_words(each)}: ours is {other} there already"
        if (other := others.get((*key_of(each), each.our_id))) is not None
        else f"{_words(each)}: it is linked already"
        for each in confirmed
    )


def propose_again(
    connection: Connection[Row], *, records: Sequence[Record], by: str, reason: str, now: datetime
) -> int:
    """Propose again what was left; return how much of it was."""
    count = connection.execute(_AGAIN, {"now": now} | columns(records)).rowcount
    record_audit(
        connection,
        now=now,
        actor=by,
        action="register.proposed_again",
        object="crosswalk",
        entity_code=None,
        reason=reason,
        data={"records": count},
    )
    return count


def read_stages(connection: Connection[Row], *, found: Tally) -> tuple[Stage, ...]:
    """Return how far the records of each system are, by noun."""
    counts: Counter[Key] = Counter()
    for row in connection.execute(_PROGRESS).fetchall():
        counts[row["connection_key"], row["noun"], "linked"] = row["linked"]
    for (key, noun, state), count in found.counts.items():
        counts[key, noun, "left" if state == LEFT else "open"] += count
    return tuple(
        Stage(
            connection_key=key,
            noun=noun,
            **{place: counts[key, noun, place] for place in ("linked", "left", "open")},
        )
        for key, noun in sorted(
            {(key, noun) for key, noun, _ in counts},
            key=lambda pair: (pair[0], NOUNS.index(pair[1])),
        )
    )


def list_go_lives(connection: Connection[Row]) -> tuple[GoLive, ...]:
    """List since when hours count, per connection that brings hours and legal entity in sight."""
    rows = connection.execute(
        "SELECT g.* FROM page_go_lives() g JOIN connection c USING (connection_key)"
        " WHERE c.kind = 'time' ORDER BY connection_key, entity_code"
    ).fetchall()
    return tuple(GoLive(**row) for row in rows)


def read_ours(connection: Connection[Row]) -> Ours:
    """Return ours by what a person writes in the sheet: several where they are written alike."""
    found: dict[tuple[str, str], frozenset[UUID]] = {}
    with connection.cursor(name="ours") as cursor:
        cursor.itersize = _AT_ONCE
        for row in cursor.execute(_OURS):
            key = (row["noun"], row["word"].lower())
            found[key] = found.get(key, frozenset()) | {row["our_id"]}
    return found


def _confirmed(cells: Mapping[str, str], ours: Ours, number: int) -> Confirmed:
    noun, word = cells["What"], cells["Ours"].strip()
    told, named = _id(cells["Our id"]), ours.get((noun, word.lower()), frozenset())
    # A name is no answer: who has no e-mail is confirmed by the id that was proposed, and so is one of several
    # that are written alike, as the rates of one task are.
    our_id = told if not word or told in named else (next(iter(named)) if len(named) == 1 else None)
    if our_id is None:
        raise UserMistake(f"row {number}: {word or 'nothing'} is no {noun} of ours, or several are")
    return Confirmed(
        connection_key=cells["System"],
        noun=noun,
        source_ref=cells["Their reference"],
        our_id=our_id,
        because=f"{_BECAUSE}: {cells['Why'][:200]}",
    )


def _record(cells: Mapping[str, str], number: int) -> Record:
    noun = cells["What"]
    if noun == CLIENT:
        raise UserMistake(f"row {number}: who a client is, is decided in its case Same client?")
    if noun not in NOUNS:
        raise UserMistake(
            f"row {number}: {noun[:40] or 'nothing'} is none of {', '.join(NOUNS[1:])}"
        )
    return Record(connection_key=cells["System"], noun=noun, source_ref=cells["Their reference"])


def _as_proposed(each: Adoptable, our_id: UUID) -> Confirmed:
    return Confirmed(
        connection_key=each.connection_key,
        noun=each.noun,
        source_ref=each.source_ref,
        our_id=our_id,
        because=f"{_BECAUSE}: {each.why[:200]}",
    )


def _key_of_row(row: Row) -> Key:
    return (row["connection_key"], row["noun"], row["source_ref"])


def _words(record: Record) -> str:
    return f"{record.noun} {record.source_ref} of {record.connection_key}"


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

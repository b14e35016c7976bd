"""Find again what was posted after the point to which a backup was restored.

The keys of an hour are computed from its source alone: all that it may have been posted under are asked for,
and what stands is linked instead of being sent once more. Until every hour was asked about, nothing is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from psycopg import Connection

from tieline.canonical import Content, TimeLineCommand
from tieline.canonical.commands import content_hash
from tieline.kernel.clock import Clock
from tieline.ledger import book
from tieline.posting import states
from tieline.runtime.database import Database
from tieline.runtime.sql import load
from tieline.sdk import StoredLine, Strategy, WritesTimeLines
from tieline.sdk.directory import Connectors
from tieline.validation import mark_reference_change

# So many numbers beyond those that are known: a key that was taken back may be absent while a later one stands.
# What a target of these holds cannot be asked for by a line's key; the numbers of documents sent since the
# backup are lost with the database.
_FOUND_BY_NO_KEY = (Strategy.ONCE_THEN_CASE, Strategy.IMPORT_BATCH)
EFFECTS_PROBE_MAX = 16
# An entry is asked about under at least 17 keys, in one read.
_ENTRIES_MAX = 200
_FIRST = UUID(int=0)

READING, ASKING, WATCHING, OVER = "reading", "asking", "watching", "over"
LINKED, ALTERED, HELD = "linked", "altered", "held"
DIFFERS, SEVERAL, TAKEN_BACK, GONE = "differs", "several", "taken_back", "gone"

_TO_ASK = load("tieline.posting", "restored_to_ask")
_EFFECTS = load("tieline.posting", "restored_effects")
_WANTED = load("tieline.posting", "restored_wanted")
_LINK = load("tieline.posting", "restored_link")
_VOIDS = load("tieline.posting", "restored_voids")
# The way to each state from where the dump may have left an effect, along the edges that exist.
_TO_PROBING = (
    ("REJECTED", "PLANNED"), ("ABSENT", "UNKNOWN"), ("PLANNED", "UNKNOWN"), ("INTENT", "UNKNOWN"),
    ("UNKNOWN", "PROBING"),
)  # fmt: skip
_TO_WITHDRAWN = (
    ("INTENT", "UNKNOWN"), ("UNKNOWN", "PROBING"), ("PROBING", "ABSENT"), ("ABSENT", "WITHDRAWN"),
    ("REJECTED", "WITHDRAWN"), ("PLANNED", "WITHDRAWN"),
)  # fmt: skip

Row = dict[str, Any]
# An hour and one of its lines: what is billed, or what is above a cap.
_Part = tuple[UUID, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """A restore that is being followed up."""

    restoration_id: int
    phase: str
    because: str
    begun_by: str
    begun_at: datetime
    asked_at: datetime | None
    ended_by: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The hours of one question: their keys, and what the target holds under them."""

    entry_ids: Sequence[UUID]
    entry_of: Mapping[UUID, UUID]
    part_of: Mapping[UUID, str]
    number_of: Mapping[UUID, int]
    source_of: Mapping[UUID, tuple[str, str]]
    found: Sequence[StoredLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """One line that stands, under its key and number, by the verdict that asked for it."""

    business_key: UUID
    effect_no: int
    verdict: Row
    line: StoredLine


@dataclass(slots=True, kw_only=True)
class _Plan:
    """What follows from an answer: lines to link, effects to end, and what is written down."""

    links: list[_Link] = field(default_factory=list)
    taken_back: list[UUID] = field(default_factory=list)
    withdrawn: list[UUID] = field(default_factory=list)
    notes: list[tuple[UUID, str, int, str]] = field(default_factory=list)


def find_restoration(connection: Connection[Row]) -> Restoration | None:
    """Return the restore that is being followed up, None when there is none."""
    row = connection.execute(
        "SELECT restoration_id, phase, because, begun_by, begun_at, asked_at, ended_by, ended_at"
        " FROM restoration WHERE phase <> 'over'"
    ).fetchone()
    return None if row is None else Restoration(**row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relinker:
    """Ask targets about hours, and link what stands there and is unknown here."""

    database: Database
    connectors: Connectors
    clock: Clock

    def ask_all(self, *, restoration_id: int) -> int:
        """Ask about every hour that was not asked about; return how many were.

        :raises TielineError: a target cannot be read now; what was asked so far is kept.
        """
        return sum(
            self._ask_place(restoration_id, target, entity, is_whole=True)
            for target, entity in self._places()
        )

    def ask_late(self, *, restoration_id: int) -> int:
        """Ask about what would be sent and was not asked about, and about what is unsettled.

        :raises TielineError: a target cannot be read now.
        """
        return sum(
            self._ask_place(restoration_id, target, entity, is_whole=False)
            for target, entity in self._places()
        )

    def _places(self) -> list[tuple[str, str]]:
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT erp_connection_key AS target, entity_code FROM legal_entity ORDER BY 1, 2"
            ).fetchall()
        return [(row["target"], row["entity_code"]) for row in rows]

    def _ask_place(
        self, restoration_id: int, target: str, entity_code: str, *, is_whole: bool
    ) -> int:
        after, asked = _FIRST, 0
        while True:
            with self.database.transaction() as connection:
                rows = connection.execute(
                    _TO_ASK,
                    {
                        "restoration_id": restoration_id,
                        "target": target,
                        "entity_code": entity_code,
                        "is_whole": is_whole,
                        "after": after,
                        "limit": _ENTRIES_MAX,
                        "numbers": EFFECTS_PROBE_MAX,
                    },
                ).fetchall()
            if not rows:
                return asked
            entries = self._settle(restoration_id, target, entity_code, rows)
            asked, after = asked + len(entries), entries[-1]
            if not is_whole:
                return asked

    def _settle(
        self, restoration_id: int, target: str, entity_code: str, rows: Sequence[Row]
    ) -> Sequence[UUID]:
        capabilities = self.connectors.capabilities(connection_key=target)
        strategy = capabilities.write_of(TimeLineCommand.noun).strategy
        answer = _Asked(
            entry_ids=list(dict.fromkeys(row["entry_id"] for row in rows)),
            entry_of={row["business_key"]: row["entry_id"] for row in rows},
            part_of={row["business_key"]: row["part"] for row in rows},
            number_of={row["business_key"]: row["effect_no"] for row in rows},
            source_of={row["entry_id"]: (row["connection_key"], row["source_ref"]) for row in rows},
            found=()
            if strategy in _FOUND_BY_NO_KEY
            else self._read(target, entity_code, [row["business_key"] for row in rows]),
        )
        place = {"target": target, "entity_code": entity_code}
        with self.database.transaction() as connection:
            values = {**place, "entry_ids": list(answer.entry_ids)}
            effects = connection.execute(_EFFECTS, values).fetchall()
            wanted = connection.execute(_WANTED, values).fetchall()
            if strategy in _FOUND_BY_NO_KEY:
                _leave_to_a_person(
                    connection, target, answer, effects, wanted, now=self.clock.now()
                )
            else:
                plan = _decide(answer, effects, wanted)
                _link(connection, target, answer, plan, now=self.clock.now())
                _note(connection, restoration_id, place, answer, plan, now=self.clock.now())
                _judge_again(connection, answer, plan, now=self.clock.now())
            connection.execute(
                "INSERT INTO restored_ask (restoration_id, entry_id, entity_code)"
                " SELECT %s, e, %s FROM unnest(%s::uuid[]) e ON CONFLICT DO NOTHING",
                (restoration_id, entity_code, list(answer.entry_ids)),
            )
        return answer.entry_ids

    def _read(self, target: str, entity_code: str, keys: Sequence[UUID]) -> list[StoredLine]:
        writer = cast(WritesTimeLines, self.connectors.get(connection_key=target))
        return writer.read_lines(entity_code=entity_code, keys=keys)


def _decide(answer: _Asked, effects: Sequence[Row], wanted: Sequence[Row]) -> _Plan:
    """Say for each part of an hour what follows from what stands; pure."""
    plan = _Plan()
    standing: dict[_Part, list[StoredLine]] = {}
    for line in answer.found:
        if line.business_key is not None and line.business_key in answer.entry_of:
            key = (answer.entry_of[line.business_key], answer.part_of[line.business_key])
            standing.setdefault(key, []).append(line)
    known = _by_part(effects)
    asked = _by_part(wanted)
    for part in dict.fromkeys((answer.entry_of[key], part) for key, part in answer.part_of.items()):
        _decide_one(plan, answer, standing.get(part, []), known.get(part, []), asked.get(part, []))
    return plan


def _by_part(rows: Sequence[Row]) -> dict[_Part, list[Row]]:
    found: dict[_Part, list[Row]] = {}
    for row in rows:
        found.setdefault(_part_of(row), []).append(row)
    return found


def _part_of(row: Row) -> _Part:
    return row["entry_id"], row["part"]


def _decide_one(
    plan: _Plan,
    answer: _Asked,
    standing: Sequence[StoredLine],
    effects: Sequence[Row],
    wanted: Sequence[Row],
) -> None:
    booked = {
        row["business_key"]: row
        for row in effects
        if row["kind"] == "book" and row["state"] == states.CONFIRMED and not row["is_undone"]
    }
    # A line that counters another one stands as well, and is known by its own key.
    countered = {
        key
        for row in effects
        if row["kind"] == "void" and row["state"] == states.CONFIRMED
        for key in (row["business_key"], row["undoes_key"])
    }
    is_countered = any(
        line.business_key == row["business_key"]
        for row in effects
        if row["kind"] == "void"
        for line in standing
    )
    if is_countered:
        standing = [line for line in standing if line.business_key not in countered]
    news = [line for line in standing if line.business_key not in booked]
    there = {line.business_key for line in standing}
    gone = [row for key, row in booked.items() if key not in there]
    if not news:
        for row in gone:
            plan.notes.append((row["business_key"], row["target_code"], row["seconds"], GONE))
        return
    if len(standing) > 1:
        _write_down(plan, news, SEVERAL)
        return
    (line,) = news
    assert line.business_key is not None
    own = [each for each in effects if each["business_key"] == line.business_key]
    if own and own[0]["state"] == states.HANDED_OVER:
        # It was loaded from a file, which is asked about for itself.
        return
    verdict = _fitting(line, wanted, own)
    if own and own[0]["state"] in (states.CONFIRMED, states.CONFLICT, states.WITHDRAWN):
        # Here it was taken back, given up or left to a person, and there it stands.
        _write_down(plan, news, DIFFERS)
    elif not wanted:
        _write_down(plan, news, HELD)
    elif verdict is None:
        _write_down(plan, news, DIFFERS)
    else:
        plan.links.append(
            _Link(
                business_key=line.business_key,
                effect_no=answer.number_of[line.business_key],
                verdict=verdict,
                line=line,
            )
        )
        same = verdict["seconds"] == line.seconds
        _write_down(plan, news, LINKED if same else ALTERED)
        plan.taken_back.extend(each["business_key"] for each in gone)
        for each in gone:
            note = (each["business_key"], each["target_code"], each["seconds"], TAKEN_BACK)
            plan.notes.append(note)
        plan.withdrawn.extend(
            each["business_key"]
            for each in effects
            if each["business_key"] != line.business_key
            and each["kind"] == "book"
            and each["state"] not in (states.CONFIRMED, states.CONFLICT, states.WITHDRAWN)
        )


def _fitting(line: StoredLine, wanted: Sequence[Row], own: Sequence[Row]) -> Row | None:
    """Return the verdict that asked for this line, or for the same line of another length."""
    planned_by = {each["verdict_id"] for each in own}
    in_order = sorted(
        wanted, key=lambda row: (not row["is_newest"], row["verdict_id"] not in planned_by)
    )
    content = dict(line.content())
    for row in in_order:
        if content == _content(row):
            return row
    alike = {**content, "seconds": ""}
    return next((row for row in in_order if alike == {**_content(row), "seconds": ""}), None)


def _content(verdict: Row) -> Content:
    return {
        "person_code": verdict["person_code"],
        "task_code": verdict["task_code"],
        "work_date": verdict["work_date"].isoformat(),
        "seconds": str(verdict["seconds"]),
    }


def _write_down(plan: _Plan, lines: Sequence[StoredLine], outcome: str) -> None:
    for line in lines:
        assert line.business_key is not None
        plan.notes.append((line.business_key, line.target_code, line.seconds, outcome))


def _link(
    connection: Connection[Row], target: str, answer: _Asked, plan: _Plan, *, now: datetime
) -> None:
    if not plan.links:
        return
    _walk(connection, plan.withdrawn, _TO_WITHDRAWN, reason="posting.overtaken")
    keys = [each.business_key for each in plan.links]
    connection.execute(
        _LINK,
        {
            "target": target,
            "keys": keys,
            "numbers": [each.effect_no for each in plan.links],
            "verdict_ids": [each.verdict["verdict_id"] for each in plan.links],
            "seconds": [each.line.seconds for each in plan.links],
            "periods": [each.verdict["period_id"] for each in plan.links],
            "days": [each.verdict["books_on"] for each in plan.links],
            "parts": [answer.part_of[key] for key in keys],
            "now": now,
        },
    )
    connection.execute(
        """
        UPDATE effect e SET payload_hash = k.payload_hash, stored_hash = k.stored_hash,
            target_code = k.target_code, attempt = greatest(e.attempt, 1)
        FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[])
            AS k (business_key, payload_hash, stored_hash, target_code)
        WHERE e.business_key = k.business_key
        """,
        (
            keys,
            [content_hash(_content(each.verdict)) for each in plan.links],
            [content_hash(each.line.content()) for each in plan.links],
            [each.line.target_code for each in plan.links],
        ),
    )
    _walk(connection, keys, (*_TO_PROBING, ("PROBING", "CONFIRMED")), reason="posting.relinked")
    connection.execute(
        "UPDATE effect SET reason = 'posted.altered_by_target' WHERE business_key = ANY (%s)",
        (
            [
                each.business_key
                for each in plan.links
                if each.line.seconds != each.verdict["seconds"]
            ],
        ),
    )
    connection.execute(_VOIDS, {"keys": plan.taken_back, "now": now})
    voids = [
        row["business_key"]
        for row in connection.execute(
            "UPDATE effect SET payload_hash = 'void:' || undoes_key WHERE kind = 'void'"
            " AND undoes_key = ANY (%s) AND state NOT IN ('CONFIRMED', 'WITHDRAWN') RETURNING business_key",
            (plan.taken_back,),
        ).fetchall()
    ]
    _walk(connection, voids, (*_TO_PROBING, ("PROBING", "CONFIRMED")), reason="posting.taken_back")
    book(
        connection,
        business_keys=[*keys, *voids],
        target_seconds=[each.line.seconds for each in plan.links] + [0] * len(voids),
        now=now,
    )


def _judge_again(
    connection: Connection[Row], answer: _Asked, plan: _Plan, *, now: datetime
) -> None:
    """Have what stands otherwise than it is wanted corrected like any change after posting."""
    keys = [f"entry:{answer.entry_of[each.business_key]}" for each in plan.links]
    if keys:
        mark_reference_change(
            connection, keys=keys, because="posting.relinked", correlation_id="restored", now=now
        )


def _walk(
    connection: Connection[Row],
    keys: Sequence[UUID],
    edges: Sequence[tuple[str, str]],
    *,
    reason: str,
) -> None:
    """Move effects along edges, each from where it stands."""
    if not keys:
        return
    for before, after in edges:
        connection.execute(
            "UPDATE effect SET state = %s, reason = %s, due_at = NULL,"
            " settled_at = CASE WHEN %s = 'CONFIRMED' THEN clock_timestamp() ELSE settled_at END"
            " WHERE business_key = ANY (%s) AND state = %s",
            (after, reason, after, list(keys), before),
        )


def _leave_to_a_person(
    connection: Connection[Row],
    target: str,
    answer: _Asked,
    effects: Sequence[Row],
    wanted: Sequence[Row],
    *,
    now: datetime,
) -> None:
    """Send nothing to a target that finds nothing again: it may stand there already."""
    booked = [row for row in effects if row["kind"] == "book" and row["state"] != states.WITHDRAWN]
    newest = {_part_of(row): row for row in wanted if row["is_newest"]}
    keys = [
        row["business_key"] for row in booked if _part_of(row) in newest and not _is_settled(row)
    ]
    there = {_part_of(row) for row in booked}
    new = [row for part, row in newest.items() if part not in there]
    numbers = [
        1 + max((e["effect_no"] for e in effects if _part_of(e) == _part_of(row)), default=0)
        for row in new
    ]
    key_of = {
        (entry_id, answer.part_of[key], answer.number_of[key]): key
        for key, entry_id in answer.entry_of.items()
    }
    added = [key_of[(*_part_of(row), number)] for row, number in zip(new, numbers, strict=True)]
    connection.execute(
        _LINK,
        {
            "target": target,
            "keys": added,
            "numbers": numbers,
            "verdict_ids": [row["verdict_id"] for row in new],
            "seconds": [row["seconds"] for row in new],
            "periods": [row["period_id"] for row in new],
            "days": [row["books_on"] for row in new],
            "parts": [row["part"] for row in new],
            "now": now,
        },
    )
    keys += added
    connection.execute(
        "UPDATE effect SET payload_hash = 'unasked' WHERE business_key = ANY (%s) AND payload_hash IS NULL",
        (keys,),
    )
    _walk(connection, keys, (*_TO_PROBING, ("PROBING", "CONFLICT")), reason="posting.unconfirmed")


def _is_settled(row: Row) -> bool:
    return row["state"] in (states.CONFIRMED, states.CONFLICT, states.REJECTED)


def _note(
    connection: Connection[Row],
    restoration_id: int,
    place: Mapping[str, str],
    answer: _Asked,
    plan: _Plan,
    *,
    now: datetime,
) -> None:
    """Write down what was found, and settle what was found before and stands no more."""
    connection.execute(
        "UPDATE restored_write SET outcome = %s, settled_at = %s WHERE restoration_id = %s"
        " AND entry_id = ANY (%s) AND settled_at IS NULL AND NOT business_key = ANY (%s)",
        (GONE, now, restoration_id, list(answer.entry_ids), [key for key, _, _, _ in plan.notes]),
    )
    for key, code, seconds, outcome in plan.notes:
        entry_id = answer.entry_of[key]
        connection_key, source_ref = answer.source_of[entry_id]
        note_write(
            connection,
            restoration_id=restoration_id,
            values={
                **place,
                "noun": TimeLineCommand.noun,
                "target_code": code,
                "business_key": key,
                "connection_key": connection_key,
                "source_ref": source_ref,
                "effect_no": answer.number_of[key],
                "entry_id": entry_id,
                "seconds": seconds,
                "outcome": outcome,
            },
            now=now,
        )


def note_write(
    connection: Connection[Row], *, restoration_id: int, values: Mapping[str, Any], now: datetime
) -> None:
    """Write down one record that a target holds and the restored database did not know."""
    is_open = values["outcome"] in (HELD, DIFFERS, SEVERAL)
    connection.execute(
        """
        INSERT INTO restored_write (restoration_id, target_connection, entity_code, noun, target_code,
            business_key, connection_key, source_ref, effect_no, entry_id, seconds, outcome, found_at, settled_at)
        VALUES (%(restoration_id)s, %(target)s, %(entity_code)s, %(noun)s, %(target_code)s, %(business_key)s,
            %(connection_key)s, %(source_ref)s, %(effect_no)s, %(entry_id)s, %(seconds)s, %(outcome)s, %(now)s,
            %(settled_at)s)
        ON CONFLICT (restoration_id, target_connection, noun, target_code)
        DO UPDATE SET outcome = excluded.outcome, settled_at = excluded.settled_at
        """,
        {
            **values,
            "restoration_id": restoration_id,
            "now": now,
            "settled_at": None if is_open else now,
        },
    )

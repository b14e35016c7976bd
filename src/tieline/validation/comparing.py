"""What would be said otherwise? The statement of the judge, asked twice over past days; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

import psycopg
from psycopg import ClientCursor, Connection, sql
from psycopg.rows import dict_row

from tieline.kernel.errors import UserMistake
from tieline.policy import Rule
from tieline.runtime.database import Row
from tieline.runtime.sql import hashed, load
from tieline.validation.answering import HASHED_MIN, STORED_COLUMNS
from tieline.validation.context import untold
from tieline.validation.statement import (
    NAMED_SUBJECT,
    is_own,
    judging_statement,
    load_rules,
)
from tieline.validation.weighing import DECIDED

# Whole days, so that a person's day is never torn apart; a firm's busiest day may be more.
CHUNK_HOURS = 5_000
_MEMORY = "SET LOCAL work_mem = '64MB'"
_DAYS = load("tieline.validation", "days")
_COMPARE = load("tieline.validation", "compare")
_SUBJECTS = load("tieline.validation", "compare_subjects")
# By a list that is written out: how many there are is what the plan of the whole statement hangs on.
_COLUMNS = (*STORED_COLUMNS, "period_state", "is_standing_invoiced")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two answers: by which release, of what is known when; ``is_drafted`` has a calendar of its own."""

    release_id: int
    known_at: datetime
    is_drafted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Hours of one contract, period and place that are answered otherwise, in the same way.

    ``place`` is waiting (judged again once it is decided), posted or invoiced (what stands stays; it would
    have been decided otherwise). ``gained`` and ``lost`` are reasons with their weight.
    """

    was_entity_code: str
    entity_code: str
    was_contract_code: str | None
    contract_code: str | None
    period_code: str | None
    period_state: str
    place: str
    was_currency: str
    currency: str
    was: str
    becomes: str
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    entries: int
    seconds: int
    unpriced: int
    was_amount: Decimal
    amount: Decimal
    sample: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Some days were compared: how many hours until now, of how many, and what differs in these days."""

    done: int
    total: int
    differences: tuple[Difference, ...]


def compare(
    connection: Connection[Row],
    *,
    before: Side,
    after: Side,
    starts_on: date,
    ends_on: date,
    now: datetime,
    contract_ids: Sequence[UUID] = (),
    sample: int,
    chunk_hours: int = CHUNK_HOURS,
) -> Iterator[Step]:
    """Answer every hour of some days twice, a few days at a time; only what differs comes back.

    What stands in a target is asked as if it did not, except whether it may still be taken back.
    ``contract_ids`` are contracts whose scarce amounts a draft may share out anew.

    :raises UserMistake: a firm's own rule fails for one of the hours.
    """
    rules = {
        side.release_id: load_rules(connection, release_id=side.release_id)
        for side in (before, after)
    }
    with ClientCursor(connection, row_factory=dict_row) as cursor:
        cursor.execute(_MEMORY)
        empty = untold(connection, has_copies=True)
        days = cursor.execute(_DAYS, {"starts_on": starts_on, "ends_on": ends_on}).fetchall()
        total, done = sum(int(day["entries"]) for day in days), 0
        for first_on, beyond_on, entries in _chunks(days, ends_on, chunk_hours):
            window = {"first_on": first_on, "beyond_on": beyond_on}
            subjects = cursor.execute(
                _SUBJECTS, {**window, "contract_ids": list(contract_ids)}
            ).fetchall()
            common: Row = {"now": now, "entry_ids": [row["entry_id"] for row in subjects]}
            sides = [
                cursor.mogrify(
                    _asked(rules[side.release_id], side, empty),
                    {**common, "release_id": side.release_id, "known_at": side.known_at},
                )
                for side in (before, after)
            ]
            with hashed(connection, is_so=len(subjects) >= HASHED_MIN):
                rows = _ask(connection, cursor, sides, {**window, "sample": sample}, rules)
            done += entries
            yield Step(done=done, total=total, differences=tuple(_difference(row) for row in rows))


def _chunks(
    days: Sequence[Row], ends_on: date, chunk_hours: int
) -> Iterator[tuple[date, date, int]]:
    first_on, entries = None, 0
    for number, day in enumerate(days):
        first_on = first_on or day["work_date"]
        entries += int(day["entries"])
        is_last = number == len(days) - 1
        if entries >= chunk_hours or is_last:
            yield first_on, ends_on if is_last else days[number + 1]["work_date"], entries
            first_on, entries = None, 0


def _asked(rules: Sequence[Rule], side: Side, empty: frozenset[str]) -> sql.Composed:
    try:
        judged = judging_statement(
            subject=NAMED_SUBJECT,
            rules=rules,
            is_history=True,
            is_drafted=side.is_drafted,
            empty=empty,
            columns=_COLUMNS,
        )
    except UserMistake as error:
        raise UserMistake(f"release {side.release_id}: {error}") from error
    return sql.SQL(
        DECIDED
        + " SELECT entry_id, outcome, reasons, entity_code, contract_id, period_id, period_state, currency,"
        " amount, seconds, work_date, posting_hash, standing_count, is_standing_invoiced FROM decided"
    ).format(judged)


def _ask(
    connection: Connection[Row],
    cursor: ClientCursor[Row],
    sides: Sequence[str],
    values: Row,
    rules: dict[int, list[Rule]],
) -> list[Row]:
    before, after = sides
    # Bound first, and put together then: what was bound is text that nothing is looked for in any more.
    head, _, rest = cursor.mogrify(_COMPARE, values).partition("{before}")
    middle, _, tail = rest.partition("{after}")
    text = head + before + middle + after + tail
    try:
        with connection.transaction():
            return cursor.execute(sql.SQL(text)).fetchall()
    except psycopg.DataError as error:
        own = {rule.code for each in rules.values() for rule in each if is_own(rule)}
        if not own:
            raise
        raise UserMistake(
            f"a rule of the firm ({', '.join(sorted(own))}) fails between {values['first_on']} and"
            f" {values['beyond_on']}: {str(error).splitlines()[0]}"
        ) from error


def _difference(row: Row) -> Difference:
    return Difference(
        **{**row, **{name: tuple(row[name]) for name in ("gained", "lost", "sample")}}
    )

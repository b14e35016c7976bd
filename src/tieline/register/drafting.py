"""Let one transaction see reference data as it would be, and everybody else as it is.

A copy of a table that belongs to the session goes before the table itself wherever it is named; what is drafted
is known a moment later than everything else, so one statement may be asked of both states. Nothing is written
that outlives the transaction, and the database holds it to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from tieline.register.reference_nouns import Noun
from tieline.register.reference_plan import Change, Plan, standing_rows, stored
from tieline.runtime.database import Row

MOMENT = timedelta(microseconds=1)
_EXPECTED_DAY = "tieline.expected_day(uuid,date,timestamptz)"
# What was always so has no first day that a client of the database can tell.
_STARTS_ON = "greatest(starts_on, date '0001-01-01') AS starts_on"


def copy_table(connection: Connection[Row], *, table: str) -> None:
    """Put a copy of a table before it for the rest of the transaction; a second time does nothing."""
    row = connection.execute("SELECT to_regclass(%s) AS found", (f"pg_temp.{table}",)).fetchone()
    if row is not None and row["found"] is not None:
        return
    names = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        (f"tieline.{table}",),
    ).fetchall()
    columns = sql.SQL(", ").join(
        sql.SQL(_STARTS_ON) if row["attname"] == "starts_on" else sql.Identifier(row["attname"])
        for row in names
    )
    connection.execute(
        sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {}").format(
            sql.Identifier(table), columns, sql.Identifier("tieline", table)
        )
    )
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier("pg_temp", table)))


def copy_calendar(connection: Connection[Row]) -> None:
    """Let what is expected of a day be asked of the copies, by a function that goes when the session does."""
    row = connection.execute(
        "SELECT pg_get_functiondef(%s::regprocedure) AS told", (_EXPECTED_DAY,)
    ).fetchone()
    assert row is not None
    text = (
        str(row["told"]).replace("FUNCTION tieline.", "FUNCTION pg_temp.").replace(" tieline.", " ")
    )
    connection.execute(sql.SQL(text))


def write_draft(connection: Connection[Row], *, plan: Plan, known_at: datetime) -> None:
    """Write a plan into the copy of its table: what it changes is known from an instant on."""
    noun = plan.noun
    standing = standing_rows(connection, noun)
    table, own_id = sql.Identifier("pg_temp", noun.table), sql.Identifier(noun.own_id)
    gone = [change.before for change in plan.changes if change.before is not None]
    connection.execute(
        sql.SQL(
            "UPDATE {} SET superseded_at = greatest(%s, recorded_at) WHERE superseded_at IS NULL"
            " AND ({}::text, starts_on) IN (SELECT * FROM unnest(%s::text[], %s::date[]))"
        ).format(table, own_id),
        (known_at, [str(row[noun.own_id]) for row in gone], [row["starts_on"] for row in gone]),
    )
    rows = [
        {
            "base_id": base and str(base[noun.own_id]),
            "told": {
                **_told(noun, change),
                noun.own_id: str(base[noun.own_id]) if base else _new_id(number, change, noun),
                "recorded_at": known_at.isoformat(),
                "superseded_at": None,
            },
        }
        for number, change in enumerate(plan.changes)
        if change.after is not None
        for base in [_base(change, standing, noun)]
    ]
    # What a file does not speak of stays as it was: of the row that it replaces, or of the one before it.
    connection.execute(
        sql.SQL(
            "INSERT INTO {table} SELECT (jsonb_populate_record(b.base, x.told)).* FROM"
            " jsonb_to_recordset(%s) AS x (base_id text, told jsonb) LEFT JOIN LATERAL"
            " (SELECT t AS base FROM {table} t WHERE t.{own_id}::text = x.base_id ORDER BY t.recorded_at DESC,"
            " t.starts_on DESC LIMIT 1) b ON true"
        ).format(table=table, own_id=own_id),
        (Jsonb(rows),),
    )


def _told(noun: Noun, change: Change) -> dict[str, Any]:
    assert change.after is not None
    names = (*noun.key, "starts_on", *noun.values())
    return {**noun.only, **{name: stored(change.after[name]) for name in names}}


def _base(
    change: Change, standing: Mapping[Any, Mapping[Any, Mapping[str, Any]]], noun: Noun
) -> Mapping[str, Any] | None:
    if change.before is not None:
        return change.before
    assert change.after is not None
    timeline = standing.get(tuple(change.after[name] for name in noun.key), {})
    before = [day for day in timeline if day <= change.after["starts_on"]]
    return timeline[max(before)] if before else None


def _new_id(number: int, change: Change, noun: Noun) -> str | int:
    # Ids of links are numbers, and none of them is negative.
    return -1 - number if noun.table == "crosswalk" else str(uuid4())

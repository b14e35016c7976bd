"""Let one transaction see reference data as it would be, and everybody else as it is.

A copy of a table that belongs to the session goes before the table itself wherever it is named; what is drafted
is known a moment later than everything else, so one statement may be asked of both states. Nothing is written
that outlives the transaction, and the database holds it to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import uuid4

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from tieline.register.reference_nouns import Noun
from tieline.register.reference_plan import Change, Plan, standing_rows, stored
from tieline.runtime.database import Row

MOMENT = timedelta(microseconds=1)
_PERIODS: LiteralString = """
    CREATE TEMP TABLE drafted_period ON COMMIT DROP AS
    SELECT p.period_id AS drafted_period_id, p.entity_code, p.period_code, p.starts_on, p.ends_on,
           coalesce(s.state, p.state) AS state, p.cut_off_at,
           ((p.cut_off_at - interval '1 microsecond') AT TIME ZONE l.zone)::date AS cut_off_on,
           timestamptz 'epoch' AS recorded_at, NULL::timestamptz AS superseded_at
    FROM tieline.fiscal_period p
    JOIN tieline.legal_entity l USING (entity_code)
    LEFT JOIN tieline.fiscal_period_state s ON s.period_id = p.period_id AND s.superseded_at IS NULL;
    -- What the copy says of a period is all that is known of it.
    CREATE TEMP TABLE fiscal_period_state (LIKE tieline.fiscal_period_state) ON COMMIT DROP;
    CREATE OR REPLACE FUNCTION pg_temp.drafted_periods(known_at timestamptz) RETURNS TABLE (period_id uuid, entity_code text,
        starts_on date, ends_on date, state text, cut_off_at timestamptz) LANGUAGE sql STABLE AS $$
        -- A row that was put in between is a period of its own.
        SELECT CASE WHEN row_number() OVER (PARTITION BY d.drafted_period_id ORDER BY d.starts_on) = 1
                    THEN d.drafted_period_id
                    ELSE md5(d.drafted_period_id || ':' || d.starts_on)::uuid END,
               d.entity_code, d.starts_on, coalesce(d.ends_on, 'infinity'), d.state,
               CASE WHEN d.recorded_at = 'epoch' THEN d.cut_off_at
                    ELSE (d.cut_off_on + 1)::timestamp AT TIME ZONE l.zone END
        FROM pg_temp.drafted_period d JOIN tieline.legal_entity l USING (entity_code)
        WHERE d.recorded_at <= $1 AND (d.superseded_at IS NULL OR d.superseded_at > $1)
    $$;
"""
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
    """Let what is expected of a day, and its period, be asked of copies, by functions that go with the session."""
    row = connection.execute(
        "SELECT pg_get_functiondef(%s::regprocedure) AS told", (_EXPECTED_DAY,)
    ).fetchone()
    assert row is not None
    text = (
        str(row["told"]).replace("FUNCTION tieline.", "FUNCTION pg_temp.").replace(" tieline.", " ")
    )
    connection.execute(sql.SQL(text))
    connection.execute(_PERIODS)


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

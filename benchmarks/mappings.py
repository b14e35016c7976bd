"""Measure how a file of codes is compared with what stands, beside a bare SQL diff of the same bytes in one run.

Run it with the project's Python: ``python benchmarks/mappings.py --rows 100000 --json``.
It starts a database of its own under TIELINE_HOME and stops and removes it at the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
from time_plane import _cluster

from tieline.register import INBOUND_CODES, as_csv, file_columns
from tieline.runtime.database import Database
from tieline.services.reference_files import preview_file, read_file

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
RATIO_MAX = 5
# Of so many rows one is changed, another one new and a third one gone.
_ONE_IN = 100
_FIRM = """
    INSERT INTO connection (connection_key, system, kind, mode, settle_seconds) VALUES ('crm', 'hubspot', 'crm', 'act', 1);
    INSERT INTO reference_load (noun, file_name, loaded_by, approved_by, reason, rows, recorded_at)
    VALUES ('inbound-codes', 'first.csv', 'ann', 'bob', 'a benchmark', {rows}, '{now}');
    INSERT INTO inbound_code (connection_key, kind, entity_code, their_code, our_code, starts_on, recorded_at, load_id,
                              line_number)
    SELECT 'crm', 'labor_category', '', 'role ' || n, 'Role ' || n, '2026-01-01', '{now}', load_id, n + 2
    FROM generate_series(0, {rows} - 1) n, reference_load;
    ANALYZE inbound_code;
"""
_BARE = """
    SELECT count(*) FILTER (WHERE s.their_code IS NULL) AS added,
           count(*) FILTER (WHERE f.their_code IS NULL) AS ended,
           count(*) FILTER (WHERE s.our_code <> f.our_code
                            OR s.ends_on IS DISTINCT FROM nullif(f.ends_on, '')::date) AS changed
    FROM (SELECT * FROM inbound_code WHERE superseded_at IS NULL) s FULL JOIN told f
    ON (f.connection, f.kind, f.entity, f.their_code, f.starts_on::date)
       = (s.connection_key, s.kind, s.entity_code, s.their_code, s.starts_on)
"""
Counts = tuple[int, int, int]


def main() -> int:
    """Compare both ways several times, one after the other; exit 1 when ours takes more than five times as long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    body = _file(told.rows)
    with _cluster() as (_, _, dsns):
        with psycopg.connect(dsns.owner) as connection:
            connection.execute(_FIRM.format(rows=told.rows, now=NOW.isoformat()).encode())
        database = Database(dsns.worker, pool_max=1, application_name="benchmark").open()
        try:
            rounds = [
                (_timed(lambda: _ours(database, body)), _timed(lambda: _bare(database, body)))
                for _ in range(told.rounds)
            ]
        finally:
            database.close()
    if any(ours[1] != bare[1] for ours, bare in rounds):
        raise SystemExit(f"the two ways disagree: {rounds}")
    found = {
        "rows": told.rows,
        "differences": sum(rounds[0][0][1]),
        "ours_seconds": round(statistics.median(ours[0] for ours, _ in rounds), 3),
        "bare_seconds": round(statistics.median(bare[0] for _, bare in rounds), 3),
        "ratio": round(statistics.median(ours[0] / bare[0] for ours, bare in rounds), 2),
    }
    sys.stdout.write(
        json.dumps(found) + "\n"
        if told.json
        else "".join(f"{name}: {value}\n" for name, value in found.items())
    )
    return 0 if found["ratio"] <= RATIO_MAX else 1


def _file(rows: int) -> bytes:
    """Return the next release of all the codes, as a file."""
    told = [[column.name for column in file_columns(INBOUND_CODES)]]
    for number in range(rows):
        match number % _ONE_IN:
            case 0:
                continue
            case 1:
                ours = f"Changed {number}"
            case _:
                ours = f"Role {number}"
        told.append(["crm", "labor_category", "", f"role {number}", ours, "2026-01-01", ""])
        if number % _ONE_IN == 2:
            told.append(["crm", "labor_category", "", f"new {number}", ours, "2026-01-01", ""])
    return as_csv(told)


def _ours(database: Database, body: bytes) -> Counts:
    file = read_file(noun=INBOUND_CODES.name, name="codes.csv", body=body, is_whole=True)
    with database.transaction() as connection:
        found = preview_file(connection, file=file)
    return found.added, found.ended, found.changed


def _bare(database: Database, body: bytes) -> Counts:
    with database.transaction() as connection:
        connection.execute(
            "CREATE TEMP TABLE told (connection text, kind text, entity text, their_code text, our_code text,"
            " starts_on text, ends_on text) ON COMMIT DROP"
        )
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "COPY told FROM STDIN WITH (FORMAT csv, HEADER, FORCE_NOT_NULL (entity, ends_on))"
            ) as copy,
        ):
            copy.write(body)
        connection.execute("ANALYZE told")
        row = connection.execute(_BARE).fetchone()
    assert row is not None
    return row["added"], row["ended"], row["changed"]


def _timed(compare: Callable[[], Counts]) -> tuple[float, Counts]:
    began = time.monotonic()
    found = compare()
    return time.monotonic() - began, found


if __name__ == "__main__":
    sys.exit(main())

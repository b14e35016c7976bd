"""Measure the checks that always run over books of any size, and what of silent corruption they find.

Run it with the project's Python: ``python benchmarks/standing_checks.py --lines 400000 --json``.
It starts a database of its own under TIELINE_HOME and stops and removes it at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from plane_firm import NOW, Firm
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tieline.posting import list_stops
from tieline.proof.books import BooksConnector, build, manifest_of
from tieline.reconciliation import OWN_CHECKS, look_at_own_books, sum_currencies
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns, prepare_database
from tieline.runtime.postgres import EmbeddedCluster
from tieline.sandbox.books import Books
from tieline.sandbox.wire import Request
from tieline.sdk import Capabilities, Connection, Strategy
from tieline.services.line_checks import LineChecks
from tieline.settings import HOME_VARIABLE

_STATEMENT_SECONDS_MAX = 3600
_LINES = """
SELECT e.business_key::text AS reference, p.source_ref AS person, t.source_ref AS task, v.work_date AS date, e.seconds
FROM effect e JOIN verdict v USING (verdict_id)
JOIN crosswalk p ON p.connection_key = 'tryton' AND p.noun = 'employee' AND p.our_id = v.person_id
JOIN crosswalk t ON t.connection_key = 'tryton' AND t.noun = 'erp_task' AND t.our_id = v.contract_line_id
ORDER BY e.business_key
"""
# Books as the protocol leaves them, made in sets: triggers and keys are off while they are filled, and what every
# line says is computed as the product computes it.
_BOOKS = """
SET LOCAL session_replication_role = replica;
CREATE TEMP TABLE b_line ON COMMIT DROP AS
SELECT n, md5('entry' || n)::uuid AS entry_id, n + 1 AS verdict_id, p.project_id, p.entity_code, p.contract_id,
       c.client_id, l.contract_line_id, x.source_ref AS task_code, w.person_id, w.employee_code,
       t.task_id, date '2026-10-01' + (n % 31)::int AS work_date, 900 * (1 + n % 16)::int AS seconds, f.period_id
FROM generate_series(0, {lines} - 1) n
JOIN (SELECT *, row_number() OVER (ORDER BY project_code) - 1 AS i, count(*) OVER () AS many FROM project) p
    ON p.i = n % p.many
JOIN contract c USING (contract_id)
JOIN (SELECT DISTINCT ON (contract_id) * FROM contract_line ORDER BY contract_id, contract_line_id) l USING (contract_id)
JOIN crosswalk x ON x.noun = 'erp_task' AND x.our_id = l.contract_line_id
JOIN (SELECT DISTINCT ON (project_id) * FROM task ORDER BY project_id, task_id) t ON t.project_id = p.project_id
JOIN (SELECT *, row_number() OVER (PARTITION BY entity_code ORDER BY employee_code) - 1 AS i,
             count(*) OVER (PARTITION BY entity_code) AS many FROM employment) w
    ON w.entity_code = p.entity_code AND w.i = (n / p.many) % w.many
JOIN fiscal_period f ON f.entity_code = p.entity_code AND f.period_code = '2026-10';
INSERT INTO intake_batch (connection_key, stream, kind, state, correlation_id, recorded_at)
VALUES ('harvest', 'time_entries', 'poll', 'judged', 'b', '{now}');
INSERT INTO raw_record (received_on, connection_key, source_epoch, object, source_ref, raw_hash, body, batch_id)
SELECT '2026-11-03', 'harvest', 0, 'time_entries', n::text, '', '', (SELECT max(batch_id) FROM intake_batch) FROM b_line;
INSERT INTO time_entry SELECT entry_id, 'harvest', 0, 'time_entries', n::text, 1, verdict_id FROM b_line;
INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref, project_ref, task_ref, work_date,
    seconds, quantum_seconds, is_billable, approval, approval_word, narrative_length, material_hash, material_version,
    recorded_at, raw_id, batch_id, correlation_id)
SELECT entry_id, 1, true, false, 'u', 'p', 't', work_date, seconds, 36, true, 'approved', 'locked', 0, '', 1, '{now}', n,
       (SELECT max(batch_id) FROM intake_batch), 'b' FROM b_line;
INSERT INTO verdict (verdict_id, entry_id, version, outcome, release_id, known_at, judged_at, person_id, project_id,
    task_id, contract_id, contract_line_id, client_id, entity_code, period_id, labor_category, work_date, seconds,
    is_billable, rate_amount, currency, amount, posting_hash, neighbor_keys, correlation_id) OVERRIDING SYSTEM VALUE
SELECT verdict_id, entry_id, 1, 'cleared', 1, '{now}', '{now}', person_id, project_id, task_id, contract_id,
       contract_line_id, client_id, entity_code, period_id, '', work_date, seconds, true, 150, 'EUR',
       round(seconds * 150 / 3600.0, 2), NULL, ARRAY['entry:' || entry_id], 'b' FROM b_line;
INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref, target_connection, noun, part,
    effect_no, kind, state, attempt, payload_hash, stored_hash, target_code, sent_at, settled_at, verdict_id, entry_id,
    entry_version, verdict_outcome, entity_code, period_id, project_id, seconds, amount, currency, work_class,
    release_id, correlation_id, planned_at)
SELECT tieline.business_key('harvest', 0, 'time_entries', n::text, 'tryton', 'time_line', 'main', 1), 'harvest', 0,
       'time_entries', n::text, 'tryton', 'time_line', 'main', 1, 'book', 'CONFIRMED', 1, h.hash, h.hash, n::text,
       '{now}', '{now}', verdict_id, entry_id, 1, 'cleared', entity_code, period_id, project_id, seconds,
       round(seconds * 150 / 3600.0, 2), 'EUR', 1, 1, 'b', '{now}'
FROM b_line CROSS JOIN LATERAL (SELECT encode(sha256(
    key_part('person_code') || key_part(employee_code) || key_part('seconds') || key_part(seconds::text)
    || key_part('task_code') || key_part(task_code)
    || key_part('work_date') || key_part(work_date::text)), 'hex') AS hash) h;
INSERT INTO standing_sum
SELECT v.contract_id, v.currency, sum(e.amount), sum(e.seconds), true FROM effect e JOIN verdict v USING (verdict_id)
GROUP BY 1, 2;
INSERT INTO ledger_line (booked_month, booked_at, business_key, entry_id, entry_version, target_connection, target_code,
    entity_code, period_id, client_id, contract_id, contract_line_id, project_id, task_id, person_id, labor_category,
    work_date, is_billable, seconds, target_seconds, rate_amount, amount, currency, correlation_id)
SELECT '2026-11-01', '{now}', e.business_key, e.entry_id, 1, 'tryton', e.target_code, e.entity_code, e.period_id,
       v.client_id, v.contract_id, v.contract_line_id, v.project_id, v.task_id, v.person_id, '', v.work_date, true,
       e.seconds, e.seconds, 150, e.amount, 'EUR', 'b'
FROM effect e JOIN verdict v USING (verdict_id);
"""


def main() -> int:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--corruptions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with _database() as (dsns, superuser):
        figures = _measure(dsns, superuser, lines=given.lines, seed=given.seed)
        figures |= _corrupt_books(dsns, corruptions=given.corruptions, seed=given.seed)
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name}: {value}")
    is_good = not (
        figures["found_on_clean_books"]
        or figures["found_in_clean_target"]
        or figures["missed"]
        or figures["falsely_found"]
    )
    return 0 if is_good else 1


def _measure(dsns: Dsns, superuser: str, *, lines: int, seed: int) -> dict[str, object]:
    owner = Database(dsns.owner, statement_timeout_seconds=_STATEMENT_SECONDS_MAX).open()
    admin = Database(superuser, statement_timeout_seconds=_STATEMENT_SECONDS_MAX).open()
    worker = Database(dsns.worker, statement_timeout_seconds=_STATEMENT_SECONDS_MAX).open()
    with owner.transaction() as connection:
        Firm(entries=lines, seed=seed).settle(connection)
    with admin.transaction() as connection:
        connection.execute("SET LOCAL search_path = tieline")
        connection.execute(_BOOKS.format(lines=lines, now=NOW.isoformat()))
    with admin.transaction() as connection:
        connection.execute("ANALYZE")
    figures: dict[str, object] = {"lines": lines}
    found = 0
    for check in OWN_CHECKS:
        began = time.perf_counter()
        with worker.transaction() as connection:
            found += sum(each.things for each in look_at_own_books(connection, check=check))
        figures[f"{check}_seconds"] = round(time.perf_counter() - began, 2)
    began = time.perf_counter()
    with worker.transaction() as connection:
        sums = sum_currencies(connection)
    figures["sums_seconds"] = round(time.perf_counter() - began, 2)
    figures["lines_in_ledger_hours"] = sum(each.ledger_seconds for each in sums) // 3600
    figures["found_on_clean_books"] = found
    for each in (owner, admin, worker):
        each.close()
    return figures


def _corrupt_books(dsns: Dsns, *, corruptions: int, seed: int) -> dict[str, object]:
    """Put every line into the books of the sandbox, change some behind our back, and look for them."""
    worker = Database(dsns.worker, statement_timeout_seconds=_STATEMENT_SECONDS_MAX).open()
    books = Books(profile="probe", token="t", journal=io.StringIO())
    with worker.transaction() as connection:
        for number, row in enumerate(connection.execute(_LINES).fetchall(), start=1):
            line = {**row, "date": row["date"].isoformat()}
            books.lines[number] = line
    checks = LineChecks(
        database=worker, connectors=_OneConnector(_connector(books)), clock=_Clock(NOW)
    )
    began = time.perf_counter()
    checks.look(target="tryton")
    took = time.perf_counter() - began
    clean = _found(worker)
    kinds = Corruptions(books=books, chance=random.Random(seed)).make(corruptions)
    checks.look(target="tryton")
    found = _found(worker)
    with worker.transaction() as connection:
        began_at = time.perf_counter()
        checks.look(target="tryton")
        stops = len(list_stops(connection))
    worker.close()
    expected = {thing for things in kinds.values() for thing in things}
    return {
        "target_seconds": round(took, 1),
        "second_reading_seconds": round(time.perf_counter() - began_at, 1),
        "found_in_clean_target": len(clean),
        "corruptions": {kind: len(things) for kind, things in kinds.items()},
        "found": len(found & expected),
        "missed": len(expected - found),
        "falsely_found": len(found - expected),
        "scopes_stopped": stops,
        "seed": seed,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruptions:
    """What somebody may do in a target's books: one thing to each line, and which line it was."""

    books: Books
    chance: random.Random

    def make(self, many: int) -> dict[str, set[str]]:
        """Corrupt so many different lines, each kind as often; return the things that tell them."""
        numbers = self.chance.sample(sorted(self.books.lines), many)
        kinds = (self.cents, self.hours, self.day, self.project, self.person, self.delete,
                 self.double, self.double_without_key)  # fmt: skip
        told: dict[str, set[str]] = {kind.__name__: set() for kind in kinds}
        for place, number in enumerate(numbers):
            kind = kinds[place % len(kinds)]
            told[kind.__name__].add(kind(number))
        return told

    def cents(self, number: int) -> str:
        return self._change(number, seconds=self.books.lines[number]["seconds"] - 1)

    def hours(self, number: int) -> str:
        return self._change(number, seconds=self.books.lines[number]["seconds"] + 3600)

    def day(self, number: int) -> str:
        days = int(self.books.lines[number]["date"][-2:])
        return self._change(number, date=f"2026-10-{days % 31 + 1:02}")

    def project(self, number: int) -> str:
        tasks = {line["task"] for line in self.books.lines.values()}
        return self._change(number, task=min(tasks - {self.books.lines[number]["task"]}))

    def person(self, number: int) -> str:
        return self._change(number, person="nobody")

    def delete(self, number: int) -> str:
        return str(self.books.lines.pop(number)["reference"])

    def double(self, number: int) -> str:
        self.books.lines[max(self.books.lines) + 1] = dict(self.books.lines[number])
        return str(self.books.lines[number]["reference"])

    def double_without_key(self, number: int) -> str:
        twin = max(self.books.lines) + 1
        line = self.books.lines[number]
        self.books.lines[twin] = {name: line[name] for name in line if name != "reference"}
        return f"line {twin}"

    def _change(self, number: int, **changed: object) -> str:
        self.books.lines[number] = {**self.books.lines[number], **changed}
        return str(self.books.lines[number]["reference"])


@dataclass(frozen=True, slots=True)
class _OneConnector:
    connector: BooksConnector

    def get(self, *, connection_key: str) -> Any:
        return self.connector

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return manifest_of("books_probe", Strategy.PROBE_BEFORE_RETRY)


@dataclass(frozen=True, slots=True)
class _Clock:
    instant: datetime

    def now(self) -> datetime:
        return self.instant


def _connector(books: Books) -> BooksConnector:
    def answer(request: httpx.Request) -> httpx.Response:
        told = asyncio.run(
            books.answer(
                Request(
                    method=request.method,
                    target=request.url.raw_path.decode(),
                    headers={name.lower(): value for name, value in request.headers.items()},
                    body=request.content,
                )
            )
        )
        return httpx.Response(
            told.status, headers=dict(told.headers), stream=httpx.ByteStream(told.body)
        )

    connection = Connection(
        connection_key="tryton",
        base_url="http://books.test",
        config={},
        secrets={"token": "t"},
        allowed_hosts=frozenset({"books.test:80"}),
    )
    return build(connection, transport=httpx.MockTransport(answer))


def _found(worker: Database) -> set[str]:
    with worker.transaction() as connection:
        rows = connection.execute("SELECT DISTINCT thing FROM line_difference").fetchall()
    return {row["thing"] for row in rows}


@contextmanager
def _database() -> Iterator[tuple[Dsns, str]]:
    home = Path(os.environ.get(HOME_VARIABLE) or tempfile.gettempdir()) / f"checks-{os.getpid()}"
    home.mkdir(parents=True, mode=0o755)
    cluster = EmbeddedCluster(home / "pg")
    try:
        cluster.ensure_running()
        dsns = prepare_database(cluster, secrets_directory=home / "secrets")
        name = conninfo_to_dict(dsns.owner)["dbname"]
        yield dsns, make_conninfo(cluster.superuser_dsn, dbname=name)
    finally:
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

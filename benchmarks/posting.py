"""Measure what the posting protocol costs: the same lines to the same target with it and without it.

Run it with the project's Python: ``python benchmarks/posting.py --entries 20000 --erp tryton --json``.
Half of the lines go as the product sends them: intent, call, read back, record, book. A quarter goes as a script
would post the same: read what is to be sent, call, insert the same ledger line. The last quarter is the least that
can be: lines that are in memory already, call, insert of four columns. All over HTTP to a target in a process of
its own; it starts everything it needs under TIELINE_HOME.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row

from tieline.app import open_system
from tieline.canonical import TimeLineCommand
from tieline.posting.lines import RESERVE, Scope
from tieline.posting.outgoing import command_of
from tieline.proof.proving.load import NOW, Load, people_for
from tieline.proof.proving.options import ERPS, ProveOptions
from tieline.proof.proving.world import (
    FAULTS,
    TARGET,
    build_world,
    proof_directory,
    settle_world,
)
from tieline.proof.supervising import alone, fresh, refuse_a_home_in_use
from tieline.proof.town import close_town
from tieline.runtime.work import AtOnce, Done
from tieline.sdk import Receipt, WritesTimeLines
from tieline.services.system import System
from tieline.services.workday import Workday
from tieline.settings import read_settings

_OPEN = (
    "SELECT target_connection, entity_code, period_id, count(*)::int AS lines FROM effect"
    " WHERE state = 'PLANNED' GROUP BY 1, 2, 3 ORDER BY 3"
)

_LEDGER_OF_A_SCRIPT = (
    "CREATE TABLE script_ledger (business_key uuid PRIMARY KEY, work_date date, seconds integer,"
    " target_code text);"
    "CREATE TABLE script_line (LIKE tieline.ledger_line, PRIMARY KEY (business_key))"
)
_LINES_OF_A_SCRIPT = """
    SELECT e.business_key, e.entity_code, e.seconds, coalesce(e.books_on, v.work_date) AS work_date,
           n.text AS narrative, person.source_ref AS person_code, task.source_ref AS task_code
    FROM tieline.effect e
    JOIN tieline.verdict v USING (verdict_id)
    JOIN tieline.time_entry_version w ON w.entry_id = e.entry_id AND w.version = e.entry_version
    LEFT JOIN tieline.narrative n USING (narrative_id)
    JOIN tieline.crosswalk person ON person.connection_key = e.target_connection
        AND person.noun = 'employee' AND person.our_id = v.person_id
        AND person.scope = e.entity_code AND person.superseded_at IS NULL
    JOIN tieline.crosswalk task ON task.connection_key = e.target_connection
        AND task.noun = 'erp_task' AND task.our_id = v.contract_line_id AND task.superseded_at IS NULL
    WHERE e.business_key = ANY (%s)
"""
_BOOK_OF_A_SCRIPT = """
    INSERT INTO script_line (line_id, booked_month, booked_at, business_key, effect_state, entry_id,
        entry_version, target_connection, target_code, entity_code, period_id, client_id, contract_id,
        contract_line_id, project_id, task_id, person_id, labor_category, work_date, is_billable,
        seconds, target_seconds, rate_amount, amount, currency, correlation_id)
    SELECT k.line_id, date_trunc('month', now())::date, now(), e.business_key, 'CONFIRMED', e.entry_id,
           e.entry_version, e.target_connection, k.target_code, e.entity_code, e.period_id, v.client_id,
           v.contract_id, v.contract_line_id, v.project_id, v.task_id, v.person_id,
           coalesce(v.labor_category, ''), v.work_date, coalesce(v.is_billable, true), e.seconds,
           e.seconds, v.rate_amount, e.amount, e.currency, e.correlation_id
    FROM unnest(%s::uuid[], %s::text[]) WITH ORDINALITY AS k (business_key, target_code, line_id)
    JOIN tieline.effect e USING (business_key)
    JOIN tieline.verdict v USING (verdict_id)
"""


def main() -> int:
    """Measure and tell; exit 0 when every line stands once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--batch-lines", type=int, default=200)
    parser.add_argument("--erp", choices=ERPS, default=ERPS[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    settings = replace(read_settings(), business_now=NOW)
    refuse_a_home_in_use(
        settings, made_up_in=proof_directory(settings), what="benchmark", found="an installation"
    )
    settings = fresh(settings)
    with alone(settings.run_directory):
        try:
            figures = _measure(given, settings)
        finally:
            close_town(settings)
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:32} {value}")
    return 0 if figures["stands"] == figures["entries"] else 1


def _measure(given: argparse.Namespace, settings: Any) -> dict[str, Any]:
    options = ProveOptions.checked(
        profile=None, sabotage=None, is_late=False, erp=given.erp, entries=given.entries,
        kills=0, zombies=0, database_crashes=0, seed=given.seed, workers=1,
    )  # fmt: skip
    world = build_world(settings=settings, options=options, people=people_for(given.entries))
    world.target.act("faults", {"disarm": [rule["name"] for rule in FAULTS]})
    setup = world.target_setup
    world = replace(
        world,
        target_setup=replace(
            setup,
            config={**setup.config, "batch_lines_max": given.batch_lines, "timeout_seconds": 60},
        ),
    )
    system = open_system(settings)
    settle_world(world=world, system=system)
    Load(entries=given.entries, seed=given.seed, folder=world.folder).drop(given.entries)
    _land_and_judge(system, given.entries)
    scopes = _scopes(system)
    # Every second line is put aside for the scripts; the planner knows nothing of tables just filled.
    aside = _put_aside(system, scopes)
    with psycopg.connect(world.dsns.owner) as script:
        script.execute(_LEDGER_OF_A_SCRIPT)
        script.commit()
        # Whoever comes first logs in and fills the target's caches: nobody's clock runs for that.
        first, aside = aside[: given.batch_lines], aside[given.batch_lines :]
        _post_plainly(system, script, first, given.batch_lines)
        with_protocol = _post(system, scopes)
        without = _post_the_same(system, script, aside[::2], given.batch_lines)
        least = _post_plainly(system, script, aside[1::2], given.batch_lines)
    if world.erp is not None:
        world.erp.write_whole()
    posted = given.entries - len(aside) - len(first)
    return {
        "target": options.target,
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "entries": given.entries,
        "lines_per_call": given.batch_lines,
        "with_protocol_lines": posted,
        "with_protocol_seconds": f"{with_protocol:.2f}",
        "without_lines": len(aside[::2]),
        "without_seconds": f"{without:.2f}",
        "least_lines": len(aside[1::2]),
        "least_seconds": f"{least:.2f}",
        "ratio": f"{(posted / with_protocol) / (len(aside[::2]) / without):.2f}",
        "ratio_to_least": f"{(posted / with_protocol) / (len(aside[1::2]) / least):.2f}",
        "stands": world.journal.read_text(encoding="utf-8").count('"event": "stored"'),
    }


def _land_and_judge(system: System, entries: int) -> None:
    day = Workday(system=system)
    while _count(system, "SELECT count(*) AS n FROM time_entry") < entries:
        day.reading().poll_due()
    batches = "SELECT batch_id FROM intake_batch WHERE state = 'landed' ORDER BY batch_id"
    with system.database.transaction() as connection:
        subjects = [str(row["batch_id"]) for row in connection.execute(batches).fetchall()]
    for subject in subjects:
        system.time_validation.judge_batch(AtOnce(), subject)
    while not isinstance(system.time_validation.judge_waiting(AtOnce(), "all"), Done):
        continue
    planned = _count(system, "SELECT count(*) AS n FROM effect WHERE state = 'PLANNED'")
    if planned != entries:
        sys.exit(f"{planned} of {entries} hours were cleared: nothing can be compared")
    with system.database.transaction() as connection:
        connection.execute("ANALYZE")


def _scopes(system: System) -> list[Scope]:
    with system.database.transaction() as connection:
        rows = connection.execute(_OPEN).fetchall()
    return [
        Scope(target_connection=TARGET, entity_code=row["entity_code"], period_id=row["period_id"])
        for row in rows
    ]


def _put_aside(system: System, scopes: Sequence[Scope]) -> list[TimeLineCommand]:
    commands: list[TimeLineCommand] = []
    with system.database.transaction() as connection:
        for scope in scopes:
            rows = connection.execute(
                RESERVE,
                {
                    "target": scope.target_connection,
                    "entity_code": scope.entity_code,
                    "period_id": scope.period_id,
                    "limit": 10_000_000,
                },
            ).fetchall()
            commands += [command_of(row) for row in rows[::2]]
        connection.execute(
            "UPDATE effect SET due_at = clock_timestamp() + interval '1 day' WHERE business_key = ANY (%s)",
            ([command.business_key for command in commands],),
        )
    return commands


def _post(system: System, scopes: Sequence[Scope]) -> float:
    began = time.perf_counter()
    for scope in scopes:
        while True:
            sent = system.time_validation.line_poster.stretch(scope=scope, batches_max=10)
            if not sent.confirmed:
                break
    return time.perf_counter() - began


def _post_the_same(
    system: System,
    script: psycopg.Connection[Any],
    commands: Sequence[TimeLineCommand],
    batch_lines: int,
) -> float:
    """Read what is to be sent, send it, and insert the same ledger lines; nothing is noted before the call."""
    connector = cast(WritesTimeLines, system.connectors.get(connection_key=TARGET))
    keys = [command.business_key for command in commands]
    began = time.perf_counter()
    with script.cursor(row_factory=dict_row) as cursor:
        lines = [command_of(row) for row in cursor.execute(_LINES_OF_A_SCRIPT, (keys,)).fetchall()]
    for first in range(0, len(lines), batch_lines):
        batch = lines[first : first + batch_lines]
        receipts = connector.write_lines(entity_code=batch[0].entity_code, lines=batch)
        codes = [each.target_code for each in receipts if isinstance(each, Receipt)]
        script.execute(_BOOK_OF_A_SCRIPT, ([line.business_key for line in batch], codes))
        script.commit()
    return time.perf_counter() - began


def _post_plainly(
    system: System,
    script: psycopg.Connection[Any],
    commands: Sequence[TimeLineCommand],
    batch_lines: int,
) -> float:
    """Send lines that are in memory, and insert what a key would need to be found again."""
    connector = cast(WritesTimeLines, system.connectors.get(connection_key=TARGET))
    began = time.perf_counter()
    for first in range(0, len(commands), batch_lines):
        batch = commands[first : first + batch_lines]
        receipts = connector.write_lines(entity_code=batch[0].entity_code, lines=batch)
        script.cursor().executemany(
            "INSERT INTO script_ledger VALUES (%s, %s, %s, %s)",
            [
                (line.business_key, line.work_date, line.seconds, receipt.target_code)
                for line, receipt in zip(batch, receipts, strict=True)
                if isinstance(receipt, Receipt)
            ],
        )
        script.commit()
    return time.perf_counter() - began


def _count(system: System, statement: str) -> int:
    with system.database.transaction() as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row["n"])


if __name__ == "__main__":
    sys.exit(main())

"""Measure the time plane: land, judge, plan, post to a target in this process, book; and its limit.

Run it with the project's Python: ``python benchmarks/time_plane.py --entries 300000 --json``.
It starts a database of its own under TIELINE_HOME and stops and removes it at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from plane_firm import NOW, SOURCE, Firm, Hour, as_record
from plane_limit import measure_limit
from psycopg.conninfo import make_conninfo

from tieline.canonical import TimeLineCommand
from tieline.connectors.harvest.translate import mapped, translate
from tieline.intake import LandingPage, land
from tieline.kernel.errors import AlreadyExists
from tieline.ledger import plan
from tieline.posting.lines import LinePoster, Scope
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns, prepare_database
from tieline.runtime.postgres import EmbeddedCluster
from tieline.sdk import (
    Capabilities,
    LineTotal,
    RawRecord,
    Receipt,
    StoredLine,
    Translated,
    Untranslatable,
)
from tieline.sdk.capabilities import load_manifest
from tieline.services.time_validation import TimeValidation
from tieline.settings import HOME_VARIABLE
from tieline.validation import judge, mark_rejudge, next_marked

_STATEMENT_SECONDS_MAX = 3600
_STAGES = ("land", "translate", "mark", "judge", "plan", "post_and_book")
_MEGABYTE = 1024
_SWEEPS = 2
_MARKS_MAX = 2000
# Only what is filled: a server looks at a table when rows have come, never at an empty one.
_ANALYZE = (
    "ANALYZE person, employment, client, client_version, contract, contract_version, contract_line,"
    " project, project_version, task, assignment, crosswalk, fiscal_period, rule, policy_value"
)


@dataclass(frozen=True, slots=True)
class FixedClock:
    """Business time that stands still."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant


@dataclass(slots=True)
class InProcessTarget:
    """A target without HTTP: refuses a second key of a batch and forgets what was read back."""

    pending: dict[UUID, StoredLine] = field(default_factory=dict)
    lines: int = 0
    seconds: int = 0

    def write_lines(self, *, entity_code: str, lines: Sequence[TimeLineCommand]) -> list[Receipt]:
        if any(line.business_key in self.pending for line in lines):
            raise AlreadyExists("a key stands already", reason="posted.exists")
        self.pending = {line.business_key: _stored(line) for line in lines}
        self.lines += len(lines)
        self.seconds += sum(line.seconds for line in lines)
        return [Receipt(target_code=str(line.business_key)) for line in lines]

    def read_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> list[StoredLine]:
        return [self.pending[key] for key in keys if key in self.pending]

    def void_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> None:
        raise NotImplementedError("the benchmark takes nothing back")

    def line_totals(self, *, entity_code: str, starts_on: date, ends_on: date) -> list[LineTotal]:
        return [LineTotal(project_code="", seconds=self.seconds, lines=self.lines)]


@dataclass(frozen=True, slots=True)
class OneTarget:
    """The directory of connectors of this run; the target promises what Tryton's connector does."""

    target: InProcessTarget

    def get(self, *, connection_key: str) -> Any:
        return self.target

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return load_manifest("tieline.connectors.tryton")


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STAGES, 0.0))

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started

    @property
    def total(self) -> float:
        # Translating happens inside of landing.
        return sum(self.seconds.values()) - self.seconds["translate"]


class Plane:
    """The product's own verbs, one after the other, for one page at a time."""

    def __init__(self, worker: Database, *, batch_lines_max: int) -> None:
        self.worker = worker
        self.target = InProcessTarget()
        self.watch = Stopwatch()
        self.poster = LinePoster(
            database=worker,
            connectors=OneTarget(self.target),
            budgets=Budgets(database=worker),
            clock=FixedClock(NOW),
            batch_lines_max=batch_lines_max,
        )
        self._mapping = mapped({})

    def settle(self) -> None:
        """Serve what the setup asked to be looked at: posting waits for it."""
        while True:
            with self.worker.transaction() as connection:
                keys = next_marked(connection, now=NOW, limit=_MARKS_MAX)
                if not keys:
                    return
                judge(connection, neighbor_keys=keys, clock=FixedClock(NOW), correlation_id="setup")

    def run(self, page: Sequence[Hour]) -> None:
        """Take one page of hours through every stage."""
        records = [as_record(hour) for hour in page]
        with self.watch.timing("land"):
            batch_id = self._land(records)
        with self.watch.timing("mark"), self.worker.transaction() as connection:
            mark_rejudge(connection, batch_id=batch_id, correlation_id="benchmark", now=NOW)
        with self.worker.transaction() as connection:
            with self.watch.timing("judge"):
                judged = judge(
                    connection,
                    batch_id=batch_id,
                    clock=FixedClock(NOW),
                    correlation_id="benchmark",
                )
            with self.watch.timing("plan"):
                booked = plan(connection, entry_ids=judged.entry_ids, now=NOW)
        with self.watch.timing("post_and_book"):
            for each in booked.scopes:
                self._post(
                    Scope(
                        target_connection=each.target_connection,
                        entity_code=each.entity_code,
                        period_id=each.period_id,
                    )
                )

    def sweep(self) -> list[float]:
        """Return the seconds of the safety net that runs every few seconds, run after run."""
        flow = TimeValidation(database=self.worker, line_poster=self.poster, clock=FixedClock(NOW))
        seconds = []
        for _ in range(_SWEEPS):
            started = time.perf_counter()
            flow.schedule_waiting()
            seconds.append(round(time.perf_counter() - started, 3))
        return seconds

    def _land(self, records: Sequence[RawRecord]) -> int:
        page = LandingPage(
            connection_key=SOURCE,
            source_epoch=0,
            stream="time_entries",
            kind="poll",
            records=records,
            cursor=None,
            correlation_id="benchmark",
        )
        landed = land(
            self.worker, page=page, translate=self._translate, material_key=b"k" * 32, now=NOW
        )
        return landed.batch_id

    def _translate(self, record: RawRecord) -> Translated | Untranslatable:
        started = time.perf_counter()
        result = translate(record=record, mapping=self._mapping)
        self.watch.seconds["translate"] += time.perf_counter() - started
        return result

    def _post(self, scope: Scope) -> None:
        while self.poster.round(scope=scope).wait_seconds is not None:
            pass


def _stored(line: TimeLineCommand) -> StoredLine:
    return StoredLine(
        business_key=line.business_key,
        target_code=str(line.business_key),
        entity_code=line.entity_code,
        person_code=line.person_code,
        task_code=line.task_code,
        work_date=line.work_date,
        seconds=line.seconds,
        invoice_code=None,
    )


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run product and limit in one cluster and return every figure."""
    firm = Firm(entries=arguments.entries, seed=arguments.seed)
    with _cluster() as (cluster, dsns):
        product = _measure_product(firm, dsns, arguments)
        with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
            admin.execute("CREATE DATABASE plane_limit")
            machine = _machine(admin)
        limit_dsn = make_conninfo(cluster.superuser_dsn, dbname="plane_limit")
        limit = measure_limit(limit_dsn, firm=firm, page_rows=arguments.page_rows)
    return {
        "entries": firm.entries,
        "seed": firm.seed,
        "page_rows": arguments.page_rows,
        "batch_lines_max": arguments.batch_lines_max,
        "people": firm.people,
        "projects": firm.projects,
        "rules": product.pop("rules"),
        "ratio_to_limit_one_connection": round(
            product["entries_per_second"] / limit["entries_per_second"], 3
        ),
        "product": product,
        "limit": limit,
        "machine": machine,
    }


def _measure_product(firm: Firm, dsns: Dsns, arguments: argparse.Namespace) -> dict[str, Any]:
    owner = Database(dsns.owner, pool_max=1, application_name="benchmark-owner").open()
    # One connection: what the product does here, it does one thing after the other.
    worker = Database(
        dsns.worker,
        pool_max=1,
        application_name="benchmark",
        statement_timeout_seconds=_STATEMENT_SECONDS_MAX,
    ).open()
    try:
        with owner.transaction() as connection:
            firm.settle(connection)
        with psycopg.connect(dsns.owner, autocommit=True) as connection:
            connection.execute(_ANALYZE)
        plane = Plane(worker, batch_lines_max=arguments.batch_lines_max)
        plane.settle()
        page_seconds = _run_pages(plane, firm, page_rows=arguments.page_rows)
        sweep_seconds = plane.sweep()
        with worker.transaction() as connection:
            outcome = _outcome(connection, plane.target)
    finally:
        worker.close()
        owner.close()
    total = plane.watch.total
    return {
        "stage_seconds": {name: round(value, 3) for name, value in plane.watch.seconds.items()},
        "stage_microseconds_per_entry": {
            name: round(value / firm.entries * 1_000_000, 1)
            for name, value in plane.watch.seconds.items()
        },
        "seconds_total": round(total, 3),
        "entries_per_second": round(firm.entries / total),
        **_growth(page_seconds),
        "sweep_seconds": sweep_seconds,
        "peak_memory_megabytes": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE
        ),
        **outcome,
    }


def _run_pages(plane: Plane, firm: Firm, *, page_rows: int) -> list[float]:
    """Return the microseconds per entry of each page in turn."""
    microseconds = []
    for number, page in enumerate(firm.pages(rows=page_rows)):
        before = plane.watch.total
        plane.run(page)
        microseconds.append((plane.watch.total - before) / len(page) * 1_000_000)
        print(f"page {number + 1}: {microseconds[-1]:.0f} microseconds per entry", file=sys.stderr)
    return microseconds


def _growth(microseconds: Sequence[float]) -> dict[str, Any]:
    # The last page may be short; the second to last of a long run is a full one.
    tenth = max(1, len(microseconds) // 10)
    first, last = microseconds[:tenth], microseconds[-tenth:]
    return {
        "first_pages_microseconds_per_entry": round(sum(first) / tenth, 1),
        "last_pages_microseconds_per_entry": round(sum(last) / tenth, 1),
    }


def _outcome(
    connection: psycopg.Connection[dict[str, Any]], target: InProcessTarget
) -> dict[str, Any]:
    """Count what became of the hours; the sums must agree with what the target was given."""
    places = {
        row["place"]: {"entries": row["entries"], "seconds": row["seconds"]}
        for row in connection.execute(
            "SELECT place, count(*)::int AS entries, sum(seconds)::bigint AS seconds"
            " FROM entry_place GROUP BY place ORDER BY place"
        ).fetchall()
    }
    ledger = connection.execute(
        "SELECT count(*)::int AS lines, coalesce(sum(target_seconds), 0)::bigint AS seconds"
        " FROM ledger_line"
    ).fetchone()
    rules = connection.execute(
        "SELECT count(*)::int AS rules FROM rule JOIN release USING (release_id)"
        " WHERE release.state = 'current' AND book = 'time'"
    ).fetchone()
    size = connection.execute("SELECT pg_database_size(current_database()) AS bytes").fetchone()
    assert ledger is not None
    assert rules is not None
    assert size is not None
    posted = places.get("posted", {"entries": 0, "seconds": 0})
    return {
        "places": places,
        "ledger_lines": ledger["lines"],
        "ledger_seconds": int(ledger["seconds"]),
        "target_lines": target.lines,
        "target_seconds": target.seconds,
        "conservation_gap_seconds": abs(posted["seconds"] - target.seconds)
        + abs(int(ledger["seconds"]) - target.seconds),
        "database_megabytes": round(size["bytes"] / _MEGABYTE / _MEGABYTE),
        "rules": rules["rules"],
    }


@contextmanager
def _cluster() -> Iterator[tuple[EmbeddedCluster, Dsns]]:
    home = Path(os.environ.get(HOME_VARIABLE) or tempfile.gettempdir())
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="time-plane-", dir=home))
    folder.chmod(0o755)
    cluster = EmbeddedCluster(folder / "pg")
    try:
        cluster.ensure_running()
        yield cluster, prepare_database(cluster, secrets_directory=folder / "secrets")
    finally:
        data = cluster.data_directory
        cluster.stop()
        shutil.rmtree(cluster.socket_directory, ignore_errors=True)
        if folder not in data.parents:
            shutil.rmtree(data.parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _machine(admin: psycopg.Connection[Any]) -> dict[str, Any]:
    settings = {}
    for name in (
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "shared_buffers",
        "data_checksums",
    ):
        row = admin.execute("SELECT current_setting(%s)", (name,)).fetchone()
        settings[name] = row[0] if row else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_megabytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2,
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgresql": admin.info.parameter_status("server_version"),
        "load_before_one_minute": round(os.getloadavg()[0], 2),
        **settings,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _print_table(figures: dict[str, Any]) -> None:
    product, limit = figures["product"], figures["limit"]
    for name, value in product["stage_seconds"].items():
        per_entry = product["stage_microseconds_per_entry"][name]
        print(f"{name:>16} {value:10.3f} s {per_entry:8.1f} microseconds per entry")
    print(
        f"{'product':>16} {product['seconds_total']:10.3f} s {product['entries_per_second']:8} /s"
    )
    print(f"{'limit':>16} {limit['seconds_total']:10.3f} s {limit['entries_per_second']:8} /s")
    print(f"ratio to the limit on one connection: {figures['ratio_to_limit_one_connection']}")
    print(json.dumps({key: product[key] for key in ("places", "conservation_gap_seconds")}))
    print(json.dumps(figures["machine"]))


def main() -> None:
    """Parse the command line, measure, print; exit 1 where an hour did not get where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page-rows", type=int, default=5_000)
    parser.add_argument("--batch-lines-max", type=int, default=5_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        _print_table(figures)
    product = figures["product"]
    is_complete = (
        product["conservation_gap_seconds"] == 0
        and "pending" not in product["places"]
        and product["target_lines"] == product["ledger_lines"] == figures["limit"]["ledger_lines"]
    )
    sys.exit(0 if is_complete else 1)


if __name__ == "__main__":
    main()

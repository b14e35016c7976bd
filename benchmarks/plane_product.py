"""The product as the benchmark runs it: its own verbs, a target in this process, and what came of the hours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
from plane_firm import NOW, SOURCE, Firm, Hour, as_record

from tieline.canonical import TimeLineCommand
from tieline.connectors.harvest.translate import mapped, translate
from tieline.intake import LandingPage, land
from tieline.kernel.errors import AlreadyExists
from tieline.ledger import Booked, ScopeWeight, plan
from tieline.posting.lines import LinePoster, Scope, Sent
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
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
from tieline.validation import judge, mark_rejudge, next_marked

STATEMENT_SECONDS_MAX = 3600
_STAGES = ("land", "translate", "mark", "judge", "plan", "post_and_book")
_MEGABYTE = 1024
_SWEEPS = 2
# As a worker posts.
_BATCHES_OF_A_STRETCH = 10
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


# Read once, as the product's own directory does.
_CAPABILITIES = load_manifest("tieline.connectors.tryton")


@dataclass(frozen=True, slots=True)
class OneTarget:
    """The directory of connectors of this run; the target promises what Tryton's connector does."""

    target: InProcessTarget

    def get(self, *, connection_key: str) -> Any:
        return self.target

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return _CAPABILITIES


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
        for scope in self.decide(self.take_in(page)).scopes:
            self.post(scope_of(scope))

    def take_in(self, page: Sequence[Hour]) -> int:
        """Land one page and mark its neighbors; return the batch."""
        records = [as_record(hour) for hour in page]
        with self.watch.timing("land"):
            batch_id = self._land(records)
        with self.watch.timing("mark"), self.worker.transaction() as connection:
            mark_rejudge(connection, batch_id=batch_id, correlation_id="benchmark", now=NOW)
        return batch_id

    def decide(self, batch_id: int) -> Booked:
        """Judge a batch and plan what its verdicts ask for."""
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
            connection.execute(
                "UPDATE intake_batch SET state = 'judged' WHERE batch_id = %s", (batch_id,)
            )
        return booked

    def post(self, scope: Scope) -> None:
        """Post and book a scope until nothing of it is left."""
        with self.watch.timing("post_and_book"):
            while self._stretch(scope).wait_seconds is not None:
                pass

    def _stretch(self, scope: Scope) -> Sent:
        return self.poster.stretch(scope=scope, batches_max=_BATCHES_OF_A_STRETCH)

    def sweep(self) -> list[float]:
        """Return the seconds of the safety net that runs every few seconds, run after run."""
        flow = TimeValidation(database=self.worker, line_poster=self.poster, clock=FixedClock(NOW))
        seconds = []
        for _ in range(_SWEEPS):
            started = time.perf_counter()
            flow.plan_left_out()
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


def scope_of(weight: ScopeWeight) -> Scope:
    """Return where lines go that were planned."""
    return Scope(
        target_connection=weight.target_connection,
        entity_code=weight.entity_code,
        period_id=weight.period_id,
    )


@contextmanager
def opened_worker(dsns: Dsns, *, name: str = "benchmark") -> Iterator[Database]:
    """Open one connection of the worker: what a process does here, it does one thing after the other."""
    worker = Database(
        dsns.worker,
        pool_max=1,
        application_name=name,
        statement_timeout_seconds=STATEMENT_SECONDS_MAX,
    ).open()
    try:
        yield worker
    finally:
        worker.close()


def settle_firm(firm: Firm, dsns: Dsns) -> None:
    """Insert the master data, approve the shipped rules, and serve the marks that this leaves."""
    owner = Database(dsns.owner, pool_max=1, application_name="benchmark-owner").open()
    try:
        with owner.transaction() as connection:
            firm.settle(connection)
    finally:
        owner.close()
    with psycopg.connect(dsns.owner, autocommit=True) as connection:
        connection.execute(_ANALYZE)


def outcome_of(
    connection: psycopg.Connection[dict[str, Any]], *, target_lines: int, target_seconds: int
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
        "target_lines": target_lines,
        "target_seconds": target_seconds,
        "conservation_gap_seconds": abs(posted["seconds"] - target_seconds)
        + abs(int(ledger["seconds"]) - target_seconds),
        "database_megabytes": round(size["bytes"] / _MEGABYTE / _MEGABYTE),
        "rules": rules["rules"],
    }

"""What the workers do all day: the handlers of durable work and the jobs on a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from tieline.casework import close_absent, open_case
from tieline.kernel.cases import CaseRequest
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import BILLING, PROVISIONING, Handler, schedule
from tieline.runtime.worker import Job
from tieline.services.client_sync import sync_clients
from tieline.services.invoice_readiness import compute_readiness
from tieline.services.invoicing import DRAFT_INVOICE, Invoicing
from tieline.services.project_provisioning import PROVISION, Provisioning, plan_deals
from tieline.services.reading import Reading
from tieline.services.resource_assignment import sync_people
from tieline.services.system import System
from tieline.services.time_validation import JUDGE_BATCH, JUDGE_WAITING, POST_LINES

CLASSES: Mapping[str, int] = {
    JUDGE_BATCH: BILLING,
    JUDGE_WAITING: BILLING,
    POST_LINES: BILLING,
    DRAFT_INVOICE: BILLING,
    PROVISION: PROVISIONING,
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workday:
    """Bind the services of one process to its work."""

    system: System

    def handlers(self) -> dict[str, Handler]:
        """Return the handler of each kind of durable work."""
        time_validation = self.system.time_validation
        return {
            JUDGE_BATCH: time_validation.judge_batch,
            JUDGE_WAITING: time_validation.judge_waiting,
            POST_LINES: time_validation.post_lines,
            DRAFT_INVOICE: self._invoicing().draft,
            PROVISION: self._provisioning().provision,
        }

    def jobs(self) -> Sequence[Job]:
        """Return what runs on a schedule, one worker at a time."""
        reading = Reading(
            database=self.system.database,
            connectors=self.system.connectors,
            reader=self.system.reader,
            time_validation=self.system.time_validation,
            clock=self.system.clock,
        )
        return (
            Job(name="poll", interval_seconds=1, function=reading.poll_due),
            Job(name="whole", interval_seconds=3, function=reading.read_whole),
            Job(name="register", interval_seconds=2, function=self.keep_register),
            Job(
                name="time",
                interval_seconds=2,
                function=self.system.time_validation.schedule_waiting,
            ),
            Job(name="readiness", interval_seconds=10, function=self.keep_readiness),
        )

    def keep_register(self) -> None:
        """Bring clients, people and plans in line with what was read."""
        correlation_id = new_correlation_id()
        now = self.system.clock.now()
        clients = sync_clients(self.system.database, now=now, correlation_id=correlation_id)
        people = sync_people(self.system.database, now=now, correlation_id=correlation_id)
        plans = plan_deals(self.system.database, now=now)
        with self.system.database.transaction() as connection:
            for requests in (clients.cases, people.cases, plans.cases):
                self._keep_cases(connection, requests, correlation_id)
            for plan_id in plans.ready:
                schedule(
                    connection,
                    kind=PROVISION,
                    subject=str(plan_id),
                    work_class=PROVISIONING,
                    correlation_id=correlation_id,
                )

    def keep_readiness(self) -> None:
        """Compute what stands between each contract and its invoice."""
        with self.system.database.transaction() as connection:
            compute_readiness(
                connection, connectors=self.system.connectors, now=self.system.clock.now()
            )

    def _provisioning(self) -> Provisioning:
        return Provisioning(
            database=self.system.database, poster=self.system.poster, clock=self.system.clock
        )

    def _invoicing(self) -> Invoicing:
        return Invoicing(
            database=self.system.database,
            connectors=self.system.connectors,
            clock=self.system.clock,
        )

    def _keep_cases(
        self, connection: Connection[Row], requests: Sequence[CaseRequest], correlation_id: str
    ) -> None:
        now = self.system.clock.now()
        for request in requests:
            open_case(connection, request=request, now=now, correlation_id=correlation_id)
        by_reason: dict[str, list[str]] = {}
        for request in requests:
            by_reason.setdefault(request.reason, []).append(request.thing_key)
        for reason, keys in by_reason.items():
            close_absent(connection, reason=reason, still_there=keys, now=now)

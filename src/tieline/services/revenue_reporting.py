"""Tell the CRM what became of its deals and accounts in money: only what changed, each change once.

Pattern: scheduled, durable per project and per client. Target: in the CRM within ten minutes. Vendor calls: one write
and one read-back per deal and account whose figures changed. A lost answer is asked for before the next is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import StatusCommand
from tieline.kernel.clock import Clock
from tieline.posting import Confirmed, Conflicted, Poster, Rejected, Waiting
from tieline.runtime.database import Database
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import REFERENCE, Again, Done, Failed, Outcome, Steps, schedule
from tieline.sdk import Capabilities
from tieline.services.revenue_commands import StatusWrite, account_writes, deal_writes
from tieline.services.revenue_status import compute

REPORT_REVENUE = "report_revenue"
REPORT_ACCOUNT = "report_account"

Row = dict[str, Any]
Find = Callable[[Connection[Row]], Sequence[StatusWrite]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueReporting:
    """The schedule that measures, and the durable handlers that tell."""

    database: Database
    poster: Poster
    clock: Clock
    reporting_currency: str | None = None

    def keep_revenue(self) -> None:
        """Measure every project, and ask that what changed be told."""
        correlation_id = new_correlation_id()
        takers = self._takers()
        with self.database.transaction() as connection:
            compute(connection, now=self.clock.now())
            writes = {
                REPORT_REVENUE: deal_writes(connection, correlation_id=correlation_id),
                REPORT_ACCOUNT: self._account_writes(connection, takers, correlation_id),
            }
            for kind, some in writes.items():
                for subject in sorted({str(write.subject_id) for write in some}):
                    schedule(
                        connection,
                        kind=kind,
                        subject=subject,
                        work_class=REFERENCE,
                        correlation_id=correlation_id,
                    )

    def report(self, steps: Steps, subject: str) -> Outcome:
        """Tell one project's figures to its deal."""
        project_id, correlation_id = UUID(subject), f"revenue:{subject}"
        return self._report(
            steps,
            lambda connection: deal_writes(
                connection, correlation_id=correlation_id, project_id=project_id
            ),
        )

    def report_account(self, steps: Steps, subject: str) -> Outcome:
        """Tell one client's figures to its account."""
        takers = self._takers()
        return self._report(
            steps,
            lambda connection: self._account_writes(
                connection, takers, f"revenue:{subject}", client_id=UUID(subject)
            ),
        )

    def _account_writes(
        self,
        connection: Connection[Row],
        takers: Mapping[str, str],
        correlation_id: str,
        client_id: UUID | None = None,
    ) -> Sequence[StatusWrite]:
        return account_writes(
            connection,
            takers=takers,
            reporting_currency=self.reporting_currency,
            now=self.clock.now(),
            correlation_id=correlation_id,
            client_id=client_id,
        )

    def _takers(self) -> Mapping[str, str]:
        with self.database.transaction() as connection:
            keys = [
                row["connection_key"]
                for row in connection.execute(
                    "SELECT connection_key FROM connection WHERE kind = 'crm' ORDER BY 1"
                ).fetchall()
            ]
        told = {key: _account_object(self._capabilities(key)) for key in keys}
        return {key: name for key, name in told.items() if name is not None}

    def _capabilities(self, connection_key: str) -> Capabilities:
        return self.poster.connectors.capabilities(connection_key=connection_key)

    def _report(self, steps: Steps, find: Find) -> Outcome:
        answer = steps.run("report", lambda: self._tell(find))
        if answer["due_in_seconds"]:
            return Again(due_in_seconds=answer["due_in_seconds"])
        return Failed(answer["message"]) if answer["message"] else Done()

    def _tell(self, find: Find) -> dict[str, Any]:
        with self.database.transaction() as connection:
            writes = find(connection)
        refusals = []
        for write in writes:
            result = self.poster.post(request=write.request, build=write.build)
            match result:
                case Waiting():
                    return {"due_in_seconds": max(result.due_in_seconds, 1), "message": ""}
                case Rejected() | Conflicted():
                    refusals.append(result.message)
                case Confirmed():
                    pass
        return {"due_in_seconds": 0, "message": "; ".join(refusals)}


def _account_object(capabilities: Capabilities) -> str | None:
    """Return what a system calls its accounts, where it takes figures of them."""
    taken = {
        name
        for write in capabilities.writes
        if write.noun == StatusCommand.noun
        for name in write.fields
    }
    names = (each.name for each in capabilities.streams if each.noun == "client")
    return next((name for name in names if name in taken), None)

"""Tell the CRM what became of its deals in money: only what changed, each change once.

Pattern: scheduled, durable per project. Target: in the CRM within ten minutes. Vendor calls: one write
and one read-back per project whose figures changed. A lost answer is asked for before the next is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tieline.kernel.clock import Clock
from tieline.posting import Confirmed, Conflicted, Poster, Rejected, Waiting
from tieline.runtime.database import Database
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import REFERENCE, Again, Done, Failed, Outcome, Steps, schedule
from tieline.services.revenue_status import StatusWrite, compute, status_commands

REPORT_REVENUE = "report_revenue"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueReporting:
    """The schedule that measures, and the durable handler that tells."""

    database: Database
    poster: Poster
    clock: Clock

    def keep_revenue(self) -> None:
        """Measure every project, and ask that what changed be told."""
        correlation_id = new_correlation_id()
        with self.database.transaction() as connection:
            compute(connection, now=self.clock.now())
            writes = status_commands(connection, correlation_id=correlation_id)
            for project_id in sorted({str(write.request.project_id) for write in writes}):
                schedule(
                    connection,
                    kind=REPORT_REVENUE,
                    subject=project_id,
                    work_class=REFERENCE,
                    correlation_id=correlation_id,
                )

    def report(self, steps: Steps, subject: str) -> Outcome:
        """Tell one project's figures."""
        answer = steps.run("report", lambda: self._report(UUID(subject)))
        if answer["due_in_seconds"]:
            return Again(due_in_seconds=answer["due_in_seconds"])
        return Failed(answer["message"]) if answer["message"] else Done()

    def _report(self, project_id: UUID) -> dict[str, Any]:
        with self.database.transaction() as connection:
            writes = status_commands(
                connection, correlation_id=f"revenue:{project_id}", project_id=project_id
            )
        refusals = []
        for write in writes:
            result = self._told(write)
            match result:
                case Waiting():
                    return {"due_in_seconds": max(result.due_in_seconds, 1), "message": ""}
                case Rejected() | Conflicted():
                    refusals.append(result.message)
                case Confirmed():
                    pass
        return {"due_in_seconds": 0, "message": "; ".join(refusals)}

    def _told(self, write: StatusWrite) -> Confirmed | Waiting | Rejected | Conflicted:
        return self.poster.post(request=write.request, build=write.build)

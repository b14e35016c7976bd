"""Have invoices drafted: ask in one transaction, and let a worker bring it about.

Pattern: asked for by a person, durable. Target: drafted within a minute. Vendor calls: one draft and
one read-back per invoice. A lost run asks the ERP what stands before it sends anything again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.clock import Clock
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.work import BILLING, Again, Done, Failed, Outcome, Steps, schedule
from tieline.sdk.directory import Connectors
from tieline.services.readiness_drafting import Drafted, draft_invoice

DRAFT_INVOICE = "draft_invoice"
_NOTHING = "invoice.nothing_to_bill"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoicing:
    """The durable handler of invoices."""

    database: Database
    connectors: Connectors
    clock: Clock

    def draft(self, steps: Steps, subject: str) -> Outcome:
        """Draft the invoice of one released contract and period."""
        answer = steps.run("draft", lambda: self._draft(subject))
        if answer["due_in_seconds"]:
            return Again(due_in_seconds=answer["due_in_seconds"])
        if answer["reason"] in ("", _NOTHING):
            return Done()
        return Failed(f"{answer['reason']}: {answer['message']}")

    def _draft(self, subject: str) -> dict[str, Any]:
        contract_id, _, period_id = subject.partition("|")
        outcome = draft_invoice(
            self.database,
            self.connectors,
            contract_id=UUID(contract_id),
            period_id=UUID(period_id),
            now=self.clock.now(),
            correlation_id=f"invoice:{contract_id}",
        )
        if isinstance(outcome, Drafted):
            return {"due_in_seconds": 0, "reason": "", "message": ""}
        return {
            "due_in_seconds": outcome.due_in_seconds,
            "reason": outcome.reason,
            "message": outcome.message,
        }


def ask_for_invoice(
    connection: Connection[Row], *, contract_id: UUID, period_id: UUID, correlation_id: str
) -> None:
    """Ask that the invoice of a released contract be drafted.

    :raises UserMistake: the contract is not released for the period.
    """
    lock = connection.execute(
        "SELECT 1 AS one FROM release_lock WHERE (contract_id, period_id) = (%s, %s)"
        " AND unlocked_at IS NULL",
        (contract_id, period_id),
    ).fetchone()
    if lock is None:
        raise UserMistake("release the contract for this period first")
    schedule(
        connection,
        kind=DRAFT_INVOICE,
        subject=f"{contract_id}|{period_id}",
        work_class=BILLING,
        correlation_id=correlation_id,
    )


def list_invoices(
    connection: Connection[Row], *, contract_id: UUID, period_id: UUID
) -> tuple[list[Row], bool]:
    """Return the invoices of a contract's period, and whether they are all: it is released until the last one stands."""
    rows = connection.execute(
        "SELECT target_connection, target_code, number, state, currency, untaxed_amount,"
        " mismatch_amount FROM invoice_record WHERE (contract_id, period_id) = (%s, %s)"
        " ORDER BY recorded_at",
        (contract_id, period_id),
    ).fetchall()
    released = connection.execute(
        "SELECT 1 AS one FROM release_lock WHERE (contract_id, period_id) = (%s, %s)"
        " AND unlocked_at IS NULL",
        (contract_id, period_id),
    ).fetchone()
    return rows, bool(rows) and released is None


def find_contract_period(
    connection: Connection[Row], *, contract: str, period_code: str
) -> tuple[UUID, UUID] | None:
    """Return the ids of a contract, named by code or id, and of its period; None out of sight."""
    row = connection.execute(
        """
        SELECT c.contract_id, p.period_id FROM contract c
        JOIN fiscal_period p ON p.entity_code = c.entity_code AND p.period_code = %(period_code)s
        WHERE %(contract)s IN (c.contract_code, c.contract_id::text)
        ORDER BY c.contract_id LIMIT 1
        """,
        {"contract": contract, "period_code": period_code},
    ).fetchone()
    return None if row is None else (row["contract_id"], row["period_id"])

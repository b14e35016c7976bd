"""Press the buttons of the close: release what is due, let the ERP draft, compare to the cent."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import date
from uuid import UUID

from tieline.kernel.errors import TryAgain
from tieline.services.forecast import read_outlook
from tieline.services.invoice_readiness import compute_readiness, list_readiness, release_contract
from tieline.services.readiness_drafting import Drafted, NotDrafted, draft_invoice
from tieline.services.system import System

_TRIES_MAX = 20
# What was posted for an earlier month is otherwise now: it is agreed on before it is billed.
_CHANGED = "readiness.late_hours_open"
_CARRY = "held hours are carried to the next cycle"
Progress = Callable[[str], None]


def release_and_draft(
    *,
    system: System,
    month: date,
    contract_codes: Collection[str],
    contracts_left: int,
    progress: Progress,
) -> int:
    """Release those of the contracts that have something to bill for the month, and draft their invoices.

    The last ``contracts_left`` are left for a person to release.
    """
    now = system.clock.now()
    with system.database.transaction() as connection:
        outlook = read_outlook(connection, systems=system.systems)
        compute_readiness(connection, connectors=system.connectors, outlook=outlook, now=now)
        due = [
            row
            for row in list_readiness(connection, period_code=f"{month:%Y-%m}")
            if row.state in ("ready", "at_risk", "blocked")
            and row.expected_amount
            and row.contract_code in contract_codes
            and not any(blocker["code"] == _CHANGED for blocker in row.blockers)
        ]
    due = due[: len(due) - contracts_left]
    for row in due:
        release_contract(
            system.database,
            contract_id=row.contract_id,
            period_id=row.period_id,
            by="controller",
            carry_reason=None if row.state == "ready" else _CARRY,
            now=now,
        )
        drafted = _draft(system, row.contract_id, row.period_id)
        progress(
            f"  {row.contract_code}: {row.expected_amount} {row.currency} expected,"
            f" {drafted.untaxed_amount} drafted"
        )
    return len(due)


def _draft(system: System, contract_id: UUID, period_id: UUID) -> Drafted:
    for _ in range(_TRIES_MAX):
        outcome = draft_invoice(
            system.database,
            system.connectors,
            contract_id=contract_id,
            period_id=period_id,
            now=system.clock.now(),
            correlation_id=f"invoice:{contract_id}",
        )
        match outcome:
            case Drafted():
                return outcome
            case NotDrafted(due_in_seconds=0):
                raise TryAgain(f"the invoice was not drafted: {outcome.message}")
            case NotDrafted():
                time.sleep(min(5, outcome.due_in_seconds))
    raise TryAgain(f"the invoice of contract {contract_id} was not drafted in {_TRIES_MAX} tries")

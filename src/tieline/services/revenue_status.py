"""Business service: per project what was earned, billed, waits to be billed and is still sold.

Pattern: recomputed as a set after posting and invoicing; changed values go back to the CRM.
Target: in the CRM within ten minutes. Vendor calls: one write and one read-back per project whose
figures changed. Every figure carries its as-of instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.runtime.sql import load

_FIGURES = load("tieline.services", "revenue_figures")
_COMPUTE = load("tieline.services", "revenue_compute").replace("{figures}", _FIGURES)
_REPORT = load("tieline.services", "revenue_report").replace("{figures}", _FIGURES)
SUMMED_BY = ("project", "contract", "client", "practice", "entity")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueStatus:
    """One project's figures, true up to ``as_of``; amounts are in the contract's currency.

    What is None nobody can tell, such as a share of the cost where a cost is missing.
    """

    project_id: UUID
    project_code: str
    contract_id: UUID
    entity_code: str
    as_of: datetime
    changed_at: datetime
    currency: str
    contract_amount: Decimal | None
    recognition: str | None
    earned_amount: Decimal | None
    wip_amount: Decimal | None
    billed_amount: Decimal
    deferred_amount: Decimal | None
    backlog_amount: Decimal | None
    funded_amount: Decimal | None
    posted_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevenueSum:
    """What projects came to, in one currency; what is None nobody can tell of all of them.

    ``cost_rates`` are the rates of exchange of costs in other currencies, each of the day worked. What the ERP billed is ``billed_amount``: our ledger's, what the ERP's rounding adds, and what nobody
    explained yet.
    """

    name: str
    currency: str
    projects: int
    recognition: tuple[str, ...]
    contract_amount: Decimal | None
    earned_amount: Decimal | None
    wip_amount: Decimal | None
    billed_amount: Decimal
    deferred_amount: Decimal | None
    backlog_amount: Decimal | None
    funded_amount: Decimal | None
    unfunded_amount: Decimal | None
    cost_amount: Decimal | None
    margin_amount: Decimal | None
    cost_rates: tuple[str, ...]
    ledger_seconds: int
    erp_seconds: int
    ledger_billed_amount: Decimal
    rounding_amount: Decimal
    unexplained_amount: Decimal


def compute(connection: Connection[Row], *, now: datetime) -> int:
    """Measure every project; return for how many the figures changed."""
    rows = connection.execute(_COMPUTE, {"at": now, "with_cost": False}).fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO revenue_status (project_id, changed_at, as_of, entity_code, contract_id,
                currency, contract_amount, earned_amount, wip_amount, billed_amount,
                deferred_amount, backlog_amount, posted_seconds, recognition, funded_amount, is_newest)
            VALUES (%(project_id)s, %(now)s, %(now)s, %(entity_code)s, %(contract_id)s,
                %(currency)s, %(contract_amount)s, %(earned)s, %(wip)s, %(billed)s, %(deferred)s,
                %(backlog)s, %(seconds)s, %(recognition)s, %(funded)s, true)
            ON CONFLICT (project_id, changed_at) DO UPDATE SET
                currency = excluded.currency, contract_amount = excluded.contract_amount,
                earned_amount = excluded.earned_amount, wip_amount = excluded.wip_amount,
                billed_amount = excluded.billed_amount,
                deferred_amount = excluded.deferred_amount,
                backlog_amount = excluded.backlog_amount,
                posted_seconds = excluded.posted_seconds, recognition = excluded.recognition,
                funded_amount = excluded.funded_amount
            """,
            [{**row, "now": now} for row in rows],
        )
    return len(rows)


def list_revenue_status(
    connection: Connection[Row], *, entity_code: str | None = None
) -> tuple[RevenueStatus, ...]:
    """List the newest figures per project, in sight of the caller."""
    rows = connection.execute(
        """
        SELECT r.project_id, j.project_code, r.contract_id, r.entity_code, r.as_of, r.changed_at,
               r.currency, r.contract_amount, r.earned_amount, r.wip_amount, r.billed_amount,
               r.deferred_amount, r.backlog_amount, r.posted_seconds, r.recognition, r.funded_amount
        FROM revenue_status r JOIN project j USING (project_id)
        WHERE r.is_newest AND (%(entity_code)s::text IS NULL OR r.entity_code = %(entity_code)s)
        ORDER BY r.entity_code, j.project_code
        """,
        {"entity_code": entity_code},
    ).fetchall()
    return tuple(RevenueStatus(**row) for row in rows)


def sum_revenue(
    connection: Connection[Row], *, at: datetime, by: str, entity_code: str | None = None
) -> tuple[RevenueSum, ...]:
    """Sum what projects came to at an instant, by what was known then.

    It reads what hours cost: only for who may see that.

    :raises UserMistake: nothing is summed by that.
    """
    if by not in SUMMED_BY:
        raise UserMistake(f"revenue is summed by {', '.join(SUMMED_BY)}, not by {by}")
    rows = connection.execute(
        _REPORT, {"at": at, "by": by, "entity_code": entity_code, "with_cost": True}
    ).fetchall()
    arrays = ("recognition", "cost_rates")
    return tuple(
        RevenueSum(**{**row, **{name: tuple(row[name]) for name in arrays}}) for row in rows
    )

"""What stands on each purchase order, and what one company of the firm owes another.

Pattern: one read. Vendor calls: none. The order of an hour is that which holds as known now, so that a
client's change of an order moves what is listed. A leg is expected by transfer price and told by finance: the
product writes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, LiteralString

from psycopg import Connection

LIST_MAX = 1000
Row = dict[str, Any]

_ORDERS: LiteralString = """
    WITH asked AS (
        SELECT o.*, c.contract_code, c.entity_code FROM purchase_order o JOIN contract c USING (contract_id)
        WHERE o.superseded_at IS NULL AND (%(contract)s::text IS NULL OR c.contract_code = %(contract)s)
    ), spent AS (
        SELECT l.contract_id, coalesce(t.task_name, '') AS task_name, l.work_date,
               CASE WHEN i.state IN ('posted', 'paid') THEN 'invoiced' WHEN i.state IS NOT NULL THEN 'drafted'
                    ELSE 'posted' END AS place,
               sum(l.amount) AS amount
        FROM ledger_line l
        LEFT JOIN task t ON t.task_id = l.task_id
        LEFT JOIN invoice_ledger_line b ON b.business_key = l.business_key
        LEFT JOIN invoice_record i ON i.invoice_id = b.invoice_id
        WHERE l.contract_id IN (SELECT contract_id FROM asked) AND l.is_billable
        GROUP BY 1, 2, 3, 4
    ), waiting AS (
        SELECT v.contract_id, coalesce(t.task_name, '') AS task_name, v.work_date, 'unposted' AS place,
               sum(v.amount) AS amount
        FROM entry_place e JOIN verdict v USING (verdict_id) LEFT JOIN task t ON t.task_id = v.task_id
        WHERE e.contract_id IN (SELECT contract_id FROM asked) AND e.place IN ('pending', 'held')
        GROUP BY 1, 2, 3
    ), ordered AS (
        SELECT s.contract_id, order_of(s.contract_id, s.task_name, s.work_date) AS order_number, s.place,
               sum(s.amount) AS amount
        FROM (SELECT * FROM spent UNION ALL SELECT * FROM waiting) s GROUP BY 1, 2, 3
    )
    SELECT a.contract_code, a.entity_code, a.order_number, min(a.starts_on) AS starts_on,
           CASE WHEN bool_and(a.ends_on IS NOT NULL) THEN max(a.ends_on) END AS ends_on,
           string_agg(nullif(a.task_name, ''), ', ' ORDER BY a.task_name) AS tasks,
           CASE WHEN bool_and(a.amount IS NOT NULL) THEN sum(a.amount) END AS amount, a.currency,
           coalesce(min(p.unposted), 0) AS unposted_amount, coalesce(min(p.posted), 0) AS posted_amount,
           coalesce(min(p.drafted), 0) AS drafted_amount, coalesce(min(p.invoiced), 0) AS invoiced_amount
    FROM asked a
    LEFT JOIN (
        SELECT contract_id, order_number, sum(amount) FILTER (WHERE place = 'unposted') AS unposted,
               sum(amount) FILTER (WHERE place = 'posted') AS posted,
               sum(amount) FILTER (WHERE place = 'drafted') AS drafted,
               sum(amount) FILTER (WHERE place = 'invoiced') AS invoiced
        FROM ordered GROUP BY 1, 2
    ) p USING (contract_id, order_number)
    GROUP BY a.contract_code, a.entity_code, a.order_number, a.currency
    ORDER BY a.contract_code, 4, a.order_number LIMIT %(limit)s
"""
ONE_LEG = "one_leg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A client's order with what stands on it by place; ``amount`` is None where no end was told."""

    contract_code: str
    entity_code: str
    order_number: str
    starts_on: date
    ends_on: date | None
    tasks: str | None
    amount: Decimal | None
    currency: str
    unposted_amount: Decimal
    posted_amount: Decimal
    drafted_amount: Decimal
    invoiced_amount: Decimal

    @property
    def left_amount(self) -> Decimal | None:
        """Return what neither stands in the ERP nor waits for it."""
        if self.amount is None:
            return None
        spent = self.unposted_amount + self.posted_amount
        return self.amount - spent - self.drafted_amount - self.invoiced_amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """What a project's company owes its colleague's by transfer price, and what finance told of it.

    ``amount`` leaves out the ``unpriced`` lines; ``booked_amount`` is None where nothing was told. A
    state of a period is None where the company has none. ``state``: both, waiting, one_leg or
    not_checked.
    """

    part: str
    home_entity_code: str
    project_entity_code: str
    home_period_code: str | None
    home_period_state: str | None
    project_period_code: str
    project_period_state: str
    currency: str | None
    hours: int
    seconds: int
    amount: Decimal | None
    unpriced: int
    booked_amount: Decimal | None
    document_code: str | None
    state: str


def list_orders(connection: Connection[Row], *, contract_code: str | None) -> tuple[Order, ...]:
    """List the orders of a contract, or all, with what is unposted, posted, drafted and invoiced."""
    rows = connection.execute(_ORDERS, {"contract": contract_code, "limit": LIST_MAX}).fetchall()
    return tuple(Order(**row) for row in rows)


def list_legs(
    connection: Connection[Row], *, period_code: str | None, now: datetime
) -> tuple[Leg, ...]:
    """List both legs between companies in sight, with the state of each one's period."""
    rows = connection.execute(
        "SELECT * FROM page_legs(%s, %s) LIMIT %s", (period_code, now, LIST_MAX)
    ).fetchall()
    return tuple(Leg(**row) for row in rows)

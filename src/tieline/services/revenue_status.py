"""Business service: per project what was earned, billed, waits to be billed and is still sold.

Pattern: recomputed as a set after posting and invoicing; changed values go back to the CRM.
Target: in the CRM within ten minutes. Vendor calls: one write and one read-back per project whose
figures changed. Every figure carries its as-of instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import StatusCommand
from tieline.kernel.errors import UserMistake
from tieline.kernel.keys import SourceIdentity
from tieline.posting import EffectRequest
from tieline.runtime.sql import load
from tieline.runtime.work import REFERENCE

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

    What the ERP billed is ``billed_amount``: our ledger's, what the ERP's rounding adds, and what nobody
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
    ledger_seconds: int
    erp_seconds: int
    ledger_billed_amount: Decimal
    rounding_amount: Decimal
    unexplained_amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWrite:
    """One record of the CRM to report to: the effect, and how its command is made."""

    request: EffectRequest
    record_code: str
    values: Mapping[str, str]

    def build(self, business_key: UUID) -> StatusCommand:
        """Return the command for a key."""
        return StatusCommand(
            business_key=business_key,
            entity_code=self.request.entity_code,
            object="deal",
            record_code=self.record_code,
            values=self.values,
        )


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
    return tuple(RevenueSum(**{**row, "recognition": tuple(row["recognition"])}) for row in rows)


def status_commands(
    connection: Connection[Row], *, correlation_id: str, project_id: UUID | None = None
) -> tuple[StatusWrite, ...]:
    """Return what the CRM has not been told yet: one write per deal whose figures changed.

    Hand each to the poster, in this order; a change is one effect, so telling it twice tells it once.
    Older figures that were begun come first. What was refused waits for the next change; where the
    CRM is paused or only observed, only what is on its way is asked about.
    """
    rows = connection.execute(
        """
        SELECT r.*, p.connection_key, p.source_epoch, p.deal_ref, p.project_group, w.wip, w.billed, w.backlog
        FROM revenue_status r
        -- What was done for a former client of the contract is of the same deal.
        JOIN (SELECT plan_id, project_id FROM provisioning_plan
              UNION ALL SELECT plan_id, project_id FROM novation) m ON m.project_id = r.project_id
        JOIN provisioning_plan p ON p.plan_id = m.plan_id AND p.state = 'active'
        JOIN connection c ON c.connection_key = p.connection_key
        -- A deal of several projects is told what all of them come to by then; unknown where one is.
        CROSS JOIN LATERAL (
            SELECT CASE WHEN bool_and(s.wip_amount IS NOT NULL) THEN sum(s.wip_amount) END AS wip,
                   sum(s.billed_amount) AS billed,
                   CASE WHEN bool_and(s.backlog_amount IS NOT NULL) THEN sum(s.backlog_amount) END AS backlog
            FROM provisioning_plan o
            CROSS JOIN LATERAL (
                SELECT o.project_id UNION SELECT n.project_id FROM novation n WHERE n.plan_id = o.plan_id) q
            CROSS JOIN LATERAL (
                SELECT f.* FROM revenue_status f
                WHERE f.project_id = q.project_id AND f.changed_at <= r.changed_at
                ORDER BY f.changed_at DESC LIMIT 1) s
            WHERE (o.connection_key, o.source_epoch, o.deal_ref)
                = (p.connection_key, p.source_epoch, p.deal_ref) AND o.state = 'active') w
        LEFT JOIN LATERAL (
            SELECT e.state FROM effect e
            WHERE (e.connection_key, e.source_epoch, e.object, e.source_ref)
                = (p.connection_key, p.source_epoch, 'deal', p.deal_ref)
              AND e.target_connection = p.connection_key AND e.noun = 'status'
              AND e.part = 'revenue:' || p.project_group || ':'
                  || to_char(r.changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            ORDER BY e.effect_no DESC LIMIT 1) told ON true
        WHERE (told.state IS NULL AND r.is_newest
               OR told.state NOT IN ('CONFIRMED', 'REJECTED', 'CONFLICT'))
          AND (c.mode = 'act' AND NOT c.paused OR told.state IN ('INTENT', 'UNKNOWN', 'PROBING'))
          AND (%(project_id)s::uuid IS NULL OR r.project_id = %(project_id)s)
        ORDER BY p.deal_ref, r.changed_at, p.project_group
        """,
        {"project_id": project_id},
    ).fetchall()
    return tuple(_write(row, correlation_id=correlation_id) for row in rows)


def _write(row: Row, *, correlation_id: str) -> StatusWrite:
    changed_at = row["changed_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return StatusWrite(
        request=EffectRequest(
            source=SourceIdentity(
                connection_key=row["connection_key"],
                source_epoch=row["source_epoch"],
                object="deal",
                source_ref=row["deal_ref"],
            ),
            target_connection=row["connection_key"],
            noun="status",
            part=f"revenue:{row['project_group']}:{changed_at}",
            entity_code=row["entity_code"],
            work_class=REFERENCE,
            deadline_at=None,
            release_id=None,
            correlation_id=correlation_id,
            project_id=row["project_id"],
        ),
        record_code=row["deal_ref"],
        values={
            "revenue_wip": _told(row["wip"]),
            "revenue_billed": str(row["billed"]),
            "revenue_backlog": _told(row["backlog"]),
            # The instant of the change, not of the look: telling it again would say the same.
            "revenue_as_of": row["changed_at"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )


def _told(amount: Decimal | None) -> str:
    # What nobody can tell empties the field: a zero would say that nothing is left.
    return "" if amount is None else str(amount)

"""What the CRM is to be told of money: of each deal, and of each account all its projects, once for every change.

Hand each write to the poster, in the order given: a change is one effect, so telling it twice tells it once. Older
figures that were begun come first. What was refused waits for the next change; where the CRM is paused or only
observed, only what is on its way is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import StatusCommand
from tieline.kernel.keys import SourceIdentity
from tieline.kernel.money import Money
from tieline.posting import EffectRequest
from tieline.register import ExchangeRate
from tieline.runtime.sql import load
from tieline.runtime.work import REFERENCE
from tieline.services.reporting_currency import Together, add_together, read_reporting_rates

_ACCOUNTS = load("tieline.services", "revenue_accounts")
_MEASURES = ("wip", "billed", "backlog")

Row = dict[str, Any]
# An account has many projects, and one of them always moves: it is told no oftener.
_REST_SECONDS = 300
_INSTANT_LENGTH = len("2026-11-03T09:00:00.000000Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWrite:
    """One record of the CRM to report to: the effect, and how its command is made.

    ``subject_id`` is the project or the client whose figures they are.
    """

    subject_id: UUID
    request: EffectRequest
    values: Mapping[str, str]

    def build(self, business_key: UUID) -> StatusCommand:
        """Return the command for a key."""
        source = self.request.source
        return StatusCommand(
            business_key=business_key,
            entity_code=self.request.entity_code,
            object=source.object,
            record_code=source.source_ref,
            values=self.values,
        )


def deal_writes(
    connection: Connection[Row], *, correlation_id: str, project_id: UUID | None = None
) -> tuple[StatusWrite, ...]:
    """Return a write per deal whose figures changed since it was told."""
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
        WHERE (r.is_newest OR r.changed_at IN (
                  -- What was begun and not ended, however old it is.
                  SELECT right(e.part, %(instant_length)s)::timestamptz
                  FROM unsettled_effect u JOIN effect e USING (business_key)
                  WHERE u.noun = 'status' AND e.object = 'deal' AND starts_with(e.part, 'revenue:')))
          AND (told.state IS NULL AND r.is_newest
               OR told.state NOT IN ('CONFIRMED', 'REJECTED', 'CONFLICT'))
          AND (c.mode = 'act' AND NOT c.paused OR told.state IN ('INTENT', 'UNKNOWN', 'PROBING'))
          AND (%(project_id)s::uuid IS NULL OR r.project_id = %(project_id)s)
        ORDER BY p.deal_ref, r.changed_at, p.project_group
        """,
        {"project_id": project_id, "instant_length": _INSTANT_LENGTH},
    ).fetchall()
    return tuple(_of_deal(row, correlation_id=correlation_id) for row in rows)


def account_writes(
    connection: Connection[Row],
    *,
    takers: Mapping[str, str],
    reporting_currency: str | None,
    now: datetime,
    correlation_id: str,
    client_id: UUID | None = None,
) -> tuple[StatusWrite, ...]:
    """Return a write per account of which a project's figures changed since it was told.

    ``takers`` are the connections that take figures of accounts, each with what it calls them.
    Of one currency its amounts; of several, what they come to in the one that the firm reports in, with the rates of
    the day of the change, as they were known then.
    """
    if not takers:
        return ()
    rows = connection.execute(
        _ACCOUNTS,
        {
            "connections": list(takers),
            "objects": list(takers.values()),
            "client_id": client_id,
            "now": now,
            "instant_length": _INSTANT_LENGTH,
            "rest_seconds": _REST_SECONDS,
        },
    ).fetchall()
    return tuple(
        _of_account(
            connection,
            list(some),
            reporting_currency=reporting_currency,
            correlation_id=correlation_id,
        )
        for _, some in groupby(rows, key=_account_and_instant)
    )


def _account_and_instant(row: Row) -> tuple[str, str, str, datetime]:
    return row["connection_key"], row["object"], row["source_ref"], row["changed_at"]


def _of_deal(row: Row, *, correlation_id: str) -> StatusWrite:
    return StatusWrite(
        subject_id=row["project_id"],
        request=_request(
            {**row, "object": "deal", "source_ref": row["deal_ref"]},
            part=f"revenue:{row['project_group']}:{_instant(row)}",
            project_id=row["project_id"],
            correlation_id=correlation_id,
        ),
        values=_values(row),
    )


def _of_account(
    connection: Connection[Row],
    rows: Sequence[Row],
    *,
    reporting_currency: str | None,
    correlation_id: str,
) -> StatusWrite:
    row = {**rows[0], "entity_code": min(each["entity_code"] for each in rows)}
    if len(rows) == 1:
        told = {"revenue_currency": row["currency"], "revenue_rates": ""}
    else:
        amounts, told = _in_one_currency(connection, rows, currency=reporting_currency)
        row |= amounts
    return StatusWrite(
        subject_id=row["client_id"],
        request=_request(
            row, part=f"revenue:{_instant(row)}", project_id=None, correlation_id=correlation_id
        ),
        values=_values(row) | told,
    )


def _in_one_currency(
    connection: Connection[Row], rows: Sequence[Row], *, currency: str | None
) -> tuple[dict[str, Decimal | None], dict[str, str]]:
    """Return what amounts of several currencies come to, and in what; nothing where nobody can tell."""
    rates = read_reporting_rates(connection, currency=currency, now=rows[0]["changed_at"])
    found: dict[str, Together | None] = {}
    for measure in _MEASURES:
        amounts = [
            Money(amount=r[measure], currency=r["currency"]) for r in rows if r[measure] is not None
        ]
        found[measure] = add_together(amounts, at=rates) if len(amounts) == len(rows) else None
    totals = {
        name: each.total.amount if each and each.total else None for name, each in found.items()
    }
    used = next((each.rates for each in found.values() if each and each.total), ())
    return totals, {
        "revenue_currency": currency if currency and used else "",
        "revenue_rates": "; ".join(_rate(each) for each in used),
    }


def _rate(rate: ExchangeRate) -> str:
    return (
        f"1 {rate.from_currency} = {rate.factor.normalize():f} {rate.to_currency}"
        f" from {rate.starts_on}, {rate.source}"
    )


def _request(row: Row, *, part: str, project_id: UUID | None, correlation_id: str) -> EffectRequest:
    return EffectRequest(
        source=SourceIdentity(
            connection_key=row["connection_key"],
            source_epoch=row["source_epoch"],
            object=row["object"],
            source_ref=row["source_ref"],
        ),
        target_connection=row["connection_key"],
        noun=StatusCommand.noun,
        part=part,
        entity_code=row["entity_code"],
        work_class=REFERENCE,
        deadline_at=None,
        release_id=None,
        correlation_id=correlation_id,
        project_id=project_id,
    )


def _values(row: Row) -> dict[str, str]:
    return {
        "revenue_wip": _told(row["wip"]),
        "revenue_billed": _told(row["billed"]),
        "revenue_backlog": _told(row["backlog"]),
        # The instant of the change, not of the look: telling it again would say the same.
        "revenue_as_of": row["changed_at"].strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _instant(row: Row) -> str:
    at: datetime = row["changed_at"]
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _told(amount: Decimal | None) -> str:
    # What nobody can tell empties the field: a zero would say that nothing is left.
    return "" if amount is None else str(amount)

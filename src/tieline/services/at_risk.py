"""A project that is open before its deal is won: who answers for it, up to how much, until when.

Its hours are received and judged, and wait; what they are worth counts up against the limit. Pattern: inside
the transaction of who asks. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import find_open_person
from tieline.kernel.errors import UserMistake
from tieline.kernel.money import currency_digits, round_half_up
from tieline.register import PROJECT, upsert
from tieline.runtime.database import Row
from tieline.runtime.sql import load
from tieline.services.provisioning_facts import DealFacts

WON, LOST, REPLACED, TAKEN_BACK = "won", "lost", "replaced", "taken_back"
# What is asked of a deal that is signed, and so not before it is; it is asked when the deal is won.
ASKED_WHEN_WON = frozenset(
    {
        "deal.reopened",
        "deal.contract_unsigned",
        "deal.close_date_in_future",
        "deal.close_date_missing",
        "deal.purchase_order_missing",
    }
)
_LIMIT_AMOUNT_MAX = 10**12
_OPEN = load("tieline.services", "at_risk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Who answers, with their login, for work up to an amount in the deal's currency; ``ends_on`` is outside."""

    sponsor: str
    limit_amount: Decimal
    ends_on: date

    def told(self) -> dict[str, str]:
        """Return the terms as a plan shows them."""
        return {
            "sponsor": self.sponsor,
            "limit_amount": format(self.limit_amount, "f"),
            "ends_on": self.ends_on.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants of a deal: its project at risk, an end of one that is, or its next client from a day."""

    risk: Risk | None = None
    is_lost: bool = False
    client_from: date | None = None

    @property
    def told(self) -> dict[str, Any]:
        """Return what a plan keeps of it."""
        risk = {"at_risk": self.risk.told()} if self.risk else {}
        lost = {"is_lost": True} if self.is_lost else {}
        since = {"client_from": self.client_from.isoformat()} if self.client_from else {}
        return risk | lost | since


NO_WISH = Wish()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRisk:
    """What waits at risk of one project; ``amount`` is what its waiting hours are worth."""

    risk_id: UUID
    plan_id: UUID
    entity_code: str
    deal: str
    state: str
    project_code: str | None
    sponsor: str
    limit_amount: Decimal
    currency: str
    ends_on: date
    until_at: datetime
    zone: str
    seconds: int
    amount: Decimal
    unpriced_seconds: int

    @property
    def percent(self) -> int:
        """Return how much of the limit is used, rounded down."""
        return int(self.amount * 100 // self.limit_amount)


def read_wish(told: Mapping[str, Any]) -> Wish:
    """Return what was wanted of the deal whose plan was shown."""
    risk, since = told.get("at_risk"), told.get("client_from")
    return Wish(
        client_from=date.fromisoformat(since) if since else None,
        risk=risk
        and Risk(
            sponsor=risk["sponsor"],
            limit_amount=Decimal(risk["limit_amount"]),
            ends_on=date.fromisoformat(risk["ends_on"]),
        ),
        is_lost=bool(told.get("is_lost")),
    )


def list_risks(connection: Connection[Row], *, plan_id: UUID | None = None) -> tuple[OpenRisk, ...]:
    """List what is open at risk, in sight of the caller."""
    rows = connection.execute(_OPEN, {"plan_id": plan_id}).fetchall()
    return tuple(OpenRisk(**row) for row in rows)


def find_risk(connection: Connection[Row], *, plan_id: UUID) -> OpenRisk | None:
    """Return what is open at risk of a plan; None where nothing is."""
    return next(iter(list_risks(connection, plan_id=plan_id)), None)


def plans_at_risk(connection: Connection[Row]) -> frozenset[UUID]:
    """Return the plans whose projects are open at risk."""
    rows = connection.execute("SELECT plan_id FROM project_risk WHERE ended_at IS NULL").fetchall()
    return frozenset(row["plan_id"] for row in rows)


def refuse_wrong_wish(
    connection: Connection[Row],
    *,
    wish: Wish,
    facts: DealFacts,
    risk: OpenRisk | None,
    is_made: bool,
    now: datetime,
) -> None:
    """Let nobody want of a deal what cannot be.

    :raises UserMistake: it is won, deleted or made already, or nothing of it is at risk that could end.
    """
    if sum((wish.risk is not None, wish.is_lost, wish.client_from is not None)) > 1:
        raise UserMistake("one thing at a time: at risk, lost, or another client from a day on")
    if wish.is_lost and (risk is None or facts.is_won):
        raise UserMistake(f"{facts.key} has no project that is open at risk")
    if wish.risk is None:
        return
    if facts.is_won:
        raise UserMistake(f"{facts.key} is won: it is handed over, nothing of it is at risk")
    if facts.source.is_deleted:
        raise UserMistake(f"{facts.key} is deleted in its system: nothing becomes of it")
    if is_made and (risk is None or risk.state != "active"):
        raise UserMistake(f"{facts.key} is a project already: it is not made twice")
    _refuse_wrong_risk(
        connection,
        wish.risk,
        entity_code=facts.deal.entity_code,
        currency=facts.deal.currency,
        now=now,
    )


def _refuse_wrong_risk(
    connection: Connection[Row],
    risk: Risk,
    *,
    entity_code: str | None,
    currency: str | None,
    now: datetime,
) -> None:
    amount = risk.limit_amount
    if not (amount.is_finite() and 0 < amount <= _LIMIT_AMOUNT_MAX):
        raise UserMistake(f"work at risk has a limit above 0, {_LIMIT_AMOUNT_MAX:,} at most")
    if amount != round_half_up(amount, digits=currency_digits(currency or "")):
        raise UserMistake(f"{amount:f} is no amount that can be paid in {currency or 'money'}")
    if risk.ends_on <= now.date():
        raise UserMistake(f"work at risk ends on a day to come, not on {risk.ends_on.isoformat()}")
    person = find_open_person(connection, login=risk.sponsor, now=now)
    if person is None or entity_code not in person.entities:
        raise UserMistake(
            f"{risk.sponsor} is nobody who sees {entity_code or 'the deal'}: somebody who does answers for it"
        )


def open_risk(
    connection: Connection[Row],
    *,
    plan: Row,
    risk: Risk,
    proposed_by: str,
    approved_by: str,
    now: datetime,
) -> None:
    """Write down what two people agreed to; terms that stood before are replaced, on an open project at once."""
    end_risk(connection, plan_id=plan["plan_id"], because=REPLACED, now=now)
    connection.execute(
        """
        INSERT INTO project_risk (plan_id, entity_code, sponsor, limit_amount, currency, ends_on, proposed_by,
            approved_by, opened_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            plan["plan_id"],
            plan["entity_code"],
            risk.sponsor,
            risk.limit_amount,
            plan["plan"]["currency"],
            risk.ends_on,
            proposed_by,
            approved_by,
            now,
        ),
    )
    if plan["state"] == "active":
        found = find_risk(connection, plan_id=plan["plan_id"])
        _let_wait(connection, plan, until_at=found and found.until_at, now=now)


def end_risk(connection: Connection[Row], *, plan_id: UUID, because: str, now: datetime) -> bool:
    """Say that nobody answers for a plan's project any more; False where nobody did."""
    return bool(
        connection.execute(
            "UPDATE project_risk SET ended_at = %s, ended_because = %s"
            " WHERE plan_id = %s AND ended_at IS NULL",
            (now, because, plan_id),
        ).rowcount
    )


def let_flow(connection: Connection[Row], *, plan: Row, now: datetime) -> None:
    """Let the hours of a project go on that waited for its deal: it is won."""
    end_risk(connection, plan_id=plan["plan_id"], because=WON, now=now)
    _let_wait(connection, plan, until_at=None, now=now)


def _let_wait(connection: Connection[Row], plan: Row, *, until_at: Any, now: datetime) -> None:
    key = {"project_id": plan["project_id"]}
    upsert(connection, table=PROJECT, key=key, values={"at_risk_until": until_at}, now=now)

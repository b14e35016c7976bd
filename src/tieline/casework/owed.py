"""What the owners of open cases are to be told: their cases, and what these are worth together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.money import Money
from tieline.runtime.sql import load

_LIST = load("tieline.casework", "list_owed")
_SUM = load("tieline.casework", "sum_owed")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """The instant by which the cases of a period have to be solved."""

    period_id: UUID
    entity_code: str
    cut_off_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedCase:
    """One open case, and who owns it: a person, else a queue."""

    case_id: UUID
    reason: str
    details: Mapping[str, Any]
    assigned_to: str | None
    owner_queue: str
    entity_code: str | None
    due_at: datetime | None
    is_incident: bool
    seconds: int
    unpriced_seconds: int
    amounts: tuple[Money, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Hours and money of several cases; an hour in two of them counts once."""

    seconds: int
    unpriced_seconds: int
    amounts: tuple[Money, ...]


def list_owed(
    connection: Connection[Row], *, now: datetime, cut_off: CutOff | None
) -> tuple[OwedCase, ...]:
    """List the open cases, or only those that threaten a cut-off, the most pressing first."""
    rows = connection.execute(
        _LIST,
        {
            "now": now,
            "period_id": cut_off.period_id if cut_off else None,
            "entity_code": cut_off.entity_code if cut_off else None,
            "cut_off_at": cut_off.cut_off_at if cut_off else None,
        },
    ).fetchall()
    return tuple(OwedCase(**{**row, "amounts": _amounts(row["amounts"])}) for row in rows)


def sum_owed(
    connection: Connection[Row], *, owners: Mapping[str, Sequence[OwedCase]]
) -> dict[str, Worth]:
    """Return what the cases of each owner are worth together."""
    pairs = [(case.case_id, owner) for owner, cases in owners.items() for case in cases]
    rows = connection.execute(
        _SUM,
        {"case_ids": [pair[0] for pair in pairs], "owners": [pair[1] for pair in pairs]},
    ).fetchall()
    return {owner: _worth([row for row in rows if row["owner"] == owner]) for owner in owners}


def _worth(rows: Sequence[Row]) -> Worth:
    return Worth(
        seconds=sum(row["seconds"] for row in rows),
        unpriced_seconds=sum(row["seconds"] for row in rows if row["currency"] is None),
        amounts=tuple(
            Money(amount=row["amount"], currency=row["currency"])
            for row in rows
            if row["currency"] is not None
        ),
    )


def _amounts(by_currency: Mapping[str, str | None]) -> tuple[Money, ...]:
    return tuple(
        Money(amount=Decimal(amount), currency=currency)
        for currency, amount in sorted(by_currency.items())
        if amount is not None
    )

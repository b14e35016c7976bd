"""Writes whose answer has been lost for long, as a person is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.money import Money
from tieline.runtime.sql import load

_LIST = load("tieline.posting", "list_unconfirmed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """Writes to one target without an answer: the first was sent at ``sent_at``, asked for at ``due_at``."""

    target_connection: str
    system: str
    writes: int
    sent_at: datetime
    due_at: datetime | None
    asked_times: int
    amounts: tuple[Money, ...]


def list_unconfirmed(
    connection: Connection[dict[str, Any]],
    *,
    entity_code: str,
    period_id: UUID,
    older_seconds: int,
) -> Sequence[Unconfirmed]:
    """Return per target what concerns a period of a legal entity, or none, and waits that long."""
    rows = connection.execute(
        _LIST, {"entity_code": entity_code, "period_id": period_id, "seconds": older_seconds}
    ).fetchall()
    return [
        Unconfirmed(
            **{
                **row,
                "amounts": tuple(
                    Money(amount=Decimal(amount), currency=currency)
                    for currency, amount in sorted(row["amounts"].items())
                    if amount is not None
                ),
            }
        )
        for row in rows
    ]

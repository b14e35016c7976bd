"""What a contract's schedule says is to be billed now: milestones, fees, advances, and what went above them.

Each part is billed once: its code is kept with the invoice that took it, and it is never due again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from psycopg import Connection

from tieline.canonical import BILLED_BY_SCHEDULE
from tieline.runtime.database import Row
from tieline.runtime.sql import load
from tieline.sdk import InvoiceItem

FIXED_FEE = "fixed_fee"
OVERAGE = "overage"
_DUE = load("tieline.services", "readiness_due")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePart:
    """A part of a schedule whose day has come; ``is_due`` is false while nobody confirmed it."""

    item_code: str
    item: str
    kind: str
    due_on: date
    amount: Decimal
    currency: str
    is_due: bool
    seconds: int
    unpriced_seconds: int

    def as_item(self) -> InvoiceItem:
        """Return the line that an invoice has for it."""
        return InvoiceItem(
            item_code=self.item_code,
            item=self.item,
            description=self._told(),
            amount=self.amount,
            task_codes=(),
        )

    def _told(self) -> str:
        if self.kind != OVERAGE:
            return self.item
        if not self.seconds:
            return f"{self.item}: more above what is included"
        hours, minutes = divmod(self.seconds // 60, 60)
        return f"{self.item}: {hours}:{minutes:02} h above what is included"


DueByScope = Mapping[tuple[UUID, UUID], Sequence[DuePart]]


def load_due(
    connection: Connection[Row],
    *,
    contract_ids: Sequence[UUID] | None,
    period_id: UUID | None,
    now: datetime,
) -> DueByScope:
    """Return what is due and on no invoice yet, per contract and period."""
    found: dict[tuple[UUID, UUID], list[DuePart]] = defaultdict(list)
    rows = connection.execute(
        _DUE,
        {
            "contract_ids": None if contract_ids is None else list(contract_ids),
            "period_id": period_id,
            "methods": sorted(BILLED_BY_SCHEDULE),
            "now": now,
        },
    ).fetchall()
    for row in rows:
        scope = (row.pop("contract_id"), row.pop("period_id"))
        found[scope].append(DuePart(**row))
    return found


def is_by_schedule(billing_method: str, schedule_count: int) -> bool:
    """Say whether a contract is billed part by part; a fixed fee without a schedule is billed whole."""
    if billing_method == FIXED_FEE:
        return schedule_count > 0
    return billing_method in BILLED_BY_SCHEDULE


def due_total(parts: Sequence[DuePart]) -> Decimal:
    """Return what an invoice of everything that is due comes to."""
    return sum((part.amount for part in parts if part.is_due), Decimal(0))


def write_items(items: Sequence[InvoiceItem]) -> str:
    """Return lines as the text that is kept with what was asked; amounts as text, so that they stay exact."""
    return json.dumps([{**asdict(each), "amount": str(each.amount)} for each in items])


def read_items(text: str | None) -> tuple[InvoiceItem, ...]:
    """Return the lines that were asked for; none where nothing was."""
    return tuple(
        InvoiceItem(
            item_code=each["item_code"],
            item=each["item"],
            description=each["description"],
            amount=Decimal(each["amount"]),
            task_codes=tuple(each.get("task_codes", ())),
        )
        for each in json.loads(text or "[]")
    )


def keep_billed(
    connection: Connection[Row],
    *,
    contract_id: UUID,
    entity_code: str,
    invoice_id: UUID,
    currency: str,
    items: Sequence[InvoiceItem],
    now: datetime,
) -> None:
    """Keep which parts an invoice took; a part that another one took is refused by the database."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO billed_item (contract_id, item_code, item, entity_code, invoice_id, amount,"
            " currency, recorded_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    contract_id,
                    each.item_code,
                    each.item,
                    entity_code,
                    invoice_id,
                    each.amount,
                    currency,
                    now,
                )
                for each in items
            ],
        )

"""What was delivered of a lost deal and is on no invoice: shown by the plan that closes it, then left out.

Pattern: inside the transaction of who shows or applies. Vendor calls: none; what is left out is judged
again and taken back as every hour is that leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from psycopg import Connection

from tieline.casework import leave_out_hours
from tieline.kernel.errors import UserMistake
from tieline.kernel.wording import hours, money
from tieline.runtime.database import Row
from tieline.runtime.sql import load
from tieline.services.shown_plans import digest_of

_UNBILLED = load("tieline.services", "unbilled")
_REVERSED, _LEFT_OUT = "reverse", "leave_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbilledSum:
    """Unbilled hours of one period and currency that stand in the target, or that would go there."""

    action: str
    period_code: str
    period_state: str
    currency: str | None
    entries: int
    seconds: int
    amount: Decimal | None

    @property
    def name(self) -> str:
        """Return what a plan calls the sum."""
        return ":".join(word for word in (self.action, self.period_code, self.currency) if word)

    @property
    def told(self) -> Mapping[str, str]:
        """Return what a plan shows of it."""
        words = {"entries": str(self.entries), "hours": hours(self.seconds)}
        if self.amount is not None and self.currency:
            words["amount"] = money(self.amount, self.currency)
        if self.action == _REVERSED and self.period_state == "closed":
            words["agreed_under"] = "Changes: the period is closed"
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbilled:
    """The unbilled hours of a project: each by entry and version, and what they come to."""

    entries: Sequence[tuple[UUID, int]]
    sums: Sequence[UnbilledSum]

    @property
    def told(self) -> str:
        """Return what they are worth, currencies apart; their hours where nothing has a price."""
        worth: dict[str, Decimal] = {}
        for each in self.sums:
            if each.amount is not None and each.currency:
                worth[each.currency] = worth.get(each.currency, Decimal(0)) + each.amount
        amounts = [money(amount, currency) for currency, amount in sorted(worth.items())]
        return ", ".join(amounts) or f"{hours(sum(each.seconds for each in self.sums))} h"

    @property
    def digest(self) -> str:
        """Return what tells these very hours from others of the same sum."""
        return digest_of({str(entry_id): version for entry_id, version in self.entries})


def find_unbilled(connection: Connection[Row], *, project_id: UUID) -> Unbilled:
    """Return what of a project's hours stands or would go out and is on no invoice."""
    rows = connection.execute(_UNBILLED, {"project_id": project_id}).fetchall()
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        action = _REVERSED if row["posted_seconds"] else _LEFT_OUT
        key = (action, row["period_code"], row["period_state"], row["currency"] or "")
        groups.setdefault(key, []).append(row)
    return Unbilled(
        entries=tuple((row["entry_id"], row["version"]) for row in rows),
        sums=tuple(_sum(key, groups[key]) for key in sorted(groups)),
    )


def leave_out_unbilled(
    connection: Connection[Row],
    *,
    unbilled: Unbilled,
    because: str,
    reason: str,
    proposed_by: str,
    approved_by: str,
    correlation_id: str,
    now: datetime,
) -> int:
    """Leave out what two people saw in the plan; return how many entries.

    :raises UserMistake: one person did both.
    """
    return leave_out_hours(
        connection,
        entry_ids=[entry_id for entry_id, _ in unbilled.entries],
        because=because,
        reason=reason,
        proposed_by=proposed_by,
        approved_by=approved_by,
        correlation_id=correlation_id,
        now=now,
    )


def refuse_while_released(connection: Connection[Row], *, contract_id: UUID) -> None:
    """Let nothing of a contract be reversed that waits for its invoice.

    :raises UserMistake: it is released for billing.
    """
    row = connection.execute(
        """
        SELECT p.period_code FROM release_lock k JOIN fiscal_period p USING (period_id)
        WHERE k.contract_id = %s AND k.unlocked_at IS NULL LIMIT 1
        """,
        (contract_id,),
    ).fetchone()
    if row is not None:
        raise UserMistake(
            f"its contract is released for billing in {row['period_code']}:"
            " withdraw the release, or let it be invoiced first"
        )


def _sum(key: tuple[str, str, str, str], rows: Sequence[Row]) -> UnbilledSum:
    action, period_code, period_state, currency = key
    amounts = [row["amount"] for row in rows if row["amount"] is not None]
    return UnbilledSum(
        action=action,
        period_code=period_code,
        period_state=period_state,
        currency=currency or None,
        entries=len(rows),
        seconds=sum(row["posted_seconds"] or row["seconds"] for row in rows),
        amount=sum(amounts, Decimal(0)) if amounts else None,
    )

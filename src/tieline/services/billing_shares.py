"""What each client pays of a contract that is split, and what was drawn of it for a period.

A share is its percent of the whole, rounded once; the client who takes the rounding pays the rest, so that the shares
make the whole. Which percents hold is read on the last day that is billed; what was drawn stays as it was drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection

from tieline.kernel.money import currency_digits, round_half_up
from tieline.runtime.database import Row
from tieline.runtime.sql import load
from tieline.sdk import InvoiceItem
from tieline.services.billing_schedule import read_items
from tieline.validation import invoice_rules

WHOLE = Decimal(100)
_RULES = {rule.code: rule for rule in invoice_rules()}
_ASKED_OF_A_PAYER = (
    "readiness.client_inactive", "readiness.client_address_missing", "readiness.client_vat_missing",
)  # fmt: skip
_COMPLETE = " AND ".join(
    f"(({_RULES[code].applies_when}) IS NOT TRUE OR ({_RULES[code].predicate}) IS TRUE)"
    for code in _ASKED_OF_A_PAYER
)
_SPLITS = load("tieline.services", "readiness_splits").replace("{complete}", _COMPLETE)
# An amount and a percent of fifteen digits each, multiplied exactly.
_DIGITS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one client pays of a contract; ``client_code`` is the ERP's, None where it is not linked."""

    client_id: UUID
    client_code: str | None
    percent: Decimal
    takes_rounding: bool
    is_complete: bool
    is_tax_allowed: bool
    hold: str | None


Splits = Mapping[UUID, Sequence[Row]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnShare:
    """A share as it was drawn; ``document`` names the invoice that it is a share of."""

    business_key: UUID
    drawing_id: UUID
    document: str
    part: str
    client_id: UUID
    client_code: str
    percent: Decimal
    takes_rounding: bool
    amount: Decimal
    currency: str
    lines: str

    @property
    def items(self) -> tuple[InvoiceItem, ...]:
        """Return the lines of its invoice."""
        return read_items(self.lines)


def load_splits(
    connection: Connection[Row], *, contract_ids: Sequence[UUID] | None, now: datetime
) -> Splits:
    """Return what was told of the shares of contracts, of all days, each client under its present id."""
    found: dict[UUID, list[Row]] = defaultdict(list)
    for row in connection.execute(
        _SPLITS,
        {"contract_ids": None if contract_ids is None else list(contract_ids), "now": now},
    ):
        found[row.pop("contract_id")].append(row)
    return found


def billed_on(*, last_day: date, contract_ends_on: date | None) -> date:
    """Return the day on which the shares are read: the last one billed on which the contract holds."""
    if contract_ends_on is None:
        return last_day
    return min(last_day, contract_ends_on - timedelta(days=1))


def shares_on(told: Sequence[Row], day: date) -> tuple[Share, ...]:
    """Return who pays what on a day; two rows of what is one client since make one share."""
    shares: dict[UUID, Share] = {}
    for row in told:
        if not (row["starts_on"] <= day and (row["ends_on"] is None or day < row["ends_on"])):
            continue
        values = {name: row[name] for name in Share.__slots__}
        one = Share(**values)
        before = shares.get(one.client_id)
        if before is not None:
            one = replace(
                one,
                percent=before.percent + one.percent,
                takes_rounding=before.takes_rounding or one.takes_rounding,
            )
        shares[one.client_id] = one
    return tuple(shares.values())


def is_whole(shares: Sequence[Share]) -> bool:
    """Say whether shares make a whole, and one client takes what rounding leaves."""
    return (
        sum((each.percent for each in shares), Decimal(0)) == WHOLE
        and sum(each.takes_rounding for each in shares) == 1
    )


def share_amounts(
    amount: Decimal, *, shares: Sequence[Share], currency: str
) -> tuple[Decimal, ...]:
    """Return what each client pays of an amount, in the order of the shares; together they are the amount."""
    whole = InvoiceItem(item_code="", item="", description="", amount=amount, task_codes=())
    lines = share_items([whole], shares=shares, currency=currency)
    return tuple(sum((each.amount for each in found), Decimal(0)) for found in lines)


def share_items(
    items: Sequence[InvoiceItem], *, shares: Sequence[Share], currency: str
) -> tuple[tuple[InvoiceItem, ...], ...]:
    """Return the lines of each client's invoice, in the order of the shares.

    A line is what the running total adds to the client's share of it, so that lines and shares both add up and the
    share of the whole is rounded once. What comes to nothing is no line.
    """
    digits = currency_digits(currency)
    amounts: list[list[Decimal]] = []
    with localcontext(prec=_DIGITS):
        for share in shares:
            total = given = Decimal(0)
            lines = []
            for item in items:
                total += item.amount
                due = round_half_up(total * share.percent / WHOLE, digits=digits)
                lines.append(due - given)
                given = due
            amounts.append(lines)
        for place, share in enumerate(shares):
            if share.takes_rounding:
                others = [lines for number, lines in enumerate(amounts) if number != place]
                amounts[place] = [
                    item.amount - sum((lines[index] for lines in others), Decimal(0))
                    for index, item in enumerate(items)
                ]
    return tuple(
        tuple(
            replace(item, amount=amount, description=_described(item, share))
            for item, amount in zip(items, lines, strict=True)
            if amount
        )
        for share, lines in zip(shares, amounts, strict=True)
    )


def _described(item: InvoiceItem, share: Share) -> str:
    return f"{item.description} ({share.percent.normalize():f} %)"


# -- what was drawn --------------------------------------------------------------------------------


def new_drawing() -> UUID:
    """Return what holds the shares of one document together."""
    return uuid4()


def keep_share(
    connection: Connection[Row],
    *,
    share: DrawnShare,
    contract_id: UUID,
    period_id: UUID,
    entity_code: str,
    now: datetime,
) -> None:
    """Keep a share as it was drawn, for the release that stands."""
    connection.execute(
        """
        INSERT INTO invoice_share (business_key, drawing_id, lock_id, contract_id, period_id, entity_code, document,
            part, client_id, client_code, percent, takes_rounding, amount, currency, items, drawn_at)
        SELECT %s, %s, k.lock_id, k.contract_id, k.period_id, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
        FROM release_lock k WHERE (k.contract_id, k.period_id) = (%s, %s) AND k.unlocked_at IS NULL
        """,
        (
            share.business_key,
            share.drawing_id,
            entity_code,
            share.document,
            share.part,
            share.client_id,
            share.client_code,
            share.percent,
            share.takes_rounding,
            share.amount,
            share.currency,
            share.lines,
            now,
            contract_id,
            period_id,
        ),
    )


def load_drawn(
    connection: Connection[Row], *, contract_ids: Sequence[UUID] | None
) -> Mapping[tuple[UUID, UUID], Sequence[DrawnShare]]:
    """Return what was drawn, per contract and period."""
    found: dict[tuple[UUID, UUID], list[DrawnShare]] = defaultdict(list)
    for row in connection.execute(
        """
        SELECT contract_id, period_id, business_key, drawing_id, document, part, client_id, client_code, percent,
               takes_rounding, amount, currency, items AS lines
        FROM invoice_share
        WHERE %(contract_ids)s::uuid[] IS NULL OR contract_id = ANY (%(contract_ids)s::uuid[])
        ORDER BY contract_id, period_id, document, part
        """,
        {"contract_ids": None if contract_ids is None else list(contract_ids)},
    ):
        scope = (row.pop("contract_id"), row.pop("period_id"))
        found[scope].append(DrawnShare(**row))
    return found


def take_back_drawn(connection: Connection[Row], *, contract_id: UUID, period_id: UUID) -> bool:
    """Forget what was drawn and asked nobody for; False where an invoice of it stands or may stand."""
    row = connection.execute(
        "SELECT take_back_shares(%s, %s) AS is_done", (contract_id, period_id)
    ).fetchone()
    return bool(row and row["is_done"])


def shares_as_json(
    shares: Sequence[Share], *, amount: Decimal, currency: str
) -> list[dict[str, Any]]:
    """Return what each client is to pay, as it is stored; amounts as text, so that they stay exact."""
    if not is_whole(shares):
        return []
    return [
        _as_json(share, amount=part)
        for share, part in zip(
            shares, share_amounts(amount, shares=shares, currency=currency), strict=True
        )
    ]


def drawn_as_json(drawn: Sequence[DrawnShare]) -> list[dict[str, Any]]:
    """Return what each client pays of what was drawn, as it is stored: one entry per client."""
    by_client: dict[UUID, DrawnShare] = {}
    for each in drawn:
        before = by_client.get(each.client_id)
        by_client[each.client_id] = (
            each if before is None else replace(each, amount=before.amount + each.amount)
        )
    return [_as_json(each, amount=each.amount) for each in by_client.values()]


def _as_json(share: Share | DrawnShare, *, amount: Decimal) -> dict[str, Any]:
    return {
        "client_id": str(share.client_id),
        "percent": f"{share.percent.normalize():f}",
        "takes_rounding": share.takes_rounding,
        "amount": str(amount),
    }

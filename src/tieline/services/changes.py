"""What changed after it was posted: what policy makes of it, and what people agree to.

Pattern: found with each planning, proposed by one person, carried out by the approval of another where
money moves. Vendor calls: none; what is agreed goes out as every line does. A credit note is never
sent: people make it in the ERP and say so here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection

from tieline.canonical import TimeLineCommand
from tieline.governance import Proposal, propose, record_audit
from tieline.kernel.errors import UserMistake
from tieline.posting.accounts import find_accounts
from tieline.runtime.database import Row
from tieline.sdk import Undo
from tieline.sdk.directory import Connectors

ADJUST, CREDITED = "change.adjust", "change.credited"
CHANGES_PAGE_MAX = 500
CHANGES_AT_ONCE_MAX = 500
OPEN = "open"
STATES = (
    "to_approve",
    "proposed",
    "credit_proposed",
    "held",
    "under_way",
    "corrected",
    "overtaken",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedChange:
    """An hour that was posted and is otherwise now; ``state`` is how far its correction is."""

    change_id: UUID
    kind: str
    way: str
    state: str
    found_at: datetime
    connection_key: str
    object: str
    source_ref: str
    entry_id: UUID
    version: int
    entity_code: str | None
    period_code: str | None
    period_id: UUID | None
    project_code: str | None
    old_seconds: int
    old_amount: Decimal | None
    old_currency: str | None
    new_entity_code: str | None
    new_period_code: str | None
    new_period_id: UUID | None
    new_project_code: str | None
    new_seconds: int
    new_amount: Decimal | None
    new_currency: str | None
    old_work_date: date | None
    new_work_date: date | None
    person_ref: str | None
    approver_ref: str | None
    changed_at: datetime
    invoice_number: str | None
    target_connection: str | None
    agreed_by: str | None
    booked_into: str | None

    @property
    def whose(self) -> str:
        """Return the legal entity whose controller decides."""
        return self.entity_code or self.new_entity_code or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSum:
    """Net hours and money of the changes of one legal entity, period, currency and state."""

    entity_code: str | None
    period_code: str | None
    period_state: str | None
    currency: str | None
    state: str
    changes: int
    seconds: int
    amount: Decimal | None
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What one invoice should give back and bill anew, in one currency each."""

    invoice_id: UUID | None
    invoice_number: str | None
    entity_code: str | None
    contract_code: str | None
    state: str
    credit_amount: Decimal | None
    credit_currency: str | None
    rebill_amount: Decimal | None
    rebill_currency: str | None
    hours: int
    change_ids: tuple[UUID, ...]
    case_id: UUID | None
    credit_number: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What agreeing to a change would do: into which periods, and whether money moves."""

    change: PostedChange
    reversal_period_id: UUID | None
    reversal_period_code: str | None
    booking_period_id: UUID | None
    booking_period_code: str | None
    moves_money: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What became of agreeing: proposals that wait for a second person, and what needed none."""

    proposals: tuple[Proposal, ...]
    agreed: int


def list_changes(
    connection: Connection[Row],
    *,
    change_ids: Sequence[UUID] | None = None,
    entity_code: str | None = None,
    period_code: str | None = None,
    state: str | None = None,
    kind: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[tuple[PostedChange, ...], int]:
    """List changes in sight, the newest first, and how many there are in all."""
    rows = connection.execute(
        "SELECT * FROM page_changes(%s::uuid[], %s, %s, %s, %s, %s, %s)",
        (
            list(change_ids) if change_ids is not None else None,
            entity_code,
            period_code,
            state,
            kind,
            min(limit, CHANGES_PAGE_MAX),
            offset,
        ),
    ).fetchall()
    total = rows[0]["total"] if rows else 0
    return tuple(PostedChange(**{n: v for n, v in r.items() if n != "total"}) for r in rows), total


def sum_changes(connection: Connection[Row]) -> tuple[ChangeSum, ...]:
    """Return net hours and money per legal entity, period, currency and state."""
    rows = connection.execute("SELECT * FROM page_change_sums()").fetchall()
    return tuple(ChangeSum(**row) for row in rows)


def net_of(changes: Iterable[PostedChange]) -> dict[str, Decimal]:
    """Return what changes give less what they take, by currency."""
    sums: dict[str, Decimal] = {}
    for change in changes:
        for currency, amount in (
            (change.old_currency, -(change.old_amount or Decimal(0))),
            (change.new_currency, change.new_amount or Decimal(0)),
        ):
            if currency:
                sums[currency] = sums.get(currency, Decimal(0)) + amount
    return sums


def list_credits(connection: Connection[Row]) -> tuple[Credit, ...]:
    """Return what invoices should give back and bill anew, the open ones first."""
    rows = connection.execute("SELECT * FROM page_credits()").fetchall()
    return tuple(Credit(**{**row, "change_ids": tuple(row["change_ids"])}) for row in rows)


# -- agreeing --------------------------------------------------------------------------------------


def preview_corrections(
    connection: Connection[Row], *, change_ids: Sequence[UUID], connectors: Connectors
) -> tuple[Correction, ...]:
    """Say what agreeing to these changes would do; nothing is stored.

    :raises UserMistake: one of them cannot be agreed to now.
    """
    return _corrections(connection, _these(connection, change_ids), connectors)


def agree_to_changes(
    connection: Connection[Row],
    *,
    change_ids: Sequence[UUID],
    reason: str,
    by: str,
    connectors: Connectors,
    now: datetime,
    through: str = "",
) -> Agreed:
    """Agree to changes: at once where no money moves, else a second person must agree too.

    :raises UserMistake: no reason is given, or one of them cannot be agreed to now.
    """
    if not reason.strip():
        raise UserMistake("say why")
    corrections = preview_corrections(connection, change_ids=change_ids, connectors=connectors)
    for each in corrections:
        if not each.moves_money:
            _agree(connection, each, asked_by=by, agreed_by=by, reason=reason, now=now)
    moving: dict[str, list[Correction]] = {}
    for each in corrections:
        if each.moves_money:
            moving.setdefault(each.change.whose, []).append(each)
    proposals = tuple(
        propose(
            connection,
            kind=ADJUST,
            object=f"changes:{entity_code}",
            entity_code=entity_code or None,
            payload={
                "change_ids": [str(each.change.change_id) for each in theirs],
                "content": [_content(each) for each in theirs],
                "told": _told(theirs),
            },
            by=by,
            reason=reason,
            now=now,
            through=through,
        )
        for entity_code, theirs in sorted(moving.items())
    )
    agreed = len(corrections) - sum(len(theirs) for theirs in moving.values())
    return Agreed(proposals=proposals, agreed=agreed)


def carry_out_adjust(
    connection: Connection[Row], proposal: Proposal, now: datetime, connectors: Connectors
) -> int:
    """Let what two people agreed to be booked.

    :raises UserMistake: it is not what the first one saw.
    """
    assert proposal.approved_by is not None
    change_ids = [UUID(each) for each in proposal.payload["change_ids"]]
    changes = _these(connection, change_ids, states=("proposed", "to_approve"))
    corrections = _corrections(connection, changes, connectors)
    if [_content(each) for each in corrections] != proposal.payload["content"]:
        raise UserMistake(
            "the changes are not what they were when it was proposed:"
            " turn it down, look again and propose it anew"
        )
    for each in corrections:
        _agree(
            connection,
            each,
            asked_by=proposal.proposed_by,
            agreed_by=proposal.approved_by,
            reason=proposal.reason,
            now=now,
        )
    return len(corrections)


def propose_credited(
    connection: Connection[Row],
    *,
    change_ids: Sequence[UUID],
    credit_number: str,
    reason: str,
    by: str,
    now: datetime,
    through: str = "",
) -> Proposal:
    """Say that the ERP has a credit note for these changes; a second person agrees.

    :raises UserMistake: no credit is proposed for one of them, or they are of several entities.
    """
    if not credit_number.strip():
        raise UserMistake("which credit note is it?")
    changes = _these(connection, change_ids, states=("credit_proposed",))
    entities = {change.whose for change in changes}
    if len(entities) != 1:
        raise UserMistake("the changes are of several legal entities: say so for each of them")
    (entity_code,) = entities
    return propose(
        connection,
        kind=CREDITED,
        object=f"changes:{entity_code}",
        entity_code=entity_code,
        payload={
            "change_ids": [str(change.change_id) for change in changes],
            "credit_number": credit_number.strip(),
            "told": f"{len(changes)} hours credited by {credit_number.strip()}",
        },
        by=by,
        reason=reason,
        now=now,
        through=through,
    )


def carry_out_credited(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Take hours off an invoice that was credited: they are corrected and may be billed anew.

    :raises UserMistake: no credit is proposed for one of them any more.
    """
    assert proposal.approved_by is not None
    for change_id in proposal.payload["change_ids"]:
        try:
            connection.execute(
                "SELECT credit_line(%s, %s, %s, %s, %s), mark_credited(%s, %s)",
                (
                    UUID(change_id),
                    proposal.payload["credit_number"],
                    proposal.proposed_by,
                    proposal.approved_by,
                    now,
                    UUID(change_id),
                    now,
                ),
            )
        except psycopg.errors.NoDataFound as error:
            raise UserMistake(
                f"no credit is proposed any more for change {change_id}: turn it down"
            ) from error
    return len(proposal.payload["change_ids"])


def _agree(
    connection: Connection[Row],
    correction: Correction,
    *,
    asked_by: str,
    agreed_by: str,
    reason: str,
    now: datetime,
) -> None:
    change = correction.change
    connection.execute(
        "SELECT agree_on_change(%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            change.change_id,
            correction.reversal_period_id,
            correction.booking_period_id,
            correction.moves_money,
            asked_by,
            agreed_by,
            reason,
            now,
        ),
    )
    record_audit(
        connection,
        now=now,
        actor=agreed_by,
        action="change.agreed",
        object=f"time_entry:{change.entry_id}",
        entity_code=change.whose or None,
        reason=reason,
        data={"change_id": str(change.change_id), "proposed_by": asked_by},
    )


def _these(
    connection: Connection[Row],
    change_ids: Sequence[UUID],
    *,
    states: Sequence[str] = ("to_approve",),
) -> list[PostedChange]:
    if not change_ids:
        raise UserMistake("which changes?")
    if len(change_ids) > CHANGES_AT_ONCE_MAX:
        raise UserMistake(f"at most {CHANGES_AT_ONCE_MAX} changes at once")
    found, _ = list_changes(connection, change_ids=change_ids, limit=CHANGES_AT_ONCE_MAX)
    by_id = {change.change_id: change for change in found}
    for change_id in change_ids:
        if change_id not in by_id:
            raise UserMistake(f"no change {change_id} is in your sight")
        if by_id[change_id].state not in states:
            raise UserMistake(
                f"{by_id[change_id].source_ref} is {by_id[change_id].state.replace('_', ' ')}:"
                " there is nothing to agree to"
            )
    return [by_id[change_id] for change_id in sorted(set(change_ids))]


def _corrections(
    connection: Connection[Row], changes: Sequence[PostedChange], connectors: Connectors
) -> tuple[Correction, ...]:
    # Many changes are of few periods and targets: each is asked about once.
    @cache
    def next_open(entity_code: str, period_id: UUID) -> Row | None:
        return _next_open(connection, entity_code, period_id)

    @cache
    def must_be_able(target: str, entity_code: str) -> None:
        _must_be_able(connection, target, entity_code, connectors)

    def correct(change: PostedChange) -> Correction:
        reversal = booking = None
        if change.entity_code and change.period_id:
            reversal = next_open(change.entity_code, change.period_id)
        if change.new_seconds and change.new_entity_code and change.new_period_id:
            booking = next_open(change.new_entity_code, change.new_period_id)
        if reversal and change.target_connection:
            must_be_able(change.target_connection, change.whose)
        return _correction(change, reversal=reversal, booking=booking)

    return tuple(correct(change) for change in changes)


def _correction(change: PostedChange, *, reversal: Row | None, booking: Row | None) -> Correction:
    is_shifted = bool(reversal or booking)
    return Correction(
        change=change,
        reversal_period_id=reversal["period_id"] if reversal else None,
        reversal_period_code=reversal["period_code"] if reversal else None,
        booking_period_id=booking["period_id"] if booking else None,
        booking_period_code=booking["period_code"] if booking else None,
        moves_money=_moves_money(change, is_shifted=is_shifted),
    )


def _next_open(connection: Connection[Row], entity_code: str, period_id: UUID) -> Row | None:
    """Return the next open period after a closed one; None where the period itself is open."""
    row = connection.execute(
        """
        SELECT p.state, n.period_id, n.period_code FROM fiscal_period p
        LEFT JOIN LATERAL (
            SELECT n.period_id, n.period_code FROM fiscal_period n
            WHERE n.entity_code = p.entity_code AND n.state = 'open' AND n.starts_on >= p.ends_on
            ORDER BY n.starts_on LIMIT 1
        ) n ON true
        WHERE p.period_id = %s
        """,
        (period_id,),
    ).fetchone()
    if row is None or row["state"] == "open":
        return None
    if row["period_id"] is None:
        raise UserMistake(f"{entity_code} has no open period after the closed one: open one first")
    return row


def _must_be_able(
    connection: Connection[Row], target: str, entity_code: str, connectors: Connectors
) -> None:
    write = connectors.capabilities(connection_key=target).write_of(TimeLineCommand.noun)
    undo = write.undo_in_closed_period
    if undo is Undo.NONE:
        raise UserMistake(
            f"{target} takes nothing back from a closed period: open the period again,"
            " or have the change taken back in the time tool"
        )
    if undo is Undo.JOURNAL and find_accounts(connection, entity_code=entity_code) is None:
        raise UserMistake(
            f"{target} takes back by a journal, and no accounts are named for {entity_code}"
        )


def _moves_money(change: PostedChange, *, is_shifted: bool) -> bool:
    if change.old_amount is None or change.new_amount is None:
        # What nobody can price may move any amount, unless nothing was ever worth anything.
        return bool(change.old_amount) or bool(change.new_amount) or change.old_seconds > 0
    if not change.old_amount and not change.new_amount:
        return False
    before = (change.old_amount, change.old_currency, change.entity_code, change.project_code)
    after = (
        change.new_amount,
        change.new_currency,
        change.new_entity_code,
        change.new_project_code,
    )
    return is_shifted or before != after


def _content(correction: Correction) -> str:
    # What a second person agrees to is what the first one saw.
    change = correction.change
    words: list[Any] = [
        change.change_id,
        change.old_amount,
        change.old_currency,
        change.new_amount,
        change.new_currency,
        change.new_seconds,
        correction.reversal_period_id,
        correction.booking_period_id,
    ]
    return "|".join(str(word) for word in words)


def _told(corrections: Sequence[Correction]) -> str:
    sums = net_of(each.change for each in corrections)
    money = ", ".join(f"{amount:+} {currency}" for currency, amount in sorted(sums.items()))
    return f"{len(corrections)} hours changed, net {money or 'unpriced'}"

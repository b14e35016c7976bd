"""Let the ERP draft the invoice of a released contract, read it back and hold it to our ledger.

The draft is an effect like every write: reserved with a payload hash, called with no transaction
held, believed after it was read back. A second call finds what stands and repeats the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.canonical import BILLED_BY_SCHEDULE
from tieline.canonical.commands import content_hash
from tieline.casework import open_case
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.errors import (
    LeaseLost,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TielineError,
    TryAgain,
    UserMistake,
)
from tieline.kernel.failpoints import failpoint
from tieline.kernel.keys import SourceIdentity
from tieline.posting import EffectRequest, find_stop_in_the_way, states
from tieline.register import CURRENCY, Code, their_codes
from tieline.runtime.database import Database
from tieline.runtime.leases import Lease, Leases
from tieline.runtime.outbox import publish
from tieline.runtime.sql import load
from tieline.runtime.work import BILLING
from tieline.sdk import (
    BillsItems,
    HoursBilled,
    InvoiceDraft,
    InvoiceItem,
    Invoices,
)
from tieline.sdk.directory import Connectors
from tieline.services.billing_schedule import (
    is_by_schedule,
    keep_billed,
    load_due,
    read_items,
    write_items,
)
from tieline.services.billing_shares import (
    DrawnShare,
    Share,
    billed_on,
    is_whole,
    keep_share,
    load_drawn,
    load_splits,
    new_drawing,
    share_items,
    shares_on,
)
from tieline.services.billing_source import hour_items, is_from_ledger
from tieline.services.readiness_pricing import (
    TaskSum,
    expected_for,
    expected_lines,
    load_sums,
    rules_of,
    total,
)

_BILL_TO = load("tieline.services", "readiness_bill_to")
_LEASE_SECONDS = 30
_STOPPED_SECONDS = 60
_OPEN_STATES = (states.INTENT, states.UNKNOWN, states.PROBING)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """The invoices that stand for a contract's period; a mismatch is theirs minus ours."""

    invoice_ids: tuple[UUID, ...]
    target_codes: tuple[str, ...]
    currency: str
    untaxed_amount: Decimal
    expected_amount: Decimal
    is_new: bool

    @property
    def mismatch_amount(self) -> Decimal:
        return self.untaxed_amount - self.expected_amount


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDrafted:
    """No invoice yet: ``due_in_seconds`` when it is tried again, 0 when a person must act."""

    reason: str
    message: str
    due_in_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bill:
    """One document asked for: a project's hours, or what was agreed for a contract; or a client's share of it."""

    contract_id: UUID
    contract_code: str
    period_id: UUID
    period_code: str
    entity_code: str
    billing_method: str
    currency: str
    erp_currency: str
    up_to_on: date
    is_cut: bool
    deadline_at: datetime
    target: str
    project_id: UUID | None
    project_code: str
    erp_project_code: str
    erp_contract_code: str
    value_amount: Decimal | None
    contract_ends_on: date | None
    was_split: bool
    schedule_count: int
    drawn: DrawnShare | None = None

    @property
    def is_whole(self) -> bool:
        """Say whether the contract's agreed amounts are billed, and not its hours."""
        return self.billing_method in BILLED_BY_SCHEDULE

    @property
    def is_by_schedule(self) -> bool:
        return is_by_schedule(self.billing_method, self.schedule_count)

    @property
    def is_from_ledger(self) -> bool:
        return is_from_ledger(
            billing_method=self.billing_method,
            schedule_count=self.schedule_count,
            was_split=self.was_split,
        )

    @property
    def document(self) -> str:
        """Return the stable word of the document among those of its contract and period."""
        if self.is_whole:
            return ""
        return f"{self.project_code}|{self.up_to_on}" if self.is_cut else self.project_code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drafting:
    database: Database
    connectors: Connectors
    leases: Leases
    lease: Lease
    now: datetime
    correlation_id: str

    def renewed(self) -> _Drafting:
        """Return the same with the whole time of its lease ahead, for one more document.

        :raises TryAgain: somebody else may have taken over.
        """
        lease = self.leases.renew(self.lease, ttl_seconds=_LEASE_SECONDS)
        if lease is None:
            raise TryAgain(f"the lease {self.lease.name} passed on between two invoices")
        return replace(self, lease=lease)

    def run(self, bill: _Bill) -> Drafted | NotDrafted:
        invoices = cast(Invoices, self.connectors.get(connection_key=bill.target))
        with self.database.transaction() as connection:
            effect = _find_or_plan(
                connection,
                bill=bill,
                part=_part_of(bill),
                now=self.now,
                correlation_id=self.correlation_id,
            )
            recorded = _find_recorded(connection, business_key=effect["business_key"])
        key: UUID = effect["business_key"]
        if recorded:
            return _drafted(recorded, is_new=False)
        match effect["state"]:
            case states.CONFLICT:
                return NotDrafted(
                    reason="invoice.conflict", message=effect["reason"] or "", due_in_seconds=0
                )
            case states.INTENT:
                # We died between the reservation and the record: it may still commit.
                lost = OutcomeUnknown("the ERP may still make the invoice it was asked for")
                return self._unknown(bill, key, lost, reason="posting.interrupted")
            case states.UNKNOWN | states.PROBING:
                return self._ask(invoices, bill, key, was=effect["state"])
            case _:
                was_asked = effect["state"] == states.ABSENT
                return self._send(invoices, bill, key, was_asked=was_asked)

    def _send(
        self, invoices: Invoices, bill: _Bill, key: UUID, *, was_asked: bool
    ) -> Drafted | NotDrafted:
        attempt = self._reserve(bill, key)
        if isinstance(attempt, NotDrafted):
            return attempt
        failpoint("invoice.after_intent")
        self.lease.check()
        try:
            draft = self._call(invoices, bill, key)
        except NotExecuted as error:
            wait = error.retry_after_seconds or 2
            self._settle(key, attempt, to=states.PLANNED, reason=error.code, due_in_seconds=wait)
            return NotDrafted(reason=error.code, message=str(error), due_in_seconds=wait)
        except Refused as refusal:
            if was_asked and self._came_late(invoices, bill, key):
                return self._unknown(bill, key, refusal)
            self._settle(key, attempt, to=states.REJECTED, reason=refusal.reason)
            return NotDrafted(reason=refusal.reason, message=str(refusal), due_in_seconds=0)
        except (OutcomeUnknown, TryAgain) as error:
            return self._unknown(bill, key, error)
        except LeaseLost:
            raise
        except TielineError:
            self._move(key, to=states.UNKNOWN, reason="posting.interrupted")
            raise
        failpoint("invoice.after_answer")
        if draft is None:
            return self._ask(invoices, bill, key, was=states.INTENT, is_empty=True)
        return self._believe(invoices, bill, key, target_code=draft.target_code)

    def _came_late(self, invoices: Invoices, bill: _Bill, key: UUID) -> bool:
        """Say whether what an attempt before asked for may stand now: it took longer than the ERP says it may."""
        try:
            return bool(self._fresh(invoices, bill, key))
        except (OutcomeUnknown, TryAgain):
            return True

    def _fresh(self, invoices: Invoices, bill: _Bill, key: UUID) -> list[InvoiceDraft]:
        """Return what stands in the ERP and is recorded of no bill."""
        standing = self._read(invoices, bill, key)
        with self.database.transaction() as connection:
            return _not_recorded(connection, bill=bill, standing=standing)

    def _call(self, invoices: Invoices, bill: _Bill, key: UUID) -> InvoiceDraft | None:
        if bill.is_from_ledger:
            with self.database.transaction() as connection:
                items = _asked_items(connection, key=key)
                hours = _hours_of(connection, bill=bill)
            return cast(BillsItems, invoices).draft_items(
                business_key=key,
                entity_code=bill.entity_code,
                contract_code=bill.erp_contract_code,
                client_code=bill.drawn.client_code if bill.drawn else None,
                items=items,
                currency=bill.erp_currency,
                hours=hours,
            )
        return invoices.draft_invoice(
            entity_code=bill.entity_code,
            project_code=bill.erp_project_code,
            contract_code=bill.erp_contract_code,
            up_to=bill.up_to_on,
            billing_method=bill.billing_method,
        )

    def _reserve(self, bill: _Bill, key: UUID) -> int | NotDrafted:
        with self.database.transaction() as connection:
            if not states.acts(connection, target_connection=bill.target):
                return NotDrafted(
                    reason="readiness.erp_unavailable",
                    message=f"{bill.target} is paused or only observed: nothing is sent to it",
                    due_in_seconds=states.SHUT_SECONDS,
                )
            stopped = find_stop_in_the_way(connection, business_key=key)
            if stopped is not None:
                return NotDrafted(
                    reason="posting.stopped",
                    message=f"posting is stopped: {stopped}",
                    due_in_seconds=_STOPPED_SECONDS,
                )
            in_the_way = _not_released(connection, bill=bill) or _still_moves(connection, bill=bill)
            if in_the_way is not None:
                return in_the_way
            items = self._items(connection, bill) if bill.is_from_ledger else ()
            if bill.is_from_ledger and not items:
                return _nothing_due(bill)
            # What is asked for stands still from here on, whatever becomes of the schedule.
            content = _content(bill, expected=self._expected(connection, bill, key, items=items))
            content["items"] = write_items(items)
            attempt = states.to_intent(
                connection, business_key=key, payload_hash=content_hash(content)
            )
            connection.execute(
                "INSERT INTO effect_payload (business_key, content) VALUES (%s, %s)"
                " ON CONFLICT (business_key) DO UPDATE SET content = excluded.content",
                (key, Jsonb(content)),
            )
        return attempt

    def _believe(
        self, invoices: Invoices, bill: _Bill, key: UUID, *, target_code: str
    ) -> Drafted | NotDrafted:
        try:
            found = [
                each for each in self._read(invoices, bill, key) if each.target_code == target_code
            ]
        except (OutcomeUnknown, TryAgain) as error:
            return self._unknown(bill, key, error)
        if not found:
            return self._unknown(bill, key, OutcomeUnknown(f"invoice {target_code} is not there"))
        return self._record(bill, key, found[0])

    def _ask(
        self, invoices: Invoices, bill: _Bill, key: UUID, *, was: str, is_empty: bool = False
    ) -> Drafted | NotDrafted:
        with self.database.transaction() as connection:
            wait = states.seconds_until_due(connection, business_key=key)
            if wait > 0:
                return NotDrafted(
                    reason="invoice.unconfirmed",
                    message="the ERP is being asked whether it made the invoice",
                    due_in_seconds=wait,
                )
            if was == states.INTENT:
                states.move(connection, business_key=key, to=states.UNKNOWN)
            states.move(connection, business_key=key, to=states.PROBING)
        try:
            fresh = self._fresh(invoices, bill, key)
        except (OutcomeUnknown, TryAgain) as error:
            return self._unknown(bill, key, error)
        with self.database.transaction() as connection:
            expected = self._expected(connection, bill, key)
        if len(fresh) > 1:
            fresh = [each for each in fresh if each.untaxed_amount == expected] or fresh
        match len(fresh):
            case 1:
                return self._record(bill, key, fresh[0])
            case 0:
                self._move(key, to=states.ABSENT)
                return (
                    self._nothing(bill, key, expected)
                    if is_empty
                    else self._send(invoices, bill, key, was_asked=True)
                )
            case _:
                return self._conflict(key, fresh)

    def _nothing(self, bill: _Bill, key: UUID, expected: Decimal) -> NotDrafted:
        self._move(key, to=states.WITHDRAWN, reason="invoice.nothing_to_bill")
        if expected:
            return NotDrafted(
                reason="invoice.target_has_nothing",
                message=f"the ledger has {expected} {bill.currency} to bill for"
                f" {bill.contract_code}, the ERP has nothing uninvoiced",
                due_in_seconds=0,
            )
        return NotDrafted(
            reason="invoice.nothing_to_bill",
            message=f"{bill.contract_code} has nothing to bill",
            due_in_seconds=0,
        )

    def _conflict(self, key: UUID, found: Sequence[InvoiceDraft]) -> NotDrafted:
        names = ", ".join(each.target_code for each in found)
        message = f"more than one invoice stands that nobody asked for: {names}"
        self._move(key, to=states.CONFLICT, reason=message)
        return NotDrafted(reason="invoice.conflict", message=message, due_in_seconds=0)

    def _unknown(
        self, bill: _Bill, key: UUID, error: Exception, *, reason: str = "posting.answer_lost"
    ) -> NotDrafted:
        declared = self.connectors.capabilities(connection_key=bill.target).settle_seconds
        with self.database.transaction() as connection:
            wait = states.settle_seconds(connection, connection_key=bill.target, declared=declared)
            states.move(
                connection,
                business_key=key,
                to=states.UNKNOWN,
                reason=reason,
                due_in_seconds=wait,
            )
        return NotDrafted(reason="invoice.unconfirmed", message=str(error), due_in_seconds=wait)

    def _record(self, bill: _Bill, key: UUID, found: InvoiceDraft) -> Drafted:
        with self.database.transaction() as connection:
            sums = _sums(connection, bill=bill)
            expected = self._expected(connection, bill, key)
            # Hours and parts stand with the first invoice of those that make one whole.
            is_first = bill.drawn is None or not _is_begun(connection, drawn=bill.drawn)
            invoice_id = _insert_invoice(
                connection,
                bill=bill,
                order_number=_order_of(connection, bill=bill),
                key=key,
                found=found,
                expected=expected,
                ledger=sum((each.ledger_amount for each in sums), Decimal(0)),
                now=self.now,
                correlation_id=self.correlation_id,
            )
            self._insert_lines(connection, bill, key, invoice_id, found, sums)
            if bill.is_by_schedule and is_first:
                keep_billed(
                    connection,
                    contract_id=bill.contract_id,
                    entity_code=bill.entity_code,
                    invoice_id=invoice_id,
                    currency=bill.currency,
                    items=_whole_items(connection, bill=bill, key=key),
                    now=self.now,
                )
            if bill.is_from_ledger and not bill.is_whole and is_first:
                _bind_hours(connection, bill=bill, invoice_id=invoice_id)
            elif not bill.is_from_ledger and not bill.is_whole:
                _bind_ledger_lines(connection, bill=bill, invoice_id=invoice_id, found=found)
            _confirm(connection, key=key, target_code=found.target_code)
            self._tell(connection, bill, found, expected)
        return Drafted(
            invoice_ids=(invoice_id,),
            target_codes=(found.target_code,),
            currency=found.currency,
            untaxed_amount=found.untaxed_amount,
            expected_amount=expected,
            is_new=True,
        )

    def _insert_lines(
        self,
        connection: Connection[Row],
        bill: _Bill,
        key: UUID,
        invoice_id: UUID,
        found: InvoiceDraft,
        sums: Sequence[TaskSum],
    ) -> None:
        rules = rules_of(self.connectors, connection_key=bill.target)
        asked = _asked_items(connection, key=key)
        for number, line in enumerate(found.lines):
            # Lines come in the order in which they were sent.
            item = asked[number] if number < len(asked) else None
            ours = expected_for(
                sums, task_codes=line.task_codes, rules=rules, currency=bill.currency
            )
            ours_amount = ours.amount if ours else None
            ledger_amount = ours.ledger_amount if ours else None
            connection.execute(
                """
                INSERT INTO invoice_line_record (invoice_id, line_code, description, quantity, unit,
                    unit_price, amount, task_codes, expected_amount, ledger_amount)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                """,
                (
                    invoice_id,
                    line.line_code,
                    line.description,
                    line.quantity,
                    line.unit,
                    line.unit_price,
                    line.amount,
                    list(item.task_codes if item else line.task_codes),
                    item.amount if item else ours_amount,
                    item.amount if item else ledger_amount,
                ),
            )

    def _tell(
        self, connection: Connection[Row], bill: _Bill, found: InvoiceDraft, expected: Decimal
    ) -> None:
        publish(
            connection,
            type="invoice.drafted",
            subject_kind="contract",
            subject_id=str(bill.contract_id),
            entity_code=bill.entity_code,
            occurred_at=self.now,
            recorded_at=self.now,
            correlation_id=self.correlation_id,
            data={
                "period_code": bill.period_code,
                "target_code": found.target_code,
                "amount": str(found.untaxed_amount),
                "currency": found.currency,
            },
        )
        if found.untaxed_amount == expected and found.currency == bill.currency:
            return
        open_case(
            connection,
            request=CaseRequest(
                reason="invoice.total_differs",
                owner_queue="finance",
                thing_kind="invoice",
                thing_key=f"{bill.target}:{found.target_code}",
                entity_code=bill.entity_code,
                members=(
                    CaseMember(
                        kind="invoice",
                        key=found.target_code,
                        amount=abs(found.untaxed_amount - expected),
                        currency=bill.currency,
                    ),
                ),
                details={
                    "invoice": f"{found.untaxed_amount} {found.currency}",
                    "ledger": f"{expected} {bill.currency}",
                },
                due_at=bill.deadline_at,
            ),
            now=self.now,
            correlation_id=self.correlation_id,
        )

    def _expected(
        self,
        connection: Connection[Row],
        bill: _Bill,
        key: UUID,
        *,
        items: Sequence[InvoiceItem] | None = None,
    ) -> Decimal:
        if bill.is_from_ledger:
            asked = _asked_items(connection, key=key) if items is None else items
            return sum((each.amount for each in asked), Decimal(0))
        if bill.is_whole:
            return bill.value_amount or Decimal(0)
        rules = rules_of(self.connectors, connection_key=bill.target)
        return total(
            expected_lines(_sums(connection, bill=bill), rules=rules, currency=bill.currency)
        )

    def shares_of(self, bill: _Bill) -> tuple[_Bill, ...] | NotDrafted:
        """Return the bill itself, or, where its contract is split, what each client is billed of it.

        What was drawn for this release stays; else it is drawn while nothing of the contract moves.
        """
        with self.database.transaction() as connection:
            drawn = _drawn_of(connection, bill=bill)
            if drawn:
                return tuple(replace(bill, drawn=each) for each in drawn)
            told = load_splits(connection, contract_ids=[bill.contract_id], now=self.now)
            day = billed_on(last_day=bill.up_to_on, contract_ends_on=bill.contract_ends_on)
            shares = shares_on(told.get(bill.contract_id, ()), day)
            if not shares:
                return (bill,)
            return self._draw(connection, bill, shares)

    def _draw(
        self, connection: Connection[Row], bill: _Bill, shares: Sequence[Share]
    ) -> tuple[_Bill, ...] | NotDrafted:
        in_the_way = (
            _not_released(connection, bill=bill)
            or _unclear_shares(bill, shares)
            or _still_moves(connection, bill=bill)
        )
        if in_the_way is not None:
            return in_the_way
        items = self._items(connection, bill)
        if not items:
            return _nothing_due(bill)
        drawing_id = new_drawing()
        bills = []
        for share, lines in zip(
            shares,
            share_items(items, shares=shares, currency=bill.currency),
            strict=True,
        ):
            # What comes to nothing for a client is no invoice.
            if lines:
                bills.append(self._keep(connection, bill, drawing_id, share, lines))
        # In the order in which they are read when it goes on.
        return tuple(sorted(bills, key=_part_of))

    def _keep(
        self,
        connection: Connection[Row],
        bill: _Bill,
        drawing_id: UUID,
        share: Share,
        items: tuple[InvoiceItem, ...],
    ) -> _Bill:
        assert share.client_code is not None
        word = f"client:{share.client_code}"
        part = f"{bill.document}|{word}" if bill.document else word
        effect = _find_or_plan(
            connection, bill=bill, part=part, now=self.now, correlation_id=self.correlation_id
        )
        drawn = DrawnShare(
            business_key=effect["business_key"],
            drawing_id=drawing_id,
            document=bill.document,
            part=part,
            client_id=share.client_id,
            client_code=share.client_code,
            percent=share.percent,
            takes_rounding=share.takes_rounding,
            amount=sum((each.amount for each in items), Decimal(0)),
            currency=bill.currency,
            lines=write_items(items),
        )
        keep_share(
            connection,
            share=drawn,
            contract_id=bill.contract_id,
            period_id=bill.period_id,
            entity_code=bill.entity_code,
            now=self.now,
        )
        return replace(bill, drawn=drawn)

    def _items(self, connection: Connection[Row], bill: _Bill) -> tuple[InvoiceItem, ...]:
        """Return the lines of an invoice of our ledger's amounts: a share's as drawn, else what is due."""
        if bill.drawn is not None:
            return bill.drawn.items
        if bill.is_by_schedule:
            return self._due_items(connection, bill)
        if bill.is_whole:
            return _whole_fee(connection, bill=bill)
        return hour_items(_sums(connection, bill=bill))

    def _due_items(self, connection: Connection[Row], bill: _Bill) -> tuple[InvoiceItem, ...]:
        due = load_due(
            connection, contract_ids=[bill.contract_id], period_id=bill.period_id, now=self.now
        )
        parts = due.get((bill.contract_id, bill.period_id), ())
        return tuple(part.as_item() for part in parts if part.is_due)

    def _read(self, invoices: Invoices, bill: _Bill, key: UUID) -> list[InvoiceDraft]:
        """Return the invoices that the ERP has, in our word for the currency."""
        return [
            replace(found, currency=bill.currency) if found.currency == bill.erp_currency else found
            for found in self._read_theirs(invoices, bill, key)
        ]

    def _read_theirs(self, invoices: Invoices, bill: _Bill, key: UUID) -> list[InvoiceDraft]:
        if bill.is_from_ledger:
            return cast(BillsItems, invoices).read_items(
                business_key=key, entity_code=bill.entity_code
            )
        return invoices.read_invoices(
            entity_code=bill.entity_code,
            project_code="" if bill.is_whole else bill.erp_project_code,
            contract_code=bill.erp_contract_code if bill.is_whole else "",
        )

    def _settle(
        self, key: UUID, attempt: int, *, to: str, reason: str, due_in_seconds: int = 0
    ) -> None:
        with self.database.transaction() as connection:
            states.settle_attempt(
                connection,
                business_key=key,
                attempt=attempt,
                to=to,
                reason=reason,
                due_in_seconds=due_in_seconds,
            )

    def _move(
        self, key: UUID, *, to: str, reason: str | None = None, due_in_seconds: int = 0
    ) -> None:
        with self.database.transaction() as connection:
            states.move(
                connection,
                business_key=key,
                to=to,
                reason=reason,
                due_in_seconds=due_in_seconds,
            )


def draft_invoice(
    database: Database,
    connectors: Connectors,
    *,
    contract_id: UUID,
    period_id: UUID,
    now: datetime,
    correlation_id: str,
) -> Drafted | NotDrafted:
    """Bring about the invoice of a released contract's period, or say what it waits for.

    :raises UserMistake: the contract is not released for the period.
    """
    with database.transaction() as connection:
        bills = _bills(connection, contract_id=contract_id, period_id=period_id)
        if not bills:
            return _already_drafted(connection, contract_id=contract_id, period_id=period_id)
    leases = Leases(database=database, holder=f"invoice:{uuid4()}")
    lease = leases.acquire(name=f"invoice:{contract_id}:{period_id}", ttl_seconds=_LEASE_SECONDS)
    if lease is None:
        return NotDrafted(
            reason="invoice.under_way",
            message="somebody else is drafting it",
            due_in_seconds=_LEASE_SECONDS,
        )
    try:
        drafting = _Drafting(
            database=database,
            connectors=connectors,
            leases=leases,
            lease=lease,
            now=now,
            correlation_id=correlation_id,
        )
        return _draft_all(drafting, bills)
    finally:
        leases.release(lease)


def _draft_all(drafting: _Drafting, bills: Sequence[_Bill]) -> Drafted | NotDrafted:
    done: list[Drafted] = []
    for bill in bills:
        outcome = _draft_shares(drafting, bill)
        match outcome:
            case NotDrafted(reason="invoice.nothing_to_bill") if len(bills) > 1:
                # One project of several had no hours; the others are billed all the same.
                continue
            case NotDrafted():
                return outcome
            case _:
                done += outcome
    with drafting.database.transaction() as connection:
        _unlock(connection, bill=bills[0], now=drafting.now)
    return Drafted(
        invoice_ids=tuple(one for each in done for one in each.invoice_ids),
        target_codes=tuple(one for each in done for one in each.target_codes),
        currency=bills[0].currency,
        untaxed_amount=sum((each.untaxed_amount for each in done), Decimal(0)),
        expected_amount=sum((each.expected_amount for each in done), Decimal(0)),
        is_new=any(each.is_new for each in done),
    )


def _draft_shares(drafting: _Drafting, bill: _Bill) -> list[Drafted] | NotDrafted:
    """Draft a document, or the one of each client who pays a share of it."""
    shares = drafting.shares_of(bill)
    if isinstance(shares, NotDrafted):
        return shares
    done: list[Drafted] = []
    for share in shares:
        outcome = drafting.renewed().run(share)
        if isinstance(outcome, NotDrafted):
            return outcome
        done.append(outcome)
    return done


# -- rows ------------------------------------------------------------------------------------------


def _bills(connection: Connection[Row], *, contract_id: UUID, period_id: UUID) -> tuple[_Bill, ...]:
    rows = connection.execute(
        _BILL_TO,
        {
            "contract_id": contract_id,
            "period_id": period_id,
            "whole": sorted(BILLED_BY_SCHEDULE),
        },
    ).fetchall()
    bills = _in_erp_words(connection, rows)
    if bills and bills[0].is_whole:
        return bills[:1]
    return bills


def _in_erp_words(connection: Connection[Row], rows: Sequence[Row]) -> tuple[_Bill, ...]:
    """Return what is asked for, in the ERP's word for the currency: the one that the contract went out with."""
    codes = [
        Code(
            connection_key=row["target"],
            kind=CURRENCY,
            entity_code=row["entity_code"],
            code=row["currency"],
            on=row.pop("contract_starts_on"),
        )
        for row in rows
    ]
    theirs = their_codes(connection, asked=codes)
    return tuple(
        _Bill(**row, erp_currency=theirs.get(code) or code.code)
        for row, code in zip(rows, codes, strict=True)
    )


def _already_drafted(connection: Connection[Row], *, contract_id: UUID, period_id: UUID) -> Drafted:
    rows = connection.execute(
        "SELECT * FROM invoice_record WHERE (contract_id, period_id) = (%s, %s) ORDER BY recorded_at",
        (contract_id, period_id),
    ).fetchall()
    if not rows:
        raise UserMistake("the contract is not released for this period: release it first")
    return _drafted(rows, is_new=False)


def _find_recorded(connection: Connection[Row], *, business_key: UUID) -> list[Row]:
    return connection.execute(
        "SELECT * FROM invoice_record WHERE business_key = %s", (business_key,)
    ).fetchall()


def _drafted(rows: Sequence[Row], *, is_new: bool) -> Drafted:
    return Drafted(
        invoice_ids=tuple(row["invoice_id"] for row in rows),
        target_codes=tuple(row["target_code"] for row in rows),
        currency=rows[0]["currency"],
        untaxed_amount=sum((row["untaxed_amount"] for row in rows), Decimal(0)),
        expected_amount=sum((row["expected_amount"] for row in rows), Decimal(0)),
        is_new=is_new,
    )


def _find_or_plan(
    connection: Connection[Row], *, bill: _Bill, part: str, now: datetime, correlation_id: str
) -> Row:
    request = EffectRequest(
        source=SourceIdentity(
            connection_key="tieline",
            source_epoch=0,
            object="contract_period",
            source_ref=f"{bill.contract_code}|{bill.period_code}",
        ),
        target_connection=bill.target,
        noun="invoice",
        part=part,
        entity_code=bill.entity_code,
        work_class=BILLING,
        deadline_at=bill.deadline_at,
        release_id=None,
        correlation_id=correlation_id,
        project_id=bill.project_id,
    )
    return states.find_or_plan(connection, request=request, now=now, lease_at=None).effect


def _asked_items(connection: Connection[Row], *, key: UUID) -> tuple[InvoiceItem, ...]:
    """Return the lines that were asked for under a key."""
    row = connection.execute(
        "SELECT content ->> 'items' AS items FROM effect_payload WHERE business_key = %s", (key,)
    ).fetchone()
    return read_items(row["items"] if row else None)


def _content(bill: _Bill, *, expected: Decimal) -> dict[str, str]:
    return {
        "entity_code": bill.entity_code,
        "contract_code": bill.erp_contract_code,
        "project_code": bill.erp_project_code,
        "billing_method": bill.billing_method,
        "up_to": bill.up_to_on.isoformat(),
        "currency": bill.currency,
        "untaxed_amount": str(expected),
    }


def _not_released(connection: Connection[Row], *, bill: _Bill) -> NotDrafted | None:
    """Say that the release was taken back; one that stands waits for this transaction."""
    standing = connection.execute(
        "SELECT FROM release_lock WHERE (contract_id, period_id) = (%s, %s)"
        " AND unlocked_at IS NULL FOR SHARE",
        (bill.contract_id, bill.period_id),
    ).fetchone()
    if standing is not None:
        return None
    return NotDrafted(
        reason="invoice.not_released",
        message=f"the release of {bill.contract_code} was taken back",
        due_in_seconds=0,
    )


def _part_of(bill: _Bill) -> str:
    return bill.drawn.part if bill.drawn else bill.document


def _still_moves(connection: Connection[Row], *, bill: _Bill) -> NotDrafted | None:
    """Say what still moves of what is to be billed; the period is ours until the transaction ends."""
    # Writers share the period; whoever still writes is done, or waits, when we look.
    connection.execute(
        "SELECT FROM fiscal_period WHERE entity_code = %s AND starts_on <= %s"
        " ORDER BY period_id FOR UPDATE",
        (bill.entity_code, bill.up_to_on),
    )
    if _has_open_lines(connection, bill=bill):
        return NotDrafted(
            reason="readiness.writes_unconfirmed",
            message="the ERP is still being asked about hours of the contract",
            due_in_seconds=5,
        )
    orders = _orders(connection, bill=bill)
    if len(orders) > 1:
        return NotDrafted(
            reason="invoice.orders_side_by_side",
            message=f"the hours of {bill.project_code} belong to the orders"
            f" {', '.join(orders)}, and {bill.target} makes one invoice of them",
            due_in_seconds=0,
        )
    return None


def _nothing_due(bill: _Bill) -> NotDrafted:
    return NotDrafted(
        reason="invoice.nothing_to_bill",
        message=f"nothing of {bill.contract_code} is due",
        due_in_seconds=0,
    )


def _unclear_shares(bill: _Bill, shares: Sequence[Share]) -> NotDrafted | None:
    """Say why shares cannot be drawn: they may have changed since the contract was released."""
    if not is_whole(shares):
        return NotDrafted(
            reason="readiness.split_not_whole",
            message=f"the shares of {bill.contract_code} do not make a whole",
            due_in_seconds=0,
        )
    if any(share.client_code is None for share in shares):
        return NotDrafted(
            reason="readiness.split_client_unlinked",
            message=f"{bill.target} does not know every client who pays a share of"
            f" {bill.contract_code}",
            due_in_seconds=0,
        )
    return None


def _drawn_of(connection: Connection[Row], *, bill: _Bill) -> list[DrawnShare]:
    """Return the shares of a document as they were drawn for its release."""
    drawn = load_drawn(connection, contract_ids=[bill.contract_id])
    return [
        each
        for each in drawn.get((bill.contract_id, bill.period_id), ())
        if each.document == bill.document
    ]


def _is_begun(connection: Connection[Row], *, drawn: DrawnShare) -> bool:
    """Say whether one of the clients of a drawing has an invoice already."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM invoice_share s JOIN invoice_record r USING (business_key)"
        " WHERE s.drawing_id = %s) AS is_begun",
        (drawn.drawing_id,),
    ).fetchone()
    return bool(row and row["is_begun"])


def _whole_items(connection: Connection[Row], *, bill: _Bill, key: UUID) -> tuple[InvoiceItem, ...]:
    """Return the parts that a document takes, with what all its clients pay of each."""
    if bill.drawn is None:
        return _asked_items(connection, key=key)
    whole: dict[str, InvoiceItem] = {}
    for share in _drawn_of(connection, bill=bill):
        for item in share.items:
            before = whole.get(item.item_code)
            amount = item.amount + (before.amount if before else Decimal(0))
            whole[item.item_code] = replace(item, amount=amount)
    return tuple(whole.values())


def _whole_fee(connection: Connection[Row], *, bill: _Bill) -> tuple[InvoiceItem, ...]:
    """Return a fixed fee without a schedule as one line, unless an invoice took it."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM invoice_record WHERE contract_id = %s) AS is_billed",
        (bill.contract_id,),
    ).fetchone()
    if not bill.value_amount or (row and row["is_billed"]):
        return ()
    name = bill.contract_code
    return (
        InvoiceItem(
            item_code="", item=name, description=name, amount=bill.value_amount, task_codes=()
        ),
    )


def _hours_of(connection: Connection[Row], *, bill: _Bill) -> HoursBilled | None:
    """Return the hours that an invoice of our amounts is for: those that no invoice took."""
    if bill.is_whole:
        return None
    rows = connection.execute(
        """
        SELECT DISTINCT l.business_key FROM ledger_line l
        WHERE l.project_id = %s AND l.work_date <= %s AND l.is_billable
          AND NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = l.business_key)
        """,
        (bill.project_id, bill.up_to_on),
    ).fetchall()
    return HoursBilled(
        project_code=bill.erp_project_code, keys=tuple(row["business_key"] for row in rows)
    )


def _has_open_lines(connection: Connection[Row], *, bill: _Bill) -> bool:
    row = connection.execute(
        """
        SELECT EXISTS (
            SELECT FROM effect e JOIN project j ON j.project_id = e.project_id
            JOIN fiscal_period p ON p.period_id = e.period_id
            WHERE j.contract_id = %s AND e.noun = 'time_line' AND e.state = ANY (%s)
              AND p.starts_on <= %s) AS is_open
        """,
        (bill.contract_id, list(_OPEN_STATES), bill.up_to_on),
    ).fetchone()
    return bool(row and row["is_open"])


def _sums(connection: Connection[Row], *, bill: _Bill) -> list[TaskSum]:
    found = load_sums(
        connection,
        contract_ids=[bill.contract_id],
        period_id=bill.period_id,
        up_to_on=None if bill.is_whole else bill.up_to_on,
    )
    return [
        each
        for each in found.get((bill.contract_id, bill.period_id), ())
        if each.project_id == bill.project_id
    ]


def _orders(connection: Connection[Row], *, bill: _Bill) -> list[str]:
    """Return the client's orders that pay for what the bill would hold, where any were told."""
    if bill.is_whole:
        return []
    rows = connection.execute(
        """
        SELECT DISTINCT order_of(l.contract_id, coalesce(t.task_name, ''), l.work_date) AS order_number
        FROM ledger_line l LEFT JOIN task t ON t.task_id = l.task_id
        WHERE l.project_id = %s AND l.work_date <= %s AND l.is_billable
          AND NOT EXISTS (SELECT FROM invoice_ledger_line i WHERE i.business_key = l.business_key)
          AND EXISTS (SELECT FROM purchase_order o WHERE o.contract_id = l.contract_id)
        ORDER BY 1
        """,
        (bill.project_id, bill.up_to_on),
    ).fetchall()
    return [row["order_number"] for row in rows if row["order_number"]]


def _order_of(connection: Connection[Row], *, bill: _Bill) -> str | None:
    """Return the client's order that pays for the bill: of a share, the one of the whole."""
    if bill.drawn is not None:
        row = connection.execute(
            "SELECT min(r.order_number) AS order_number FROM invoice_share s"
            " JOIN invoice_record r USING (business_key) WHERE s.drawing_id = %s",
            (bill.drawn.drawing_id,),
        ).fetchone()
        if row and row["order_number"]:
            order_number: str = row["order_number"]
            return order_number
    return next(iter(_orders(connection, bill=bill)), None)


def _not_recorded(
    connection: Connection[Row], *, bill: _Bill, standing: Sequence[InvoiceDraft]
) -> list[InvoiceDraft]:
    rows = connection.execute(
        "SELECT target_code FROM invoice_record WHERE target_connection = %s", (bill.target,)
    ).fetchall()
    known = {row["target_code"] for row in rows}
    return [
        each for each in standing if each.target_code not in known and each.state != "cancelled"
    ]


def _insert_invoice(
    connection: Connection[Row],
    *,
    bill: _Bill,
    order_number: str | None,
    key: UUID,
    found: InvoiceDraft,
    expected: Decimal,
    ledger: Decimal,
    now: datetime,
    correlation_id: str,
) -> UUID:
    row = connection.execute(
        """
        INSERT INTO invoice_record (contract_id, period_id, project_id, entity_code, business_key,
            target_connection, target_code, number, state, currency, untaxed_amount, total_amount,
            expected_amount, ledger_amount, recorded_at, correlation_id, order_number, is_from_ledger)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        RETURNING invoice_id
        """,
        (
            bill.contract_id,
            bill.period_id,
            bill.project_id,
            bill.entity_code,
            key,
            bill.target,
            found.target_code,
            found.number,
            found.state,
            found.currency,
            found.untaxed_amount,
            found.total_amount,
            expected,
            expected if bill.is_whole or bill.is_from_ledger else ledger,
            now,
            correlation_id,
            order_number,
            bill.is_from_ledger,
        ),
    ).fetchone()
    assert row is not None
    invoice_id: UUID = row["invoice_id"]
    return invoice_id


def _bind_ledger_lines(
    connection: Connection[Row], *, bill: _Bill, invoice_id: UUID, found: InvoiceDraft
) -> None:
    # What rounds to nothing stays uninvoiced at the target, and so it does here.
    task_codes = sorted({code for line in found.lines for code in line.task_codes})
    connection.execute(
        """
        INSERT INTO invoice_ledger_line (business_key, invoice_id)
        SELECT l.business_key, %s FROM ledger_line l
        JOIN crosswalk x ON x.noun = 'erp_task' AND x.our_id = l.contract_line_id
             AND x.connection_key = l.target_connection AND x.superseded_at IS NULL
             AND daterange(x.starts_on, x.ends_on) @> l.work_date
        WHERE l.project_id = %s AND l.work_date <= %s AND x.source_ref = ANY (%s) AND l.is_billable
        ON CONFLICT (business_key) DO NOTHING
        """,
        (invoice_id, bill.project_id, bill.up_to_on, task_codes),
    )


def _bind_hours(connection: Connection[Row], *, bill: _Bill, invoice_id: UUID) -> None:
    """Let the hours that our amounts were for stand on their invoice; a release holds them until then."""
    connection.execute(
        """
        INSERT INTO invoice_ledger_line (business_key, invoice_id)
        SELECT l.business_key, %s FROM ledger_line l
        WHERE l.project_id = %s AND l.work_date <= %s AND l.is_billable
        ON CONFLICT (business_key) DO NOTHING
        """,
        (invoice_id, bill.project_id, bill.up_to_on),
    )


def _confirm(connection: Connection[Row], *, key: UUID, target_code: str) -> None:
    states.move(connection, business_key=key, to=states.CONFIRMED, target_code=target_code)


def _unlock(connection: Connection[Row], *, bill: _Bill, now: datetime) -> None:
    connection.execute(
        "UPDATE release_lock SET unlocked_at = %s, unlocked_because = 'invoiced'"
        " WHERE contract_id = %s AND period_id = %s AND unlocked_at IS NULL",
        (now, bill.contract_id, bill.period_id),
    )
    connection.execute(
        "UPDATE readiness SET state = 'invoiced' WHERE (contract_id, period_id) = (%s, %s)",
        (bill.contract_id, bill.period_id),
    )

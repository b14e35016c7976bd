"""Let the ERP draft the invoice of a released contract, read it back and hold it to our ledger.

The draft is an effect like every write: reserved with a payload hash, called with no transaction
held, believed after it was read back. A second call finds what stands and repeats the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from tieline.runtime.database import Database
from tieline.runtime.leases import Lease, Leases
from tieline.runtime.outbox import publish
from tieline.runtime.sql import load
from tieline.runtime.work import BILLING
from tieline.sdk import BillsItems, InvoiceDraft, InvoiceItem, Invoices
from tieline.sdk.directory import Connectors
from tieline.services.billing_schedule import (
    is_by_schedule,
    keep_billed,
    load_due,
    read_items,
    write_items,
)
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
    """One document asked for: a project's hours, or what was agreed for a contract."""

    contract_id: UUID
    contract_code: str
    period_id: UUID
    period_code: str
    entity_code: str
    billing_method: str
    currency: str
    up_to_on: date
    is_cut: bool
    deadline_at: datetime
    target: str
    project_id: UUID | None
    project_code: str
    erp_project_code: str
    erp_contract_code: str
    value_amount: Decimal | None
    schedule_count: int

    @property
    def is_whole(self) -> bool:
        """Say whether the contract's agreed amounts are billed, and not its hours."""
        return self.billing_method in BILLED_BY_SCHEDULE

    @property
    def is_by_schedule(self) -> bool:
        return is_by_schedule(self.billing_method, self.schedule_count)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drafting:
    database: Database
    connectors: Connectors
    lease: Lease
    now: datetime
    correlation_id: str

    def run(self, bill: _Bill) -> Drafted | NotDrafted:
        invoices = cast(Invoices, self.connectors.get(connection_key=bill.target))
        with self.database.transaction() as connection:
            effect = _find_or_plan(
                connection, bill=bill, now=self.now, correlation_id=self.correlation_id
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
                return self._send(invoices, bill, key)

    def _send(self, invoices: Invoices, bill: _Bill, key: UUID) -> Drafted | NotDrafted:
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

    def _call(self, invoices: Invoices, bill: _Bill, key: UUID) -> InvoiceDraft | None:
        if bill.is_by_schedule:
            with self.database.transaction() as connection:
                items = _asked_items(connection, key=key)
            return cast(BillsItems, invoices).draft_items(
                business_key=key,
                entity_code=bill.entity_code,
                contract_code=bill.erp_contract_code,
                items=items,
                currency=bill.currency,
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
            items = self._due_items(connection, bill) if bill.is_by_schedule else ()
            if bill.is_by_schedule and not items:
                return NotDrafted(
                    reason="invoice.nothing_to_bill",
                    message=f"no part of the schedule of {bill.contract_code} is due",
                    due_in_seconds=0,
                )
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
            standing = self._read(invoices, bill, key)
        except (OutcomeUnknown, TryAgain) as error:
            return self._unknown(bill, key, error)
        with self.database.transaction() as connection:
            expected = self._expected(connection, bill, key)
            fresh = _not_recorded(connection, bill=bill, standing=standing)
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
                    else self._again(invoices, bill, key)
                )
            case _:
                return self._conflict(key, fresh)

    def _again(self, invoices: Invoices, bill: _Bill, key: UUID) -> Drafted | NotDrafted:
        return self._send(invoices, bill, key)

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
            invoice_id = _insert_invoice(
                connection,
                bill=bill,
                order_number=next(iter(_orders(connection, bill=bill)), None),
                key=key,
                found=found,
                expected=expected,
                ledger=sum((each.ledger_amount for each in sums), Decimal(0)),
                now=self.now,
                correlation_id=self.correlation_id,
            )
            self._insert_lines(connection, bill, invoice_id, found, sums)
            if bill.is_by_schedule:
                keep_billed(
                    connection,
                    contract_id=bill.contract_id,
                    entity_code=bill.entity_code,
                    invoice_id=invoice_id,
                    currency=bill.currency,
                    items=_asked_items(connection, key=key),
                    now=self.now,
                )
            if not bill.is_whole:
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
        invoice_id: UUID,
        found: InvoiceDraft,
        sums: Sequence[TaskSum],
    ) -> None:
        rules = rules_of(self.connectors, connection_key=bill.target)
        for line in found.lines:
            ours = expected_for(
                sums, task_codes=line.task_codes, rules=rules, currency=bill.currency
            )
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
                    list(line.task_codes),
                    ours.amount if ours else None,
                    ours.ledger_amount if ours else None,
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
        if bill.is_by_schedule:
            asked = _asked_items(connection, key=key) if items is None else items
            return sum((each.amount for each in asked), Decimal(0))
        if bill.is_whole:
            return bill.value_amount or Decimal(0)
        rules = rules_of(self.connectors, connection_key=bill.target)
        return total(
            expected_lines(_sums(connection, bill=bill), rules=rules, currency=bill.currency)
        )

    def _due_items(self, connection: Connection[Row], bill: _Bill) -> tuple[InvoiceItem, ...]:
        due = load_due(
            connection, contract_ids=[bill.contract_id], period_id=bill.period_id, now=self.now
        )
        parts = due.get((bill.contract_id, bill.period_id), ())
        return tuple(part.as_item() for part in parts if part.is_due)

    def _read(self, invoices: Invoices, bill: _Bill, key: UUID) -> list[InvoiceDraft]:
        if bill.is_by_schedule:
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
        outcome = drafting.run(bill)
        match outcome:
            case Drafted():
                done.append(outcome)
            case NotDrafted(reason="invoice.nothing_to_bill") if len(bills) > 1:
                # One project of several had no hours; the others are billed all the same.
                continue
            case NotDrafted():
                return outcome
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
    bills = tuple(_Bill(**row) for row in rows)
    if bills and bills[0].is_whole:
        return bills[:1]
    return bills


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
    connection: Connection[Row], *, bill: _Bill, now: datetime, correlation_id: str
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
        part=_part(bill),
        entity_code=bill.entity_code,
        work_class=BILLING,
        deadline_at=bill.deadline_at,
        release_id=None,
        correlation_id=correlation_id,
        project_id=bill.project_id,
    )
    standing = states.find_newest(connection, request=request)
    if standing is not None:
        return standing
    effect_no = states.next_effect_no(connection, request=request)
    return states.plan_write(connection, request=request, effect_no=effect_no, now=now)


def _part(bill: _Bill) -> str:
    if bill.is_whole:
        return ""
    return f"{bill.project_code}|{bill.up_to_on}" if bill.is_cut else bill.project_code


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
            expected_amount, ledger_amount, recorded_at, correlation_id, order_number)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
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
            expected if bill.is_whole else ledger,
            now,
            correlation_id,
            order_number,
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

"""The protocols a connector fulfils. All are optional but ``Checks``; the manifest says which.

Every method is synchronous and raises the errors of ``tieline.kernel.errors`` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from tieline.canonical import Command, Content, FieldCommand, TimeLineCommand
from tieline.canonical.nouns import (
    Client,
    Contact,
    Opportunity,
    Person,
    StaffingFact,
    TimeEntry,
    WorkItem,
)
from tieline.kernel.clock import Clock

Noun = TimeEntry | Client | Contact | Opportunity | Person | StaffingFact | WorkItem


class PacedCall(Protocol):
    """A call that may go; exactly one of these is told about it."""

    def answered(
        self, *, status: int, headers: Mapping[str, str], wait_seconds: int | None
    ) -> None:
        """Tell of a complete answer, and of the wait that it asks for."""
        ...

    def failed(self) -> None:
        """Tell that no answer came, or not all of one."""
        ...

    def not_made(self) -> None:
        """Tell that nothing was sent after all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One configured account of one system.

    ``config`` is the parsed TOML of the connection, ``secrets`` its decrypted credentials,
    ``allowed_hosts`` (host:port) the only places calls may go. ``before_call`` is called before
    each single request, so that one page which takes several of them is paced too, and what it
    returns is told what came of the call; ``before_write`` directly before the first byte of a
    write, so that a sender who woke up late gives up. ``clock`` tells up to when changes may be
    believed (``sdk.reach``).
    """

    connection_key: str
    base_url: str
    config: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    allowed_hosts: frozenset[str]
    timeout_seconds: int = 10
    before_call: Callable[[], PacedCall | None] | None = field(
        default=None, repr=False, compare=False
    )
    before_write: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    clock: Clock | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckItem:
    """One thing a check looked at; ``fix`` is a sentence when it failed."""

    name: str
    is_good: bool
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """Say whether a connection may be saved."""

    items: tuple[CheckItem, ...]

    @property
    def is_good(self) -> bool:
        return all(item.is_good for item in self.items)


class Checks(Protocol):
    def check(self) -> CheckReport:
        """Try credentials, permissions and named fields before anything is saved."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRecord:
    """Keep one record exactly as it came; ``source_at`` is the source's own last change."""

    object: str
    source_ref: str
    body: bytes
    source_at: datetime | None
    line_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a stream.

    ``cursor`` is opaque to everybody else: stored after the page has landed, handed back later.
    ``total`` is the vendor's own count of the window where it tells one.
    """

    records: tuple[RawRecord, ...]
    cursor: str
    total: int | None
    is_last: bool


class Reads(Protocol):
    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        """Yield pages in order from the cursor (None or full: from the beginning).

        An empty page after 401, 403 or 404 is never yielded: it raises.
        """
        ...


class ReadsOne(Protocol):
    def read_one(self, *, object: str, source_ref: str) -> RawRecord | None:
        """Return the record, or None only for the vendor's 404 or 410."""
        ...


class ReadsBack(Protocol):
    """A system that tells what a write made by its own number; without it the write is looked for by its key."""

    def read_back(self, *, command: Command, target_code: str) -> Sequence[Stored]:
        """Return what stands under the number that the receipt named, where it carries the command's key.

        It is asked after a first attempt alone: after any other, more than one may stand, and ``probe`` is asked.
        """
        ...


class ReadsMany(Protocol):
    """A system that tells many records of one object in few calls; without it each is read alone."""

    def read_many(self, *, object: str, source_refs: Sequence[str]) -> Sequence[RawRecord]:
        """Return those of the records that are there, in any order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """One record in canonical form. ``is_deleted`` where the record itself says so."""

    noun: Noun
    is_deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Untranslatable:
    """One record that could not be understood: a case with this reason, never a guess."""

    reason: str
    message: str
    field: str = ""


class Translates(Protocol):
    def translate(self, *, record: RawRecord) -> Translated | Untranslatable:
        """Return the canonical form; pure: no clock, no I/O."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A target's answer to one write: its own code for the record.

    ``business_key`` where the answer itself names the line it speaks for: answers may come in any
    order, and for fewer lines than were sent.
    """

    target_code: str
    business_key: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A target's no to one line of a batch whose others it took; ``may_pass`` when it may say yes later."""

    business_key: UUID
    reason: str
    may_pass: bool = False


LineAnswer = Receipt | RefusedLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a target holds under our key, in the words of ``Command.content``."""

    target_code: str
    content: Content


def stands(*, command: FieldCommand, held: Content) -> list[Stored]:
    """Return what a record holds of a command's fields; nothing while it holds what it held before."""
    if held != command.values and held == command.before:
        return []
    return [Stored(target_code=command.record_code, content=held)]


class Writes(Protocol):
    def write(self, *, command: Command) -> Receipt:
        """Send once.

        :raises NotExecuted: it surely did not happen.
        :raises AlreadyExists: a record stands under the key.
        :raises Refused: the target refused it for a reason.
        :raises OutcomeUnknown: nobody can say without asking; so counts every other ``TryAgain``.
        """
        ...

    def probe(self, *, command: Command) -> Sequence[Stored]:
        """Return every record that stands under the command's key; empty = absent."""
        ...

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        """Take a record of ours back as the manifest declares; return how (``deleted``, ...).

        :raises Refused: the target does not allow it in the record's state.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A time line as the target holds it; ``invoice_code`` once it stands on an invoice."""

    business_key: UUID | None
    target_code: str
    entity_code: str
    person_code: str
    task_code: str
    work_date: date
    seconds: int
    invoice_code: str | None

    def content(self) -> Content:
        return {
            "person_code": self.person_code,
            "task_code": self.task_code,
            "work_date": self.work_date.isoformat(),
            "seconds": str(self.seconds),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTotal:
    """The target's own sum for one project and period."""

    project_code: str
    seconds: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A record that may have changed; ``event_id`` tells repetitions."""

    object: str
    source_ref: str
    event_id: str


class TakesWebhooks(Protocol):
    def read_webhook(
        self, *, method: str, url: str, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> Sequence[Hint]:
        """Return the hints of a call that proves where it comes from.

        :raises AskPerson: it does not.
        :raises UserMistake: it does, and cannot be read.
        """
        ...


class HearsEvents(Protocol):
    """A receiver that wants to hear what happens in the business."""

    def tell(self, *, event_id: str, event: Mapping[str, Any]) -> None:
        """Send one CloudEvent once; return when the receiver took it.

        :raises TielineError: it did not, or nobody can say: the event is sent again under its id.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to people, in plain text.

    ``notice_key`` stays the same however often it is sent. ``recipient`` names whom it is for in our
    words (``person:ann``, ``queue:finance``), ``address`` where this channel reaches them: empty where
    the channel leads to one place. ``acknowledge_url`` opens a page for who holds it: it goes to the
    recipient and into no log.
    """

    notice_key: UUID
    kind: str
    is_urgent: bool
    recipient: str
    address: str = field(repr=False)
    subject: str
    text: str = field(repr=False)
    entity_code: str | None
    written_at: datetime
    due_at: datetime | None
    acknowledge_url: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeReceipt:
    """A channel took a notice; ``receiver_code`` is its own name for it, empty where it tells none."""

    receiver_code: str


class Messenger(Protocol):
    """A channel to people. Its manifest says under ``[notices]`` how a repetition is told."""

    def send(self, *, notice: Notice) -> NoticeReceipt:
        """Send once. Neither address nor text of a notice may stand in an error.

        :raises NotExecuted: it surely was not sent.
        :raises Refused: the receiver refuses this notice for good.
        :raises AskPerson: the channel refuses us until a person acts.
        :raises OutcomeUnknown: it may or may not have arrived.
        """
        ...


class FindsNotices(Protocol):
    """A channel that can be asked whether a notice arrived, before it is sent once more."""

    def find_notice(self, *, notice: Notice) -> NoticeReceipt | None:
        """Return the receipt of a notice that stands there under its key, None where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingField:
    """A field that a mapping names and the system does not have."""

    object: str
    name: str


class OffersFields(Protocol):
    """A system in which Tieline can create the fields that a mapping names, once a person agrees."""

    def missing_properties(self) -> Sequence[MissingField]:
        """Return every named field that is not there."""
        ...

    def create_properties(self, missing: Sequence[MissingField]) -> Sequence[str]:
        """Create them; return their names."""
        ...


class WritesTimeLines(Protocol):
    def write_lines(
        self, *, entity_code: str, lines: Sequence[TimeLineCommand]
    ) -> Sequence[LineAnswer]:
        """Send a batch as one call.

        A target that takes it whole or not at all answers with a receipt per line, in their order; one
        that answers line by line names the line in each answer. Below zero a line takes back, where
        the manifest says ``undo = "counter_line"``.

        :raises Refused: nothing of it was stored.
        """
        ...

    def read_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> list[StoredLine]:
        """Return the lines that stand under the keys, in any order."""
        ...

    def void_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> None:
        """Take uninvoiced lines back by key; a key that is absent is fine.

        :raises Refused: at least one line is invoiced; nothing was voided.
        """
        ...

    def line_totals(self, *, entity_code: str, starts_on: date, ends_on: date) -> list[LineTotal]:
        """Return the target's sums per project for work dates in [starts_on, ends_on)."""
        ...


class ImportsLines(Protocol):
    """Strategy (e): lines go out as documents with a number, and a document is asked for by it."""

    def import_lines(
        self, *, entity_code: str, number: UUID, lines: Sequence[TimeLineCommand]
    ) -> Sequence[LineAnswer]:
        """Send a document; the target takes the whole of it or nothing.

        :raises AlreadyExists: a document of this number stands.
        :raises Refused: nothing of it was stored.
        """
        ...

    def read_import(self, *, entity_code: str, number: UUID) -> Sequence[StoredLine]:
        """Return the lines of every document of this number; empty where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Name where an adjusting journal goes, in the words of the target."""

    journal: str
    debit: str
    credit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterDocument:
    """Take back one line by a document of its own, a credit or a journal, under its own key.

    ``books_on`` is its day where the line's own is in a closed period. ``amount`` is what the line
    was worth; a journal is only made where the firm has named its accounts.
    """

    business_key: UUID
    undoes: StoredLine
    books_on: date | None = None
    amount: Decimal | None = None
    currency: str | None = None
    accounts: Accounts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCounter:
    """A document that takes back, as the target holds it; ``seconds`` below zero."""

    business_key: UUID
    target_code: str
    seconds: int


class CountersLines(Protocol):
    """Undo forms ``credit_document`` and ``journal``: each document names what it takes back."""

    def write_counters(self, *, entity_code: str, counters: Sequence[CounterDocument]) -> None:
        """Store the documents as one call, whole or not at all.

        :raises Refused: nothing of it was stored.
        """
        ...

    def read_counters(self, *, entity_code: str, keys: Sequence[UUID]) -> Sequence[StoredCounter]:
        """Return the documents that stand under the keys, in any order."""
        ...


class UndoesByDocument(Protocol):
    """Undo forms other than ``void_by_key`` for single records: a document of its own takes back."""

    def write_undo(
        self, *, noun: str, entity_code: str, target_code: str, business_key: UUID
    ) -> str:
        """Store the document that takes a record back under its own key; return its code.

        :raises Refused: the target does not allow it in the record's state.
        """
        ...

    def find_undo(self, *, noun: str, entity_code: str, business_key: UUID) -> Sequence[str]:
        """Return the codes of the documents that stand under the key."""
        ...


class ListsTimeLines(Protocol):
    """A target that shows its lines one by one, so that each is held against what was booked."""

    def standing_lines(
        self, *, entity_code: str, starts_on: date, ends_on: date
    ) -> Iterator[Sequence[StoredLine]]:
        """Yield every line of work dates in [starts_on, ends_on), whoever made it, page by page.

        :raises StreamBroken: not all of them can be shown.
        """
        ...

    def billing_invoices(self, *, entity_code: str, invoice_codes: Sequence[str]) -> frozenset[str]:
        """Return which of the invoices still bill what stands on them: not canceled, not credited."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """One line of a target's invoice: ``quantity`` in ``unit``, amounts in its currency."""

    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    task_codes: tuple[str, ...]
    line_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDraft:
    """A target's invoice as it stands."""

    target_code: str
    number: str
    state: str
    currency: str
    untaxed_amount: Decimal
    total_amount: Decimal
    lines: tuple[InvoiceLine, ...]


class Invoices(Protocol):
    def draft_invoice(
        self,
        *,
        entity_code: str,
        project_code: str,
        contract_code: str,
        up_to: date,
        billing_method: str,
    ) -> InvoiceDraft | None:
        """Let the target make its draft of everything uninvoiced up to a date, inclusive."""
        ...

    def read_invoices(
        self, *, entity_code: str, project_code: str, contract_code: str
    ) -> list[InvoiceDraft]:
        """Return the invoices that stand for a project or contract."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceItem:
    """A line that is billed as we say: ``item_code`` is its own in its contract.

    ``task_codes`` are the target's tasks whose hours it is for, none where it is for no hours.
    """

    item_code: str
    item: str
    description: str
    amount: Decimal
    task_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoursBilled:
    """Hours that items are for: the lines of a project under their keys, which its target must not bill itself."""

    project_code: str
    keys: tuple[UUID, ...]


class BillsItems(Protocol):
    """Drafts invoices of our amounts: milestones, fees, advances, shares, hours as our ledger prices them."""

    def draft_items(
        self,
        *,
        business_key: UUID,
        entity_code: str,
        contract_code: str,
        client_code: str | None,
        items: Sequence[InvoiceItem],
        currency: str,
        hours: HoursBilled | None,
    ) -> InvoiceDraft:
        """Let the target draft one invoice of these lines, under the key, for one client or the contract's own.

        From then on its project bills no hours by itself; a second call with the key answers with the invoice that
        stands.

        :raises Refused: some of the hours stand on another invoice of the target.
        """
        ...

    def read_items(self, *, business_key: UUID, entity_code: str) -> list[InvoiceDraft]:
        """Return the invoices that stand under the key."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HourSum:
    """The uninvoiced seconds of one task; sums are given in the order of the tasks' codes."""

    task_code: str
    task_name: str
    labor_category: str | None
    rate_starts_on: date | None
    rate_amount: Decimal
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FiscalPeriod:
    """A period as the target itself keeps it."""

    name: str
    is_open: bool


class TellsPeriods(Protocol):
    def fiscal_periods(
        self, *, entity_code: str, starts_on: date, ends_on: date
    ) -> list[FiscalPeriod]:
        """Return the target's own periods that share a day with [starts_on, ends_on)."""
        ...


class RulesInvoices(Protocol):
    def rule_invoice(self, *, sums: Sequence[HourSum], currency: str) -> list[InvoiceLine]:
        """Compute the lines the target would make of hours: its quantum, grouping and rounding.

        Pure: nothing is asked of the target; ``line_code`` is empty.
        """
        ...

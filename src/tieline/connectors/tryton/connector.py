"""Calls to Tryton: pages, writes, probes, undoing, invoices; knows methods and domains only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

import httpx

from tieline.canonical import (
    ClientCommand,
    Command,
    ContractCommand,
    EmployeeCommand,
    FieldCommand,
    ProjectCommand,
    TaskCommand,
    TimeLineCommand,
)
from tieline.connectors.tryton import invoicing, loading, translate, undoing
from tieline.connectors.tryton.streams import (
    PAGE_ROWS_MAX,
    STREAMS,
    Position,
    Stream,
    after,
    read_cursor,
    write_cursor,
)
from tieline.connectors.tryton.translate import Product
from tieline.connectors.tryton.transport import Session, Sessions, after_a_write, before_the_write
from tieline.kernel.errors import (
    AlreadyExists,
    AskPerson,
    MendTieline,
    OutcomeUnknown,
    Refused,
    TielineError,
)
from tieline.kernel.keys import key_as_base32
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    Connection,
    FiscalPeriod,
    HoursBilled,
    HourSum,
    ImportLayout,
    ImportLine,
    InvoiceDraft,
    InvoiceItem,
    InvoiceLine,
    LineTotal,
    Page,
    RawRecord,
    Receipt,
    Stored,
    StoredLine,
    Translated,
    Untranslatable,
    load_manifest,
    stands,
)
from tieline.sdk.reach import believed
from tieline.sdk.slices import array_slices

MANIFEST: Capabilities = load_manifest(__package__)
READ_KEYS_MAX = 500
_SERIES = "8.0"
_DAY = timedelta(days=1)

Writable = (
    ClientCommand
    | ContractCommand
    | EmployeeCommand
    | FieldCommand
    | ProjectCommand
    | TaskCommand
    | TimeLineCommand
)


_WRITTEN = ("party.party", "company.employee", "sale.sale", "project.work", "timesheet.line")
_RIGHTS = ("create", "write", "delete")


def build(
    connection: Connection, *, transport: httpx.BaseTransport | None = None
) -> TrytonConnector:
    """Make the connector of one Tryton database."""
    return TrytonConnector(connection=connection, transport=transport)


class TrytonConnector:
    """Fulfil every protocol of the SDK for one Tryton database."""

    capabilities = MANIFEST

    def __init__(
        self, *, connection: Connection, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._connection = connection
        self._sessions = Sessions(connection=connection, transport=transport)
        # The fields of a project that the firm keeps cost centers and practices in, where its ERP has any.
        self._places = translate.named_fields(connection.config)
        self._companies: dict[str, int] = {}

    # -- checking ----------------------------------------------------------------------------

    def check(self) -> CheckReport:
        """Try every integration user: version, login, company, and the rights to read and to write.

        A refused login is tried once: Tryton slows down whoever tries again and again.
        """
        items: list[CheckItem] = []
        for code, session in self._sessions.all():
            items.append(_tried(f"{code}: version {_SERIES}", partial(_version, session)))
            items.append(_tried(f"{code}: login and company", partial(self._company, code)))
            if items[-1].is_good:
                items.extend(
                    _tried(
                        f"{code}: may read {stream.model}",
                        partial(session.search, stream.model, [], ["id"], limit=1),
                    )
                    for stream in STREAMS.values()
                )
                items.extend(_may_write(code, session))
        return CheckReport(items=tuple(items))

    # -- reading -----------------------------------------------------------------------------

    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        """Yield pages by (change, id) from the cursor, less the declared overlap.

        All rows of a Tryton transaction carry the instant of its start, so a long one commits
        into the past: the overlap reads that past again.
        """
        declared = STREAMS[stream]
        overlap = _overlap(stream)
        positions = {} if is_full else self._positions(cursor)
        sessions = list(self._sessions.all())
        readable = sessions[:1] if declared.is_shared else sessions
        starts = {
            code: Position(changed_at=positions[code].changed_at - overlap, id=0)
            for code, _ in readable
            if code in positions
        }
        total = sum(
            self._count(session, declared, code, starts.get(code)) for code, session in readable
        )
        for code, session in readable:
            is_last_company = code == readable[-1][0]
            position = starts.get(code)
            is_last = False
            while not is_last:
                rows, records = self._page(session, declared, code, position)
                is_last = len(rows) < PAGE_ROWS_MAX
                if rows:
                    position = Position(changed_at=rows[-1]["last_modified_at"], id=rows[-1]["id"])
                    told = _vouched(position, session)
                    positions[code] = max(positions.get(code, told), told, key=_order)
                yield Page(
                    records=records,
                    cursor=write_cursor(positions),
                    total=total,
                    is_last=is_last and is_last_company,
                )

    def _positions(self, cursor: str | None) -> dict[str, Position]:
        return {
            code: position
            for code, position in read_cursor(cursor).items()
            if believed(translate.utc(position.changed_at), connection=self._connection) is not None
        }

    def read_one(self, *, object: str, source_ref: str) -> RawRecord | None:
        """Return one record, or None when no integration user finds it."""
        declared = STREAMS[object]
        for _, session in self._sessions.all():
            _, records = self._records(session, declared, [["id", "=", int(source_ref)]])
            if records:
                return records[0]
            if declared.is_shared:
                return None
        return None

    def translate(self, *, record: RawRecord) -> Translated | Untranslatable:
        """Return the canonical form."""
        return translate.translate(record=record)

    def _page(
        self, session: Session, stream: Stream, entity_code: str, position: Position | None
    ) -> tuple[list[dict[str, Any]], tuple[RawRecord, ...]]:
        domain = [*self._scope(stream, entity_code), *after(position)]
        return self._records(session, stream, domain)

    def _records(
        self, session: Session, stream: Stream, domain: list[Any]
    ) -> tuple[list[dict[str, Any]], tuple[RawRecord, ...]]:
        reply = session.reply(
            f"model.{stream.model}.search_read",
            domain,
            0,
            PAGE_ROWS_MAX,
            [["last_modified_at", "ASC"], ["id", "ASC"]],
            list(stream.fields),
            context={"active_test": False},
        )
        rows: list[dict[str, Any]] = reply.result
        slices = array_slices(reply.body, field="result")
        records = tuple(
            RawRecord(
                object=stream.name,
                source_ref=str(row["id"]),
                body=body,
                source_at=translate.utc(row["last_modified_at"]),
            )
            for row, body in zip(rows, slices, strict=True)
        )
        return rows, records

    def _count(
        self, session: Session, stream: Stream, entity_code: str, position: Position | None
    ) -> int:
        domain = [*self._scope(stream, entity_code), *after(position)]
        found = session.read(
            f"model.{stream.model}.search_count",
            domain,
            0,
            None,
            context={"active_test": False},
        )
        return int(found)

    def _scope(self, stream: Stream, entity_code: str) -> list[Any]:
        if stream.is_shared:
            return [*stream.domain]
        return [["company", "=", self._company(entity_code)], *stream.domain]

    # -- writing -----------------------------------------------------------------------------

    def write(self, *, command: Command) -> Receipt:
        """Create one record in one call."""
        known = cast(Writable, command)
        session = self._sessions.get(entity_code=command.entity_code)
        company = self._company_before_write(command.entity_code)
        context = {"company": company}
        match known:
            case ClientCommand():
                with before_the_write():
                    country = self._find_country(session, known.country_code)
                values = translate.party_values(command=known, country_id=country)
                return self._create(session, "party.party", values, context)
            case EmployeeCommand():
                self._refuse_existing(known)
                values = translate.employee_values(command=known, company_id=company)
                return self._create(session, "company.employee", values, context)
            case ContractCommand():
                self._refuse_existing(known)
                return self._write_contract(session, known, company)
            case ProjectCommand():
                values = translate.project_values(
                    command=known, company_id=company, places=self._places
                )
                return self._create(session, "project.work", values, context)
            case TaskCommand():
                code = translate.task_product_code(known)
                with before_the_write():
                    products = self._products(session, [code], company)
                values = translate.task_values(
                    command=known, company_id=company, product_id=products[code].id
                )
                return self._create(session, "project.work", values, context)
            case TimeLineCommand():
                return self.write_lines(entity_code=known.entity_code, lines=[known])[0]
            case FieldCommand():
                with before_the_write():
                    model, record_id = self._place_of(session, known)
                session.write(
                    f"model.{model}.write", [record_id], dict(known.values), context=context
                )
                return Receipt(target_code=known.record_code)
            case _:
                raise MendTieline(f"Tryton holds no {command.noun}")

    def probe(self, *, command: Command) -> Sequence[Stored]:
        """Return what stands under the command's key."""
        known = cast(Writable, command)
        session = self._sessions.get(entity_code=command.entity_code)
        match known:
            case ClientCommand():
                return self._probe_client(session, known)
            case EmployeeCommand():
                return self._probe_employee(session, known)
            case ContractCommand():
                return self._probe_contract(session, known)
            case ProjectCommand():
                rows = session.search(
                    "project.work",
                    [["number", "=", known.code], ["type", "=", "project"]],
                    ["number", "name", "party", *self._places.values()],
                )
                return [
                    _stored(
                        row,
                        translate.project_content(command=known, row=row, places=self._places),
                    )
                    for row in rows
                ]
            case TaskCommand():
                return self._probe_task(session, known)
            case TimeLineCommand():
                lines = self.read_lines(entity_code=known.entity_code, keys=[known.business_key])
                return [
                    Stored(target_code=line.target_code, content=line.content()) for line in lines
                ]
            case FieldCommand():
                return self._probe_fields(session, known)
            case _:
                raise MendTieline(f"Tryton holds no {command.noun}")

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        """Take a record of ours back as its state allows; absent is as good as deleted."""
        session = self._sessions.get(entity_code=entity_code)
        if noun == TimeLineCommand.noun:
            self.void_lines(entity_code=entity_code, keys=[business_key])
            return "deleted"
        return undoing.undo(
            session=session,
            company_id=self._company_before_write(entity_code),
            noun=noun,
            target_id=int(target_code),
            business_key=business_key,
        )

    def _write_contract(self, session: Session, command: ContractCommand, company: int) -> Receipt:
        with before_the_write():
            codes = translate.product_codes(command)
            products = self._products(session, sorted(set(codes)), company)
            tax_ids = _find_taxes(session, command.tax_code, company)
            unit_id = _find_unit(session, command.unit_code, list(products.values()))
            currency = _one(
                session, "currency.currency", [["code", "=", command.currency]], command.currency
            )
            address = _one(
                session,
                "party.address",
                [["party", "=", int(command.client_code)]],
                f"an address of client {command.client_code}",
            )
        values = translate.sale_values(
            command=command,
            company_id=company,
            currency_id=currency,
            address_id=address,
            products=[products[code] for code in codes],
            tax_ids=tax_ids,
            unit_id=unit_id,
        )
        context = {"company": company}
        return self._create(session, "sale.sale", values, context)

    def _create(
        self, session: Session, model: str, values: dict[str, Any], context: dict[str, Any]
    ) -> Receipt:
        found = session.write(f"model.{model}.create", [values], context=context)
        match found:
            case [int(number)]:
                return Receipt(target_code=str(number))
            case _:
                raise OutcomeUnknown(f"Tryton's answer to the creation of a {model} has no id")

    def _refuse_existing(self, command: Command) -> None:
        # Nothing in Tryton refuses a second one, so the question comes first.
        with before_the_write():
            standing = self.probe(command=command)
        if standing:
            raise AlreadyExists(
                f"{command.noun} {standing[0].target_code} already stands in Tryton",
                reason="target.exists",
                target_code=standing[0].target_code,
            )

    def _probe_client(self, session: Session, command: ClientCommand) -> list[Stored]:
        rows = session.search(
            "party.party",
            [["code", "=", key_as_base32(command.business_key)]],
            ["name", "identifiers.code"],
        )
        return [
            _stored(
                row,
                translate.client_content(
                    command=command,
                    row=row,
                    vat_numbers=[found["code"] for found in row["identifiers."]],
                ),
            )
            for row in rows
        ]

    def _probe_employee(self, session: Session, command: EmployeeCommand) -> list[Stored]:
        rows = session.search(
            "company.employee",
            [
                ["party", "=", int(command.party_code)],
                ["company", "=", self._company(command.entity_code)],
                ["start_date", "=", command.starts_on],
            ],
            ["party", "start_date", "end_date"],
        )
        return [_stored(row, translate.employee_content(row)) for row in rows]

    def _probe_contract(self, session: Session, command: ContractCommand) -> list[Stored]:
        rows = session.search(
            "sale.sale",
            [["reference", "=", key_as_base32(command.business_key)]],
            [
                "party",
                "currency.code",
                "lines.quantity",
                "lines.unit_price",
                "lines.product.code",
                "lines.taxes.name",
                "lines.unit.symbol",
            ],
        )
        return [_stored(row, translate.contract_content(command=command, row=row)) for row in rows]

    def _place_of(self, session: Session, command: FieldCommand) -> tuple[str, int]:
        """Return the model and id that hold a party's field: its name is its own, the rest its address's."""
        party = int(command.record_code)
        if "name" in command.values:
            return "party.party", party
        addresses = session.search("party.address", [["party", "=", party]], ["id"])
        if not addresses:
            raise Refused(f"party {party} has no address in Tryton", reason="tryton.no_address")
        # The one that is read: see translate.
        return "party.address", int(addresses[0]["id"])

    def _probe_fields(self, session: Session, command: FieldCommand) -> list[Stored]:
        model, record_id = self._place_of(session, command)
        rows = session.search(model, [["id", "=", record_id]], list(command.values))
        if not rows:
            return []
        held = {name: str(rows[0][name] or "") for name in command.values}
        return stands(command=command, held=held)

    def _probe_task(self, session: Session, command: TaskCommand) -> list[Stored]:
        rows = session.search(
            "project.work",
            [["number", "=", key_as_base32(command.business_key)]],
            [
                "name",
                "parent",
                "list_price",
                "timesheet_start_date",
                "timesheet_end_date",
                "effort_duration",
                "product.code",
            ],
        )
        return [_stored(row, translate.task_content(command=command, row=row)) for row in rows]

    # -- time lines --------------------------------------------------------------------------

    def write_lines(self, *, entity_code: str, lines: Sequence[TimeLineCommand]) -> list[Receipt]:
        """Create a batch in one call, one transaction: a refusal means that none was stored.

        Dates and companies are checked here too: Tryton 8.0 joins the conditions of a batch with
        "or" when more than half of its lines have their own (``modelstorage.validate_domain``),
        and then lets a day outside a task's or a person's dates pass beside one inside.
        """
        session = self._sessions.get(entity_code=entity_code)
        company = self._company_before_write(entity_code)
        with before_the_write():
            works = self._works(session, lines)
            employees = self._employees(session, lines)
        for line in lines:
            said = translate.objection(
                line=line,
                company_id=company,
                work=works.get(line.task_code),
                employee=employees.get(line.person_code),
            )
            if said:
                raise Refused(f"Tryton: {said}", reason="target.value_not_valid")
        values = [
            translate.line_values(
                command=line, company_id=company, timesheet_work_id=works[line.task_code]["id"]
            )
            for line in lines
        ]
        found = session.write("model.timesheet.line.create", values, context={"company": company})
        if not isinstance(found, list) or len(found) != len(lines):
            raise OutcomeUnknown(f"Tryton's answer names not the {len(lines)} lines it was sent")
        return [Receipt(target_code=str(number)) for number in found]

    def read_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> list[StoredLine]:
        """Return the lines under the keys; one call per 500 keys."""
        session = self._sessions.get(entity_code=entity_code)
        found: list[StoredLine] = []
        for start in range(0, len(keys), READ_KEYS_MAX):
            wanted = [str(key) for key in keys[start : start + READ_KEYS_MAX]]
            rows = session.search("timesheet.line", [["uuid", "in", wanted]], translate.LINE_FIELDS)
            found.extend(translate.stored_line(row=row, entity_code=entity_code) for row in rows)
        return found

    def void_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> None:
        """Delete uninvoiced lines in one call; the key may be used by nobody afterwards."""
        session = self._sessions.get(entity_code=entity_code)
        with before_the_write():
            standing = self.read_lines(entity_code=entity_code, keys=keys)
        invoiced = [line for line in standing if line.invoice_code is not None]
        if invoiced:
            raise Refused(
                f"{len(invoiced)} of the lines stand on invoice {invoiced[0].invoice_code}",
                reason="target.invoiced",
                target_code=invoiced[0].target_code,
            )
        if standing:
            numbers = [int(line.target_code) for line in standing]
            session.write(
                "model.timesheet.line.delete",
                numbers,
                context={"company": self._company_before_write(entity_code)},
            )

    def line_totals(self, *, entity_code: str, starts_on: date, ends_on: date) -> list[LineTotal]:
        """Let Tryton itself add up its lines per project."""
        session = self._sessions.get(entity_code=entity_code)
        company = self._company(entity_code)
        projects = session.search(
            "project.work",
            [["company", "=", company], ["type", "=", "project"]],
            ["timesheet_duration", "children.timesheet_works"],
            context={"from_date": starts_on, "to_date": ends_on - _DAY},
        )
        totals = []
        for project in projects:
            seconds = (project["timesheet_duration"] or timedelta(0)) // timedelta(seconds=1)
            works = [work for child in project["children."] for work in child["timesheet_works"]]
            lines = self._count_lines(session, works, starts_on, ends_on) if seconds else 0
            totals.append(LineTotal(project_code=str(project["id"]), seconds=seconds, lines=lines))
        return [total for total in totals if total.lines]

    def standing_lines(
        self, *, entity_code: str, starts_on: date, ends_on: date
    ) -> Iterator[Sequence[StoredLine]]:
        """Show every line of the company's days, whoever made it, in the order of its ids."""
        session = self._sessions.get(entity_code=entity_code)
        domain = [
            ["company", "=", self._company(entity_code)],
            ["date", ">=", starts_on],
            ["date", "<", ends_on],
        ]
        last = 0
        while True:
            rows = session.search(
                "timesheet.line",
                [*domain, ["id", ">", last]],
                translate.LINE_FIELDS,
                limit=PAGE_ROWS_MAX,
            )
            if not rows:
                return
            yield [translate.stored_line(row=row, entity_code=entity_code) for row in rows]
            last = rows[-1]["id"]

    def billing_invoices(self, *, entity_code: str, invoice_codes: Sequence[str]) -> frozenset[str]:
        """Return the invoices that are not canceled; crediting one with its refund cancels it."""
        rows = self._sessions.get(entity_code=entity_code).search(
            "account.invoice",
            [["id", "in", [int(code) for code in invoice_codes]], ["state", "!=", "cancelled"]],
            ["state"],
        )
        return frozenset(str(row["id"]) for row in rows)

    def fiscal_periods(
        self, *, entity_code: str, starts_on: date, ends_on: date
    ) -> list[FiscalPeriod]:
        """Return the company's own periods that share a day with [starts_on, ends_on)."""
        rows = self._sessions.get(entity_code=entity_code).search(
            "account.period",
            [
                ["company", "=", self._company(entity_code)],
                ["start_date", "<", ends_on],
                ["end_date", ">=", starts_on],
            ],
            ["name", "state"],
        )
        return [FiscalPeriod(name=row["name"], is_open=row["state"] == "open") for row in rows]

    def _count_lines(
        self, session: Session, works: list[int], starts_on: date, ends_on: date
    ) -> int:
        domain = [["work", "in", works], ["date", ">=", starts_on], ["date", "<", ends_on]]
        return int(session.read("model.timesheet.line.search_count", domain, 0, None))

    def _works(
        self, session: Session, lines: Sequence[TimeLineCommand]
    ) -> dict[str, dict[str, Any]]:
        origins = sorted({f"project.work,{line.task_code}" for line in lines})
        rows = session.search(
            "timesheet.work",
            [["origin", "in", origins]],
            ["origin", "company", "timesheet_start_date", "timesheet_end_date"],
        )
        return {translate.origin_id(row["origin"]): row for row in rows}

    def _employees(
        self, session: Session, lines: Sequence[TimeLineCommand]
    ) -> dict[str, dict[str, Any]]:
        rows = session.search(
            "company.employee",
            [["id", "in", sorted({int(line.person_code) for line in lines})]],
            ["company", "start_date", "end_date"],
        )
        return {str(row["id"]): row for row in rows}

    # -- what people load from a file ----------------------------------------------------------

    def import_layout(self) -> ImportLayout:
        """Return the columns of Tryton's own import of time lines."""
        return loading.LAYOUT

    def import_row(self, *, line: ImportLine) -> tuple[str, ...] | Untranslatable:
        """Return a line's values in the order of the columns."""
        return loading.row(line)

    def find_loaded(
        self, *, entity_code: str, lines: Sequence[TimeLineCommand], since: datetime
    ) -> list[StoredLine]:
        """Return what stands of lines that were given out in a file."""
        return loading.find(
            session=self._sessions.get(entity_code=entity_code),
            company_id=self._company(entity_code),
            entity_code=entity_code,
            lines=lines,
            since=since,
        )

    def adopt_lines(self, *, entity_code: str, lines: Sequence[StoredLine]) -> None:
        """Give lines that were loaded from a file their uuid."""
        loading.adopt(
            session=self._sessions.get(entity_code=entity_code),
            company_id=self._company_before_write(entity_code),
            lines=lines,
        )

    # -- invoices ----------------------------------------------------------------------------

    def draft_invoice(
        self,
        *,
        entity_code: str,
        project_code: str,
        contract_code: str,
        up_to: date,
        billing_method: str,
    ) -> InvoiceDraft | None:
        """Let Tryton draft what is uninvoiced up to a date; None when there is nothing.

        After a lost answer ask ``read_invoices``: a second call finds nothing left to invoice.
        """
        session = self._sessions.get(entity_code=entity_code)
        company = self._company_before_write(entity_code)
        if billing_method == translate.FIXED_FEE:
            return invoicing.draft_from_sale(
                session=session, company_id=company, sale_id=int(contract_code)
            )
        return invoicing.draft_from_hours(
            session=session, company_id=company, project_id=int(project_code), up_to=up_to
        )

    def read_invoices(
        self, *, entity_code: str, project_code: str, contract_code: str
    ) -> list[InvoiceDraft]:
        """Return every invoice that stands on the project's hours or on the sale."""
        session = self._sessions.get(entity_code=entity_code)
        numbers = {
            *invoicing.invoices_of_project(
                session=session, project_id=int(project_code) if project_code else None
            ),
            *invoicing.invoices_of_sale(
                session=session, sale_id=int(contract_code) if contract_code else None
            ),
        }
        return invoicing.read(session=session, numbers=sorted(numbers))

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
        """Let Tryton draft one invoice of our amounts, from a sale of its own under the key."""
        session = self._sessions.get(entity_code=entity_code)
        company = self._company_before_write(entity_code)
        reference = key_as_base32(business_key)
        if hours is not None:
            invoicing.keep_as_cost(session=session, company_id=company, hours=hours)
        with before_the_write():
            sale_id = invoicing.find_sale(session=session, company_id=company, reference=reference)
            if sale_id is not None and not invoicing.is_of(
                session=session, sale_id=sale_id, items=items
            ):
                invoicing.drop_sale(session=session, company_id=company, sale_id=sale_id)
                sale_id = None
            if sale_id is None:
                product = self._products(session, [translate.FIXED_FEE_PRODUCT], company)
                agreed = invoicing.read_sale(
                    session=session, sale_id=int(contract_code), currency=currency
                )
                tax_ids = invoicing.taxes_of(agreed)
                if client_code is not None:
                    agreed |= invoicing.read_party(session=session, party_id=int(client_code))
                    tax_ids = None
        if sale_id is None:
            values = translate.items_values(
                agreed=agreed,
                company_id=company,
                reference=reference,
                items=items,
                product=product[translate.FIXED_FEE_PRODUCT],
                tax_ids=tax_ids,
            )
            sale_id = session.write(
                "model.sale.sale.create", [values], context={"company": company}
            )[0]
        drafted = invoicing.draft_from_sale(session=session, company_id=company, sale_id=sale_id)
        if drafted is None:
            # An earlier call came this far: what stands is the answer.
            with after_a_write():
                return invoicing.only_of_sale(session=session, sale_id=sale_id)
        return drafted

    def read_items(self, *, business_key: UUID, entity_code: str) -> list[InvoiceDraft]:
        """Return the invoices of the sale that stands under the key."""
        session = self._sessions.get(entity_code=entity_code)
        sale_id = invoicing.find_sale(
            session=session,
            company_id=self._company(entity_code),
            reference=key_as_base32(business_key),
        )
        numbers = invoicing.invoices_of_sale(session=session, sale_id=sale_id)
        return invoicing.read(session=session, numbers=sorted(numbers))

    def rule_invoice(self, *, sums: Sequence[HourSum], currency: str) -> list[InvoiceLine]:
        """Compute what Tryton's invoice button would make of hours, without asking it."""
        return translate.invoice_rule(sums=sums, currency=currency)

    # -- what rarely changes -----------------------------------------------------------------

    def _company(self, entity_code: str) -> int:
        if entity_code not in self._companies:
            session = self._sessions.get(entity_code=entity_code)
            self._companies[entity_code] = _one(
                session,
                "company.company",
                [["party.code", "=", entity_code]],
                f"a company whose party has the code {entity_code}",
            )
        return self._companies[entity_code]

    def _company_before_write(self, entity_code: str) -> int:
        with before_the_write():
            return self._company(entity_code)

    def _find_country(self, session: Session, code: str | None) -> int | None:
        rows = session.search("country.country", [["code", "=", code or ""]], ["id"], limit=1)
        return int(rows[0]["id"]) if rows else None

    def _products(self, session: Session, codes: list[str], company: int) -> dict[str, Product]:
        rows = session.search(
            "product.product",
            [["code", "in", codes]],
            [
                "code",
                "default_uom.category",
                "default_uom.factor",
                "account_category.customer_taxes.company",
            ],
            context={"company": company},
        )
        found = {
            row["code"]: Product(
                id=row["id"],
                unit_id=row["default_uom."]["id"],
                unit_size=_unit_size(row["default_uom."]),
                tax_ids=_taxes_of(row["account_category."], company),
            )
            for row in rows
        }
        missing = sorted(set(codes) - found.keys())
        if missing:
            raise Refused(
                f"Tryton has no product for labor category {', '.join(missing)}",
                reason="target.product_missing",
            )
        return found


def _one(session: Session, model: str, domain: list[Any], wanted: str) -> int:
    rows = session.search(model, domain, ["id"], limit=1)
    if not rows:
        raise AskPerson(f"Tryton's user {session.login} finds no {wanted}")
    return int(rows[0]["id"])


def _find_taxes(session: Session, name: str | None, company: int) -> tuple[int, ...] | None:
    """Return the tax of a company that is called so, None where none was told.

    :raises Refused: it has none, or several, of that name.
    """
    if name is None:
        return None
    rows = session.search(
        "account.tax",
        [["company", "=", company], ["name", "=", name], ["parent", "=", None]],
        ["id"],
    )
    return (int(_only(rows, f"tax called {name}")["id"]),)


def _find_unit(session: Session, symbol: str | None, products: Sequence[Product]) -> int | None:
    """Return the unit of a symbol, None where none was told.

    :raises Refused: it has none, or several, or one by which the products' quantities would be others.
    """
    if symbol is None:
        return None
    rows = session.search("product.uom", [["symbol", "=", symbol]], ["category", "factor"])
    unit = _only(rows, f"unit with the symbol {symbol}")
    if any(_unit_size(unit) != product.unit_size for product in products):
        raise Refused(
            f"Tryton's unit {symbol} is not as large as that of what is sold",
            reason="target.value_not_valid",
        )
    return int(unit["id"])


def _only(rows: Sequence[dict[str, Any]], what: str) -> dict[str, Any]:
    if len(rows) == 1:
        return rows[0]
    raise Refused(
        f"Tryton has {'more than one' if rows else 'no'} {what}", reason="target.reference_unknown"
    )


def _unit_size(unit: dict[str, Any]) -> tuple[int, float]:
    return unit["category"], unit["factor"]


def _taxes_of(category: dict[str, Any] | None, company: int) -> tuple[int, ...]:
    if category is None:
        return ()
    return tuple(tax["id"] for tax in category["customer_taxes."] if tax["company"] == company)


def _stored(row: dict[str, Any], content: Any) -> Stored:
    return Stored(target_code=str(row["id"]), content=content)


def _vouched(position: Position, session: Session) -> Position:
    told_at = position.changed_at.replace(tzinfo=UTC)
    vouched_at = session.reached(told_at)
    if vouched_at == told_at:
        return position
    return Position(changed_at=vouched_at.replace(tzinfo=None), id=0)


def _order(position: Position) -> tuple[Any, int]:
    return position.changed_at, position.id


def _overlap(stream: str) -> timedelta:
    return timedelta(seconds=MANIFEST.stream_of(stream).overlap_seconds)


def _may_write(entity_code: str, session: Session) -> list[CheckItem]:
    """Ask which rights a user has on what is written, without writing anything."""
    name = f"{entity_code}: may write"
    try:
        rights = session.read("model.ir.model.access.get_access", list(_WRITTEN))
        missing = {
            model: [word for word in _RIGHTS if not rights[model][word]] for model in _WRITTEN
        }
    except (TielineError, KeyError, TypeError) as error:
        return [
            CheckItem(name=name, is_good=False, fix=f"Tryton does not tell the rights: {error}")
        ]
    return [
        CheckItem(
            name=f"{name} {model}",
            is_good=not words,
            fix=f"Let the integration user of {entity_code} {', '.join(words)} {model}."
            if words
            else "",
        )
        for model, words in missing.items()
    ]


def _version(session: Session) -> None:
    found = session.version()
    if found != _SERIES and not found.startswith(f"{_SERIES}."):
        raise AskPerson(f"this Tryton is {found}; Tieline writes to series {_SERIES}")


def _tried(name: str, question: Callable[[], object]) -> CheckItem:
    try:
        question()
    except TielineError as error:
        return CheckItem(name=name, is_good=False, fix=str(error))
    return CheckItem(name=name, is_good=True)

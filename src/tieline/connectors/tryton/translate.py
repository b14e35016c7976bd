"""Between Tryton's records and ours; pure: no clock, no I/O, no settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

from tieline.canonical import (
    BILLED_BY_SCHEDULE,
    COST_PLUS,
    Client,
    ClientCommand,
    Content,
    ContractCommand,
    CostRate,
    EmployeeCommand,
    Person,
    ProjectCommand,
    TaskCommand,
    TimeEntry,
    TimeLineCommand,
    WorkItem,
)
from tieline.canonical.nouns import Approval
from tieline.connectors.tryton import wire
from tieline.kernel.errors import Refused
from tieline.kernel.keys import key_as_base32
from tieline.kernel.money import currency_digits, seconds_from_hours
from tieline.sdk import (
    HourSum,
    InvoiceItem,
    InvoiceLine,
    RawRecord,
    StoredLine,
    Translated,
    Untranslatable,
)

# What a project is told where the connection names a field for it.
_OF_PROJECT = ("cost_center", "practice")

Row = Mapping[str, Any]
Values = dict[str, Any]

FIXED_FEE = "fixed_fee"
FIXED_FEE_PRODUCT = "FIXED-FEE"
GENERAL_LABOR_PRODUCT = "LABOR"
HOUR = "h"
_TASK_SEPARATOR = " | "
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_EU = re.compile(
    "AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|GR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK"
)
_IDENTIFIER_TYPES = {"GB": "gb_vat", "US": "us_ein", "CH": "ch_vat", "NO": "no_mva"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_NAME_CHARACTERS_MAX = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What a line needs to know of a product: its unit, of what kind and how large that is, and the company's taxes."""

    id: int
    unit_id: int
    unit_size: tuple[int, float]
    tax_ids: tuple[int, ...]


# -- commands to Tryton's values ---------------------------------------------------------------


def one_line(text: str) -> str:
    """Return the text as Tryton keeps it: its one-line fields refuse control characters."""
    return _CONTROL.sub(" ", text).strip()[:_NAME_CHARACTERS_MAX]


def identifier_type(country_code: str | None) -> str | None:
    """Return Tryton's word for a country's tax number; None is a number that nobody checks."""
    if country_code and _EU.fullmatch(country_code):
        return "eu_vat"
    return _IDENTIFIER_TYPES.get(country_code or "")


def party_values(*, command: ClientCommand, country_id: int | None) -> Values:
    """Return a client with its address and tax number; one nested create, one transaction."""
    address = {
        "street": command.street,
        "city": one_line(command.city or "") or None,
        "postal_code": one_line(command.postal_code or "") or None,
        "country": country_id,
    }
    values: Values = {
        "name": one_line(command.name),
        "code": key_as_base32(command.business_key),
        "addresses": [["create", [address]]],
    }
    if command.vat_number:
        kind = identifier_type(command.country_code)
        number = one_line(command.vat_number)
        # The number of an American employer is nine digits, and Tryton takes no country before them.
        code = number.removeprefix("US") if kind == "us_ein" else number
        identifier = {"type": kind, "code": code}
        values["identifiers"] = [["create", [identifier]]]
    return values


def employee_values(*, command: EmployeeCommand, company_id: int) -> Values:
    """Return an employee of a company; a cost rate holds from the first day on."""
    values: Values = {
        "party": int(command.party_code),
        "company": company_id,
        "start_date": command.starts_on,
        "end_date": last_day(command.ends_on),
    }
    if command.cost_rate is not None:
        cost = {"date": command.starts_on, "cost_price": command.cost_rate}
        values["cost_prices"] = [["create", [cost]]]
    return values


def product_codes(command: ContractCommand) -> list[str]:
    """Return, per contract line, the code of the product that Tryton sells."""
    is_fixed = command.billing_method in BILLED_BY_SCHEDULE
    return [
        line.product_code
        or (FIXED_FEE_PRODUCT if is_fixed else line.labor_category or GENERAL_LABOR_PRODUCT)
        for line in command.lines
    ]


def task_product_code(command: TaskCommand) -> str:
    """Return the code of the product that a task's hours are sold as."""
    return command.product_code or command.labor_category or GENERAL_LABOR_PRODUCT


def sale_values(
    *,
    command: ContractCommand,
    company_id: int,
    currency_id: int,
    address_id: int,
    products: Sequence[Product],
    tax_ids: Sequence[int] | None,
    unit_id: int | None,
) -> Values:
    """Return a sale; ``products`` has one entry per line, each with its own taxes and unit where none are told.

    A fixed fee is invoiced from the sale; everything else from hours, so that sale invoices
    nothing by itself.
    """
    is_fixed = command.billing_method in BILLED_BY_SCHEDULE
    lines = [
        {
            "type": "line",
            "product": product.id,
            "unit": product.unit_id if unit_id is None else unit_id,
            "taxes": [["add", list(product.tax_ids if tax_ids is None else tax_ids)]],
            "quantity": Decimal(1) if is_fixed else line.hours,
            "unit_price": line.hours * line.rate_amount if is_fixed else line.rate_amount,
            "description": one_line(line.task_name),
        }
        for line, product in zip(command.lines, products, strict=True)
    ]
    party = int(command.client_code)
    return {
        "company": company_id,
        "party": party,
        "invoice_party": None,
        "invoice_address": address_id,
        "shipment_address": address_id,
        "currency": currency_id,
        "reference": key_as_base32(command.business_key),
        "description": one_line(command.name),
        "sale_date": command.signed_on,
        "comment": f"Purchase order {command.purchase_order}" if command.purchase_order else None,
        "invoice_method": "order" if is_fixed else "manual",
        "shipment_method": "manual",
        "lines": [["create", [_plain_quantity(line) for line in lines]]],
    }


def items_values(
    *,
    agreed: Values,
    company_id: int,
    reference: str,
    items: Sequence[InvoiceItem],
    product: Product,
    tax_ids: Sequence[int] | None,
) -> Values:
    """Return a sale of agreed amounts, for whom and on what terms the contract's own sale is.

    ``tax_ids`` are those of the contract's sale; None leaves it to the product.
    """
    lines = [
        {
            "type": "line",
            "product": product.id,
            "unit": product.unit_id,
            "taxes": [["add", list(product.tax_ids if tax_ids is None else tax_ids)]],
            "quantity": Decimal(1),
            "unit_price": item.amount,
            "description": one_line(item.description),
        }
        for item in items
    ]
    return {
        **{
            name: value
            for name, value in agreed.items()
            if name not in ("id", "currency.", "lines.")
        },
        "company": company_id,
        "reference": reference,
        "invoice_method": "order",
        "shipment_method": "manual",
        "lines": [["create", [_plain_quantity(line) for line in lines]]],
    }


def _plain_quantity(line: Values) -> Values:
    # Tryton's quantities are JSON numbers; the digits are sent as they stand.
    return {**line, "quantity": wire.Digits(line["quantity"])}


def named_fields(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Return which field of a project takes what else a command says of it, as far as the connection names one."""
    named = {word: config.get(f"{word}_field") for word in _OF_PROJECT}
    return {word: str(name) for word, name in named.items() if name}


def project_values(
    *, command: ProjectCommand, company_id: int, places: Mapping[str, str]
) -> Values:
    """Return a project that is invoiced from its hours, or, at a fixed fee, not at all.

    :raises Refused: the connection names no field for its cost center or practice.
    """
    named: Values = {}
    for word in _OF_PROJECT:
        value = getattr(command, word)
        if value is None:
            continue
        if word not in places:
            raise Refused(
                f"the connection names no {word}_field: nothing of Tryton's takes the {word.replace('_', ' ')}",
                reason="target.value_not_valid",
            )
        named = {**named, places[word]: value}
    return {
        **named,
        "type": "project",
        "company": company_id,
        "name": one_line(command.name),
        "number": command.code,
        "party": int(command.client_code),
        "project_invoice_method": "manual"
        if command.is_split
        else invoice_method(command.billing_method),
    }


def invoice_method(billing_method: str) -> str:
    """Return how Tryton's project invoices: a task has one price, and a schedule or a person's cost is another."""
    is_priced_elsewhere = billing_method in BILLED_BY_SCHEDULE or billing_method == COST_PLUS
    return "manual" if is_priced_elsewhere else "timesheet"


def task_values(*, command: TaskCommand, company_id: int, product_id: int) -> Values:
    """Return one bookable task; a rate that changes opens a new one, as Tryton's has no dates."""
    return {
        "type": "task",
        "company": company_id,
        "parent": int(command.project_code),
        "name": task_name(command),
        "number": key_as_base32(command.business_key),
        "product": product_id,
        "list_price": command.rate_amount if command.is_billable else None,
        "timesheet_available": True,
        "timesheet_start_date": command.starts_on,
        "timesheet_end_date": last_day(command.ends_on),
        **_effort(command),
    }


def _effort(command: TaskCommand) -> Values:
    if command.budget_hours is None:
        return {}
    return {"effort_duration": timedelta(seconds=seconds_from_hours(command.budget_hours))}


def task_name(command: TaskCommand) -> str:
    """Return a name that tells the versions of a task apart on an invoice."""
    return _decorated(command.name, command.labor_category, command.starts_on)


def _decorated(name: str, labor_category: str | None, starts_on: date | None) -> str:
    words = [name]
    if labor_category:
        words.append(labor_category)
    if starts_on:
        words.append(f"from {starts_on.isoformat()}")
    return one_line(_TASK_SEPARATOR.join(words))


def line_values(*, command: TimeLineCommand, company_id: int, timesheet_work_id: int) -> Values:
    """Return a time line under its key."""
    return {
        "company": company_id,
        "employee": int(command.person_code),
        "work": timesheet_work_id,
        "date": command.work_date,
        "duration": timedelta(seconds=command.seconds),
        "description": one_line(command.narrative) if command.narrative else None,
        "uuid": str(command.business_key),
    }


def objection(
    *, line: TimeLineCommand, company_id: int, work: Row | None, employee: Row | None
) -> str:
    """Return why Tryton alone would refuse a line, or ''."""
    if work is None:
        return f"task {line.task_code} is not there or not bookable"
    if employee is None:
        return f"employee {line.person_code} is not there"
    if (work["company"], employee["company"]) != (company_id, company_id):
        return f"task {line.task_code} or employee {line.person_code} is of another company"
    day = line.work_date
    if not _covers(work["timesheet_start_date"], work["timesheet_end_date"], day):
        return f"task {line.task_code} is not open on {day.isoformat()}"
    if not _covers(employee["start_date"], employee["end_date"], day):
        return f"employee {line.person_code} is not employed on {day.isoformat()}"
    return ""


def _covers(first: date | None, last: date | None, day: date) -> bool:
    return (first is None or first <= day) and (last is None or day <= last)


def last_day(ends_on: date | None) -> date | None:
    """Return Tryton's inclusive end of a half-open period."""
    return None if ends_on is None else ends_on - _DAY


def first_day_after(end_date: date | None) -> date | None:
    """Return our exclusive end of Tryton's inclusive one."""
    return None if end_date is None else end_date + _DAY


# -- stored records to the words of Command.content --------------------------------------------


def client_content(*, command: ClientCommand, row: Row, vat_numbers: Sequence[str]) -> Content:
    """Return what a party holds; spacing that Tryton changed does not count as a difference."""
    name = command.name if one_line(command.name) == row["name"] else row["name"]
    wanted = command.vat_number or ""
    if not wanted and not vat_numbers:
        return {"name": name, "vat_number": ""}
    same = any(_compact_vat(number) == _compact_vat(wanted) for number in vat_numbers)
    return {"name": name, "vat_number": wanted if same else ", ".join(vat_numbers)}


def _compact_vat(number: str) -> str:
    compact = re.sub(r"[^0-9A-Za-z]", "", number).upper()
    return re.sub(r"^[A-Z]{2}(?=[0-9])", "", compact)


def contract_content(*, command: ContractCommand, row: Row) -> Content:
    """Return what a sale holds; as what, how taxed and in which unit only where that was told."""
    lines = row["lines."]
    total = sum(
        (Decimal(str(line["quantity"])) * line["unit_price"] for line in lines),
        Decimal(0),
    )
    return {
        "client_code": str(row["party"]),
        "currency": row["currency."]["code"],
        "lines": str(len(lines)),
        "total": format(total.quantize(Decimal("0.01")).normalize(), "f"),
        **_sold_as(command, lines),
    }


def _sold_as(command: ContractCommand, lines: Sequence[Row]) -> dict[str, str]:
    wanted = command.content()
    held = {}
    if "products" in wanted:
        sold = sorted((line["product."] or {}).get("code") or "" for line in lines)
        is_same = sold == sorted(product_codes(command))
        held["products"] = wanted["products"] if is_same else ", ".join(sold)
    if command.tax_code is not None:
        held["tax_code"] = _words(", ".join(t["name"] for t in line["taxes."]) for line in lines)
    if command.unit_code is not None:
        held["unit_code"] = _words((line["unit."] or {}).get("symbol") or "" for line in lines)
    return held


def _words(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))


def project_content(*, command: ProjectCommand, row: Row, places: Mapping[str, str]) -> Content:
    """Return what a project holds."""
    name = command.name if one_line(command.name) == row["name"] else row["name"]
    held = {"code": row["number"], "name": name, "client_code": str(row["party"] or "")}
    told = {
        word: str(row[place] or "")
        for word, place in places.items()
        if getattr(command, word) is not None
    }
    return {**held, **told}


def task_content(*, command: TaskCommand, row: Row) -> Content:
    """Return what a task holds; the name without what Tieline added to it."""
    price = row["list_price"]
    is_same_price = (command.rate_amount if command.is_billable else None) == price
    wanted = command.content()
    return {
        "project_code": str(row["parent"] or ""),
        "name": command.name if row["name"] == task_name(command) else row["name"],
        "rate_amount": wanted["rate_amount"] if is_same_price else str(price),
        "starts_on": _iso(row["timesheet_start_date"]),
        "ends_on": _iso(first_day_after(row["timesheet_end_date"])),
        **_budget_held(command, row),
        **_product_held(command, row),
    }


def _product_held(command: TaskCommand, row: Row) -> dict[str, str]:
    if command.product_code is None:
        return {}
    return {"product_code": (row["product."] or {}).get("code") or ""}


def _budget_held(command: TaskCommand, row: Row) -> dict[str, str]:
    # What nobody asked for may be planned there by anybody.
    if command.budget_hours is None:
        return {}
    is_same = row["effort_duration"] == _effort(command)["effort_duration"]
    return {
        "budget_hours": command.content()["budget_hours"]
        if is_same
        else str(row["effort_duration"])
    }


def employee_content(row: Row) -> Content:
    """Return what an employee record holds."""
    return {
        "party_code": str(row["party"]),
        "starts_on": _iso(row["start_date"]),
        "ends_on": _iso(first_day_after(row["end_date"])),
    }


LINE_FIELDS = [
    "uuid",
    "employee",
    "date",
    "duration",
    "company",
    "work.origin",
    "invoice_line.invoice",
]


def stored_line(*, row: Row, entity_code: str) -> StoredLine:
    """Return a time line as Tryton holds it."""
    invoice_line = row["invoice_line."]
    return StoredLine(
        business_key=UUID(row["uuid"]) if row["uuid"] else None,
        target_code=str(row["id"]),
        entity_code=entity_code,
        person_code=str(row["employee"]),
        task_code=origin_id(row["work."]["origin"]),
        work_date=row["date"],
        seconds=row["duration"] // _SECOND,
        invoice_code=str(invoice_line["invoice"]) if invoice_line else None,
    )


def origin_id(reference: str | None) -> str:
    """Return the id of a reference such as ``project.work,12``; '' where there is none."""
    return reference.partition(",")[2] if reference else ""


def _iso(day: date | None) -> str:
    return day.isoformat() if day else ""


# -- raw records to nouns ----------------------------------------------------------------------


def translate(*, record: RawRecord) -> Translated | Untranslatable:
    """Return the canonical form of a raw record; a missing field fails this record alone."""
    maker = _MAKERS.get(record.object)
    if maker is None:
        return Untranslatable(
            reason="source.object_unknown",
            message=f"Tryton's {record.object} has no canonical form here",
        )
    try:
        noun = maker(wire.decode(record.body))
    except UnknownWord as word:
        return Untranslatable(
            reason="source.word_unknown",
            message=f"{record.object} {record.source_ref} has a {word}",
            field=word.field,
        )
    except KeyError as error:
        return Untranslatable(
            reason="source.field_missing",
            message=f"{record.object} {record.source_ref} has no field {error.args[0]}",
            field=str(error.args[0]),
        )
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        return Untranslatable(
            reason="source.field_unreadable",
            message=f"{record.object} {record.source_ref} cannot be read: {type(error).__name__}",
        )
    misshapen = _misshapen(noun)
    if misshapen:
        return Untranslatable(
            reason="source.field_unreadable",
            message=f"{record.object} {record.source_ref} has no plain {misshapen}",
            field=misshapen,
        )
    return Translated(noun=noun)


class UnknownWord(Exception):
    """A word of the vendor that this connector was not taught."""

    def __init__(self, *, field: str, word: str) -> None:
        super().__init__(f"{field} that is not known: {word}")
        self.field = field


def _known(row: Row, field: str, words: frozenset[str]) -> str:
    word = row[field]
    if word not in words:
        raise UnknownWord(field=field, word=str(word)[:40])
    return str(word)


def _misshapen(noun: object) -> str:
    """Name a field that holds a structure where a plain value belongs, or ''."""
    for each in fields(noun):  # type: ignore[arg-type]
        value = getattr(noun, each.name)
        if each.name != "extras" and isinstance(value, dict | list):
            return each.name
    return ""


def _client(row: Row) -> Client:
    address = row["addresses."][0] if row["addresses."] else {}
    country = address.get("country.") or {}
    numbers = [found["code"] for found in row["identifiers."] if found["type"] in _TAX_TYPES]
    return Client(
        name=row["name"] or "",
        vat_number=numbers[0] if numbers else None,
        street=address.get("street"),
        postal_code=address.get("postal_code"),
        city=address.get("city"),
        country_code=country.get("code"),
        domain=_domain(row["contact_mechanisms."]),
        parent_ref=None,
        is_active=row["active"],
        extras={"code": row["code"] or ""},
    )


_WORK_TYPES = frozenset({"project", "task"})
_PERIOD_STATES = frozenset({"open", "closed", "locked"})
_INVOICE_STATES = frozenset({"draft", "validated", "posted", "paid", "cancelled"})
_TAX_TYPES = frozenset({"eu_vat", *_IDENTIFIER_TYPES.values(), None})


def _domain(mechanisms: Sequence[Row]) -> str | None:
    for mechanism in mechanisms:
        if mechanism["type"] == "website":
            return re.sub(r"^https?://(www\.)?", "", mechanism["value"]).partition("/")[0]
    return None


def _person(row: Row) -> Person:
    # The vendor tells a zero of whom it has no price; a price of zero is one of the dated ones.
    party = row["party."]
    emails = [m["value"] for m in party["contact_mechanisms."] if m["type"] == "email"]
    return Person(
        name=party["name"] or "",
        email=emails[0].lower() if emails else None,
        employee_code=party["code"],
        entity_code=row["company."]["party."]["code"],
        is_active=row["active"],
        employed_from=row["start_date"],
        employed_to=first_day_after(row["end_date"]),
        cost_rate=row["cost_price"] or None,
        cost_rates=tuple(
            CostRate(starts_on=each["date"], amount=each["cost_price"])
            for each in sorted(row.get("cost_prices.") or (), key=lambda each: each["date"])
        ),
        extras={"party_code": str(row["party"])},
    )


def _work_item(row: Row) -> WorkItem:
    status = row["status."] or {}
    return WorkItem(
        kind=_known(row, "type", _WORK_TYPES),
        name=row["name"],
        code=row["number"],
        parent_ref=_reference(row["parent"]),
        client_ref=_reference(row["party"]),
        is_active=status.get("progress") != 1,
        extras={
            "entity_code": row["company."]["party."]["code"],
            "list_price": "" if row["list_price"] is None else str(row["list_price"]),
            "starts_on": _iso(row["timesheet_start_date"]),
            "ends_on": _iso(first_day_after(row["timesheet_end_date"])),
            "invoice_method": row["project_invoice_method"] or "",
        },
    )


def _time_entry(row: Row) -> TimeEntry:
    # Tryton has no approval state on a line, so none is claimed.
    return TimeEntry(
        person_ref=str(row["employee"]),
        project_ref=None,
        task_ref=origin_id(row["work."]["origin"]) or None,
        labor_category=None,
        work_date=row["date"],
        zone=None,
        seconds=row["duration"] // _SECOND,
        quantum_seconds=1,
        started_at=None,
        ended_at=None,
        billable=None,
        approval=Approval.UNKNOWN,
        approval_word="",
        approver_ref=None,
        approved_at=None,
        created_at=utc(row["create_date"]),
        narrative=row["description"],
        extras={
            "uuid": row["uuid"] or "",
            "entity_code": row["company."]["party."]["code"],
            "invoice_line_code": _reference(row["invoice_line"]) or "",
        },
    )


def _period(row: Row) -> WorkItem:
    return WorkItem(
        kind="fiscal_period",
        name=row["name"],
        code=row["name"],
        parent_ref=_reference(row["fiscalyear"]),
        client_ref=None,
        is_active=_known(row, "state", _PERIOD_STATES) == "open",
        extras={
            "entity_code": row["company."]["party."]["code"],
            "starts_on": _iso(row["start_date"]),
            "ends_on": _iso(first_day_after(row["end_date"])),
            "state": row["state"],
        },
    )


def _invoice(row: Row) -> WorkItem:
    return WorkItem(
        kind="invoice",
        name=row["description"] or row["number"] or str(row["id"]),
        code=row["number"],
        parent_ref=None,
        client_ref=_reference(row["party"]),
        is_active=_known(row, "state", _INVOICE_STATES) != "cancelled",
        extras={
            "entity_code": row["company."]["party."]["code"],
            "state": row["state"],
            "currency": row["currency."]["code"],
            "untaxed_amount": str(row["untaxed_amount"]),
            "total_amount": str(row["total_amount"]),
        },
    )


def _reference(number: int | None) -> str | None:
    return None if number is None else str(number)


def utc(instant: datetime | None) -> datetime | None:
    """Return Tryton's naive instant as what it is: UTC."""
    return None if instant is None else instant.replace(tzinfo=UTC)


_MAKERS: Mapping[str, Callable[[Row], Client | Person | TimeEntry | WorkItem]] = {
    "parties": _client,
    "employees": _person,
    "projects": _work_item,
    "time_lines": _time_entry,
    "periods": _period,
    "invoices": _invoice,
}


# -- the invoice rule --------------------------------------------------------------------------


def invoice_rule(*, sums: Sequence[HourSum], currency: str) -> list[InvoiceLine]:
    """Compute an invoice's lines as Tryton 8.0 does.

    Durations are summed per task and the sum is rounded to 0.01 hour; a sum that rounds to
    nothing stays uninvoiced. Neighboring tasks of one product, price and name share a line. A
    line's amount is rounded half to even, in the currency of the company.
    """
    kept = [found for found in sums if found.rate_amount and hours_of(found.seconds)]
    return [
        _ruled_line(list(grouped), currency)
        for _, grouped in groupby(kept, key=lambda found: (_description(found), found.rate_amount))
    ]


def _ruled_line(members: Sequence[HourSum], currency: str) -> InvoiceLine:
    quantity = sum((hours_of(found.seconds) for found in members), Decimal(0))
    rate = members[0].rate_amount
    digits = Decimal(1).scaleb(-currency_digits(currency))
    return InvoiceLine(
        description=_description(members[0]),
        quantity=quantity,
        unit=HOUR,
        unit_price=rate,
        amount=(quantity * rate).quantize(digits, rounding=ROUND_HALF_EVEN),
        task_codes=tuple(found.task_code for found in members),
        line_code="",
    )


def _description(found: HourSum) -> str:
    # The labor category is part of the name, so equal names are equal products too.
    return _decorated(found.task_name, found.labor_category, found.rate_starts_on)


def hours_of(seconds: int) -> Decimal:
    """Round seconds to 0.01 hour, as Tryton does."""
    # Tryton divides in binary floating point: 0.575 h becomes 57.49999999999999 hundredths. A tie
    # has to fall where Tryton lets it fall, so the very same operations are done here.
    hundredths = round(seconds / 60 / 60 * 100)
    return Decimal(hundredths) / 100

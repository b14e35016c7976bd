"""What we ask a target to hold: one frozen command per noun, with content that can be compared.

``*_code`` fields are the target's own codes, resolved before the command is built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar, Protocol
from uuid import UUID

Content = Mapping[str, str]

COST_PLUS = "cost_plus"
BILLED_BY_SCHEDULE = frozenset({"fixed_fee", "milestone", "retainer", "subscription"})
"""Billing methods by which hours are delivered and no hour is billed."""


class Command(Protocol):
    """One write to one target under one business key."""

    noun: ClassVar[str]

    @property
    def business_key(self) -> UUID: ...

    @property
    def entity_code(self) -> str: ...

    def content(self) -> Content:
        """Return the values that decide whether a stored record is this one."""
        ...


def content_hash(content: Content) -> str:
    """Return SHA-256 over the sorted, length-prefixed content."""
    return hashlib.sha256(
        b"".join([_part(word) for name in sorted(content) for word in (name, content[name])])
    ).hexdigest()


# The lines of a batch share most of their words: names of fields, days, people, tasks.
@lru_cache(maxsize=4096)
def _part(word: str) -> bytes:
    encoded = word.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _day(day: date | None) -> str:
    return day.isoformat() if day else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCommand:
    """Create a client where it was not found."""

    noun: ClassVar[str] = "client"
    business_key: UUID
    entity_code: str
    name: str
    vat_number: str | None
    street: str | None
    postal_code: str | None
    city: str | None
    country_code: str | None
    parent_code: str | None

    def content(self) -> Content:
        return {"name": self.name, "vat_number": self.vat_number or ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractLine:
    """One priced line of a contract; ``hours`` sold at ``rate_amount``.

    ``product_code`` is as what the target sells it, where it is not by its labor category or billing method.
    """

    task_name: str
    labor_category: str
    hours: Decimal
    rate_amount: Decimal
    product_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractCommand:
    """Create the contract document of a won opportunity.

    ``tax_code`` and ``unit_code`` are the target's own of all lines; None leaves it to its products.
    """

    noun: ClassVar[str] = "contract"
    business_key: UUID
    entity_code: str
    client_code: str
    name: str
    currency: str
    billing_method: str
    signed_on: date
    purchase_order: str | None
    lines: tuple[ContractLine, ...]
    tax_code: str | None = None
    unit_code: str | None = None

    def content(self) -> Content:
        total = sum((line.hours * line.rate_amount for line in self.lines), Decimal(0))
        products = sorted(line.product_code for line in self.lines if line.product_code)
        return {
            "client_code": self.client_code,
            "currency": self.currency,
            "lines": str(len(self.lines)),
            "total": _plain(total.quantize(Decimal("0.01"))),
            **({"products": ", ".join(products)} if products else {}),
            **({} if self.tax_code is None else {"tax_code": self.tax_code}),
            **({} if self.unit_code is None else {"unit_code": self.unit_code}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCommand:
    """Create a project for a contract; ``code`` is the number people book on.

    ``is_split`` says that several clients pay: what they are billed does not come of the target's own hours.
    ``cost_center`` and ``practice`` are what the target calls them, where the connection says of a field that takes one.
    """

    noun: ClassVar[str] = "project"
    business_key: UUID
    entity_code: str
    client_code: str
    contract_code: str | None
    code: str
    name: str
    billing_method: str
    is_split: bool
    starts_on: date
    ends_on: date | None
    cost_center: str | None = None
    practice: str | None = None

    def content(self) -> Content:
        return {
            "code": self.code,
            "name": self.name,
            "client_code": self.client_code,
            **({} if self.cost_center is None else {"cost_center": self.cost_center}),
            **({} if self.practice is None else {"practice": self.practice}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCommand:
    """Create one bookable task; in an ERP one per labor category and rate version.

    ``budget_hours`` is how many hours it may take, where somebody decided that. ``product_code`` is as what the
    target sells it, where it is not by its labor category.
    """

    noun: ClassVar[str] = "task"
    business_key: UUID
    entity_code: str
    project_code: str
    name: str
    labor_category: str | None
    rate_amount: Decimal | None
    currency: str | None
    is_billable: bool
    starts_on: date | None
    ends_on: date | None
    budget_hours: Decimal | None
    product_code: str | None = None

    def content(self) -> Content:
        return {
            "project_code": self.project_code,
            "name": self.name,
            "rate_amount": "" if self.rate_amount is None else _plain(self.rate_amount),
            "starts_on": _day(self.starts_on),
            "ends_on": _day(self.ends_on),
            **({} if self.budget_hours is None else {"budget_hours": _plain(self.budget_hours)}),
            **({} if self.product_code is None else {"product_code": self.product_code}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentCommand:
    """Let a person book on a project."""

    noun: ClassVar[str] = "assignment"
    business_key: UUID
    entity_code: str
    project_code: str
    person_code: str

    def content(self) -> Content:
        return {"project_code": self.project_code, "person_code": self.person_code}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmployeeCommand:
    """Give a person a dated employee record in a company; ``party_code`` is the same person's."""

    noun: ClassVar[str] = "employee"
    business_key: UUID
    entity_code: str
    party_code: str
    employee_code: str
    starts_on: date
    ends_on: date | None
    cost_rate: Decimal | None

    def content(self) -> Content:
        return {
            "party_code": self.party_code,
            "starts_on": _day(self.starts_on),
            "ends_on": _day(self.ends_on),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLineCommand:
    """Put one hour line on a task of the target."""

    noun: ClassVar[str] = "time_line"
    business_key: UUID
    entity_code: str
    person_code: str
    task_code: str
    work_date: date
    seconds: int
    narrative: str | None

    def content(self) -> Content:
        return {
            "person_code": self.person_code,
            "task_code": self.task_code,
            "work_date": self.work_date.isoformat(),
            "seconds": str(self.seconds),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCommand:
    """Report values back to a record that its system owns, such as a deal's project status."""

    noun: ClassVar[str] = "status"
    business_key: UUID
    entity_code: str
    object: str
    record_code: str
    values: Mapping[str, str]

    def content(self) -> Content:
        return dict(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCommand:
    """Set fields of a record that stands; ``before`` is what it held when it was decided."""

    noun: ClassVar[str] = "field"
    business_key: UUID
    entity_code: str
    object: str
    record_code: str
    before: Mapping[str, str]
    values: Mapping[str, str]

    def content(self) -> Content:
        return dict(self.values)

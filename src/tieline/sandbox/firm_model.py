"""The words of the generated firm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal

CONSULTANT = "Consultant"
SENIOR_CONSULTANT = "Senior Consultant"
DATA_ENGINEER = "Data Engineer"
SENIOR_DATA_ENGINEER = "Senior Data Engineer"
PROJECT_MANAGER = "Project Manager"
ANALYST = "Analyst"
LABOR_CATEGORIES: Mapping[str, str] = {
    "CON": CONSULTANT,
    "SCON": SENIOR_CONSULTANT,
    "DEN": DATA_ENGINEER,
    "SDEN": SENIOR_DATA_ENGINEER,
    "PM": PROJECT_MANAGER,
    "ANA": ANALYST,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalEntity:
    """One company of the firm; it closes at an hour of its n-th working day after a period.

    ``fiscal_year_start`` is a day such as 04-01, or 4-4-5 for years of whole weeks.
    """

    code: str
    name: str
    country_code: str
    currency: str
    zone: str
    street: str
    postal_code: str
    city: str
    vat_number: str
    tax_rate: Decimal | None
    fiscal_year_start: str
    closes_on_working_day: int
    closes_at: time
    practices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRate:
    """What an hour of a person costs from a day on."""

    from_on: date
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who works at the firm. ``key`` names the place in the story, not the person.

    ``is_planned`` says that HR tells which hours are expected; ``is_from_agency``, that the agency sends them.
    """

    key: str
    first_name: str
    last_name: str
    email: str
    employee_code: str
    entity_code: str
    country_code: str
    role: str
    labor_category: str | None
    weekly_hours: Decimal
    employed_from: date
    employed_to: date | None
    cost_rates: tuple[CostRate, ...]
    is_planned: bool
    is_from_agency: bool

    @property
    def name(self) -> str:
        """Return the name as people write it."""
        return f"{self.first_name} {self.last_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client: its name in the CRM, and in the ERP where it already is there."""

    key: str
    crm_name: str
    crm_has_vat: bool
    erp_name: str | None
    vat_number: str | None
    domain: str
    street: str
    postal_code: str
    city: str
    country_code: str
    parent_key: str | None
    has_deal: bool
    contact_first_name: str
    contact_last_name: str
    contact_email: str
    contact_title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DealLine:
    """One sold role on a task from a day on."""

    key: str
    task: str
    labor_category: str
    hours: Decimal
    rate: Decimal
    rate_starts_on: date

    @property
    def amount(self) -> Decimal:
        """Return hours times rate."""
        return (self.hours * self.rate).quantize(Decimal("0.01"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """An opportunity with its commercial terms; ``blocker`` says what must stop it."""

    key: str
    name: str
    client_key: str
    entity_code: str
    currency: str
    practice: str
    billing_method: str
    purchase_order: str | None
    is_purchase_order_required: bool
    rate_card: str
    tax_treatment: str
    project_code: str
    cap_amount: Decimal | None
    starts_on: date
    ends_on: date
    owner_key: str
    won_at: datetime
    lines: tuple[DealLine, ...]
    blocker: str | None

    @property
    def amount(self) -> Decimal:
        """Return the sum of the lines."""
        return sum((line.amount for line in self.lines), Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Somebody in sales who owns deals."""

    key: str
    owner_id: int
    first_name: str
    last_name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Who works on which project in which role, [starts_on, ends_on); ``is_late`` is told when work has begun."""

    person_key: str
    project_code: str
    labor_category: str
    starts_on: date
    ends_on: date
    approver_key: str
    deputy_key: str
    is_late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Days on which a person is away, [starts_on, ends_on)."""

    person_key: str
    starts_on: date
    ends_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Intercompany:
    """A person of one company may work for another, [starts_on, ends_on), under a code there.

    ``cost`` is what the borrower's ERP says of an hour where it has the person already; None: it has not.
    """

    person_key: str
    entity_code: str
    employee_code: str
    project_code: str
    starts_on: date
    ends_on: date
    cost: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a timesheet as somebody typed it; ``is_late`` is handed in after the others were posted."""

    key: str
    person_key: str
    project_code: str
    task: str
    work_date: date
    hours: Decimal
    narrative: str | None
    is_locked: bool
    locked_reason: str | None
    entered_at: datetime
    is_late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """Something planted: what it is, which reason it must yield, on which entry or deal.

    ``may_also`` are reasons that rightly come along; ``healed`` says that a later change mends it.
    """

    kind: str
    reason: str
    ref: str
    is_warning: bool = False
    is_healed_later: bool = False
    may_also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterChange:
    """What somebody does to an entry after it was posted."""

    kind: str
    verb: str
    entry_key: str
    project_code: str
    hours: Decimal | None = None
    work_date: date | None = None
    to_project_code: str | None = None
    to_task: str | None = None
    narrative: str | None = None

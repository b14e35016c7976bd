"""The nouns as every source tells them: references are still the source's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

Extras = Mapping[str, str]


class Approval(StrEnum):
    """Say what a source knows about the approval of an hour."""

    APPROVED = "approved"
    NOT_APPROVED = "not_approved"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeEntry:
    """An hour as booked. ``labor_category`` is None where the source does not tell it."""

    person_ref: str
    project_ref: str | None
    task_ref: str | None
    labor_category: str | None
    work_date: date | None
    zone: str | None
    seconds: int
    quantum_seconds: int
    started_at: datetime | None
    ended_at: datetime | None
    billable: bool | None
    approval: Approval
    approval_word: str
    approver_ref: str | None
    approved_at: datetime | None
    created_at: datetime | None
    narrative: str | None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A firm we bill, as one system spells it. ``parent_ref`` is in the same system."""

    name: str
    vat_number: str | None
    street: str | None
    postal_code: str | None
    city: str | None
    country_code: str | None
    domain: str | None
    parent_ref: str | None
    is_active: bool
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person at a client."""

    name: str
    email: str | None
    client_ref: str | None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpportunityLine:
    """One sold role on one task from one date on; ``hours`` sold at ``rate_amount`` per hour.

    ``markup_percent`` is by how much a cost-plus line is more than what a person costs; the rate is then an estimate.
    """

    line_ref: str
    task_name: str | None
    labor_category: str | None
    hours: Decimal | None
    rate_amount: Decimal | None
    amount: Decimal | None
    rate_starts_on: date | None
    markup_percent: Decimal | None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """A deal with the commercial terms that named properties carry; None means not said."""

    name: str
    client_ref: str | None
    stage: str
    is_won: bool
    closed_on: date | None
    amount: Decimal | None
    currency: str | None
    owner_ref: str | None
    entity_code: str | None
    practice: str | None
    cost_center: str | None
    billing_method: str | None
    purchase_order: str | None
    is_purchase_order_required: bool | None
    rate_card: str | None
    tax_treatment: str | None
    project_code: str | None
    cap_amount: Decimal | None
    starts_on: date | None
    ends_on: date | None
    lines: tuple[OpportunityLine, ...]
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRate:
    """What an hour of a person costs from a day on, until the next rate begins."""

    starts_on: date
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as one system knows them. ``employee_code`` and entity where it is an employer's.

    ``cost_rates`` are those of a system that dates them; of any other one ``cost_rate`` holds on every day.
    """

    name: str
    email: str | None
    employee_code: str | None
    entity_code: str | None
    is_active: bool
    employed_from: date | None
    employed_to: date | None
    cost_rate: Decimal | None
    cost_rates: tuple[CostRate, ...] = ()
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffingFact:
    """One dated fact of a staffing file: employment, assignment, leave or intercompany."""

    fact: str
    person_email: str | None
    person_name: str | None
    employee_code: str | None
    entity_code: str | None
    project_code: str | None
    labor_category: str | None
    starts_on: date | None
    ends_on: date | None
    approver_email: str | None
    deputy_email: str | None
    # None: the source does not say; so do versions from before it was asked.
    manages_project: bool | None = None
    extras: Extras = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A project or task that a system already holds, for links and adoption."""

    kind: str
    name: str
    code: str | None
    parent_ref: str | None
    client_ref: str | None
    is_active: bool
    extras: Extras = field(default_factory=dict)

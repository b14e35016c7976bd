"""Halden Roe, generated from a seed and a day: a consulting firm with a month to bill."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from tieline.kernel.money import seconds_from_hours
from tieline.sandbox.firm_agency import PROJECT, TASK, AgencyFile, make_agency_file
from tieline.sandbox.firm_calendar import (
    WEEKS,
    anchor_month,
    business_now,
    month_before,
    months_after,
    next_workday,
    place_of_work,
)
from tieline.sandbox.firm_deals import make_clients, make_deals, valid_vat
from tieline.sandbox.firm_model import (
    LABOR_CATEGORIES,
    Assignment,
    Client,
    Deal,
    Entry,
    Intercompany,
    LaterChange,
    Leave,
    LegalEntity,
    Mistake,
    Owner,
    Person,
)
from tieline.sandbox.firm_people import (
    faker_for,
    make_assignments,
    make_intercompany,
    make_leave,
    make_owners,
    make_people,
)
from tieline.sandbox.firm_running import make_running
from tieline.sandbox.firm_running_load import (
    contracts_csv,
    erp_projects,
    harvest_links,
    harvest_names,
    harvest_projects,
    lent_employees,
)
from tieline.sandbox.firm_time import FOREIGN_TASK, make_time
from tieline.sandbox.truth import TruthKey
from tieline.sandbox.wire import encode_json

STAFFING_COLUMNS = (
    "fact",
    "person_email",
    "person_name",
    "employee_code",
    "legal_entity",
    "employed_from",
    "employed_to",
    "project_code",
    "labor_category",
    "assigned_from",
    "assigned_to",
    "approver_email",
    "deputy_email",
    "leave_from",
    "leave_to",
    "week_pattern",
    "work_place",
)
"""One row is one fact; every ``_to`` is the first day on which the fact no longer holds."""

STAFFING_KEY = (
    "fact",
    "person_email",
    "legal_entity",
    "project_code",
    "labor_category",
    "employed_from",
    "assigned_from",
    "leave_from",
)
"""The columns that name a row."""

_DEAL_PROPERTIES = (
    ("tieline_legal_entity", "string"),
    ("tieline_practice", "string"),
    ("tieline_cost_center", "string"),
    ("tieline_billing_method", "string"),
    ("tieline_purchase_order", "string"),
    ("tieline_purchase_order_required", "bool"),
    ("tieline_rate_card", "string"),
    ("tieline_tax_treatment", "string"),
    ("tieline_starts_on", "date"),
    ("tieline_ends_on", "date"),
    ("tieline_project_code", "string"),
    ("tieline_cap_amount", "number"),
)
_WRITTEN_BACK = (
    ("tieline_project_status", "string"),
    ("tieline_project_ref", "string"),
    ("tieline_revenue_wip", "number"),
    ("tieline_revenue_billed", "number"),
    ("tieline_revenue_backlog", "number"),
    ("tieline_revenue_as_of", "datetime"),
)
_TOLD_OF_COMPANIES = (
    ("tieline_revenue_wip", "number"),
    ("tieline_revenue_billed", "number"),
    ("tieline_revenue_backlog", "number"),
    ("tieline_revenue_currency", "string"),
    ("tieline_revenue_rates", "string"),
    ("tieline_revenue_as_of", "datetime"),
)
_LINE_PROPERTIES = (
    ("tieline_task", "string"),
    ("tieline_labor_category", "string"),
    ("tieline_rate_starts_on", "date"),
    ("tieline_markup_percent", "number"),
)
# As the time tool names them.
_ZONES = {
    "DE": "Berlin",
    "GB": "London",
    "US": "Eastern Time (US & Canada)",
    "PL": "Warsaw",
}
_BLOCKED = {
    "purchase_order_missing": "provisioning.purchase_order_missing",
    "client_near_duplicate": "client.same_client_unclear",
    "currency_not_billable": "provisioning.currency_not_billable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Firm:
    """The whole firm; ``mistakes`` are everything that must be found, and nothing else is wrong.

    ``edited`` and ``deleted`` are the entries that the board changes after they were posted.
    """

    seed: int
    today: date
    month: date
    now: datetime
    entities: tuple[LegalEntity, ...]
    people: tuple[Person, ...]
    clients: tuple[Client, ...]
    owners: tuple[Owner, ...]
    deals: tuple[Deal, ...]
    # Contracts that nobody hands over: they ran before Tieline came.
    running: tuple[Deal, ...]
    assignments: tuple[Assignment, ...]
    leave: tuple[Leave, ...]
    intercompany: tuple[Intercompany, ...]
    entries: tuple[Entry, ...]
    mistakes: tuple[Mistake, ...]
    later_changes: tuple[LaterChange, ...]
    agency_file: AgencyFile
    edited: str
    deleted: str

    @staticmethod
    def generate(seed: int, today: date) -> Firm:
        """Return the firm of a seed, seen on a day."""
        month = anchor_month(today)
        people = make_people(seed=seed, month=month)
        deals = make_deals(month=month)
        clients = make_clients(seed=seed, faker_for=faker_for)
        running = make_running(
            month=month, client_names={client.key: client.crm_name for client in clients}
        )
        assignments = make_assignments(people=people, deals=deals, running=running, month=month)
        leave = make_leave(month=month)
        agency_file = make_agency_file(seed=seed, month=month, people=people)
        plan = make_time(
            seed=seed,
            month=month,
            people=people,
            deals=(*deals, *running),
            assignments=assignments,
            leave=leave,
        )
        return Firm(
            seed=seed,
            today=today,
            month=month,
            now=business_now(month),
            entities=_entities(seed),
            people=people,
            clients=clients,
            owners=make_owners(seed=seed),
            deals=deals,
            running=running,
            assignments=assignments,
            leave=leave,
            intercompany=make_intercompany(people=people, month=month),
            entries=plan.entries,
            mistakes=(
                *plan.mistakes,
                *_deal_mistakes(deals),
                *_line_mistakes(agency_file),
                *_staffing_mistakes(assignments),
            ),
            later_changes=plan.later_changes,
            agency_file=agency_file,
            edited=plan.edited,
            deleted=plan.deleted,
        )

    @property
    def entity_of_project(self) -> dict[str, str]:
        """Return the legal entity of each project code."""
        return {each.project_code: each.entity_code for each in (*self.deals, *self.running)}

    @property
    def team_assignments(self) -> list[Assignment]:
        """Return who works on the contracts that run."""
        running = {contract.project_code for contract in self.running}
        return [each for each in self.assignments if each.project_code in running]

    @property
    def began_at(self) -> datetime:
        """Return an instant before everything in the story."""
        return datetime.combine(month_before(self.month), time(8), tzinfo=UTC)

    def hubspot_load(self, *, with_written_back: bool = True) -> dict[str, Any]:
        """Return what the CRM holds before a deal is won, for its control endpoint."""
        deal_properties = _DEAL_PROPERTIES + (_WRITTEN_BACK if with_written_back else ())
        company_properties = (
            ("tieline_vat_number", "string"),
            *(_TOLD_OF_COMPANIES if with_written_back else ()),
        )
        return {
            "at": self.began_at.isoformat(),
            "properties": {
                "deals": _definitions(deal_properties, "dealinformation"),
                "line_items": _definitions(_LINE_PROPERTIES, "lineiteminformation"),
                "companies": _definitions(company_properties, "companyinformation"),
            },
            "owners": [
                {
                    "id": owner.owner_id,
                    "email": owner.email,
                    "firstName": owner.first_name,
                    "lastName": owner.last_name,
                }
                for owner in self.owners
            ],
            "companies": [_company(client) for client in self.clients],
            "contacts": [_contact(client) for client in self.clients],
            "deals": [self._hubspot_deal(deal) for deal in self.deals],
            "line_items": [row for deal in self.deals for row in _line_items(deal)],
            "associations": self._associations(),
        }

    def wins(self) -> list[dict[str, str]]:
        """Return the won deals in order, for the CRM's control endpoint."""
        return [{"deal_id": deal.key, "at": deal.won_at.isoformat()} for deal in self.deals]

    def harvest_load(self) -> dict[str, Any]:
        """Return whom the time tool knows before a project is provisioned, and its clients and tasks."""
        names = harvest_names(self.running, clients=self.clients)
        return {
            "at": self.began_at.isoformat(),
            "clients": names["clients"],
            "users": [
                {
                    "key": person.key,
                    "first_name": person.first_name,
                    "last_name": person.last_name,
                    "email": person.email,
                    "timezone": _ZONES[person.country_code],
                    "weekly_capacity": int(person.weekly_hours * 3600),
                    "roles": [person.role],
                    "access_roles": ["administrator" if person.key == "de-director" else "member"],
                }
                for person in self.people
            ],
            "tasks": [{"key": FOREIGN_TASK, "name": FOREIGN_TASK}, *names["tasks"]],
        }

    def harvest_projects(self, *, client_ids: Mapping[str, int]) -> dict[str, Any]:
        """Return the projects that ran before, for the time tool's control endpoint."""
        return {
            "at": self.began_at.isoformat(),
            **harvest_projects(self.running, client_ids=client_ids),
        }

    def harvest_links(
        self,
        *,
        project_ids: Mapping[str, int],
        task_ids: Mapping[str, int],
        user_ids: Mapping[str, int],
    ) -> dict[str, Any]:
        """Return the tasks and people of those projects, for the time tool's control endpoint."""
        links = harvest_links(
            self.running,
            self.assignments,
            project_ids=project_ids,
            task_ids=task_ids,
            user_ids=user_ids,
        )
        return {"at": self.began_at.isoformat(), **links}

    def erp_seed(self) -> dict[str, Any]:
        """Return what the ERP holds before a project is provisioned."""
        opens_on = month_before(month_before(self.month))
        closes_on = months_after(max(self.month, self.today.replace(day=1)), 4)
        return {
            "companies": [_erp_company(entity, opens_on, closes_on) for entity in self.entities],
            "clients": [
                {
                    "code": self._erp_clients[client.key],
                    "name": client.erp_name,
                    "country": client.country_code,
                    "vat": client.vat_number,
                    "street": client.street,
                    "city": client.city,
                    "postal_code": client.postal_code,
                }
                for client in self.clients
                if client.erp_name is not None
            ],
            "employees": [
                *(_erp_employee(person) for person in self.people),
                *lent_employees(self.intercompany, people=self.people),
            ],
            "labor_categories": [
                {"code": code, "name": name} for code, name in LABOR_CATEGORIES.items()
            ],
            "projects": erp_projects(self.running, clients=self._erp_clients),
        }

    def contracts_csv(self) -> str:
        """Return the contracts that run, as somebody tells Tieline of them: a row per rate."""
        return contracts_csv(self.running, clients=self.clients)

    def staffing_csv(self) -> str:
        """Return the staffing file: employment, assignments on what is sold, leave, agreements."""
        return _csv(self._staffing_rows())

    def teams_csv(self) -> str:
        """Return who works on the contracts that run: the teams' assignments and nothing else."""
        people = {person.key: person for person in self.people}
        return _csv([self._assignment_row(each, people) for each in self.team_assignments])

    def late_staffing_csv(self) -> str:
        """Return what staffing tells once the projects run."""
        people = {person.key: person for person in self.people}
        return _csv(
            [self._assignment_row(each, people) for each in self.assignments if each.is_late]
        )

    def time_entries(
        self,
        *,
        project_ids: Mapping[str, int],
        task_ids: Mapping[tuple[str, str], int],
        user_ids: Mapping[str, int],
        handed_in_at: datetime | None = None,
        is_late: bool = False,
    ) -> dict[str, Any]:
        """Return the month's time for the time tool's control endpoint.

        ``task_ids`` are by (project code, task name), or ("", task name) for tasks of the whole
        account; ``user_ids`` are by e-mail. ``project_ids`` may be some of the projects: time on
        the others is left out. ``handed_in_at`` is when it is handed in and approved, in place of
        the week after the work. ``is_late`` asks for what is handed in after everything else.
        """
        emails = {person.key: person.email for person in self.people}
        return {
            "entries": [
                {
                    "key": entry.key,
                    "user_id": user_ids[emails[entry.person_key]],
                    "project_id": project_ids[entry.project_code],
                    "task_id": _task_id(task_ids, entry.project_code, entry.task),
                    "spent_date": entry.work_date.isoformat(),
                    "hours": str(entry.hours),
                    "notes": entry.narrative,
                    "is_locked": entry.is_locked,
                    "locked_reason": entry.locked_reason,
                    "at": (handed_in_at or self._approved_at(entry)).isoformat(),
                    "entered_at": entry.entered_at.isoformat(),
                }
                for entry in self.entries
                if entry.project_code in project_ids and entry.is_late == is_late
            ]
        }

    def changes(
        self,
        *,
        entry_ids: Mapping[str, int],
        project_ids: Mapping[str, int],
        task_ids: Mapping[tuple[str, str], int],
        at: datetime,
    ) -> list[dict[str, Any]]:
        """Return what people change after posting: verb and body for the control endpoint."""
        return [
            {
                "kind": change.kind,
                "entry_key": change.entry_key,
                "verb": change.verb,
                "body": _change_body(change, entry_ids, project_ids, task_ids, at),
            }
            for change in self.later_changes
        ]

    def agency_truth(self) -> dict[TruthKey, list[int]]:
        """Return the hours of the agency's file that must stand in the ERP."""
        truth: dict[TruthKey, list[int]] = defaultdict(list)
        entity_code = self.entity_of_project[PROJECT]
        for row in self.agency_file.rows:
            key = (entity_code, row.email, row.work_date, PROJECT, TASK)
            truth[key].append(seconds_from_hours(row.hours))
        return {key: sorted(seconds) for key, seconds in truth.items()}

    def remaining_mistakes(self, *, is_after_changes: bool) -> tuple[Mistake, ...]:
        """Return the mistakes that still stand, before or after the later changes."""
        return tuple(m for m in self.mistakes if not (is_after_changes and m.is_healed_later))

    @property
    def _erp_clients(self) -> dict[str, str]:
        return {client.key: f"C-{1001 + number}" for number, client in enumerate(self.clients)}

    def _approved_at(self, entry: Entry) -> datetime:
        monday = next_workday(entry.entered_at.date(), after=1)
        approved = datetime.combine(monday, time(9, 30), tzinfo=UTC)
        return min(approved, self.now - timedelta(hours=1)) if entry.is_locked else entry.entered_at

    def _hubspot_deal(self, deal: Deal) -> dict[str, Any]:
        owner = next(owner for owner in self.owners if owner.key == deal.owner_key)
        said = {
            "dealname": deal.name,
            "dealstage": "contractsent",
            "pipeline": "default",
            "amount": str(deal.amount),
            "deal_currency_code": deal.currency,
            "closedate": f"{deal.starts_on.isoformat()}T00:00:00.000Z",
            "hubspot_owner_id": str(owner.owner_id),
            "tieline_legal_entity": deal.entity_code,
            "tieline_practice": deal.practice,
            "tieline_billing_method": deal.billing_method,
            "tieline_purchase_order": deal.purchase_order,
            "tieline_purchase_order_required": str(deal.is_purchase_order_required).lower(),
            "tieline_rate_card": deal.rate_card,
            "tieline_tax_treatment": deal.tax_treatment,
            "tieline_starts_on": deal.starts_on.isoformat(),
            "tieline_ends_on": deal.ends_on.isoformat(),
            "tieline_project_code": deal.project_code,
            "tieline_cap_amount": None if deal.cap_amount is None else str(deal.cap_amount),
        }
        return {"key": deal.key, "properties": {k: v for k, v in said.items() if v is not None}}

    def _associations(self) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = []
        for client in self.clients:
            links.append({"from": ["contacts", client.key], "to": ["companies", client.key]})
            if client.parent_key is not None:
                ends = {"from": ["companies", client.key], "to": ["companies", client.parent_key]}
                links.append({**ends, "type": "parent"})
        for deal in self.deals:
            links.append({"from": ["deals", deal.key], "to": ["companies", deal.client_key]})
            links.append({"from": ["deals", deal.key], "to": ["contacts", deal.client_key]})
            links += [
                {"from": ["deals", deal.key], "to": ["line_items", line.key]} for line in deal.lines
            ]
        return links

    def _assignment_row(
        self, assignment: Assignment, people: Mapping[str, Person]
    ) -> dict[str, str]:
        return {
            "fact": "assignment",
            "person_email": people[assignment.person_key].email,
            "legal_entity": self.entity_of_project[assignment.project_code],
            "project_code": assignment.project_code,
            "labor_category": assignment.labor_category,
            "assigned_from": assignment.starts_on.isoformat(),
            "assigned_to": assignment.ends_on.isoformat(),
            "approver_email": people[assignment.approver_key].email,
            "deputy_email": people[assignment.deputy_key].email,
        }

    def _staffing_rows(self) -> list[dict[str, str]]:
        people = {person.key: person for person in self.people}
        rows = [
            {
                "fact": "employment",
                "person_email": person.email,
                "person_name": person.name,
                "employee_code": person.employee_code,
                "legal_entity": person.entity_code,
                "employed_from": person.employed_from.isoformat(),
                "employed_to": person.employed_to.isoformat() if person.employed_to else "",
            }
            for person in self.people
        ]
        rows += [
            row for person in self.people if person.is_planned for row in _working_time(person)
        ]
        sold = {deal.project_code for deal in self.deals}
        rows += [
            self._assignment_row(each, people)
            for each in self.assignments
            if not each.is_late and each.project_code in sold
        ]
        rows += [
            {
                "fact": "leave",
                "person_email": people[leave.person_key].email,
                "leave_from": leave.starts_on.isoformat(),
                "leave_to": leave.ends_on.isoformat(),
            }
            for leave in self.leave
        ]
        rows += [
            {
                "fact": "intercompany",
                "person_email": people[agreement.person_key].email,
                "person_name": people[agreement.person_key].name,
                "employee_code": agreement.employee_code,
                "legal_entity": agreement.entity_code,
                "project_code": agreement.project_code,
                "employed_from": agreement.starts_on.isoformat(),
                "employed_to": agreement.ends_on.isoformat(),
            }
            for agreement in self.intercompany
        ]
        return rows


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, STAFFING_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _entities(seed: int) -> tuple[LegalEntity, ...]:
    practices = ("Data & AI", "Operations")
    return (
        LegalEntity(
            code="HR-DE",
            name="Halden Roe GmbH",
            country_code="DE",
            currency="EUR",
            zone="Europe/Berlin",
            street="Maximiliansplatz 12",
            postal_code="80333",
            city="München",
            vat_number=valid_vat("DE", seed=f"{seed}:HR-DE"),
            tax_rate=Decimal("0.19"),
            fiscal_year_start="01-01",
            closes_on_working_day=2,
            closes_at=time(17),
            practices=practices,
        ),
        LegalEntity(
            code="HR-UK",
            name="Halden Roe Ltd",
            country_code="GB",
            currency="GBP",
            zone="Europe/London",
            street="41 Leadenhall Street",
            postal_code="EC3A 2AA",
            city="London",
            vat_number=valid_vat("GB", seed=f"{seed}:HR-UK"),
            tax_rate=Decimal("0.20"),
            fiscal_year_start="04-01",
            closes_on_working_day=2,
            closes_at=time(18),
            practices=practices,
        ),
        LegalEntity(
            code="HR-US",
            name="Halden Roe Inc.",
            country_code="US",
            currency="USD",
            zone="America/New_York",
            street="60 State Street",
            postal_code="02109",
            city="Boston",
            vat_number=valid_vat("US", seed=f"{seed}:HR-US"),
            tax_rate=None,
            fiscal_year_start=WEEKS,
            closes_on_working_day=3,
            closes_at=time(17),
            practices=practices,
        ),
        LegalEntity(
            code="HR-PL",
            name="Halden Roe Sp. z o.o.",
            country_code="PL",
            currency="PLN",
            zone="Europe/Warsaw",
            street="ul. Stradomska 5",
            postal_code="31-058",
            city="Kraków",
            vat_number=valid_vat("PL", seed=f"{seed}:HR-PL"),
            tax_rate=Decimal("0.23"),
            fiscal_year_start="01-01",
            closes_on_working_day=1,
            closes_at=time(15),
            practices=practices,
        ),
    )


def _working_time(person: Person) -> list[dict[str, str]]:
    """Return when and where somebody works, as two facts of the staffing file."""
    dates = {
        "person_email": person.email,
        "employed_from": person.employed_from.isoformat(),
        "employed_to": person.employed_to.isoformat() if person.employed_to else "",
    }
    week = [str((person.weekly_hours / 5).normalize())] * 5 + ["0", "0"]
    return [
        {"fact": "work_pattern", **dates, "week_pattern": " ".join(week)},
        {"fact": "work_place", **dates, "work_place": place_of_work(person.country_code)},
    ]


def _deal_mistakes(deals: tuple[Deal, ...]) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(kind=deal.blocker, reason=_BLOCKED[deal.blocker], ref=deal.key)
        for deal in deals
        if deal.blocker is not None
    )


def _staffing_mistakes(assignments: tuple[Assignment, ...]) -> tuple[Mistake, ...]:
    """Return the deals that somebody of another company joined whom nobody agreed to lend."""
    return tuple(
        Mistake(kind="not_lent", reason="deal.intercompany_not_agreed", ref=each.project_code)
        for each in assignments
        if each.is_late
    )


def _line_mistakes(file: AgencyFile) -> tuple[Mistake, ...]:
    return tuple(
        Mistake(kind="unreadable_line", reason="file.row_unreadable", ref=ref)
        for _, ref in file.bad_lines
    )


def _definitions(properties: tuple[tuple[str, str], ...], group: str) -> list[dict[str, str]]:
    return [{"name": name, "type": form, "groupName": group} for name, form in properties]


def _company(client: Client) -> dict[str, Any]:
    said = {
        "name": client.crm_name,
        "domain": client.domain,
        "country": client.country_code,
        "city": client.city,
        "address": client.street,
        "zip": client.postal_code,
        "tieline_vat_number": client.vat_number if client.crm_has_vat else None,
    }
    return {"key": client.key, "properties": {k: v for k, v in said.items() if v is not None}}


def _contact(client: Client) -> dict[str, Any]:
    return {
        "key": client.key,
        "properties": {
            "firstname": client.contact_first_name,
            "lastname": client.contact_last_name,
            "email": client.contact_email,
            "jobtitle": client.contact_title,
        },
    }


def _line_items(deal: Deal) -> list[dict[str, Any]]:
    return [
        {
            "key": line.key,
            "properties": {
                "name": f"{line.task}, {line.labor_category}",
                "quantity": str(line.hours),
                "price": str(line.rate),
                "amount": str(line.amount),
                "hs_line_item_currency_code": deal.currency,
                "tieline_task": line.task,
                "tieline_labor_category": line.labor_category,
                "tieline_rate_starts_on": line.rate_starts_on.isoformat(),
            },
        }
        for line in deal.lines
    ]


def _erp_company(entity: LegalEntity, opens_on: date, closes_on: date) -> dict[str, Any]:
    return {
        "code": entity.code,
        "name": entity.name,
        "currency": entity.currency,
        "timezone": entity.zone,
        "fiscal_year_start": entity.fiscal_year_start,
        "opens_on": opens_on.isoformat(),
        "closes_on": closes_on.isoformat(),
        "country": entity.country_code,
        "street": entity.street,
        "city": entity.city,
        "postal_code": entity.postal_code,
        "vat": entity.vat_number,
        "tax_rate": None if entity.tax_rate is None else str(entity.tax_rate),
    }


def _erp_employee(person: Person) -> dict[str, Any]:
    return {
        "code": person.employee_code,
        "name": person.name,
        "email": person.email,
        "company_code": person.entity_code,
        "starts_on": person.employed_from.isoformat(),
        "ends_on": person.employed_to.isoformat() if person.employed_to else None,
        "cost_rates": [
            {"from_on": rate.from_on.isoformat(), "amount": str(rate.amount)}
            for rate in person.cost_rates
        ],
    }


def _task_id(task_ids: Mapping[tuple[str, str], int], project_code: str, task: str) -> int:
    own = task_ids.get((project_code, task))
    return task_ids[("", task)] if own is None else own


def _change_body(
    change: LaterChange,
    entry_ids: Mapping[str, int],
    project_ids: Mapping[str, int],
    task_ids: Mapping[tuple[str, str], int],
    at: datetime,
) -> dict[str, Any]:
    identity = entry_ids[change.entry_key]
    if change.verb != "edit":
        return {"ids": [identity], "at": at.isoformat()}
    fields: dict[str, Any] = {}
    if change.hours is not None:
        fields["hours"] = str(change.hours)
    if change.work_date is not None:
        fields["spent_date"] = change.work_date.isoformat()
    if change.narrative is not None:
        fields["notes"] = change.narrative
    if change.to_project_code is not None and change.to_task is not None:
        fields["project_id"] = project_ids[change.to_project_code]
        fields["task_id"] = _task_id(task_ids, change.to_project_code, change.to_task)
    return {"id": identity, "changes": fields, "at": at.isoformat()}


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case date() | time():
            return value.isoformat()
        case _:
            return value


def main() -> None:
    """Print the firm."""
    parser = argparse.ArgumentParser(prog="python -m tieline.sandbox.firm", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--today", type=date.fromisoformat, required=True)
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument("--staffing", action="store_true", help="only the staffing file, as CSV")
    given = parser.parse_args()
    firm = Firm.generate(given.seed, given.today)
    if given.staffing:
        sys.stdout.write(firm.staffing_csv())
    elif given.json:
        sys.stdout.write(encode_json(_plain(asdict(firm))) + "\n")
    else:
        sys.stdout.write(_summary(firm))


def _summary(firm: Firm) -> str:
    lines = [f"Halden Roe in {firm.month:%B %Y}, seed {firm.seed}, now {firm.now.isoformat()}"]
    lines += [f"  {p.role:22} {p.name:28} {p.entity_code}" for p in firm.people]
    lines += [f"  {d.entity_code} {d.name:46} {d.currency} {d.amount:>10}" for d in firm.deals]
    lines.append(f"  {len(firm.entries)} time entries, {len(firm.mistakes)} planted mistakes")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

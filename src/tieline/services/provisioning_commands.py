"""What a step asks of its system: the command, from what was agreed and what its system calls things.

A plan that is only shown and a step that is carried out build their commands here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from tieline.canonical import (
    AssignmentCommand,
    ClientCommand,
    ContractCommand,
    EmployeeCommand,
    Opportunity,
    ProjectCommand,
    StatusCommand,
    TaskCommand,
)
from tieline.canonical.commands import ContractLine
from tieline.kernel.money import SECONDS_PER_HOUR
from tieline.runtime.database import Row
from tieline.services.project_template import budget_of, unsold_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What of a deal its commands say."""

    entity_code: str
    name: str
    currency: str
    billing_method: str
    project_code: str
    signed_on: date
    purchase_order: str | None
    is_split: bool
    starts_on: date
    ends_on: date | None


def agreed_of(plan: Mapping[str, Any], deal: Opportunity) -> Agreed:
    """Return what was agreed: the terms of the plan, under the name that the deal has."""
    starts_on = date.fromisoformat(plan["starts_on"])
    return Agreed(
        entity_code=plan["entity_code"],
        name=deal.name,
        currency=plan["currency"],
        billing_method=plan["billing_method"],
        project_code=code_of(plan),
        signed_on=deal.closed_on or starts_on,
        purchase_order=deal.purchase_order,
        is_split=is_split(plan),
        starts_on=starts_on,
        ends_on=day_of(plan["ends_on"]),
    )


def is_split(plan: Mapping[str, Any]) -> bool:
    """Say whether several clients pay for the project of a plan."""
    return bool(plan.get("shares"))


def code_of(plan: Mapping[str, Any]) -> str:
    """Return what the contract and project of a plan are called since another client took them over."""
    code: str = (plan.get("novation") or {"code": plan["project_code"]})["code"]
    return code


def client_command(
    *, key: UUID, agreed: Agreed, client: Row, parent_code: str | None
) -> ClientCommand:
    """Ask for the client as we know it at present."""
    return ClientCommand(
        business_key=key,
        entity_code=agreed.entity_code,
        name=client["name"],
        vat_number=client["vat_number"],
        street=client["street"],
        postal_code=client["postal_code"],
        city=client["city"],
        country_code=client["country_code"],
        parent_code=parent_code,
    )


def contract_command(
    *, key: UUID, agreed: Agreed, client_code: str, lines: Sequence[Row], plan: Mapping[str, Any]
) -> ContractCommand:
    """Ask for the contract document with everything that was sold, as its ERP calls it."""
    products = plan.get("erp_products", {})
    return ContractCommand(
        business_key=key,
        entity_code=agreed.entity_code,
        client_code=client_code,
        name=agreed.name,
        currency=plan.get("erp_currency") or agreed.currency,
        billing_method=agreed.billing_method,
        signed_on=agreed.signed_on,
        purchase_order=agreed.purchase_order,
        lines=tuple(
            ContractLine(
                task_name=row["task_name"],
                labor_category=_as_called(row, plan),
                hours=Decimal(row["sold_seconds"] or 0) / SECONDS_PER_HOUR,
                rate_amount=row["rate_amount"],
                product_code=products.get(part_of_line(row)),
            )
            for row in lines
            if is_sold(row)
        ),
        tax_code=plan.get("erp_tax_treatment"),
        unit_code=plan.get("erp_unit"),
    )


def project_command(
    *,
    key: UUID,
    agreed: Agreed,
    client_code: str,
    contract_code: str | None,
    cost_center: str | None,
    practice: str | None,
) -> ProjectCommand:
    """Ask for the project under the code that people book on."""
    return ProjectCommand(
        business_key=key,
        entity_code=agreed.entity_code,
        client_code=client_code,
        contract_code=contract_code,
        code=agreed.project_code,
        name=agreed.name,
        billing_method=agreed.billing_method,
        is_split=agreed.is_split,
        starts_on=agreed.starts_on,
        ends_on=agreed.ends_on,
        cost_center=cost_center,
        practice=practice,
    )


def of_project(plan: Mapping[str, Any], *, is_erp: bool) -> dict[str, str | None]:
    """Return what an ERP calls the cost center and the practice of a plan; no other system is told."""
    names = ("cost_center", "practice")
    return {name: plan.get(f"erp_{name}") if is_erp else None for name in names}


def erp_task_command(
    *,
    key: UUID,
    agreed: Agreed,
    project_code: str,
    line: Row,
    lines: Sequence[Row],
    plan: Mapping[str, Any],
) -> TaskCommand:
    """Ask an ERP for one task per labor category and rate, and for one that nobody pays for."""
    return TaskCommand(
        business_key=key,
        entity_code=agreed.entity_code,
        project_code=project_code,
        name=line["task_name"],
        labor_category=_as_called(line, plan) if is_sold(line) else None,
        rate_amount=line["rate_amount"],
        currency=plan.get("erp_currency") or agreed.currency,
        is_billable=is_sold(line),
        starts_on=line["starts_on"],
        ends_on=line["ends_on"],
        budget_hours=budget_of_line(plan, line=line, lines=lines),
        product_code=plan.get("erp_products", {}).get(part_of_line(line)),
    )


def time_task_command(
    *, key: UUID, agreed: Agreed, project_code: str, task_name: str, lines: Sequence[Row]
) -> TaskCommand:
    """Ask a time tool for one task of a name; several rates stay where they belong, in the ERP."""
    sold = [row for row in lines if row["task_name"] == task_name and is_sold(row)]
    rates = {row["rate_amount"] for row in sold}
    return TaskCommand(
        business_key=key,
        entity_code=agreed.entity_code,
        project_code=project_code,
        name=task_name,
        labor_category=None,
        rate_amount=rates.pop() if len(rates) == 1 else None,
        currency=agreed.currency,
        is_billable=bool(sold),
        starts_on=agreed.starts_on,
        ends_on=agreed.ends_on,
        budget_hours=None,
    )


def budget_of_line(plan: Mapping[str, Any], *, line: Row, lines: Sequence[Row]) -> Decimal | None:
    """Return the budget of a line's task; None where several lines share it, as nobody divides it."""
    shared = sum(row["task_name"] == line["task_name"] for row in lines)
    return budget_of(plan, task_name=line["task_name"]) if shared == 1 else None


def employee_command(*, key: UUID, entity_code: str, party_code: str, lent: Row) -> EmployeeCommand:
    """Ask for the second employee record of somebody whom another company lends."""
    return EmployeeCommand(
        business_key=key,
        entity_code=entity_code,
        party_code=party_code,
        employee_code=lent["employee_code"],
        starts_on=lent["starts_on"],
        ends_on=lent["ends_on"],
        cost_rate=None,
    )


def assignment_command(
    *, key: UUID, entity_code: str, project_code: str, person_code: str
) -> AssignmentCommand:
    """Let a person book on the project."""
    return AssignmentCommand(
        business_key=key,
        entity_code=entity_code,
        project_code=project_code,
        person_code=person_code,
    )


def status_command(
    *, key: UUID, entity_code: str, deal_ref: str, project_code: str, part: str
) -> StatusCommand:
    """Tell the deal what its project is; a part says it, and which time if it is not the first."""
    return StatusCommand(
        business_key=key,
        entity_code=entity_code,
        object="deals",
        record_code=deal_ref,
        values={"project_status": part.partition(":")[0], "project_ref": project_code},
    )


def part_of_line(line: Row) -> str:
    """Return what a line of a contract is called in a plan."""
    return f"{line['task_name']}|{line['labor_category']}|{line['starts_on'].isoformat()}"


def _as_called(line: Row, plan: Mapping[str, Any]) -> str:
    name: str = plan["erp_categories"][part_of_line(line)]
    return name


def is_sold(line: Row) -> bool:
    """Say whether a line was sold; one of a template is of no labor category, and costs nothing."""
    return bool(line["labor_category"])


def rows_of_template(plan: Mapping[str, Any]) -> list[Row]:
    """Return the lines that a plan has by its template: they take the hours that nobody pays for."""
    if not plan["starts_on"]:
        return []
    return [
        {
            "task_name": task["task_name"],
            "labor_category": "",
            "rate_amount": Decimal(0),
            "markup_percent": None,
            "currency": plan["currency"],
            "sold_seconds": 0,
            "starts_on": date.fromisoformat(plan["starts_on"]),
            "ends_on": day_of(plan["ends_on"]),
        }
        for task in unsold_tasks(plan)
    ]


def rows_of_lines(plan: Mapping[str, Any]) -> list[Row]:
    """Return the lines of a plan as the rows that they become."""
    return [*_rows_sold(plan), *rows_of_template(plan)]


def _rows_sold(plan: Mapping[str, Any]) -> list[Row]:
    return [
        {
            "task_name": line["task_name"],
            "labor_category": line["labor_category"],
            "rate_amount": Decimal(line["rate_amount"]),
            "markup_percent": number_of(line.get("markup_percent")),
            "currency": plan["currency"],
            "sold_seconds": int(Decimal(line["hours"]) * SECONDS_PER_HOUR),
            "starts_on": date.fromisoformat(line["starts_on"]),
            "ends_on": day_of(line["ends_on"]),
        }
        for line in plan["lines"]
    ]


def number_of(text: str | None) -> Decimal | None:
    """Return the number that a plan names, if it names one."""
    return None if text is None else Decimal(text)


def day_of(text: str | None) -> date | None:
    """Return the day that a plan names, if it names one."""
    return None if text is None else date.fromisoformat(text)

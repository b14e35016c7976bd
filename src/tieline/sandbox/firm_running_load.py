"""What the firm's systems hold of its running contracts, and the file that tells Tieline of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from tieline.sandbox.firm_model import (
    PROJECT_MANAGER,
    Assignment,
    Client,
    Deal,
    Intercompany,
    Person,
)

CONTRACT_COLUMNS = (
    "contract",
    "name",
    "client",
    "entity",
    "project",
    "billing_method",
    "currency",
    "cap_amount",
    "purchase_order",
    "is_purchase_order_required",
    "practice",
    "tax_treatment",
    "rate_card",
    "contract_starts_on",
    "contract_ends_on",
    "task",
    "labor_category",
    "rate_amount",
    "sold_hours",
    "starts_on",
)


def contracts_csv(running: Sequence[Deal], *, clients: Sequence[Client]) -> str:
    """Return the file with a row per rate; a client is named by its tax number."""
    numbers = {client.key: client.vat_number for client in clients}
    text = io.StringIO()
    writer = csv.DictWriter(text, CONTRACT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for contract in running:
        same = {
            "contract": contract.key,
            "name": contract.name,
            "client": numbers[contract.client_key],
            "entity": contract.entity_code,
            "project": contract.project_code,
            "billing_method": contract.billing_method,
            "currency": contract.currency,
            "cap_amount": contract.cap_amount,
            "purchase_order": contract.purchase_order,
            "is_purchase_order_required": "yes" if contract.is_purchase_order_required else "no",
            "practice": contract.practice,
            "tax_treatment": contract.tax_treatment,
            "rate_card": contract.rate_card,
            "contract_starts_on": contract.starts_on.isoformat(),
            "contract_ends_on": contract.ends_on.isoformat(),
        }
        for line in contract.lines:
            writer.writerow(
                {
                    **same,
                    "task": line.task,
                    "labor_category": line.labor_category,
                    "rate_amount": line.rate,
                    "sold_hours": line.hours,
                    "starts_on": line.rate_starts_on.isoformat(),
                }
            )
    return text.getvalue()


def erp_projects(running: Sequence[Deal], *, clients: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the ERP's projects, whose tasks are one per rate; ``clients`` are its codes by key."""
    return [
        {
            "code": contract.project_code,
            "name": contract.name,
            "company_code": contract.entity_code,
            "client_code": clients[contract.client_key],
            "tasks": [
                {
                    "name": f"{line.task} | {line.labor_category}",
                    "labor_category": line.labor_category,
                    "rate": str(line.rate),
                    "starts_on": line.rate_starts_on.isoformat(),
                }
                for line in contract.lines
            ],
        }
        for contract in running
    ]


def lent_employees(
    intercompany: Sequence[Intercompany], *, people: Sequence[Person]
) -> list[dict[str, Any]]:
    """Return the second employee records of those whom the borrower's ERP has already."""
    by_key = {person.key: person for person in people}
    return [
        {
            "code": by_key[each.person_key].employee_code,
            "name": by_key[each.person_key].name,
            "email": by_key[each.person_key].email,
            "company_code": each.entity_code,
            "starts_on": each.starts_on.isoformat(),
            "ends_on": each.ends_on.isoformat(),
            "cost_rates": [{"from_on": each.starts_on.isoformat(), "amount": str(each.cost)}],
        }
        for each in intercompany
        if each.cost is not None
    ]


def harvest_names(running: Sequence[Deal], *, clients: Sequence[Client]) -> dict[str, Any]:
    """Return the clients and tasks that the time tool's projects are made of."""
    wanted = {contract.client_key for contract in running}
    tasks = dict.fromkeys(line.task for contract in running for line in contract.lines)
    currencies = {contract.client_key: contract.currency for contract in running}
    return {
        "clients": [
            {"key": client.key, "name": client.crm_name, "currency": currencies[client.key]}
            for client in clients
            if client.key in wanted
        ],
        "tasks": [{"key": task, "name": task} for task in tasks],
    }


def harvest_projects(running: Sequence[Deal], *, client_ids: Mapping[str, int]) -> dict[str, Any]:
    """Return the time tool's projects."""
    return {
        "projects": [
            {
                "key": contract.project_code,
                "client_id": client_ids[contract.client_key],
                "name": contract.name,
                "code": contract.project_code,
                "is_billable": True,
                "bill_by": "Tasks",
                "budget_by": "none",
                "starts_on": contract.starts_on.isoformat(),
                "ends_on": contract.ends_on.isoformat(),
            }
            for contract in running
        ]
    }


def harvest_links(
    running: Sequence[Deal],
    assignments: Sequence[Assignment],
    *,
    project_ids: Mapping[str, int],
    task_ids: Mapping[str, int],
    user_ids: Mapping[str, int],
) -> dict[str, Any]:
    """Return which tasks and people the time tool's projects have."""
    return {
        "task_assignments": [
            {"project_id": project_ids[contract.project_code], "task_id": task_ids[task]}
            for contract in running
            for task in dict.fromkeys(line.task for line in contract.lines)
        ],
        "user_assignments": [
            {
                "project_id": project_ids[each.project_code],
                "user_id": user_ids[each.person_key],
                "is_project_manager": each.labor_category == PROJECT_MANAGER,
            }
            for each in assignments
            if each.project_code in project_ids
        ],
    }

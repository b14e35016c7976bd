"""Our own rows of a deal: contract, lines, project, tasks; and the states a project goes through."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.errors import UniqueViolation

from tieline.canonical import Opportunity
from tieline.kernel.errors import UserMistake
from tieline.register import CONTRACT, CONTRACT_LINE, PROJECT, amend, close, upsert
from tieline.runtime.database import Row
from tieline.services.project_template import unsold_tasks
from tieline.services.provisioning_commands import code_of, rows_of_lines
from tieline.services.provisioning_plan import Plan

_LINE_KEY = ("task_name", "labor_category", "starts_on")
_PRICE = ("rate_amount", "currency", "markup_percent")
_LINE_VALUES = (*_PRICE, "sold_seconds", "ends_on")


class CodeTakenError(UserMistake):
    """Two plans of one code were begun at once, and this one came second."""


def store_contract(
    connection: Connection[Row],
    *,
    plan_row: Row,
    deal: Opportunity,
    now: datetime,
) -> tuple[UUID, UUID]:
    """Write down contract and project, not yet accepting time; return their ids.

    :raises CodeTakenError: another deal of the same code was begun since this one was planned; nothing was written.
    """
    plan: Plan = plan_row["plan"]
    try:
        with connection.transaction():
            contract_id = plan_row["contract_id"] or _new_contract(connection, plan, now)
            project_id = plan_row["project_id"] or _new_project(connection, plan, contract_id, now)
    except UniqueViolation as error:
        raise CodeTakenError(f"{code_of(plan)} became somebody else's code meanwhile") from error
    upsert(
        connection,
        table=CONTRACT,
        key={"contract_id": contract_id},
        values=_terms(plan, deal),
        now=now,
    )
    _store_lines(connection, contract_id, plan, now)
    store_tasks(connection, project_id, plan, now)
    set_project(
        connection, project_id=project_id, status="provisioning", accepts_time=False, now=now,
        more={"name": deal.name, "starts_on": deal.starts_on, "ends_on": deal.ends_on},
    )  # fmt: skip
    return contract_id, project_id


def set_project(
    connection: Connection[Row],
    *,
    project_id: UUID,
    status: str,
    accepts_time: bool,
    now: datetime,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Move a project to a state; the row before is closed."""
    values = {"status": status, "accepts_time": accepts_time, **(more or {})}
    upsert(connection, table=PROJECT, key={"project_id": project_id}, values=values, now=now)


def end_contract(connection: Connection[Row], *, contract_id: UUID, now: datetime) -> None:
    """Let a contract rest whose project was taken back."""
    key = {"contract_id": contract_id}
    upsert(connection, table=CONTRACT, key=key, values={"is_active": False}, now=now)


def take_over_papers(
    connection: Connection[Row], *, deals: Mapping[UUID, Opportunity], now: datetime
) -> None:
    """Take over of each contract what the CRM owns and no price depends on."""
    standing = connection.execute(
        "SELECT * FROM contract_version WHERE contract_id = ANY (%s) AND superseded_at IS NULL",
        (list(deals),),
    ).fetchall()
    for row in standing:
        papers = _papers(deals[row["contract_id"]])
        if any(row[name] != value for name, value in papers.items()):
            key = {"contract_id": row["contract_id"]}
            upsert(connection, table=CONTRACT, key=key, values=papers, now=now)


def store_value(
    connection: Connection[Row], *, contract_id: UUID, deal: Opportunity, now: datetime
) -> bool:
    """Take over what a contract is worth, its cap, rate card and days; return whether it changed."""
    values = {
        "value_amount": deal.amount,
        "cap_amount": deal.cap_amount,
        "rate_card": deal.rate_card,
        "starts_on": deal.starts_on,
        "ends_on": deal.ends_on,
    }
    key = {"contract_id": contract_id}
    return upsert(connection, table=CONTRACT, key=key, values=values, now=now)


def lines_of(connection: Connection[Row], *, contract_id: UUID) -> list[Row]:
    """Return the lines that a contract has."""
    return connection.execute(
        """
        SELECT * FROM contract_line WHERE contract_id = %s AND superseded_at IS NULL
        ORDER BY task_name, labor_category, starts_on
        """,
        (contract_id,),
    ).fetchall()


def find_line(connection: Connection[Row], *, contract_id: UUID, part: str) -> Row:
    """Return the contract line of a part ``task|category|starts_on``.

    :raises LookupError: the contract has no such line.
    """
    row = connection.execute(
        """
        SELECT * FROM contract_line
        WHERE contract_id = %s AND task_name || '|' || labor_category || '|' || starts_on::text = %s
          AND superseded_at IS NULL
        """,
        (contract_id, part),
    ).fetchone()
    if row is None:
        raise LookupError(f"contract {contract_id} has no line {part}")
    return row


def find_task_id(connection: Connection[Row], *, project_id: UUID, task_name: str) -> UUID:
    """Return the task of a project by its name.

    :raises LookupError: the project has no such task.
    """
    row = connection.execute(
        "SELECT task_id FROM task WHERE project_id = %s AND task_name = %s", (project_id, task_name)
    ).fetchone()
    if row is None:
        raise LookupError(f"project {project_id} has no task {task_name}")
    task_id: UUID = row["task_id"]
    return task_id


def _new_contract(connection: Connection[Row], plan: Plan, now: datetime) -> UUID:
    row = connection.execute(
        """
        INSERT INTO contract (client_id, entity_code, contract_code, recorded_at)
        VALUES (%s, %s, %s, %s) RETURNING contract_id
        """,
        (UUID(plan["client_id"]), plan["entity_code"], code_of(plan), now),
    ).fetchone()
    assert row is not None
    contract_id: UUID = row["contract_id"]
    return contract_id


def _new_project(connection: Connection[Row], plan: Plan, contract_id: UUID, now: datetime) -> UUID:
    row = connection.execute(
        """
        INSERT INTO project (contract_id, entity_code, project_code, recorded_at)
        VALUES (%s, %s, %s, %s) RETURNING project_id
        """,
        (contract_id, plan["entity_code"], code_of(plan), now),
    ).fetchone()
    assert row is not None
    project_id: UUID = row["project_id"]
    return project_id


def _terms(plan: Plan, deal: Opportunity) -> dict[str, Any]:
    sold = sum(
        (Decimal(line["hours"]) * Decimal(line["rate_amount"]) for line in plan["lines"]),
        Decimal(0),
    )
    return {
        "name": deal.name,
        "billing_method": deal.billing_method,
        "currency": deal.currency,
        "value_amount": sold if deal.amount is None else deal.amount,
        "cap_amount": deal.cap_amount,
        **_papers(deal),
        "rate_card": deal.rate_card,
        "allows_unassigned_time": False,
        "is_active": True,
        "starts_on": deal.starts_on,
        "ends_on": deal.ends_on,
    }


def _papers(deal: Opportunity) -> dict[str, Any]:
    return {
        "purchase_order": deal.purchase_order,
        "is_purchase_order_required": deal.is_purchase_order_required is True,
        "practice": deal.practice,
        "cost_center": deal.cost_center,
        "tax_treatment": deal.tax_treatment,
    }


def _store_lines(connection: Connection[Row], contract_id: UUID, plan: Plan, now: datetime) -> None:
    wanted = {
        tuple(line[name] for name in _LINE_KEY): {name: line[name] for name in _LINE_VALUES}
        for line in rows_of_lines(plan)
    }
    for row in lines_of(connection, contract_id=contract_id):
        own = tuple(row[name] for name in _LINE_KEY)
        values = wanted.get(own)
        if values is None and row["ends_on"] is not None and row["ends_on"] <= now.date():
            # It ended by a change order; its hours keep their price.
            continue
        if values is None and plan.get("closings") and row["starts_on"] < now.date():
            # The deal was won again without it: it was delivered by until now.
            amend(
                connection, table=CONTRACT_LINE, own_id=row["contract_line_id"],
                values={"ends_on": now.date()}, now=now,
            )  # fmt: skip
            continue
        if values and all(values[name] == row[name] for name in _PRICE):
            amend(
                connection, table=CONTRACT_LINE, own_id=row["contract_line_id"], values=values,
                now=now,
            )  # fmt: skip
        elif values != {name: row[name] for name in _LINE_VALUES}:
            key = {"contract_line_id": row["contract_line_id"]}
            close(connection, table=CONTRACT_LINE, key=key, now=now)
    for own, values in wanted.items():
        key = {"contract_id": contract_id, **dict(zip(_LINE_KEY, own, strict=True))}
        upsert(connection, table=CONTRACT_LINE, key=key, values=values, now=now)


def store_tasks(connection: Connection[Row], project_id: UUID, plan: Plan, now: datetime) -> None:
    """Write down the tasks of a plan's lines; nobody pays for what its template adds."""
    tasks = dict.fromkeys((line["task_name"] for line in plan["lines"]), True)
    tasks |= dict.fromkeys((task["task_name"] for task in unsold_tasks(plan)), False)
    for name, is_billable in tasks.items():
        connection.execute(
            """
            INSERT INTO task (project_id, task_name, is_billable, starts_on, ends_on, recorded_at)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (project_id, task_name) DO UPDATE
            SET starts_on = excluded.starts_on, ends_on = excluded.ends_on, superseded_at = NULL,
                is_billable = excluded.is_billable
            """,
            (project_id, name, is_billable, plan["starts_on"], plan["ends_on"], now),
        )

"""Compute an invoice from our own ledger as its target will: the target's rule, our figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from psycopg import Connection

from tieline.runtime.sql import hashed, load
from tieline.sdk import HourSum, InvoiceLine, RulesInvoices
from tieline.sdk.directory import Connectors

_SUMS = load("tieline.services", "readiness_sums")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSum:
    """The uninvoiced hours of one task of the target, and what our ledger says they are worth."""

    project_id: UUID
    hours: HourSum
    ledger_amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedLine:
    """One invoice line as we expect it; ``rounding_amount`` is what the target's rule adds."""

    task_codes: tuple[str, ...]
    description: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    ledger_amount: Decimal

    @property
    def rounding_amount(self) -> Decimal:
        return self.amount - self.ledger_amount


ByScope = Mapping[tuple[UUID, UUID], Sequence[TaskSum]]


def load_sums(
    connection: Connection[Row],
    *,
    contract_ids: Sequence[UUID] | None,
    period_id: UUID | None,
    up_to_on: date | None = None,
) -> ByScope:
    """Return the uninvoiced sums per contract and period, in the order of the tasks' codes."""
    asked = {
        "contract_ids": None if contract_ids is None else list(contract_ids),
        "period_id": period_id,
        "up_to_on": up_to_on,
    }
    with hashed(connection, is_so=contract_ids is None):
        rows = connection.execute(_SUMS, asked).fetchall()
    found: dict[tuple[UUID, UUID], list[TaskSum]] = defaultdict(list)
    for row in rows:
        found[row["contract_id"], row["period_id"]].append(_task_sum(row))
    return found


def rules_by_target(
    connectors: Connectors, *, connection_keys: Collection[str]
) -> Mapping[str, RulesInvoices]:
    """Return the rules of those targets whose connectors draft invoices and say how."""
    found = {key: connectors.get(connection_key=key) for key in connection_keys}
    return {
        key: cast(RulesInvoices, connector)
        for key, connector in found.items()
        if hasattr(connector, "rule_invoice") and hasattr(connector, "draft_invoice")
    }


def rules_of(connectors: Connectors, *, connection_key: str) -> RulesInvoices:
    """Return the target's own rule for turning hours into lines; nothing is asked of it."""
    return cast(RulesInvoices, connectors.get(connection_key=connection_key))


def expected_lines(
    sums: Iterable[TaskSum], *, rules: RulesInvoices, currency: str
) -> tuple[ExpectedLine, ...]:
    """Return the lines the target will make: a project has an invoice of its own."""
    by_project: dict[UUID, list[TaskSum]] = defaultdict(list)
    for each in sums:
        by_project[each.project_id].append(each)
    return tuple(
        _expected(line, members)
        for members in by_project.values()
        for line in rules.rule_invoice(sums=[member.hours for member in members], currency=currency)
    )


def expected_for(
    sums: Iterable[TaskSum],
    *,
    task_codes: Sequence[str],
    rules: RulesInvoices,
    currency: str,
) -> ExpectedLine | None:
    """Return what we expect of the tasks that a target put on one line; None when nothing."""
    members = [each for each in sums if each.hours.task_code in task_codes]
    # The target shows which tasks share a line; what is on it comes from our ledger alone.
    alike = [
        replace(
            member.hours,
            task_name=members[0].hours.task_name,
            labor_category=members[0].hours.labor_category,
            rate_starts_on=members[0].hours.rate_starts_on,
        )
        for member in members
    ]
    lines = rules.rule_invoice(sums=alike, currency=currency)
    if not lines:
        return None
    first = _expected(lines[0], members)
    return replace(
        first,
        task_codes=tuple(task_codes),
        quantity=sum((line.quantity for line in lines), Decimal(0)),
        amount=sum((line.amount for line in lines), Decimal(0)),
        ledger_amount=sum((member.ledger_amount for member in members), Decimal(0)),
    )


def total(lines: Iterable[ExpectedLine]) -> Decimal:
    """Return the amount before tax."""
    return sum((line.amount for line in lines), Decimal(0))


def _expected(line: InvoiceLine, members: Sequence[TaskSum]) -> ExpectedLine:
    return ExpectedLine(
        task_codes=line.task_codes,
        description=line.description,
        quantity=line.quantity,
        unit_price=line.unit_price,
        amount=line.amount,
        ledger_amount=sum(
            (
                member.ledger_amount
                for member in members
                if member.hours.task_code in line.task_codes
            ),
            Decimal(0),
        ),
    )


def _task_sum(row: Row) -> TaskSum:
    return TaskSum(
        project_id=row["project_id"],
        hours=HourSum(
            task_code=row["task_code"],
            task_name=row["task_name"],
            labor_category=row["labor_category"] or None,
            rate_starts_on=row["rate_starts_on"],
            rate_amount=row["rate_amount"],
            seconds=row["seconds"],
        ),
        ledger_amount=row["ledger_amount"],
    )

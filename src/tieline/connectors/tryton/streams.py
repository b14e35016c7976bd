"""Which of Tryton's models are read as streams, and with which fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PAGE_ROWS_MAX = 500

_COMPANY_CODE = "company.party.code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One model; ``is_shared`` when its records belong to no company."""

    name: str
    model: str
    fields: tuple[str, ...]
    is_shared: bool
    domain: tuple[Any, ...] = ()


STREAMS: Mapping[str, Stream] = {
    "parties": Stream(
        name="parties",
        model="party.party",
        is_shared=True,
        fields=(
            "name",
            "code",
            "active",
            "addresses.street",
            "addresses.postal_code",
            "addresses.city",
            "addresses.country.code",
            "identifiers.type",
            "identifiers.code",
            "contact_mechanisms.type",
            "contact_mechanisms.value",
            "last_modified_at",
        ),
    ),
    "employees": Stream(
        name="employees",
        model="company.employee",
        is_shared=False,
        fields=(
            "party",
            "party.name",
            "party.code",
            "party.contact_mechanisms.type",
            "party.contact_mechanisms.value",
            _COMPANY_CODE,
            "active",
            "start_date",
            "end_date",
            "cost_price",
            "cost_prices.date",
            "cost_prices.cost_price",
            "last_modified_at",
        ),
    ),
    "projects": Stream(
        name="projects",
        model="project.work",
        is_shared=False,
        fields=(
            "type",
            "name",
            "number",
            "parent",
            "party",
            "status.progress",
            "list_price",
            "timesheet_start_date",
            "timesheet_end_date",
            "project_invoice_method",
            _COMPANY_CODE,
            "last_modified_at",
        ),
    ),
    "time_lines": Stream(
        name="time_lines",
        model="timesheet.line",
        is_shared=False,
        fields=(
            "uuid",
            "employee",
            "work.origin",
            "date",
            "duration",
            "description",
            "invoice_line",
            _COMPANY_CODE,
            "create_date",
            "last_modified_at",
        ),
    ),
    "periods": Stream(
        name="periods",
        model="account.period",
        is_shared=False,
        fields=(
            "name",
            "start_date",
            "end_date",
            "state",
            "fiscalyear",
            _COMPANY_CODE,
            "last_modified_at",
        ),
    ),
    "invoices": Stream(
        name="invoices",
        model="account.invoice",
        is_shared=False,
        domain=(["type", "=", "out"],),
        fields=(
            "number",
            "description",
            "party",
            "state",
            "currency.code",
            "untaxed_amount",
            "total_amount",
            _COMPANY_CODE,
            "last_modified_at",
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The last record read of one company: ordered by change, then id."""

    changed_at: datetime
    id: int


def read_cursor(cursor: str | None) -> dict[str, Position]:
    """Return the positions per company that a stored cursor holds."""
    found: Mapping[str, list[Any]] = json.loads(cursor) if cursor else {}
    return {
        code: Position(changed_at=datetime.fromisoformat(at), id=number)
        for code, (at, number) in found.items()
    }


def write_cursor(positions: Mapping[str, Position]) -> str:
    """Return positions as an opaque word."""
    return json.dumps(
        {code: [at.changed_at.isoformat(), at.id] for code, at in sorted(positions.items())}
    )


def after(position: Position | None) -> list[Any]:
    """Return the condition for records behind a position."""
    if position is None:
        return []
    return [
        [
            "OR",
            ["last_modified_at", ">", position.changed_at],
            [["last_modified_at", "=", position.changed_at], ["id", ">", position.id]],
        ]
    ]

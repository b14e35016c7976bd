"""A second pair of eyes on real work records: read here by other code than the product's."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

APPROVED = frozenset({"FINISHED", "COMPLETED", "RELEASED", "CHRONICLE"})
MAIL_DOMAIN = "records.example"
_DAY_SECONDS_MAX = 24 * 3600
_FIRST_DAY = date(2004, 1, 1)

RecordKey = tuple[str, str, date, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRecord:
    """One person's work on one task."""

    task_number: str
    person: str
    project: str
    breakdown: str
    status: str
    seconds: int
    done_on: date | None


def read_records(directory: Path) -> list[WorkRecord]:
    """Read the two files of the records."""
    days: dict[str, date | None] = {}
    for row in _rows(directory, "est-act-dates*.csv"):
        done = _day(row["CompletedOn"]) or _day(row["StartedOn"])
        if days.setdefault(row["TaskNumber"], done) != done:
            raise ValueError(f"task {row['TaskNumber']} has two different dates")
    return [
        WorkRecord(
            task_number=row["TaskNumber"],
            person=row["DeveloperID"],
            project=row["ProjectCode"],
            breakdown=row["ProjectBreakdownCode"],
            status=row["StatusCode"],
            seconds=_seconds(row["DeveloperHoursActual"]),
            done_on=days.get(row["TaskNumber"]),
        )
        for row in _rows(directory, "sip-task-info*.csv")
    ]


def records_truth(records: list[WorkRecord], *, entity_code: str) -> dict[RecordKey, list[int]]:
    """Return what must stand in the ERP: approved, dated, positive, on days of at most 24 hours."""
    days: dict[tuple[str, date], int] = defaultdict(int)
    counted = [r for r in records if r.status in APPROVED and r.done_on is not None]
    for record in counted:
        assert record.done_on is not None
        days[(record.person, record.done_on)] += record.seconds
    truth: dict[RecordKey, list[int]] = defaultdict(list)
    for record in counted:
        assert record.done_on is not None
        if record.seconds <= 0 or days[(record.person, record.done_on)] > _DAY_SECONDS_MAX:
            continue
        key = (
            entity_code,
            mail_of(record.person),
            record.done_on,
            record.project,
            record.breakdown,
        )
        truth[key].append(record.seconds)
    return dict(truth)


def erp_seed(records: list[WorkRecord], *, declared: dict[str, Any]) -> dict[str, Any]:
    """Return what the ERP holds before: the company, its periods, the client and the people."""
    entity, client, periods = declared["entity"], declared["client"], declared["periods"]
    first: dict[str, date] = {}
    for record in records:
        day = record.done_on or _FIRST_DAY
        first[record.person] = min(day, first.get(record.person, day))
    return {
        "companies": [
            {
                "code": entity["code"],
                "name": entity["name"],
                "currency": entity["currency"],
                "timezone": entity["zone"],
                "fiscal_year_start": "01-01",
                "opens_on": str(periods["starts_on"]),
                "closes_on": str(periods["ends_on"]),
                "country": entity["country"],
                "street": client["street"],
                "city": client["city"],
                "postal_code": client["postal_code"],
                "vat": None,
                "tax_rate": "0.20",
            }
        ],
        "clients": [
            {
                "code": "C-1",
                "name": client["name"],
                "country": entity["country"],
                "vat": None,
                "street": client["street"],
                "city": client["city"],
                "postal_code": client["postal_code"],
            }
        ],
        "employees": [
            {
                "code": person,
                "name": f"Developer {person}",
                "email": mail_of(person),
                "company_code": entity["code"],
                "starts_on": started.isoformat(),
                "ends_on": None,
                "cost_rates": [{"from_on": started.isoformat(), "amount": "40"}],
            }
            for person, started in sorted(first.items())
        ],
        "labor_categories": [{"code": "DEV", "name": "Developer"}],
    }


def mail_of(person: str) -> str:
    """Return the made-up address of an anonymous person."""
    return f"developer-{person}@{MAIL_DOMAIN}"


def _rows(directory: Path, pattern: str) -> list[dict[str, str]]:
    found = sorted(directory.glob(pattern))
    if not found:
        raise FileNotFoundError(f"{directory} holds no {pattern}")
    rows: list[dict[str, str]] = []
    for path in found:
        with path.open(encoding="latin-1", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(
                        f"line {reader.line_num} of {path.name} has not as many values as columns"
                    )
                rows.append(row)
    return rows


def _day(text: str | None) -> date | None:
    if not text or text == "NA":
        return None
    return datetime.strptime(text, "%d-%b-%y").date()  # noqa: DTZ007 - a civil date has no zone


def _seconds(text: str) -> int:
    try:
        exact = Decimal(text) * 3600
    except InvalidOperation as error:
        raise ValueError(f"{text} is not a number of hours") from error
    return int(exact.to_integral_value())

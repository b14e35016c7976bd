"""A firm that wins many deals of clients nobody knew: what its CRM, its time tool and its staffing file hold."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tieline.kernel.periods import next_month
from tieline.proof.demo import example_config
from tieline.sandbox.firm_deals import valid_vat
from tieline.services.installation import ConnectionSetup, EntitySetup

ENTITY = "BM-DE"
ERP, CRM, CLOCK, STAFFING = "erp", "crm", "clock", "staffing"
_PEOPLE = 8
_OWNER_ID = 4001
_MONTHS = 6
_CATEGORY = "Consultant"
_HOURS, _RATE = 100, 150
_COLUMNS = (
    "fact", "person_email", "person_name", "employee_code", "legal_entity", "employed_from",
    "employed_to", "project_code", "labor_category", "assigned_from", "assigned_to",
    "approver_email", "deputy_email", "leave_from", "leave_to",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Firm:
    """So many deals on a day, each with a client of its own, one line and one person."""

    deals: int
    today: date

    @property
    def starts_on(self) -> date:
        """Return the first day of every project."""
        return self.today.replace(day=1)

    @property
    def ends_on(self) -> date:
        """Return the day after the last one of every project."""
        day = self.starts_on
        for _ in range(_MONTHS):
            day = next_month(day)
        return day

    @property
    def entity(self) -> EntitySetup:
        """Return the one company."""
        return EntitySetup(
            entity_code=ENTITY,
            name="Benchmark GmbH",
            currency="EUR",
            zone="Europe/Berlin",
            erp_connection_key=ERP,
            close_working_day=3,
            close_time=time(18),
        )

    def deal_keys(self) -> list[str]:
        """Return how the CRM's people call the deals, in the order in which they are won."""
        return [f"deal-{number}" for number in self._numbers()]

    def employees(self) -> list[dict[str, str]]:
        """Return who is employed, as the ERP tells it."""
        return [
            {"id": str(70 + n), "name": f"Person {n}", "email": _email(n), "code": f"P{n:02}",
             "entity": ENTITY, "party": str(500 + n)}
            for n in range(_PEOPLE)
        ]  # fmt: skip

    def users(self) -> dict[str, Any]:
        """Return the same people as the time tool is told of them."""
        return {
            "users": [
                {"key": f"p{n}", "first_name": "Person", "last_name": str(n), "email": _email(n)}
                for n in range(_PEOPLE)
            ]
        }

    def staffing(self) -> str:
        """Return the staffing file: who is employed, and one assignment for each project."""
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for n in range(_PEOPLE):
            writer.writerow(
                {"fact": "employment", "person_email": _email(n), "person_name": f"Person {n}",
                 "employee_code": f"P{n:02}", "legal_entity": ENTITY, "employed_from": "2020-01-01"}
            )  # fmt: skip
        for number in self._numbers():
            writer.writerow(
                {"fact": "assignment", "person_email": _email(number % _PEOPLE),
                 "legal_entity": ENTITY, "project_code": _code(number),
                 "labor_category": _CATEGORY, "assigned_from": self.starts_on.isoformat(),
                 "assigned_to": self.ends_on.isoformat(), "approver_email": _email(0)}
            )  # fmt: skip
        return text.getvalue()

    def crm(self) -> dict[str, Any]:
        """Return what the CRM holds before the first deal is won."""
        return {
            "at": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
            "owners": [
                {
                    "id": _OWNER_ID,
                    "email": "olga@firm.example",
                    "firstName": "Olga",
                    "lastName": "O",
                }
            ],
            "companies": [self._company(number) for number in self._numbers()],
            "deals": [self._deal(number) for number in self._numbers()],
            "line_items": [self._line(number) for number in self._numbers()],
            "associations": [
                {"from": ["deals", f"deal-{number}"], "to": [table, f"{word}-{number}"]}
                for number in self._numbers()
                for table, word in (("companies", "client"), ("line_items", "line"))
            ],
        }

    def _numbers(self) -> range:
        return range(1, self.deals + 1)

    def _company(self, number: int) -> dict[str, Any]:
        return {
            "key": f"client-{number}",
            "properties": {
                "name": f"{_name(number)} GmbH",
                "domain": f"client-{number}.example",
                "country": "DE",
                "city": "Hamburg",
                "address": f"Hafenstraße {number}",
                "zip": "20457",
                "tieline_vat_number": valid_vat("DE", seed=f"benchmark:{number}"),
            },
        }

    def _deal(self, number: int) -> dict[str, Any]:
        return {
            "key": f"deal-{number}",
            "properties": {
                "dealname": f"{_name(number)}, data platform",
                "dealstage": "contractsent",
                "pipeline": "default",
                "amount": str(_HOURS * _RATE),
                "deal_currency_code": "EUR",
                "closedate": f"{self.starts_on.isoformat()}T00:00:00.000Z",
                "hubspot_owner_id": str(_OWNER_ID),
                "tieline_legal_entity": ENTITY,
                "tieline_practice": "data",
                "tieline_billing_method": "time_and_materials",
                "tieline_purchase_order": f"PO-{number}",
                "tieline_purchase_order_required": "true",
                "tieline_rate_card": "2026",
                "tieline_tax_treatment": "standard",
                "tieline_starts_on": self.starts_on.isoformat(),
                "tieline_ends_on": self.ends_on.isoformat(),
                "tieline_project_code": _code(number),
            },
        }

    def _line(self, number: int) -> dict[str, Any]:
        return {
            "key": f"line-{number}",
            "properties": {
                "name": f"Build, {_CATEGORY}",
                "quantity": str(_HOURS),
                "price": str(_RATE),
                "amount": str(_HOURS * _RATE),
                "hs_line_item_currency_code": "EUR",
                "tieline_task": "Build",
                "tieline_labor_category": _CATEGORY,
                "tieline_rate_starts_on": self.starts_on.isoformat(),
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a system is, and the secrets to enter it."""

    url: str
    secrets: dict[str, str]


def connections(
    *, crm: Place, clock: Place, erp: Place, drop: str, limits: dict[str, dict[str, Any]]
) -> Iterator[ConnectionSetup]:
    """Yield the firm's connections; ``limits`` are those that an account is told to have, by connection."""
    yield _connection(
        CRM, "hubspot", "crm", crm, limits, streams=["companies", "deals", "owners"],
        config={**example_config("hubspot"), "allowed_hosts": [], "poll_seconds": 1},
    )  # fmt: skip
    yield _connection(
        CLOCK, "harvest", "time", clock, limits, streams=["users"],
        config={"poll_seconds": 600, "full_read_seconds": 100_000},
    )  # fmt: skip
    yield _connection(
        ERP, "provisioning_erp", "erp", erp, limits, streams=["parties", "employees"],
        config={"poll_seconds": 600},
    )  # fmt: skip
    yield ConnectionSetup(
        connection_key=STAFFING,
        system="filedrop",
        kind="hr",
        mode="act",
        config={
            **example_config("staffing"),
            "directory": drop,
            "streams": ["staffing"],
            "poll_seconds": 600,
        },
        secrets={},
        settle_seconds=0,
        go_live={},
    )


def _connection(
    key: str,
    system: str,
    kind: str,
    place: Place,
    limits: dict[str, dict[str, Any]],
    *,
    streams: list[str],
    config: dict[str, Any],
) -> ConnectionSetup:
    told = limits.get(key)
    return ConnectionSetup(
        connection_key=key,
        system=system,
        kind=kind,
        mode="act",
        config={
            **config,
            "base_url": place.url,
            "timeout_seconds": 10,
            "streams": streams,
            **({"limits": told} if told else {}),
        },
        secrets=place.secrets,
        settle_seconds=2,
        go_live={},
    )


def _code(number: int) -> str:
    return f"BM-{number:05}"


def _email(number: int) -> str:
    return f"person{number}@firm.example"


def _name(number: int) -> str:
    """Return a name that shares no word with another: a number in letters, in two ways."""
    letters = "bdfgklmnprstvz"
    vowels = "aeiou"
    said, rest = "", number * 7919 + 104_729
    while rest:
        said += letters[rest % len(letters)] + vowels[rest // 3 % len(vowels)]
        rest //= len(letters)
    return said.capitalize()

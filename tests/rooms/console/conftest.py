"""The pages on a firm of two legal entities, and people who see one of them, or both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW, Firm
from tests.support.target import FixedClock

from tieline.app import InstalledSystems
from tieline.casework import sync_time_cases
from tieline.console.application import FrontDoor, create_web
from tieline.console.assets import Assets
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.message_text import Speech
from tieline.services.system import System
from tieline.settings import Settings, read_settings

PEPPER = b"p" * 32
PASSWORD = "a long enough password"
PEOPLE = (
    ("ann", ("controller",), ("DE",)),
    ("bob", ("controller",), ("DE",)),
    ("cyd", ("controller",), ("UK",)),
    ("dan", ("controller",), ("DE", "UK")),
    ("eve", (), ("DE",)),
    ("fay", ("controller",), ()),
)
ANOTHER_NAME = "<script>alert('Nordwind & Söhne')</script>"
_TOKEN = re.compile(r'name="csrf" value="([^"]*)"')


@dataclass(slots=True, kw_only=True)
class Browser:
    """One person's browser: it keeps cookies and sends forms as a page would."""

    client: TestClient

    def log_in(self, login: str, password: str = PASSWORD, back: str = "/") -> httpx.Response:
        page = self.client.get("/login")
        return self.client.post(
            "/login",
            data={"csrf": token_of(page), "login": login, "password": password, "back": back},
        )

    def get(self, address: str, **words: Any) -> httpx.Response:
        return self.client.get(address, params=words or None)

    def send(self, address: str, **fields: str | list[str]) -> httpx.Response:
        return self.client.post(address, data={"csrf": token_of(self.get("/")), **fields})


@dataclass(slots=True, kw_only=True)
class House:
    """The web application, its database, and what was put into it."""

    web: Any
    worker: Database
    system: Any
    project: dict[str, Any] = field(default_factory=dict)
    other_project: dict[str, Any] = field(default_factory=dict)
    case_id: UUID | None = None
    other_case_id: UUID | None = None
    entry_id: UUID | None = None
    other_entry_id: UUID | None = None
    periods: dict[tuple[str, str], UUID] = field(default_factory=dict)

    def browser(self, login: str | None = None) -> Browser:
        client = TestClient(self.web, raise_server_exceptions=False, follow_redirects=False)
        browser = Browser(client=client)
        if login is not None:
            assert browser.log_in(login).status_code == 303
        return browser

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.worker.transaction() as connection:
            return connection.execute(statement, values).fetchall()


@cache
def _hash() -> str:
    # A hash says how much work it is; each login of a test would pay for what keeps guessers out.
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


def token_of(page: httpx.Response) -> str:
    """Return the token that a page's forms carry."""
    found = _TOKEN.search(page.text)
    assert found is not None, page.text[:300]
    return found.group(1)


@dataclass(slots=True)
class _Behind:
    """Stand for the database of the test at hand, where the application keeps the one it was made with."""

    database: Database | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)


@pytest.fixture(scope="session")
def web() -> tuple[FrontDoor, SimpleNamespace]:
    """Give the application, made once: a test puts its own database behind it."""
    system = SimpleNamespace(
        settings=_settings(),
        database=_Behind(),
        web_database=None,
        pepper=PEPPER,
        clock=FixedClock(NOW),
        systems=InstalledSystems(),
        speech=Speech(say_reason=str, say_system=str, web_url=""),  # type: ignore[arg-type]
        master_key=SimpleNamespace(derive=lambda purpose: purpose.encode().ljust(32)),
    )
    assets = Assets(folder=None, digest="none", notice="The console uses its plain style sheet.")
    return create_web(cast(System, system), assets=assets), system


@pytest.fixture
def house(
    web: tuple[FrontDoor, SimpleNamespace], database: Dsns, worker_database: Database
) -> Iterator[House]:
    opened = [Database(dsn, pool_max=4).open() for dsn in (database.web, database.judge)]
    front_door, system = web
    # Tests change these.
    front_door.is_under_tls = False
    system.clock.instant = NOW
    system.settings, system.connectors = _settings(), None
    system.database.database = worker_database
    system.web_database, system.judge_database = opened
    house = House(web=front_door, worker=worker_database, system=system)
    add_people(worker_database)
    yield house
    for each in opened:
        each.close()


def _settings() -> Settings:
    return read_settings(environment={"TIELINE_ENVIRONMENT": "test"})


@pytest.fixture
def firm(house: House) -> House:
    """Book an hour, hold one and make a contract ready, in each of the two legal entities."""
    return fill(house)


def add_people(worker: Database) -> None:
    """Let the people of the tests log in."""
    with worker.transaction() as connection:
        for login, roles, entities in PEOPLE:
            connection.execute(
                "INSERT INTO person_login (login, display_name, password_hash, roles, entities,"
                " created_at, created_by) VALUES (%s, %s, %s, %s, %s, %s, 'setup')",
                (login, login.capitalize(), _hash(), list(roles), list(entities), NOW),
            )


def fill(house: House) -> House:
    """Book an hour, hold one and make a contract ready, in each of the two legal entities."""
    with house.worker.transaction() as connection:
        made = Firm(connection).found()
        made.rule("time.narrative_missing", thing="entry")
        house.periods = made.periods
        house.project = made.project("P-DE")
        house.other_project = made.project("P-UK", entity_code="UK")
        connection.execute(
            "UPDATE contract_version SET name = %s WHERE contract_id = %s",
            (ANOTHER_NAME, house.project["contract_id"]),
        )
        made.deal("7")
        made.deal("8", entity_code="UK")
        house.entry_id = made.hour("booked-1", project=house.project, seconds=7200)
        house.other_entry_id = made.hour("booked-2", project=house.other_project, seconds=5400)
        held = [
            _hold(made, f"waits-{number}", project)
            for number, project in enumerate((house.project, house.other_project), start=1)
        ]
        # An hour of nobody yet, and one that is not approved.
        made.judge(made.entry("homeless"), "held", "time.narrative_missing")
        made.entry("open-1", approval="not_approved", work_date=date(2026, 10, 8))
        connection.execute("UPDATE time_entry SET object = 'time_entries'")
        sync_time_cases(connection, now=NOW, correlation_id="c")
        house.case_id, house.other_case_id = (_case_of(connection, entry_id) for entry_id in held)
        for project, state, blockers in (
            (house.project, "blocked", [_blocker()]),
            (house.other_project, "ready", []),
        ):
            _ready(connection, made, project, state=state, blockers=blockers)
    return house


def _hold(firm: Firm, source_ref: str, project: dict[str, Any]) -> UUID:
    entry_id = firm.entry(source_ref)
    firm.judge(entry_id, "held", "time.narrative_missing", project=project)
    return entry_id


def _case_of(connection: Any, entry_id: UUID) -> UUID:
    row = connection.execute(
        "SELECT case_id FROM case_member WHERE entry_id = %s", (entry_id,)
    ).fetchone()
    case_id: UUID = row["case_id"]
    return case_id


def _blocker() -> dict[str, Any]:
    return {
        "code": "readiness.hours_held",
        "weight": "block",
        "owner_queue": "delivery",
        "fix": "Fix the cases that hold the hours, or carry them to the next cycle.",
        "amount": "150.00",
        "seconds": 3600,
        "deadline_at": NOW.isoformat(),
    }


def _ready(
    connection: Any, firm: Firm, project: dict[str, Any], *, state: str, blockers: list[Any]
) -> None:
    connection.execute(
        "INSERT INTO readiness (contract_id, period_id, entity_code, state, computed_at, deadline_at,"
        " currency, seconds, ledger_amount, expected_amount, rounding_amount, waiting_seconds,"
        " waiting_amount, held_seconds, held_amount, carried_seconds, carried_amount, checks_passed,"
        " blockers, not_checked) VALUES (%s, %s, %s, %s, %s, %s, %s, 7200, 300, 300, 0, 0, 0, 3600, 150,"
        " 0, 0, 37, %s, %s)",
        (
            project["contract_id"],
            firm.periods[project["entity_code"], "2026-10"],
            project["entity_code"],
            state,
            NOW,
            NOW.replace(day=5, hour=0),
            project["currency"],
            Jsonb(blockers),
            Jsonb([{"code": "readiness.expenses", "message": "No expense system is connected."}]),
        ),
    )

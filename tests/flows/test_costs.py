"""What an hour costs is a right of its own, held by the database whatever address, page or message asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from tests.rooms.api.conftest import ALL
from tests.rooms.api.test_description import described
from tests.rooms.casework.hand_made_firm import NOW, Firm
from tests.rooms.console.conftest import House, add_people
from tests.support.opened import opened_system

from tieline.casework import sync_time_cases
from tieline.casework.owed import list_owed
from tieline.console.application import create_web
from tieline.console.assets import Assets
from tieline.governance import ADMIN, COSTS, ROLES, SCOPES, issue_api_key, open_web_transaction
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.system import System

# What the one hour costs that has no price: 1.5 hours at a rate that stands nowhere else.
_RATE, _COST = "61.34", "92.01"
_PAGES = ("/", "/exceptions", "/exceptions/{case}", "/trace?kind=case&ref={case}")


@dataclass(slots=True, kw_only=True)
class Town:
    """An installation with one held hour that is worth what it costs."""

    system: System
    house: House
    case: str

    def key(self, name: str, *scopes: str) -> dict[str, str]:
        with self.house.worker.transaction() as connection:
            issued = issue_api_key(
                connection, name=name, scopes=scopes, entities=("DE",), by="setup",
                pepper=self.system.pepper, now=NOW,
            )  # fmt: skip
        return {"Authorization": f"Bearer {issued.secret}"}

    def let_in(self, login: str, *roles: str) -> Any:
        self.house.rows(
            "UPDATE person_login SET roles = %s WHERE login = %s RETURNING 1", list(roles), login
        )
        return self.house.browser(login)


@pytest.fixture
def town(
    database: Dsns, worker_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Town]:
    with opened_system(
        database, home=tmp_path / "home", now=NOW, monkeypatch=monkeypatch
    ) as system:
        assets = Assets(folder=None, digest="none", notice="plain")
        house = House(web=create_web(system, assets=assets), worker=worker_database, system=system)
        add_people(worker_database)
        with worker_database.transaction() as connection:
            firm = Firm(connection).found()
            firm.rule("time.narrative_missing", thing="entry")
            connection.execute("UPDATE employment SET cost_rate = %s", (_RATE,))
            entry = firm.entry("homeless")
            firm.judge(entry, "held", "time.narrative_missing", seconds=5400)
            sync_time_cases(connection, now=NOW, correlation_id="c")
            (row,) = connection.execute("SELECT case_id, basis, amount FROM case_member").fetchall()
        assert (row["basis"], str(row["amount"])) == ("cost", _COST)
        yield Town(system=system, house=house, case=str(row["case_id"]))


def test_costs_are_seen_with_the_right_to_them_and_with_no_other(town: Town) -> None:
    client = TestClient(town.house.web, raise_server_exceptions=False)
    seen_by_key, seen_by_role = {}, {}

    for scope in sorted(SCOPES):
        headers = town.key(f"all but costs, and {scope}", *ALL, scope)
        texts = [client.get(each, headers=headers).text for each in _reads(town.case)]
        seen_by_key[scope] = any(_COST in text for text in texts)
        assert _RATE not in str(texts)
    for role in ROLES:
        browser = town.let_in("ann", role)
        answers = [browser.get(each.format(case=town.case)) for each in _PAGES]
        seen_by_role[role] = any(_COST in each.text for each in answers)
        assert _RATE not in str([each.text for each in answers])

    assert {name for name, seen in seen_by_key.items() if seen} == {"costs:read", "admin"}
    assert {name for name, seen in seen_by_role.items() if seen} == {COSTS, ADMIN}
    # Without it the money is not there, and nothing is said to cost nothing.
    headers = town.key("a case", "cases:write")
    case = client.get(f"/v1/cases/{town.case}", headers=headers).json()
    (member,) = case["members"]
    assert (member["amount"], member["currency"], member["basis"]) == (None, None, "unpriced")
    assert (case["case"]["amounts"], case["case"]["unpriced_seconds"]) == ([], 5400)


def test_the_database_itself_keeps_costs_from_pages_and_messages(town: Town) -> None:
    web = town.system.web_database

    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        open_web_transaction(web, entities=("DE",), sees_costs=True) as connection,
    ):
        connection.execute("SELECT amount FROM case_member")
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        open_web_transaction(web, entities=("DE",), sees_costs=True) as connection,
    ):
        connection.execute("SELECT cost_rate FROM employment")
    with open_web_transaction(web, entities=("DE",)) as connection:
        assert _amounts(connection) == [None]
    with open_web_transaction(web, entities=("DE",), sees_costs=True) as connection:
        assert [str(amount) for amount in _amounts(connection)] == [_COST]
    with open_web_transaction(web, entities=(), sees_costs=True) as connection:
        assert _amounts(connection) == []
    with town.house.worker.transaction() as connection:
        (owed,) = list_owed(connection, now=NOW, cut_off=None)
    assert (owed.amounts, owed.unpriced_seconds) == ((), 5400)


def _amounts(connection: psycopg.Connection[Any]) -> list[Any]:
    rows = connection.execute("SELECT amount FROM case_member_seen").fetchall()
    return [row["amount"] for row in rows]


def _reads(case: str) -> list[str]:
    """Return every address that reads, as the description names it."""
    return [
        path.replace("{case_id}", case).replace("{kind}", "case")
        + (f"?ref={case}" if "{kind}" in path else "")
        for path, methods in described()["paths"].items()
        if "get" in methods and path.startswith("/v1/")
    ]

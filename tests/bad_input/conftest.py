"""A whole installation on a firm of two legal entities, served over HTTP; how much of the corpus is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input.wire import served
from tests.rooms.api.conftest import ALL, add_plan
from tests.rooms.casework.hand_made_firm import NOW
from tests.rooms.cli.conftest import run, run_bare  # noqa: F401 - fixtures of the commands
from tests.rooms.console.conftest import House, add_people, fill
from tests.support.opened import opened_system
from tieline.console.application import create_web
from tieline.console.assets import Assets
from tieline.governance import issue_api_key
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns

_ASSETS = Assets(folder=None, digest="none", notice="The console uses its plain style sheet.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """An installation that is served: its port, a key of every scope, and what stands in it."""

    house: House
    port: int
    key: str
    there: dict[str, str]


@pytest.fixture
def town(
    database: Dsns, worker_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Town]:
    with opened_system(
        database, home=tmp_path / "home", now=NOW, monkeypatch=monkeypatch
    ) as system:
        house = House(web=create_web(system, assets=_ASSETS), worker=worker_database, system=system)
        add_people(worker_database)
        fill(house)
        with worker_database.transaction() as connection:
            key = issue_api_key(
                connection, name="all", scopes=(*ALL, "admin"), entities=("DE", "UK"),
                pepper=system.pepper, by="setup", now=NOW,
            )  # fmt: skip
        with served(house.web) as port:
            yield Town(house=house, port=port, key=key.secret, there=_there(house))


def _there(house: House) -> dict[str, str]:
    """Return what stands in the house under the names that addresses, bodies and forms use."""
    return {
        "case_id": str(house.case_id),
        "plan_id": str(add_plan(house, entity_code="DE", deal_ref="7")),
        "period_id": str(house.periods["DE", "2026-10"]),
        "contract_id": str(house.project["contract_id"]),
        "release_id": str(_only(house, "SELECT release_id FROM release")),
        "client_id": str(_only(house, "SELECT client_id FROM client")),
        "period_code": "2026-10",
        "connection_key": "clock",
        "entity_code": "DE",
        "kind": "hour",
        "ref": str(house.entry_id),
        "deal": "sales:7",
        "starts_on": "2026-10-01",
        "ends_on": "2026-11-01",
    }


def _only(house: House, statement: str) -> Any:
    (row,) = house.rows(statement)
    (value,) = row.values()
    return value


@pytest.fixture
def thorough() -> bool:
    """Say whether all of the corpus is sent: script/fuzz asks for it."""
    return bool(os.environ.get("TEST_THOROUGH"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this run; -p randomly prints it, and takes it back."""
    return int(request.config.getoption("randomly_seed"))

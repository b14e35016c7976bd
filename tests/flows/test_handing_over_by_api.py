"""What nobody should ask of a hand-over, asked over HTTP and by command: each is a clear no, and nothing half done."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from tests.rooms.api.conftest import ALL, PEPPER
from tests.support.deal import CRM, ENDS_ON, NOW, STARTS_ON, land_deal
from tests.support.deal_world import World, opened_world
from tests.support.handover_desk import Desk
from tests.support.target import FixedClock

from tieline.api import create_api
from tieline.cli.provisioning import provision
from tieline.cli.tools import Tools
from tieline.governance import issue_api_key
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.system import System

_BECAUSE = {"reason": "a test"}


class Door:
    """The API before a firm that won two deals of one client."""

    def __init__(self, world: World, client: TestClient, system: System) -> None:
        self.world, self.client, self.system = world, client, system
        self.first, self.second = f"{CRM}:{world.deal}", f"{CRM}:{world.second_deal}"
        with world.flow.database.transaction() as connection:
            self._keys = {
                login: issue_api_key(
                    connection, name=login, scopes=ALL, entities=("HR-DE",), pepper=PEPPER,
                    by=login, now=NOW,
                ).secret
                for login in ("ann", "bob")
            }  # fmt: skip
        world.win()
        land_deal(world.flow.database, deal=world.second_deal, project_code="DP-2", minute=1)
        world.flow.keep_register()

    def post(self, address: str, body: Any = None, *, by: str = "ann") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._keys[by]}", "Idempotency-Key": uuid4().hex}
        answer = self.client.post(f"/v1/{address}", json=body, headers=headers)
        return answer.status_code, answer.json()

    def show(self, deal: str, **more: Any) -> dict[str, Any]:
        status, shown = self.post("deals:plan", {"deal": deal, **more})
        assert status == 200, shown
        return dict(shown)

    def apply(self, deal: str, shown: dict[str, Any], *, by: str = "ann") -> tuple[int, Any]:
        return self.post(
            "deals:apply", {"deal": deal, "digest": shown["digest"], **_BECAUSE}, by=by
        )

    def refusal(self, deal: str, shown: dict[str, Any], *, by: str = "ann") -> str:
        status, answer = self.apply(deal, shown, by=by)
        assert status == 409, answer
        return str(answer["detail"])

    def command(self, deal: str, *words: str) -> tuple[int, str]:
        """Return how ``tieline provision`` ends, and what it says."""
        tools: Any = GivenTools(system=self.system)
        ran = CliRunner().invoke(provision, [deal, *words], obj=tools, standalone_mode=False)
        if isinstance(ran.exception, UserMistake):
            return 2, str(ran.exception)
        assert ran.exception is None, ran.exception
        return int(ran.return_value), ran.output

    def begun(self) -> int:
        return len(self.world.rows("SELECT FROM project"))


class GivenTools(Tools):
    """The tools of a command, with a system that is open already."""

    def __init__(self, *, system: System) -> None:
        object.__setattr__(self, "open_system", lambda _settings: system)

    def system(self) -> System:
        return self.open_system(cast(Any, None))


@pytest.fixture
def door(database: Dsns, tmp_path: Path) -> Iterator[Door]:
    with opened_world(database, tmp_path) as world:
        web, judge = (Database(dsn, pool_max=4).open() for dsn in (database.web, database.judge))
        system = SimpleNamespace(
            database=world.flow.database, web_database=web, judge_database=judge, pepper=PEPPER,
            clock=FixedClock(NOW), connectors=world.flow.directory,
            master_key=SimpleNamespace(derive=lambda purpose: purpose.encode().ljust(32)),
        )  # fmt: skip
        with TestClient(create_api(cast(System, system)), raise_server_exceptions=False) as client:
            yield Door(world, client, cast(System, system))
        web.close()
        judge.close()


class TestAHandOverByApi:
    def test_refuses_what_is_stale_or_blocked_and_lets_one_of_a_client_begin(
        self, door: Door
    ) -> None:
        shown, other = door.show(door.first), door.show(door.second)
        assert "no such plan" in door.refusal(door.first, other)
        by_command = ("--apply", "--digest")
        assert "no such plan" in door.command(door.first, *by_command, other["digest"])[1]
        door.world.change(2, lines=())
        assert "is stale" in door.refusal(door.first, shown)
        assert "is stale" in door.command(door.first, *by_command, shown["digest"])[1]
        shown = door.show(door.first)
        assert door.refusal(door.first, shown).endswith("deal.lines_missing")
        ended, told = door.command(door.first, "--plan", "--json")
        assert (ended, "deal.lines_missing" in told) == (1, True)
        assert door.command(door.first, "--apply")[1].endswith("deal.lines_missing")
        assert door.command(door.first)[0] == 1
        door.world.change(3, starts_on=ENDS_ON, ends_on=STARTS_ON)
        assert "deal.ends_before_start" in door.refusal(door.first, door.show(door.first))
        assert door.command(door.first, "--plan", "--client-from", "2026-11-01") == (
            2, f"{door.first} is no running contract: it has no client to be changed"
        )  # fmt: skip
        assert door.begun() == 0

        door.world.change(4)
        both = [(deal, door.show(deal)) for deal in (door.first, door.second)]
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda each: door.apply(*each), both))

        assert sorted(status for status, _ in answers) == [202, 409]
        (refused,) = (answer for status, answer in answers if status == 409)
        assert "of the same client is being handed over" in refused["detail"]
        assert door.begun() == 1

    def test_takes_nobodys_word_twice_and_opens_nothing_that_was_closed(self, door: Door) -> None:
        Desk(door.world).decide("handover_two_people_from", "1")
        shown = door.show(door.first)
        _, proposed = door.apply(door.first, shown)
        approve = f"proposals/{proposed['proposal_id']}:approve"

        assert "may not approve it" in door.post(approve, _BECAUSE, by="ann")[1]["detail"]
        assert "has proposed it already" in door.refusal(door.first, shown, by="bob")
        ended, told = door.command(door.first, "--apply", "--digest", shown["digest"])
        assert (ended, "say who you are with --by" in told) == (2, True)
        assert door.begun() == 0
        assert door.post(approve, _BECAUSE, by="bob")[0] == 200
        door.world.flow.run()
        status, answer = door.post("deals:plan", {"deal": door.first, "client_from": "2026-10-01"})
        assert status == 409, answer
        assert "has the client in the CRM" in answer["detail"], answer
        door.world.change(6, stage="closedlost", is_won=False)
        assert door.apply(door.first, door.show(door.first))[0] == 202
        door.world.flow.run()
        (plan,) = door.world.rows("SELECT plan_id FROM provisioning_plan WHERE state = 'closed'")

        status, answer = door.post(f"deals/{plan['plan_id']}:provision")

        assert (status, "once it is won again" in answer["detail"]) == (409, True)

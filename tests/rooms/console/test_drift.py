"""What systems tell differently is seen, and what the owner says is written as it was shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from tests.flows.test_drifting import Desk
from tests.support.deal_world import opened_world

from tieline.runtime.migrate import Dsns

from .conftest import House


@pytest.fixture
def desk(house: House, database: Dsns, tmp_path: Path) -> Iterator[Desk]:
    with opened_world(database, tmp_path) as world:
        house.system.connectors = world.flow.directory
        codes = [row["entity_code"] for row in house.rows("SELECT entity_code FROM legal_entity")]
        house.rows(
            "UPDATE person_login SET entities = %s WHERE login IN ('ann', 'eve') RETURNING login",
            codes,
        )
        yield Desk(world)


def test_a_difference_is_seen_and_written_as_it_was_shown(house: House, desk: Desk) -> None:
    ann = house.browser("ann")
    (difference,) = desk.list()
    assert (difference.field, difference.owner_value, difference.value) == (
        "city", "Altona", "Hamburg",
    )  # fmt: skip

    page = ann.get("/drift").text
    assert ("Altona" in page, "Hamburg" in page, "client.city" in page) == (True, True, True)
    assert "Altona" not in ann.get("/drift", system="nobody").text
    sheets = ZipFile(BytesIO(ann.get("/drift.xlsx").content))
    assert any(b"Altona" in sheets.read(name) for name in sheets.namelist())

    plan = ann.get("/drift/plan", field="client.city").text
    (digest,) = set(re.findall(r'name="digest" value="([0-9a-f]{64})"', plan))
    desk.say("books", minute=1, city="Wandsbek")
    stale = ann.send("/drift/apply", field="client.city", digest=digest, reason="finance says so")
    assert (stale.status_code, "Wandsbek" in ann.get("/drift").text) == (409, True)

    plan = ann.get("/drift/plan", field="client.city").text
    (digest,) = set(re.findall(r'name="digest" value="([0-9a-f]{64})"', plan))
    done = ann.send("/drift/apply", field="client.city", digest=digest, reason="finance says so")
    assert done.headers["location"] == "/drift?done=aligned"
    (shown,) = house.rows("SELECT shown_id FROM shown_plan WHERE applied_at IS NOT NULL")
    desk.work(str(shown["shown_id"]))
    assert desk.in_crm("city") == "Wandsbek"


def test_is_nobodys_who_sees_a_part_and_is_written_by_nobody_without_the_role(
    house: House, desk: Desk
) -> None:
    assert house.browser("cyd").get("/drift").status_code == 404
    eve = house.browser("eve")
    assert "/drift/plan" not in eve.get("/drift").text
    answer = eve.send("/drift/apply", field="client.city", digest="0" * 64, reason="x")
    assert answer.status_code == 403

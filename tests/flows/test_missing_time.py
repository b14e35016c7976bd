"""Who has not handed in the time that was expected of them, week by week."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from tests.flows.test_time_validation import World
from tests.support.scene import DAY

from tieline.canonical import Approval
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns

_H = 3600
_NEXT_WEEK = DAY + timedelta(days=7)


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[World]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield World(owner, worker_database)
    owner.close()


def _weeks(world: World, entity: str = "", until: date = _NEXT_WEEK) -> list[dict[str, Any]]:
    with world.worker.transaction() as connection:
        return connection.execute(
            "SELECT * FROM page_missing_time(%s, %s, %s, %s)",
            (DAY, until, entity, world.clock.now()),
        ).fetchall()


def _sums(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["expected_seconds"], row["entered_seconds"], row["approved_seconds"]


@pytest.mark.sql
def test_a_week_tells_what_was_expected_entered_and_approved(world: World) -> None:
    world.say(
        "INSERT INTO subject (subject_id, kind, name, email, recorded_at)"
        " VALUES (%s, 'person', 'Anna', 'anna@halden.example', %s)",
        world.scene.person_id,
        world.clock.now(),
    )
    world.book("1", 8 * _H)
    world.book("2", 4 * _H, work_date=DAY + timedelta(days=1), approval=Approval.NOT_APPROVED)
    (week,) = _weeks(world)
    assert (week["unknown_days"], week["unknown"]) == (7, "pattern")
    assert _sums(week) == (0, 12 * _H, 8 * _H), "what is unknown is not expected"

    values = (world.scene.person_id, world.clock.now())
    world.say(
        "INSERT INTO work_pattern (person_id, weekday_seconds, starts_on, recorded_at)"
        " VALUES (%s, '{28800,28800,28800,28800,28800,0,0}', '2026-01-01', %s)",
        *values,
    )
    world.say(
        "INSERT INTO work_place (person_id, place, starts_on, recorded_at) VALUES (%s, 'DE', '2026-01-01', %s)",
        *values,
    )
    world.say("INSERT INTO holiday_year VALUES ('DE', 2026, 'a test', %s)", world.clock.now())
    week, later = _weeks(world, until=_NEXT_WEEK + timedelta(days=2))
    assert (week["week_on"], later["week_on"]) == (DAY, _NEXT_WEEK)
    assert _sums(week) == (40 * _H, 12 * _H, 8 * _H)
    assert _sums(later) == (16 * _H, 0, 0), "only the days that were asked for"
    assert week["unknown_days"] == 0
    assert (week["hour_amount"], week["currency"]) == (150, "EUR")
    assert [each["week_on"] for each in _weeks(world, "HR-DE")] == [DAY]
    assert _weeks(world, "HR-UK") == []

    # Another hour comes to dollars: no number says what an hour is worth.
    world.book("3", 8 * _H, work_date=DAY + timedelta(days=2))
    with world.owner.transaction() as connection:
        connection.execute("ALTER TABLE verdict DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE verdict SET currency = 'USD', amount = 1300 WHERE verdict_id ="
            " (SELECT verdict_id FROM time_entry WHERE source_ref = '3')"
        )
    (week,) = _weeks(world)
    assert (week["hour_amount"], week["currency"]) == (None, None)
    assert _sums(week) == (40 * _H, 20 * _H, 16 * _H)

"""What is expected of people on each day, and what rules and pages make of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from tests.flows.test_people import Firm
from tests.flows.test_time_validation import World
from tests.support.deal import NOW, STAFF, found_firm, staffing_fact
from tests.support.scene import DAY

from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import AtOnce

_AT_ONCE = AtOnce()
_H = 3600
_SINCE = date(2026, 1, 1)


class Staff(Firm):
    """People whose working time a staffing file tells."""

    def work(self, ref: str, fact: str, who: str = "anna", **more: Any) -> None:
        values = {"starts_on": _SINCE, "ends_on": None, **more}
        extras = {
            name: values.pop(name)
            for name in ("week_pattern", "work_share", "work_place", "day_hours", "day_share")
            if name in values
        }
        told = staffing_fact(fact, who, **values, extras=extras)
        self.tell(STAFF, "staffing", **{ref: told})

    def expected(self, day: date, *, minute: int | None = None) -> tuple[Any, ...]:
        """Return seconds expected and scheduled, and what is unknown, as known at a minute."""
        minutes = self._minute if minute is None else minute
        (row,) = self.rows(
            "SELECT e.expected_seconds, e.scheduled_seconds, e.unknown FROM person p"
            " CROSS JOIN LATERAL expected_day(p.person_id, %s, %s) e WHERE p.redirect_to IS NULL",
            (day, NOW + timedelta(minutes=minutes)),
        )
        return tuple(row.values())


@pytest.fixture
def staff(database: Dsns, worker_database: Database) -> Staff:
    owner = Database(database.owner, pool_max=1, application_name="test-owner").open()
    with owner.transaction() as connection:
        found_firm(connection)
    owner.close()
    return Staff(worker_database)


@pytest.mark.sql
def test_what_is_expected_comes_from_the_person_and_the_day(staff: Staff) -> None:
    staff.hire(
        "anna",
        entity_code="HR-DE",
        employee_code="A1",
        starts_on=date(2026, 1, 8),
        ends_on=date(2026, 12, 24),
    )
    assert staff.sync() == set()
    # Missing data is no zero: it says what is missing.
    assert staff.expected(date(2026, 10, 6)) == (None, None, "pattern")

    staff.work("w1", "work_pattern", week_pattern="8 8 8 8 6.5 0 0")
    staff.sync()
    assert staff.expected(date(2026, 10, 6)) == (None, None, "place")

    # She moves from Munich to Berlin: All Saints' Day and Epiphany are free in Bavaria alone.
    staff.work("p1", "work_place", work_place="DE-BY", ends_on=date(2026, 10, 12))
    staff.work("p2", "work_place", work_place="DE-BE", starts_on=date(2026, 10, 12))
    assert staff.sync() == set()
    before_share = staff._minute
    assert staff.expected(date(2026, 10, 6)) == (8 * _H, 8 * _H, "")
    assert staff.expected(date(2026, 10, 9)) == (23400, 23400, "")
    assert staff.expected(date(2026, 10, 10)) == (0, 0, "")
    assert staff.expected(date(2026, 6, 4)) == (0, 0, ""), "Corpus Christi in Bavaria"
    assert staff.expected(date(2026, 11, 2)) == (8 * _H, 8 * _H, "")
    # Joiner and leaver, by the state of the day; whoever is not employed owes nothing.
    assert staff.expected(date(2026, 1, 7)) == (0, 0, "")
    assert staff.expected(date(2026, 1, 8))[0] == 8 * _H
    assert staff.expected(date(2026, 12, 23))[0] == 8 * _H
    assert staff.expected(date(2026, 12, 24)) == (0, 0, "")

    staff.work("s1", "work_share", work_share="0.5", starts_on=date(2026, 10, 6))
    staff.work(
        "l1", "leave", starts_on=date(2026, 10, 6), ends_on=date(2026, 10, 8), day_share="0.5"
    )
    staff.work("l2", "leave", starts_on=date(2026, 10, 7), ends_on=date(2026, 10, 8), day_hours="1")
    staff.work("l3", "leave", starts_on=date(2026, 10, 13), ends_on=date(2026, 10, 14))
    staff.tell(
        STAFF,
        "staffing",
        c1=staffing_fact(
            "company_holiday",
            "",
            entity_code="HR-DE",
            starts_on=date(2026, 10, 15),
            ends_on=None,
            extras={"day_share": "0.5"},
        ),
    )
    assert staff.sync() == set()
    assert staff.expected(date(2026, 10, 5)) == (8 * _H, 8 * _H, ""), "before the share began"
    assert staff.expected(date(2026, 10, 6)) == (2 * _H, 4 * _H, ""), "half of a half day"
    assert staff.expected(date(2026, 10, 7)) == (1 * _H, 4 * _H, ""), "and an hour more"
    assert staff.expected(date(2026, 10, 13)) == (0, 4 * _H, ""), "a whole day"
    assert staff.expected(date(2026, 10, 15)) == (2 * _H, 2 * _H, ""), "a company's half day"
    # What was known before stays known; a year that nobody looked up is unknown, not a working day.
    assert staff.expected(date(2026, 10, 6), minute=before_share) == (8 * _H, 8 * _H, "")
    staff.work("e1", "employment", entity_code="HR-DE", employee_code="A1", ends_on=None)
    staff.hire("anna", entity_code="HR-DE", employee_code="A1", starts_on=_SINCE, ends_on=None)
    staff.sync()
    assert staff.expected(date(2031, 10, 7))[2] == "holidays"

    staff.work("p2", "work_place", work_place="DE-XX", starts_on=date(2026, 10, 12))
    assert staff.sync() == {"person.fact_incomplete"}
    assert staff.expected(date(2026, 11, 2)) == (None, None, "place")


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[World]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield World(owner, worker_database)
    owner.close()


def _reasons(world: World, source_ref: str) -> set[str]:
    rows = world.say(
        "SELECT r.code FROM time_entry t JOIN verdict_reason r USING (verdict_id) WHERE t.source_ref = %s",
        source_ref,
    )
    return {row["code"].removeprefix("time.") for row in rows}


def _verdicts(world: World) -> int:
    (row,) = world.say("SELECT count(*) AS verdicts FROM verdict")
    return int(row["verdicts"])


def _tell_pattern(world: World) -> None:
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


@pytest.mark.sql
def test_a_change_is_felt_by_the_whole_week_of_the_person_and_by_the_next_day_s_rest(
    world: World,
) -> None:
    world.say("UPDATE connection SET mode = 'observe' WHERE connection_key = 'tryton'")
    at = world.clock.now().replace(month=10, day=5, hour=20, minute=0)
    world.book("mo", 8 * _H)
    assert "week_under_minimum" not in _reasons(world, "mo"), "nobody told a pattern"

    _tell_pattern(world)
    world.flow.judge_waiting(_AT_ONCE, "all")
    assert "week_under_minimum" in _reasons(world, "mo")
    world.book("tu", 4 * _H, work_date=DAY + timedelta(days=1))
    world.book("we", 8 * _H, work_date=DAY + timedelta(days=2))
    assert not _reasons(world, "mo") & {"week_under_minimum", "day_under_minimum"}
    verdicts = _verdicts(world)
    world.book("next", 1 * _H, work_date=DAY + timedelta(days=7))
    assert "week_under_minimum" in _reasons(world, "next")
    assert _verdicts(world) == verdicts + 1, "another week concerns nobody in this one"

    # Saturday's work was agreed for nobody; then it is.
    world.book("sa", 2 * _H, work_date=DAY + timedelta(days=5))
    assert "not_a_working_day" in _reasons(world, "sa")
    world.say(
        "INSERT INTO work_permission (person_id, kind, starts_on, ends_on, recorded_at)"
        " VALUES (%s, 'free_day', '2026-10-10', '2026-10-11', %s)",
        world.scene.person_id,
        world.clock.now(),
    )
    world.flow.judge_waiting(_AT_ONCE, "all")
    assert "not_a_working_day" not in _reasons(world, "sa")

    # Wednesday begins ten hours after Tuesday ended, and again has its rest when Tuesday is moved.
    wednesday = DAY + timedelta(days=2)
    clock = {"started_at": at.replace(day=7, hour=6), "ended_at": at.replace(day=7, hour=14)}
    world.book("early", 1 * _H, work_date=wednesday, **clock)
    tuesday = {"work_date": DAY + timedelta(days=1), "ended_at": at.replace(day=6)}
    late = {**tuesday, "started_at": at.replace(day=6, hour=16)}
    world.book("late", 4 * _H, **late)
    assert "rest_too_short" in _reasons(world, "early")
    assert "rest_too_short" not in _reasons(world, "late")
    world.book("late", 3 * _H, **{**late, "ended_at": at.replace(day=6, hour=19)})
    assert "rest_too_short" not in _reasons(world, "early")
    world.book("late", 4 * _H, **late)
    assert "rest_too_short" in _reasons(world, "early")
    world.book("more", 1 * _H, work_date=wednesday)
    without = _reasons(world, "we") | _reasons(world, "more")
    assert "rest_too_short" not in without, "what has no clock is not judged again with the eve"
    world.book("late", 2 * _H, work_date=DAY + timedelta(days=1))
    assert "rest_too_short" not in _reasons(world, "early"), "a clock that is gone counts no more"


@pytest.mark.sql
def test_half_a_day_of_leave_leaves_half_a_day(world: World) -> None:
    _tell_pattern(world)
    world.say(
        "INSERT INTO leave (person_id, kind, day_share, starts_on, ends_on, recorded_at)"
        " VALUES (%s, 'leave', 0.5, %s, %s, %s)",
        world.scene.person_id,
        DAY,
        DAY + timedelta(days=1),
        world.clock.now(),
    )
    world.book("1", 4 * _H)
    assert not _reasons(world, "1") & {"on_leave", "over_part_leave"}
    world.book("2", 1 * _H)
    assert "over_part_leave" in _reasons(world, "2")
    assert "on_leave" not in _reasons(world, "2")

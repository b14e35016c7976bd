"""What is due before a cut-off goes first, from the calendar of its legal entity down to the line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.scene import NOW, Scene, add_hours, build_scene
from tests.support.target import FixedClock, LineTarget, OneConnector, OpenBudgets

from tieline.app import InstalledSystems
from tieline.kernel.limits import Limit, LimitKind
from tieline.posting.lines import LinePoster, Scope
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.forecast import read_outlook
from tieline.services.installation import EntitySetup, cut_off_of, holidays_of, open_periods
from tieline.services.time_validation import TimeValidation

CUT_OFF = NOW + timedelta(days=9)
BERLIN = EntitySetup(
    entity_code="HR-DE",
    name="Halden Roe GmbH",
    currency="EUR",
    zone="Europe/Berlin",
    erp_connection_key="tryton",
    close_working_day=2,
    close_time=time(17),
    holidays="DE-BE",
    grace_minutes=90,
    urgent_hours=36,
)


class TestTheCalendar:
    @pytest.mark.parametrize(
        ("ends_on", "holidays", "cut_off_at"),
        [
            # The first of January is none, and a Friday the second is the first working day.
            (date(2026, 1, 1), "DE-BE", datetime(2026, 1, 5, 16, tzinfo=UTC)),
            (date(2026, 1, 1), "", datetime(2026, 1, 2, 16, tzinfo=UTC)),
            # Epiphany is free in Bavaria and not in Berlin.
            (date(2026, 1, 5), "DE-BY", datetime(2026, 1, 7, 16, tzinfo=UTC)),
            (date(2026, 1, 5), "DE-BE", datetime(2026, 1, 6, 16, tzinfo=UTC)),
            # Labor day on a Friday, and the clocks of summer.
            (date(2026, 5, 1), "DE-BE", datetime(2026, 5, 5, 15, tzinfo=UTC)),
        ],
    )
    def test_counts_working_days_where_the_entity_is(
        self, ends_on: date, holidays: str, cut_off_at: datetime
    ) -> None:
        words = {name: getattr(BERLIN, name) for name in EntitySetup.__dataclass_fields__}
        entity = EntitySetup(**{**words, "holidays": holidays})

        assert cut_off_of(entity=entity, period_ends_on=ends_on) == cut_off_at

    def test_refuses_a_place_that_has_no_known_holidays(self) -> None:
        with pytest.raises(LookupError, match="XX has no known holidays"):
            holidays_of("XX")


class World:
    """One legal entity with six planned hours, worth more the later they were planned."""

    def __init__(self, owner: Database, worker: Database) -> None:
        self.worker = worker
        self.target = LineTarget()
        self.clock = FixedClock(NOW)
        with owner.transaction() as connection:
            self.scene: Scene = build_scene(connection)
            connection.execute(
                "UPDATE fiscal_period SET cut_off_at = %s, urgent_from = %s, grace_until = %s",
                (CUT_OFF, CUT_OFF - timedelta(hours=36), CUT_OFF + timedelta(minutes=90)),
            )
            for hours in range(1, 7):
                add_hours(connection, self.scene, seconds=[hours * 3600])
        self.poster = LinePoster(
            database=worker,
            connectors=OneConnector(self.target),
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=self.clock,
            batch_lines_max=2,
        )
        self.flow = TimeValidation(database=worker, line_poster=self.poster, clock=self.clock)

    def at(self, instant: datetime) -> dict[str, Any]:
        """Look over what waits at an instant, and return the work that is to be done."""
        self.clock.instant = instant
        with self.worker.transaction() as connection:
            connection.execute("DELETE FROM work_item")
        self.flow.plan_left_out()
        self.flow.schedule_waiting()
        with self.worker.transaction() as connection:
            row = connection.execute(
                "SELECT work_class, deadline, value_at_risk FROM work_item WHERE kind = 'post_lines'"
            ).fetchone()
        assert row is not None
        return row

    def send(self, *, is_oldest_first: bool = False) -> list[int]:
        """Send one batch and return the hours that it brought, longest first."""
        before = set(self.target.lines)
        scope = Scope(
            target_connection="tryton", entity_code="HR-DE", period_id=self.scene.period_id
        )
        self.poster.round(scope=scope, is_oldest_first=is_oldest_first)
        new: set[UUID] = set(self.target.lines) - before
        return sorted((self.target.lines[key].seconds // 3600 for key in new), reverse=True)


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> World:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    try:
        return World(owner, worker_database)
    finally:
        owner.close()


class TestWork:
    def test_is_of_the_class_cut_off_from_the_horizon_to_the_end_of_grace(
        self, world: World
    ) -> None:
        early = world.at(NOW)
        near = world.at(CUT_OFF - timedelta(hours=36))
        in_grace = world.at(CUT_OFF + timedelta(minutes=89))
        after = world.at(CUT_OFF + timedelta(minutes=90))

        assert [each["work_class"] for each in (early, near, in_grace, after)] == [1, 0, 0, 1]
        assert early["deadline"] == near["deadline"] == CUT_OFF
        assert in_grace["deadline"] == CUT_OFF + timedelta(minutes=90)
        assert early["value_at_risk"] == 150 * (1 + 2 + 3 + 4 + 5 + 6)

    def test_sends_what_is_worth_most_first_and_leaves_nothing_behind_for_ever(
        self, world: World
    ) -> None:
        world.at(CUT_OFF - timedelta(hours=1))
        with world.worker.transaction() as connection:
            connection.execute(
                "UPDATE effect SET planned_at = planned_at + make_interval(secs => seconds)"
            )

        assert world.send() == [6, 5]
        assert world.send(is_oldest_first=True) == [2, 1]
        world.send()
        assert len(world.target.lines) == 6
        with world.worker.transaction() as connection:
            classes = connection.execute("SELECT DISTINCT work_class FROM effect").fetchall()
        assert classes == [{"work_class": 0}], "an intent carries the class it was sent with"

    def test_is_forecast_from_all_that_waits_whoever_asks(
        self, world: World, database: Dsns
    ) -> None:
        world.at(NOW)
        with world.worker.transaction() as connection:
            limit = Limit(
                name="slow", kind=LimitKind.WINDOW, calls=1, window_seconds=3600, source="a test"
            )
            Budgets(database=world.worker).configure(connection_key="tryton", limits=[limit])
        with psycopg.connect(database.web, row_factory=dict_row) as connection:
            connection.execute("SELECT set_config('tieline.entities', 'HR-DE', false)")
            outlook = read_outlook(connection, systems=InstalledSystems())
        found = outlook.of_entity("HR-DE", until=CUT_OFF, now=NOW)

        assert found is not None
        # Six lines, one in a call, three calls for each, six tenths of a call in an hour.
        assert (found.items, found.calls) == (6, 18)
        assert found.through_at == NOW + timedelta(hours=30)
        assert outlook.is_in_time("tryton", now=NOW)
        assert not outlook.is_in_time("tryton", now=CUT_OFF - timedelta(hours=29))

    def test_opens_periods_with_grace_and_horizon(self, world: World) -> None:
        with world.worker.transaction() as connection:
            open_periods(
                connection,
                entity=BERLIN,
                starts_on=date(2026, 12, 1),
                ends_on=date(2027, 1, 1),
                opened_by="ann",
                now=NOW,
            )
            row = connection.execute(
                "SELECT cut_off_at, urgent_from, grace_until FROM fiscal_period"
                " WHERE period_code = '2026-12'"
            ).fetchone()

        assert row == {
            "cut_off_at": datetime(2027, 1, 5, 16, tzinfo=UTC),
            "urgent_from": datetime(2027, 1, 4, 4, tzinfo=UTC),
            "grace_until": datetime(2027, 1, 5, 17, 30, tzinfo=UTC),
        }

    def test_covers_a_span_with_whole_weeks(self, world: World) -> None:
        boston = replace(BERLIN, calendar="4-4-5", zone="America/New_York", close_working_day=3)
        with world.worker.transaction() as connection:
            for _ in range(2):
                opened = open_periods(
                    connection,
                    entity=boston,
                    starts_on=date(2026, 12, 1),
                    ends_on=date(2027, 2, 1),
                    opened_by="ann",
                    now=NOW,
                )
            rows = connection.execute(
                "SELECT period_code, starts_on, ends_on, cut_off_at FROM fiscal_period"
                " WHERE period_code LIKE '%P%' ORDER BY starts_on"
            ).fetchall()

        # 2026 is a year of 53 weeks: its last period has the one that is over.
        assert opened == 0
        assert [(r["period_code"], r["starts_on"], r["ends_on"]) for r in rows] == [
            ("2026-P12", date(2026, 11, 23), date(2027, 1, 4)),
            ("2027-P01", date(2027, 1, 4), date(2027, 2, 1)),
        ]
        assert rows[0]["cut_off_at"] == datetime(2027, 1, 6, 22, tzinfo=UTC)

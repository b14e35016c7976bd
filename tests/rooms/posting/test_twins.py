"""What a target stored later than it declares is found, with both documents, until one is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.scene import NOW, Scene, add_hours, build_scene
from tests.support.target import LATE, FixedClock, LineTarget, OneConnector, OpenBudgets

from tieline.casework import get_case, list_cases
from tieline.ledger import plan
from tieline.posting.lines import LinePoster, Scope
from tieline.runtime.database import Database
from tieline.sdk import Strategy
from tieline.services.conservation_checks import STANDS_TWICE, ConservationChecks

pytestmark = pytest.mark.sql


class World:
    """A target that compares no keys, one line that was sent twice, and who looks for twins."""

    def __init__(self, worker: Database, owner: Database, strategy: Strategy) -> None:
        self.owner = owner
        self.target = LineTarget()
        connectors = OneConnector(self.target, strategy=strategy)
        clock = FixedClock(NOW)
        with owner.transaction() as connection:
            self.scene: Scene = build_scene(connection)
            add_hours(connection, self.scene, seconds=[3600])
            plan(connection, entry_ids=None, now=NOW)
        self.poster = LinePoster(
            database=worker,
            connectors=connectors,
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=clock,
        )
        self.checks = ConservationChecks(database=worker, connectors=connectors, clock=clock)

    def post_twice(self) -> None:
        """Lose sight of the first try, find nothing, and send again."""
        scope = Scope(
            target_connection="tryton", entity_code="HR-DE", period_id=self.scene.period_id
        )
        self.target.plan = [LATE]
        self.poster.round(scope=scope)
        self.let_pass()
        self.poster.round(scope=scope)

    def let_pass(self) -> None:
        with self.owner.transaction() as connection:
            connection.execute(
                "UPDATE effect SET due_at = NULL, settled_at = settled_at - interval '1 hour'"
            )

    def store_the_first(self) -> None:
        (line,) = self.target.lines.values()
        self.target.twins[line.business_key] = replace(line, target_code="late")

    def told(self) -> list[str]:
        self.checks.find_twins()
        with self.owner.transaction() as connection:
            found = [
                get_case(connection, case_id=case.case_id)
                for case in list_cases(connection, reason=STANDS_TWICE)
            ]
        return [
            member.key.partition(": ")[2]
            for one in found
            for member in one.members
            if member.left_at is None
        ]


@pytest.fixture
def world(worker_database: Database, owner_database: Database) -> World:
    return World(worker_database, owner_database, Strategy.PROBE_BEFORE_RETRY)


class TestTwins:
    def test_are_an_incident_with_both_documents_until_one_is_gone(self, world: World) -> None:
        world.post_twice()
        key = str(next(iter(world.target.lines)))
        world.store_the_first()
        world.let_pass()

        assert world.told() == [f"{key}, late"]
        world.target.twins.clear()
        assert world.told() == []

    def test_are_not_looked_for_before_a_target_has_had_its_time(self, world: World) -> None:
        world.post_twice()
        world.store_the_first()

        assert world.told() == []

    def test_are_asked_for_once_where_nothing_is_found(self, world: World) -> None:
        world.post_twice()
        world.let_pass()
        world.told()
        world.store_the_first()

        assert world.told() == []

    def test_cannot_be_where_the_target_refuses_a_second_key(
        self, worker_database: Database, owner_database: Database
    ) -> None:
        world = World(worker_database, owner_database, Strategy.UNIQUE_FIELD)
        world.post_twice()
        world.let_pass()
        reads = world.target.reads

        assert world.told() == []
        assert world.target.reads == reads

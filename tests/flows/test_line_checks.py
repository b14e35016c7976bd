"""Each line of a target is held against what was booked: whatever somebody did there is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.support.scene import NOW, Scene, add_hours, build_scene
from tests.support.target import FixedClock, LineTarget, OneConnector, OpenBudgets

from tieline.casework import list_cases
from tieline.kernel.errors import StreamBroken
from tieline.ledger import plan
from tieline.posting import list_stops
from tieline.posting.lines import LinePoster, Scope
from tieline.reconciliation import list_results
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.sdk import StoredLine
from tieline.services.line_checks import HOURS_FREED, LINES_DIFFER, LineChecks


@dataclass(slots=True)
class ShownTarget(LineTarget):
    """A target that shows its lines, with some that others made."""

    others: list[StoredLine] = field(default_factory=list)
    billing: set[str] = field(default_factory=set)
    is_broken: bool = False

    def standing_lines(
        self, *, entity_code: str, starts_on: date, ends_on: date
    ) -> Iterator[Sequence[StoredLine]]:
        found = [*self.lines.values(), *self.others]
        yield [line for line in found if starts_on <= line.work_date < ends_on]
        if self.is_broken:
            raise StreamBroken("the connection broke")

    def billing_invoices(self, *, entity_code: str, invoice_codes: Sequence[str]) -> frozenset[str]:
        return frozenset(self.billing & set(invoice_codes))


class World:
    """Five hours that were posted, and a clock."""

    def __init__(self, owner: Database, worker: Database) -> None:
        self.worker = worker
        self.target = ShownTarget()
        self.clock = FixedClock(NOW)
        with owner.transaction() as connection:
            self.scene: Scene = build_scene(connection)
            add_hours(connection, self.scene, seconds=(3600, 1800, 900, 7200, 5400))
        with worker.transaction() as connection:
            plan(connection, entry_ids=None, now=NOW)
        LinePoster(
            database=worker,
            connectors=OneConnector(self.target),
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=self.clock,
        ).round(
            scope=Scope(
                target_connection="tryton", entity_code="HR-DE", period_id=self.scene.period_id
            )
        )
        assert len(self.target.lines) == 5
        self.good = dict(self.target.lines)
        self.checks = LineChecks(
            database=worker, connectors=OneConnector(self.target), clock=self.clock
        )

    @property
    def key(self) -> UUID:
        return next(iter(self.good))

    def look(self) -> list[tuple[str, str | None, str | None, str | None]]:
        """Let a minute pass and read the target; return what is stopped."""
        self.clock.instant += timedelta(minutes=1)
        self.checks.look(target="tryton")
        with self.worker.transaction() as connection:
            return [
                (each.check_name, each.target_connection, each.period_code, each.project_code)
                for each in list_stops(connection)
            ]

    def incidents(self, reason: str) -> list[str]:
        with self.worker.transaction() as connection:
            return [case.details["problem"] for case in list_cases(connection, reason=reason)]

    def states(self) -> set[str]:
        with self.worker.transaction() as connection:
            return {r.state for r in list_results(connection) if r.check_name == LINES_DIFFER}

    def mend(self) -> None:
        self.target.lines = dict(self.good)
        self.target.others.clear()
        for _ in range(2):
            self.look()

    def bill(self, key: UUID, invoice_code: str) -> None:
        """Let an hour stand on an invoice here and there."""
        with self.worker.transaction() as connection:
            row = connection.execute(
                "INSERT INTO invoice_record (contract_id, period_id, project_id, entity_code, business_key,"
                " target_connection, target_code, number, state, currency, untaxed_amount, total_amount,"
                " expected_amount, ledger_amount, recorded_at, correlation_id)"
                " VALUES (%s, %s, %s, 'HR-DE', %s, 'tryton', %s, '1', 'posted', 'EUR', 1, 1, 1, 1, %s, 'c')"
                " RETURNING invoice_id",
                (self.scene.contract_id, self.scene.period_id, self.scene.project_id, key,
                 invoice_code, NOW),
            ).fetchone()  # fmt: skip
            assert row is not None
            connection.execute(
                "INSERT INTO invoice_ledger_line VALUES (%s, %s)", (key, row["invoice_id"])
            )
        self.good[key] = replace(self.good[key], invoice_code=invoice_code)
        self.target.lines = dict(self.good)


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[World]:
    owner = Database(database.owner, pool_max=2).open()
    yield World(owner, worker_database)
    owner.close()


def _change(**changed: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.target.lines[world.key] = replace(world.good[world.key], **changed)

    return change


def _remove(world: World) -> None:
    del world.target.lines[world.key]


def _double(world: World) -> None:
    world.target.others.append(replace(world.good[world.key], target_code="copy"))


def _double_without_key(world: World) -> None:
    copy = replace(world.good[world.key], target_code="copy", business_key=None)
    world.target.others.append(copy)


def _double_under_another_key(world: World) -> None:
    copy = replace(world.good[world.key], target_code="copy", business_key=uuid4())
    world.target.others.append(copy)


def _even_out(world: World) -> None:
    one, two = list(world.good.values())[:2]
    world.target.lines[world.key] = replace(one, seconds=one.seconds + 60)
    assert two.business_key is not None
    world.target.lines[two.business_key] = replace(two, seconds=two.seconds - 60)


CORRUPTIONS: dict[str, tuple[Callable[[World], None], str]] = {
    "a second less": (_change(seconds=3599), "1 lines were changed"),
    "another day": (_change(work_date=date(2026, 10, 6)), "1 lines were changed"),
    "another month": (_change(work_date=date(2026, 9, 6)), "1 lines are gone"),
    "another person": (_change(person_code="78"), "1 lines were changed"),
    "another project": (_change(task_code="999"), "1 lines were changed"),
    "deleted": (_remove, "1 lines are gone"),
    "doubled": (_double, "1 lines stand more than once"),
    "doubled without a key": (_double_without_key, "1 lines of others stand on our tasks"),
    "doubled under another key": (_double_under_another_key, "1 lines of others stand on our tasks"),
    "two changes that even out": (_even_out, "2 lines were changed"),
}  # fmt: skip


class TestLines:
    def test_tell_each_corruption_at_the_second_reading(self, world: World) -> None:
        assert world.look() == []
        assert world.states() == {"green"}
        wrong: dict[str, object] = {}
        for name, (corrupt, said) in CORRUPTIONS.items():
            corrupt(world)
            first, second = world.look(), world.look()
            problems = world.incidents(LINES_DIFFER)
            if (
                first != []
                or second != [(LINES_DIFFER, "tryton", "2026-10", "P1")]
                or len(problems) != 1
                or not problems[0].startswith(said)
            ):
                wrong[name] = (first, second, problems)
            world.mend()

        assert wrong == {}
        assert world.look() == []
        assert world.incidents(LINES_DIFFER) == []

    def test_of_others_elsewhere_are_none_of_ours(self, world: World) -> None:
        line = replace(world.good[world.key], business_key=uuid4(), task_code="77")
        world.target.others.append(line)

        world.look()

        assert world.look() == []

    def test_that_cannot_be_shown_to_the_end_are_not_checked(self, world: World) -> None:
        _remove(world)
        world.look()
        world.look()
        world.target.is_broken = True

        assert len(world.look()) == 1
        assert world.states() == {"not_checked"}


class TestFreedHours:
    def test_are_found_while_their_invoice_still_bills_them(self, world: World) -> None:
        world.bill(world.key, "4711")
        world.target.billing = {"4711"}
        assert world.look() == []
        _change(invoice_code=None)(world)
        world.look()

        assert world.look() == [(HOURS_FREED, "tryton", "2026-10", "P1")]
        (problem,) = world.incidents(HOURS_FREED)
        assert problem.startswith("1 hours were freed from an invoice that still bills them")
        assert world.incidents(LINES_DIFFER) == []

        world.target.billing.clear()  # The invoice was credited.
        world.look()
        assert world.look() == []
        assert world.incidents(HOURS_FREED) == []

    def test_are_none_where_our_amounts_billed_them_and_the_button_did_not(
        self, world: World
    ) -> None:
        world.bill(world.key, "4711")
        with world.worker.transaction() as connection:
            connection.execute("UPDATE invoice_record SET is_from_ledger = true")
        world.target.billing = {"4711"}
        _change(invoice_code=None)(world)
        assert world.look() == []

        _change(invoice_code="4712")(world)
        world.look()

        assert world.look() == [(LINES_DIFFER, "tryton", "2026-10", "P1")]
        (problem,) = world.incidents(LINES_DIFFER)
        assert problem.startswith(
            "1 hours that we billed by amounts stand on an invoice of their own"
        )

"""After a restore what was posted since is found by its keys and linked, and nothing is sent twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.conftest import PreparedCluster, new_database
from tests.support.scene import NOW, Scene, add_hours, add_version, build_scene
from tests.support.target import FixedClock, LineTarget, OneConnector, OpenBudgets

from tieline.ledger import plan
from tieline.posting.lines import LinePoster, Scope, Sent
from tieline.posting.restoring import find_restoration
from tieline.posting.states import SHUT_SECONDS
from tieline.reconciliation import OWN_CHECKS, look_at_own_books
from tieline.runtime.database import Database
from tieline.runtime.identity import note_position, why_restored
from tieline.runtime.migrate import Dsns
from tieline.sdk import Strategy
from tieline.services.restoring import RestoredWrite, Restoring, begin, list_writes

pytestmark = pytest.mark.sql
NOWHERE = Path("/nonexistent")
_PATIENCE_SECONDS = 15
_LATER = date(2026, 11, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Firm:
    """One database and the target that it posts to."""

    owner: Database
    worker: Database
    target: LineTarget
    scene: Scene
    strategy: Strategy

    def poster(self) -> LinePoster:
        """Return what posts the lines."""
        return LinePoster(
            database=self.worker,
            connectors=OneConnector(self.target, self.strategy),
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=FixedClock(NOW),
        )

    def scope(self) -> Scope:
        """Return where the lines go."""
        return Scope(
            target_connection="tryton", entity_code="HR-DE", period_id=self.scene.period_id
        )

    def post(self) -> None:
        """Plan and post until nothing is left, as the flow does."""
        poster, scope = self.poster(), self.scope()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with self.worker.transaction() as connection:
                plan(connection, entry_ids=None, now=NOW)
            sent = poster.round(scope=scope)
            if sent.wait_seconds is None and not sent.voided:
                return
            time.sleep(0.05)
        raise AssertionError("posting did not come to an end")

    def edit(self, entry_id: UUID, *, version: int, seconds: int, outcome: str) -> None:
        """Let the source say something else about an hour."""
        with self.owner.transaction() as connection:
            add_version(
                connection,
                self.scene,
                entry_id=entry_id,
                version=version,
                seconds=seconds,
                outcome=outcome,
            )

    def add(self, *seconds: int) -> list[UUID]:
        """Let the source tell of new hours."""
        with self.owner.transaction() as connection:
            return add_hours(connection, self.scene, seconds=seconds)

    def split(self, entry_id: UUID, *, capped_seconds: int) -> None:
        """Let so much of an hour be above its contract's cap, where the contract says what of it."""
        with self.owner.transaction() as connection:
            connection.execute(
                """
                WITH loaded AS (
                    INSERT INTO reference_load (noun, file_name, loaded_by, reason, rows, recorded_at)
                    VALUES ('over-cap', 'x.csv', 'ann', 'a test', 1, %(now)s) RETURNING load_id)
                INSERT INTO over_cap (contract_id, task_name, step_seconds, starts_on, recorded_at, load_id, line_number)
                SELECT %(contract_id)s, 'Above', 60, '2026-01-01', %(now)s, load_id, 2 FROM loaded
                """,
                {"now": NOW, "contract_id": self.scene.contract_id},
            )
            connection.execute(
                "UPDATE verdict SET capped_seconds = %(capped)s, capped_line_id = contract_line_id,"
                " amount = (seconds - %(capped)s) * rate_amount / 3600,"
                " posting_hash = split_hash(sha256(posting_hash), %(capped)s::integer, contract_line_id)"
                " WHERE entry_id = %(entry_id)s",
                {"capped": capped_seconds, "entry_id": entry_id},
            )

    def agree_to_book_later(self, entry_id: UUID) -> UUID:
        """Let two people agree that an hour goes into the next period; return that one."""
        with self.owner.transaction() as connection:
            row = connection.execute(
                "INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)"
                " VALUES ('HR-DE', '2026-11', %s, '2026-12-01', 'open', %s) RETURNING period_id",
                (_LATER, NOW),
            ).fetchone()
            assert row is not None
            connection.execute(
                """
                WITH changed AS (
                    INSERT INTO posted_change (entry_id, version, verdict_id, kind, way, old_seconds, new_seconds,
                        found_at, correlation_id)
                    SELECT entry_id, newest_version, verdict_id, 'late', 'adjust', 0, 3000, %(now)s, 'c'
                    FROM time_entry WHERE entry_id = %(entry_id)s
                    RETURNING change_id, entry_id, version)
                INSERT INTO adjustment (change_id, entry_id, version, booking_period_id, moves_money, proposed_by,
                    approved_by, reason, recorded_at)
                SELECT change_id, entry_id, version, %(period_id)s, true, 'ann', 'bob', 'late', %(now)s FROM changed
                """,
                {"now": NOW, "entry_id": entry_id, "period_id": row["period_id"]},
            )
            return UUID(str(row["period_id"]))

    def standing(self) -> list[int]:
        """Return the lengths of the lines that stand in the target."""
        return sorted(line.seconds for line in self.target.lines.values())

    def follow_up(self, *, times: int = 3) -> None:
        """Take so many steps after a restore."""
        restoring = Restoring(
            database=self.worker,
            connectors=OneConnector(self.target, self.strategy),
            clock=FixedClock(NOW),
            home=NOWHERE,
        )
        for _ in range(times):
            with self.worker.transaction() as connection:
                standing = find_restoration(connection)
                connection.execute("DELETE FROM rejudge")
                connection.execute("UPDATE intake_batch SET state = 'judged'")
            assert standing is not None
            restoring._step(standing)

    def found(self) -> tuple[RestoredWrite, ...]:
        """Return the list of what the backup did not know."""
        with self.worker.transaction() as connection:
            restoration = find_restoration(connection)
            assert restoration is not None
            return list_writes(connection, restoration=restoration)


def _open(dsns: Dsns, target: LineTarget, scene: Scene | None, strategy: Strategy) -> Firm:
    owner = Database(dsns.owner, pool_max=2, application_name="test-owner").open()
    if scene is None:
        with owner.transaction() as connection:
            scene = build_scene(connection)
    worker = Database(dsns.worker, pool_max=4, application_name="test").open()
    return Firm(owner=owner, worker=worker, target=target, scene=scene, strategy=strategy)


@pytest.fixture
def target() -> LineTarget:
    return LineTarget()


@pytest.fixture
def backup(prepared_cluster: PreparedCluster) -> Iterator[Dsns]:
    """Lend the database that will be copied as a backup."""
    with new_database(prepared_cluster) as dsns:
        yield dsns


class TestARestoredDatabase:
    def test_links_what_was_posted_since_and_sends_nothing_twice(
        self, prepared_cluster: PreparedCluster, backup: Dsns, target: LineTarget
    ) -> None:
        first = _open(backup, target, None, Strategy.PROBE_BEFORE_RETRY)
        first.add(1000)
        (edited,) = first.add(2000)
        first.post()
        (posted,) = first.add(3000)
        (corrected,) = first.add(4000)
        (stale,) = first.add(6000)
        (unsent,) = first.add(7000)
        first.owner.close()
        first.worker.close()
        name = str(conninfo_to_dict(backup.worker)["dbname"])
        with new_database(prepared_cluster, copy_of=name) as copy:
            lost = _open(copy, target, first.scene, Strategy.PROBE_BEFORE_RETRY)
            with lost.owner.transaction() as connection:
                # One of them is not sent before the database is lost.
                connection.execute(
                    "UPDATE time_entry SET verdict_id = NULL WHERE entry_id = %s", (unsent,)
                )
            lost.post()
            lost.edit(edited, version=2, seconds=2100, outcome="correct")
            lost.edit(corrected, version=2, seconds=4100, outcome="correct")
            lost.post()
            assert lost.standing() == [1000, 2100, 3000, 4100, 6000]
            lost.owner.close()
            lost.worker.close()

        calls = target.calls
        now = _open(backup, target, first.scene, Strategy.PROBE_BEFORE_RETRY)
        with now.worker.transaction() as connection:
            begin(connection, because="a test", by="tests", home=NOWHERE, now=NOW)
        now.edit(edited, version=2, seconds=2100, outcome="correct")
        now.edit(corrected, version=2, seconds=4100, outcome="cleared")
        now.edit(stale, version=2, seconds=6100, outcome="cleared")
        now.follow_up()
        with now.worker.transaction() as connection:
            plan(connection, entry_ids=None, now=NOW)
            wrong = {each: look_at_own_books(connection, check=each) for each in OWN_CHECKS}
        linked = {(each.seconds, each.outcome) for each in now.found()}
        now.edit(stale, version=3, seconds=6100, outcome="correct")
        now.post()

        assert wrong["check.ledger"] == wrong["check.sent"] == wrong["check.once"] == ()
        assert linked == {
            (2000, "taken_back"),
            (2100, "linked"),
            (3000, "linked"),
            (4100, "linked"),
            (6000, "altered"),
        }
        assert now.standing() == [1000, 2100, 3000, 4100, 6100, 7000]
        # One call for the hour that nobody had sent, one for the one that was edited meanwhile.
        assert target.calls - calls == 2
        with now.worker.transaction() as connection:
            rows = connection.execute(
                "SELECT entry_id, sum(seconds)::int AS seconds FROM ledger_line GROUP BY 1"
            ).fetchall()
        assert sorted(row["seconds"] for row in rows) == now.standing()
        assert {row["entry_id"] for row in rows} >= {posted, corrected, stale, edited, unsent}
        now.owner.close()
        now.worker.close()

    def test_links_both_lines_of_an_hour_that_crossed_a_cap(
        self, prepared_cluster: PreparedCluster, backup: Dsns, target: LineTarget
    ) -> None:
        first = _open(backup, target, None, Strategy.PROBE_BEFORE_RETRY)
        (hour,) = first.add(3600)
        first.split(hour, capped_seconds=1200)
        first.owner.close()
        first.worker.close()
        name = str(conninfo_to_dict(backup.worker)["dbname"])
        with new_database(prepared_cluster, copy_of=name) as copy:
            lost = _open(copy, target, first.scene, Strategy.PROBE_BEFORE_RETRY)
            lost.post()
            lost.owner.close()
            lost.worker.close()
        assert target.calls == 2

        now = _open(backup, target, first.scene, Strategy.PROBE_BEFORE_RETRY)
        with now.worker.transaction() as connection:
            begin(connection, because="a test", by="tests", home=NOWHERE, now=NOW)
        now.follow_up()
        now.post()

        assert {(each.seconds, each.outcome) for each in now.found()} == {
            (2400, "linked"),
            (1200, "linked"),
        }
        assert now.standing() == [1200, 2400]
        assert target.calls == 2
        with now.worker.transaction() as connection:
            booked = connection.execute(
                "SELECT is_billable, seconds, amount FROM ledger_line ORDER BY seconds"
            ).fetchall()
            for each in OWN_CHECKS:
                assert look_at_own_books(connection, check=each) == ()
        assert [tuple(row.values()) for row in booked] == [(False, 1200, 0), (True, 2400, 100)]
        now.owner.close()
        now.worker.close()

    def test_knows_again_what_was_agreed_to_be_booked_in_a_later_period(
        self, prepared_cluster: PreparedCluster, backup: Dsns, target: LineTarget
    ) -> None:
        first = _open(backup, target, None, Strategy.PROBE_BEFORE_RETRY)
        (late,) = first.add(3000)
        first = replace(
            first, scene=replace(first.scene, period_id=first.agree_to_book_later(late))
        )
        first.owner.close()
        first.worker.close()
        name = str(conninfo_to_dict(backup.worker)["dbname"])
        with new_database(prepared_cluster, copy_of=name) as copy:
            lost = _open(copy, target, first.scene, Strategy.PROBE_BEFORE_RETRY)
            lost.post()
            assert [line.work_date for line in target.lines.values()] == [_LATER]
            lost.owner.close()
            lost.worker.close()

        now = _open(backup, target, first.scene, Strategy.PROBE_BEFORE_RETRY)
        with now.worker.transaction() as connection:
            begin(connection, because="a test", by="tests", home=NOWHERE, now=NOW)
        now.follow_up()
        now.post()

        assert [(each.seconds, each.outcome) for each in now.found()] == [(3000, "linked")]
        assert (target.calls, now.standing()) == (1, [3000])
        with now.worker.transaction() as connection:
            rows = connection.execute("SELECT work_date, period_id FROM ledger_line").fetchall()
        assert rows == [{"work_date": _LATER, "period_id": first.scene.period_id}]
        now.owner.close()
        now.worker.close()

    def test_sends_nothing_before_every_target_was_asked(
        self, backup: Dsns, target: LineTarget
    ) -> None:
        firm = _open(backup, target, None, Strategy.UNIQUE_FIELD)
        firm.add(1000)
        with firm.worker.transaction() as connection:
            plan(connection, entry_ids=None, now=NOW)
            begin(connection, because="a test", by="tests", home=NOWHERE, now=NOW)

        shut = firm.poster().round(scope=firm.scope())
        stood_before = dict(target.lines)
        firm.follow_up()
        firm.post()

        assert (shut, stood_before) == (Sent(wait_seconds=SHUT_SECONDS), {})
        assert firm.standing() == [1000]
        firm.owner.close()
        firm.worker.close()

    @pytest.mark.parametrize("strategy", [Strategy.ONCE_THEN_CASE, Strategy.IMPORT_BATCH])
    def test_leaves_to_a_person_what_a_target_cannot_be_asked(
        self, backup: Dsns, target: LineTarget, strategy: Strategy
    ) -> None:
        firm = _open(backup, target, None, strategy)
        firm.add(1000)
        with firm.worker.transaction() as connection:
            begin(connection, because="a test", by="tests", home=NOWHERE, now=NOW)
        firm.follow_up()
        firm.post()

        with firm.worker.transaction() as connection:
            rows = connection.execute("SELECT state, reason FROM effect").fetchall()
        assert rows == [{"state": "CONFLICT", "reason": "posting.unconfirmed"}]
        assert target.lines == {}
        firm.owner.close()
        firm.worker.close()


class TestADatabaseThatWasRestored:
    def test_is_noticed_by_what_it_says_of_itself(
        self, worker_database: Database, tmp_path: Path
    ) -> None:
        def look() -> str | None:
            with worker_database.transaction() as connection:
                return why_restored(connection, home=tmp_path)

        assert look() is None
        assert look() is None
        for change in (
            "system_identifier = 1",
            "table_oid = 1",
            "timeline_id = timeline_id + 1",
        ):
            with worker_database.transaction() as connection:
                connection.execute(f"UPDATE database_mark SET {change}")
            assert look() is not None
            assert look() is None
        with worker_database.transaction() as connection:
            note_position(connection, home=tmp_path)
        assert look() is None
        noted = (tmp_path / "database.json").read_text().replace('position": ', 'position": 9')
        (tmp_path / "database.json").write_text(noted)
        assert look() is not None


class TestALineThatCountersAnother:
    def test_is_known_by_its_own_key_and_holds_nothing_up(
        self, backup: Dsns, target: LineTarget
    ) -> None:
        firm = _open(backup, target, None, Strategy.UNIQUE_FIELD)
        (entry_id,) = firm.add(1000)
        firm.post()
        first = next(iter(target.lines.values()))
        firm.edit(entry_id, version=2, seconds=1100, outcome="correct")
        firm.post()
        # The target undoes by a second line: the first still stands beside what counters it.
        with firm.worker.transaction() as connection:
            (void,) = connection.execute(
                "SELECT business_key FROM effect WHERE kind = 'void'"
            ).fetchall()
            begin(connection, because="a test", by="tests", home=NOWHERE, now=NOW)
        assert first.business_key is not None
        target.lines[first.business_key] = first
        target.lines[void["business_key"]] = replace(
            first, business_key=void["business_key"], target_code="counter", seconds=-1000
        )

        firm.follow_up()

        assert firm.found() == ()
        firm.owner.close()
        firm.worker.close()

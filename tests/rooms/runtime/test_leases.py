"""One holder at a time, and every taking has a higher epoch."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from tieline.kernel.errors import LeaseLost, TryAgain
from tieline.runtime.database import Database
from tieline.runtime.executor import Executor
from tieline.runtime.leases import Fence, Leases

pytestmark = pytest.mark.sql


class TestLeases:
    def test_belong_to_one_holder(self, worker_database: Database) -> None:
        one = Leases(database=worker_database, holder="one")
        other = Leases(database=worker_database, holder="other")

        lease = one.acquire(name="stream", ttl_seconds=60)

        assert lease is not None
        assert lease.is_held()
        assert other.acquire(name="stream", ttl_seconds=60) is None

    def test_raise_the_epoch_when_they_pass_on(self, worker_database: Database) -> None:
        one = Leases(database=worker_database, holder="one")
        other = Leases(database=worker_database, holder="other")
        first = one.acquire(name="stream", ttl_seconds=60)
        assert first is not None
        with worker_database.transaction() as connection:
            connection.execute("UPDATE lease SET until = clock_timestamp()")

        second = other.acquire(name="stream", ttl_seconds=60)

        assert second is not None
        assert second.epoch == first.epoch + 1
        assert one.renew(first, ttl_seconds=60) is None
        one.release(first)
        assert other.renew(second, ttl_seconds=60) is not None

    def test_rest_after_release(self, worker_database: Database) -> None:
        leases = Leases(database=worker_database, holder="one")
        lease = leases.acquire(name="job", ttl_seconds=60)
        assert lease is not None
        leases.release(lease, rest_seconds=60)

        assert leases.acquire(name="job", ttl_seconds=60) is None

    def test_are_renewed_while_their_work_takes_longer_than_they_do(
        self, worker_database: Database
    ) -> None:
        turns, renewed = queue.Queue[bool](), queue.Queue[bool]()

        def wait(_ended: threading.Event, _seconds: float) -> bool:
            renewed.put(True)
            return turns.get()

        slow = Leases(database=worker_database, holder="slow", wait=wait)
        other = Leases(database=worker_database, holder="other")
        with slow.held(name="register", ttl_seconds=60) as held:
            assert held is not None
            first = held.lease
            renewed.get()
            with worker_database.transaction() as connection:
                # As it stands when nearly all of its time has passed.
                connection.execute("UPDATE lease SET until = until - interval '50 seconds'")
            turns.put(False)
            renewed.get()

            with worker_database.transaction() as connection:
                left = connection.execute(
                    "SELECT until > clock_timestamp() + interval '30 seconds' AS is_new FROM lease"
                ).fetchone()
            assert left == {"is_new": True}
            assert held.lease.deadline_nanoseconds > first.deadline_nanoseconds
            assert other.acquire(name="register", ttl_seconds=60) is None
            turns.put(True)

        assert other.acquire(name="register", ttl_seconds=60) is not None

    def test_give_up_before_their_row_does(self, worker_database: Database) -> None:
        leases = Leases(database=worker_database, holder="one")
        lease = leases.acquire(name="call", ttl_seconds=0)
        assert lease is not None

        with pytest.raises(TryAgain, match="lease call"):
            lease.check()


class TestFence:
    """What an executor still meant to send is not sent once its work may be another's."""

    def test_is_open_where_no_executor_was_registered(self) -> None:
        Fence().check()

    def test_holds_as_long_as_the_executor_beats(self, worker_database: Database) -> None:
        fence = Fence()
        executor = Executor(database=worker_database, executor_id="one", fence=fence)
        executor.register()
        first = fence.deadline_nanoseconds
        executor.beat()

        fence.check()
        assert first is not None
        assert fence.deadline_nanoseconds is not None
        assert fence.deadline_nanoseconds > first

    def test_closes_before_the_row_runs_out(self, worker_database: Database) -> None:
        fence = Fence()
        Executor(
            database=worker_database, executor_id="one", lease_seconds=1, fence=fence
        ).register()

        time.sleep(1)

        with pytest.raises(LeaseLost):
            fence.check()

    def test_closes_when_the_executor_was_declared_lost(self, worker_database: Database) -> None:
        fence = Fence()
        executor = Executor(database=worker_database, executor_id="one", fence=fence)
        executor.register()
        with worker_database.transaction() as connection:
            connection.execute("UPDATE executor SET state = 'lost'")

        with pytest.raises(TryAgain):
            executor.beat()
        with pytest.raises(LeaseLost):
            fence.check()

    def test_closes_when_the_executor_leaves(self, worker_database: Database) -> None:
        fence = Fence()
        executor = Executor(database=worker_database, executor_id="one", fence=fence)
        executor.register()

        executor.leave()

        with pytest.raises(LeaseLost):
            fence.check()

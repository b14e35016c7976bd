"""A vendor's limits hold for all workers together."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx
import pytest

from tieline.app import as_connection
from tieline.kernel.errors import HeldBack, NotExecuted, TryAgain
from tieline.kernel.limits import Limit, LimitKind, read_limits
from tieline.runtime.budget import Budgets, Leave, calls_of, list_limits, repeated_calls
from tieline.runtime.database import Database
from tieline.runtime.work import BILLING, CUT_OFF, PROVISIONING, REFERENCE
from tieline.sdk.http import HttpClient

pytestmark = pytest.mark.sql

KEY = "harvest"
RATE = Limit(name="rate", kind=LimitKind.WINDOW, calls=10, window_seconds=60, source="a test")
DAY = Limit(
    name="day",
    kind=LimitKind.QUOTA,
    calls=20,
    every="day",
    zone="Europe/Berlin",
    source="a test",
    limit_header="x-day",
    remaining_header="x-day-left",
)


@dataclass(slots=True)
class HandTime:
    """Time that passes when it is told to."""

    at: datetime = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)

    def instant(self) -> datetime:
        return self.at

    def rest(self, milliseconds: int) -> None:
        self.at += timedelta(milliseconds=milliseconds)

    def let_pass(self, seconds: int) -> None:
        self.rest(seconds * 1000)


@pytest.fixture
def time() -> HandTime:
    return HandTime()


@pytest.fixture
def budgets(worker_database: Database, time: HandTime) -> Budgets:
    return limited(Budgets(database=worker_database, time=time), RATE)


def limited(budgets: Budgets, *limits: Limit) -> Budgets:
    budgets.configure(connection_key=KEY, limits=limits)
    return budgets


def take(budgets: Budgets, work_class: int = CUT_OFF, *, is_repeat: bool = False) -> Leave:
    return budgets.take(connection_key=KEY, work_class=work_class, is_repeat=is_repeat)


def granted(budgets: Budgets, work_class: int = CUT_OFF, *, asks: int) -> int:
    return sum(take(budgets, work_class).wait_ms == 0 for _ in range(asks))


class TestRate:
    def test_grants_no_more_than_the_window_holds_and_again_when_it_has_moved_on(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        assert granted(budgets, asks=15) == 10
        assert take(budgets).wait_ms == 63_000
        time.let_pass(59)
        assert granted(budgets, asks=1) == 0
        time.let_pass(4)

        assert granted(budgets, asks=20) == 10

    def test_holds_in_a_window_of_any_position(self, budgets: Budgets, time: HandTime) -> None:
        instants = []
        for _ in range(220):
            if take(budgets).wait_ms == 0:
                instants.append(time.at)
            time.rest(1700)

        minute = timedelta(seconds=60)
        assert max(sum(a <= b < a + minute for b in instants) for a in instants) == 10
        assert len(instants) >= 50

    def test_leaves_room_for_the_more_urgent(self, budgets: Budgets) -> None:
        assert granted(budgets, REFERENCE, asks=20) == 8
        assert granted(budgets, PROVISIONING, asks=20) == 1
        assert granted(budgets, CUT_OFF, asks=20) == 1

    def test_keeps_a_tenth_for_who_asks_however_much_is_urgent(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        limited(budgets, replace(RATE, calls=50, window_seconds=10))
        went = {CUT_OFF: 0, REFERENCE: 0}
        for step in range(300):
            for work_class in (CUT_OFF,) * 8 + (REFERENCE,):
                # In the first window both take what is there.
                went[work_class] += step >= 100 and take(budgets, work_class).wait_ms == 0
            time.rest(100)

        assert 0.1 <= went[REFERENCE] / sum(went.values()) < 0.15
        assert 0.94 <= sum(went.values()) / (50 * 2) <= 1.1

    def test_holds_for_all_threads_together(self, worker_database: Database) -> None:
        budgets = limited(Budgets(database=worker_database), RATE)
        counts: list[int] = []
        threads = [
            threading.Thread(target=lambda: counts.append(granted(budgets, asks=6)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sum(counts) == 10

    def test_is_changed_without_forgetting_what_went(self, budgets: Budgets) -> None:
        granted(budgets, asks=6)
        limited(budgets, replace(RATE, calls=8))

        assert granted(budgets, asks=10) == 2

    def test_is_the_usual_one_where_nobody_declared_any(self, worker_database: Database) -> None:
        assert granted(Budgets(database=worker_database), asks=60) == 50


class TestOtherLimits:
    def test_a_quota_is_new_at_the_vendors_own_midnight(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        limited(budgets, DAY)

        assert granted(budgets, REFERENCE, asks=30) == 16, "a fifth is kept for what is due"
        assert granted(budgets, BILLING, asks=30) == 3
        assert granted(budgets, CUT_OFF, asks=30) == 1
        assert take(budgets).wait_ms == 15 * 3600 * 1000
        time.let_pass(15 * 3600)
        assert granted(budgets, CUT_OFF, asks=30) == 20

    def test_a_bucket_fills_again(self, budgets: Budgets, time: HandTime) -> None:
        limited(budgets, replace(RATE, kind=LimitKind.BUCKET))

        assert granted(budgets, asks=20) == 10
        assert take(budgets).wait_ms == 6000
        time.let_pass(18)
        assert granted(budgets, asks=20) == 3

    def test_the_strictest_of_several_decides(self, budgets: Budgets, time: HandTime) -> None:
        limited(budgets, RATE, DAY)

        assert granted(budgets, asks=15) == 10
        time.let_pass(64)
        assert granted(budgets, asks=15) == 10
        time.let_pass(64)
        assert take(budgets).because == "day"

    def test_calls_at_once_are_given_back_or_run_out(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        limited(budgets, Limit(name="slots", kind=LimitKind.CONCURRENT, calls=2, source="a test"))
        with calls_of(work_class=CUT_OFF):
            first, second = (budgets.wait(connection_key=KEY) for _ in range(2))
        assert (first.leave.slot_no, second.leave.slot_no) == (1, 2)
        assert take(budgets).because == "slots"

        time.let_pass(1)
        first.answered(status=200, headers={}, wait_seconds=None)
        assert take(budgets).slot_no == 1
        first.not_made()
        assert take(budgets).because == "slots", "it gave back what is somebody else's now"

        time.let_pass(61)
        assert granted(budgets, asks=5) == 2, "whoever held them died"

    def test_what_the_vendor_says_counts_where_it_is_less(self, budgets: Budgets) -> None:
        limited(budgets, DAY)
        call = budgets.wait(connection_key=KEY, limits=[DAY])
        call.answered(status=200, headers={"x-day": "15", "x-day-left": "3"}, wait_seconds=None)
        with budgets.database.transaction() as connection:
            (day,) = list_limits(connection, at=budgets.time.instant())

        assert (day.allowed, day.used) == (15, 12)
        assert granted(budgets, asks=9) == 3
        call.answered(status=200, headers={"x-day-left": "19"}, wait_seconds=None)
        with budgets.database.transaction() as connection:
            (day,) = list_limits(connection, at=budgets.time.instant())
        assert (day.allowed, day.used) == (20, 15), "more than we counted is not believed"


class TestDeclaring:
    def test_a_connection_says_what_its_own_account_may(self) -> None:
        found = read_limits(
            {"rate": {"kind": "window", "calls": 100, "window_seconds": 10, "source": "the page"}},
            changed={
                "rate": {"calls": 190},
                "day": {
                    "kind": "quota", "every": "day", "calls": 5000, "resets_at": "06:30",
                    "zone": "America/New_York", "source": "our plan",
                },
            },
        )  # fmt: skip

        assert [(each.name, each.calls, each.resets_seconds) for each in found] == [
            ("rate", 190, 0),
            ("day", 5000, 23_400),
        ]

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"kind": "tide"}, "is of a kind"),
            ({"calls": 0}, "whole number from 1"),
            ({"calls": True}, "whole number from 1"),
            ({"size": 3}, "says calls, kind, source, window_seconds"),
            ({"kind": "quota", "every": "month"}, "says calls, every, kind, source"),
            ({"source": " "}, "where its figure is from"),
        ],
    )
    def test_refuses_what_cannot_be(self, wrong: dict[str, object], said: str) -> None:
        good = {"kind": "window", "calls": 1, "window_seconds": 1, "source": "a page"}

        with pytest.raises(ValueError, match=said):
            read_limits({"rate": good}, changed={"rate": wrong})


class TestBreaker:
    def test_opens_after_failures_and_lets_one_probe_through(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        for _ in range(5):
            assert take(budgets, BILLING).wait_ms == 0
            budgets.note_failure(connection_key=KEY)
        assert take(budgets, BILLING).because == "breaker"
        assert 0 < budgets.rest_seconds(connection_key=KEY) <= 2
        time.let_pass(3)

        assert take(budgets, BILLING).is_probe
        assert take(budgets, BILLING).wait_ms > 0
        budgets.note_answer(connection_key=KEY)
        assert not take(budgets, BILLING).is_probe

    def test_asks_a_system_that_stays_away_at_most_once_in_half_a_minute(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        probes = []
        for _ in range(5):
            budgets.note_failure(connection_key=KEY)
        began = time.at
        while time.at < began + timedelta(hours=1):
            leave = take(budgets, BILLING)
            if leave.wait_ms == 0:
                probes.append(time.at)
                budgets.note_failure(connection_key=KEY)
            time.rest(max(100, leave.wait_ms))

        late = [at for at in probes if at > began + timedelta(minutes=2)]
        assert min(b - a for a, b in pairwise(late)) >= timedelta(seconds=30)
        assert 30 <= len(probes) <= 120

    def test_eases_a_system_for_as_long_as_it_was_away(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        for _ in range(5):
            budgets.note_failure(connection_key=KEY)
        time.let_pass(600)
        budgets.note_answer(connection_key=KEY)

        assert granted(budgets, asks=20) == 8
        time.let_pass(601)
        assert granted(budgets, asks=20) == 10

    def test_lets_the_next_call_go_as_soon_as_the_probe_is_answered(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        """An operation of several calls goes on after its first one showed the system to be up."""
        told = [500] * 5 + [200] * 3
        client = calling(limited(budgets, replace(RATE, calls=100)), told)
        for _ in range(5):
            with pytest.raises(TryAgain):
                client.read(path="/users")
        time.let_pass(3)

        for _ in range(3):
            client.read(path="/users")

        assert told == []
        assert not take(budgets).is_probe

    def test_keeps_no_worker_waiting_for_what_is_long_away(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        budgets.note_retry_after(connection_key=KEY, seconds=600)

        with pytest.raises(HeldBack) as held:
            budgets.wait(connection_key=KEY)

        assert (held.value.retry_after_seconds, time.at) == (600, HandTime().at)


class TestPause:
    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            ({"Retry-After": "20"}, 20),
            ({"Retry-After": "1.2"}, 2),
            ({"Retry-After": "-5"}, 1),
            ({"Retry-After": "1e300"}, 3600),
            ({"Retry-After": "soon"}, 15),
            ({}, 15),
            (
                {
                    "Date": "Mon, 02 Nov 2026 07:00:00 GMT",
                    "Retry-After": "Mon, 02 Nov 2026 07:00:40 GMT",
                },
                40,
            ),
        ],
    )
    def test_obeys_the_time_that_the_target_named_in_any_form(
        self, budgets: Budgets, time: HandTime, said: dict[str, str], seconds: int
    ) -> None:
        with pytest.raises(NotExecuted) as busy:
            calling(budgets, [429], said).write(method="POST", path="/lines")

        assert busy.value.retry_after_seconds == seconds
        assert take(budgets).wait_ms == seconds * 1000
        time.let_pass(seconds)
        assert take(budgets).is_probe, "one finds out before all of them do"
        assert take(budgets).wait_ms > 0


class TestRepetitions:
    def test_are_a_tenth_of_the_calls_and_one_now_and_then(
        self, budgets: Budgets, time: HandTime
    ) -> None:
        limited(budgets, replace(RATE, calls=1000))
        assert sum(take(budgets, is_repeat=True).wait_ms == 0 for _ in range(20)) == 10
        assert take(budgets, is_repeat=True).because == "retries"

        granted(budgets, asks=30)
        assert sum(take(budgets, is_repeat=True).wait_ms == 0 for _ in range(20)) == 3

        time.let_pass(10)
        assert sum(take(budgets, is_repeat=True).wait_ms == 0 for _ in range(20)) == 1

    def test_count_once_for_all_that_follows_the_repeated_call(self, budgets: Budgets) -> None:
        with calls_of(work_class=CUT_OFF), repeated_calls(is_repeat=True):
            for _ in range(4):
                budgets.wait(connection_key=KEY)

        with budgets.database.transaction() as connection:
            row = connection.execute("SELECT retry_tenths FROM connection_budget").fetchone()
        assert row == {"retry_tenths": 100 - 10 + 3}


def calling(
    budgets: Budgets, statuses: list[int], headers: dict[str, str] | None = None
) -> HttpClient:
    transport = httpx.MockTransport(
        lambda _: httpx.Response(statuses.pop(0), headers=headers, stream=httpx.ByteStream(b"{}"))
    )
    connection = as_connection(
        KEY, config={"base_url": "http://time.example"}, secrets={}, budgets=budgets
    )
    return HttpClient(connection=connection, headers={}, transport=transport)

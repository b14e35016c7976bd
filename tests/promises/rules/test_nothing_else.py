"""A change judges again exactly what it may change, and two who judge at once end where one would have ended."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.promises.rules.comparing import load_firm, load_hours, verdicts
from tests.promises.rules.firm import NOW, Maker, make_firm, make_hours
from tests.support.target import FixedClock
from tieline.runtime.database import Database
from tieline.validation import judge, mark_rejudge
from tieline.validation.judging import ALONE_KINDS

_CHANGES = 12
_SCARCE = ("cap:", "client-cap:")
Keys = dict[UUID, frozenset[str]]


class TestNothingElse:
    # In the second firm somebody has an hour from before the go-live on a day that shares a cap with what changes.
    @pytest.mark.parametrize("seed", [7, 1])
    def test_is_judged_again_than_what_shares_a_key_with_what_changed(
        self, owner_database: Database, worker_database: Database, seed: int
    ) -> None:
        maker = _firm(owner_database, seed=seed)
        _judge_batch(
            worker_database,
            load_hours(owner_database, maker.firm.hours.values()),
            FixedClock(NOW),
        )
        sizes = []

        for step in range(_CHANGES):
            at = NOW + timedelta(seconds=step + 1)
            changed = _change(maker, 1)[0] if step else _told_twice(maker)
            keys, before = _keys(worker_database), verdicts(worker_database)
            outside = _outside(worker_database)
            batch_id = load_hours(owner_database, [changed], version=_next(owner_database, changed))
            _mark(worker_database, batch_id, at)
            judged = _judge_batch(worker_database, batch_id, FixedClock(at))

            # Exactly what shares a key with it as it was or as it is, ...
            expected = _neighbors(
                changed["entry_id"], old=keys, new=_keys(worker_database), outside=outside
            )
            assert set(judged) == expected, (step, changed)
            after = verdicts(worker_database)
            # ... and of everything else, all judged again, nothing would have been decided otherwise.
            _judge_all(worker_database, at)
            assert verdicts(worker_database) == after, (step, changed)
            moved = {each for each in after if after[each] != before[each]}
            assert moved <= expected
            sizes.append(len(expected))
        # A change that concerned everything, or nothing but itself, would prove nothing.
        assert max(sizes) < len(maker.firm.hours) / 2
        assert max(sizes) > 1


class TestTwoWhoJudge:
    def test_end_in_the_verdicts_of_one_however_they_interleave(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        maker = _firm(owner_database, seed=9)
        _judge_batch(
            worker_database,
            load_hours(owner_database, maker.firm.hours.values()),
            FixedClock(NOW),
        )
        at = NOW + timedelta(seconds=5)
        # Two hours of one person and day, each lengthened by a source of its own.
        pair = _same_day(maker)
        batches = []
        for row in pair:
            row["seconds"] += 8 * 3600
            batches.append(load_hours(owner_database, [row], version=2))
            _mark(worker_database, batches[-1], at)
        held = Standing(at)

        with ThreadPoolExecutor(max_workers=2) as pool:
            # The first stands still with its locks held, before it looks at anything.
            first = pool.submit(_judge_batch, worker_database, batches[0], held)
            assert held.arrived.wait(timeout=120)
            second = pool.submit(_judge_batch, worker_database, batches[1], FixedClock(at))
            _wait_for_a_waiter(owner_database)
            assert not second.done()
            held.go_on.set()
            judged = [*first.result(), *second.result()]

        assert {row["entry_id"] for row in pair} <= set(judged)
        ended = verdicts(worker_database)
        _judge_all(worker_database, at)
        assert verdicts(worker_database) == ended


@dataclass(slots=True)
class Standing:
    """A clock that stands still until somebody says go on; a judge reads it once its locks are taken."""

    instant: datetime
    arrived: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def now(self) -> datetime:
        self.arrived.set()
        assert self.go_on.wait(timeout=120)
        return self.instant


def _firm(owner: Database, *, seed: int) -> Maker:
    maker = make_firm(seed, people=10, projects=10)
    make_hours(maker, 150)
    load_firm(owner, maker.firm)
    return maker


def _change(maker: Maker, count: int) -> list[dict[str, Any]]:
    rows = maker.random.sample(list(maker.firm.hours.values()), count)
    for row in rows:
        match maker.random.choice(["seconds", "move", "day", "delete"]):
            case "seconds":
                row["seconds"] += 1800
            case "move":
                row["project_ref"] = f"p{maker.random.randrange(len(maker.projects))}"
            case "day":
                row["work_date"] = row["work_date"] and row["work_date"] + timedelta(days=1)
            case _:
                row["is_deleted"] = not row["is_deleted"]
    return rows


def _told_twice(maker: Maker) -> dict[str, Any]:
    """Tell an hour of two projects: it belongs to neither, and takes nothing of what is scarce in one of them."""
    row = next(
        row
        for row in maker.firm.hours.values()
        if row["connection_key"] == "harvest" and row["approval"] == "approved" and row["work_date"]
    )
    row["project_ref"] = "both1"
    return row


def _same_day(maker: Maker) -> list[dict[str, Any]]:
    """Return two hours that one person entered in one tool for one day."""
    days: dict[Any, list[dict[str, Any]]] = {}
    for row in maker.firm.hours.values():
        if row["approval"] == "approved" and not row["is_deleted"] and not row["is_excluded"]:
            key = (row["connection_key"], row["person_ref"], row["work_date"])
            days.setdefault(key, []).append(row)
    return next(rows[:2] for rows in days.values() if len(rows) > 1)


def _next(owner: Database, row: dict[str, Any]) -> int:
    with owner.transaction() as connection:
        found = connection.execute(
            "SELECT newest_version + 1 AS next FROM time_entry WHERE entry_id = %s",
            (row["entry_id"],),
        ).fetchone()
    assert found is not None
    return int(found["next"])


def _mark(worker: Database, batch_id: int, at: datetime) -> None:
    with worker.transaction() as connection:
        mark_rejudge(connection, batch_id=batch_id, correlation_id="c", now=at)


def _judge_batch(worker: Database, batch_id: int, clock: Any) -> tuple[UUID, ...]:
    with worker.transaction() as connection:
        return judge(connection, clock=clock, correlation_id="c", batch_id=batch_id).entry_ids


def _judge_all(worker: Database, at: datetime) -> None:
    with worker.transaction() as connection:
        rows = connection.execute("SELECT entry_id FROM time_entry").fetchall()
        keys = [f"entry:{row['entry_id']}" for row in rows]
        judge(connection, clock=FixedClock(at), correlation_id="c", neighbor_keys=keys)


def _keys(worker: Database) -> Keys:
    """Return what each hour is judged together with, as its verdict declares it."""
    with worker.transaction() as connection:
        rows = connection.execute(
            "SELECT t.entry_id, v.neighbor_keys FROM time_entry t JOIN verdict v USING (verdict_id)"
        ).fetchall()
    return {
        row["entry_id"]: frozenset(
            key for key in row["neighbor_keys"] if key.partition(":")[0] not in ALONE_KINDS
        )
        for row in rows
    }


def _outside(worker: Database) -> frozenset[UUID]:
    """Return the hours of which no rule is asked: they take nothing of a cap, and no cap changes what becomes of them."""
    with worker.transaction() as connection:
        rows = connection.execute(
            "SELECT t.entry_id FROM time_entry t JOIN verdict v USING (verdict_id) WHERE v.outcome = 'outside'"
        ).fetchall()
    return frozenset(row["entry_id"] for row in rows)


def _neighbors(changed: UUID, *, old: Keys, new: Keys, outside: frozenset[UUID]) -> set[UUID]:
    """Return who shares a key with an hour as it was or is, and who shares what is scarce with one of these."""

    def shares(each: UUID, wanted: set[str]) -> bool:
        shared = old[each] & wanted
        return any(each not in outside or not key.startswith(_SCARCE) for key in shared)

    wanted = set(_with_the_next_day(old[changed] | new[changed]))
    found = {changed} | {each for each in old if shares(each, wanted)}
    scarce = {key for each in found for key in old[each] | new[each] if key.startswith(_SCARCE)}
    return found | {each for each in old if shares(each, scarce)}


def _with_the_next_day(keys: Iterable[str]) -> Iterable[str]:
    # The rest before the next day is counted from this one.
    for key in keys:
        yield key
        if key.startswith("person-rest:"):
            yield f"{key[:-10]}{date.fromisoformat(key[-10:]) + timedelta(days=1)}"


def _wait_for_a_waiter(owner: Database) -> None:
    """Wait until somebody waits for a lock of another."""
    for _ in range(1200):
        with owner.transaction() as connection:
            row = connection.execute(
                "SELECT count(*) AS waiting FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ).fetchone()
        if row is not None and row["waiting"]:
            return
        threading.Event().wait(0.05)
    raise AssertionError("the second judge does not wait for the first")

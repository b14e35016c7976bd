"""A change judges again what it may change, and ends where a judgement of everything would have ended."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

from tests.promises.rules.comparing import Found, load_firm, load_hours, verdicts
from tests.promises.rules.firm import NOW, Maker, make_firm, make_hours
from tests.promises.rules.histories import CAUSES, every_cause, follow
from tests.support.target import FixedClock
from tieline.runtime.database import Database
from tieline.validation import judge, mark_rejudge, next_marked


class TestNeighbors:
    def test_are_asked_whatever_changed_of_what_they_were_decided_by(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        done = follow(owner_database, worker_database, seed=4, hours=150, causes=every_cause(4))

        assert set(done) == set(CAUSES)

    def test_end_a_history_of_changes_as_a_judgement_of_everything_does(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        maker = make_firm(5, people=8, projects=8)
        make_hours(maker, 300)
        load_firm(owner_database, maker.firm)
        _judge_batch(worker_database, load_hours(owner_database, maker.firm.hours.values()), NOW)

        for step in range(8):
            at = NOW + timedelta(seconds=step + 1)
            batches = _change(maker, owner_database, at=at, version=step + 2)
            _serve(worker_database, batches, at=at)

        served = verdicts(worker_database)
        assert len({outcome for outcome, _ in served.values()}) > 2
        assert served == _all_again(owner_database, worker_database, at=NOW + timedelta(seconds=60))


def _change(maker: Maker, owner: Database, *, at: Any, version: int) -> list[int]:
    """Change hours, and now and then what they refer to; return the batches of the hours."""
    hours = maker.random.sample(list(maker.firm.hours.values()), 6)
    for row in hours:
        match maker.random.choice(["seconds", "delete", "move", "day", "person"]):
            case "seconds":
                row["seconds"] += 1800
            case "delete":
                row["is_deleted"] = not row["is_deleted"]
            case "move":
                row["project_ref"] = f"p{maker.random.randrange(len(maker.projects))}"
            case "day":
                row["work_date"] = row["work_date"] and row["work_date"] + timedelta(days=1)
            case _:
                row["person_ref"] = f"u{maker.random.randrange(len(maker.people))}"
    _change_reference(maker, owner, at=at)
    versions = {row["entry_id"]: row for row in hours}
    return [
        load_hours(owner, part, version=version)
        for part in (list(versions.values())[:3], list(versions.values())[3:])
    ]


def _change_reference(maker: Maker, owner: Database, *, at: Any) -> None:
    """Change one thing that hours refer to, as of an instant."""
    table, key, changed = maker.random.choice(_REFERENCES)
    with owner.transaction() as connection:
        row = connection.execute(
            f"SELECT * FROM {table} WHERE superseded_at IS NULL"
            f" ORDER BY {key}::text, starts_on LIMIT 1 OFFSET %s",
            (maker.random.randrange(6),),
        ).fetchone()
        if row is None:
            return
        connection.execute(
            f"UPDATE {table} SET superseded_at = %s WHERE {key} = %s AND starts_on = %s"
            " AND superseded_at IS NULL",
            (at, row[key], row["starts_on"]),
        )
        row |= changed(row, maker.random) | {"recorded_at": at}
        if f"{table}_id" in row and key == f"{table}_id":
            row[key] = uuid.UUID(int=maker.random.getrandbits(128), version=4)
        names = [name for name in row if name not in ("search_key",)]
        connection.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})",
            [row[name] for name in names],
        )


def _later(row: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    return {"starts_on": row["starts_on"] + timedelta(days=draw.randrange(1, 200))}


_REFERENCES: list[tuple[str, str, Any]] = [
    ("assignment", "assignment_id", _later),
    ("leave", "leave_id", lambda row, _: {"starts_on": row["starts_on"] - timedelta(days=3)}),
    ("employment", "employment_id", _later),
    ("contract_line", "contract_line_id", lambda row, _: {"rate_amount": row["rate_amount"] + 7}),
    ("contract_version", "contract_id", lambda row, _: {"cap_amount": 500}),
    ("project_version", "project_id", lambda row, _: {"accepts_time": not row["accepts_time"]}),
]


def _serve(worker: Database, batches: list[int], *, at: Any) -> None:
    """Mark and judge batches, by two workers at once; then whatever waits for a new look."""
    for batch_id in batches:
        with worker.transaction() as connection:
            mark_rejudge(connection, batch_id=batch_id, correlation_id="c", now=at)
    _at_once([partial(_judge_batch, worker, b, at) for b in batches])
    while True:
        with worker.transaction() as connection:
            keys = next_marked(connection, now=at, limit=50)
        if not keys:
            return
        _at_once([partial(_judge_keys, worker, half, at) for half in (keys[::2], keys[1::2])])


def _at_once(works: list[Callable[[], None]]) -> None:
    """Do all of it, and raise what one of them raised."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def _judge_batch(worker: Database, batch_id: int, at: Any) -> None:
    with worker.transaction() as connection:
        judge(connection, clock=FixedClock(at), correlation_id="c", batch_id=batch_id)


def _judge_keys(worker: Database, keys: list[str], at: Any) -> None:
    if keys:
        with worker.transaction() as connection:
            judge(connection, clock=FixedClock(at), correlation_id="c", neighbor_keys=keys)


def _all_again(owner: Database, worker: Database, *, at: Any) -> Found:
    """Forget every verdict, and judge every hour at once."""
    with owner.transaction() as connection:
        keys = [
            f"entry:{row['entry_id']}"
            for row in connection.execute("SELECT entry_id FROM time_entry").fetchall()
        ]
    _judge_keys(worker, keys, at)
    return verdicts(worker)

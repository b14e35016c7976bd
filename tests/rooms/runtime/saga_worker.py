"""A worker process for tests: its sagas keep their truth in the table saga_step."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack

from tieline.runtime.clock import BusinessClock
from tieline.runtime.database import Database
from tieline.runtime.telemetry import configure_logging
from tieline.runtime.work import Done, Handler, Outcome, Steps
from tieline.runtime.worker import Worker

STEPS = 4
_POOL_MAX = 4


def saga(database: Database, *, hang_in_step: int | None, holds_pool: bool) -> Handler:
    def step(subject: str, number: int) -> int:
        if number == hang_in_step:
            with ExitStack() as held:
                for _ in range(_POOL_MAX if holds_pool else 0):
                    held.enter_context(database.transaction())
                # At once: several that print would mix their words with the ends of their lines.
                os.write(sys.stdout.fileno(), b"hanging\n")
                time.sleep(600)
        with database.transaction() as connection:
            connection.execute(
                "INSERT INTO saga_step (subject, number, pid) VALUES (%s, %s, %s)",
                (subject, number, os.getpid()),
            )
        return number

    def run(steps: Steps, subject: str) -> Outcome:
        with database.transaction() as connection:
            rows = connection.execute(
                "SELECT number FROM saga_step WHERE subject = %s", (subject,)
            ).fetchall()
        done = {row["number"] for row in rows}
        for number in range(STEPS):
            if number not in done:
                steps.run(f"step-{number}", lambda number=number: step(subject, number))  # type: ignore[misc]
        return Done()

    return run


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", default="1")
    parser.add_argument("--hang-in-step", type=int)
    parser.add_argument("--hold-pool", action="store_true")
    parser.add_argument("--own-slots", type=int, default=0)
    parser.add_argument("--keeps-steps", action="store_true")
    parser.add_argument("--lease-seconds", type=int, default=20)
    given = parser.parse_args()
    configure_logging(level="warning")
    dsn = os.environ["TIELINE_TEST_DSN"]
    database = Database(dsn, pool_max=_POOL_MAX).open()
    worker = Worker(
        worker_dsn=dsn,
        database=database,
        handlers={
            "saga": saga(database, hang_in_step=given.hang_in_step, holds_pool=given.hold_pool)
        },
        jobs=[],
        own_slots={"saga": given.own_slots} if given.own_slots else {},
        keeps_steps={"saga"} if given.keeps_steps else (),
        clock=BusinessClock(),
        version=given.version,
        lease_seconds=given.lease_seconds,
    )
    code = worker.run()
    database.close()
    return code


if __name__ == "__main__":
    sys.exit(main())

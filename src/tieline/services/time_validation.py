"""From an approved hour to an ERP line, once: land, judge, plan, post, and correct afterwards.

The flow is event driven with polling underneath. Each step keeps its truth in tables, so it may be
lost at any moment and started again:

    batch landed -> judge_batch -> planned effects -> post_lines -> ledger
                 \\-> held -> cases
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.casework import sync_time_cases
from tieline.kernel.clock import Clock
from tieline.kernel.failpoints import failpoint
from tieline.ledger import Booked, ScopeWeight, plan, weigh
from tieline.posting.lines import LinePoster, Scope
from tieline.posting.states import is_shut
from tieline.runtime.database import Database
from tieline.runtime.work import Again, Done, Outcome, Steps, schedule
from tieline.validation import judge, mark_rejudge, next_marked

JUDGE_BATCH = "judge_batch"
JUDGE_WAITING = "judge_waiting"
POST_LINES = "post_lines"
_BILLING = 1
_IDLE_SECONDS = 3
# The last of so many batches takes what was planned longest ago, whatever it is worth.
_BATCHES_MAX_OF_A_STRETCH = 10
_STRETCHES_MAX = 2
_REJUDGE_KEYS_MAX = 2000
_BATCHES_MAX = 200

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeValidation:
    """The durable handlers of the time plane."""

    database: Database
    line_poster: LinePoster
    clock: Clock

    def batch_landed(self, connection: Connection[Row], batch_id: int, correlation_id: str) -> None:
        """Mark the neighbors of a batch and schedule its judging, in the caller's transaction.

        A batch that brought no hours, such as one of deals, is judged already.
        """
        mark_rejudge(
            connection, batch_id=batch_id, correlation_id=correlation_id, now=self.clock.now()
        )
        is_judged = connection.execute(
            """
            UPDATE intake_batch b SET state = 'judged'
            WHERE batch_id = %(batch_id)s AND state = 'landed'
              AND NOT EXISTS (SELECT FROM time_entry_version v WHERE v.batch_id = b.batch_id)
              AND NOT EXISTS (SELECT FROM rejudge r WHERE r.batch_id = b.batch_id)
            """,
            {"batch_id": batch_id},
        ).rowcount
        if is_judged:
            return
        schedule(
            connection,
            kind=JUDGE_BATCH,
            subject=str(batch_id),
            work_class=_BILLING,
            correlation_id=correlation_id,
        )

    def judge_batch(self, steps: Steps, subject: str) -> Outcome:
        """Judge one batch and plan what its verdicts ask for."""
        steps.run("judge", lambda: self._judge(batch_id=int(subject)))
        return Done()

    def judge_waiting(self, steps: Steps, subject: str) -> Outcome:
        """Judge again whatever waits because something near it changed."""
        judged = steps.run("judge", self._judge_waiting)
        return Again(due_in_seconds=0) if judged else Done()

    def post_lines(self, steps: Steps, subject: str) -> Outcome:
        """Post and take back the lines of one target, entity and period until nothing is left."""
        scope = Scope.parse(subject)
        for number in range(_STRETCHES_MAX):
            progress = steps.run(f"stretch-{number}", partial(self._stretch, scope))
            failpoint("post_lines.between_rounds")
            if progress["wait_seconds"] is None:
                return Done()
            if not progress["moved"]:
                return Again(due_in_seconds=max(1, progress["wait_seconds"]))
        return Again(due_in_seconds=0)

    def schedule_waiting(self) -> None:
        """Start judging and posting for what is known to wait, as a safety net under events."""
        self._take_up_batches()
        with self.database.transaction() as connection:
            _wake_parked(connection, now=self.clock.now())
            _wake_future(connection, now=self.clock.now())
            waits = connection.execute("SELECT 1 FROM rejudge LIMIT 1").fetchone()
            if waits:
                schedule(
                    connection,
                    kind=JUDGE_WAITING,
                    subject="all",
                    work_class=_BILLING,
                    correlation_id="rejudge",
                )
            _schedule_scopes(connection, weigh(connection, now=self.clock.now()))
        # Apart: finding cases takes its time, and the work items above are locked until the commit.
        with self.database.transaction() as connection:
            sync_time_cases(connection, now=self.clock.now(), correlation_id="cases")

    def plan_left_out(self) -> None:
        """Plan what any hour's verdict asks for: what is judged is planned with it, and this finds what never was.

        It reads every hour there is, so it takes longer the more there are.
        """
        with self.database.transaction() as connection:
            booked = _plan(connection, entry_ids=None, now=self.clock.now())
            _schedule_scopes(connection, booked.scopes)

    def _take_up_batches(self) -> None:
        # A process may die between the commit of a batch and what follows it.
        with self.database.transaction() as connection:
            batches = connection.execute(
                """
                SELECT b.batch_id, b.correlation_id FROM intake_batch b
                WHERE b.state = 'landed' AND NOT EXISTS (
                    SELECT FROM work_item w WHERE w.kind = %s AND w.subject = b.batch_id::text
                      AND w.state IN ('waiting', 'running'))
                ORDER BY b.batch_id LIMIT %s
                """,
                (JUDGE_BATCH, _BATCHES_MAX),
            ).fetchall()
            for batch in batches:
                self.batch_landed(connection, batch["batch_id"], batch["correlation_id"])

    def _judge(self, *, batch_id: int) -> int:
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT correlation_id FROM intake_batch WHERE batch_id = %s", (batch_id,)
            ).fetchone()
            correlation_id = row["correlation_id"] if row else str(batch_id)
            judged = judge(
                connection, batch_id=batch_id, clock=self.clock, correlation_id=correlation_id
            )
            booked = _plan(connection, entry_ids=judged.entry_ids, now=self.clock.now())
            connection.execute(
                "UPDATE intake_batch SET state = 'judged' WHERE batch_id = %s", (batch_id,)
            )
            _schedule_scopes(connection, booked.scopes)
        failpoint("judge.after_commit")
        return len(judged.entry_ids)

    def _judge_waiting(self) -> int:
        with self.database.transaction() as connection:
            keys = next_marked(connection, now=self.clock.now(), limit=_REJUDGE_KEYS_MAX)
            if not keys:
                return 0
            judged = judge(
                connection, neighbor_keys=keys, clock=self.clock, correlation_id="rejudge"
            )
            booked = _plan(connection, entry_ids=judged.entry_ids, now=self.clock.now())
            _schedule_scopes(connection, booked.scopes)
        return len(keys)

    def _stretch(self, scope: Scope) -> dict[str, Any]:
        sent = self.line_poster.stretch(scope=scope, batches_max=_BATCHES_MAX_OF_A_STRETCH)
        if sent.voided:
            self._plan_after_voids()
        return {
            "wait_seconds": 0 if sent.voided else sent.wait_seconds,
            "moved": bool(sent.confirmed or sent.voided or sent.rejected),
        }

    def _plan_after_voids(self) -> None:
        # What was taken back may now be booked anew, in this scope or another.
        now = self.clock.now()
        with self.database.transaction() as connection:
            entry_ids = [
                row["entry_id"]
                for row in connection.execute(
                    """
                    SELECT DISTINCT entry_id FROM ledger_line
                    WHERE reverses_line_id IS NOT NULL AND booked_at >= %s
                    """,
                    (now - timedelta(minutes=10),),
                ).fetchall()
            ]
            booked = _plan(connection, entry_ids=entry_ids, now=now)
            _schedule_scopes(connection, booked.scopes)


def _plan(
    connection: Connection[Row], *, entry_ids: Sequence[UUID] | None, now: datetime
) -> Booked:
    """Plan what must move; nothing while targets are asked what they hold since a restore."""
    if is_shut(connection):
        return Booked(bookings=0, voids=0, withdrawn=0, scopes=())
    return plan(connection, entry_ids=entry_ids, now=now)


def _wake_parked(connection: Connection[Row], *, now: datetime) -> None:
    """Judge again what was parked until now: either it goes on, or it is held."""
    connection.execute(
        """
        INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
        SELECT 'entry:' || v.entry_id, 'time.parked_until', v.correlation_id, %(now)s
        FROM verdict v JOIN time_entry t ON t.verdict_id = v.verdict_id
        WHERE v.outcome = 'parked' AND v.parked_until <= %(now)s
          AND NOT EXISTS (SELECT FROM rejudge r WHERE r.neighbor_key = 'entry:' || v.entry_id)
        ORDER BY v.parked_until LIMIT %(limit)s
        """,
        {"now": now, "limit": _REJUDGE_KEYS_MAX},
    )


def _wake_future(connection: Connection[Row], *, now: datetime) -> None:
    """Judge again what was held as work of a day to come, once that day has come where it is told."""
    connection.execute(
        """
        INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)
        SELECT DISTINCT 'entry:' || m.entry_id, 'time.day_has_come', c.correlation_id, %(now)s::timestamptz
        FROM case_file c
        JOIN case_member m ON m.case_id = c.case_id AND m.left_at IS NULL
        JOIN time_entry t ON t.entry_id = m.entry_id
        JOIN verdict v ON v.verdict_id = t.verdict_id
        JOIN time_entry_version w ON w.entry_id = v.entry_id AND w.version = v.version
        LEFT JOIN legal_entity n ON n.entity_code = v.entity_code
        WHERE c.state = 'open' AND c.reason = 'time.work_date_in_future'
          -- Where the hour names another zone than its company, the day has come everywhere.
          AND v.work_date <= (%(now)s::timestamptz AT TIME ZONE CASE
                  WHEN coalesce(w.zone, n.zone) = n.zone THEN n.zone ELSE 'Etc/GMT+12' END)::date
              + tieline.policy_word(v.release_id, 'future_days_max', v.entity_code, '0')::integer
          AND NOT EXISTS (SELECT FROM rejudge r WHERE r.neighbor_key = 'entry:' || m.entry_id)
        LIMIT %(limit)s
        """,
        {"now": now, "limit": _REJUDGE_KEYS_MAX},
    )


def _schedule_scopes(connection: Connection[Row], weights: Sequence[ScopeWeight]) -> None:
    for weight in weights:
        scope = Scope(
            target_connection=weight.target_connection,
            entity_code=weight.entity_code,
            period_id=weight.period_id,
        )
        schedule(
            connection,
            kind=POST_LINES,
            subject=scope.subject,
            work_class=weight.work_class,
            correlation_id=scope.subject,
            deadline=weight.deadline_at,
            value_at_risk=weight.value_at_risk,
        )

"""One budget per connection for all workers: rate, pauses a vendor asked for, breaker, retries."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tieline.kernel.errors import TryAgain
from tieline.runtime.database import Database
from tieline.runtime.outcomes import count_outcome
from tieline.runtime.sql import load

_TAKE = load("tieline.runtime", "take_budget")
_FAILED = load("tieline.runtime", "note_budget_failure")
LIMIT_DEFAULT = 50
WINDOW_DEFAULT_SECONDS = 5
_FAILURES_MAX = 5
_OPEN_FIRST_SECONDS = 2
_OPEN_SECONDS_MAX = 120
_PROBE_SECONDS = 30
_WAIT_SECONDS_MAX = 300
_POLL_SECONDS = 0.2
_RETRY_COST_TENTHS = 10
_RETRY_TENTHS_MAX = 1000
# The share of a window, in percent, that a class leaves to the more urgent ones.
_RESERVED_PERCENT = (0, 5, 10, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """May a call go: at once (0), or when to ask again; a probe is the one call of an open breaker."""

    wait_seconds: int
    is_probe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Ask before every call; tell what came of it."""

    database: Database

    def configure(self, *, connection_key: str, limit: int, window_seconds: int) -> None:
        """Set how many calls a vendor allows in any window of so many seconds."""
        with self.database.transaction() as connection:
            connection.execute(
                """
                INSERT INTO connection_budget (connection_key, limit_max, window_seconds)
                VALUES (%s, %s, %s)
                ON CONFLICT (connection_key) DO UPDATE
                SET limit_max = excluded.limit_max, window_seconds = excluded.window_seconds,
                    granted = 0, grants = '{}'
                WHERE (connection_budget.limit_max, connection_budget.window_seconds)
                      <> (excluded.limit_max, excluded.window_seconds)
                """,
                (connection_key, limit, window_seconds),
            )

    def take(self, *, connection_key: str, work_class: int, waited_seconds: int = 0) -> Leave:
        """Take leave for one call, or hear how long to wait before asking again."""
        with self.database.transaction() as connection:
            connection.execute(
                """
                INSERT INTO connection_budget (connection_key, limit_max, window_seconds)
                VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
                """,
                (connection_key, LIMIT_DEFAULT, WINDOW_DEFAULT_SECONDS),
            )
            row = connection.execute(
                _TAKE,
                {
                    "connection_key": connection_key,
                    "reserved_percent": _RESERVED_PERCENT[work_class],
                    "waited_seconds": waited_seconds,
                    "probe_seconds": _PROBE_SECONDS,
                },
            ).fetchone()
        assert row is not None
        return Leave(wait_seconds=row["wait_seconds"], is_probe=row["is_probe"])

    def wait(self, *, connection_key: str, work_class: int) -> bool:
        """Wait until a call may go, holding no connection meanwhile; tell whether it is a probe.

        The answer to a probe is noted at once, so that the calls after it need not wait.

        :raises TryAgain: it would take too long; the schedule must come back later.
        """
        began = time.monotonic()
        while True:
            waited = int(time.monotonic() - began)
            leave = self.take(
                connection_key=connection_key, work_class=work_class, waited_seconds=waited
            )
            wait = leave.wait_seconds
            if wait == 0:
                return leave.is_probe
            if waited + wait > _WAIT_SECONDS_MAX:
                raise TryAgain(
                    f"{connection_key} may not be called for another {wait} s",
                    retry_after_seconds=wait,
                )
            # A slot may come free earlier than the whole second that was answered.
            time.sleep(min(wait, _POLL_SECONDS))

    def note_answer(self, *, connection_key: str) -> None:
        """Note that the target answered: the breaker closes, the retry budget grows."""
        with self.database.transaction() as connection:
            connection.execute(
                """
                UPDATE connection_budget SET breaker = 'closed', failures = 0, openings = 0,
                    open_until = '-infinity', retry_tenths = least(%s, retry_tenths + 1)
                WHERE connection_key = %s
                  AND (breaker <> 'closed' OR failures > 0 OR retry_tenths < %s)
                """,
                (_RETRY_TENTHS_MAX, connection_key, _RETRY_TENTHS_MAX),
            )
            count_outcome(
                connection, connection_key=connection_key, operation="call", outcome="answered"
            )

    def note_failure(self, *, connection_key: str) -> None:
        """Note a call without an answer; after several in a row the breaker opens."""
        with self.database.transaction() as connection:
            connection.execute(
                _FAILED,
                {
                    "connection_key": connection_key,
                    "failures_max": _FAILURES_MAX,
                    "first_seconds": _OPEN_FIRST_SECONDS,
                    "seconds_max": _OPEN_SECONDS_MAX,
                },
            )
            count_outcome(
                connection, connection_key=connection_key, operation="call", outcome="failed"
            )

    def note_retry_after(self, *, connection_key: str, seconds: int) -> None:
        """Let nobody call before the time that the target named."""
        with self.database.transaction() as connection:
            connection.execute(
                """
                UPDATE connection_budget SET breaker = 'closed', open_until = '-infinity',
                    paused_until = greatest(paused_until,
                                            clock_timestamp() + make_interval(secs => %s))
                WHERE connection_key = %s
                """,
                (seconds, connection_key),
            )
            count_outcome(
                connection, connection_key=connection_key, operation="call", outcome="deferred"
            )

    def take_retry(self, *, connection_key: str) -> bool:
        """Take one retry out of the budget that answers fill; False when retries would be a storm."""
        with self.database.transaction() as connection:
            return (
                connection.execute(
                    """
                    UPDATE connection_budget SET retry_tenths = retry_tenths - %(cost)s
                    WHERE connection_key = %(key)s AND retry_tenths >= %(cost)s
                    """,
                    {"cost": _RETRY_COST_TENTHS, "key": connection_key},
                ).rowcount
                == 1
            )

"""One budget per connection for all workers: rate, calls at once, pauses, breaker, repetitions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from psycopg import Connection

from tieline.kernel.errors import HeldBack
from tieline.kernel.limits import Limit, LimitKind
from tieline.runtime.database import Database, Row
from tieline.runtime.outcomes import count_outcome
from tieline.runtime.sql import load
from tieline.runtime.work import REFERENCE

_TAKE = load("tieline.runtime", "take_budget")
_CONFIGURE = load("tieline.runtime", "configure_budget")
_FAILED = load("tieline.runtime", "note_budget_failure")
_ANSWERED = load("tieline.runtime", "note_budget_answer")
_LIST = load("tieline.runtime", "list_limits")
DEFAULT = Limit(
    name="usual",
    kind=LimitKind.WINDOW,
    calls=50,
    window_seconds=5,
    source="ours, where nobody declared a limit",
)
_FAILURES_MAX = 5
_OPEN_FIRST_SECONDS = 2
_OPEN_SECONDS_MAX = 120
_PROBE_SECONDS = 30
# Longer than this nobody holds a worker: what waits is a row.
_WAIT_MS_MAX = 60_000
_REST_MS_MAX = 30_000
_POLL_MS = 200
# Ten calls pay for one repetition; who has nothing to pay with repeats one call in so many seconds.
_REPEAT_TENTHS = 10
_REPEAT_SECONDS = 10
# The share of each limit, in percent, that a class leaves to the more urgent ones.
_RESERVED_PERCENT = (0, 5, 10, 20)
_LEASE_SECONDS = 60
_UNTOLD = 500
_TOO_MANY = 429


REST_SECONDS = """
    SELECT greatest(0, ceil(extract(epoch FROM greatest(paused_until, open_until)
                                               - coalesce(%(lease_at)s::timestamptz, clock_timestamp()))))::integer AS seconds
    FROM connection_budget WHERE connection_key = %(target)s AND isfinite(greatest(paused_until, open_until))
"""
"""How long nobody may call a target at all; no row where a call may be asked for."""


class LeaseTime(Protocol):
    """The time by which calls are granted; the real one is the database's own."""

    def instant(self) -> datetime | None:
        """Return the present instant, None for the database's."""
        ...

    def rest(self, milliseconds: int) -> None:
        """Let time pass."""
        ...


@dataclass(frozen=True, slots=True)
class DatabaseTime:
    """Time as the database knows it."""

    def instant(self) -> datetime | None:
        return None

    def rest(self, milliseconds: int) -> None:
        time.sleep(milliseconds / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """May a call go: at once (0), or when to ask again, and what it waits for.

    A probe is the one call of an open breaker. ``must_tell`` when its answer changes something.
    """

    wait_ms: int
    because: str
    is_probe: bool
    must_tell: bool
    slot_no: int | None
    slot_until: datetime | None


@dataclass(frozen=True, slots=True)
class _Terms:
    work_class: int
    is_repeat: bool


_USUAL_TERMS = _Terms(REFERENCE, False)
_made: ContextVar[list[int] | None] = ContextVar("calls_made", default=None)
_terms: ContextVar[_Terms | None] = ContextVar("call_terms", default=None)


@contextmanager
def calls_of(*, work_class: int, is_repeat: bool = False) -> Iterator[None]:
    """Let the calls made inside count under a class, the first as a repetition where one failed."""
    token = _terms.set(_Terms(work_class, is_repeat))
    try:
        yield
    finally:
        _terms.reset(token)


@contextmanager
def repeated_calls(*, is_repeat: bool) -> Iterator[None]:
    """Let the first call made inside count as a repetition, under the class that holds already."""
    work_class = (_terms.get() or _USUAL_TERMS).work_class
    with calls_of(work_class=work_class, is_repeat=is_repeat):
        yield


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """Count the calls that go inside, in the one number of the list."""
    made = [0]
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Ask before every call; tell what came of it."""

    database: Database
    holder: str = ""
    time: LeaseTime = field(default_factory=DatabaseTime)

    def configure(self, *, connection_key: str, limits: Sequence[Limit]) -> None:
        """Set what a vendor allows; what was counted so far stays."""
        at_once = max(
            (each.calls for each in limits if each.kind is LimitKind.CONCURRENT), default=0
        )
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO connection_budget (connection_key) VALUES (%s) ON CONFLICT DO NOTHING",
                (connection_key,),
            )
            connection.execute(
                "DELETE FROM connection_limit WHERE connection_key = %s AND name <> ALL (%s)",
                (connection_key, [each.name for each in limits]),
            )
            connection.execute(
                _CONFIGURE,
                {
                    "connection_key": connection_key,
                    "names": [each.name for each in limits],
                    "kinds": [each.kind.value for each in limits],
                    "calls": [each.calls for each in limits],
                    "windows": [each.window_seconds for each in limits],
                    "every": [each.every for each in limits],
                    "resets": [each.resets_seconds for each in limits],
                    "zones": [each.zone for each in limits],
                    "sources": [each.source for each in limits],
                },
            )
            connection.execute(
                "DELETE FROM connection_slot WHERE connection_key = %s AND slot_no > %s",
                (connection_key, at_once),
            )
            connection.execute(
                "INSERT INTO connection_slot (connection_key, slot_no)"
                " SELECT %s, generate_series(1, %s) ON CONFLICT DO NOTHING",
                (connection_key, at_once),
            )

    def take(self, *, connection_key: str, work_class: int, is_repeat: bool = False) -> Leave:
        """Take leave for one call, or hear how long to wait before asking again."""
        values = {
            "connection_key": connection_key,
            "work_class": work_class,
            "is_repeat": is_repeat,
            "reserved": list(_RESERVED_PERCENT),
            "holder": self.holder,
            "lease_seconds": _LEASE_SECONDS,
            "probe_seconds": _PROBE_SECONDS,
            "repeat_tenths": _REPEAT_TENTHS,
            "repeat_seconds": _REPEAT_SECONDS,
            "at": self.time.instant(),
        }
        with self.database.statement() as connection:
            row = connection.execute(_TAKE, values).fetchone()
        assert row is not None
        if not row.pop("is_known"):
            self.configure(connection_key=connection_key, limits=(DEFAULT,))
            return self.take(
                connection_key=connection_key, work_class=work_class, is_repeat=is_repeat
            )
        return Leave(**row)

    def wait(self, *, connection_key: str, limits: Sequence[Limit] = ()) -> Call:
        """Wait until a call may go, holding no connection meanwhile.

        :raises HeldBack: it would take too long; the schedule must come back later.
        """
        terms = _terms.get() or _USUAL_TERMS
        waited_ms = 0
        while True:
            leave = self.take(
                connection_key=connection_key,
                work_class=terms.work_class,
                is_repeat=terms.is_repeat,
            )
            if leave.wait_ms == 0:
                made = _made.get()
                if made is not None:
                    made[0] += 1
                # What follows in the same breath was not tried before.
                _terms.set(_Terms(terms.work_class, False))
                return Call(budgets=self, connection_key=connection_key, leave=leave, limits=limits)
            rest_ms = rest_before_asking(connection_key, leave, waited_ms=waited_ms)
            self.time.rest(rest_ms)
            waited_ms += rest_ms

    def rest_seconds(self, *, connection_key: str, within: Connection[Row] | None = None) -> int:
        """Return how long nobody may call at all, 0 when a call may be asked for; asked within a transaction."""
        if within is None:
            with self.database.transaction() as connection:
                return self.rest_seconds(connection_key=connection_key, within=connection)
        row = within.execute(
            REST_SECONDS, {"target": connection_key, "lease_at": self.instant()}
        ).fetchone()
        return int(row["seconds"]) if row else 0

    def instant(self) -> datetime | None:
        """Return the present instant by which calls are granted, None for the database's."""
        return self.time.instant()

    def note_answer(self, *, connection_key: str) -> None:
        """Note that the target is up: the breaker closes."""
        self._note_up(connection_key, 0)

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
                    "at": self.time.instant(),
                },
            )
            count_outcome(
                connection, connection_key=connection_key, operation="call", outcome="failed"
            )

    def note_retry_after(self, *, connection_key: str, seconds: int) -> None:
        """Let nobody call before the time that the target named, and then one alone."""
        self._note_up(connection_key, seconds)

    def _note_up(self, connection_key: str, seconds: int) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                _ANSWERED,
                {"connection_key": connection_key, "seconds": seconds, "at": self.time.instant()},
            )
            if seconds > 0:
                count_outcome(
                    connection, connection_key=connection_key, operation="call", outcome="deferred"
                )


def rest_before_asking(connection_key: str, leave: Leave, *, waited_ms: int) -> int:
    """Return the milliseconds after which leave is asked for again.

    :raises HeldBack: it would take too long; the schedule must come back later.
    """
    if leave.wait_ms > _REST_MS_MAX or waited_ms + leave.wait_ms > _WAIT_MS_MAX:
        seconds = -(-leave.wait_ms // 1000)
        raise HeldBack(
            f"{connection_key} may not be called for another {seconds} s ({leave.because})",
            retry_after_seconds=seconds,
        )
    # Room may come earlier than it was answered: somebody else gives back what he held.
    return min(leave.wait_ms, _POLL_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitState:
    """One limit as it stands: what is allowed now, what is used of it, and by when it is new.

    ``allowed`` is what the vendor itself said where that is less than what is declared.
    """

    connection_key: str
    name: str
    kind: LimitKind
    allowed: int
    used: int
    window_seconds: int
    every: str
    resets_in_seconds: int
    source: str


def list_limits(connection: Connection[Row], *, at: datetime | None = None) -> list[LimitState]:
    """Return every limit of every connection, counted at an instant, None for the database's."""
    return [
        LimitState(**{**row, "kind": LimitKind(row["kind"])})
        for row in connection.execute(_LIST, {"at": at}).fetchall()
    ]


def left_to_class(allowed: int, work_class: int) -> int:
    """Return what a class may use of a limit while no other asks: the rest is kept for more urgent ones."""
    return allowed - allowed * _RESERVED_PERCENT[work_class] // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that may go: whoever makes it tells what came of it."""

    budgets: Budgets
    connection_key: str
    leave: Leave
    limits: Sequence[Limit]

    def answered(
        self, *, status: int, headers: Mapping[str, str], wait_seconds: int | None
    ) -> None:
        """Tell of a complete answer; ``wait_seconds`` is what the vendor asks us to wait."""
        self._give_back()
        self._note_told(headers)
        if wait_seconds is not None and status in (_TOO_MANY, 503):
            self.budgets.note_retry_after(connection_key=self.connection_key, seconds=wait_seconds)
        elif status >= _UNTOLD:
            self.budgets.note_failure(connection_key=self.connection_key)
        elif self.leave.must_tell:
            self.budgets.note_answer(connection_key=self.connection_key)

    def failed(self) -> None:
        """Tell that no answer came, or not all of one."""
        self._give_back()
        self.budgets.note_failure(connection_key=self.connection_key)

    def not_made(self) -> None:
        """Tell that nothing was sent after all."""
        self._give_back()

    def _give_back(self) -> None:
        if self.leave.slot_no is None:
            return
        with self.budgets.database.transaction() as connection:
            # A slot that was given to somebody else meanwhile has another end.
            connection.execute(
                "WITH quick AS (SELECT set_config('synchronous_commit', 'off', true) AS said)"
                " UPDATE connection_slot SET until = '-infinity' FROM quick"
                " WHERE connection_key = %s AND slot_no = %s AND until = %s AND said = 'off'",
                (self.connection_key, self.leave.slot_no, self.leave.slot_until),
            )

    def _note_told(self, headers: Mapping[str, str]) -> None:
        told = [
            (
                each.name,
                _number(headers, each.limit_header),
                _number(headers, each.remaining_header),
            )
            for each in self.limits
        ]
        told = [each for each in told if each[1:] != (None, None)]
        if not told:
            return
        with self.budgets.database.transaction() as connection:
            for name, limit, remaining in told:
                connection.execute(
                    "SELECT tieline.note_told(%s, %s, %s, %s, %s)",
                    (self.connection_key, name, limit, remaining, self.budgets.time.instant()),
                )


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip() if name else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else None

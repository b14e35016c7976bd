"""Hours that pass in minutes: the product's queue, budgets and HTTP client under workers made up here.

The database is real and so is every statement; only the instants that they are given are of a clock that
jumps from event to event. What the vendor was asked, and when, is told by the vendor.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import StrEnum
from typing import Any

import httpx

from tieline.kernel.errors import OutcomeUnknown, TryAgain
from tieline.kernel.limits import Limit
from tieline.runtime.budget import Budgets, Call, Leave, rest_before_asking
from tieline.runtime.database import Database
from tieline.runtime.durable import backoff_seconds
from tieline.runtime.work import Again, Done, Outcome, Turns, WorkItem, claim, finish
from tieline.sdk import Connection
from tieline.sdk.http import HttpClient

BEGAN = datetime(2026, 11, 3, 8, 0, tzinfo=UTC)
TARGET = "books"
KIND = "scene"
_LATENCY_MS = 200
_IDLE_MS = 1000
_ADDRESS = "http://books.example"


@dataclass(slots=True)
class SteppedTime:
    """Lease time that stands where the last event put it."""

    at: datetime = BEGAN

    def instant(self) -> datetime:
        return self.at

    def rest(self, milliseconds: int) -> None:
        self.at += timedelta(milliseconds=milliseconds)


class Mood(StrEnum):
    """Name how the vendor is."""

    WELL = "well"
    BUSY = "busy"
    AWAY = "away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call as the vendor saw it: when it was let go, when it came, and the wait it was told."""

    let_go_at: datetime
    at: datetime
    mood: Mood
    work_class: int
    lines: int
    wait_seconds: int = 0


@dataclass(slots=True, kw_only=True)
class Vendor:
    """The other side: it takes lines, asks for a wait in every form there is, or is away."""

    time: SteppedTime
    mood_at: Callable[[datetime], Mood]
    wait_at: Callable[[datetime], int] = lambda _: 0
    asked: list[Asked] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one call."""
        told = json.loads(request.content)
        at, mood = self.time.at, self.mood_at(self.time.at)
        wait, headers = self._wait(at) if mood is Mood.BUSY else (0, {})
        self.asked.append(
            Asked(
                let_go_at=datetime.fromisoformat(told["let_go_at"]),
                at=at,
                mood=mood,
                work_class=told["work_class"],
                lines=told["lines"],
                wait_seconds=wait,
            )
        )
        if mood is Mood.AWAY:
            raise httpx.ConnectError("nobody is there")
        status = 429 if mood is Mood.BUSY else 200
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(b"{}"))

    def _wait(self, at: datetime) -> tuple[int, dict[str, str]]:
        """Return the wait that must be honored, and one of the forms in which vendors say it."""
        seconds = max(2, self.wait_at(at))
        match len(self.asked) % 4:
            case 0:
                return seconds, {"Retry-After": str(seconds)}
            case 1:
                until = format_datetime(at + timedelta(seconds=seconds), usegmt=True)
                return seconds, {
                    "Date": format_datetime(at, usegmt=True),
                    "Retry-After": until,
                }
            case 2:
                return seconds, {"Retry-After": f"{seconds - 1}.5"}
            case _:
                # Nonsense: there is nothing to wait for but a courtesy.
                return 1, {"Retry-After": "-30"}


class Hours:
    """Workers of a fleet on stepped time; ``lines`` is what each piece of work still has to send."""

    def __init__(
        self,
        *,
        database: Database,
        vendor: Vendor,
        limit: Limit,
        slots: int,
        lines_per_call: int = 1,
    ) -> None:
        self.time = vendor.time
        self.vendor = vendor
        self.lines: Counter[str] = Counter()
        self._database = database
        self._budgets = Budgets(database=database, time=self.time, holder="hours")
        self._budgets.configure(connection_key=TARGET, limits=[limit])
        self._slots = slots
        self._lines_per_call = lines_per_call
        self._busy = 0
        self._low_busy = 0
        self._turns = Turns()
        self._tried: set[str] = set()
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._number = 0
        self.later(0, self._look)

    def later(self, milliseconds: int, event: Callable[[], None]) -> None:
        """Let something happen after so many milliseconds."""
        self._number += 1
        at = self.time.at + timedelta(milliseconds=milliseconds)
        heapq.heappush(self._events, (at, self._number, event))

    def run(self, *, until: Callable[[], bool], at_most: timedelta) -> None:
        """Go from event to event until it is enough."""
        ends = self.time.at + at_most
        while self._events and self.time.at < ends and not until():
            at, _, event = heapq.heappop(self._events)
            self.time.at = max(self.time.at, at)
            event()

    # -- a worker ----------------------------------------------------------------------------------

    def _look(self) -> None:
        self._dispatch()
        self.later(_IDLE_MS, self._look)

    def _dispatch(self) -> None:
        free = self._slots - self._busy
        if free <= 0:
            return
        with self._database.transaction() as connection:
            items = claim(
                connection,
                executor_id="hours",
                kinds=[KIND],
                slots=free,
                low_slots=self._slots * 2 // 3 - self._low_busy,
                kind_slots=self._slots,
                turns=self._turns,
                now=self.time.at,
                at=self.time.at,
            )
        for item in items:
            self._busy += 1
            self._low_busy += item.work_class >= 2
            self._ask(item, 0)

    def _ask(self, item: WorkItem, waited_ms: int) -> None:
        leave = self._budgets.take(
            connection_key=TARGET,
            work_class=item.work_class,
            is_repeat=item.subject in self._tried,
        )
        if leave.wait_ms == 0:
            let_go_at = self.time.at
            self.later(_LATENCY_MS, lambda: self._call(item, leave, let_go_at))
            return
        try:
            rest_ms = rest_before_asking(TARGET, leave, waited_ms=waited_ms)
        except TryAgain as held:
            self._end(item, Again(due_in_seconds=held.retry_after_seconds or 1), hold=True)
        else:
            self.later(rest_ms, lambda: self._ask(item, waited_ms + rest_ms))

    def _call(self, item: WorkItem, leave: Leave, let_go_at: datetime) -> None:
        lines = min(self._lines_per_call, self.lines.get(item.subject, 1))
        self._tried.discard(item.subject)
        try:
            self._client(leave).write(
                method="POST",
                path="/lines",
                content={
                    "let_go_at": let_go_at.isoformat(),
                    "work_class": item.work_class,
                    "lines": lines,
                },
            )
        except (TryAgain, OutcomeUnknown) as error:
            self._tried.add(item.subject)
            told = getattr(error, "retry_after_seconds", None)
            wait = told or backoff_seconds(errors=item.errors)
            self._end(item, Again(due_in_seconds=wait), hold=True)
            return
        if item.subject in self.lines:
            self.lines[item.subject] -= lines
        if self.lines.get(item.subject, 0) > 0:
            self._ask(item, 0)
        else:
            self._end(item, Done())

    def _client(self, leave: Leave) -> HttpClient:
        call = Call(budgets=self._budgets, connection_key=TARGET, leave=leave, limits=())
        return HttpClient(
            connection=Connection(
                connection_key=TARGET,
                base_url=_ADDRESS,
                config={},
                secrets={},
                allowed_hosts=frozenset({"books.example:80"}),
                before_call=lambda: call,
            ),
            headers={},
            transport=httpx.MockTransport(self.vendor.answer),
        )

    def _end(self, item: WorkItem, outcome: Outcome, *, hold: bool = False) -> None:
        with self._database.transaction() as connection:
            finish(connection, item=item, outcome=outcome, hold=hold, at=self.time.at)
        self._busy -= 1
        self._low_busy -= item.work_class >= 2
        self.later(0, self._dispatch)

    def read(self, statement: str) -> Any:
        """Return the one number of a question to the database."""
        with self._database.transaction() as connection:
            row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return next(iter(row.values()))

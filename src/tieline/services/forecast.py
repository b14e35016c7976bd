"""When will what waits be through: from what the vendor allows, what it costs, and the pace of late.

Pattern: on request. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from tieline.canonical import TimeLineCommand
from tieline.kernel.limits import LimitKind
from tieline.posting.lines import lines_per_call
from tieline.posting.pace import Pace, read_paces
from tieline.runtime.budget import DEFAULT, LimitState, list_limits
from tieline.sdk.directory import Systems

# A batch is written, read back, and now and then asked about.
_CALLS_PER_BATCH = 3
# Fewer items say little about what one of them costs.
_MEASURED_ITEMS_MIN = 50
# What of a rate is counted on: more than a tenth belongs to each of the three other classes while they ask.
_SHARE_PERCENT = 60
_SECONDS_OF: Mapping[str, int] = {"hour": 3600, "day": 86_400}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When so many items will be through at a connection.

    ``through_at`` is None where it cannot be said: nothing goes there, and ``because`` tells why.
    """

    connection_key: str
    items: int
    calls: int
    through_at: datetime | None
    because: str

    def is_before(self, cut_off_at: datetime) -> bool:
        """Say whether all of it will be through by a cut-off."""
        return self.items == 0 or (self.through_at is not None and self.through_at <= cut_off_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What forecasts are made from, read once for all connections."""

    targets: Mapping[str, Row]
    limits: Mapping[str, Sequence[LimitState]]
    paces: Mapping[str, Pace]
    lines_per_call: Mapping[str, int]
    backlog: Sequence[Row]
    target_of: Mapping[str, str]

    def waiting(self, connection_key: str, *, until: datetime | None = None) -> int:
        """Count what waits at a connection, all of it or what is due by an instant."""
        return sum(
            row["lines"]
            for row in self.backlog
            if row["target_connection"] == connection_key
            and (until is None or (row["deadline_at"] is not None and row["deadline_at"] <= until))
        )

    def is_in_time(self, connection_key: str, *, now: datetime) -> bool:
        """Say whether everything that waits at a connection is through before its own cut-off."""
        deadlines = {
            row["deadline_at"]
            for row in self.backlog
            if row["target_connection"] == connection_key and row["deadline_at"] is not None
        }
        return all(
            self.forecast(
                connection_key, items=self.waiting(connection_key, until=at), now=now
            ).is_before(at)
            for at in deadlines
            if at > now
        )

    def of_entity(self, entity_code: str, *, until: datetime, now: datetime) -> Forecast | None:
        """Say when everything is through that a legal entity's target gets by a cut-off.

        None where no target keeps its books.
        """
        target = self.target_of.get(entity_code)
        if target is None or target not in self.targets:
            return None
        return self.forecast(target, items=self.waiting(target, until=until), now=now)

    def forecast(self, connection_key: str, *, items: int, now: datetime) -> Forecast:
        """Say when so many items will be through."""
        target = self.targets[connection_key]
        calls = self._calls(connection_key, items)
        shut = (
            "it is paused"
            if target["paused"]
            else ""
            if target["mode"] == "act"
            else "it only observes"
        )
        if items and shut:
            return Forecast(
                connection_key=connection_key,
                items=items,
                calls=calls,
                through_at=None,
                because=shut,
            )
        by_limits = seconds_for(calls, self.limits.get(connection_key, ()))
        pace = self.paces.get(connection_key)
        by_pace = -(-items * 60 // pace.best_minute) if pace and pace.best_minute else 0
        seconds = target["rest_seconds"] * (items > 0) + max(by_limits, by_pace)
        return Forecast(
            connection_key=connection_key,
            items=items,
            calls=calls,
            through_at=now + timedelta(seconds=seconds),
            because="at the pace of the last hour" if by_pace > by_limits else "by its limits",
        )

    def _calls(self, connection_key: str, items: int) -> int:
        pace = self.paces.get(connection_key)
        if pace is not None and pace.calls and pace.items >= _MEASURED_ITEMS_MIN:
            return -(-items * pace.calls // pace.items)
        return -(-items // self.lines_per_call.get(connection_key, 1)) * _CALLS_PER_BATCH


def read_outlook(connection: Connection[Row], *, systems: Systems) -> Outlook:
    """Read what forecasts are made from."""
    rows = connection.execute(
        """
        SELECT c.connection_key, c.system, c.kind, c.mode, c.paused, c.config,
               CASE WHEN isfinite(greatest(b.paused_until, b.open_until))
                    THEN greatest(0, ceil(extract(epoch FROM greatest(b.paused_until, b.open_until)
                                                  - clock_timestamp())))::integer ELSE 0 END AS rest_seconds
        FROM connection c LEFT JOIN connection_budget b USING (connection_key)
        """
    ).fetchall()
    limits: dict[str, list[LimitState]] = {}
    for limit in list_limits(connection):
        limits.setdefault(limit.connection_key, []).append(limit)
    return Outlook(
        targets={row["connection_key"]: row for row in rows},
        limits=limits,
        paces=read_paces(connection),
        lines_per_call={
            row["connection_key"]: _lines_per_call(row, systems)
            for row in rows
            if row["kind"] == "erp"
        },
        backlog=connection.execute("SELECT * FROM page_backlog()").fetchall(),
        target_of={
            row["entity_code"]: row["target_connection"]
            for row in connection.execute("SELECT * FROM page_targets()").fetchall()
        },
    )


def seconds_for(calls: int, limits: Sequence[LimitState]) -> int:
    """Return the whole seconds in which limits let so many calls go, with what others keep of them."""
    if not limits:
        return -(-calls * DEFAULT.window_seconds * 100 // (DEFAULT.calls * _SHARE_PERCENT))
    return max(_seconds_for(calls, limit) for limit in limits)


def _seconds_for(calls: int, limit: LimitState) -> int:
    match limit.kind:
        case LimitKind.WINDOW | LimitKind.BUCKET:
            return -(-calls * limit.window_seconds * 100 // (limit.allowed * _SHARE_PERCENT))
        case LimitKind.QUOTA:
            left = calls - max(0, limit.allowed - limit.used)
            if left <= 0:
                return 0
            whole = (left - 1) // limit.allowed
            return limit.resets_in_seconds + whole * _SECONDS_OF[limit.every]
        case LimitKind.CONCURRENT:
            # How long a call takes shows in the pace, not in how many may be under way.
            return 0


def _lines_per_call(row: Row, systems: Systems) -> int:
    try:
        write = systems.manifest(system=row["system"]).write_of(TimeLineCommand.noun)
    except LookupError:
        return 1
    return lines_per_call(write, config=row["config"])

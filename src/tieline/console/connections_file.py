"""The page Connections as sheets: each connection and its limits, what was checked and refused, the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieline.console.words import LIMITS, reason, spoken
from tieline.console.workbook import Column, Kind, Sheet
from tieline.reconciliation import CheckResult
from tieline.runtime.budget import LimitState
from tieline.services.forecast import Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One connection as a person asks about it."""

    connection_key: str
    system: str
    mode: str
    is_paused: bool
    is_good: bool
    says: str
    lag_seconds: int | None
    read_at: datetime | None
    limits: tuple[LimitState, ...]
    forecast: Forecast | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedChange:
    """A change by a system that does not own the field, in the words of a page."""

    name: str
    field: str
    owner: str
    owner_link: str | None
    writer: str
    writer_link: str | None
    since: datetime
    ended_at: datetime | None


def connection_sheets(
    *,
    connections: Sequence[Health],
    checks: Sequence[CheckResult],
    drifts: Sequence[RefusedChange],
    workers: Sequence[Mapping[str, Any]],
) -> tuple[Sheet, ...]:
    """Return a sheet per table of the page, and the connections with their limits as tables."""
    return (
        _connections(connections),
        _limits(connections),
        _checks(checks),
        _refused(drifts),
        _workers(workers),
    )


def _connections(connections: Sequence[Health]) -> Sheet:
    return Sheet(
        name="Connections",
        columns=(
            Column(title="Connection", width=24),
            Column(title="System"),
            Column(title="Says", width=40),
            Column(title="Mode"),
            Column(title="Last read (UTC)", kind=Kind.INSTANT),
            Column(title="Lines that wait", kind=Kind.COUNT),
            Column(title="Through at (UTC)", kind=Kind.INSTANT),
            Column(title="Problems", width=60),
        ),
        rows=[
            (
                each.connection_key,
                each.system,
                each.says,
                each.mode,
                each.read_at,
                each.forecast.items if each.forecast else 0,
                each.forecast.through_at if each.forecast else None,
                "; ".join(each.problems),
            )
            for each in connections
        ],
    )


def _limits(connections: Sequence[Health]) -> Sheet:
    return Sheet(
        name="Limits",
        columns=(
            Column(title="Connection", width=24),
            Column(title="Limit", width=24),
            Column(title="Name", width=24),
            Column(title="Used", kind=Kind.COUNT),
            Column(title="Allowed", kind=Kind.COUNT),
            Column(title="In seconds", kind=Kind.COUNT),
            Column(title="Who says so", width=44),
        ),
        rows=[
            (
                each.connection_key,
                spoken(limit.kind, LIMITS),
                limit.name,
                limit.used,
                limit.allowed,
                limit.window_seconds,
                limit.source,
            )
            for each in connections
            for limit in each.limits
        ],
    )


def _checks(checks: Sequence[CheckResult]) -> Sheet:
    return Sheet(
        name="Checks that always run",
        columns=(
            Column(title="Check", width=44),
            Column(title="Looks at", width=24),
            Column(title="Says"),
            Column(title="Why", width=60),
            Column(title="Made (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                reason(each.check_name),
                each.subject or "our own books",
                each.state.replace("_", " "),
                each.why,
                each.made_at,
            )
            for each in checks
        ],
    )


def _refused(drifts: Sequence[RefusedChange]) -> Sheet:
    return Sheet(
        name="Changes that were refused",
        columns=(
            Column(title="Of", width=32),
            Column(title="Field", width=24),
            Column(title="Who tried"),
            Column(title="Whose it is"),
            Column(title="Since (UTC)", kind=Kind.INSTANT),
            Column(title="Solved (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (each.name, each.field, each.writer, each.owner, each.since, each.ended_at)
            for each in drifts
        ],
    )


def _workers(workers: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        name="Workers",
        columns=(
            Column(title="Worker", width=40),
            Column(title="Host", width=24),
            Column(title="Version"),
            Column(title="Started (UTC)", kind=Kind.INSTANT),
            Column(title="Silent for seconds", kind=Kind.COUNT),
            Column(title="State"),
        ),
        rows=[
            (
                row["executor_id"],
                row["host"],
                row["version"],
                row["started_at"],
                row["silent_seconds"],
                "Runs" if row["is_alive"] else "Silent",
            )
            for row in workers
        ],
    )

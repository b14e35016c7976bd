"""When will the last won deal be a project: from what its steps cost and what the vendors allow.

Pattern: on request. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.kernel.limits import LimitKind
from tieline.runtime.budget import DEFAULT, LimitState, left_to_class, list_limits
from tieline.runtime.database import Row
from tieline.runtime.health import look_at_workers
from tieline.runtime.work import PROVISIONING

# A plan waits for replies most of its time: so many may be under way in one worker, beside its other work.
RUNS_AT_ONCE = 10
# A step writes and reads back; what it really takes is measured from the first one on.
_CALLS_OF_A_STEP = 2
_MILLISECONDS_OF_A_STEP = 1000
# Of so many steps what is kept counts half from then on.
_STEPS_MAX = 400
_SECONDS_OF: Mapping[str, int] = {"hour": 3600, "day": 86_400}
_ON_THEIR_WAY = ("ready", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverForecast:
    """When everything that is on its way will be active.

    ``slowest`` is the connection whose limit decides, empty where our own pace does. ``through_at`` is None where
    something is shut: ``because`` says what.
    """

    deals: int
    steps: int
    calls: int
    through_at: datetime | None
    slowest: str
    because: str


def forecast_handover(
    connection: Connection[Row], *, states: Mapping[str, int], now: datetime
) -> HandoverForecast:
    """Say when the last deal will be active of those that nothing stands in the way of.

    ``states`` counts the plans that whoever asks may see. Those of other legal entities share the vendors' limits, so
    the calls and the instant are of all; who waits for none of them is told nothing of them.
    """
    deals = sum(states.get(state, 0) for state in _ON_THEIR_WAY)
    if not deals:
        return HandoverForecast(
            deals=0, steps=0, calls=0, through_at=now, slowest="", because="nothing is on its way"
        )
    rows = connection.execute(_OPEN, {"states": list(_ON_THEIR_WAY)}).fetchall()
    limits: dict[str, list[LimitState]] = {}
    for limit in list_limits(connection):
        limits.setdefault(limit.connection_key, []).append(limit)
    calls: dict[str, int] = {}
    for row in rows:
        calls[row["target"]] = calls.get(row["target"], 0) + _calls_of(row)
    shut = sorted({row["target"] for row in rows if row["is_shut"]})
    by_limit = {key: _seconds_for(wanted, limits.get(key, ())) for key, wanted in calls.items()}
    at_work = sum(_milliseconds_of(row) for row in rows) // 1000
    by_work = -(-at_work // (RUNS_AT_ONCE * max(1, look_at_workers(connection).alive)))
    slowest = max(by_limit, key=lambda key: by_limit[key], default="")
    seconds = max(by_work, by_limit.get(slowest, 0))
    is_limited = bool(slowest) and by_limit[slowest] >= by_work
    if shut:
        because = f"{', '.join(shut)} takes no writes"
    else:
        because = f"by the limits of {slowest}" if is_limited else "at the pace of the last steps"
    return HandoverForecast(
        deals=deals,
        steps=sum(row["steps"] for row in rows),
        calls=sum(calls.values()),
        through_at=None if shut else now + timedelta(seconds=seconds),
        slowest=slowest if is_limited else "",
        because=because,
    )


def note_steps(connection: Connection[Row], *, took: Sequence[Mapping[str, Any]]) -> None:
    """Keep what steps took, in the caller's transaction.

    All plans that are on their way tell the same few rows: each tells them once, at its end, and no commit is waited
    for meanwhile. What is lost of it in a crash is a measurement.
    """
    connection.execute("SET LOCAL synchronous_commit = off")
    connection.execute(
        """
        INSERT INTO handover_pace AS p (connection_key, noun, steps, calls, milliseconds)
        SELECT connection_key, noun, count(*), sum(calls), sum(milliseconds)
        FROM jsonb_to_recordset(%(took)s)
             AS t (connection_key text, noun text, calls bigint, milliseconds bigint)
        GROUP BY connection_key, noun ORDER BY connection_key, noun
        ON CONFLICT (connection_key, noun) DO UPDATE SET
            steps = p.steps / (1 + (p.steps >= %(most)s)::integer) + excluded.steps,
            calls = p.calls / (1 + (p.steps >= %(most)s)::integer) + excluded.calls,
            milliseconds = p.milliseconds / (1 + (p.steps >= %(most)s)::integer) + excluded.milliseconds
        """,
        {"took": Jsonb([dict(each) for each in took]), "most": _STEPS_MAX},
    )


# The steps that are not done yet of what is on its way; what follows an activation is none of it.
_OPEN = """
    SELECT s.target, s.noun, count(*)::integer AS steps, p.steps AS measured, p.calls, p.milliseconds,
           c.mode <> 'act' OR c.paused AS is_shut
    FROM (
        SELECT step ->> 'target' AS target, step ->> 'noun' AS noun
        FROM provisioning_plan n CROSS JOIN LATERAL jsonb_array_elements(n.plan -> 'steps') step
        WHERE n.state = ANY (%(states)s) AND step ->> 'target' IS NOT NULL
          AND step ->> 'system' <> 'crm'
          AND NOT jsonb_exists(coalesce(n.plan -> 'done', '{}'), step ->> 'id')
    ) s
    JOIN connection c ON c.connection_key = s.target
    LEFT JOIN handover_pace p ON p.connection_key = s.target AND p.noun = s.noun
    GROUP BY s.target, s.noun, p.steps, p.calls, p.milliseconds, c.mode, c.paused
"""


def _calls_of(row: Mapping[str, Any]) -> int:
    if not row["measured"]:
        return int(row["steps"]) * _CALLS_OF_A_STEP
    return -int(-row["steps"] * row["calls"] // row["measured"])


def _milliseconds_of(row: Mapping[str, Any]) -> int:
    if not row["measured"]:
        return int(row["steps"]) * _MILLISECONDS_OF_A_STEP
    return int(row["steps"] * row["milliseconds"] // row["measured"])


def _seconds_for(calls: int, limits: Sequence[LimitState]) -> int:
    """Return the whole seconds in which limits let so many calls of hand-overs go."""
    if not limits:
        return -(-calls * DEFAULT.window_seconds // left_to_class(DEFAULT.calls, PROVISIONING))
    return max(_by_limit(calls, limit) for limit in limits)


def _by_limit(calls: int, limit: LimitState) -> int:
    most = max(1, left_to_class(limit.allowed, PROVISIONING))
    beyond = calls - max(0, most - limit.used)
    if beyond <= 0:
        return 0
    match limit.kind:
        case LimitKind.WINDOW | LimitKind.BUCKET:
            return -(-beyond * limit.window_seconds // most)
        case LimitKind.QUOTA:
            return limit.resets_in_seconds + (beyond - 1) // most * _SECONDS_OF[limit.every]
        case LimitKind.CONCURRENT:
            return 0

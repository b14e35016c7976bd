"""Move the effects of many lines at once, each under the attempt that it was reserved with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.errors import LeaseLost
from tieline.posting import states
from tieline.runtime.sql import load
from tieline.sdk import StoredLine

_MOVE_SET = load("tieline.posting", "move_lines")
_HOLD = load("tieline.posting", "hold_lines")
RETRY_SECONDS = 2
# With the documents behind it: which of them counts is for a person to say.
DOUBLED = "more than one line stands"
# The number of the try under which a line was reserved: what came of it is recorded under no other.
Attempts = Mapping[UUID, int]

Row = dict[str, Any]


def attempts_of(rows: Sequence[Row]) -> Attempts:
    """Return the attempt of each row."""
    return {row["business_key"]: row["attempt"] for row in rows}


def hold(connection: Connection[Row], attempts: Attempts, *, state: str) -> None:
    """Lock the lines of these attempts, so that what came of them is recorded, or nothing is.

    :raises LeaseLost: another run took one of them over while this one was away.
    """
    held = connection.execute(
        _HOLD,
        {"keys": list(attempts), "attempts": list(attempts.values()), "state": state},
    ).rowcount
    if held != len(attempts):
        raise LeaseLost(f"{len(attempts) - held} lines were taken over by another run")


def move(
    connection: Connection[Row], keys: Sequence[UUID], to: str, reason: str, due_in_seconds: int
) -> None:
    """Move effects along one edge."""
    if keys:
        connection.execute(
            _MOVE_SET,
            {"keys": list(keys), "to": to, "reason": reason, "due_in_seconds": due_in_seconds},
        )


def by_key(
    found: Sequence[StoredLine],
) -> tuple[dict[UUID, StoredLine], dict[UUID, list[StoredLine]]]:
    """Return what stands once, and what stands more than once under one key."""
    lines_of: dict[UUID, list[StoredLine]] = {}
    for line in found:
        if line.business_key is not None:
            lines_of.setdefault(line.business_key, []).append(line)
    return (
        {key: lines[0] for key, lines in lines_of.items() if len(lines) == 1},
        {key: lines for key, lines in lines_of.items() if len(lines) > 1},
    )


def conflict_doubled(
    connection: Connection[Row], doubled: Mapping[UUID, Sequence[StoredLine]]
) -> None:
    """Leave to a person which of several lines counts, with every document named."""
    for key, lines in doubled.items():
        names = ", ".join(sorted(line.target_code for line in lines))
        states.to_conflict(connection, business_key=key, reason=f"{DOUBLED}: {names}")

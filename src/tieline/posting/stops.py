"""Stop what is sent for a scope whose figures do not agree, and let it go on when they do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.runtime.sql import load

GREEN_CHECKS_TO_LIFT = 2
_BY_CHECK = "check:"
_AGREES_AGAIN = "green again twice"
_STOP = load("tieline.posting", "stop_scope")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopScope:
    """What is not sent any more; None stands for every one. A source or a target is always named."""

    source_connection: str | None = None
    target_connection: str | None = None
    entity_code: str | None = None
    period_id: UUID | None = None
    project_id: UUID | None = None

    @property
    def key(self) -> str:
        """Tell scopes apart, in one word."""
        return "|".join(str(getattr(self, each.name) or "*") for each in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """What a check found in one scope; ``measure`` changes whenever what was found does."""

    scope: StopScope
    because: str
    measure: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.measure.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingStop:
    """A scope into which nothing is sent; ``waiting`` lines of ``seconds`` stand before it."""

    stop_id: UUID
    check_name: str
    subject: str
    source_connection: str | None
    target_connection: str | None
    entity_code: str | None
    period_id: UUID | None
    period_code: str | None
    project_id: UUID | None
    project_code: str | None
    because: str
    fingerprint: str
    since: datetime
    last_red_at: datetime
    green_checks: int
    waiting: int
    seconds: int

    @property
    def scope_words(self) -> str:
        """Name the scope as a person would."""
        named = (
            self.source_connection and f"hours from {self.source_connection}",
            self.target_connection and f"into {self.target_connection}",
            self.entity_code,
            self.period_code,
            self.project_code,
        )
        return ", ".join(each for each in named if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopsKept:
    """What one run of a check changed: the scopes it stopped, and those it let go on."""

    stopped: tuple[StopScope, ...]
    lifted: tuple[str, ...]


def keep_stops(
    connection: Connection[Row],
    *,
    check: str,
    subject: str,
    breaches: Sequence[Breach],
    now: datetime,
) -> StopsKept:
    """Let a stop stand for each breach; one that is not found again twice in a row is lifted.

    What two people let go on is not stopped again until the check finds something else there.
    """
    _hold_targets(connection, breaches)
    stopped = tuple(
        breach.scope
        for breach in breaches
        if _stop(connection, check=check, subject=subject, breach=breach, now=now)
    )
    return StopsKept(
        stopped=stopped,
        lifted=_lift_green(
            connection,
            check=check,
            subject=subject,
            still_red=[breach.scope.key for breach in breaches],
            now=now,
        ),
    )


def list_stops(connection: Connection[Row]) -> tuple[StandingStop, ...]:
    """List the stops that stand, in the caller's sight, the oldest first."""
    return tuple(
        StandingStop(**row) for row in connection.execute("SELECT * FROM page_stops()").fetchall()
    )


def get_stop(connection: Connection[Row], *, stop_id: UUID) -> StandingStop:
    """Return one stop that stands.

    :raises LookupError: there is none in sight.
    """
    row = connection.execute("SELECT * FROM page_stops() WHERE stop_id = %s", (stop_id,)).fetchone()
    if row is None:
        raise LookupError(f"there is no stop {stop_id}")
    return StandingStop(**row)


def find_stop_in_the_way(connection: Connection[Row], *, business_key: UUID) -> str | None:
    """Return why an effect may not be sent now, or None."""
    row = connection.execute(
        """
        SELECT s.because FROM effect e
        CROSS JOIN LATERAL stops_over(e.connection_key, e.target_connection, e.entity_code,
                                      e.period_id, e.project_id, e.noun) s
        WHERE e.business_key = %s ORDER BY s.since LIMIT 1
        """,
        (business_key,),
    ).fetchone()
    return None if row is None else str(row["because"])


def lift_stop(
    connection: Connection[Row],
    *,
    stop_id: UUID,
    fingerprint: str,
    proposed_by: str,
    approved_by: str,
    reason: str,
    now: datetime,
) -> None:
    """Let a scope go on although its check is red, after a second person agreed.

    :raises UserMistake: it was lifted, or the check found something else since it was proposed.
    """
    lifted = connection.execute(
        "UPDATE posting_stop SET lifted_at = %s, lifted_by = %s, lift_proposed_by = %s,"
        " lifted_because = %s WHERE stop_id = %s AND lifted_at IS NULL AND fingerprint = %s",
        (now, approved_by, proposed_by, reason, stop_id, fingerprint),
    )
    if lifted.rowcount != 1:
        raise UserMistake(
            f"stop {stop_id} is lifted, or its check found something else than when it was"
            " proposed: turn it down and look again"
        )


def _hold_targets(connection: Connection[Row], breaches: Sequence[Breach]) -> None:
    # Whoever reserves lines shares the row of their target: they are done, or see the stop.
    if breaches:
        connection.execute(
            "SELECT FROM connection WHERE %s::text[] IS NULL OR connection_key = ANY (%s)"
            " ORDER BY connection_key FOR NO KEY UPDATE",
            2 * (_targets(breaches),),
        )


def _targets(breaches: Sequence[Breach]) -> list[str] | None:
    named = {breach.scope.target_connection for breach in breaches}
    return None if None in named else sorted(each for each in named if each)


def _stop(
    connection: Connection[Row], *, check: str, subject: str, breach: Breach, now: datetime
) -> bool:
    scope = breach.scope
    row = connection.execute(
        _STOP,
        {
            "check": check,
            "subject": subject,
            "scope_key": scope.key,
            "source": scope.source_connection,
            "target": scope.target_connection,
            "entity_code": scope.entity_code,
            "period_id": scope.period_id,
            "project_id": scope.project_id,
            "because": breach.because,
            "fingerprint": breach.fingerprint,
            "now": now,
        },
    ).fetchone()
    return row is not None and row["is_new"]


def _lift_green(
    connection: Connection[Row], *, check: str, subject: str, still_red: list[str], now: datetime
) -> tuple[str, ...]:
    connection.execute(
        "UPDATE posting_stop SET green_checks = green_checks + 1 WHERE (check_name, subject) = (%s, %s)"
        " AND lifted_at IS NULL AND NOT scope_key = ANY (%s)",
        (check, subject, still_red),
    )
    rows = connection.execute(
        "UPDATE posting_stop SET lifted_at = %s, lifted_by = %s, lifted_because = %s"
        " WHERE (check_name, subject) = (%s, %s) AND lifted_at IS NULL AND green_checks >= %s"
        " RETURNING scope_key",
        (now, _BY_CHECK + check, _AGREES_AGAIN, check, subject, GREEN_CHECKS_TO_LIFT),
    ).fetchall()
    return tuple(row["scope_key"] for row in rows)

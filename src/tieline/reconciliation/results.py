"""Keep what each check that always runs said last, and the scopes in which two sides lastingly differ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.reconciliation.own_books import OWN_CHECKS
from tieline.runtime.sql import load

GREEN, RED, NOT_CHECKED = "green", "red", "not_checked"
_LASTING = load("tieline.reconciliation", "lasting_scopes")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check of one subject ('' for our own books) came to when it was last tried.

    ``made_at`` is when it was last made; None means that it never was.
    """

    check_name: str
    subject: str
    state: str
    tried_at: datetime | None
    made_at: datetime | None
    things: int
    took_milliseconds: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastingScope:
    """A project of ours and period in which a source or a target differed in two readings or more."""

    entity_code: str
    period_id: UUID
    period_code: str
    project_id: UUID
    project_code: str
    theirs_seconds: int
    ours_seconds: int


def keep_result(
    connection: Connection[Row],
    *,
    check: str,
    subject: str,
    state: str,
    things: int = 0,
    took_milliseconds: int = 0,
    why: str = "",
    now: datetime,
) -> None:
    """Keep what a check came to; one that could not be made stays as old as it is."""
    connection.execute(
        """
        INSERT INTO check_result AS c (check_name, subject, state, tried_at, made_at, things,
            took_milliseconds, why)
        VALUES (%(check)s, %(subject)s, %(state)s, %(now)s,
                CASE WHEN %(state)s <> 'not_checked' THEN %(now)s::timestamptz END, %(things)s, %(took)s, %(why)s)
        ON CONFLICT (check_name, subject) DO UPDATE SET state = excluded.state,
            tried_at = excluded.tried_at, made_at = coalesce(excluded.made_at, c.made_at),
            things = excluded.things, took_milliseconds = excluded.took_milliseconds, why = excluded.why
        """,
        {
            "check": check,
            "subject": subject,
            "state": state,
            "things": things,
            "took": took_milliseconds,
            "why": why,
            "now": now,
        },
    )


def list_results(connection: Connection[Row]) -> tuple[CheckResult, ...]:
    """List what every check says, what is wrong first; one that was never made is not checked."""
    rows = connection.execute(
        "SELECT * FROM page_check_results(%s)", (list(OWN_CHECKS),)
    ).fetchall()
    return tuple(CheckResult(**row) for row in rows)


def count_lasting(
    connection: Connection[Row], *, side: str, connection_key: str, checks_min: int
) -> int:
    """Count the projects and months, linked or not, in which one side has differed so many times."""
    row = connection.execute(
        "SELECT count(*)::int AS things FROM conservation_difference"
        " WHERE (side, connection_key) = (%s, %s) AND checks >= %s",
        (side, connection_key, checks_min),
    ).fetchone()
    assert row is not None
    return int(row["things"])


def list_lasting(
    connection: Connection[Row], *, side: str, connection_key: str, checks_min: int
) -> tuple[LastingScope, ...]:
    """List the projects of ours and periods in which one side has differed so many times in a row.

    What stands on a project that nobody linked is none of them: nothing of it is sent anyway.
    """
    rows = connection.execute(
        _LASTING, {"side": side, "connection_key": connection_key, "checks": checks_min}
    ).fetchall()
    return tuple(LastingScope(**row) for row in rows)

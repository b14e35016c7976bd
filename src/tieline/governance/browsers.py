"""Browsers that a person came in with before: strangers who guess passwords lock out strangers only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection

from tieline.governance.tokens import new_token, token_hash

# A browser that guesses as often is known no more.
GUESSES_MAX = 10
_BROWSERS_MAX = 20

Row = dict[str, Any]


def browser_hash(token: str, *, pepper: bytes) -> bytes | None:
    """Return what is kept of a browser's word, None where it has none."""
    return token_hash(token, pepper=pepper) if token else None


def remember_browser(
    connection: Connection[Row], *, login: str, token: str, pepper: bytes, now: datetime
) -> str:
    """Know a browser in which somebody came in; return its word, which is kept nowhere else."""
    known = connection.execute(
        "UPDATE known_browser SET known_at = %s WHERE browser_hash = %s AND login = %s",
        (now, token_hash(token, pepper=pepper), login),
    )
    if known.rowcount:
        return token
    fresh = new_token(prefix="tlb")
    connection.execute(
        "INSERT INTO known_browser (browser_hash, login, known_at) VALUES (%s, %s, %s)",
        (token_hash(fresh, pepper=pepper), login, now),
    )
    connection.execute(
        "DELETE FROM known_browser WHERE login = %(login)s AND browser_hash NOT IN (SELECT browser_hash"
        " FROM known_browser WHERE login = %(login)s ORDER BY known_at DESC, browser_hash LIMIT %(kept)s)",
        {"login": login, "kept": _BROWSERS_MAX},
    )
    return fresh


def is_known(connection: Connection[Row], *, login: str, browser: bytes) -> bool:
    """Say whether a person came in with this browser before."""
    found = connection.execute(
        "SELECT FROM known_browser WHERE browser_hash = %s AND login = %s", (browser, login)
    )
    return bool(found.rowcount)


def count_guess(connection: Connection[Row], *, browser: bytes) -> None:
    """Count a wrong password of a known browser; too many, and it is known no more."""
    connection.execute(
        "UPDATE known_browser SET failed_attempts = failed_attempts + 1 WHERE browser_hash = %s",
        (browser,),
    )
    connection.execute(
        "DELETE FROM known_browser WHERE browser_hash = %s AND failed_attempts >= %s",
        (browser, GUESSES_MAX),
    )


def forgive_guesses(connection: Connection[Row], *, browser: bytes) -> None:
    """Begin to count anew: the right password was given."""
    connection.execute(
        "UPDATE known_browser SET failed_attempts = 0 WHERE browser_hash = %s", (browser,)
    )


def forget_browsers(connection: Connection[Row], *, login: str) -> None:
    """Know none of a person's browsers any more."""
    connection.execute("DELETE FROM known_browser WHERE login = %s", (login.lower(),))

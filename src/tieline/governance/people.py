"""People who log in: password, roles, the legal entities they see, their sessions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from psycopg import Connection

from tieline.governance.audit import record_audit
from tieline.governance.browsers import (
    count_guess,
    forget_browsers,
    forgive_guesses,
    is_known,
)
from tieline.governance.tokens import new_token, token_hash
from tieline.kernel.errors import UserMistake

PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 1024
FAILED_ATTEMPTS_MAX = 10
LOCK_MINUTES = 15
SESSION_HOURS = 10

_HASHER = PasswordHasher()

ADMIN = "admin"
COSTS = "costs"
# What each role is for; an administrator has every right, an auditor none but looking.
ROLES: Mapping[str, str] = {
    ADMIN: "gives people and machines their rights",
    "auditor": "sees everything in scope and changes nothing",
    "controller": "closes, releases, and agrees to what moves money",
    COSTS: "sees what hours cost and what is left of their price, beside what other roles see",
    "data_steward": "says which records are the same, and adopts what systems hold",
    "delivery": "works cases of projects and people",
    "finance": "agrees to what moves money, as a second person",
    "integration": "connects, pauses and resumes systems",
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is logged in; ``ends_at`` is when their login ends, None when it does not."""

    login: str
    display_name: str
    roles: tuple[str, ...]
    entities: tuple[str, ...]
    ends_at: datetime | None = None

    @property
    def sees_costs(self) -> bool:
        """Say whether the person may see what hours cost."""
        return self.has_role(COSTS)

    def has_role(self, role: str) -> bool:
        """Say whether the person has a role; an administrator has every one."""
        return role in self.roles or ADMIN in self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSession:
    """A new session; ``token`` goes to the browser and is kept nowhere."""

    person: Person
    expires_at: datetime
    token: str = field(repr=False)


def add_person(
    connection: Connection[Row],
    *,
    login: str,
    display_name: str,
    password: str,
    roles: Collection[str],
    entities: Collection[str],
    by: str,
    now: datetime,
    ends_at: datetime | None = None,
) -> Person:
    """Let somebody log in, until an instant where one is given.

    :raises UserMistake: the login is taken or the password is too short.
    """
    row = connection.execute(
        """
        INSERT INTO person_login (login, display_name, password_hash, roles, entities, created_at,
            created_by, ends_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (login) DO NOTHING
        RETURNING login, display_name, roles, entities, ends_at
        """,
        (
            login.lower(),
            display_name,
            _hash(password),
            sorted(roles),
            sorted(entities),
            now,
            by,
            ends_at,
        ),
    ).fetchone()
    if row is None:
        raise UserMistake(f"the login {login} is taken")
    _audit(
        connection,
        login=row["login"],
        action="person.added",
        reason="a person may log in",
        by=by,
        now=now,
        data={"roles": sorted(roles), "entities": sorted(entities)},
    )
    return _person(row)


def change_person(
    connection: Connection[Row],
    *,
    login: str,
    roles: Collection[str],
    entities: Collection[str],
    by: str,
    reason: str,
    now: datetime,
    ends_at: datetime | None,
    display_name: str | None = None,
) -> Person:
    """Give a person other roles and legal entities until an instant, and a name where one is given.

    Open sessions have them at once; ``ends_at`` is None for whose login does not end.

    :raises UserMistake: nobody has this login, or nobody would be administrator any more.
    """
    row = connection.execute(
        "UPDATE person_login SET roles = %s, entities = %s, ends_at = %s,"
        " display_name = coalesce(%s, display_name)"
        " WHERE login = %s AND is_active RETURNING login, display_name, roles, entities, ends_at",
        (sorted(roles), sorted(entities), ends_at, display_name, login.lower()),
    ).fetchone()
    if row is None:
        raise UserMistake(f"nobody has the login {login}")
    _keep_an_administrator(connection, now=now)
    _audit(
        connection,
        login=row["login"],
        action="person.changed",
        reason=reason,
        by=by,
        now=now,
        data={"roles": sorted(roles), "entities": sorted(entities)},
    )
    return _person(row)


def close_person(
    connection: Connection[Row], *, login: str, by: str, reason: str, now: datetime
) -> None:
    """Let somebody in no more: their sessions end, and the keys that act for them open nothing.

    :raises UserMistake: nobody has this login, or nobody would be administrator any more.
    """
    closed = connection.execute(
        "UPDATE person_login SET is_active = false WHERE login = %s AND is_active",
        (login.lower(),),
    )
    if closed.rowcount != 1:
        raise UserMistake(f"nobody has the login {login}")
    _keep_an_administrator(connection, now=now)
    _end_sessions(connection, login=login, now=now)
    _audit(connection, login=login, action="person.closed", reason=reason, by=by, now=now)


def end_sessions(
    connection: Connection[Row], *, login: str, by: str, reason: str, now: datetime
) -> int:
    """End every open session of a person, and return how many there were.

    :raises UserMistake: nobody has this login.
    """
    if not connection.execute(
        "SELECT FROM person_login WHERE login = %s", (login.lower(),)
    ).rowcount:
        raise UserMistake(f"nobody has the login {login}")
    ended = _end_sessions(connection, login=login, now=now)
    _audit(
        connection,
        login=login,
        action="person.sessions_ended",
        reason=reason,
        by=by,
        now=now,
        data={"sessions": ended},
    )
    return ended


def set_password(
    connection: Connection[Row], *, login: str, password: str, by: str, now: datetime
) -> None:
    """Replace a password, lift its lock and end the person's sessions.

    :raises UserMistake: nobody has this login or the password is too short.
    """
    changed = connection.execute(
        "UPDATE person_login SET password_hash = %s, failed_attempts = 0, locked_until = NULL"
        " WHERE login = %s",
        (_hash(password), login.lower()),
    )
    if changed.rowcount != 1:
        raise UserMistake(f"nobody has the login {login}")
    _end_sessions(connection, login=login, now=now)
    _audit(
        connection,
        login=login,
        action="person.password_set",
        reason="a new password",
        by=by,
        now=now,
    )


def authenticate(
    connection: Connection[Row],
    *,
    login: str,
    password: str,
    now: datetime,
    browser: bytes | None = None,
) -> Person | None:
    """Return who this is, or None; ten wrong passwords lock the login for a while.

    The lock does not hold for a browser in which this person came in before, which has guesses of its own: who
    guesses from elsewhere keeps nobody from their work.
    """
    row = connection.execute(
        """
        SELECT login, display_name, password_hash, roles, entities, ends_at,
               is_active AND (ends_at IS NULL OR ends_at > %(now)s) AS is_open,
               locked_until IS NOT NULL AND locked_until > %(now)s AS is_locked
        FROM person_login WHERE login = %(login)s FOR UPDATE
        """,
        {"now": now, "login": login.lower()},
    ).fetchone()
    # Made whether it is needed or not: the first answer takes as long for a login that nobody has.
    of_nobody = _hash_of_nobody()
    matches = _matches(row["password_hash"] if row else of_nobody, password)
    if row is None or not row["is_open"]:
        return None
    # Asked once the login is ours alone, so that guesses are counted one after the other.
    comes_again = browser is not None and is_known(connection, login=row["login"], browser=browser)
    if row["is_locked"] and not comes_again:
        return None
    if browser is not None and comes_again:
        settle = forgive_guesses if matches else count_guess
        settle(connection, browser=browser)
    elif matches:
        connection.execute(
            "UPDATE person_login SET failed_attempts = 0, locked_until = NULL"
            " WHERE login = %s AND failed_attempts > 0",
            (row["login"],),
        )
    else:
        _note_failure(connection, login=row["login"], now=now)
    return _person(row) if matches else None


def find_open_person(connection: Connection[Row], *, login: str, now: datetime) -> Person | None:
    """Return a person who may come in now: their login is neither closed nor ended.

    A lock is of passwords alone: who gives wrong ones keeps nobody out who comes another way.
    """
    row = connection.execute(
        "SELECT login, display_name, roles, entities, ends_at FROM person_login"
        " WHERE login = %(login)s AND is_active AND (ends_at IS NULL OR ends_at > %(now)s)",
        {"now": now, "login": login.lower()},
    ).fetchone()
    return _person(row) if row else None


def list_people(connection: Connection[Row]) -> tuple[Person, ...]:
    """List who may log in."""
    rows = connection.execute(
        "SELECT login, display_name, roles, entities, ends_at FROM person_login"
        " WHERE is_active ORDER BY login"
    ).fetchall()
    return tuple(_person(row) for row in rows)


def open_session(
    connection: Connection[Row], *, person: Person, pepper: bytes, now: datetime
) -> OpenedSession:
    """Open a session of one working day."""
    token = new_token(prefix="tls")
    expires_at = now + timedelta(hours=SESSION_HOURS)
    connection.execute(
        "INSERT INTO session (token_hash, login, opened_at, expires_at) VALUES (%s, %s, %s, %s)",
        (token_hash(token, pepper=pepper), person.login, now, expires_at),
    )
    return OpenedSession(person=person, expires_at=expires_at, token=token)


def find_session(
    connection: Connection[Row], *, token: str, pepper: bytes, now: datetime
) -> Person | None:
    """Return the person of an open session, with the rights they have today."""
    row = connection.execute(
        """
        SELECT p.login, p.display_name, p.roles, p.entities, p.ends_at
        FROM session s JOIN person_login p USING (login)
        WHERE s.token_hash = %(hash)s AND s.ended_at IS NULL AND s.expires_at > %(now)s AND p.is_active
          AND (p.ends_at IS NULL OR p.ends_at > %(now)s)
        """,
        {"hash": token_hash(token, pepper=pepper), "now": now},
    ).fetchone()
    return _person(row) if row else None


def end_session(connection: Connection[Row], *, token: str, pepper: bytes, now: datetime) -> None:
    """End a session; ending it twice is fine."""
    connection.execute(
        "UPDATE session SET ended_at = %s WHERE token_hash = %s AND ended_at IS NULL",
        (now, token_hash(token, pepper=pepper)),
    )


def _end_sessions(connection: Connection[Row], *, login: str, now: datetime) -> int:
    forget_browsers(connection, login=login)
    return connection.execute(
        "UPDATE session SET ended_at = %s WHERE login = %s AND ended_at IS NULL",
        (now, login.lower()),
    ).rowcount


def _keep_an_administrator(connection: Connection[Row], *, now: datetime) -> None:
    left = connection.execute(
        "SELECT FROM person_login WHERE %s = ANY (roles) AND is_active"
        " AND (ends_at IS NULL OR ends_at > %s)",
        (ADMIN, now),
    ).rowcount
    if not left:
        raise UserMistake("nobody would be administrator any more: make somebody else one first")


def _audit(
    connection: Connection[Row],
    *,
    login: str,
    action: str,
    reason: str,
    by: str,
    now: datetime,
    data: Mapping[str, Any] | None = None,
) -> None:
    record_audit(
        connection,
        now=now,
        actor=by,
        action=action,
        object=f"login:{login.lower()}",
        entity_code=None,
        reason=reason,
        data=data,
    )


def _hash(password: str) -> str:
    if len(password) < PASSWORD_CHARACTERS_MIN:
        raise UserMistake(f"a password needs at least {PASSWORD_CHARACTERS_MIN} characters")
    if len(password) > PASSWORD_CHARACTERS_MAX:
        raise UserMistake(f"a password has at most {PASSWORD_CHARACTERS_MAX} characters")
    return _HASHER.hash(password)


@cache
def _hash_of_nobody() -> str:
    """Return what is verified against when nobody has the login, so that the answer takes as long."""
    return _HASHER.hash("no person has this password")


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password[:PASSWORD_CHARACTERS_MAX])
    except VerifyMismatchError:
        return False


def _note_failure(connection: Connection[Row], *, login: str, now: datetime) -> None:
    # Whose lock is over begins anew: one more mistake is no ten.
    connection.execute(
        """
        WITH counted AS (
            SELECT login, 1 + CASE WHEN locked_until IS NULL THEN failed_attempts ELSE 0 END AS attempts
            FROM person_login WHERE login = %(login)s
        )
        UPDATE person_login p SET failed_attempts = c.attempts,
            locked_until = CASE WHEN c.attempts >= %(attempts_max)s THEN %(until)s::timestamptz END
        FROM counted c WHERE p.login = c.login
        """,
        {
            "login": login,
            "attempts_max": FAILED_ATTEMPTS_MAX,
            "until": now + timedelta(minutes=LOCK_MINUTES),
        },
    )


def _person(row: Row) -> Person:
    return Person(
        login=row["login"],
        display_name=row["display_name"],
        roles=tuple(row["roles"]),
        entities=tuple(row["entities"]),
        ends_at=row["ends_at"],
    )

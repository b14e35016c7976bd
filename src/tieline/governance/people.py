"""People who log in: password, roles, the legal entities they see, their sessions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from psycopg import Connection

from tieline.governance.audit import record_audit
from tieline.governance.tokens import new_token, token_hash
from tieline.kernel.errors import UserMistake

PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 1024
FAILED_ATTEMPTS_MAX = 10
LOCK_MINUTES = 15
SESSION_HOURS = 10

_HASHER = PasswordHasher()
# Verified against when nobody has the login, so that the answer takes as long.
_NOBODY = _HASHER.hash("no person has this password")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is logged in."""

    login: str
    display_name: str
    roles: tuple[str, ...]
    entities: tuple[str, ...]

    def has_role(self, role: str) -> bool:
        """Say whether the person has a role; an administrator has every one."""
        return role in self.roles or "admin" in self.roles


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
) -> Person:
    """Let somebody log in.

    :raises UserMistake: the login is taken or the password is too short.
    """
    row = connection.execute(
        """
        INSERT INTO person_login (login, display_name, password_hash, roles, entities, created_at,
            created_by)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (login) DO NOTHING
        RETURNING login, display_name, roles, entities
        """,
        (
            login.lower(),
            display_name,
            _hash(password),
            sorted(roles),
            sorted(entities),
            now,
            by,
        ),
    ).fetchone()
    if row is None:
        raise UserMistake(f"the login {login} is taken")
    record_audit(
        connection,
        now=now,
        actor=by,
        action="person.added",
        object=f"login:{row['login']}",
        entity_code=None,
        reason="a person may log in",
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
) -> Person:
    """Give a person other roles and legal entities; their open sessions have them at once.

    :raises UserMistake: nobody has this login.
    """
    row = connection.execute(
        "UPDATE person_login SET roles = %s, entities = %s WHERE login = %s AND is_active"
        " RETURNING login, display_name, roles, entities",
        (sorted(roles), sorted(entities), login.lower()),
    ).fetchone()
    if row is None:
        raise UserMistake(f"nobody has the login {login}")
    record_audit(
        connection,
        now=now,
        actor=by,
        action="person.changed",
        object=f"login:{row['login']}",
        entity_code=None,
        reason=reason,
        data={"roles": sorted(roles), "entities": sorted(entities)},
    )
    return _person(row)


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
    connection.execute(
        "UPDATE session SET ended_at = %s WHERE login = %s AND ended_at IS NULL",
        (now, login.lower()),
    )
    record_audit(
        connection,
        now=now,
        actor=by,
        action="person.password_set",
        object=f"login:{login.lower()}",
        entity_code=None,
        reason="a new password",
    )


def authenticate(
    connection: Connection[Row], *, login: str, password: str, now: datetime
) -> Person | None:
    """Return who this is, or None; ten wrong passwords lock the login for a while."""
    row = connection.execute(
        """
        SELECT login, display_name, password_hash, roles, entities,
               is_active AND (locked_until IS NULL OR locked_until <= %s) AS is_open
        FROM person_login WHERE login = %s FOR UPDATE
        """,
        (now, login.lower()),
    ).fetchone()
    matches = _matches(row["password_hash"] if row else _NOBODY, password)
    if row is None or not row["is_open"]:
        return None
    if not matches:
        _note_failure(connection, login=row["login"], now=now)
        return None
    connection.execute(
        "UPDATE person_login SET failed_attempts = 0, locked_until = NULL"
        " WHERE login = %s AND failed_attempts > 0",
        (row["login"],),
    )
    return _person(row)


def list_people(connection: Connection[Row]) -> tuple[Person, ...]:
    """List who may log in."""
    rows = connection.execute(
        "SELECT login, display_name, roles, entities FROM person_login"
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
        SELECT p.login, p.display_name, p.roles, p.entities
        FROM session s JOIN person_login p USING (login)
        WHERE s.token_hash = %s AND s.ended_at IS NULL AND s.expires_at > %s AND p.is_active
        """,
        (token_hash(token, pepper=pepper), now),
    ).fetchone()
    return _person(row) if row else None


def end_session(connection: Connection[Row], *, token: str, pepper: bytes, now: datetime) -> None:
    """End a session; ending it twice is fine."""
    connection.execute(
        "UPDATE session SET ended_at = %s WHERE token_hash = %s AND ended_at IS NULL",
        (now, token_hash(token, pepper=pepper)),
    )


def _hash(password: str) -> str:
    if len(password) < PASSWORD_CHARACTERS_MIN:
        raise UserMistake(f"a password needs at least {PASSWORD_CHARACTERS_MIN} characters")
    if len(password) > PASSWORD_CHARACTERS_MAX:
        raise UserMistake(f"a password has at most {PASSWORD_CHARACTERS_MAX} characters")
    return _HASHER.hash(password)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password[:PASSWORD_CHARACTERS_MAX])
    except VerifyMismatchError:
        return False


def _note_failure(connection: Connection[Row], *, login: str, now: datetime) -> None:
    connection.execute(
        """
        UPDATE person_login SET failed_attempts = failed_attempts + 1,
            locked_until = CASE WHEN failed_attempts + 1 >= %s THEN %s::timestamptz END
        WHERE login = %s
        """,
        (FAILED_ATTEMPTS_MAX, now + timedelta(minutes=LOCK_MINUTES), login),
    )


def _person(row: Row) -> Person:
    return Person(
        login=row["login"],
        display_name=row["display_name"],
        roles=tuple(row["roles"]),
        entities=tuple(row["entities"]),
    )

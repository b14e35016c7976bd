"""Who somebody is to a provider of identities: bound by an administrator, never made by signing in."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.errors import UniqueViolation

from tieline.governance.audit import record_audit
from tieline.governance.people import Person, find_open_person
from tieline.kernel.errors import UserMistake

Row = dict[str, Any]
STATE_KEPT = "1 hour"
SUBJECT_CHARACTERS_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundIdentity:
    """Whom a provider calls by a subject."""

    login: str
    issuer: str
    subject: str


def bind_identity(
    connection: Connection[Row],
    *,
    login: str,
    issuer: str,
    subject: str | None,
    email: str | None,
    pepper: bytes,
    by: str,
    reason: str,
    now: datetime,
) -> None:
    """Say who a person is to a provider: by its subject, or by an address it will have verified.

    :raises UserMistake: nobody has the login, they are bound already, or somebody else is bound so.
    """
    if (subject is None) == (email is None):
        raise UserMistake("say the subject or the address, one of the two")
    if subject is not None and not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX:
        raise UserMistake(f"a subject has 1 to {SUBJECT_CHARACTERS_MAX} characters")
    if email is not None and "@" not in email:
        raise UserMistake(f"{email} is no address of e-mail")
    if not connection.execute(
        "SELECT FROM person_login WHERE login = %s AND is_active", (login.lower(),)
    ).rowcount:
        raise UserMistake(f"nobody has the login {login}")
    try:
        with connection.transaction():
            connection.execute(
                "INSERT INTO login_identity (login, issuer, subject, email_hash, created_at, created_by,"
                " bound_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    login.lower(),
                    issuer,
                    subject,
                    None if email is None else email_hash(email, pepper=pepper),
                    now,
                    by,
                    None if subject is None else now,
                ),
            )
    except UniqueViolation as error:
        raise UserMistake(
            f"{login} is bound at {issuer} already, or somebody else is bound so: unbind them first"
        ) from error
    _audit(connection, login, "person.identity_bound", by=by, reason=reason, now=now, issuer=issuer)


def unbind_identity(
    connection: Connection[Row], *, login: str, issuer: str, by: str, reason: str, now: datetime
) -> None:
    """Let a person sign in by a provider no more.

    :raises UserMistake: they could not.
    """
    ended = connection.execute(
        "UPDATE login_identity SET ended_at = %s"
        " WHERE login = %s AND issuer = %s AND ended_at IS NULL",
        (now, login.lower(), issuer),
    )
    if ended.rowcount != 1:
        raise UserMistake(f"{login} is not bound at {issuer}")
    _audit(
        connection, login, "person.identity_unbound", by=by, reason=reason, now=now, issuer=issuer
    )


def list_identities(connection: Connection[Row]) -> tuple[BoundIdentity, ...]:
    """List whom providers know; who is awaited by an address alone is not among them."""
    rows = connection.execute(
        "SELECT login, issuer, subject FROM login_identity"
        " WHERE ended_at IS NULL AND subject IS NOT NULL ORDER BY login, issuer"
    ).fetchall()
    return tuple(BoundIdentity(**row) for row in rows)


def find_person_of_identity(
    connection: Connection[Row],
    *,
    issuer: str,
    subject: str,
    verified_email: str | None,
    pepper: bytes,
    now: datetime,
) -> Person | None:
    """Return who comes, None when nobody is bound so or may not come in now; every answer is audited.

    An address counts until its first use only: from then on it is the subject that comes.
    """
    row = connection.execute(
        "SELECT login, identity_id, subject FROM login_identity"
        " WHERE issuer = %(issuer)s AND ended_at IS NULL"
        " AND (subject = %(subject)s OR (subject IS NULL AND email_hash = %(email)s))"
        # Whom the subject names has come before; the address of somebody else may have become theirs.
        " ORDER BY subject NULLS LAST LIMIT 1 FOR UPDATE",
        {
            "issuer": issuer,
            "subject": subject,
            "email": verified_email and email_hash(verified_email, pepper=pepper),
        },
    ).fetchone()
    if row is None:
        _audit(
            connection, "", "person.sign_in_refused", by=issuer, reason="nobody is bound so",
            now=now, issuer=issuer,
        )  # fmt: skip
        return None
    login = row["login"]
    person = find_open_person(connection, login=login, now=now)
    if person is None:
        _audit(
            connection, login, "person.sign_in_refused", by=issuer,
            reason="their login has ended, is locked or is closed", now=now, issuer=issuer,
        )  # fmt: skip
        return None
    if row["subject"] is None:
        connection.execute(
            "UPDATE login_identity SET subject = %s, bound_at = %s WHERE identity_id = %s",
            (subject, now, row["identity_id"]),
        )
        _audit(
            connection, login, "person.identity_bound", by=login,
            reason="the address that an administrator named was verified", now=now, issuer=issuer,
        )  # fmt: skip
    _audit(
        connection, login, "person.signed_in", by=login, reason="by their provider", now=now,
        issuer=issuer,
    )  # fmt: skip
    return person


def use_state(connection: Connection[Row], *, state: str) -> bool:
    """Use the word of a sign-in up, and say whether it was still good."""
    connection.execute(
        "DELETE FROM used_sign_in WHERE used_at < clock_timestamp() - %s::interval", (STATE_KEPT,)
    )
    used = connection.execute(
        "INSERT INTO used_sign_in (state_hash) VALUES (%s) ON CONFLICT DO NOTHING",
        (hashlib.sha256(state.encode()).digest(),),
    )
    return used.rowcount == 1


def email_hash(email: str, *, pepper: bytes) -> bytes:
    """Return what is kept of an address: nobody reads it back."""
    return hmac.digest(pepper, b"email:" + email.strip().casefold().encode(), hashlib.sha256)


def _audit(
    connection: Connection[Row],
    login: str,
    action: str,
    *,
    by: str,
    reason: str,
    now: datetime,
    issuer: str,
) -> None:
    record_audit(
        connection,
        now=now,
        actor=by,
        action=action,
        object=f"login:{login.lower()}" if login else "login",
        entity_code=None,
        reason=reason,
        data={"issuer": issuer},
    )

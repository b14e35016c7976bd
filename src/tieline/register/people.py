"""Find and keep people: matched by e-mail and employee code, named in one table only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import Connection

from tieline.register.names import email_key
from tieline.runtime.database import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Everybody as known now: by e-mail, and by company and employee code, and how they are written."""

    by_email: dict[str, frozenset[UUID]]
    by_code: dict[tuple[str, str], frozenset[UUID]]
    written: dict[UUID, tuple[str, str | None]]


def load_roster(connection: Connection[Row]) -> Roster:
    """Read all people once."""
    emails = connection.execute(
        """
        SELECT s.name, lower(s.email) AS email, p.person_id FROM subject s
        JOIN person p ON p.person_id = s.subject_id AND p.redirect_to IS NULL
        WHERE s.kind = 'person'
        """
    ).fetchall()
    codes = connection.execute(
        """
        SELECT DISTINCT e.entity_code, e.employee_code, e.person_id FROM employment e
        JOIN person p ON p.person_id = e.person_id AND p.redirect_to IS NULL
        WHERE e.superseded_at IS NULL
        """
    ).fetchall()
    by_email: dict[str, frozenset[UUID]] = {}
    written = {row["person_id"]: (row["name"], row["email"]) for row in emails}
    for row in emails:
        if row["email"] is None:
            continue
        by_email[row["email"]] = by_email.get(row["email"], frozenset()) | {row["person_id"]}
    by_code: dict[tuple[str, str], frozenset[UUID]] = {}
    for row in codes:
        code = (row["entity_code"], row["employee_code"])
        by_code[code] = by_code.get(code, frozenset()) | {row["person_id"]}
    return Roster(by_email=by_email, by_code=by_code, written=written)


def matches(
    roster: Roster, *, email: str | None, entity_code: str | None, employee_code: str | None
) -> frozenset[UUID]:
    """Return who it may be: none, one, or several where the identifiers disagree."""
    found: frozenset[UUID] = frozenset()
    address = email_key(email)
    if address is not None:
        found |= roster.by_email.get(address, frozenset())
    if entity_code and employee_code:
        found |= roster.by_code.get((entity_code, employee_code), frozenset())
    return found


def create_person(
    connection: Connection[Row], *, name: str, email: str | None, now: datetime
) -> UUID:
    """Keep a new person; the name goes to the one table of names."""
    row = connection.execute(
        "INSERT INTO person (recorded_at) VALUES (%s) RETURNING person_id", (now,)
    ).fetchone()
    assert row is not None
    person_id: UUID = row["person_id"]
    connection.execute(
        "INSERT INTO subject (subject_id, kind, name, email, recorded_at)"
        " VALUES (%s, 'person', %s, %s, %s)",
        (person_id, name, email_key(email), now),
    )
    return person_id


def rename_person(
    connection: Connection[Row], *, person_id: UUID, name: str, email: str | None
) -> None:
    """Keep the name as its owner spells it; an e-mail is added, never taken away."""
    connection.execute(
        """
        UPDATE subject SET name = %s, email = coalesce(%s, email)
        WHERE subject_id = %s AND (name, email) IS DISTINCT FROM (%s, coalesce(%s, email))
        """,
        (name, email_key(email), person_id, name, email_key(email)),
    )


def erase_person(connection: Connection[Row], *, person_id: UUID) -> Mapping[str, int]:
    """Take a person's name, address and words out of every table; ids and sums stay.

    Return how many raw rows went, how many versions and texts were emptied, and how many keys stay.
    """
    row = connection.execute("SELECT tieline.erase_person(%s) AS counts", (person_id,)).fetchone()
    assert row is not None
    counts: Mapping[str, int] = row["counts"]
    return counts

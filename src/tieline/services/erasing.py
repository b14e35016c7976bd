"""Erase a person: names, addresses and what they wrote go; every hour, amount and sum stays.

Pattern: synchronous, one transaction. Vendor calls: none; a source that still names the person is to
be cleaned first, for what it sends again is stored again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import record_audit
from tieline.kernel.errors import UserMistake
from tieline.posting.handing_over import forget_content
from tieline.register import email_key, erase_person
from tieline.services.proposing_links import forget_proposals

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What went with a name: records as sources sent them, read versions, and texts of hours.

    ``keys`` counts hours whose source names the person in the key of the row. Those stay: the key of
    what stands in the ERP is computed from them.
    """

    person_id: UUID
    raw_rows: int
    versions: int
    narratives: int
    keys: int


def erase(connection: Connection[Row], *, who: str, by: str, reason: str, now: datetime) -> Erased:
    """Erase the person with this e-mail or id, as an audited act.

    :raises UserMistake: nobody, or more than one, is known so; or no reason is given.
    """
    if not reason.strip():
        raise UserMistake("say why the person is erased, such as the request's number")
    person_id = _find(connection, who)
    counts = erase_person(connection, person_id=person_id)
    forget_content(connection, person_id=person_id)
    forget_proposals(connection)
    record_audit(
        connection,
        actor=by,
        action="person.erased",
        object=f"person:{person_id}",
        entity_code=None,
        reason=reason,
        data=dict(counts),
        now=now,
    )
    return Erased(person_id=person_id, **counts)


def _find(connection: Connection[Row], who: str) -> UUID:
    rows = connection.execute(
        """
        SELECT DISTINCT coalesce(p.redirect_to, p.person_id) AS person_id
        FROM person p JOIN subject s ON s.subject_id = p.person_id
        WHERE p.person_id::text = %(who)s OR lower(s.email) = %(who)s
        """,
        {"who": email_key(who)},
    ).fetchall()
    match rows:
        case []:
            raise UserMistake(f"nobody is known as {who}")
        case [row]:
            person_id: UUID = row["person_id"]
            return person_id
        case _:
            ids = ", ".join(sorted(str(row["person_id"]) for row in rows))
            raise UserMistake(f"{len(rows)} people are known as {who}: give one id of {ids}")

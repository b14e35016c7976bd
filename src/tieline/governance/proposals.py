"""What moves money is asked for by one person and agreed to by another; the database insists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.governance.audit import record_audit
from tieline.kernel.errors import UserMistake

PROPOSALS_PAGE_MAX = 200

Row = dict[str, Any]
_COLUMNS = (
    "proposal_id, kind, object, entity_code, payload, proposed_by, proposed_at, reason, state,"
    " approved_by, decided_by, decided_at, decision_reason"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One thing asked for; ``payload`` is what its kind needs to be carried out."""

    proposal_id: UUID
    kind: str
    object: str
    entity_code: str | None
    payload: Mapping[str, Any]
    proposed_by: str
    proposed_at: datetime
    reason: str
    state: str
    approved_by: str | None
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None


def propose(
    connection: Connection[Row],
    *,
    kind: str,
    object: str,
    entity_code: str | None,
    payload: Mapping[str, Any],
    by: str,
    reason: str,
    now: datetime,
    through: str = "",
) -> Proposal:
    """Ask for something that a second person must agree to; ``through`` names a key they used.

    :raises UserMistake: no reason is given.
    """
    if not reason.strip():
        raise UserMistake("a proposal needs a reason")
    row = connection.execute(
        """
        INSERT INTO proposal (kind, object, entity_code, payload, proposed_by, proposed_at, reason)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        RETURNING proposal_id
        """,
        (kind, object, entity_code, Jsonb(dict(payload)), by, now, reason),
    ).fetchone()
    assert row is not None
    proposal = get_proposal(connection, proposal_id=row["proposal_id"])
    _audit(
        connection, proposal, action="proposed", actor=by, reason=reason, through=through, now=now
    )
    return proposal


def approve(
    connection: Connection[Row],
    *,
    proposal_id: UUID,
    by: str,
    reason: str = "",
    now: datetime,
    through: str = "",
) -> Proposal:
    """Agree to a proposal; the caller carries it out in the same transaction.

    :raises UserMistake: it is already decided, or the same person proposed it.
    :raises LookupError: there is none.
    """
    proposal = _waiting(connection, proposal_id)
    if proposal.proposed_by.casefold() == by.casefold():
        raise UserMistake(f"{by} proposed it and may not approve it: ask somebody else")
    connection.execute(
        "UPDATE proposal SET state = 'approved', approved_by = %s, decided_by = %s,"
        " decided_at = %s, decision_reason = %s WHERE proposal_id = %s",
        (by, by, now, reason, proposal_id),
    )
    _audit(
        connection, proposal, action="approved", actor=by, reason=reason, through=through, now=now
    )
    return get_proposal(connection, proposal_id=proposal_id)


def reject(
    connection: Connection[Row],
    *,
    proposal_id: UUID,
    by: str,
    reason: str,
    now: datetime,
    through: str = "",
) -> Proposal:
    """Turn a proposal down, or take one's own back.

    :raises UserMistake: it is already decided.
    :raises LookupError: there is none.
    """
    proposal = _waiting(connection, proposal_id)
    connection.execute(
        "UPDATE proposal SET state = 'rejected', decided_by = %s, decided_at = %s,"
        " decision_reason = %s WHERE proposal_id = %s",
        (by, now, reason, proposal_id),
    )
    _audit(
        connection, proposal, action="rejected", actor=by, reason=reason, through=through, now=now
    )
    return get_proposal(connection, proposal_id=proposal_id)


def get_proposal(connection: Connection[Row], *, proposal_id: UUID) -> Proposal:
    """Return one proposal.

    :raises LookupError: there is none in sight.
    """
    row = connection.execute(
        "SELECT " + _COLUMNS + " FROM proposal WHERE proposal_id = %s", (proposal_id,)
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no proposal {proposal_id}")
    return Proposal(**row)


def list_proposals(
    connection: Connection[Row],
    *,
    state: str | None = "proposed",
    kind: str | None = None,
    object: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[Proposal, ...]:
    """List proposals, the newest first."""
    rows = connection.execute(
        "SELECT " + _COLUMNS + " FROM proposal WHERE (%(state)s::text IS NULL OR state = %(state)s)"
        " AND (%(kind)s::text IS NULL OR kind = %(kind)s)"
        " AND (%(object)s::text IS NULL OR object = %(object)s)"
        " ORDER BY proposed_at DESC, proposal_id LIMIT %(limit)s OFFSET %(offset)s",
        {
            "state": state,
            "kind": kind,
            "object": object,
            "limit": min(limit, PROPOSALS_PAGE_MAX),
            "offset": offset,
        },
    ).fetchall()
    return tuple(Proposal(**row) for row in rows)


def _waiting(connection: Connection[Row], proposal_id: UUID) -> Proposal:
    connection.execute("SELECT FROM proposal WHERE proposal_id = %s FOR UPDATE", (proposal_id,))
    proposal = get_proposal(connection, proposal_id=proposal_id)
    if proposal.state != "proposed":
        raise UserMistake(f"the proposal was already {proposal.state} by {proposal.decided_by}")
    return proposal


def _audit(
    connection: Connection[Row],
    proposal: Proposal,
    *,
    action: str,
    actor: str,
    reason: str,
    through: str,
    now: datetime,
) -> None:
    data = {"proposal_id": str(proposal.proposal_id), "kind": proposal.kind}
    record_audit(
        connection,
        now=now,
        actor=actor,
        action=f"proposal.{action}",
        object=proposal.object,
        entity_code=proposal.entity_code,
        reason=reason,
        data=data | ({"key": through} if through else {}),
    )

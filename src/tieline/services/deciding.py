"""What people decide: who takes a case, whether it needs nothing, what is left out, which rules hold.

Pattern: one transaction per decision, with its audit row. What moves money is proposed by one person
and carried out by the approval of another. Vendor calls: none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.casework import CaseDetail, assign, dismiss, fix_and_replay, get_case, leave_out
from tieline.governance import (
    Proposal,
    approve,
    get_proposal,
    list_proposals,
    open_web_transaction,
    propose,
    record_audit,
)
from tieline.kernel.errors import UserMistake
from tieline.policy import approve_release, reject_release
from tieline.runtime.database import Database
from tieline.sdk.directory import Connectors
from tieline.services import changes, fallback, period_close
from tieline.services.client_merging import MERGE, UNMERGE, carry_out_merge
from tieline.services.handing_over import APPLY, carry_out_apply
from tieline.services.installation import entity_codes
from tieline.services.reference_files import LOAD, carry_out_load
from tieline.services.replaying import REPLAY_SLICE, carry_out_replay
from tieline.services.running_contracts import TELL, carry_out_contracts
from tieline.services.same_client import SAME_CLIENT, carry_out_same_client
from tieline.services.standing_checks import LIFT_STOP, carry_out_lift
from tieline.services.system import System

LEAVE_OUT = "case.leave_out"
# Who may do something about a case, on a page as from a shell; a data steward only says which client it is.
ROLES_THAT_WORK = ("controller", "finance", "delivery", "integration")
ROLES_THAT_MATCH = (*ROLES_THAT_WORK, "data_steward")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """Who decides; ``through`` names the key of a machine that acts for them."""

    login: str
    through: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """A proposal that was agreed to and carried out; ``things`` counts what it touched."""

    proposal: Proposal
    things: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRelease:
    """A release of rules that waits for a second person."""

    release_id: int
    title: str
    proposed_by: str
    proposed_at: datetime
    reason: str
    rules: int


# -- cases -----------------------------------------------------------------------------------------


def assign_case(
    connection: Connection[Row], *, case_id: UUID, to: str | None, by: Decider, now: datetime
) -> None:
    """Give a case to somebody, or to nobody.

    :raises LookupError: there is no such case in sight.
    :raises UserMistake: it is not open.
    """
    entity_code = get_case(connection, case_id=case_id).case.entity_code
    assign(connection, case_id=case_id, to=to)
    _audit(connection, case_id, "case.assigned", entity_code, by=by, reason=to or "nobody", now=now)


def replay_case(
    connection: Connection[Row], *, case_id: UUID, reason: str, by: Decider, now: datetime
) -> int:
    """Judge, read or send the members of a case again; return how many.

    :raises LookupError: there is no such case in sight.
    :raises UserMistake: it is not open.
    """
    entity_code = get_case(connection, case_id=case_id).case.entity_code
    replayed = fix_and_replay(connection, case_id=case_id, by=by.login, reason=reason, now=now)
    _audit(connection, case_id, "case.replayed", entity_code, by=by, reason=reason, now=now)
    return replayed


def dismiss_case(
    connection: Connection[Row], *, case_id: UUID, reason: str, by: Decider, now: datetime
) -> None:
    """Close a case that needs nothing.

    :raises LookupError: there is no such case in sight.
    :raises UserMistake: it is not open, or hours wait for it.
    """
    entity_code = get_case(connection, case_id=case_id).case.entity_code
    dismiss(connection, case_id=case_id, reason=reason, by=by.login, now=now)
    _audit(connection, case_id, "case.dismissed", entity_code, by=by, reason=reason, now=now)


def propose_leave_out(
    connection: Connection[Row], *, case_id: UUID, reason: str, by: Decider, now: datetime
) -> Proposal:
    """Ask that the hours of a case be left out for good; a second person decides.

    :raises LookupError: there is no such case in sight.
    :raises UserMistake: it is not open, holds no hours, or was proposed already.
    """
    detail = get_case(connection, case_id=case_id)
    if detail.case.state != "open":
        raise UserMistake(f"case {case_id} is {detail.case.state}")
    if not any(member.entry_id and member.left_at is None for member in detail.members):
        raise UserMistake(f"no hours wait for case {case_id}: dismiss it instead")
    subject = f"case:{case_id}"
    for waiting in list_proposals(connection, kind=LEAVE_OUT, object=subject):
        raise UserMistake(f"{waiting.proposed_by} has proposed it already")
    return propose(
        connection,
        kind=LEAVE_OUT,
        object=subject,
        entity_code=detail.case.entity_code,
        payload={"case_id": str(case_id), "content": _content(detail)},
        by=by.login,
        reason=reason,
        now=now,
        through=by.through,
    )


# -- proposals -------------------------------------------------------------------------------------


def database_of(system: System, *, proposal_id: UUID, entities: Collection[str]) -> Database:
    """Return the database as whose role a proposal is carried out.

    :raises LookupError: there is none in the sight of these legal entities.
    """
    with open_web_transaction(system.web_database, entities=entities) as connection:
        kind = get_proposal(connection, proposal_id=proposal_id).kind
    return system.database if kind in _OF_THE_WORKER else system.web_database


def approve_and_carry_out(
    connection: Connection[Row],
    *,
    proposal_id: UUID,
    reason: str,
    by: Decider,
    connectors: Connectors,
    now: datetime,
) -> Approved:
    """Agree to a proposal as the second person, and do what it asks for.

    :raises LookupError: there is none in sight.
    :raises UserMistake: it is decided, proposed by the same person, or cannot be carried out now.
    """
    proposal = approve(
        connection,
        proposal_id=proposal_id,
        by=by.login,
        reason=reason,
        now=now,
        through=by.through,
    )
    if proposal.kind == fallback.MAKE:
        things = fallback.carry_out_make(connection, proposal, now, connectors)
    elif proposal.kind == changes.ADJUST:
        things = changes.carry_out_adjust(connection, proposal, now, connectors)
    elif proposal.kind in (MERGE, UNMERGE):
        things = carry_out_merge(connection, proposal, now, connectors)
    elif proposal.kind in _CARRIED_OUT:
        things = _CARRIED_OUT[proposal.kind](connection, proposal, now)
    else:
        raise UserMistake(f"a proposal of the kind {proposal.kind} cannot be carried out here")
    return Approved(proposal=proposal, things=things)


def _leave_out(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    assert proposal.approved_by is not None
    case_id = UUID(proposal.payload["case_id"])
    if _content(get_case(connection, case_id=case_id)) != proposal.payload["content"]:
        raise UserMistake(
            f"other hours wait for case {case_id} than when it was proposed:"
            " turn it down, look again and propose it anew"
        )
    return leave_out(
        connection,
        case_id=case_id,
        reason=proposal.reason,
        proposed_by=proposal.proposed_by,
        approved_by=proposal.approved_by,
        now=now,
    )


def _content(detail: CaseDetail) -> str:
    # What a second person agrees to is what the first one saw: hours that come later are not in it.
    waiting = sorted(
        f"{member.entry_id}:{member.seconds}"
        for member in detail.members
        if member.entry_id and member.left_at is None
    )
    words = [str(detail.case.members), str(detail.case.seconds), *waiting]
    return hashlib.sha256("|".join(words).encode()).hexdigest()


_CARRIED_OUT: Mapping[str, Callable[[Connection[Row], Proposal, datetime], int]] = {
    LEAVE_OUT: _leave_out,
    period_close.CLOSE: period_close.carry_out_close,
    period_close.REOPEN: period_close.carry_out_reopen,
    changes.CREDITED: changes.carry_out_credited,
    SAME_CLIENT: carry_out_same_client,
    LIFT_STOP: carry_out_lift,
    REPLAY_SLICE: carry_out_replay,
    LOAD: carry_out_load,
    TELL: carry_out_contracts,
    APPLY: carry_out_apply,
}
# The register and what is sent are the worker's: no page changes them but through an approved proposal.
_OF_THE_WORKER = frozenset(
    {SAME_CLIENT, MERGE, UNMERGE, LIFT_STOP, LOAD, TELL, APPLY, fallback.MAKE}
)


# -- releases of rules -----------------------------------------------------------------------------


def list_draft_releases(connection: Connection[Row]) -> tuple[DraftRelease, ...]:
    """List the releases that wait for a second person, the oldest first."""
    rows = connection.execute(
        """
        SELECT r.release_id, r.title, r.proposed_by, r.proposed_at, r.reason,
               (SELECT count(*) FROM rule u WHERE u.release_id = r.release_id) AS rules
        FROM release r WHERE r.state = 'draft' ORDER BY r.release_id
        """
    ).fetchall()
    return tuple(DraftRelease(**row) for row in rows)


def approve_draft_release(
    connection: Connection[Row],
    *,
    release_id: int,
    by: Decider,
    entities: Collection[str],
    now: datetime,
) -> None:
    """Let a release decide from now on; it decides for every legal entity.

    :raises LookupError: the person may not act for every legal entity.
    :raises UserMistake: it is not a draft, or the same person proposed it.
    """
    if not set(entity_codes(connection)) <= set(entities):
        raise LookupError(f"there is no release {release_id}")
    approve_release(
        connection, release_id=release_id, approved_by=by.login, now=now, through=by.through
    )


def reject_draft_release(
    connection: Connection[Row],
    *,
    release_id: int,
    reason: str,
    by: Decider,
    entities: Collection[str],
    now: datetime,
) -> None:
    """Turn a draft release down, or take one's own back.

    :raises LookupError: the person may not act for every legal entity.
    :raises UserMistake: it is not a draft.
    """
    if not set(entity_codes(connection)) <= set(entities):
        raise LookupError(f"there is no release {release_id}")
    reject_release(
        connection,
        release_id=release_id,
        rejected_by=by.login,
        reason=reason,
        now=now,
        through=by.through,
    )


def _audit(
    connection: Connection[Row],
    case_id: UUID,
    action: str,
    entity_code: str | None,
    *,
    by: Decider,
    reason: str,
    now: datetime,
) -> None:
    record_audit(
        connection,
        now=now,
        actor=by.login,
        action=action,
        object=f"case:{case_id}",
        entity_code=entity_code,
        reason=reason,
        data={"key": by.through} if by.through else None,
    )

"""Check our own books all the time, and stop what is sent for a scope in which they do not agree.

Pattern: scheduled, one worker at a time. Target: every few minutes, each check one statement over all of
the books. Vendor calls: none. A breach stops its scope, opens an incident and is audited in one
transaction; what is green twice again goes on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import Connection

from tieline.casework import keep_cases
from tieline.governance import Proposal, list_proposals, propose, record_audit
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import UserMistake
from tieline.posting import Breach, StopScope, get_stop, keep_stops, lift_stop
from tieline.reconciliation import (
    GREEN,
    NOT_CHECKED,
    OWN_CHECKS,
    RED,
    Found,
    keep_result,
    look_at_own_books,
)
from tieline.runtime.database import Database

LIFT_STOP = "posting.lift_stop"
OWN_BOOKS = ""
_MEMBERS_MAX = 200
_FIX = (
    "Nothing is sent for it until our books agree again: find who changed the rows below past Tieline,"
    " restore them from a backup, and look: tieline checks --now"
)
_SECONDS_PER_HOUR = 3600

_log = structlog.get_logger("tieline.checks")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChecks:
    """Make every check of our own books."""

    database: Database
    clock: Clock

    def look(self) -> int:
        """Make each check; return how many are red."""
        return sum(self._make(check) for check in OWN_CHECKS)

    def _make(self, check: str) -> bool:
        began = time.monotonic()
        try:
            with self.database.transaction() as connection:
                found = look_at_own_books(connection, check=check)
                took = int((time.monotonic() - began) * 1000)
                keep_found(
                    connection,
                    check=check,
                    subject=OWN_BOOKS,
                    found=found,
                    fix=_FIX,
                    took_milliseconds=took,
                    now=self.clock.now(),
                )
        except psycopg.Error as error:
            with self.database.transaction() as connection:
                keep_result(
                    connection,
                    check=check,
                    subject=OWN_BOOKS,
                    state=NOT_CHECKED,
                    why=f"the database did not answer it: {type(error).__name__}",
                    now=self.clock.now(),
                )
            _log.warning("check.not_made", check=check, why=type(error).__name__)
            return False
        return bool(found)


def keep_found(
    connection: Connection[Row],
    *,
    check: str,
    subject: str,
    found: Sequence[Found],
    elsewhere: Sequence[Found] = (),
    fix: str,
    took_milliseconds: int,
    now: datetime,
) -> None:
    """Stop the scopes in which a check found something, let incidents stand, and keep what it said.

    ``elsewhere`` is what the check found of other subjects: their incidents go on standing.
    """
    by_scope = _by_scope(found)
    stop_scopes(
        connection,
        check=check,
        subject=subject,
        breaches=[
            Breach(scope=scope, because=_because(each), measure=_measure(each))
            for scope, each in by_scope.items()
        ],
        now=now,
    )
    everywhere = _by_scope([*found, *elsewhere])
    names = read_names(connection, list(everywhere))
    keep_cases(
        connection,
        requests=[
            _incident(check, scope, each, names, fix=fix) for scope, each in everywhere.items()
        ],
        reasons=(check,),
        now=now,
        correlation_id=check,
    )
    keep_result(
        connection,
        check=check,
        subject=subject,
        state=RED if found else GREEN,
        things=sum(each.things for each in found),
        took_milliseconds=took_milliseconds,
        why="; ".join(dict.fromkeys(each.said for each in found)),
        now=now,
    )


def stop_scopes(
    connection: Connection[Row],
    *,
    check: str,
    subject: str,
    breaches: Sequence[Breach],
    now: datetime,
) -> None:
    """Stop what is red and let go on what is green again twice, and audit both."""
    kept = keep_stops(connection, check=check, subject=subject, breaches=breaches, now=now)
    by_key = {breach.scope.key: breach for breach in breaches}
    for scope in kept.stopped:
        record_audit(
            connection,
            now=now,
            actor=f"check:{check}",
            action="posting.stopped",
            object=f"scope:{scope.key}",
            entity_code=scope.entity_code,
            reason=by_key[scope.key].because,
        )
    for key in kept.lifted:
        record_audit(
            connection,
            now=now,
            actor=f"check:{check}",
            action="posting.resumed",
            object=f"scope:{key}",
            entity_code=None,
            reason="green again twice",
        )


# -- people ----------------------------------------------------------------------------------------


def propose_lift(
    connection: Connection[Row], *, stop_id: UUID, reason: str, by: str, through: str, now: datetime
) -> Proposal:
    """Ask that a scope go on although its check is red; a second person decides, for money moves then.

    :raises LookupError: there is no such stop in sight.
    :raises UserMistake: it was proposed already.
    """
    stop = get_stop(connection, stop_id=stop_id)
    subject = f"stop:{stop_id}"
    for waiting in list_proposals(connection, kind=LIFT_STOP, object=subject):
        raise UserMistake(f"{waiting.proposed_by} has proposed it already")
    return propose(
        connection,
        kind=LIFT_STOP,
        object=subject,
        entity_code=stop.entity_code,
        payload={
            "stop_id": str(stop_id),
            "fingerprint": stop.fingerprint,
            "scope": stop.scope_words,
            "because": stop.because,
        },
        by=by,
        reason=reason,
        now=now,
        through=through,
    )


def carry_out_lift(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Let the scope of an approved proposal go on; what comes to its check anew stops it anew.

    :raises UserMistake: its check found something else since it was proposed.
    """
    assert proposal.approved_by is not None
    lift_stop(
        connection,
        stop_id=UUID(proposal.payload["stop_id"]),
        fingerprint=proposal.payload["fingerprint"],
        proposed_by=proposal.proposed_by,
        approved_by=proposal.approved_by,
        reason=proposal.reason,
        now=now,
    )
    record_audit(
        connection,
        now=now,
        actor=proposal.approved_by,
        action="posting.resumed",
        object=proposal.object,
        entity_code=proposal.entity_code,
        reason=proposal.reason,
        data={"proposal_id": str(proposal.proposal_id), "scope": proposal.payload["scope"]},
    )
    return 1


# -- words -----------------------------------------------------------------------------------------


def read_names(connection: Connection[Row], scopes: Sequence[StopScope]) -> Mapping[UUID, str]:
    """Return the codes of the periods and projects of some scopes."""
    rows = connection.execute(
        "SELECT period_id AS id, period_code AS code FROM fiscal_period WHERE period_id = ANY (%s)"
        " UNION ALL SELECT project_id, project_code FROM project WHERE project_id = ANY (%s)",
        (
            [scope.period_id for scope in scopes if scope.period_id],
            [scope.project_id for scope in scopes if scope.project_id],
        ),
    ).fetchall()
    return {row["id"]: row["code"] for row in rows}


def scope_words(scope: StopScope, names: Mapping[UUID, str]) -> str:
    """Name a scope as a person would."""
    named = (
        scope.source_connection,
        scope.target_connection,
        scope.entity_code,
        scope.period_id and names.get(scope.period_id, str(scope.period_id)),
        scope.project_id and names.get(scope.project_id, str(scope.project_id)),
    )
    return " ".join(each for each in named if each)


def _by_scope(found: Sequence[Found]) -> dict[StopScope, list[Found]]:
    by_scope: dict[StopScope, list[Found]] = {}
    for each in found:
        scope = StopScope(
            source_connection=each.source_connection,
            target_connection=each.target_connection,
            entity_code=each.entity_code,
            period_id=each.period_id,
            project_id=each.project_id,
        )
        by_scope.setdefault(scope, []).append(each)
    return by_scope


def _because(found: Sequence[Found]) -> str:
    return "; ".join(f"{each.things} {each.said}{_worth(each)}" for each in found)


def _worth(each: Found) -> str:
    hours = f"{Decimal(each.seconds) / _SECONDS_PER_HOUR:.2f} h" if each.seconds else ""
    money = f"{each.amount} {each.currency}" if each.amount and each.currency else ""
    said = ", ".join(word for word in (hours, money) if word)
    return f" ({said})" if said else ""


def _measure(found: Sequence[Found]) -> str:
    return "|".join(
        f"{each.said} {each.things} {each.seconds} {each.amount} {each.currency} {each.digest}"
        for each in found
    )


def _incident(
    check: str,
    scope: StopScope,
    found: Sequence[Found],
    names: Mapping[UUID, str],
    *,
    fix: str,
) -> CaseRequest:
    members = [
        CaseMember(kind="thing", key=f"{key} ({each.said})") for each in found for key in each.keys
    ]
    return CaseRequest(
        reason=check,
        owner_queue="integration",
        thing_kind="scope",
        thing_key=scope_words(scope, names),
        entity_code=scope.entity_code,
        members=tuple(members[:_MEMBERS_MAX]),
        details={"problem": _because(found), "fix": fix},
        is_incident=True,
    )

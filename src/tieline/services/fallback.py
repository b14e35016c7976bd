"""When a target stays down near a cut-off: give its lines to finance as a file, and settle them afterwards.

Pattern: proposed by one person, made by the approval of another in one transaction; settled on a
schedule once the target answers. Vendor calls: none to make a file; per open file one search, one
change and one read a minute, and of a settled one a search an hour for a week, for it may be loaded
a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from psycopg import Connection

from tieline.casework import keep_cases
from tieline.governance import Proposal, list_proposals, propose, record_audit
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TielineError, UserMistake
from tieline.posting.file_settling import FileSettler, Looked
from tieline.posting.handing_over import (
    HANDED_OVER,
    OPEN,
    FileDraft,
    FileScope,
    FileWords,
    GivenSum,
    ImportFile,
    draft_file,
    get_file,
    hand_over,
    list_files,
    sum_given,
)
from tieline.runtime.database import Database
from tieline.sdk.directory import Connectors

MAKE = "fallback.make"
VALID_HOURS = 24
VALID_HOURS_MAX = 240
_NEAR, _UNTAKEN_SINCE = timedelta(hours=24), timedelta(minutes=10)
_ASK_SECONDS = 60
_WATCH_SECONDS = 3600
_WATCH_DAYS = 7
_FILES_MAX = 50
_MEMBERS_MAX = 200
_SECONDS_PER_HOUR = 3600

_log = structlog.get_logger("tieline.fallback")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """Lines of one currency (None: unpriced) that a target does not take while their cut-off comes near."""

    target_connection: str
    system: str
    entity_code: str
    period_code: str
    cut_off_at: datetime
    currency: str | None
    lines: int
    seconds: int
    amount: Decimal | None

    @property
    def command(self) -> str:
        """Return what a person types to see the file."""
        return (
            f"tieline fallback make --target {self.target_connection} --entity {self.entity_code}"
            f" --period {self.period_code}"
        )


def list_not_taken(connection: Connection[Row], *, now: datetime) -> tuple[NotTaken, ...]:
    """List what may have to go out as a file before a cut-off, in the caller's sight."""
    rows = connection.execute(
        "SELECT * FROM page_lines_not_taken(%s, %s, %s)", (now, _NEAR, _UNTAKEN_SINCE)
    ).fetchall()
    return tuple(NotTaken(**row) for row in rows)


# -- asked for by one person -----------------------------------------------------------------------


def draft_files(
    connection: Connection[Row],
    *,
    connectors: Connectors,
    target_connection: str,
    entities: Sequence[str],
    period_code: str | None,
    now: datetime,
    locks: bool = True,
) -> tuple[FileDraft, ...]:
    """Return what a file of each legal entity would hold now, in the sight of whoever asks.

    :raises UserMistake: none of these entities posts to the target, or nobody can load a file there.
    """
    rows = connection.execute(
        "SELECT entity_code FROM legal_entity WHERE erp_connection_key = %s AND entity_code = ANY (%s)"
        " ORDER BY entity_code",
        (target_connection, list(entities)),
    ).fetchall()
    if not rows:
        raise UserMistake(f"no legal entity in your sight posts to {target_connection}")
    return tuple(
        draft_file(
            connection,
            scope=FileScope(
                target_connection=target_connection,
                entity_code=row["entity_code"],
                period_code=period_code,
                planned_by=now,
            ),
            connectors=connectors,
            locks=locks,
        )
        for row in rows
    )


def propose_file(
    connection: Connection[Row],
    *,
    draft: FileDraft,
    valid_hours: int,
    reason: str,
    by: str,
    now: datetime,
    through: str = "",
) -> Proposal:
    """Ask that the lines of a draft be given to finance as a file.

    :raises UserMistake: it is empty, proposed already, or no reason is given.
    """
    scope = draft.scope
    if not draft.commands:
        raise UserMistake(
            f"no line of {scope.entity_code} waits that may go into a file for {scope.target_connection}"
        )
    subject = subject_of(scope)
    for waiting in list_proposals(connection, kind=MAKE, object=subject):
        raise UserMistake(f"{waiting.proposed_by} has proposed it already")
    return propose(
        connection,
        kind=MAKE,
        object=subject,
        entity_code=scope.entity_code,
        payload={
            "target_connection": scope.target_connection,
            "entity_code": scope.entity_code,
            "period_code": scope.period_code,
            "valid_hours": valid_hours,
            "told": told_of(draft),
        },
        by=by,
        reason=reason,
        now=now,
        through=through,
    )


def subject_of(scope: FileScope) -> str:
    """Return what a proposal to make a file is about: one waits per target and legal entity."""
    return f"target:{scope.target_connection}:{scope.entity_code}"


def told_of(draft: FileDraft) -> str:
    """Say in one line what a file would hold."""
    money = ", ".join(f"{amount} {currency}" for currency, amount in draft.amounts.items())
    return f"{len(draft.commands)} lines, {_hours(draft.seconds)} h, {money or 'unpriced'}"


# -- carried out by the approval of another --------------------------------------------------------


def carry_out_make(
    connection: Connection[Row], proposal: Proposal, now: datetime, connectors: Connectors
) -> int:
    """Make the file of an approved proposal; return how many lines are in it.

    What was planned after the first person looked is not in it.

    :raises UserMistake: nothing of it may be given out any more.
    """
    assert proposal.approved_by is not None
    asked = proposal.payload
    draft = draft_file(
        connection,
        scope=FileScope(
            target_connection=asked["target_connection"],
            entity_code=asked["entity_code"],
            period_code=asked["period_code"],
            planned_by=proposal.proposed_at,
        ),
        connectors=connectors,
    )
    made = hand_over(
        connection,
        draft=draft,
        words=FileWords(
            proposal_id=proposal.proposal_id,
            made_by=proposal.proposed_by,
            approved_by=proposal.approved_by,
            reason=proposal.reason,
            valid_until=now + timedelta(hours=asked["valid_hours"]),
        ),
        now=now,
    )
    record_audit(
        connection,
        now=now,
        actor=proposal.approved_by,
        action="fallback.made",
        object=f"file:{made.file_name}",
        entity_code=made.entity_code,
        reason=proposal.reason,
        data={
            "checksum": made.checksum,
            "lines": made.lines,
            "seconds": made.seconds,
            "amounts": dict(made.cover["amounts"]),
        },
    )
    keep_file_cases(connection, now=now)
    return made.lines


# -- afterwards ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Ask targets about files until every line of them is matched or free."""

    database: Database
    connectors: Connectors
    clock: Clock

    def look_due(self) -> int:
        """Ask about every file that is due; return of how many the target told."""
        with self.database.transaction() as connection:
            due = _due(connection, now=self.clock.now())
        told = sum(self._try(file) for file in due)
        with self.database.transaction() as connection:
            keep_file_cases(connection, now=self.clock.now())
        return told

    def release(self, *, file_name: str, by: str, reason: str) -> Looked:
        """Give free what of a file does not stand in the target, for nobody will load it.

        :raises LookupError: there is no such file.
        :raises TielineError: the target could not be asked.
        :raises UserMistake: it is no longer open, or no reason is given.
        """
        file = self._open_file(file_name, reason)
        looked = self._settler().look(file=file, released_by=by)
        self._audit(file, by=by, reason=reason, looked=looked, action="fallback.released")
        return looked

    def withdraw(self, *, file_name: str, by: str, reason: str) -> Looked:
        """Take a file back of which nothing stands in the target, after asking it.

        :raises LookupError: there is no such file.
        :raises TielineError: the target could not be asked.
        :raises UserMistake: something of it stands, it is no longer open, or no reason is given.
        """
        file = self._open_file(file_name, reason)
        looked = self._settler().withdraw(file=file, by=by)
        self._audit(file, by=by, reason=reason, looked=looked, action="fallback.withdrawn")
        return looked

    def _try(self, file: ImportFile) -> bool:
        try:
            looked = self._settler().look(file=file)
        except TielineError as error:
            # Its case stands; it is asked again.
            _log.info("fallback.not_answered", file=file.file_name, why=str(error))
            return False
        if looked.matched or looked.released or looked.differs or looked.doubled:
            _log.info(
                "fallback.settled",
                file=file.file_name,
                matched=looked.matched,
                released=looked.released,
                differs=looked.differs,
                doubled=looked.doubled,
            )
        return True

    def _open_file(self, file_name: str, reason: str) -> ImportFile:
        if not reason.strip():
            raise UserMistake("say why, such as that nobody has loaded it")
        with self.database.transaction() as connection:
            file = get_file(connection, file_name=file_name)
        if file.state != OPEN:
            raise UserMistake(f"{file.file_name} is {file.state}")
        return file

    def _settler(self) -> FileSettler:
        return FileSettler(database=self.database, connectors=self.connectors, clock=self.clock)

    def _audit(
        self, file: ImportFile, *, by: str, reason: str, looked: Looked, action: str
    ) -> None:
        now = self.clock.now()
        with self.database.transaction() as connection:
            record_audit(
                connection,
                now=now,
                actor=by,
                action=action,
                object=f"file:{file.file_name}",
                entity_code=file.entity_code,
                reason=reason,
                data={"matched": looked.matched, "released": looked.released},
            )
            keep_file_cases(connection, now=now)


def keep_file_cases(connection: Connection[Row], *, now: datetime) -> None:
    """Let a case stand for each file of which something is neither matched nor free."""
    sums: dict[str, list[GivenSum]] = {}
    for each in sum_given(connection):
        sums.setdefault(each.file_name, []).append(each)
    keep_cases(
        connection,
        requests=[
            _case(file, sums[file.file_name])
            for file in list_files(connection, state=OPEN)
            if file.file_name in sums
        ],
        reasons=(HANDED_OVER,),
        now=now,
        correlation_id="fallback",
    )


def _case(file: ImportFile, given: Sequence[GivenSum]) -> CaseRequest:
    lines = sum(each.lines for each in given)
    return CaseRequest(
        reason=HANDED_OVER,
        owner_queue="finance",
        thing_kind="file",
        thing_key=file.file_name,
        entity_code=file.entity_code,
        members=tuple(
            CaseMember(
                kind="project",
                key=f"{each.project_code} {each.currency or 'unpriced'}",
                seconds=each.seconds,
                amount=each.amount,
                currency=each.currency,
            )
            for each in given[:_MEMBERS_MAX]
        ),
        details={
            "problem": f"{lines} lines were given out as a file and are not found in"
            f" {file.target_connection} yet",
            "fix": f"Load the file once, until {file.valid_until:%Y-%m-%d %H:%M} UTC, or withdraw it:"
            f" tieline fallback withdraw {file.file_name}.",
        },
        due_at=file.valid_until,
    )


def _due(connection: Connection[Row], *, now: datetime) -> list[ImportFile]:
    rows = connection.execute(
        """
        SELECT f.file_id FROM import_file f JOIN connection c ON c.connection_key = f.target_connection
        WHERE c.mode = 'act' AND NOT c.paused
          AND (f.state = 'open' OR f.closed_at > %(now)s - make_interval(days => %(days)s))
          AND (f.asked_at IS NULL OR f.asked_at + make_interval(secs =>
               CASE f.state WHEN 'open' THEN %(ask)s ELSE %(watch)s END) <= %(now)s)
        ORDER BY f.asked_at NULLS FIRST, f.made_at LIMIT %(limit)s
        """,
        {
            "now": now,
            "days": _WATCH_DAYS,
            "ask": _ASK_SECONDS,
            "watch": _WATCH_SECONDS,
            "limit": _FILES_MAX,
        },
    ).fetchall()
    return [get_file(connection, file_name=str(row["file_id"])) for row in rows]


def _hours(seconds: int) -> str:
    whole, rest = divmod(seconds, _SECONDS_PER_HOUR)
    return f"{whole}:{rest // 60:02}"

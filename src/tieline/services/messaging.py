"""Bring messages to people: write what is due, send each once, and open a case where one is not taken.

Pattern: written on a schedule, sent durably, one piece of work per message. Target: within a minute.
Vendor calls: one per message and try. An attempt is noted before the call; a message whose answer was
lost is sent again only where the receiver tells the repetition, or was asked first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import structlog
from psycopg import Connection

from tieline.casework import keep_cases
from tieline.governance import record_audit
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import (
    AlreadyExists,
    AskPerson,
    LeaseLost,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TielineError,
    TryAgain,
)
from tieline.kernel.failpoints import failpoint
from tieline.notices import (
    Attempt,
    Directory,
    NotSent,
    begin_again,
    begin_attempt,
    give_up,
    link_token,
    list_not_sent,
    note_receipt,
    note_unknown,
    put_off,
    read_directory,
    send_again,
)
from tieline.notices.sending import NO_ADDRESS, TOO_LATE
from tieline.notices.writing import NOBODY
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.work import CUT_OFF, Again, Done, Outcome, Steps, schedule
from tieline.sdk import FindsNotices, Messenger, Notice, NoticeReceipt, Repeats
from tieline.sdk.directory import Connectors
from tieline.services.digesting import digest
from tieline.services.early_telling import tell_early_due
from tieline.services.escalating import escalate
from tieline.services.message_desk import SEND_NOTICE, Desk, read_deadlines, read_zones
from tieline.services.message_text import Speech
from tieline.services.telling_risk import tell_risks

NOT_SENT = "notice.not_sent"
LINK_PURPOSE = "notice link"
_REASONS = (NOT_SENT, NOBODY)
_UNKNOWN = OutcomeUnknown.code
_PAUSED_SECONDS = 60
_PERSON_SECONDS = 300
_AGAIN_SECONDS_MAX = 300
_AGAIN_FACTOR_MAX = 8
_USEFUL_AGAIN = timedelta(days=1)

_log = structlog.get_logger("tieline.messaging")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Messaging:
    """The schedule that writes messages, and the durable handler that sends one."""

    database: Database
    connectors: Connectors
    budgets: Budgets
    clock: Clock
    speech: Speech
    digest_hour: int
    early_days: frozenset[int]
    link_key: bytes = field(repr=False)
    pepper: bytes = field(repr=False)

    def write_due(self) -> int:
        """Write what is due, and let cases stand for what is not taken; return the rounds told of."""
        now = self.clock.now()
        with self.database.transaction() as connection:
            directory = read_directory(connection)
            deadlines = read_deadlines(connection, now=now)
            zones = read_zones(connection)
        told = 0
        if directory.is_used:
            desk = Desk(
                speech=self.speech,
                directory=directory,
                now=now,
                link_key=self.link_key,
                pepper=self.pepper,
            )
            told += escalate(self.database, desk=desk, deadlines=deadlines)
            told += tell_risks(self.database, desk=desk)
            told += digest(
                self.database, desk=desk, zones=zones, deadlines=deadlines, hour=self.digest_hour
            )
            told += tell_early_due(
                self.database, desk=desk, zones=zones, days=self.early_days, hour=self.digest_hour
            )
        with self.database.transaction() as connection:
            keep_cases(
                connection,
                requests=_cases(list_not_sent(connection), directory, now=now),
                reasons=_REASONS,
                now=now,
                correlation_id="messages",
            )
        return told

    def send(self, steps: Steps, subject: str) -> Outcome:
        """Send one message."""
        seconds = steps.run("send", lambda: self._send(UUID(subject)))
        return Again(due_in_seconds=seconds) if seconds else Done()

    def _send(self, notice_key: UUID) -> int:
        """Try once; return in how many seconds to try again, 0 when nothing is left to do."""
        with self.database.transaction() as connection:
            attempt = begin_attempt(connection, notice_key=notice_key)
            reason = None if attempt is None else self._why_not(attempt)
            if attempt is not None and reason is not None:
                give_up(connection, attempt=attempt, error=reason)
        if attempt is None or reason is not None:
            return 0
        if not attempt.can_send:
            return _PAUSED_SECONDS
        if attempt.settles_in_seconds:
            return attempt.settles_in_seconds
        failpoint("notice.after_intent")
        try:
            receipt = self._found(attempt)
        except LeaseLost:
            raise
        except TielineError as error:
            return self._note(attempt, error, is_open=True)
        try:
            receipt = receipt or self._bring(attempt)
        except LeaseLost:
            raise
        except TielineError as error:
            return self._note(attempt, error, is_open=False)
        failpoint("notice.after_answer")
        with self.database.transaction() as connection:
            note_receipt(connection, attempt=attempt, receiver_code=receipt.receiver_code)
        self.budgets.note_answer(connection_key=attempt.connection_key)
        return 0

    def _why_not(self, attempt: Attempt) -> str | None:
        if self.clock.now() >= attempt.useful_until:
            return TOO_LATE
        if attempt.address is None:
            return NO_ADDRESS
        if attempt.was_lost and self._repeats(attempt) is Repeats.NEVER:
            return _UNKNOWN
        return None

    def _found(self, attempt: Attempt) -> NoticeReceipt | None:
        """Return what an earlier try left; where nothing stands, the next one begins."""
        if not attempt.was_lost or self._repeats(attempt) is not Repeats.ASKED:
            return None
        connector = self.connectors.get(connection_key=attempt.connection_key)
        found = cast(FindsNotices, connector).find_notice(notice=self._notice(attempt))
        if found is None:
            with self.database.transaction() as connection:
                begin_again(connection, attempt=attempt)
        return found

    def _bring(self, attempt: Attempt) -> NoticeReceipt:
        notice = self._notice(attempt)
        connector = self.connectors.get(connection_key=attempt.connection_key)
        try:
            return cast(Messenger, connector).send(notice=notice)
        except AlreadyExists as error:
            return NoticeReceipt(receiver_code=error.target_code)

    def _note(self, attempt: Attempt, error: TielineError, *, is_open: bool) -> int:
        """Note what came of a try that failed; return in how many seconds to try again.

        While it is open what became of an earlier one, no error of asking settles it.
        """
        _log.info("notice.put_off", connection_key=attempt.connection_key, why=error.code)
        wait = min(_AGAIN_SECONDS_MAX, 1 << min(attempt.attempts, _AGAIN_FACTOR_MAX))
        put_by = note_unknown if is_open else put_off
        with self.database.transaction() as connection:
            match error:
                case Refused() if not is_open:
                    give_up(connection, attempt=attempt, error=error.code)
                    return 0
                case AskPerson():
                    put_by(connection, attempt=attempt, error=error.code)
                    return _PERSON_SECONDS
                case NotExecuted():
                    put_by(connection, attempt=attempt, error=error.code)
                case _:
                    # What does not say that surely nothing was sent may have been.
                    note_unknown(connection, attempt=attempt, error=error.code)
        if isinstance(error, TryAgain) and error.retry_after_seconds:
            wait = error.retry_after_seconds
            self.budgets.note_retry_after(
                connection_key=attempt.connection_key, seconds=error.retry_after_seconds
            )
        else:
            self.budgets.note_failure(connection_key=attempt.connection_key)
        return wait

    def _notice(self, attempt: Attempt) -> Notice:
        token = link_token(attempt.notice_key, link_key=self.link_key)
        url = f"{self.speech.web_url}/seen?token={token}" if self.speech.web_url else ""
        return Notice(
            notice_key=attempt.notice_key,
            kind=attempt.kind,
            is_urgent=attempt.is_urgent,
            recipient=attempt.recipient,
            address=attempt.address or "",
            subject=attempt.subject,
            text=attempt.body,
            entity_code=attempt.entity_code,
            written_at=attempt.written_at,
            due_at=attempt.due_at,
            acknowledge_url=url,
        )

    def _repeats(self, attempt: Attempt) -> Repeats | None:
        return self.connectors.capabilities(connection_key=attempt.connection_key).notice_repeats


def send_messages_again(connection: Connection[Row], *, by: str, now: datetime) -> int:
    """Have everything sent anew that was given up; return how many messages."""
    keys = send_again(connection, useful_until=now + _USEFUL_AGAIN)
    for notice_key in keys:
        schedule(
            connection,
            kind=SEND_NOTICE,
            subject=str(notice_key),
            work_class=CUT_OFF,
            correlation_id="messages:again",
        )
    if keys:
        record_audit(
            connection,
            now=now,
            actor=by,
            action="notices.sent_again",
            object="notices",
            entity_code=None,
            reason="the channel was mended",
            data={"notices": len(keys)},
        )
    return len(keys)


def _cases(
    not_sent: Sequence[NotSent], directory: Directory, *, now: datetime
) -> list[CaseRequest]:
    return [
        _unreached(each, each.owner) if each.owner is not None else _untaken(each)
        for each in not_sent
        # Whoever is reached by now is told with the next message.
        if each.owner is None or not directory.of_owner(each.owner, day=now.date(), is_urgent=True)
    ]


def _untaken(each: NotSent) -> CaseRequest:
    return CaseRequest(
        reason=NOT_SENT,
        owner_queue="integration",
        thing_kind="connection",
        thing_key=str(each.connection_key),
        entity_code=None,
        members=_members(each),
        details={
            "problem": f"{each.connection_key} has not taken {each.notices} messages"
            f" ({', '.join(each.errors)})",
            "fix": "Mend the channel or the address, then send them again:"
            " tieline messages --send-again",
        },
        is_incident=True,
    )


def _unreached(each: NotSent, owner: str) -> CaseRequest:
    name = owner.partition(":")[2]
    return CaseRequest(
        reason=NOBODY,
        owner_queue="integration",
        thing_kind="owner",
        thing_key=owner,
        entity_code=None,
        members=_members(each),
        details={
            "problem": f"{each.notices} messages to {name} were written, and nobody is reached there",
            "fix": "Say where they are reached, or who is on call: tieline people reach",
        },
    )


def _members(each: NotSent) -> tuple[CaseMember, ...]:
    return tuple(CaseMember(kind="notice", key=key) for key in each.members)

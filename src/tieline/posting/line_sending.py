"""Send the lines of a scope, batch by batch: one is on its way while the one before it is recorded.

Reserve and commit; call and read back with nothing held; record and book, and commit. What records a batch also
reserves the one after the next, so that each batch costs one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection

from tieline.canonical import TimeLineCommand
from tieline.canonical.commands import Content, content_hash
from tieline.kernel.clock import Clock
from tieline.kernel.errors import (
    AlreadyExists,
    AskPerson,
    HeldBack,
    LeaseLost,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TielineError,
    TryAgain,
)
from tieline.kernel.failpoints import failpoint
from tieline.ledger import ConfirmedLine, confirm
from tieline.posting import states
from tieline.posting.line_access import LineAccess
from tieline.posting.line_moves import (
    RETRY_SECONDS,
    Attempts,
    by_key,
    conflict_doubled,
    hold,
    move,
)
from tieline.posting.outgoing import command_of
from tieline.runtime.budget import repeated_calls
from tieline.runtime.database import Database
from tieline.sdk import LineAnswer, Receipt, RefusedLine, StoredLine

Row = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a call said of each line of its batch; ``error`` is what refused the rest at the door."""

    confirmed: list[StoredLine] = field(default_factory=list)
    differing: list[UUID] = field(default_factory=list)
    rejected: dict[UUID, str] = field(default_factory=dict)
    unknown: list[UUID] = field(default_factory=list)
    not_executed: list[UUID] = field(default_factory=list)
    wait_seconds: int = RETRY_SECONDS
    why_not: str = NotExecuted.code
    error: TielineError | None = None

    @property
    def may_go_on(self) -> bool:
        """Say whether the next batch can expect to be taken."""
        return not self.unknown and not self.not_executed

    def missing(self, keys: Iterable[UUID]) -> list[UUID]:
        """Return the lines of which nothing was said yet."""
        told = {
            *(line.business_key for line in self.confirmed),
            *self.differing,
            *self.rejected,
            *self.unknown,
            *self.not_executed,
        }
        return [key for key in keys if key not in told]


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many lines became what."""

    confirmed: int = 0
    rejected: int = 0
    unknown: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a batch in that is recorded."""
        self.confirmed += len(outcome.confirmed)
        self.rejected += len(outcome.rejected)
        self.unknown += len(outcome.unknown)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Lines at INTENT, each under its attempt, with what is asked for and its hash."""

    commands: Sequence[TimeLineCommand]
    contents: Mapping[UUID, Content]
    hashes: Mapping[UUID, str]
    attempts: Attempts
    is_repeat: bool


_Done = tuple[_Batch, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSender:
    """Send the lines of one scope in the ways of its target."""

    database: Database
    access: LineAccess
    clock: Clock
    scope_values: Mapping[str, Any]
    lines_max: int
    work_class: int
    settle_seconds: Callable[[Connection[Row]], int]

    def send(self, statements: Sequence[LiteralString]) -> Tally:
        """Send a batch for each statement that reserves one, until one finds nothing.

        Only a target that refuses a second line is given a batch before the one before it is recorded:
        elsewhere the fence alone keeps a late sender back, and a pause of the recording thread would fall
        between the look at the deadline and the first byte of the call beside it.
        """
        tally = Tally()
        if len(statements) > 1 and self.access.refuses_twice:
            self._send_overlapping(iter(statements), tally)
            return tally
        for statement in statements:
            batch = self._turn(None, iter([statement]), tally)
            if batch is None:
                break
            outcome = self._called(batch)
            self._turn((batch, outcome), iter(()), tally)
            _raise_refusal(outcome)
            if not outcome.may_go_on:
                break
        return tally

    def _send_overlapping(self, statements: Iterator[LiteralString], tally: Tally) -> None:
        batch = self._turn(None, statements, tally)
        done: _Done | None = None
        # Leaving it waits for the call under way: nothing of ours is on the wire when we are done.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="lines") as line:
            while batch is not None:
                call = line.submit(copy_context().run, self._called, batch)
                is_short = len(batch.commands) < self.lines_max
                following = self._turn(done, iter(()) if is_short else statements, tally)
                outcome = call.result()
                done = (batch, outcome)
                if outcome.error is not None or not outcome.may_go_on:
                    self._put_back(following, outcome)
                    break
                batch = following
        if done is not None:
            self._turn(done, iter(()), tally)
            _raise_refusal(done[1])

    # -- before and after a call -----------------------------------------------------------------

    def _turn(
        self, done: _Done | None, statements: Iterator[LiteralString], tally: Tally
    ) -> _Batch | None:
        """Record what is done and reserve what comes next, both or neither."""
        statement = next(statements, None)
        if done is None and statement is None:
            return None
        with self.database.transaction() as connection:
            # In the order in which everybody locks: the target, the period, the lines.
            following = None if statement is None else self._reserve(connection, statement)
            if done is not None:
                self._record(connection, *done)
        if done is not None:
            tally.add(done[1])
            failpoint("lines.after_record")
        return following

    def _reserve(self, connection: Connection[Row], statement: LiteralString) -> _Batch | None:
        if not states.acts(connection, target_connection=self.scope_values["target"]):
            return None
        rows = connection.execute(
            statement, {**self.scope_values, "limit": self.lines_max}
        ).fetchall()
        if not rows:
            return None
        commands = [command_of(row) for row in rows]
        contents = {command.business_key: command.content() for command in commands}
        hashes = {key: content_hash(content) for key, content in contents.items()}
        connection.execute(
            """
            UPDATE effect e SET state = 'INTENT', attempt = e.attempt + 1, work_class = %s,
                payload_hash = k.payload_hash, sent_at = clock_timestamp(), due_at = NULL,
                reason = NULL
            FROM unnest(%b::uuid[], %b::text[]) AS k (business_key, payload_hash)
            WHERE e.business_key = k.business_key
            """,
            (self.work_class, list(hashes), list(hashes.values())),
        )
        return _Batch(
            commands=commands,
            contents=contents,
            hashes=hashes,
            # The rows are locked: their attempt is the next one now.
            attempts={row["business_key"]: row["attempt"] + 1 for row in rows},
            is_repeat=any(row["was_tried"] for row in rows),
        )

    def _record(self, connection: Connection[Row], batch: _Batch, outcome: Outcome) -> None:
        single, doubled = by_key(outcome.confirmed)
        self._confirm(connection, batch, single)
        others = {key: number for key, number in batch.attempts.items() if key not in single}
        if not others:
            return
        hold(connection, others, state=states.INTENT)
        conflict_doubled(connection, doubled)
        for key in outcome.differing:
            states.to_conflict(connection, business_key=key, reason="posted.conflict")
        for key, reason in outcome.rejected.items():
            states.move(connection, business_key=key, to=states.REJECTED, reason=reason)
        if outcome.unknown:
            settle = self.settle_seconds(connection)
            move(connection, outcome.unknown, states.UNKNOWN, "posting.answer_lost", settle)
        move(
            connection, outcome.not_executed, states.PLANNED, outcome.why_not, outcome.wait_seconds
        )

    def _confirm(
        self, connection: Connection[Row], batch: _Batch, found: Mapping[UUID, StoredLine]
    ) -> None:
        lines = []
        for key, line in found.items():
            content = dict(line.content())
            is_same = content == batch.contents[key]
            lines.append(
                ConfirmedLine(
                    business_key=key,
                    attempt=batch.attempts[key],
                    target_code=line.target_code,
                    target_seconds=line.seconds,
                    stored_hash=batch.hashes[key] if is_same else content_hash(content),
                    is_altered=not is_same,
                )
            )
        confirmed = confirm(connection, lines=lines, state=states.INTENT, now=self.clock.now())
        if confirmed != len(lines):
            raise LeaseLost(f"{len(lines) - confirmed} lines were taken over by another run")

    def _put_back(self, batch: _Batch | None, outcome: Outcome) -> None:
        """Plan again what was reserved and never sent, for the target takes nothing now."""
        if batch is None:
            return
        wait = outcome.wait_seconds if outcome.not_executed else 0
        with self.database.transaction() as connection:
            hold(connection, batch.attempts, state=states.INTENT)
            move(connection, list(batch.attempts), states.PLANNED, HeldBack.code, wait)

    # -- the call --------------------------------------------------------------------------------

    def _called(self, batch: _Batch) -> Outcome:
        """Send a batch and read it back.

        :raises LeaseLost: whoever has it now finds an INTENT and asks; a word from us would mislead them.
        """
        failpoint("lines.after_intent")
        outcome = Outcome()
        try:
            with repeated_calls(is_repeat=batch.is_repeat):
                self._call(batch.commands, outcome)
        except LeaseLost:
            raise
        except TielineError as error:
            # Refused at the door, such as by a token that ran out: nothing of the rest was stored.
            outcome.not_executed.extend(outcome.missing(batch.attempts))
            outcome.error = error
            return outcome
        failpoint("lines.after_read_back")
        return outcome

    def _call(self, commands: Sequence[TimeLineCommand], outcome: Outcome) -> None:
        # A refusal of the whole call means that nothing of it was stored: the batch is halved until
        # the refused line stands alone.
        keys = [command.business_key for command in commands]
        try:
            answers = self.access.send(commands)
        except NotExecuted as error:
            outcome.wait_seconds = error.retry_after_seconds or RETRY_SECONDS
            outcome.why_not = error.code
            outcome.not_executed.extend(keys)
        except AlreadyExists:
            self._settle_existing(commands, outcome)
        except Refused as refusal:
            if len(commands) == 1:
                outcome.rejected[keys[0]] = refusal.reason
                return
            half = len(commands) // 2
            self._call(commands[:half], outcome)
            self._call(commands[half:], outcome)
        except (OutcomeUnknown, TryAgain):
            # What does not say that surely nothing was sent may have been.
            outcome.unknown.extend(keys)
        else:
            failpoint("lines.after_answer")
            self._take_answers(commands, answers, outcome)

    def _take_answers(
        self,
        commands: Sequence[TimeLineCommand],
        answers: Sequence[LineAnswer],
        outcome: Outcome,
    ) -> None:
        """Believe a no for the line it names; a yes, or silence about a line, is for the target to show."""
        refused = {each.business_key: each for each in answers if isinstance(each, RefusedLine)}
        sent = [command for command in commands if command.business_key not in refused]
        for command in commands:
            key = command.business_key
            if key not in refused:
                continue
            if refused[key].may_pass:
                outcome.not_executed.append(key)
            else:
                outcome.rejected[key] = refused[key].reason
        if not self.access.can_be_asked:
            believed = _as_answered(sent, [each for each in answers if isinstance(each, Receipt)])
            outcome.confirmed.extend(believed)
            named = {line.business_key for line in believed}
            outcome.unknown.extend(c.business_key for c in sent if c.business_key not in named)
        elif sent:
            self._read_back([command.business_key for command in sent], outcome)

    def _settle_existing(self, commands: Sequence[TimeLineCommand], outcome: Outcome) -> None:
        """Believe what stands with the content asked for; what stands otherwise is a person's."""
        asked = {command.business_key: command.content() for command in commands}
        found = self._read(list(asked))
        if not found:
            # It says that one stands and shows none, or cannot be read: nobody knows yet.
            outcome.unknown.extend(asked)
            return
        standing = {line.business_key for line in found}
        differing = {
            line.business_key
            for line in found
            if line.business_key is not None and dict(line.content()) != asked[line.business_key]
        }
        outcome.differing.extend(differing)
        outcome.confirmed.extend(line for line in found if line.business_key not in differing)
        outcome.not_executed.extend(key for key in asked if key not in standing)

    def _read_back(self, keys: Sequence[UUID], outcome: Outcome) -> None:
        # Written and not shown is not absent: it is asked for again when the target has settled.
        found = self._read(keys) or []
        standing = {line.business_key for line in found}
        outcome.confirmed.extend(found)
        outcome.unknown.extend(key for key in keys if key not in standing)

    def _read(self, keys: Sequence[UUID]) -> list[StoredLine] | None:
        """Return what stands under the keys; None when the target cannot be read now."""
        try:
            return self.access.read(keys)
        except (TryAgain, OutcomeUnknown, AskPerson):
            return None


def _raise_refusal(outcome: Outcome) -> None:
    if outcome.error is not None:
        raise outcome.error


def _as_answered(
    commands: Sequence[TimeLineCommand], receipts: Sequence[Receipt]
) -> list[StoredLine]:
    """Believe a target that cannot be read, as far as its answer goes.

    An answer that names no lines speaks for all of them in their order, or for nobody knows which.
    """
    named = {each.business_key: each for each in receipts if each.business_key is not None}
    if not named and len(receipts) == len(commands):
        named = {c.business_key: each for c, each in zip(commands, receipts, strict=True)}
    return [
        StoredLine(
            business_key=command.business_key,
            target_code=named[command.business_key].target_code,
            entity_code=command.entity_code,
            person_code=command.person_code,
            task_code=command.task_code,
            work_date=command.work_date,
            seconds=command.seconds,
            invoice_code=None,
        )
        for command in commands
        if command.business_key in named
    ]

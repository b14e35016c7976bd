"""One write of master data at a time: reserve, call, read back, record; safe to call again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import UUID

from psycopg import Connection

from tieline.canonical import Command
from tieline.canonical.commands import content_hash
from tieline.kernel.clock import Clock
from tieline.kernel.errors import (
    AlreadyExists,
    HeldBack,
    LeaseLost,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TielineError,
    TryAgain,
)
from tieline.kernel.failpoints import failpoint
from tieline.kernel.keys import business_key
from tieline.posting import states
from tieline.posting.outcomes import (
    Confirmed,
    Conflicted,
    EffectRequest,
    PostResult,
    Rejected,
    Undone,
    Waiting,
)
from tieline.posting.restoring import (
    EFFECTS_PROBE_MAX,
    LINKED,
    WATCHING,
    Restoration,
    find_restoration,
    note_write,
)
from tieline.posting.settling import settle_seconds
from tieline.runtime.budget import Budgets, repeated_calls
from tieline.runtime.database import Database
from tieline.sdk import NounWrite, ReadsBack, Stored, Strategy, Undo, UndoesByDocument, Writes
from tieline.sdk.directory import Connectors

_RETRY_SECONDS = 2
_SHARED_SECONDS = 1

Row = dict[str, Any]
Build = Callable[[UUID], Command]
Keep = Callable[[Connection[Row], UUID, str], None]
_Other = TypeVar("_Other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An effect to bring about: ``build`` makes the command for its key.

    ``keep`` runs in the transaction in which it is recorded that the target has it, with its key and its code there.
    """

    request: EffectRequest
    build: Build
    keep: Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """An effect as it was found or planned; ``reserved`` is None where something must be asked before it is sent."""

    wanted: Wanted
    effect: Row
    restoration: Restoration | None
    command: Command
    reserved: int | Waiting | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """Post and undo single records; the same mechanism for every target and noun."""

    database: Database
    connectors: Connectors
    budgets: Budgets
    clock: Clock

    def post(self, *, request: EffectRequest, build: Build) -> PostResult:
        """Bring about one effect, or say what it waits for.

        ``build`` makes the command for a business key. Calling again repeats the answer.
        """
        wanted = Wanted(request=request, build=build, keep=_keep_nothing)
        return self.post_decided(
            target_connection=request.target_connection,
            noun=request.noun,
            decide=lambda _connection: wanted,
        )

    def post_decided(
        self,
        *,
        target_connection: str,
        noun: str,
        decide: Callable[[Connection[Row]], Wanted | _Other],
    ) -> PostResult | _Other:
        """Bring about the effect that is decided in the transaction that reserves it, or return what else is.

        What a target can do is asked before, so that no connection is held meanwhile.
        """
        writer = cast(Writes, self.connectors.get(connection_key=target_connection))
        shared_field = self._declared(target_connection, noun).shared_field
        with self.database.transaction() as connection:
            wanted = decide(connection)
            if not isinstance(wanted, Wanted):
                return wanted
            begun = self._begin(connection, wanted, shared_field)
        return self._go_on(writer, begun)

    def _go_on(self, writer: Writes, begun: _Begun) -> PostResult:
        wanted, effect, command = begun.wanted, begun.effect, begun.command
        request, key = wanted.request, command.business_key
        match begun.reserved:
            case Waiting():
                return begun.reserved
            case int():
                is_repeat = effect["reason"] != HeldBack.code and begun.reserved > 1
                return self._call(writer, command, wanted, begun.reserved, is_repeat=is_repeat)
            case None:
                pass
        match effect["state"]:
            case states.CONFIRMED:
                return Confirmed(business_key=key, target_code=effect["target_code"], is_new=False)
            case states.CONFLICT:
                return Conflicted(business_key=key, message=effect["reason"] or "")
            case states.INTENT:
                # We died between the reservation and the record: it may still commit.
                return self._unknown(key, request, reason="posting.interrupted")
            case states.UNKNOWN | states.PROBING:
                if self._is_askable(request):
                    return self._ask(writer, command, wanted)
                return self._conflict(key, "posting.unconfirmed")
            case _:
                was_called = effect["reason"] != HeldBack.code
                found = self._find_again(begun.restoration, effect, writer, wanted)
                return found or self._send(writer, command, wanted, was_called=was_called)

    def undo(self, *, business_key: UUID) -> Undone | Waiting | Rejected:
        """Take a confirmed record back in the target's own declared way."""
        with self.database.transaction() as connection:
            original = states.get_effect(connection, business_key=business_key)
            void = states.find_void(connection, undoes_key=business_key)
            if void is None:
                void = states.plan_void(connection, original=original, now=self.clock.now())
        if void["state"] == states.CONFIRMED:
            return Undone(business_key=void["business_key"], how=void["target_code"] or "")
        form = self._declared(original["target_connection"], original["noun"]).undo
        if form is Undo.NONE:
            return self._leave_standing(void)
        if form is Undo.VOID_BY_KEY:
            return self._send_undo(original, void)
        asked = self._ask_for_undo(original, void)
        return self._send_undo(original, void) if asked is None else asked

    # -- the three steps of a write ------------------------------------------------------------

    def _begin(
        self, connection: Connection[Row], wanted: Wanted, shared_field: str | None
    ) -> _Begun:
        """Find or plan the effect, and reserve it in the same transaction where nothing has to be asked first."""
        request = wanted.request
        found = states.find_or_plan(
            connection, request=request, now=self.clock.now(), lease_at=self.budgets.instant()
        )
        restoration = find_restoration(connection) if found.is_restoring else None
        effect = found.effect
        command = wanted.build(effect["business_key"])
        reserved = None
        if restoration is None and effect["state"] in states.SENDABLE:
            reserved = _kept_from_going(
                command, acts=found.acts, rest_seconds=found.rest_seconds
            ) or _reserve_in(connection, command, request, shared_field, was=effect["state"])
        return _Begun(
            wanted=wanted,
            effect=effect,
            restoration=restoration,
            command=command,
            reserved=reserved,
        )

    def _find_again(
        self,
        restoration: Restoration | None,
        effect: Row,
        writer: Writes,
        wanted: Wanted,
    ) -> PostResult | None:
        """Look after a restore for what was written since, under each number it may have; None if nothing is."""
        if restoration is None or effect["attempt"]:
            return None
        if restoration.phase != WATCHING:
            return _later(effect["business_key"], states.SHUT_SECONDS)
        request, first = wanted.request, int(effect["effect_no"])
        for effect_no in range(first, first + EFFECTS_PROBE_MAX):
            command = wanted.build(_key_of(request, effect_no))
            try:
                found = writer.probe(command=command)
            except TryAgain as error:
                wait = error.retry_after_seconds or _RETRY_SECONDS
                return _later(effect["business_key"], wait)
            if found:
                self._adopt(restoration.restoration_id, effect, request, command, found[0])
                return self._compare(command, found, wanted, is_new=False)
        return None

    def _adopt(
        self,
        restoration_id: int,
        effect: Row,
        request: EffectRequest,
        command: Command,
        stored: Stored,
    ) -> None:
        """Give what stands its effect, as if it had been sent and nobody knew what came of it."""
        now, key = self.clock.now(), command.business_key
        with self.database.transaction() as connection:
            number = int(effect["effect_no"])
            if key != effect["business_key"]:
                while _key_of(request, number) != key:
                    number += 1
                states.move(connection, business_key=effect["business_key"], to=states.WITHDRAWN)
                states.plan_write(connection, request=request, effect_no=number, now=now)
            connection.execute(
                "UPDATE effect SET payload_hash = %s, attempt = 1 WHERE business_key = %s",
                (content_hash(command.content()), key),
            )
            states.keep_content(connection, business_key=key, content=command.content())
            if states.get_effect(connection, business_key=key)["state"] == states.REJECTED:
                states.move(connection, business_key=key, to=states.PLANNED)
            states.move(connection, business_key=key, to=states.UNKNOWN, reason="posting.relinked")
            states.move(connection, business_key=key, to=states.PROBING, reason="posting.relinked")
            note_write(
                connection,
                restoration_id=restoration_id,
                values={
                    "target": request.target_connection,
                    "entity_code": request.entity_code,
                    "noun": request.noun,
                    "target_code": stored.target_code,
                    "business_key": key,
                    "connection_key": request.source.connection_key,
                    "source_ref": request.source.source_ref,
                    "effect_no": number,
                    "entry_id": None,
                    "seconds": None,
                    "outcome": LINKED,
                },
                now=now,
            )

    def _send(
        self, writer: Writes, command: Command, wanted: Wanted, *, was_called: bool
    ) -> PostResult:
        attempt = self._reserve(command, wanted.request)
        if isinstance(attempt, Waiting):
            return attempt
        is_repeat = was_called and attempt > 1
        return self._call(writer, command, wanted, attempt, is_repeat=is_repeat)

    def _call(
        self, writer: Writes, command: Command, wanted: Wanted, attempt: int, *, is_repeat: bool
    ) -> PostResult:
        key, request = command.business_key, wanted.request
        failpoint(f"post.{command.noun}.after_intent")
        try:
            with repeated_calls(is_repeat=is_repeat):
                receipt = writer.write(command=command)
        except NotExecuted as error:
            wait = error.retry_after_seconds or _RETRY_SECONDS
            self._settle(key, attempt, to=states.PLANNED, reason=error.code, due_in_seconds=wait)
            return Waiting(business_key=key, due_in_seconds=wait, state=states.PLANNED)
        except AlreadyExists as refusal:
            self._settle(key, attempt, to=states.UNKNOWN, reason="posting.already_exists")
            if not self._is_askable(request):
                return self._conflict(key, str(refusal))
            return self._ask(writer, command, wanted)
        except Refused as refusal:
            self._settle(key, attempt, to=states.REJECTED, reason=refusal.reason)
            return Rejected(business_key=key, reason=refusal.reason, message=str(refusal))
        except (OutcomeUnknown, TryAgain):
            # What does not say that surely nothing was sent may have been.
            return self._unknown(key, request, attempt=attempt)
        except LeaseLost:
            # Whoever has it now finds an INTENT and asks; a word from us would mislead them.
            raise
        except TielineError:
            self._settle(key, attempt, to=states.PLANNED, reason="posting.not_sent")
            raise
        failpoint(f"post.{command.noun}.after_answer")
        if not self._is_askable(request):
            # It finds nothing again: its own word is all there will ever be.
            self._confirm(command, receipt.target_code, wanted)
            return Confirmed(business_key=key, target_code=receipt.target_code, is_new=True)
        made = receipt.target_code if attempt == 1 else None
        return self._read_back(writer, command, wanted, made=made)

    def _is_askable(self, request: EffectRequest) -> bool:
        write = self._declared(request.target_connection, request.noun)
        return write.strategy is not Strategy.ONCE_THEN_CASE

    def _declared(self, target_connection: str, noun: str) -> NounWrite:
        return self.connectors.capabilities(connection_key=target_connection).write_of(noun)

    def _reserve(self, command: Command, request: EffectRequest) -> int | Waiting:
        """Commit to send as so many-th attempt.

        It waits while the target does not act or rests, or a write of the same record is open.
        """
        target = request.target_connection
        shared_field = self._declared(target, request.noun).shared_field
        with self.database.transaction() as connection:
            rest = self.budgets.rest_seconds(connection_key=target, within=connection)
            acts = states.acts(connection, target_connection=target)
            return _kept_from_going(command, acts=acts, rest_seconds=rest) or _reserve_in(
                connection, command, request, shared_field, was=states.REJECTED
            )

    def _read_back(
        self, writer: Writes, command: Command, wanted: Wanted, *, made: str | None
    ) -> PostResult:
        """Ask for what was written: by its number where only one attempt can have made it, else by its key."""
        request = wanted.request
        try:
            if made is not None and hasattr(writer, "read_back"):
                found = cast(ReadsBack, writer).read_back(command=command, target_code=made)
            else:
                found = writer.probe(command=command)
        except TryAgain:
            return self._unknown(command.business_key, request)
        if not found:
            return self._unknown(command.business_key, request)
        return self._compare(command, found, wanted, is_new=True)

    def _ask(self, writer: Writes, command: Command, wanted: Wanted) -> PostResult:
        key = command.business_key
        with self.database.transaction() as connection:
            wait = states.seconds_until_due(connection, business_key=key)
        if wait > 0:
            return Waiting(business_key=key, due_in_seconds=wait, state=states.UNKNOWN)
        self._record(key, to=states.PROBING)
        try:
            found = writer.probe(command=command)
        except TielineError:
            self._record(key, to=states.UNKNOWN, due_in_seconds=_RETRY_SECONDS)
            return Waiting(business_key=key, due_in_seconds=_RETRY_SECONDS, state=states.UNKNOWN)
        failpoint(f"post.{command.noun}.after_probe")
        if found:
            return self._compare(command, found, wanted, is_new=False)
        self._record(key, to=states.ABSENT)
        return self._send(writer, command, wanted, was_called=True)

    def _compare(
        self, command: Command, found: Sequence[Stored], wanted: Wanted, *, is_new: bool
    ) -> PostResult:
        key = command.business_key
        if len(found) > 1:
            names = ", ".join(stored.target_code for stored in found)
            return self._conflict(key, f"more than one record stands under it: {names}")
        stored = found[0]
        differing = differences(asked=command.content(), stored=stored.content)
        if differing:
            return self._conflict(key, f"{stored.target_code} differs in {differing}")
        self._confirm(command, stored.target_code, wanted)
        return Confirmed(business_key=key, target_code=stored.target_code, is_new=is_new)

    def _confirm(self, command: Command, target_code: str, wanted: Wanted) -> None:
        key = command.business_key
        with self.database.transaction() as connection:
            states.move(connection, business_key=key, to=states.CONFIRMED, target_code=target_code)
            wanted.keep(connection, key, target_code)

    def _conflict(self, key: UUID, message: str) -> Conflicted:
        with self.database.transaction() as connection:
            states.to_conflict(connection, business_key=key, reason=message)
        return Conflicted(business_key=key, message=message)

    def _unknown(
        self,
        key: UUID,
        request: EffectRequest,
        *,
        attempt: int | None = None,
        reason: str = "posting.answer_lost",
    ) -> Waiting:
        with self.database.transaction() as connection:
            wait = settle_seconds(
                connection,
                connectors=self.connectors,
                connection_key=request.target_connection,
                noun=request.noun,
            )
            if attempt is None:
                states.move(
                    connection, business_key=key, to=states.UNKNOWN, reason=reason,
                    due_in_seconds=wait,
                )  # fmt: skip
            else:
                states.settle_attempt(
                    connection, business_key=key, attempt=attempt, to=states.UNKNOWN,
                    reason=reason, due_in_seconds=wait,
                )  # fmt: skip
        return Waiting(business_key=key, due_in_seconds=wait, state=states.UNKNOWN)

    def _settle(
        self,
        key: UUID,
        attempt: int,
        *,
        to: str,
        reason: str | None = None,
        due_in_seconds: int = 0,
    ) -> None:
        with self.database.transaction() as connection:
            states.settle_attempt(
                connection, business_key=key, attempt=attempt, to=to, reason=reason,
                due_in_seconds=due_in_seconds,
            )  # fmt: skip

    def _record(
        self,
        key: UUID,
        *,
        to: str,
        target_code: str | None = None,
        reason: str | None = None,
        due_in_seconds: int = 0,
    ) -> None:
        with self.database.transaction() as connection:
            states.move(
                connection,
                business_key=key,
                to=to,
                target_code=target_code,
                reason=reason,
                due_in_seconds=due_in_seconds,
            )

    # -- undoing ---------------------------------------------------------------------------------

    def _send_undo(self, original: Row, void: Row) -> Undone | Waiting | Rejected:
        key: UUID = void["business_key"]
        attempt = self._undo_intent(original, void)
        if isinstance(attempt, Waiting):
            return attempt
        failpoint(f"undo.{original['noun']}.after_intent")
        try:
            how = self._call_undo(original, key)
        except Refused as refusal:
            self._settle(key, attempt, to=states.REJECTED, reason=refusal.reason)
            return Rejected(business_key=key, reason=refusal.reason, message=str(refusal))
        except NotExecuted as error:
            wait = error.retry_after_seconds or _RETRY_SECONDS
            self._settle(key, attempt, to=states.PLANNED, reason=error.code, due_in_seconds=wait)
            return Waiting(business_key=key, due_in_seconds=wait, state=states.PLANNED)
        except (OutcomeUnknown, TryAgain):
            wait = max(_RETRY_SECONDS, self._settle_seconds(original))
            self._settle(key, attempt, to=states.UNKNOWN, due_in_seconds=wait)
            return Waiting(business_key=key, due_in_seconds=wait, state=states.UNKNOWN)
        failpoint(f"undo.{original['noun']}.after_answer")
        self._record(key, to=states.CONFIRMED, target_code=how)
        return Undone(business_key=key, how=how)

    def _call_undo(self, original: Row, key: UUID) -> str:
        connector = self.connectors.get(connection_key=original["target_connection"])
        words = {
            "noun": original["noun"],
            "entity_code": original["entity_code"],
            "target_code": original["target_code"],
        }
        form = self._declared(original["target_connection"], original["noun"]).undo
        if form is Undo.VOID_BY_KEY:
            return cast(Writes, connector).undo(**words, business_key=original["business_key"])
        code = cast(UndoesByDocument, connector).write_undo(**words, business_key=key)
        return f"{form}:{code}"

    def _leave_standing(self, void: Row) -> Rejected:
        key: UUID = void["business_key"]
        if void["state"] == states.PLANNED:
            with self.database.transaction() as connection:
                states.to_intent(connection, business_key=key, payload_hash="undo")
                states.move(
                    connection, business_key=key, to=states.REJECTED, reason="posting.cannot_undo"
                )
        return Rejected(
            business_key=key,
            reason="posting.cannot_undo",
            message="the target offers no way to take it back",
        )

    def _ask_for_undo(self, original: Row, void: Row) -> Undone | Waiting | Rejected | None:
        """Find the document whose answer was lost; None when it surely does not stand."""
        key: UUID = void["business_key"]
        if void["state"] == states.INTENT:
            # We died between the reservation and the record: it may still commit.
            wait = self._settle_seconds(original)
            self._record(key, to=states.UNKNOWN, due_in_seconds=wait)
            return Waiting(business_key=key, due_in_seconds=wait, state=states.UNKNOWN)
        if void["state"] not in (states.UNKNOWN, states.PROBING):
            return None
        with self.database.transaction() as connection:
            wait = states.seconds_until_due(connection, business_key=key)
        if wait > 0:
            return Waiting(business_key=key, due_in_seconds=wait, state=states.UNKNOWN)
        connector = self.connectors.get(connection_key=original["target_connection"])
        self._record(key, to=states.PROBING)
        try:
            found = cast(UndoesByDocument, connector).find_undo(
                noun=original["noun"], entity_code=original["entity_code"], business_key=key
            )
        except TielineError:
            self._record(key, to=states.UNKNOWN, due_in_seconds=_RETRY_SECONDS)
            return Waiting(business_key=key, due_in_seconds=_RETRY_SECONDS, state=states.UNKNOWN)
        if not found:
            return None
        form = self._declared(original["target_connection"], original["noun"]).undo
        if len(found) > 1:
            message = f"it is taken back more than once: {', '.join(found)}"
            self._conflict(key, message)
            return Rejected(business_key=key, reason="posted.conflict", message=message)
        how = f"{form}:{found[0]}"
        self._record(key, to=states.CONFIRMED, target_code=how)
        return Undone(business_key=key, how=how)

    def _settle_seconds(self, original: Row) -> int:
        with self.database.transaction() as connection:
            return settle_seconds(
                connection,
                connectors=self.connectors,
                connection_key=original["target_connection"],
                noun=original["noun"],
            )

    def _undo_intent(self, original: Row, void: Row) -> int | Waiting:
        # Taking back by key is repeatable: absent is its goal, so asking again is the read-back. A
        # document that takes back was asked for before.
        with self.database.transaction() as connection:
            key = void["business_key"]
            if not states.acts(connection, target_connection=original["target_connection"]):
                return _later(key, states.SHUT_SECONDS)
            if void["state"] == states.INTENT:
                states.move(connection, business_key=key, to=states.UNKNOWN)
            if void["state"] in (states.INTENT, states.UNKNOWN):
                states.move(connection, business_key=key, to=states.PROBING)
            if void["state"] in (states.INTENT, states.UNKNOWN, states.PROBING):
                states.move(connection, business_key=key, to=states.ABSENT)
            if void["state"] == states.REJECTED:
                states.move(connection, business_key=key, to=states.PLANNED)
            return states.to_intent(connection, business_key=key, payload_hash="undo")


def _kept_from_going(command: Command, *, acts: bool, rest_seconds: int) -> Waiting | None:
    if rest_seconds > 0:
        return _later(command.business_key, rest_seconds)
    return None if acts else _later(command.business_key, states.SHUT_SECONDS)


def _reserve_in(
    connection: Connection[Row],
    command: Command,
    request: EffectRequest,
    shared_field: str | None,
    *,
    was: str,
) -> int | Waiting:
    content = command.content()
    if shared_field is not None and states.is_being_written(
        connection,
        business_key=command.business_key,
        target_connection=request.target_connection,
        noun=request.noun,
        field=shared_field,
        value=str(content[shared_field]),
    ):
        return _later(command.business_key, _SHARED_SECONDS)
    return states.to_intent(
        connection,
        business_key=command.business_key,
        payload_hash=content_hash(content),
        content=content,
        was=was,
    )


def _keep_nothing(_connection: Connection[Row], _key: UUID, _target_code: str) -> None:
    """Leave it at the effect's own row."""


def _key_of(request: EffectRequest, effect_no: int) -> UUID:
    return business_key(
        source=request.source,
        target_connection=request.target_connection,
        noun=request.noun,
        part=request.part,
        effect_no=effect_no,
    )


def _later(key: UUID, seconds: int) -> Waiting:
    return Waiting(business_key=key, due_in_seconds=seconds, state=states.PLANNED)


def differences(*, asked: Any, stored: Any) -> str:
    """Name the fields in which a stored record is not what was asked, or return ''."""
    return ", ".join(name for name in sorted(asked) if stored.get(name) != asked[name])

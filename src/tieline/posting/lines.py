"""Time lines to one target, entity and period: batches of at most a few hundred, in three steps.

Reserve and commit; call with nothing held; record, read back and book, and commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Connection

from tieline.canonical import TimeLineCommand
from tieline.canonical.commands import content_hash
from tieline.kernel.clock import Clock
from tieline.kernel.errors import (
    AlreadyExists,
    LeaseLost,
    NotExecuted,
    Refused,
    TielineError,
    TryAgain,
)
from tieline.kernel.failpoints import failpoint
from tieline.ledger import ConfirmedLine, book, confirm
from tieline.posting import states
from tieline.posting.accounts import find_accounts
from tieline.posting.line_access import LineAccess, open_lines
from tieline.posting.line_moves import (
    RETRY_SECONDS,
    attempts_of,
    by_key,
    conflict_doubled,
    hold,
    move,
)
from tieline.posting.line_sending import LineSender
from tieline.posting.outgoing import OPEN_LINES, load_gated
from tieline.posting.pace import note_pace
from tieline.posting.settling import settle_seconds
from tieline.runtime.budget import Budgets, calls_of, counted_calls, repeated_calls
from tieline.runtime.database import Database
from tieline.runtime.sql import load
from tieline.runtime.work import BILLING
from tieline.sdk import (
    Accounts,
    CounterDocument,
    NounWrite,
    StoredCounter,
    StoredLine,
    Strategy,
    Undo,
)
from tieline.sdk.directory import Connectors

_RESERVE_TEXT = load_gated("reserve_lines")
RESERVE = _RESERVE_TEXT.replace("{effects}", OPEN_LINES).replace(
    "{order}",
    "e.is_first, e.deadline_at, e.amount DESC NULLS LAST, e.planned_at, e.business_key",
)
# No index has this order: some more than a batch are looked for first, and judged then.
_RESERVE_OLDEST = _RESERVE_TEXT.replace(
    "{effects}",
    f"""(SELECT x.* FROM (
            SELECT o.business_key FROM unsettled_effect o
            WHERE o.target_connection = %(target)s AND o.entity_code = %(entity_code)s AND o.period_id = %(period_id)s
              AND o.noun = 'time_line' AND o.kind = 'book' AND o.state IN ('PLANNED', 'ABSENT')
              AND (o.due_at IS NULL OR o.due_at <= clock_timestamp())
            ORDER BY o.planned_at, o.business_key LIMIT 4 * %(limit)s
        ) o CROSS JOIN LATERAL (SELECT * FROM {OPEN_LINES} l WHERE l.business_key = o.business_key OFFSET 0) x)""",
).replace("{order}", "e.planned_at, e.business_key")
_RESERVE_VOIDS = load("tieline.posting", "reserve_voids")
_INTERRUPTED = load("tieline.posting", "lines_interrupted")
_UNKNOWN_DUE = load("tieline.posting", "lines_to_probe")
_NEXT_DUE = load_gated("lines_next_due")
_WAIT_SECONDS_MAX = 60

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a batch of lines goes."""

    target_connection: str
    entity_code: str
    period_id: UUID

    @property
    def subject(self) -> str:
        return f"{self.target_connection}|{self.entity_code}|{self.period_id}"

    @classmethod
    def parse(cls, subject: str) -> Scope:
        """Read a scope from a work item's subject."""
        target, entity_code, period_id = subject.split("|")
        return cls(target_connection=target, entity_code=entity_code, period_id=UUID(period_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one round did; ``wait_seconds`` None when nothing is left to do."""

    confirmed: int = 0
    voided: int = 0
    rejected: int = 0
    unknown: int = 0
    wait_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What holds for a round: how many lines at once, whether the target finds them again, their class, how it undoes."""

    lines_max: int
    can_be_asked: bool
    work_class: int
    undo: Undo
    undo_closed: Undo

    def undo_of(self, row: Row) -> Undo:
        """Say how a row takes back: in a closed period only by what may carry another day."""
        undo = self.undo if row["books_on"] is None else self.undo_closed
        # What could not be found again is not made.
        return undo if undo is Undo.VOID_BY_KEY or self.can_be_asked else Undo.NONE

    def is_undone_by_document(self, row: Row) -> bool:
        return self.undo_of(row) not in (Undo.VOID_BY_KEY, Undo.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePoster:
    """Post, take back and find out about the time lines of a scope."""

    database: Database
    connectors: Connectors
    budgets: Budgets
    clock: Clock
    batch_lines_max: int = 200

    def round(self, *, scope: Scope, is_oldest_first: bool = False) -> Sent:
        """Do one round: settle what is unknown, take back, then send one batch.

        The lines that are due first and worth most go first, except where the oldest are asked for.
        """
        return self._go(scope, [_RESERVE_OLDEST if is_oldest_first else RESERVE])

    def stretch(self, *, scope: Scope, batches_max: int) -> Sent:
        """Do one round with so many batches; the last of them takes what was planned longest ago."""
        return self._go(scope, [RESERVE] * (batches_max - 1) + [_RESERVE_OLDEST])

    def _go(self, scope: Scope, statements: Sequence[LiteralString]) -> Sent:
        if self._is_shut():
            return Sent(wait_seconds=states.SHUT_SECONDS)
        self._find_interrupted(scope)
        rest = self.budgets.rest_seconds(connection_key=scope.target_connection)
        if rest > 0:
            # Nobody may call: what would be reserved now would only be put back.
            wait = self._next_wait(scope)
            return Sent(wait_seconds=None if wait is None else max(wait, rest))
        terms = self._terms(scope)
        with counted_calls() as made, calls_of(work_class=terms.work_class):
            asked = self._probe(scope, terms)
            voided = self._void_batch(scope, terms)
            sent = self._sender(scope, terms).send(statements)
        confirmed = asked.confirmed + sent.confirmed
        if made[0]:
            with self.database.transaction() as connection:
                note_pace(
                    connection,
                    target_connection=scope.target_connection,
                    items=confirmed + voided.voided,
                    calls=made[0],
                    is_full=sent.confirmed >= terms.lines_max,
                )
        return Sent(
            confirmed=confirmed,
            voided=asked.voided + voided.voided,
            rejected=sent.rejected + voided.rejected,
            unknown=sent.unknown + voided.unknown,
            wait_seconds=self._next_wait(scope),
        )

    def _sender(self, scope: Scope, terms: _Terms) -> LineSender:
        return LineSender(
            database=self.database,
            access=self._lines(scope),
            clock=self.clock,
            scope_values=_scope_values(scope),
            lines_max=terms.lines_max,
            work_class=terms.work_class,
            settle_seconds=lambda connection: self._settle_seconds(connection, scope),
        )

    # -- finding out -----------------------------------------------------------------------------

    def _find_interrupted(self, scope: Scope) -> None:
        # One work item per scope: an INTENT found at the start of a round is a crash, not a twin.
        with self.database.transaction() as connection:
            connection.execute(
                _INTERRUPTED,
                {**_scope_values(scope), "settle_seconds": self._settle_seconds(connection, scope)},
            )

    def _probe(self, scope: Scope, terms: _Terms) -> Sent:
        with self.database.transaction() as connection:
            rows = connection.execute(
                _UNKNOWN_DUE,
                {**_scope_values(scope), "limit": terms.lines_max},
            ).fetchall()
        if not rows:
            return Sent()
        failpoint("lines.before_probe")
        if not terms.can_be_asked:
            return self._leave_to_a_person(rows)
        counters = [r for r in rows if r["kind"] == "void" and terms.is_undone_by_document(r)]
        others = [row for row in rows if row not in counters]
        access = self._lines(scope)
        try:
            with repeated_calls(is_repeat=any(row["was_tried"] for row in rows)):
                found = access.read([row["asked_key"] for row in others]) if others else []
                countered = [
                    each
                    for undo, some in _by_undo(terms, counters)
                    for each in access.read_counters(_keys(some), undo=undo)
                ]
        except TielineError:
            with self.database.transaction() as connection:
                hold(connection, attempts_of(rows), state=states.PROBING)
                move(connection, _keys(rows), states.UNKNOWN, "posting.probe_failed", RETRY_SECONDS)
            return Sent(unknown=len(rows))
        failpoint("lines.after_probe")
        taken_back = self._settle_counters(scope, counters, countered)
        settled = self._settle(scope, others, found)
        return Sent(confirmed=settled.confirmed, voided=settled.voided + taken_back)

    def _leave_to_a_person(self, rows: list[Row]) -> Sent:
        # The target keeps no key of ours and finds nothing: one attempt, and then somebody looks.
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.PROBING)
            move(connection, _keys(rows), states.CONFLICT, "posting.unconfirmed", 0)
        return Sent(rejected=len(rows))

    def _settle(self, scope: Scope, rows: list[Row], found: list[StoredLine]) -> Sent:
        standing, doubled = by_key(found)
        bookings = [
            row for row in rows if row["kind"] == "book" and row["business_key"] not in doubled
        ]
        voids = [row for row in rows if row["kind"] == "void"]
        same = [r for r in bookings if r["business_key"] in standing and _is_same(r, standing)]
        differs = [r for r in bookings if r["business_key"] in standing and r not in same]
        absent = [r for r in bookings if r["business_key"] not in standing]
        void_open = [r for r in voids if r["asked_key"] in standing or r["asked_key"] in doubled]
        void_done = [row for row in voids if row not in void_open]
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.PROBING)
            confirm(
                connection,
                lines=[_as_sent(row, standing[row["business_key"]]) for row in same],
                state=states.PROBING,
                now=self.clock.now(),
            )
            move(connection, _keys(differs), states.CONFLICT, "posted.conflict", 0)
            conflict_doubled(
                connection, {key: doubled[key] for key in doubled if key in _keys(rows)}
            )
            move(connection, _keys(absent), states.ABSENT, "posting.absent", 0)
            move(connection, _keys(void_open), states.ABSENT, "posting.absent", 0)
            _confirm_voids(connection, _keys(void_done), self.clock)
        return Sent(confirmed=len(same), voided=len(void_done))

    # -- taking back -----------------------------------------------------------------------------

    def _void_batch(self, scope: Scope, terms: _Terms) -> Sent:
        with self.database.transaction() as connection:
            if not states.acts(connection, target_connection=scope.target_connection):
                return Sent()
            rows = connection.execute(
                _RESERVE_VOIDS,
                {
                    **_scope_values(scope),
                    "limit": terms.lines_max,
                    "work_class": terms.work_class,
                },
            ).fetchall()
        if not rows:
            return Sent()
        failpoint("voids.after_intent")
        with repeated_calls(is_repeat=any(row["was_tried"] for row in rows)):
            return _in_all(
                self._take_back(scope, some, undo) for undo, some in _by_undo(terms, rows)
            )

    def _take_back(self, scope: Scope, rows: list[Row], undo: Undo) -> Sent:
        if undo is Undo.NONE:
            # The target offers no way back, or cannot be asked whether it took one.
            return self._leave_standing(rows, "posting.cannot_undo")
        if undo is Undo.VOID_BY_KEY:
            return self._void(scope, rows)
        accounts = self._accounts(scope) if undo is Undo.JOURNAL else None
        # A journal without accounts would be a guess, where money moves between periods.
        unnamed = [
            row for row in rows if undo is Undo.JOURNAL and accounts is None and row["books_on"]
        ]
        others = [row for row in rows if row not in unnamed]
        return _in_all(
            [
                *([self._leave_standing(unnamed, "posting.accounts_unnamed")] if unnamed else []),
                *([self._counter(scope, others, undo, accounts)] if others else []),
            ]
        )

    def _accounts(self, scope: Scope) -> Accounts | None:
        with self.database.transaction() as connection:
            return find_accounts(connection, entity_code=scope.entity_code)

    def _leave_standing(self, rows: list[Row], reason: str) -> Sent:
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.INTENT)
            move(connection, _keys(rows), states.REJECTED, reason, 0)
        return Sent(rejected=len(rows))

    def _void(self, scope: Scope, rows: list[Row]) -> Sent:
        undone = [row["undoes_key"] for row in rows]
        access = self._lines(scope)
        try:
            access.void(undone)
            failpoint("voids.after_answer")
            still = access.read(undone)
        except Refused as refusal:
            return self._void_refused(rows, refusal, partial(self._void, scope))
        except NotExecuted as error:
            return self._void_later(rows, error)
        except LeaseLost:
            raise
        except TielineError:
            return self._void_unanswered(scope, rows)
        standing = {line.business_key for line in still}
        done = [row for row in rows if row["undoes_key"] not in standing]
        left = [row for row in rows if row["undoes_key"] in standing]
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.INTENT)
            _confirm_voids(connection, _keys(done), self.clock)
            move(connection, _keys(left), states.UNKNOWN, "posting.answer_lost", 1)
        return Sent(voided=len(done), unknown=len(left))

    def _counter(
        self, scope: Scope, rows: list[Row], undo: Undo, accounts: Accounts | None
    ) -> Sent:
        """Take lines back by what stands against them: made once, and believed when it is shown."""
        access = self._lines(scope)
        try:
            standing, doubled = by_key(access.read([row["undoes_key"] for row in rows]))
        except TielineError as error:
            return self._void_later(rows, error)
        undone = {
            row["business_key"]: standing.get(row["undoes_key"]) or doubled[row["undoes_key"]][0]
            for row in rows
            if row["undoes_key"] in standing or row["undoes_key"] in doubled
        }
        gone = [row for row in rows if row["business_key"] not in undone]
        asked = [row for row in rows if row["business_key"] in undone]
        try:
            if undone:
                access.counter(
                    [_document(row, undone[row["business_key"]], accounts) for row in asked],
                    undo=undo,
                )
            failpoint("voids.after_answer")
            found = access.read_counters(list(undone), undo=undo) if undone else ()
        except AlreadyExists:
            return self._void_unanswered(scope, rows)
        except Refused as refusal:
            again = partial(self._counter, scope, undo=undo, accounts=accounts)
            return self._void_refused(rows, refusal, again)
        except NotExecuted as error:
            return self._void_later(rows, error)
        except LeaseLost:
            raise
        except TielineError:
            return self._void_unanswered(scope, rows)
        shown = {
            each.business_key
            for each in found
            if each.seconds == -undone[each.business_key].seconds
        }
        done = [row for row in asked if row["business_key"] in shown]
        left = [row for row in asked if row["business_key"] not in shown]
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.INTENT)
            _confirm_voids(connection, _keys([*done, *gone]), self.clock)
            settle = self._settle_seconds(connection, scope)
            move(connection, _keys(left), states.UNKNOWN, "posting.answer_lost", settle)
        return Sent(voided=len(done) + len(gone), unknown=len(left))

    def _settle_counters(
        self, scope: Scope, rows: list[Row], found: Sequence[StoredCounter]
    ) -> int:
        """Record what stands against lines; return how many lines are taken back by it."""
        by_key: dict[UUID, list[StoredCounter]] = {}
        for each in found:
            by_key.setdefault(each.business_key, []).append(each)
        done, absent = [], []
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.PROBING)
            for row in rows:
                key = row["business_key"]
                against = by_key.get(key, [])
                if not against:
                    absent.append(key)
                elif [each.seconds for each in against] == [-row["undone_seconds"]]:
                    done.append(key)
                else:
                    names = ", ".join(sorted(each.target_code for each in against))
                    states.to_conflict(
                        connection, business_key=key, reason=f"it is not taken back by {names}"
                    )
            move(connection, absent, states.ABSENT, "posting.absent", 0)
            _confirm_voids(connection, done, self.clock)
        return len(done)

    def _void_later(self, rows: list[Row], error: TielineError) -> Sent:
        wait = (error.retry_after_seconds if isinstance(error, TryAgain) else 0) or RETRY_SECONDS
        why_not = error.code if isinstance(error, NotExecuted) else NotExecuted.code
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.INTENT)
            move(connection, _keys(rows), states.PLANNED, why_not, wait)
        return Sent()

    def _void_unanswered(self, scope: Scope, rows: list[Row]) -> Sent:
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.INTENT)
            settle = self._settle_seconds(connection, scope)
            move(connection, _keys(rows), states.UNKNOWN, "posting.answer_lost", settle)
        return Sent(unknown=len(rows))

    def _void_refused(
        self, rows: list[Row], refusal: Refused, again: Callable[[list[Row]], Sent]
    ) -> Sent:
        if len(rows) > 1:
            half = len(rows) // 2
            return _in_all([again(rows[:half]), again(rows[half:])])
        with self.database.transaction() as connection:
            hold(connection, attempts_of(rows), state=states.INTENT)
            move(connection, _keys(rows), states.REJECTED, refusal.reason, 0)
        return Sent(rejected=1)

    # -- common ----------------------------------------------------------------------------------

    def _next_wait(self, scope: Scope) -> int | None:
        with self.database.transaction() as connection:
            row = connection.execute(_NEXT_DUE, _scope_values(scope)).fetchone()
        if row is None or row["seconds"] is None:
            return None
        return min(_WAIT_SECONDS_MAX, max(0, int(row["seconds"])))

    def _is_shut(self) -> bool:
        with self.database.transaction() as connection:
            return states.is_shut(connection)

    def _settle_seconds(self, connection: Connection[Row], scope: Scope) -> int:
        return settle_seconds(
            connection,
            connectors=self.connectors,
            connection_key=scope.target_connection,
            noun=TimeLineCommand.noun,
        )

    def _terms(self, scope: Scope) -> _Terms:
        target = scope.target_connection
        write = self.connectors.capabilities(connection_key=target).write_of(TimeLineCommand.noun)
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT c.config, tieline.cut_off_class(p, %s) AS work_class"
                " FROM connection c, fiscal_period p WHERE c.connection_key = %s AND p.period_id = %s",
                (self.clock.now(), target, scope.period_id),
            ).fetchone()
        config = row["config"] if row else {}
        return _Terms(
            lines_max=min(self.batch_lines_max, lines_per_call(write, config=config)),
            can_be_asked=write.strategy is not Strategy.ONCE_THEN_CASE,
            work_class=row["work_class"] if row else BILLING,
            undo=write.undo,
            undo_closed=write.undo_in_closed_period,
        )

    def _lines(self, scope: Scope) -> LineAccess:
        return open_lines(
            database=self.database,
            connectors=self.connectors,
            target_connection=scope.target_connection,
            entity_code=scope.entity_code,
        )


def lines_per_call(write: NounWrite, *, config: Mapping[str, Any]) -> int:
    """Return how many lines a target takes at once: fewer where its connection says so."""
    return min(write.batch_lines_max, int(config.get("batch_lines_max", write.batch_lines_max)))


def _by_undo(terms: _Terms, rows: Sequence[Row]) -> list[tuple[Undo, list[Row]]]:
    """Return the rows by how they take back."""
    forms = sorted({terms.undo_of(row) for row in rows})
    return [(form, [row for row in rows if terms.undo_of(row) is form]) for form in forms]


def _in_all(sent: Iterable[Sent]) -> Sent:
    """Add up what was taken back in several ways."""
    done = list(sent)
    return Sent(
        voided=sum(each.voided for each in done),
        rejected=sum(each.rejected for each in done),
        unknown=sum(each.unknown for each in done),
    )


def _document(row: Row, line: StoredLine, accounts: Accounts | None) -> CounterDocument:
    return CounterDocument(
        business_key=row["business_key"],
        undoes=line,
        books_on=row["books_on"],
        amount=None if row["amount"] is None else -row["amount"],
        currency=row["currency"],
        accounts=accounts,
    )


def _scope_values(scope: Scope) -> Row:
    return {
        "target": scope.target_connection,
        "entity_code": scope.entity_code,
        "period_id": scope.period_id,
    }


def _keys(rows: Sequence[Row]) -> list[UUID]:
    return [row["business_key"] for row in rows]


def _is_same(row: Row, standing: dict[UUID, StoredLine]) -> bool:
    payload_hash: str = row["payload_hash"]
    return content_hash(standing[row["business_key"]].content()) == payload_hash


def _as_sent(row: Row, line: StoredLine) -> ConfirmedLine:
    return ConfirmedLine(
        business_key=row["business_key"],
        attempt=row["attempt"],
        target_code=line.target_code,
        target_seconds=line.seconds,
        stored_hash=row["payload_hash"],
        is_altered=False,
    )


def _confirm_voids(connection: Connection[Row], keys: Sequence[UUID], clock: Clock) -> None:
    if not keys:
        return
    move(connection, keys, states.CONFIRMED, "posting.taken_back", 0)
    book(connection, business_keys=keys, target_seconds=[0] * len(keys), now=clock.now())

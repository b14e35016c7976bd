"""Ask the one statement, whatever becomes of a firm's own rules: one that fails holds its hours, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import LiteralString

import psycopg
import structlog
from psycopg import ClientCursor, Connection, sql
from psycopg.rows import dict_row

from tieline.kernel.errors import UserMistake
from tieline.policy import Rule
from tieline.runtime.database import Row
from tieline.runtime.sql import hashed, hashed_as_written
from tieline.validation.context import untold
from tieline.validation.kept import PLANNED_AS_BEFORE, Kept, ask_kept, keep
from tieline.validation.statement import (
    NAMED_SUBJECT,
    NEWEST_SUBJECT,
    STORED_SUBJECT,
    check_of,
    is_own,
    judging_statement,
)

RULE_FAILED = "time.rule_failed"
_PROBES_MAX = 200
# What only a rule can be the cause of; that the database is gone, busy or told to stop is another matter.
_CANNOT_BE_ANSWERED = (psycopg.DataError, psycopg.ProgrammingError, UserMistake)
# What is weighed, decided and stored of an hour; a table of everything that rules read costs more than the rules.
STORED_COLUMNS = (
    "subject_no", "entry_id", "version", "correlation_id", "recorded_at", "project_recorded_at",
    "at_risk_until", "policy_park_seconds", "is_deleted", "approval", "is_excluded", "is_counted", "is_leaving",
    "is_posted_unchanged", "standing_count", "standing_period_id", "standing_entity_code", "person_id",
    "project_id", "task_id", "contract_id", "contract_line_id", "client_id", "entity_code", "home_entity_code",
    "period_id", "labor_category", "work_date", "today_on", "seconds", "is_billable", "rate_amount", "currency",
    "amount", "rate_level", "rate_ref", "fx_rate_id", "billing_terms_id", "billed_seconds", "posting_hash",
    "neighbor_keys", "capped_seconds", "capped_line_id",
)  # fmt: skip
_CREATE = "CREATE TEMP TABLE judged ON COMMIT DROP AS {}"
# Stored hours and effects are looked up by key, whatever the planner expects. All else of many hours is hashed: a
# page took two minutes that was not.
HASHED_MIN = 200
# What the statement is given, in this order, where its plan is kept.
_GIVEN = {"known_at": "timestamptz", "release_id": "integer", "entry_ids": "uuid[]"}
_HOLD = f"""
    UPDATE judged SET violations = array_append(violations, '{RULE_FAILED}')
    WHERE subject_no >= %(first)s AND subject_no < %(beyond)s AND is_counted AND NOT is_posted_unchanged
      AND NOT '{RULE_FAILED}' = ANY (violations)
"""
_log = structlog.get_logger("tieline.judge")


def make_judged(
    connection: Connection[Row],
    cursor: ClientCursor[Row],
    *,
    rules: Sequence[Rule],
    values: Row,
) -> tuple[str, ...]:
    """Make the table ``judged`` of the hours of ``judge_subject``; return the firm's rules that could not be answered for every hour.

    An hour for which a rule of the firm fails is held with ``time.rule_failed``; every other hour and every
    other rule is answered as if that one were not there.
    """
    own = [rule for rule in rules if is_own(rule)]
    # Asked after the marks were served: what comes to be told from here on has left a mark that stays.
    empty = untold(connection)
    if own:
        try:
            with connection.transaction():
                _create(cursor, rules=rules, empty=empty, columns=STORED_COLUMNS, values=values)
        except _CANNOT_BE_ANSWERED:
            pass
        else:
            return ()
    shipped = [rule for rule in rules if not is_own(rule)]
    # A rule that failed is asked of the table, and may read any column.
    columns = () if own else STORED_COLUMNS
    _create(cursor, rules=shipped, empty=empty, columns=columns, values=values)
    failed = tuple(rule.code for rule in own if not _ask(connection, cursor, rule))
    for code in failed:
        _log.error("judge.rule_failed", rule=code, release_id=values.get("release_id"))
    return failed


def answer_rows(
    connection: Connection[Row],
    *,
    subject: str,
    rules: Sequence[Rule],
    values: Row,
    is_then: bool = False,
    around: LiteralString = "{}",
    columns: Sequence[str] = (),
    absent: frozenset[str] = frozenset(),
) -> list[Row]:
    """Return the rows of the statement without a table; where a firm's rule fails, all of them are held.

    ``around`` is a statement that goes on with what was judged, of which it reads these ``columns``. What no hour has is
    ``absent``, and is not looked for.
    """
    empty = untold(connection) | absent

    def ask(asked: Sequence[Rule]) -> list[Row]:
        statement = judging_statement(
            subject=subject, rules=asked, is_then=is_then, empty=empty, columns=columns
        )
        return connection.execute(sql.SQL(around).format(statement), values).fetchall()

    return _whatever_fails(connection, rules, ask)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptQuestion:
    """What is asked of a few hours again and again: put together once, and planned once by each session.

    ``given`` are the names and types of what it is asked with; the rest is as ``answer_rows`` has it.
    """

    subject: str
    rules: Sequence[Rule]
    around: LiteralString
    columns: Sequence[str]
    given: Mapping[str, str]
    _kept: dict[tuple[frozenset[str], bool], Kept] = field(default_factory=dict)

    def answer(
        self, connection: Connection[Row], *, values: Row, absent: frozenset[str]
    ) -> list[Row]:
        """Return the rows; where a firm's rule fails, all of them are held."""
        empty = untold(connection) | absent

        def ask(asked: Sequence[Rule]) -> list[Row]:
            key = (empty, asked is self.rules)
            kept = self._kept.get(key) or self._kept.setdefault(key, self._written(asked, empty))
            with ClientCursor(connection, row_factory=dict_row) as cursor:
                ask_kept(cursor, kept, values)
                rows = cursor.fetchall()
                cursor.execute(PLANNED_AS_BEFORE)
            return rows

        return _whatever_fails(connection, self.rules, ask)

    def _written(self, rules: Sequence[Rule], empty: frozenset[str]) -> Kept:
        statement = judging_statement(
            subject=self.subject, rules=rules, empty=empty, columns=self.columns
        )
        return keep(sql.SQL(self.around).format(statement).as_string(None), given=self.given)


def _whatever_fails(
    connection: Connection[Row],
    rules: Sequence[Rule],
    ask: Callable[[Sequence[Rule]], list[Row]],
) -> list[Row]:
    if not any(is_own(rule) for rule in rules):
        return ask(rules)
    try:
        with connection.transaction():
            return ask(rules)
    except _CANNOT_BE_ANSWERED:
        return ask([_failing(rule) for rule in rules if not is_own(rule)])


def _failing(rule: Rule) -> Rule:
    if rule.code != RULE_FAILED:
        return rule
    return replace(rule, applies_when="true", predicate="false")


def _create(
    cursor: ClientCursor[Row],
    *,
    rules: Sequence[Rule],
    empty: frozenset[str],
    columns: Sequence[str],
    values: Row,
) -> None:
    few = cursor.execute(
        "SELECT entry_id FROM judge_subject LIMIT %(many)s", {"many": HASHED_MIN}
    ).fetchall()
    if len(few) >= HASHED_MIN:
        statement = judging_statement(
            subject=STORED_SUBJECT, rules=rules, empty=empty, columns=columns
        )
        with hashed_as_written(cursor.connection):
            cursor.execute(sql.SQL(_CREATE).format(statement), values)
        return
    statement = judging_statement(subject=NAMED_SUBJECT, rules=rules, empty=empty, columns=columns)
    _create_by_kept_plan(
        cursor, statement, values | {"entry_ids": [row["entry_id"] for row in few]}
    )


def _create_by_kept_plan(cursor: ClientCursor[Row], statement: sql.SQL, values: Row) -> None:
    """Make the table by a plan that the session keeps: making one costs some times as much as to judge a few hours."""
    kept = keep(statement.as_string(None), given=_GIVEN)
    # It is made for any number of hours: what it joins, it hashes.
    with hashed_as_written(cursor.connection):
        ask_kept(cursor, kept, values, around=_CREATE)
    cursor.execute(PLANNED_AS_BEFORE)


def ask_hashed(cursor: ClientCursor[Row], statement: sql.Composed, values: Row) -> None:
    """Make a table of what is answered for the hours of ``judge_subject``, hashed where these are many."""
    asked = cursor.execute("SELECT count(*) AS hours FROM judge_subject").fetchone()
    assert asked is not None
    with hashed(cursor.connection, is_so=asked["hours"] >= HASHED_MIN):
        cursor.execute(statement, values)


def _ask(connection: Connection[Row], cursor: ClientCursor[Row], rule: Rule) -> bool:
    """Ask one rule of every row, by halves where it fails; say whether it was answered for all of them."""
    row = cursor.execute(
        "SELECT coalesce(min(subject_no), 1) AS first, coalesce(max(subject_no), 0) + 1 AS beyond FROM judged"
    ).fetchone()
    assert row is not None
    waiting = [(int(row["first"]), int(row["beyond"]))]
    probes, is_answered = 0, True
    while waiting:
        first, beyond = waiting.pop()
        probes += 1
        if _add(connection, cursor, rule, first=first, beyond=beyond):
            continue
        is_answered = False
        if beyond - first == 1 or probes + len(waiting) >= _PROBES_MAX:
            cursor.execute(_HOLD, {"first": first, "beyond": beyond})
            continue
        middle = (first + beyond) // 2
        waiting += [(first, middle), (middle, beyond)]
    return is_answered


def _add(
    connection: Connection[Row], cursor: ClientCursor[Row], rule: Rule, *, first: int, beyond: int
) -> bool:
    try:
        check = check_of(rule)
        with connection.transaction():
            cursor.execute(
                sql.SQL(
                    "UPDATE judged SET violations = array_append(violations, {check})"
                    " WHERE subject_no >= %(first)s AND subject_no < %(beyond)s AND {check} IS NOT NULL"
                ).format(check=check),
                {"first": first, "beyond": beyond},
            )
    except _CANNOT_BE_ANSWERED:
        return False
    return True


def check_own_rules(
    connection: Connection[Row], *, rules: Sequence[Rule], release_id: int, known_at: datetime
) -> None:
    """Answer a firm's rules for no hour and for the newest ones, whatever became of them.

    :raises UserMistake: one of them cannot be read, or the database cannot answer it.
    """
    values = {"known_at": known_at, "release_id": release_id}
    for rule in rules:
        try:
            statement = judging_statement(subject=NEWEST_SUBJECT, rules=[rule], is_history=True)
            with connection.transaction():
                connection.execute(
                    sql.SQL("SELECT count(violations) FROM ({}) asked").format(statement), values
                )
        except UserMistake as error:
            raise UserMistake(f"{rule.code}: {error}") from error
        except (psycopg.DataError, psycopg.ProgrammingError) as error:
            told = str(error).splitlines()[0]
            raise UserMistake(f"{rule.code} cannot be answered: {told}") from error

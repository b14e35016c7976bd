"""Ask the one statement, whatever becomes of a firm's own rules: one that fails holds its hours, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg import ClientCursor, Connection, sql

from tieline.kernel.errors import UserMistake
from tieline.policy import Rule
from tieline.runtime.database import Row
from tieline.runtime.sql import hashed
from tieline.validation.context import untold
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
) -> list[Row]:
    """Return the rows of the statement without a table; where a firm's rule fails, all of them are held.

    ``around`` is a statement that goes on with what was judged, of which it reads these ``columns``.
    """
    empty = untold(connection)

    def ask(asked: Sequence[Rule]) -> list[Row]:
        statement = judging_statement(
            subject=subject, rules=asked, is_then=is_then, empty=empty, columns=columns
        )
        # Planning takes longer than answering for one hour: a connection that asks again keeps its plan.
        return connection.execute(
            sql.SQL(around).format(statement), values, prepare=True
        ).fetchall()

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
        with hashed(cursor.connection, is_so=True):
            cursor.execute(sql.SQL(_CREATE).format(statement), values)
        return
    statement = judging_statement(subject=NAMED_SUBJECT, rules=rules, empty=empty, columns=columns)
    _create_by_kept_plan(
        cursor, statement, values | {"entry_ids": [row["entry_id"] for row in few]}
    )


def _create_by_kept_plan(cursor: ClientCursor[Row], statement: sql.SQL, values: Row) -> None:
    """Make the table by a plan that the session keeps: making one costs some times as much as to judge a few hours."""
    text = _numbered(statement.as_string(None))
    name = f"judged_{sha256(text.encode()).hexdigest()[:32]}"
    cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    # It is made for any number of hours: what it joins, it hashes.
    with hashed(cursor.connection, is_so=True):
        # The driver lets go of all plans of a session now and then.
        if not _is_kept(cursor, name):
            types = sql.SQL(", ".join(_GIVEN.values()))
            cursor.execute(
                sql.SQL("PREPARE {} ({}) AS {}").format(sql.Identifier(name), types, sql.SQL(text))
            )
        given = sql.SQL(", ").join(sql.Literal(values[each]) for each in _GIVEN)
        made = sql.SQL("EXECUTE {} ({})").format(sql.Identifier(name), given)
        cursor.execute(sql.SQL(_CREATE).format(made))
    cursor.execute("SET LOCAL plan_cache_mode = auto")


def _is_kept(cursor: ClientCursor[Row], name: str) -> bool:
    asked = cursor.execute("SELECT FROM pg_prepared_statements WHERE name = %s", (name,))
    return asked.fetchone() is not None


@lru_cache(maxsize=32)
def _numbered(text: str) -> Any:
    """Return a statement with numbers for what it is given."""
    for number, name in enumerate(_GIVEN, start=1):
        text = text.replace(f"%({name})s", f"${number}")
    return text.replace("%%", "%")


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

"""Put the one statement together: subjects, context, rules. The text is ours; values are bound."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from psycopg import Connection, sql

from tieline.policy import OWN, Rule
from tieline.runtime.database import Row
from tieline.validation.context import context_steps
from tieline.validation.own_predicates import write_predicate

# What leaves the population is only asked whether it may still be taken back.
ASKED_WHEN_LEAVING = ("time.already_invoiced", "time.period_closed", "time.change_not_agreed")
_NEWEST = "v.is_newest"
_NEWEST_THEN = (
    "v.version = (SELECT max(x.version) FROM time_entry_version x"
    " WHERE x.entry_id = v.entry_id AND x.recorded_at <= %(known_at)s)"
)
# What stands in a target, or may, and was not taken back.
_STANDS = "e.state IN ('INTENT', 'UNKNOWN', 'PROBING', 'CONFIRMED', 'CONFLICT', 'HANDED_OVER')"
_UNDONE = "u.state = 'CONFIRMED'"
# An hour that stood in its contract and was taken back to be booked anew.
RETURNING = """
        SELECT true AS is_returning FROM effect e JOIN project p ON p.project_id = e.project_id
        WHERE c.standing_count = 0 AND e.entry_id = c.entry_id AND e.noun = 'time_line' AND e.kind = 'book'
          AND {stands} AND e.state = 'CONFIRMED' AND p.contract_id = c.contract_id
        LIMIT 1"""
# What stands of a contract: the sums that the database keeps, or each effect that stood then.
_STANDING = "standing_sum"
_STANDING_THEN = """(
        SELECT v.contract_id, e.amount
        FROM project p
        CROSS JOIN LATERAL (SELECT * FROM effect e WHERE e.project_id = p.project_id OFFSET 0) e
        CROSS JOIN LATERAL (SELECT * FROM verdict v WHERE v.verdict_id = e.verdict_id OFFSET 0) v
        WHERE p.contract_id IN (SELECT contract_id FROM counted WHERE cap_amount IS NOT NULL)
          AND e.noun = 'time_line' AND e.kind = 'book' AND {stands}
          AND NOT EXISTS (SELECT FROM effect u WHERE u.undoes_key = e.business_key AND u.kind = 'void'
                          AND {undone} OFFSET 0)
    )"""
# What this session copied of the calendar, and what it reads instead.
_DRAFTED = {
    "tieline.expected_day(": "pg_temp.expected_day(",
    "FROM fiscal_period p\n": "FROM pg_temp.drafted_periods(%(known_at)s) p\n",
}
# Whatever an earlier verdict had asked for was there then; what a later one asked for was not.
_BEFORE = " AND {}.verdict_id < %(verdict_id)s"
VERSION_COLUMNS = """
    t.entry_id, w.version, t.connection_key, t.source_epoch, t.object, t.source_ref, w.correlation_id,
    w.recorded_at, w.is_deleted, w.approval, w.approver_ref, w.person_ref, w.project_ref, w.task_ref,
    w.labor_category AS entry_labor_category, w.work_date, w.zone, w.seconds, w.started_at, w.ended_at,
    w.created_at, w.approved_at, w.narrative_id, w.narrative_length, w.narrative_hash,
    w.is_billable AS entry_is_billable, NULL::text AS told_text
"""
# Hour by hour by key: a planner that looks at tables whose statistics are older than one another expects one hour of
# five thousand, and every step after it would be held row by row against every other.
STORED_SUBJECT = f"""
    SELECT row_number() OVER (ORDER BY s.entry_id) AS subject_no, {VERSION_COLUMNS}, true AS is_subject
    FROM judge_subject s
    CROSS JOIN LATERAL (SELECT * FROM time_entry t WHERE t.entry_id = s.entry_id OFFSET 0) t
    CROSS JOIN LATERAL (SELECT * FROM time_entry_version w WHERE w.entry_id = s.entry_id AND w.is_newest OFFSET 0) w
"""
# The same for hours that whoever asks names: there is no table of them.
NAMED_SUBJECT = STORED_SUBJECT.replace(
    "judge_subject s", "unnest(%(entry_ids)s::uuid[]) s (entry_id)"
)
OLD_SUBJECT = f"""
    SELECT 1::bigint AS subject_no, {VERSION_COLUMNS}, true AS is_subject
    FROM time_entry t
    JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.version = %(version)s
    WHERE t.entry_id = %(entry_id)s
"""
# Ids follow the clock: the newest hours are read from the end of the key.
NEWEST_SUBJECT = f"""
    SELECT row_number() OVER (ORDER BY t.entry_id) AS subject_no, {VERSION_COLUMNS}, true AS is_subject
    FROM (SELECT * FROM time_entry ORDER BY entry_id DESC LIMIT 500) t
    JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
"""
# An hour that the source has already is the same hour: it is no neighbor of itself. They come as a list of values: of
# one value that holds them all a planner guesses that it holds a hundred.
CANDIDATE_SUBJECT = """
    SELECT c.subject_no,
        CASE WHEN count(*) OVER (PARTITION BY c.connection_key, c.source_ref) = 1
             THEN coalesce(h.entry_id, c.entry_id) ELSE c.entry_id END AS entry_id, 1 AS version, c.connection_key, c.source_epoch, c.object, c.source_ref,
        'preview'::text AS correlation_id, %(known_at)s::timestamptz AS recorded_at, false AS is_deleted,
        c.approval, c.approver_ref, c.person_ref, c.project_ref, c.task_ref, c.entry_labor_category,
        c.work_date, c.zone, c.seconds, c.started_at, c.ended_at, c.created_at,
        c.approved_at, NULL::bigint AS narrative_id, c.narrative_length, c.narrative_hash,
        c.entry_is_billable, c.told_text, true AS is_subject
    FROM unnest(%(candidates)s::jsonb[]) AS told (hour)
    CROSS JOIN LATERAL jsonb_to_record(told.hour) AS c (
        subject_no bigint, entry_id uuid, connection_key text, source_epoch integer, object text,
        source_ref text, approval text, approver_ref text, approved_at timestamptz, person_ref text,
        project_ref text, task_ref text, entry_labor_category text, work_date date, zone text, seconds integer,
        started_at timestamptz, ended_at timestamptz, created_at timestamptz, narrative_length integer,
        narrative_hash bytea, told_text text, entry_is_billable boolean)
    LEFT JOIN connection k ON k.connection_key = c.connection_key
    LEFT JOIN time_entry h ON h.connection_key = c.connection_key AND h.source_epoch = k.source_epoch
        AND h.object = 'time_entries' AND h.source_ref = c.source_ref
"""


def load_rules(connection: Connection[Row], *, release_id: int) -> list[Rule]:
    """Return the rules of the time book in order of precedence."""
    rows = connection.execute(
        """
        SELECT book, code, position, scope, applies_when, predicate, severity, owner_queue, thing, message,
               fix_hint, source, neighbors FROM rule
        WHERE release_id = %s AND book = 'time' AND severity <> 'never' ORDER BY position
        """,
        (release_id,),
    ).fetchall()
    return [Rule(**{**row, "neighbors": tuple(row["neighbors"])}) for row in rows]


def judging_statement(
    *,
    subject: str,
    rules: Sequence[Rule],
    is_then: bool = False,
    is_history: bool = False,
    is_drafted: bool = False,
    empty: frozenset[str] = frozenset(),
    columns: Sequence[str] = (),
) -> sql.SQL:
    """Return the statement that answers one row per subject with every code it violates.

    Shipped predicates were held to the allow-list when their release was drafted; a firm's own are written
    anew from what was understood of them. ``is_history`` asks what stands unchanged in a target, too, except
    whether it may still be taken back. ``is_drafted`` asks a calendar that this session copied. What these tables
    tell is left out: they are ``empty``. Of the context's ``columns`` only these are answered, where any are named.
    ``is_then`` asks as everything was known then, and brings what each rule answered.

    :raises UserMistake: a firm's own rule cannot be read, or reads a column that there is no more.
    """
    text: Any = _judging_text(
        subject, tuple(rules), is_then, is_history, is_drafted, empty, tuple(columns)
    )
    return sql.SQL(text)


# A release stands for weeks, and what a firm told nothing of hardly changes: the same text is asked again and again,
# and the server knows it again.
@lru_cache(maxsize=32)
def _judging_text(
    subject: str,
    rules: tuple[Rule, ...],
    is_then: bool,
    is_history: bool,
    is_drafted: bool,
    empty: frozenset[str],
    columns: tuple[str, ...],
) -> str:
    context = _steps(empty, is_then=is_then)
    if is_drafted:
        for name, drafted in _DRAFTED.items():
            context = context.replace(name, drafted)
    head = f"WITH judging_subject AS ({subject}), {context}"
    answered = sql.SQL(", ").join(map(sql.Identifier, columns)) if columns else sql.SQL("context.*")
    checks = sql.SQL(", ").join(check_of(rule, is_history=is_history) for rule in rules)
    answers = sql.SQL(", ").join(_answer_of(rule) for rule in rules)
    told = sql.SQL(", ARRAY[{}]::text[] AS answers").format(answers) if is_then else sql.SQL("")
    statement = sql.SQL(
        "{} SELECT {}, array_remove(ARRAY[{}]::text[], NULL) AS violations{} FROM context"
    ).format(sql.SQL(head), answered, checks, told)
    return statement.as_string(None)


def _steps(empty: frozenset[str], *, is_then: bool) -> str:
    stands, undone = (
        (_STANDS + _BEFORE.format("e"), _UNDONE + _BEFORE.format("u"))
        if is_then
        else (_STANDS, _UNDONE)
    )
    steps = context_steps(empty=empty).replace("{newest}", _NEWEST_THEN if is_then else _NEWEST)
    steps = steps.replace("{standing}", _STANDING_THEN if is_then else _STANDING)
    steps = steps.replace("{returning}", RETURNING)
    return steps.replace("{stands}", stands).replace("{undone}", undone)


def check_of(rule: Rule, *, is_history: bool = False) -> sql.Composed:
    """Return what is the code of the rule where a row of the context violates it, else NULL.

    :raises UserMistake: a firm's own rule cannot be read.
    """
    asked, applies_when, predicate = _parts(rule, is_history=is_history)
    text = f"CASE WHEN {asked} AND ({applies_when}) AND ({predicate}) IS NOT TRUE THEN "
    return sql.SQL("{}{} END").format(sql.SQL(_as_text(text)), sql.Literal(rule.code))


def _answer_of(rule: Rule) -> sql.Composed:
    """Return what a rule says of a row of the context, as CODE=ANSWER; NULL where it is not asked."""
    asked, applies_when, predicate = _parts(rule, is_history=False)
    text = (
        f" || CASE WHEN ({asked}) IS NOT TRUE THEN NULL WHEN ({applies_when}) IS NOT TRUE THEN"
        f" '=not_applicable' WHEN ({predicate}) IS TRUE THEN '=holds' ELSE '=violated' END"
    )
    return sql.SQL("{}{}").format(sql.Literal(rule.code), sql.SQL(_as_text(text)))


def _parts(rule: Rule, *, is_history: bool) -> tuple[str, str, str]:
    """Return who is asked, when the rule applies, and what must be true."""
    is_settled = rule.code in ASKED_WHEN_LEAVING
    who = "is_counted OR is_leaving" if is_settled else "is_counted"
    asked = f"({who})" if is_history and not is_settled else f"({who}) AND NOT is_posted_unchanged"
    return asked, *written(rule)


def written(rule: Rule) -> tuple[str, str]:
    """Return when a rule applies and what must be true, as the database is asked.

    :raises UserMistake: a firm's own rule cannot be read.
    """
    if not is_own(rule):
        return rule.applies_when, rule.predicate
    return write_predicate(rule.applies_when), write_predicate(rule.predicate)


def is_own(rule: Rule) -> bool:
    """Say whether a firm wrote the rule itself."""
    return rule.code.startswith(OWN)


def _as_text(text: str) -> str:
    return text.replace("%", "%%")

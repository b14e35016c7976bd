"""What a firm writes reaches the database only as what was understood of it."""

from __future__ import annotations

import random

import psycopg
import pytest
from psycopg import sql

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.validation.own_predicates import (
    TEXT_MAX,
    Kind,
    columns_of_firms,
    write_predicate,
)

HOSTILE = (
    "",
    "   ",
    "seconds",
    "1",
    "NULL",
    "'true'",
    "seconds > 1; DROP TABLE rule",
    "seconds > 1 -- and nothing else",
    "seconds > 1 /* hidden */",
    "seconds > 1 /* /* nested */ */ OR true",
    "(SELECT true)",
    "seconds > (SELECT 1)",
    "EXISTS (SELECT 1 FROM secret)",
    "seconds IN (SELECT seconds FROM time_entry_version)",
    "seconds = ANY (ARRAY[1, 2])",
    "seconds = ALL ('{1,2}'::int[])",
    "pg_sleep(10) IS NULL",
    "pg_read_file('/etc/passwd') IS NOT NULL",
    "lo_import('/etc/passwd') > 0",
    "dblink('host=x', 'SELECT 1') IS NULL",
    "current_setting('is_superuser') = 'on'",
    "set_config('role', 'x', false) = 'x'",
    "current_user = 'tieline_owner'",
    "version() LIKE 'P%'",
    "now() > started_at",
    "current_date > work_date",
    "random() < 0.5",
    "count(*) > 1",
    "sum(seconds) > 1",
    "row_number() OVER (ORDER BY seconds) = 1",
    "sum(seconds) OVER () > 1",
    "'pg_class'::regclass > 0",
    "CAST('rule' AS regclass) IS NOT NULL",
    "seconds::text = '1'",
    "CAST(seconds AS text) = '1'",
    "CAST('x' AS date) > work_date",
    "date 'infinity' > work_date",
    "work_date > 'tomorrow'",
    "timestamp '2026-01-01' > started_at",
    "interval '1 day' > interval '2 days'",
    "work_date + 999999999 > today_on",
    "work_date + seconds > today_on",
    "seconds * 99999999999999999999 > 1",
    "seconds > 1e300",
    "seconds > 0x7fffffffffffffff",
    "seconds > 'NaN'",
    "seconds > " + "9" * 900,
    "task_name ~ '(a+)+$'",
    "task_name SIMILAR TO '(a|b)*'",
    "regexp_replace(task_name, '(a+)+', '') = ''",
    "task_name LIKE '%a%b%c'",
    "task_name LIKE '_____'",
    "task_name LIKE 'a%b%c%d%e'",
    "task_name LIKE person_ref",
    "task_name LIKE 'a!%' ESCAPE '!'",
    "task_name ILIKE '%x'",
    "task_name || task_name = 'x'",
    "repeat(task_name, 1000000) = 'x'",
    "lpad('x', 1000000000) = 'x'",
    "format('%s', task_name) = 'x'",
    "quote_ident(task_name) = 'x'",
    "rule.predicate = 'x'",
    "tieline.rule IS NULL",
    "context.seconds > 1",
    "context.* IS NULL",
    "\"seconds\" > 1",
    "ctid IS NOT NULL",
    "tableoid > 0",
    "posting_hash IS NOT NULL",
    "neighbor_keys IS NOT NULL",
    "standing_count = 0",
    "is_posted_unchanged",
    "no_such_column > 1",
    "seconds > $1",
    "seconds > $$1$$",
    "task_name = E'\\x41'",
    "task_name = U&'\\0041'",
    "task_name = B'101'",
    "task_name = 'a' 'b' COLLATE \"C\"",
    "task_name = 'it'",
    "seconds > %(known_at)s",
    "seconds > {}",
    "task_name = 'a\x00b'",
    "task_name = 'a\u202eb'",
    "seconds BETWEEN SYMMETRIC 5 AND 1",
    "CASE WHEN true THEN true ELSE true END",
    "ROW(1, 2) = ROW(1, 2)",
    "(seconds, day_seconds) = (1, 2)",
    "seconds > 1 UNION SELECT true",
    "seconds > 1 LIMIT 1",
    "seconds > '5'",
    "seconds = task_name",
    "work_date = seconds",
    "NOT seconds",
    "seconds AND true",
    "is_billable > seconds",
    "person_id = 'nobody'",
    "seconds = NULL",
    "round(amount, 99) > 1",
    "extract(epoch FROM work_date) > 1",
    "extract(hour FROM started_at) > 1",
    "seconds IN ()",
    "seconds IN (" + ", ".join("1" for _ in range(60)) + ")",
    "(" * 60 + "true" + ")" * 60,
    "NOT " * 240 + "true",
    " + ".join("seconds" for _ in range(120)) + " > 1",
    " AND ".join("seconds > 1" for _ in range(80)),
    "seconds > 1" + " " * TEXT_MAX,
)  # fmt: skip
HARMLESS = {"task_name = 'it'"}
_SAMPLES = {
    Kind.NUMBER: ("NULL", "0", "'-9223372036854775808'", "'9223372036854775807'"),
    Kind.TEXT: ("NULL", "''", "'Build'", "'%_\\'"),
    Kind.BOOLEAN: ("NULL", "true", "false"),
    Kind.DATE: ("NULL", "'0001-01-01'", "'2026-10-05'", "'9999-12-31'"),
    Kind.INSTANT: ("NULL", "'0001-01-01'", "'9999-12-31 23:59:59+00'"),
    Kind.ID: ("NULL", "'00000000-0000-0000-0000-000000000001'"),
}
_TYPES = {
    Kind.NUMBER: "bigint",
    Kind.TEXT: "text",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.INSTANT: "timestamptz",
    Kind.ID: "uuid",
}


class TestAPredicateOfAFirm:
    def test_is_refused_where_it_is_hostile(self) -> None:
        passed = []
        for text in HOSTILE:
            try:
                write_predicate(text)
            except UserMistake:
                continue
            passed.append(text)

        assert set(passed) == HARMLESS
        assert len(HOSTILE) > 100

    def test_is_written_anew_with_exact_numbers(self) -> None:
        assert write_predicate("coalesce(seconds, 0) / 0 > 1") == (
            "((coalesce(seconds::numeric, 0::numeric)::numeric / nullif(0::numeric, 0::numeric)) > 1)"
        )
        assert write_predicate("task_name NOT LIKE 'O''Br%'") == ("(NOT (task_name LIKE 'O''Br%'))")
        assert write_predicate("'2026-01-01' <= work_date AND work_date - today_on < 3") == (
            "((date '2026-01-01' <= work_date) AND ((work_date - today_on) < 3))"
        )

    def test_never_fails_in_the_database(self, worker_database: Database) -> None:
        chosen = random.Random(20261127)
        written = [_grow(chosen) for _ in range(400)]
        columns = sorted(columns_of_firms().items())

        with worker_database.transaction() as connection:
            for start in range(0, len(written), 20):
                row = ", ".join(
                    f"{chosen.choice(_SAMPLES[kind])}::{_TYPES[kind]} AS {name}"
                    for name, kind in columns
                )
                asked = ", ".join(f"({text}) IS TRUE" for text in written[start : start + 20])
                connection.execute(sql.SQL(f"SELECT {asked} FROM (SELECT {row}) AS context"))

    def test_is_sorted_before_the_database_sees_it(self, worker_database: Database) -> None:
        with (
            worker_database.transaction() as connection,
            pytest.raises(psycopg.ProgrammingError),
        ):
            connection.execute("SELECT 1 = 'x'::text")
        with pytest.raises(UserMistake, match="a text where a number is needed"):
            write_predicate("seconds = 'x'")


def _grow(chosen: random.Random) -> str:
    while True:
        try:
            return write_predicate(_truth(chosen, 3))
        except UserMistake:
            # Too long by chance; nothing else may be wrong with what is made here.
            continue


def _truth(chosen: random.Random, depth: int) -> str:
    if depth == 0 or chosen.random() < 0.2:
        name = chosen.choice(_of(Kind.BOOLEAN))
        return chosen.choice((name, f"{name} IS NOT TRUE", f"NOT {name}"))
    a, b = _number(chosen, depth), _number(chosen, depth)
    return chosen.choice(
        (
            f"({_truth(chosen, depth - 1)} AND {_truth(chosen, depth - 1)})",
            f"({_truth(chosen, depth - 1)} OR NOT {_truth(chosen, depth - 1)})",
            f"{a} {chosen.choice(('<', '>=', '<>', '='))} {b}",
            f"{a} BETWEEN {b} AND 999999999999999",
            f"{chosen.choice(_of(Kind.TEXT))} LIKE 'a%'",
            f"upper({chosen.choice(_of(Kind.TEXT))}) IN ('A', 'B')",
            f"{chosen.choice(_of(Kind.DATE))} + 4000 > {chosen.choice(_of(Kind.DATE))} - 4000",
            f"extract(isoyear FROM {chosen.choice(_of(Kind.DATE))}) > {a}",
        )
    )


def _number(chosen: random.Random, depth: int) -> str:
    if depth == 0 or chosen.random() < 0.3:
        return chosen.choice((*_of(Kind.NUMBER)[:6], "0", "999999999999999.999999"))
    a, b = _number(chosen, depth - 1), _number(chosen, depth - 1)
    return chosen.choice(
        (
            f"({a} {chosen.choice(('+', '-', '*', '/', '%'))} {b})",
            f"abs({a} * {a})",
            f"round({a}, 6)",
            f"coalesce({a}, {b})",
            f"greatest({a}, {b}, 1)",
            f"(- {a})",
            f"({chosen.choice(_of(Kind.DATE))} - {chosen.choice(_of(Kind.DATE))})",
            f"({chosen.choice(_of(Kind.INSTANT))} - {chosen.choice(_of(Kind.INSTANT))})",
            f"length({chosen.choice(_of(Kind.TEXT))})",
        )
    )


def _of(kind: Kind) -> list[str]:
    return [name for name, its in sorted(columns_of_firms().items()) if its is kind]

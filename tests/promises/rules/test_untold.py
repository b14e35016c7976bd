"""A step over an empty table may be left out: the statement without it answers the same for every hour."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import ClientCursor, Connection, sql
from psycopg.rows import dict_row

from tests.promises.rules.comparing import make_small_firm
from tests.promises.rules.firm import NOW
from tests.promises.rules.shapes import FILE, described
from tieline.policy import current_release
from tieline.runtime.database import Database
from tieline.validation.context import untold
from tieline.validation.context.untold import asked_tables
from tieline.validation.statement import STORED_SUBJECT, judging_statement, load_rules

HOURS = 60
# What is no table cannot be emptied.
FACTS = {"planned_assignment", "marked_up_line"}
# Each has steps of its own and an hour of the firm that it matters to; the others go all at once.
ALONE = ("spending_limit", "leave", "billing_terms")


class TestWhatNobodyToldOf:
    def test_is_left_out_and_the_answer_is_the_same(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        make_small_firm(owner=owner_database, worker=worker_database, hours=HOURS)

        with worker_database.transaction() as connection:
            told = set(asked_tables()) - untold(connection) - FACTS
            every = [(), *[(name,) for name in ALONE if name in told], tuple(sorted(told))]
            answers = [_answers(connection, empty=names) for names in every]

        assert len(told) > len(ALONE)
        for names, (whole, lean) in zip(every, answers, strict=True):
            assert len(whole) == HOURS, names
            assert lean == whole, names
        assert answers[0] != answers[-1]

    def test_has_the_columns_that_the_server_says_it_has(self, worker_database: Database) -> None:
        with worker_database.transaction() as connection:
            written = described(connection)

        assert written == FILE.read_text(encoding="utf-8")


def _answers(
    connection: Connection[dict[str, Any]], *, empty: tuple[str, ...]
) -> tuple[list[Any], list[Any]]:
    """Return what the whole statement and the lean one say while these tables have no row."""
    with (
        connection.transaction(force_rollback=True),
        ClientCursor(connection, row_factory=dict_row) as cursor,
    ):
        for name in empty:
            # A temporary table of the name stands before the real one.
            cursor.execute(
                sql.SQL("CREATE TEMP TABLE {0} (LIKE tieline.{0})").format(sql.Identifier(name))
            )
        cursor.execute("CREATE TEMP TABLE judge_subject AS SELECT entry_id FROM time_entry")
        release_id = current_release(connection).release_id
        rules = load_rules(connection, release_id=release_id)
        gone = untold(connection)
        assert gone >= set(empty)
        return _ask(cursor, rules, release_id, frozenset()), _ask(cursor, rules, release_id, gone)


def _ask(cursor: Any, rules: Any, release_id: int, empty: frozenset[str]) -> list[Any]:
    statement = judging_statement(subject=STORED_SUBJECT, rules=rules, empty=empty)
    known_at: datetime = NOW
    rows = cursor.execute(statement, {"known_at": known_at, "release_id": release_id}).fetchall()
    return sorted(rows, key=lambda row: str(row["entry_id"]))

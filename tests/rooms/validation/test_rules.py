"""Every shipped rule holds in the common context and is violated by its own example."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import ClientCursor, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tieline.kernel.errors import UserMistake
from tieline.policy import approve_release, draft_release
from tieline.runtime.database import Database
from tieline.validation.books import (
    ShippedRule,
    builtin_rules,
    builtin_values,
    common_context,
    shipped_rules,
)
from tieline.validation.predicates import check_predicate
from tieline.validation.statement import STORED_SUBJECT, judging_statement

NOW = datetime(2026, 11, 3, 14, tzinfo=UTC)
RULES = shipped_rules()


@pytest.fixture
def release_id(owner_database: Database) -> int:
    with owner_database.transaction() as connection:
        drafted = draft_release(
            connection,
            title="first",
            rules=builtin_rules(),
            values=builtin_values(),
            overrides=(),
            proposed_by="ann",
            reason="a test",
            now=NOW,
        )
        approve_release(connection, release_id=drafted, approved_by="bob", now=NOW)
    return drafted


@pytest.fixture
def typed_context(owner_database: Database, release_id: int) -> Database:
    """Make a table with the columns of the context, as the statement itself types them."""
    with owner_database.transaction() as connection:
        connection.execute("CREATE TEMP TABLE judge_subject (entry_id uuid)")
        with ClientCursor(connection, row_factory=dict_row) as cursor:
            statement = judging_statement(subject=STORED_SUBJECT, rules=builtin_rules())
            cursor.execute(
                sql.SQL("CREATE TABLE typed_context AS {}").format(statement),
                {"known_at": NOW, "release_id": release_id},
            )
    return owner_database


def _violates(database: Database, shipped: ShippedRule, changed: dict[str, Any]) -> bool:
    row = {**common_context(), **changed}
    rule = shipped.rule
    statement = (
        f"SELECT ({rule.applies_when}) AND ({rule.predicate}) IS NOT TRUE AS is_violated"
        " FROM jsonb_populate_record(NULL::typed_context, %s)"
    )
    with database.transaction() as connection:
        found = connection.execute(
            statement.replace(" % ", " %% "),  # type: ignore[arg-type]
            (Jsonb({name: None if value == "null" else value for name, value in row.items()}),),
        ).fetchone()
    assert found is not None
    return bool(found["is_violated"])


class TestShippedRules:
    def test_are_at_least_twenty_five(self) -> None:
        assert len(RULES) >= 25

    def test_have_codes_of_their_own(self) -> None:
        assert len({shipped.rule.code for shipped in RULES}) == len(RULES)

    def test_hold_in_the_common_context_and_fail_in_their_example(
        self, typed_context: Database
    ) -> None:
        wrong = [
            shipped.rule.code
            for shipped in RULES
            if _violates(typed_context, shipped, {})
            or not _violates(typed_context, shipped, dict(shipped.fails))
        ]

        assert wrong == []


class TestPredicates:
    @pytest.mark.parametrize(
        "text",
        [
            "pg_sleep(10) IS NULL",
            "seconds > (SELECT 1)",
            "unknown_column = 1",
            "verdict.seconds > 0",
            "seconds > 0; DROP TABLE verdict",
            "seconds >",
        ],
    )
    def test_refuse_what_is_not_allowed(self, text: str) -> None:
        with pytest.raises(UserMistake):
            check_predicate(text)

    def test_allow_comparisons_of_documented_columns(self) -> None:
        assert check_predicate("seconds > 0 AND work_date <= today_on")

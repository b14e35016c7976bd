"""Every shipped rule holds in the common context and is violated by its own example."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from psycopg import ClientCursor, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from tests.support.scene import approve_shipped_rules

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.validation.books import (
    ShippedRule,
    builtin_rules,
    common_context,
    shipped_rules,
)
from tieline.validation.columns import documented_columns
from tieline.validation.predicates import check_predicate, context_columns, read_columns
from tieline.validation.statement import STORED_SUBJECT, judging_statement

NOW = datetime(2026, 11, 3, 14, tzinfo=UTC)
RULES = shipped_rules()
# What products and auditors check before an hour may be billed, by its numbers.
CHECKS = (
    (1, 12),
    (20, 32),
    (40, 58),
    (70, 81),
    (90, 107),
    (120, 134),
    (140, 146),
    (160, 167),
    (180, 187),
)
HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "change-the-rules.md"


@pytest.fixture
def release_id(owner_database: Database) -> int:
    with owner_database.transaction() as connection:
        return approve_shipped_rules(connection, now=NOW)


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
    rule = shipped.rule
    return _holds(database, f"({rule.applies_when}) AND ({rule.predicate}) IS NOT TRUE", changed)


def _applies(database: Database, shipped: ShippedRule, changed: dict[str, Any]) -> bool:
    return _holds(database, shipped.rule.applies_when, changed)


def _holds(database: Database, text: str, changed: dict[str, Any]) -> bool:
    row = {**common_context(), **changed}
    statement = (
        f"SELECT ({text}) IS TRUE AS holds FROM jsonb_populate_record(NULL::typed_context, %s)"
    )
    with database.transaction() as connection:
        found = connection.execute(
            statement.replace(" % ", " %% "),
            (Jsonb({name: None if value == "null" else value for name, value in row.items()}),),
        ).fetchone()
    assert found is not None
    return bool(found["holds"])


class TestShippedRules:
    def test_are_at_least_eighty_five(self) -> None:
        assert len(RULES) >= 85

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

    def test_hold_in_an_example_that_is_theirs(self, typed_context: Database) -> None:
        wrong = [
            shipped.rule.code
            for shipped in RULES
            if shipped.passes
            and (
                _violates(typed_context, shipped, dict(shipped.passes))
                or not _applies(typed_context, shipped, dict(shipped.passes))
            )
        ]

        assert wrong == []

    def test_show_the_columns_that_decide(self) -> None:
        for shipped in RULES:
            held, failed = shipped.pass_example(), shipped.fail_example()

            assert held.keys() >= read_columns(shipped.rule.predicate), shipped.rule.code
            assert held != {name: failed.get(name) for name in held}, shipped.rule.code

    def test_have_titles_of_their_own(self) -> None:
        assert len({shipped.title for shipped in RULES}) == len(RULES)


class TestColumns:
    def test_are_documented_as_the_statement_types_them(self, typed_context: Database) -> None:
        with typed_context.transaction() as connection:
            rows = connection.execute(
                "SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute"
                " WHERE attrelid = 'typed_context'::regclass AND attnum > 0"
                " AND attname <> 'violations'"
            ).fetchall()
        documented = {column.name: column.type for column in documented_columns()}

        assert documented == {row["name"]: row["type"] for row in rows}, (
            "write a line for each in validation/context/columns.toml, and run script/reference"
        )
        assert set(documented) == context_columns()


# What may be unknown without harm: open ends, what only some entries have, and what only explains.
MAY_BE_UNKNOWN = {
    "cost_rate": "a warning only: the hour is billed all the same",
    "created_on": "a source without an instant of entry cannot be late",
    "today_on": "read from the clock, never from a source",
    "period_id": "its state is asked for",
    "person_ref": "only compared with an approver",
    "project_ref": "its link is counted",
    "task_ref": "its link is counted",
    "person_id": "its link is counted",
    "project_id": "its link is counted",
    "task_name": "a word for people",
    "amount": "computed from rate and seconds, which are asked for",
    "contract_line_id": "found with the rate, which is counted",
    "entity_currency": "asked for only between companies",
    "home_currency": "asked for only between companies",
    "has_transfer_prices": "asked for only between companies",
    "billed_seconds": "computed from the seconds, which are asked for",
    "line_rate_amount": "only compared in a warning",
    "contract_id": "every project has one, by a foreign key",
    "client_id": "every contract has one, by a foreign key",
    "entity_code": "every project has one, by a foreign key",
    "home_entity_code": "found with the home, which is counted",
    "task_count": "a count is never unknown",
    "leave_count": "a count is never unknown",
    "linked_task_count": "a count is never unknown",
    "employment_count": "a count is never unknown",
    "day_count": "a count is never unknown",
    "is_deleted": "never unknown, by the table",
    "is_excluded": "never unknown, by the statement",
    "is_before_go_live": "never unknown, by the statement",
    "is_counted": "never unknown, by the statement",
    "is_leaving": "never unknown, by the statement",
    "is_posted_unchanged": "never unknown, by the statement",
    "has_line_for_every_task": "never unknown, by the statement",
    "has_line_for_every_category": "never unknown, by the statement",
    "is_intercompany_agreed": "asked for only between companies",
    "standing_count": "a count is never unknown",
    "is_standing_invoiced": "asked for only when something stands",
    "duplicate_count": "a count is never unknown",
    "duplicate_rank": "asked for only among duplicates",
    "overlap_count": "asked for only where times are known",
    "allows_unassigned_time": "unknown asks for the assignment, as false does",
    "guideline_count": "a count is never unknown",
    "timekeeper_count": "a count is never unknown",
    "approver_count": "a count is never unknown",
    "reversed_count": "a count is never unknown",
    "reversing_count": "a count is never unknown",
    "people_day_count": "a count is never unknown",
    "same_text_days": "a count is never unknown",
    "forbids_contact_data": "never unknown, by the statement",
    "has_client_codes": "never unknown, by the statement",
    "has_timekeepers": "never unknown, by the statement",
    "has_forbidden_words": "never unknown, by the statement",
    "has_task_codes": "never unknown, by the statement",
    "has_charge_controls": "never unknown, by the statement",
    "has_qualifications": "never unknown, by the statement",
    "is_subcontractor": "never unknown, by the statement",
    "is_authority_told": "never unknown, by the statement",
    "is_narrative_read": "never unknown, by the statement",
    "is_task_elsewhere": "without a task there is none elsewhere, and the task is asked for",
    "is_code_allowed": "asked for only where the client told its codes",
    "client_day_seconds": "asked for only where a guideline does",
    "earlier_epoch_count": "asked for only after a reset",
    "source_epoch": "never unknown, by the table",
    "changed_since_approval_count": "asked for only where the day of approval is told",
    "policy_practice_required": "a value has a default",
    "policy_day_seconds_max": "a value has a default",
    "policy_entry_seconds_max": "a value has a default",
    "policy_late_entry_days": "a value has a default",
    "policy_future_days_max": "a value has a default",
    "policy_narrative_length_min": "a value has a default",
    "policy_target_quantum_seconds": "a value has a default",
}


class TestWhatNobodyKnows:
    """Missing data holds; it never clears."""

    def test_any_other_column_that_is_unknown_keeps_the_hour_back(
        self, typed_context: Database
    ) -> None:
        cleared = [
            column
            for column in common_context()
            if column not in MAY_BE_UNKNOWN and not _keeps_back(typed_context, {column: "null"})
        ]

        assert cleared == []

    def test_the_common_context_is_cleared_and_excuses_name_its_columns(
        self, typed_context: Database
    ) -> None:
        assert set(MAY_BE_UNKNOWN) <= set(common_context())
        assert not _keeps_back(typed_context, {})


def _keeps_back(database: Database, changed: dict[str, Any]) -> list[str]:
    """Return the codes that hold or park the common context with these changes."""
    row = {**common_context(), **changed}
    checks = ", ".join(
        f"CASE WHEN ({shipped.rule.applies_when}) AND ({shipped.rule.predicate}) IS NOT TRUE"
        f" THEN '{shipped.rule.code}' END"
        for shipped in RULES
        if shipped.rule.severity in ("error", "park")
    )
    statement = (
        f"SELECT array_remove(ARRAY[{checks}], NULL) AS codes"
        " FROM jsonb_populate_record(NULL::typed_context, %s)"
    )
    with database.transaction() as connection:
        found = connection.execute(
            statement.replace(" % ", " %% "),
            (Jsonb({name: None if value == "null" else value for name, value in row.items()}),),
        ).fetchone()
    assert found is not None
    codes: list[str] = found["codes"]
    return codes


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
            "",
            "seconds > 0 -- and nothing else",
            "seconds > 0 /* hidden */",
            "seconds > " + "9" * 16,
            "seconds > 1e400",
            "(" * 200 + "seconds > 0" + ")" * 200,
            "NOT " * 120 + "is_counted",
            "- " * 200 + "seconds > 0",
            " + ".join(["seconds"] * 50) + " > 0",
        ],
    )
    def test_refuse_what_is_not_allowed(self, text: str) -> None:
        with pytest.raises(UserMistake):
            check_predicate(text)

    def test_allow_comparisons_of_documented_columns(self) -> None:
        assert check_predicate("seconds > 0 AND work_date <= today_on")


def test_every_check_has_a_rule_or_a_word_that_says_why_it_has_none() -> None:
    checks = {f"TV-{number:03d}" for first, last in CHECKS for number in range(first, last + 1)}
    decided = {word for rule in builtin_rules() for word in rule.source.replace(",", " ").split()}
    told = HOW_TO.read_text(encoding="utf-8")

    assert {check for check in checks - decided if f"| {check}, " not in told} == set()

"""What the database itself refuses the worker, whatever our own code may do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString
from uuid import UUID

import pytest
from psycopg import Connection, errors
from psycopg.types.json import Jsonb
from tests.support.scene import NOW, Scene, add_hours, build_scene

from tieline.ledger import plan
from tieline.reconciliation import look_at_own_books
from tieline.runtime.database import Database

STATES = (
    "PLANNED", "INTENT", "CONFIRMED", "REJECTED", "UNKNOWN", "PROBING", "ABSENT", "CONFLICT",
    "WITHDRAWN",
)  # fmt: skip
# The posting protocol: from each state, the states that may follow.
EDGES = {
    # UNKNOWN at once where a restored database finds that it was sent after the backup.
    "PLANNED": {"INTENT", "UNKNOWN", "WITHDRAWN"},
    # Back to PLANNED only when the call surely never left.
    "INTENT": {"CONFIRMED", "REJECTED", "UNKNOWN", "PLANNED"},
    "UNKNOWN": {"PROBING"},
    "PROBING": {"CONFIRMED", "ABSENT", "CONFLICT", "UNKNOWN"},
    "ABSENT": {"INTENT", "UNKNOWN", "WITHDRAWN"},
    "CONFLICT": {"CONFIRMED", "WITHDRAWN"},
    "REJECTED": {"PLANNED", "WITHDRAWN"},
    "CONFIRMED": set(),
    "WITHDRAWN": set(),
}
WAYS = {
    "PLANNED": (),
    "INTENT": ("INTENT",),
    "CONFIRMED": ("INTENT", "CONFIRMED"),
    "REJECTED": ("INTENT", "REJECTED"),
    "UNKNOWN": ("INTENT", "UNKNOWN"),
    "PROBING": ("INTENT", "UNKNOWN", "PROBING"),
    "ABSENT": ("INTENT", "UNKNOWN", "PROBING", "ABSENT"),
    "CONFLICT": ("INTENT", "UNKNOWN", "PROBING", "CONFLICT"),
    "WITHDRAWN": ("WITHDRAWN",),
}
_BOOK: LiteralString = """
    INSERT INTO ledger_line (booked_month, booked_at, business_key, effect_state, entry_id,
        entry_version, target_connection, target_code, entity_code, period_id, client_id, contract_id,
        project_id, person_id, labor_category, work_date, is_billable, seconds, target_seconds,
        correlation_id)
    SELECT '2026-11-01', %(now)s, %(key)s, %(state)s, e.entry_id, e.entry_version, 'tryton', '1',
           'HR-DE', e.period_id, v.client_id, v.contract_id, v.project_id, v.person_id, '', v.work_date,
           true, e.seconds, e.seconds, 'c'
    FROM effect e JOIN verdict v USING (verdict_id)
"""
# The same hour again, under whatever key and number.
_TWIN: LiteralString = """
    INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref,
        target_connection, noun, part, effect_no, kind, state, verdict_id, entry_id, entry_version,
        verdict_outcome, entity_code, period_id, seconds, work_class, correlation_id, planned_at)
    SELECT %(key)s, connection_key, source_epoch, object, source_ref, target_connection, noun, part,
           %(effect_no)s, kind, %(state)s, verdict_id, entry_id, entry_version, %(outcome)s,
           entity_code, period_id, seconds, work_class, correlation_id, planned_at
    FROM effect
"""
_NEW_KEY = UUID(int=1)
_OPEN_AND_NOT_SAID: LiteralString = """
    WITH said AS (
        SELECT business_key, target_connection, entity_code, period_id, noun, kind, state, attempt = 0 AS is_first, due_at,
               deadline_at, amount, planned_at, entry_id
        FROM effect WHERE effect_is_unsettled(state, reason, noun, kind, attempt, asked_again_at)
    )
    (TABLE said EXCEPT TABLE unsettled_effect) UNION ALL (TABLE unsettled_effect EXCEPT TABLE said)
"""
_STANDING: LiteralString = (
    "SELECT count(*) AS rows, sum(amount) AS amount, sum(seconds) AS seconds FROM standing_sum"
)
_INDEXED: LiteralString = r"""
    SELECT string_agg(indexname, ', ') AS indexed FROM pg_indexes
    WHERE schemaname = 'tieline' AND tablename = 'effect'
      AND indexdef ~ '\m(state|attempt|work_class|payload_hash|sent_at|due_at|reason|target_code|settled_at|stored_hash)\M'
"""

# Who names whom, and what makes a copy of a row another one.
NAMED: tuple[tuple[LiteralString, LiteralString, LiteralString, dict[str, object]], ...] = (
    ("time_entry", "connection_key", "connection", {"entry_id": _NEW_KEY}),
    ("time_entry_version", "batch_id", "intake_batch", {"version": 9, "is_newest": False}),
    ("verdict", "release_id", "release", {"verdict_id": -1}),
    ("effect", "target_connection", "connection", {"business_key": _NEW_KEY}),
    ("effect", "period_id", "fiscal_period", {"business_key": _NEW_KEY, "effect_no": 2}),
    ("effect", "release_id", "release", {"business_key": _NEW_KEY, "effect_no": 2}),
)
_UNKNOWN: dict[str, object] = {
    "connection_key": "nowhere", "target_connection": "nowhere", "period_id": _NEW_KEY, "batch_id": -1, "release_id": -1,
}  # fmt: skip

pytestmark = pytest.mark.sql


class Planned:
    """One cleared hour with its planned effect, in a transaction of the worker."""

    def __init__(self, connection: Connection[dict[str, Any]], business_key: UUID) -> None:
        self.connection = connection
        self.business_key = business_key

    def move(self, state: str) -> None:
        self.connection.execute("UPDATE effect SET state = %s, payload_hash = 'x'", (state,))

    def bring_to(self, state: str) -> None:
        for step in WAYS[state]:
            self.move(step)

    def book(self, *, key: UUID | None = None, state: str = "CONFIRMED") -> None:
        self.connection.execute(
            _BOOK, {"now": NOW, "key": key or self.business_key, "state": state}
        )

    def twin(
        self,
        *,
        key: UUID = _NEW_KEY,
        effect_no: int = 1,
        state: str = "PLANNED",
        outcome: str | None = "cleared",
    ) -> None:
        self.connection.execute(
            _TWIN, {"key": key, "effect_no": effect_no, "state": state, "outcome": outcome}
        )

    @contextmanager
    def refused(self, *errors: type[Exception], match: str | None = None) -> Iterator[None]:
        with pytest.raises(errors, match=match), self.connection.transaction():
            yield


@pytest.fixture
def scene(owner_database: Database) -> Scene:
    with owner_database.transaction() as connection:
        return build_scene(connection)


@pytest.fixture
def planned(owner_database: Database, worker_database: Database, scene: Scene) -> Iterator[Planned]:
    with owner_database.transaction() as connection:
        add_hours(connection, scene, seconds=[3600])
    with worker_database.transaction() as connection:
        plan(connection, entry_ids=None, now=NOW)
        row = connection.execute("SELECT business_key FROM effect").fetchone()
        assert row is not None
        yield Planned(connection, row["business_key"])


class TestEffect:
    @pytest.mark.parametrize("state", STATES)
    def test_moves_along_the_edges_of_the_protocol_and_no_others(
        self, planned: Planned, state: str
    ) -> None:
        planned.bring_to(state)

        for other in set(STATES) - EDGES[state] - {state}:
            with planned.refused(errors.CheckViolation):
                planned.move(other)
        for other in EDGES[state]:
            with planned.connection.transaction(force_rollback=True):
                planned.move(other)

    @pytest.mark.parametrize("state", [state for state in STATES if state != "PLANNED"])
    def test_begins_as_nothing_but_planned(self, planned: Planned, state: str) -> None:
        with planned.refused(errors.CheckViolation):
            planned.twin(effect_no=2, state=state)

    def test_is_the_only_one_of_its_event_and_number(self, planned: Planned) -> None:
        with planned.refused(errors.UniqueViolation):
            planned.twin()

    def test_is_the_only_one_under_its_key(self, planned: Planned) -> None:
        with planned.refused(errors.UniqueViolation):
            planned.twin(key=planned.business_key, effect_no=2)

    @pytest.mark.parametrize("outcome", ["held", None])
    def test_of_an_hour_needs_a_verdict_that_lets_it_go(
        self, planned: Planned, outcome: str | None
    ) -> None:
        with planned.refused(errors.CheckViolation):
            planned.twin(effect_no=2, outcome=outcome)

    def test_needs_the_verdict_that_it_names(self, planned: Planned) -> None:
        with planned.refused(errors.ForeignKeyViolation):
            planned.twin(effect_no=2, outcome="correct")

    def test_is_not_sent_without_a_hash_of_what_leaves(self, planned: Planned) -> None:
        with planned.refused(errors.CheckViolation):
            planned.connection.execute("UPDATE effect SET state = 'INTENT'")

    @pytest.mark.parametrize(
        "change",
        [
            "source_ref = 'other'",
            "source_epoch = 9",
            "effect_no = 7",
            "part = 'x'",
            "noun = 'task'",
        ],
    )
    def test_never_becomes_the_effect_of_another_event(
        self, planned: Planned, change: LiteralString
    ) -> None:
        with planned.refused(errors.CheckViolation):
            planned.connection.execute(f"UPDATE effect SET {change}")


class TestLedger:
    @pytest.mark.parametrize("state", [state for state in STATES if state != "CONFIRMED"])
    def test_takes_no_line_of_an_effect_that_is_not_confirmed(
        self, planned: Planned, state: str
    ) -> None:
        planned.bring_to(state)

        with planned.refused(errors.ForeignKeyViolation):
            planned.book()
        with planned.refused(errors.CheckViolation):
            planned.book(state=state)

    def test_takes_no_line_without_an_effect(self, planned: Planned) -> None:
        planned.bring_to("CONFIRMED")

        with planned.refused(errors.ForeignKeyViolation):
            planned.book(key=_NEW_KEY)

    def test_takes_one_line_of_an_effect(self, planned: Planned) -> None:
        planned.bring_to("CONFIRMED")
        planned.book()

        with planned.refused(errors.UniqueViolation):
            planned.book()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE ledger_line SET seconds = 1",
            "DELETE FROM ledger_line",
            "UPDATE ledger_line_other SET seconds = 1",
            "DELETE FROM ledger_line_other",
        ],
    )
    def test_loses_and_changes_nothing(self, planned: Planned, statement: LiteralString) -> None:
        planned.bring_to("CONFIRMED")
        planned.book()

        with planned.refused(errors.CheckViolation):
            planned.connection.execute(statement)

    def test_is_never_emptied(self, planned: Planned) -> None:
        with planned.refused(errors.InsufficientPrivilege):
            planned.connection.execute("TRUNCATE ledger_line")

    def test_keeps_the_confirmed_effect_of_a_line(self, planned: Planned) -> None:
        planned.bring_to("CONFIRMED")
        planned.book()

        with planned.refused(errors.ForeignKeyViolation):
            planned.connection.execute("DELETE FROM effect")


class TestWhatRowsHaveInCommon:
    """Looked up once of all rows of a statement, and held as a foreign key holds it."""

    def test_is_there_when_a_row_comes(self, planned: Planned) -> None:
        for child, column, _, another in NAMED:
            changed = Jsonb({name: str(value) for name, value in another.items()})
            text: LiteralString = (
                f"INSERT INTO {child} OVERRIDING SYSTEM VALUE"
                f" SELECT (jsonb_populate_record(c, %s || jsonb_build_object('{column}', %s::text))).*"
                f" FROM {child} c LIMIT 1"
            )

            with planned.refused(errors.ForeignKeyViolation, match=f"{child} names a {column}"):
                planned.connection.execute(text, (changed, _UNKNOWN[column]))

    def test_is_there_when_a_row_names_another(self, planned: Planned) -> None:
        for child, column, _, _ in NAMED:
            # An effect stays with its target by a law of its own.
            with planned.refused(errors.ForeignKeyViolation, errors.CheckViolation):
                planned.connection.execute(f"UPDATE {child} SET {column} = %s", (_UNKNOWN[column],))

    def test_stays_while_a_row_names_it(self, planned: Planned) -> None:
        for child, column, parent, _ in NAMED:
            key: LiteralString = "connection_key" if parent == "connection" else column
            names: LiteralString = f"{key} IN (SELECT {column} FROM {child})"

            with planned.refused(errors.ForeignKeyViolation):
                planned.connection.execute(f"DELETE FROM {parent} WHERE {names}")
            # What counts its own names never changes them at all.
            with planned.refused(errors.ForeignKeyViolation, errors.GeneratedAlways):
                planned.connection.execute(
                    f"UPDATE {parent} SET {key} = %s WHERE {names}", (_UNKNOWN[column],)
                )

    def test_may_go_when_no_row_names_it(self, planned: Planned) -> None:
        planned.connection.execute("DELETE FROM effect")

        gone = planned.connection.execute("DELETE FROM fiscal_period").rowcount

        assert gone > 0

    def test_is_taken_away_by_nobody_before_the_row_is_committed(
        self, planned: Planned, owner_database: Database
    ) -> None:
        with owner_database.transaction() as connection:
            connection.execute("SET LOCAL lock_timeout = '50ms'")

            with pytest.raises(errors.LockNotAvailable), connection.transaction():
                connection.execute("DELETE FROM fiscal_period")

    def test_is_never_emptied(self, owner_database: Database) -> None:
        for _, _, parent, _ in NAMED:
            with (
                pytest.raises(errors.FeatureNotSupported),
                owner_database.transaction() as connection,
            ):
                connection.execute(f"TRUNCATE {parent}")


class TestWhatStandsOfAContract:
    @pytest.mark.parametrize("state", STATES)
    def test_is_what_its_effects_come_to_after_each_step(
        self, planned: Planned, state: str
    ) -> None:
        for step in WAYS[state]:
            planned.move(step)
            assert look_at_own_books(planned.connection, check="check.used") == ()

        kept = planned.connection.execute(
            "SELECT coalesce(sum(seconds), 0) AS seconds FROM standing_sum"
        ).fetchone()
        stands = state in ("INTENT", "UNKNOWN", "PROBING", "CONFIRMED", "CONFLICT")
        assert kept == {"seconds": 3600 if stands else 0}

    def test_is_the_same_when_it_is_put_together(self, planned: Planned) -> None:
        for step in ("INTENT", "PLANNED") * 4 + ("INTENT",):
            planned.move(step)
        before = planned.connection.execute(_STANDING).fetchone()

        folded = planned.connection.execute("SELECT fold_standing_sums() AS rows").fetchone()

        assert folded == {"rows": 1}
        after = planned.connection.execute(_STANDING).fetchone()
        assert before is not None
        assert after == {**before, "rows": 1}
        assert before["rows"] > 1

    def test_goes_with_its_effect(self, planned: Planned) -> None:
        planned.bring_to("CONFIRMED")

        planned.connection.execute("DELETE FROM effect")

        assert look_at_own_books(planned.connection, check="check.used") == ()

    def test_is_written_by_nobody_else(self, planned: Planned) -> None:
        for kept in ("standing_sum", "scarce_hour"):
            with planned.refused(errors.InsufficientPrivilege):
                planned.connection.execute(f"DELETE FROM {kept}")


class TestWhatIsOpen:
    @pytest.mark.parametrize("state", STATES)
    def test_is_what_the_effects_say_after_each_step(self, planned: Planned, state: str) -> None:
        for step in WAYS[state]:
            planned.move(step)
            assert planned.connection.execute(_OPEN_AND_NOT_SAID).fetchall() == []

        assert _count_open(planned) == (state not in ("CONFIRMED", "WITHDRAWN"))

    def test_is_also_what_was_altered_or_is_asked_about_again(self, planned: Planned) -> None:
        planned.bring_to("CONFIRMED")
        assert _count_open(planned) == 0

        planned.connection.execute("UPDATE effect SET reason = 'posted.altered_by_target'")
        assert _count_open(planned) == 1

        planned.connection.execute("UPDATE effect SET reason = NULL, attempt = 2")
        assert _count_open(planned) == 1

        planned.connection.execute("UPDATE effect SET asked_again_at = %s", (NOW,))
        assert _count_open(planned) == 0

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE unsettled_effect SET state = 'INTENT'",
            "DELETE FROM unsettled_effect",
            "INSERT INTO unsettled_effect SELECT * FROM unsettled_effect",
        ],
    )
    def test_is_written_by_nobody(self, planned: Planned, statement: LiteralString) -> None:
        with planned.refused(errors.InsufficientPrivilege):
            planned.connection.execute(statement)

    def test_is_no_reason_to_write_a_step_into_an_index(self, planned: Planned) -> None:
        # What a step changes may stand in no index of the table, neither as a column nor in a condition.
        row = planned.connection.execute(_INDEXED).fetchone()

        assert row is not None
        assert row["indexed"] is None


def _count_open(planned: Planned) -> int:
    row = planned.connection.execute("SELECT count(*) AS n FROM open_effect").fetchone()
    assert row is not None
    return int(row["n"])


class TestWebRole:
    @pytest.mark.parametrize(
        "table", ["raw_record", "raw_record_other", "untranslated", "stream_cursor", "narrative"]
    )
    def test_reads_nothing_raw(self, owner_database: Database, table: str) -> None:
        with owner_database.transaction() as connection:
            row = connection.execute(
                "SELECT has_any_column_privilege('tieline_web', %s, 'SELECT') AS may_read", (table,)
            ).fetchone()

        assert row == {"may_read": False}

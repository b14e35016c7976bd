"""How the server goes about a page: no step is held hour by hour against another, whatever it expects of them."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from tests.promises.rules.comparing import make_small_firm
from tests.promises.rules.firm import NOW
from tests.support.plans import held_against, plan_of
from tieline.policy import current_release
from tieline.runtime.database import Database
from tieline.runtime.sql import hashed
from tieline.validation.statement import STORED_SUBJECT, judging_statement, load_rules

HOURS = 60
# A value of the policy may be the firm's or the entity's: a condition with OR cannot be hashed, and entities are few.
FEW = "CTE setting"


class TestAPage:
    def test_holds_no_step_hour_by_hour_against_another(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        make_small_firm(owner=owner_database, worker=worker_database, hours=HOURS)

        with worker_database.transaction() as connection:
            connection.execute(
                "CREATE TEMP TABLE judge_subject ON COMMIT DROP AS SELECT entry_id FROM time_entry"
            )
            as_the_planner_likes = list(held_against(_plan(connection), but=FEW))
            with hashed(connection, is_so=True):
                kept_apart = list(held_against(_plan(connection), but=FEW))

        assert as_the_planner_likes
        assert not kept_apart


def _plan(connection: Connection[dict[str, Any]]) -> dict[str, Any]:
    """Return the plan of the whole statement: no step is left out."""
    release_id = current_release(connection).release_id
    statement = judging_statement(
        subject=STORED_SUBJECT, rules=load_rules(connection, release_id=release_id)
    )
    return plan_of(connection, statement, {"known_at": NOW, "release_id": release_id})

"""What is read of all while tables grow: the server has no statistics yet and takes thousands for one."""

from __future__ import annotations

import pytest
from psycopg import sql
from tests.promises.rules.firm import NOW
from tests.support.plans import held_against, plan_of

from tieline.runtime.database import Database
from tieline.runtime.sql import hashed
from tieline.services.invoice_readiness import FACTS

COUNT_EVERYTHING = (
    "page_close_lines", "page_delivery", "page_go_lives", "page_missing_time", "page_tie_out",
)  # fmt: skip


def test_readiness_of_every_contract_holds_no_step_row_by_row_against_another(
    worker_database: Database,
) -> None:
    values = {"now": NOW, "contract_ids": None}

    with worker_database.transaction() as connection:
        as_the_planner_likes = list(held_against(plan_of(connection, sql.SQL(FACTS), values)))
        with hashed(connection, is_so=True):
            kept_apart = list(held_against(plan_of(connection, sql.SQL(FACTS), values)))

    assert as_the_planner_likes
    assert not kept_apart


@pytest.mark.parametrize("page", COUNT_EVERYTHING)
def test_a_page_that_counts_everything_hashes_what_it_joins(
    worker_database: Database, page: str
) -> None:
    with worker_database.transaction() as connection:
        row = connection.execute(
            "SELECT proconfig FROM pg_proc WHERE proname = %s", (page,)
        ).fetchone()

    assert row is not None
    assert "enable_nestloop=off" in row["proconfig"]

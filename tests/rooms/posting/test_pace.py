"""How posting went is kept for as long as a forecast reads it."""

from __future__ import annotations

import pytest

from tieline.posting.pace import note_pace, purge_paces, read_paces
from tieline.runtime.database import Database

pytestmark = pytest.mark.sql


class TestPace:
    def test_is_read_for_an_hour_and_removed_afterwards(self, worker_database: Database) -> None:
        with worker_database.transaction() as connection:
            for minutes in (600, 10):
                note_pace(connection, target_connection="erp", items=200, calls=2, is_full=True)
                connection.execute(
                    "UPDATE posting_pace SET minute = minute - make_interval(mins => %s)"
                    " WHERE minute > clock_timestamp() - interval '2 minutes'",
                    (minutes,),
                )

            assert purge_paces(connection) == 1
            assert read_paces(connection)["erp"].items == 200

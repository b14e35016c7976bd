"""A write that is not confirmed reads in words, for one function serves pages, commands and API."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.support.scene import NOW, add_hours, build_scene

from tieline.ledger import plan
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.explain import explain
from tieline.services.links import Links
from tieline.services.unconfirmed import in_words, list_unconfirmed

_AT = datetime(2026, 11, 26, 15, 41, tzinfo=UTC)
_LOST: dict[str, Any] = {
    "zone": "Europe/Berlin",
    "system": "tryton",
    "state": "UNKNOWN",
    "reason": "posting.answer_lost",
    "asked": 3,
    "sent_at": _AT,
    "due_at": _AT.replace(minute=44),
    "amount": Decimal("2610.00"),
    "currency": "EUR",
    "seconds": 62_640,
    "deadline_at": _AT.replace(hour=16, minute=0),
}


class TestWords:
    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({}, "Sent 16:41, no answer. Asking Tryton, third time, next 16:44. EUR 2,610.00, due 17:00."),
            ({"asked": 0}, "Sent 16:41, no answer. Tryton is asked 16:44. EUR 2,610.00, due 17:00."),
            ({"state": "PROBING", "asked": 1}, "Sent 16:41, no answer. Asking Tryton, first time. EUR 2,610.00, due 17:00."),
            ({"state": "INTENT"}, "Sent 16:41, the answer is to come. EUR 2,610.00, due 17:00."),
            (
                {"state": "CONFLICT", "reason": "posted.conflict", "amount": None},
                "Sent 16:41. Tryton holds something else under its key: a person decides. 17.40 h, due 17:00.",
            ),
            (
                {"state": "CONFLICT", "reason": "posting.unconfirmed", "deadline_at": None},
                "Sent 16:41, no answer. Tryton cannot be asked for it: a person looks there. EUR 2,610.00.",
            ),
            (
                {"writes": 12, "last_sent_at": _AT.replace(minute=43), "asked": 11, "due_at": None},
                "12 writes sent 16:41 to 16:43, no answer. Asking Tryton, 11 times so far. EUR 2,610.00, due 17:00.",
            ),
            (
                {"sent_at": _AT.replace(day=24), "deadline_at": None},
                "Sent 24 Nov 16:41, no answer. Asking Tryton, third time, next 16:44. EUR 2,610.00.",
            ),
        ],
    )  # fmt: skip
    def test_tell_how_a_write_stands(self, change: dict[str, Any], text: str) -> None:
        assert in_words({**_LOST, **change}, now=_AT) == text


class TestWrites:
    def test_are_counted_by_how_often_their_target_was_asked(
        self, database: Dsns, worker_database: Database
    ) -> None:
        owner = Database(database.owner, pool_max=1, application_name="test-owner").open()
        with owner.transaction() as connection:
            scene = build_scene(connection)
            entry_id, _ = add_hours(connection, scene, seconds=(3600, 7200))
        owner.close()
        with worker_database.transaction() as connection:
            plan(connection, entry_ids=None, now=NOW)
            connection.execute("UPDATE effect SET payload_hash = 'x'")
            for state in ("INTENT", "UNKNOWN", "PROBING", "UNKNOWN", "PROBING", "UNKNOWN"):
                connection.execute("UPDATE effect SET state = %s, sent_at = %s", (state, NOW))

            (found,) = list_unconfirmed(connection, now=NOW, entity_code="HR-DE")
            nothing = list_unconfirmed(connection, now=NOW, entity_code="HR-FR")
            way = explain(connection, kind="hour", ref=str(entry_id), links=Links({}), now=NOW)

        assert (found.writes, found.seconds, nothing) == (2, 10_800, ())
        assert found.text == (
            "2 writes sent 14:56, no answer. Asking Tryton, second time. EUR 450.00, due 14:56."
        )
        (written,) = [step for step in way.steps if step.what == "written"]
        assert written.facts["in_words"] == (
            "Sent 14:56, no answer. Asking Tryton, second time. EUR 150.00, due 14:56."
        )

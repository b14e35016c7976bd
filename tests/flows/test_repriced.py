"""What was posted at a rate that is another one by now is found, whichever step of the rates changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.flows.test_terms import Terms
from tests.support.scene import DAY

from tieline.canonical import Approval
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns

_PERSON = "project,person,currency,rate_amount,starts_on,ends_on"
_BILLING = "contract,increment_seconds,rounding,rounds_per,minimum_seconds,starts_on"
_FX = "from_currency,to_currency,factor,source,starts_on,ends_on"
_CARD = "card_code,labor_category,currency,rate_amount,starts_on,ends_on"


class Posted(Terms):
    """A firm whose hours are posted, and whose terms change afterwards."""

    def later(self, noun: str, *lines: str) -> None:
        """Load terms a minute later, and let everything follow."""
        self.clock.instant += timedelta(minutes=1)
        self.load(noun, *lines)
        self.post()

    def booked(self, source_ref: str) -> list[Decimal]:
        """Return the amounts in the ledger of one hour, one after the other."""
        rows = self.say(
            "SELECT l.amount FROM ledger_line l JOIN time_entry t USING (entry_id)"
            " WHERE t.source_ref = %s ORDER BY l.line_id",
            source_ref,
        )
        return [row["amount"] for row in rows]

    def asked(self) -> list[str]:
        """Return whom a change would ask for, if cards had priced what is posted."""
        with self.owner.transaction() as connection, connection.transaction(force_rollback=True):
            connection.execute("ALTER TABLE verdict DISABLE TRIGGER USER")
            connection.execute("UPDATE verdict SET rate_level = 'list'")
            rows = connection.execute(
                "SELECT t.source_ref FROM repriced_hours(%s) JOIN time_entry t USING (entry_id)"
                " ORDER BY 1",
                ([f"contract:{self.scene.contract_id}"],),
            ).fetchall()
        return [row["source_ref"] for row in rows]

    def judge_anew(self) -> None:
        """Let every verdict be of this minute."""
        self.clock.instant += timedelta(minutes=1)
        with self.owner.transaction() as connection:
            connection.execute("ALTER TABLE verdict DISABLE TRIGGER USER")
            connection.execute("UPDATE verdict SET known_at = %s", (self.clock.now(),))


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[Posted]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield Posted(owner, worker_database)
    owner.close()


def test_whichever_step_of_the_rates_changes_is_felt_by_what_was_posted(world: Posted) -> None:
    world.say("UPDATE contract_version SET practice = 'Data'")
    world.book("1", 3000)
    world.book("2", 3000, work_date=DAY + timedelta(days=1))
    assert world.booked("1") == [125]

    # A person's rate for the first day only: the other hour is not even asked for.
    first_day = f"2026-01-01,{DAY + timedelta(days=1)}"
    world.later("person-rates", _PERSON, f"P1,77,EUR,180,{first_day}")
    assert world.booked("1") == [125, -125, 150]
    assert world.booked("2") == [125]
    world.later("person-rates", _PERSON, f"P1,77,EUR,192,{first_day}")
    assert world.booked("1")[-2:] == [-150, 160]

    # Each quarter of an hour begun is billed, to everybody.
    world.later("billing-terms", _BILLING, "C1,900,up,entry,0,2026-01-01")
    assert world.booked("1")[-1] == 192
    assert world.booked("2") == [125, -125, 150]
    kinds = world.say("SELECT DISTINCT kind FROM posted_change")
    assert [row["kind"] for row in kinds] == ["re_rated"]

    # A card asks for what a card has priced, where it may price it; what it asked for is judged at once.
    world.book("3", 3600, work_date=DAY + timedelta(days=2))
    second_day = f"{DAY + timedelta(days=1)},{DAY + timedelta(days=2)}"
    world.judge_anew()
    assert world.asked() == []
    for noun, head, line in (
        ("list-rates", f"entity,{_CARD}", f",L1,Consultant,EUR,101,{second_day}"),
        ("practice-rates", f"practice,{_CARD}", f"Data,P1,,EUR,102,{second_day}"),
        ("client-rates", f"client,{_CARD}", f"Client,C1,,USD,103,{second_day}"),
        ("fx-rates", _FX, f"USD,EUR,0.9,ECB,{second_day}"),
    ):
        world.later(noun, head, line)
        assert world.asked() == ["2"], noun
        world.judge_anew()
    world.later("list-rates", f"entity,{_CARD}", ",L1,Manager,EUR,104,2026-01-01,")
    assert world.asked() == [], "another labor category"
    with world.owner.transaction() as connection:
        connection.execute(
            "WITH old AS (UPDATE contract_version SET superseded_at = %(at)s RETURNING *)"
            " INSERT INTO contract_version SELECT (jsonb_populate_record(NULL::contract_version, to_jsonb(old)"
            " || jsonb_build_object('rate_card', 'L2', 'recorded_at', %(at)s::timestamptz,"
            " 'superseded_at', NULL))).* FROM old",
            {"at": world.clock.now()},
        )
    assert world.asked() == ["1", "2", "3"]
    assert world.booked("2")[-1] == 150, "a line of the contract beats every card"


def test_a_day_that_is_rounded_is_billed_as_one_whatever_changes_in_it(world: Posted) -> None:
    world.load("billing-terms", _BILLING, "C1,900,up,day,0,2026-01-01")

    def billed(source_ref: str, seconds: int, **changed: Any) -> dict[str, Decimal]:
        world.book(source_ref, seconds, **changed)
        rows = world.say(
            "SELECT t.source_ref, sum(l.amount) AS amount FROM ledger_line l JOIN time_entry t USING (entry_id)"
            " WHERE l.work_date = %s GROUP BY 1",
            changed.get("work_date", DAY),
        )
        return {row["source_ref"]: row["amount"] for row in rows}

    quarter = Decimal("37.50")
    assert billed("a", 600) == {"a": quarter}
    assert billed("b", 600) == {"a": quarter, "b": quarter}
    # Half an hour, a quarter, and again twenty minutes: what stands stays, what changes or comes takes up the rest.
    assert billed("a", 1200) == {"a": quarter, "b": quarter}
    assert billed("a", 300) == {"a": 0, "b": quarter}
    assert billed("0", 300) == {"0": quarter, "a": 0, "b": quarter}
    gone = {"approval": Approval.NOT_APPROVED}
    # Where nothing takes it up, the last of what stands is booked anew.
    assert billed("a", 300, **gone) == {"0": quarter, "a": 0, "b": 0}
    assert billed("b", 600, narrative="other words") == {"0": quarter, "a": 0, "b": 0}
    next_day = {"work_date": DAY + timedelta(days=1)}
    billed("c", 300, **next_day)
    assert billed("d", 300, **next_day) == {"c": quarter, "d": 0}
    assert billed("c", 300, **next_day, **gone) == {"c": 0, "d": quarter}
    kinds = world.say("SELECT kind, count(*) AS changes FROM posted_change GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in kinds] == [
        ("edited", 2),
        ("re_rated", 2),
        ("revoked", 2),
    ]

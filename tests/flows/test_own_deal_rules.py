"""A firm adds checks of its own to the hand-over of deals: proposed by one, approved by another, and then they hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.deal import CRM, NOW
from tests.support.deal_world import World, opened_world

from tieline.kernel.errors import UserMistake
from tieline.policy import approve_release
from tieline.runtime.migrate import Dsns
from tieline.services.handover_drawing import draw_handover
from tieline.services.policy_files import draft_policy, export_policy, understand_policy

GREAT_DEALS = {
    "code": "firm.order_of_great_deals",
    "of": "deal",
    "applies_when": "entity_code = 'HR-DE' AND amount >= 10000",
    "predicate": "purchase_order LIKE 'PO-2%'",
    "severity": "error",
    "owner": "sales_operations",
    "message": "A great deal of Munich has an order of this year.",
    "fix": "Ask the client for an order, and enter its number.",
}
CHEAP_LINES = {
    "code": "firm.rate_at_least",
    "of": "line",
    "predicate": "rate_amount >= 80",
    "severity": "warn",
    "owner": "finance",
    "message": "Nobody works for less than 80 an hour.",
    "fix": "Ask finance.",
}


@pytest.fixture
def world(database: Dsns, tmp_path: Path) -> Iterator[World]:
    with opened_world(database, tmp_path) as made:
        yield made


def decide(world: World, *rules: dict[str, Any], **more: Any) -> None:
    """Say these rules and nothing else: drafted by one, approved by another."""
    with world.flow.database.transaction() as connection:
        current = export_policy(connection)
        told = {"title": "ours", "rule": list(rules), **more}
        file = understand_policy(told).model_copy(update={"value": current.value})
        drafted = draft_policy(connection, file=file, by="ada", reason="a test", now=NOW)
        approve_release(
            connection,
            release_id=drafted.release_id,
            approved_by="zoe",
            now=NOW + timedelta(minutes=1),
        )


class TestARuleOfTheFirmAboutDeals:
    def test_holds_a_deal_until_it_is_met(self, world: World) -> None:
        decide(world, GREAT_DEALS, CHEAP_LINES)
        world.win()

        world.flow.run()

        assert world.plan["state"] == "blocked"
        assert world.in_clock() == []
        case = world.case("firm.order_of_great_deals")
        assert case.owner_queue == "sales_operations"
        with world.flow.database.transaction() as connection:
            drawn = draw_handover(connection, ref=f"{CRM}:{world.deal}", now=NOW)
        answers = {each.code: each.outcome for each in drawn.checks}
        assert answers["firm.order_of_great_deals"] == "blocks"
        assert answers["firm.rate_at_least"] == "holds"

        world.change(1, purchase_order="PO-27")
        world.flow.run()

        assert world.plan["state"] == "active"
        assert "firm.order_of_great_deals" not in world.reasons()

    def test_leaves_other_deals_alone_and_goes_with_its_release(self, world: World) -> None:
        decide(world, GREAT_DEALS)
        world.win()
        world.flow.run()
        assert world.plan["state"] == "blocked"

        decide(world, GREAT_DEALS | {"applies_when": "entity_code = 'HR-UK'"})
        world.flow.run()

        assert world.plan["state"] == "active"
        assert "firm.order_of_great_deals" not in world.reasons()

    def test_is_told_with_the_policy_it_belongs_to(self, world: World) -> None:
        decide(world, GREAT_DEALS, CHEAP_LINES)

        with world.flow.database.transaction() as connection:
            told = [each.model_dump() for each in export_policy(connection).rule]

        assert [(each["code"], each["of"]) for each in told] == [
            ("firm.order_of_great_deals", "deal"),
            ("firm.rate_at_least", "line"),
        ]
        assert told[0]["applies_when"] == GREAT_DEALS["applies_when"]

    def test_is_refused_where_it_cannot_be_asked(self, world: World) -> None:
        refused = (
            ({"predicate": "seconds > 0"}, "reads seconds, which is no column"),
            ({"of": "line"}, "reads purchase_order, which is no column"),
            ({"predicate": "amount > 'x'"}, "where a number is needed"),
            ({"predicate": "pg_sleep(9) IS NULL"}, "not allowed"),
            ({"thing": "contract"}, "leave thing out"),
        )

        for changed, why in refused:
            with pytest.raises(UserMistake, match=why):
                decide(world, GREAT_DEALS | changed)

    def test_that_cannot_be_answered_clears_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decide(world, GREAT_DEALS | {"predicate": "amount > 1"}, CHEAP_LINES)
        # No predicate that is let through does this; a number of a deal may be one that nobody thought of.
        monkeypatch.setattr(
            "tieline.validation.own_deals.write_predicate",
            lambda text, of: "10::numeric ^ 999999999 > 0" if text == "amount > 1" else "true",
        )
        world.win()

        world.flow.run()

        assert world.plan["state"] == "blocked"
        assert world.case("firm.order_of_great_deals").owner_queue == "sales_operations"
        assert "firm.rate_at_least" not in world.reasons()

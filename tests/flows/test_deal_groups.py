"""A deal is one project, or one for each practice, legal entity or product that its lines say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.support.deal import CRM, NOW, line, won_deal
from tests.support.deal_world import opened_world
from tests.support.handover_desk import Desk

from tieline.canonical import OpportunityLine
from tieline.runtime.migrate import Dsns
from tieline.services.deal_groups import WHOLE, groups_of, part_of_deal
from tieline.services.handover_drawing import SeveralProjects, projects_of


def _line(task: str, practice: str, **more: Any) -> OpportunityLine:
    return replace(line(task, **more), extras={"practice": practice})


LINES = (_line("Build", "Cloud"), _line("Advise", "Data & AI"), _line("Run", "cloud"))
TOLD = {"lines": LINES, "amount": Decimal(45000)}


class TestLinesOfADeal:
    def test_are_one_project_where_they_say_one_thing_or_the_firm_groups_nothing(self) -> None:
        deal = won_deal(**TOLD)

        assert [each.name for each in groups_of(deal, by="deal", made=())] == [WHOLE]
        assert [each.name for each in groups_of(deal, by="product", made=())] == [WHOLE]
        alone = replace(deal, lines=LINES[:1])
        assert [each.name for each in groups_of(alone, by="practice", made=())] == [WHOLE]

    def test_are_grouped_by_what_they_say_and_never_by_their_numbers(self) -> None:
        deal = won_deal(**TOLD, cap_amount=Decimal(9000))
        anew = replace(
            deal,
            lines=tuple(replace(each, line_ref=f"new {n}") for n, each in enumerate(LINES[::-1])),
        )

        assert groups_of(deal, by="practice", made=()) == groups_of(anew, by="practice", made=())
        found = {
            each.name: part_of_deal(deal, by=each.by, name=each.name)
            for each in groups_of(deal, by="practice", made=())
        }

        assert list(found) == ["CLOUD", "DATA-AI"]
        advised = found["DATA-AI"]
        assert (advised.project_code, advised.name) == ("DP-1-DATA-AI", "Data platform: Data & AI")
        assert (advised.practice, advised.amount) == ("Data & AI", Decimal(15000))
        # Nobody said how much of the deal's cap is this project's.
        assert advised.cap_amount is None
        assert [each.task_name for each in found["CLOUD"].lines] == ["Build", "Run"]

    @pytest.mark.parametrize(
        ("told", "cap"),
        [
            ("9000.50", Decimal("9000.50")),
            ("NaN", None),
            ("Infinity", None),
            ("1e99999", None),
            ("", None),
        ],
    )
    def test_have_the_cap_that_they_say_where_it_is_an_amount(
        self, told: str, cap: Decimal | None
    ) -> None:
        build, advise, _ = LINES
        capped = replace(build, extras={**build.extras, "cap_amount": told})
        deal = replace(won_deal(**TOLD, cap_amount=Decimal(20000)), lines=(capped, advise))

        assert part_of_deal(deal, by="practice", name="CLOUD").cap_amount == cap

    def test_keep_in_sight_what_the_deal_is_worth_beyond_them(self) -> None:
        deal = won_deal(lines=LINES, amount=Decimal(44000))

        parts = [part_of_deal(deal, by="practice", name=name) for name in ("CLOUD", "DATA-AI")]

        assert [each.amount for each in parts] == [29000, 14000]


class TestADealOfSeveralProjects:
    @pytest.fixture
    def desk(self, database: Dsns, tmp_path: Path) -> Iterator[Desk]:
        with opened_world(database, tmp_path) as world:
            made = Desk(world)
            made.decide("handover_projects_by", "practice")
            yield made

    def test_makes_each_once_whatever_is_read_later(self, desk: Desk) -> None:
        world = desk.world
        build, *others = LINES
        half = (replace(build, extras={**build.extras, "cap_amount": "20000"}), *others)
        world.win(staffed=(), lines=half, amount=TOLD["amount"], cap_amount=Decimal(20000))
        world.flow.keep_register()
        blocked = world.rows("SELECT state, blockers FROM provisioning_plan")
        assert [(row["state"], [each["code"] for each in row["blockers"]]) for row in blocked] == [
            ("blocked", ["deal.cap_not_divided"])
        ] * 2
        # Agreed without a cap after all.
        world.change(1, **TOLD)
        world.flow.keep_register()
        keys = [f"{CRM}:{world.deal}:{group}" for group in ("CLOUD", "DATA-AI")]
        with world.flow.database.transaction() as connection:
            assert list(projects_of(connection, ref=f"{CRM}:{world.deal}", now=NOW)) == keys
        with pytest.raises(SeveralProjects, match="becomes 2 projects, each with its plan"):
            desk.show(world.deal)
        drawn, _ = desk.show(f"{world.deal}:CLOUD")
        assert list(drawn.projects) == keys
        world.flow.run()

        assert _projects(desk) == {"DP-1-CLOUD": "active", "DP-1-DATA-AI": "active"}
        told = {
            "tieline_project_status": "active",
            "tieline_project_ref": "DP-1-CLOUD, DP-1-DATA-AI",
        }
        assert world.told() == told
        assert world.in_books().count("client") == 1
        assert (world.in_books().count("contract"), world.in_books().count("task")) == (2, 3)
        assert world.events().count("deal.won") == 1

        # The CRM numbers its lines anew; then one is added of a practice that has no project.
        again = tuple(replace(each, line_ref=f"new {each.line_ref}") for each in LINES)
        world.change(2, lines=again, amount=Decimal(45000))
        world.flow.run()
        assert world.reasons() == set()
        more = (*again, _line("Teach", "Academy"))
        world.change(3, lines=more, amount=Decimal(60000))
        world.flow.run()
        assert world.reasons() == {"deal.changed_after_provisioning"}
        assert world.rows("SELECT count(*) AS n FROM project") == [{"n": 2}]

        # A line more of a practice that has one is a change order of that project alone.
        more = (*again, _line("Teach", "Cloud"))
        world.change(4, lines=more, amount=Decimal(60000))
        world.flow.run()
        drawn, _ = desk.show(f"{world.deal}:CLOUD")
        assert (drawn.kind, drawn.changes) == ("change", ("amount", "lines"))
        desk.approve(desk.apply(f"{world.deal}:CLOUD"), "bob")
        world.flow.run()
        assert world.reasons() == set()

        # Lost, both are closed by their plans; won again, both open again.
        world.change(5, is_won=False, stage="closedlost", lines=more, amount=Decimal(60000))
        world.flow.run()
        for group in ("CLOUD", "DATA-AI"):
            desk.show(f"{world.deal}:{group}")
            desk.apply(f"{world.deal}:{group}")
        world.flow.run()
        assert set(_projects(desk).values()) == {"closed"}
        assert world.told()["tieline_project_ref"] == "DP-1-CLOUD, DP-1-DATA-AI"
        world.change(6, lines=more, amount=Decimal(60000))
        for group in ("CLOUD", "DATA-AI"):
            desk.show(f"{world.deal}:{group}")
            desk.apply(f"{world.deal}:{group}")
        world.flow.run()
        assert set(_projects(desk).values()) == {"active"}
        assert world.rows("SELECT count(*) AS n FROM project") == [{"n": 2}]

    def test_takes_back_the_one_that_is_refused_and_names_it(self, desk: Desk) -> None:
        world = desk.world
        systems = replace(world.systems, clock_refuses=frozenset({"project:DP-1-DATA-AI"}))
        world.flow = replace(world.flow, directory=systems.directory())
        world.win(staffed=(), **TOLD)

        world.flow.run()

        assert _projects(desk) == {"DP-1-CLOUD": "active", "DP-1-DATA-AI": "compensated"}
        assert (world.in_books().count("contract"), world.in_books().count("project")) == (1, 1)
        assert world.in_clock().count("clients") == 1
        assert (
            world.case("project.provisioning.compensated").thing_key
            == f"{CRM}:{world.deal}:DATA-AI"
        )
        assert world.told()["tieline_project_ref"] == "DP-1-CLOUD"

    def test_is_drawn_anew_while_nothing_of_it_is_begun(self, desk: Desk) -> None:
        world = desk.world
        desk.decide("handover_begins", "by_person")
        desk.decide("handover_two_people_from", "40000")
        world.win(staffed=(), lines=LINES[:1])
        world.flow.keep_register()
        assert [row["project_group"] for row in _plans(desk)] == [WHOLE]
        world.change(1, **TOLD)
        world.flow.keep_register()

        assert [row["project_group"] for row in _plans(desk)] == ["CLOUD", "DATA-AI"]
        assert world.events().count("deal.won") == 1
        # What two people agree to from an amount on is the whole deal, however it is cut.
        desk.show(f"{world.deal}:CLOUD")
        assert desk.apply(f"{world.deal}:CLOUD").state == "proposed"


def _plans(desk: Desk) -> list[dict[str, Any]]:
    return desk.world.rows("SELECT * FROM provisioning_plan ORDER BY project_group")


def _projects(desk: Desk) -> dict[str, str]:
    return {row["plan"]["project_code"]: row["state"] for row in _plans(desk)}

"""What projects of a kind have beside what was sold: chosen by policy, made in every system, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.support.deal import BOOKS, CLOCK, ENDS_ON, line, won_deal
from tests.support.deal_world import opened_world
from tests.support.handover_desk import Desk

from tieline.runtime.migrate import Dsns
from tieline.services.project_template import Templates, TemplateTask

_TASKS = {"standard": [TemplateTask(phase="", name="Kick-off", budget_hours=None)], "fixed": []}


def _choice(template: str, **narrowed: str) -> dict[str, Any]:
    return {
        "entity_code": "", "practice": "", "billing_method": "", **narrowed, "template_code": template
    }  # fmt: skip


class TestATemplate:
    def test_is_chosen_by_the_row_that_says_most_of_the_deal(self) -> None:
        everywhere, of_entity = _choice("standard"), _choice("uk", entity_code="HR-UK")
        of_practice = _choice("cloud", practice="data")
        both = _choice("fixed", practice="data", billing_method="time_and_materials")

        def chosen(*choices: dict[str, Any]) -> str | None:
            found = Templates(tasks=_TASKS, choices=choices).chosen(won_deal())
            return None if found is None else found.code

        assert chosen() is None
        assert chosen(of_entity) is None
        assert chosen(everywhere, of_entity) == "standard"
        assert chosen(everywhere, of_practice) == "cloud"
        assert chosen(both, of_practice, everywhere) == "fixed"
        in_entity = _choice("de", entity_code="HR-DE")
        # What a deal is about says more of its tasks than who bills it.
        assert chosen(in_entity, of_practice) == "cloud"


TEMPLATE = """template,phase,task,budget_hours,starts_on
delivery,Discover,Interviews,12.5,2026-01-01
delivery,Discover,Build,80,2026-01-01
delivery,,Handover,,2026-01-01
"""
_OF_BUDGETS = {"deal.template_budget_over_sold", "deal.task_budget_over_sold"}
CHOICE = "entity,practice,billing_method,template,starts_on\n,data,,delivery,2026-01-01\n"


class TestAProjectMadeByOne:
    @pytest.fixture
    def desk(self, database: Dsns, tmp_path: Path) -> Iterator[Desk]:
        with opened_world(database, tmp_path) as world:
            yield Desk(world)

    def test_has_its_tasks_that_nobody_pays_for_and_keeps_them(self, desk: Desk) -> None:
        world = desk.world
        desk.decide("handover_begins", "by_person")
        desk.release("template-choices", CHOICE)
        world.win()
        world.flow.keep_register()
        drawn, _ = desk.show(world.deal)
        assert [each.things for each in drawn.judged.blockers] == [("template delivery",)]
        desk.release("project-templates", TEMPLATE.replace("80", "180"))
        drawn, _ = desk.show(world.deal)
        assert {each.code for each in drawn.judged.warnings} >= _OF_BUDGETS
        desk.release("project-templates", TEMPLATE)

        drawn, _ = desk.show(world.deal)
        assert not _OF_BUDGETS & {each.code for each in drawn.judged.warnings}
        desk.apply(world.deal)
        world.flow.run()

        (laid_out,) = [each for each in drawn.writes if each.step == "template"]
        assert {each.name: (each.comes_from, each.value) for each in laid_out.fields} == {
            "Discover: Interviews": ("Discover", "12.5 h, nobody pays for it"),
            "Build": ("Discover", "80 h, sold"),
            "Handover": ("no phase", "nobody pays for it"),
        }
        tasks = {
            (each.target, each.part.partition("|")[0]): {f.name: f.value for f in each.fields}
            for each in drawn.writes
            if each.noun == "task"
        }
        assert tasks[BOOKS, "Discover: Interviews"]["budget_hours"] == "12.5"
        assert tasks[BOOKS, "Discover: Interviews"]["is_billable"] == "false"
        assert tasks[BOOKS, "Build"]["budget_hours"] == "80"
        assert tasks[CLOCK, "Handover"]["is_billable"] == "false"
        assert world.plan["state"] == "active"
        assert world.in_books().count("task") == 3
        # Only what was sold is of the contract's document.
        assert _of_books(desk, "contract")[0]["lines"] == "1"
        assert sorted(each.get("budget_hours", "") for each in _of_books(desk, "task")) == [
            "", "12.5", "80",
        ]  # fmt: skip
        held = world.rows(
            "SELECT t.task_name, t.is_billable, l.labor_category, l.rate_amount, l.ends_on FROM task t"
            " JOIN contract_line l USING (task_name) WHERE l.superseded_at IS NULL ORDER BY 1"
        )
        assert [tuple(row.values()) for row in held] == [
            ("Build", True, "Consultant", 150, ENDS_ON),
            ("Discover: Interviews", False, "", 0, ENDS_ON),
            ("Handover", False, "", 0, ENDS_ON),
        ]

        # Another template changes nothing of what was made; other days move all of it.
        desk.release("project-templates", TEMPLATE.replace("Interviews", "Workshops"))
        world.change(1, ends_on=date(2027, 6, 1))
        drawn, _ = desk.show(world.deal)
        assert drawn.changes == ("ends_on", "lines")
        desk.approve(desk.apply(world.deal), "bob")
        world.flow.run()
        ends = world.rows("SELECT DISTINCT ends_on FROM contract_line WHERE superseded_at IS NULL")
        assert ends == [{"ends_on": date(2027, 6, 1)}]
        assert world.in_books().count("task") == 3
        assert world.reasons() == set()

    def test_is_taken_back_with_all_of_them(self, desk: Desk) -> None:
        world = desk.world
        desk.release("project-templates", TEMPLATE)
        desk.release("template-choices", CHOICE)
        world.refuse("time.assignment")
        world.win(lines=(line("Test"),))

        world.flow.run()

        assert world.plan["state"] == "compensated"
        assert world.in_books() == []
        assert "task_assignments" not in world.in_clock()


def _of_books(desk: Desk, noun: str) -> list[dict[str, Any]]:
    with desk.world.systems.books.changed() as books:
        return [
            each["content"] for each in books.records if each["noun"] == noun and each["stands"]
        ]

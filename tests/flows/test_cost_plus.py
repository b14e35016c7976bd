"""A cost-plus contract bills what the person costs plus a markup, and says so to whom costs are shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.flows.test_readiness import Scene
from tests.flows.test_repriced import Posted
from tests.rooms.casework.hand_made_firm import Firm
from tests.support.deal import STARTS_ON, line
from tests.support.deal_world import opened_world
from tests.support.handover_desk import Desk
from tests.support.scene import DAY

from tieline.app import InstalledSystems
from tieline.governance import show_costs
from tieline.kernel.errors import UserMistake
from tieline.register import CONTRACT_LINE, EMPLOYMENT, upsert
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.explain import explain
from tieline.services.invoice_readiness import Drafted
from tieline.services.links import read_links

_TOLD = Decimal("12.5")
_FX = "from_currency,to_currency,factor,source,starts_on"
_PERSON = "project,person,currency,rate_amount,starts_on"


class CostPlus(Posted):
    """A contract of 15 % over costs, and a person who costs 80 EUR an hour."""

    def __init__(self, owner: Database, worker: Database) -> None:
        super().__init__(owner, worker)
        self.say("UPDATE contract_version SET billing_method = 'cost_plus'")
        self.agree(Decimal(15))

    def agree(self, markup_percent: Decimal | None) -> None:
        """Let the contract's line name another markup from now on, and everything follow."""
        self._tell(
            CONTRACT_LINE,
            {
                "contract_id": self.scene.contract_id,
                "task_name": "Build",
                "labor_category": "Consultant",
                "starts_on": DAY.replace(month=1, day=1),
            },
            {"markup_percent": markup_percent},
        )

    def cost(self, cost_rate: Decimal | None) -> None:
        """Let the person cost this, on all days, from now on, and everything follow."""
        self._tell(
            EMPLOYMENT,
            {
                "person_id": self.scene.person_id,
                "entity_code": "HR-DE",
                "starts_on": DAY.replace(month=1, day=1),
            },
            {"cost_rate": cost_rate},
        )

    def _tell(self, table: Any, key: dict[str, Any], values: dict[str, Any]) -> None:
        self.clock.instant += timedelta(minutes=1)
        with self.owner.transaction() as connection:
            upsert(connection, table=table, key=key, values=values, now=self.clock.now())
            # What was linked stays linked: the ERP's task is that of the line as it is now.
            connection.execute(
                "UPDATE crosswalk SET our_id = (SELECT contract_line_id FROM contract_line"
                " WHERE superseded_at IS NULL) WHERE noun = 'erp_task'"
            )
        self.post()

    def told_to(self, database: Database, *, sees_costs: bool) -> tuple[str, str]:
        """Return why an hour has its price, and all else that is told of it."""
        with database.transaction() as connection:
            if sees_costs:
                show_costs(connection)
            told = explain(
                connection, kind="hour", ref="harvest:1",
                links=read_links(connection, systems=InstalledSystems()), now=self.clock.now(),
            )  # fmt: skip
        (why,) = [step.facts["why"] for step in told.steps if step.what == "priced"]
        return str(why), str(told.steps)


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[CostPlus]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield CostPlus(owner, worker_database)
    owner.close()


@pytest.fixture
def judge_database(database: Dsns) -> Iterator[Database]:
    judge = Database(database.judge, pool_max=1, application_name="test-judge").open()
    yield judge
    judge.close()


class TestThePrice:
    def test_is_the_cost_and_its_markup_whatever_cards_and_lines_say(self, world: CostPlus) -> None:
        world.load("person-rates", _PERSON, "P1,77,EUR,500,2026-01-01")
        world.cost(Decimal("81.37"))
        world.agree(Decimal("12.5"))

        world.book("1", 5000)

        # 81.37 x 1.125 x 5000 / 3600 is 127.140625: rounded once, at the end.
        assert world.priced("1") == ("cost", Decimal("127.14"), [])
        assert world.verdict("1")["rate_amount"] == Decimal("91.54125")
        assert world.booked("1") == [Decimal("127.14")]

    def test_is_converted_by_the_day_from_what_the_company_counts_in(self, world: CostPlus) -> None:
        world.hold_back()
        world.say("UPDATE legal_entity SET currency = 'USD'")
        world.book("1", 3600)
        assert world.priced("1") == ("cost", None, ["time.fx_rate_missing"])

        world.load("fx-rates", _FX, f"USD,EUR,0.9,ECB,{DAY}")

        # 80 USD are 72 EUR.
        assert world.priced("1") == ("cost", Decimal("82.80"), [])
        assert world.why("1") == (
            "1:00 h at 82.8 EUR is 82.80 EUR. The rate is what the person costs plus 15 %, by the line of the"
            " contract for Consultant from 2026-01-01. The person costs 80 USD an hour from 2026-01-01, as"
            " known since 2026-11-03. What is told in USD is converted at 0.9 by ECB from 2026-10-05."
        )

    def test_holds_where_markup_or_cost_is_not_known_or_is_two(self, world: CostPlus) -> None:
        world.hold_back()
        world.book("1", 3600)
        world.agree(None)
        assert world.priced("1") == ("cost", None, ["time.markup_missing"])
        world.agree(Decimal(0))
        assert world.priced("1") == ("cost", Decimal("80.00"), []), "a told zero is a markup"

        world.cost(None)
        assert world.priced("1") == (None, None, ["time.cost_rate_not_one"])

        world.cost(Decimal(80))
        world.say(
            "WITH twin AS (INSERT INTO person (redirect_to, recorded_at) SELECT person_id, recorded_at"
            " FROM person RETURNING person_id)"
            " INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate, starts_on,"
            " recorded_at) SELECT person_id, 'HR-DE', '78', true, 81, '2026-01-01', %s FROM twin RETURNING 1",
            world.clock.now(),
        )
        world.post()
        assert world.priced("1") == (None, None, ["time.cost_rate_not_one"])

    def test_is_none_of_an_hour_that_is_not_billed(self, world: CostPlus) -> None:
        world.cost(None)

        world.book("1", 3600, billable=False)

        assert world.priced("1") == (None, None, [])


class TestAChange:
    def test_of_cost_or_markup_is_felt_by_what_was_posted(self, world: CostPlus) -> None:
        world.book("1", 3600)
        assert world.booked("1") == [92]

        world.cost(Decimal(100))
        assert world.booked("1") == [92, -92, 115]

        world.agree(Decimal(20))
        assert world.booked("1")[3:] == [-115, 120]
        kinds = world.say("SELECT DISTINCT kind FROM posted_change")
        assert [row["kind"] for row in kinds] == ["re_rated"]

        # The same number told otherwise, and another week's length: no other price.
        world.agree(Decimal("20.00"))
        world.cost(Decimal("100.0"))
        world.say("UPDATE employment SET week_seconds = 144000")
        world.post()
        assert len(world.booked("1")) == 5

    def test_asks_nobody_whose_contract_bills_no_costs(self, world: CostPlus) -> None:
        world.say("UPDATE contract_version SET billing_method = 'time_and_materials'")
        world.agree(None)
        world.book("1", 3600)

        world.cost(Decimal(100))

        assert world.booked("1") == [150]
        assert world.say("SELECT FROM rejudge WHERE neighbor_key LIKE 'contract:%%'") == []


class TestACost:
    def test_is_told_with_the_right_to_it_alone(
        self, world: CostPlus, judge_database: Database
    ) -> None:
        world.cost(Decimal("61.34"))
        world.book("1", 3600)

        why, rest = world.told_to(judge_database, sees_costs=False)
        seen, _ = world.told_to(judge_database, sees_costs=True)

        assert why == (
            "1:00 h at 70.541 EUR is 70.54 EUR. The rate is what the person costs plus 15 %, by the line of the"
            " contract for Consultant from 2026-01-01."
        )
        assert "61.34" not in rest
        assert "The person costs 61.34 EUR an hour" in seen


class TestADeal:
    @pytest.fixture
    def desk(self, database: Dsns, tmp_path: Path) -> Iterator[Desk]:
        with opened_world(database, tmp_path) as world:
            made = Desk(world)
            made.decide("handover_begins", "by_person")
            yield made

    def test_names_its_markup_line_by_line_or_is_held(self, desk: Desk) -> None:
        world = desk.world
        world.win(billing_method="cost_plus", staffed=("anna",))
        world.flow.keep_register()
        with world.flow.owner.transaction() as connection:
            connection.execute("UPDATE employment SET cost_rate = 80")

        drawn, _ = desk.show(world.deal)

        (blocker,) = drawn.judged.blockers
        assert (blocker.code, blocker.owner_queue) == ("deal.markup_missing", "sales_operations")
        assert blocker.things == ("l:Build",)
        with pytest.raises(
            UserMistake, match=r"cannot be made a project yet: deal\.markup_missing"
        ):
            desk.apply(world.deal)

        world.change(1, billing_method="cost_plus", lines=(line("Build", markup_percent=_TOLD),))
        drawn, _ = desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()

        (markup,) = [each for each in drawn.writes if each.step == "markup"]
        assert [(each.name, each.value, each.comes_from) for each in markup.fields] == [
            (f"Build|Consultant|{STARTS_ON}", "cost plus 12.5 %", "deal line")
        ]
        assert world.plan["state"] == "active"
        (held,) = world.rows("SELECT rate_amount, markup_percent FROM contract_line")
        assert (held["rate_amount"], held["markup_percent"]) == (150, _TOLD)

        # Another markup has a day from which it holds, as another rate has.
        world.change(2, billing_method="cost_plus", lines=(line("Build", markup_percent=20),))
        world.flow.keep_register()
        drawn, _ = desk.show(world.deal)
        (by_hand,) = [each for each in drawn.writes if each.step == "change:lines"]
        assert "add a line with it" in str(by_hand.fields)

    def test_leaves_a_markup_aside_where_no_costs_are_billed_and_says_so(self, desk: Desk) -> None:
        world = desk.world
        world.win(lines=(line("Build", markup_percent=_TOLD),))
        world.flow.keep_register()

        drawn, _ = desk.show(world.deal)
        desk.apply(world.deal)
        world.flow.run()

        assert [each.code for each in drawn.judged.warnings] == ["deal.markup_without_cost_plus"]
        assert world.rows("SELECT markup_percent FROM contract_line") == [{"markup_percent": None}]


def test_a_cap_holds_what_goes_over_it(world: CostPlus) -> None:
    world.hold_back()
    world.say("UPDATE contract_version SET cap_amount = 100")

    world.book("1", 3600)
    world.book("2", 3600, work_date=DAY + timedelta(days=1))

    assert world.priced("1") == ("cost", Decimal("92.00"), [])
    assert world.priced("2") == ("cost", Decimal("92.00"), ["time.cap_exceeded"])


def _worked(firm: Firm) -> None:
    """Let two people work who cost differently, on the same task."""
    firm.hour("e1", project={**firm.last, "rate": Decimal(92)}, seconds=3600)
    firm.hour(
        "e2",
        project={**firm.last, "rate": Decimal("91.54125")},
        seconds=5000,
        work_date=date(2026, 10, 8),
    )


class TestAnInvoice:
    @pytest.fixture
    def scene(self, worker_database: Database) -> Scene:
        return Scene(worker_database)

    def test_bills_what_the_ledger_says_and_no_price_of_a_task(self, scene: Scene) -> None:
        scene.arrange(_worked, billing_method="cost_plus", cap_amount=Decimal("219.14"))

        before = scene.compute()
        scene.release()
        drafted = scene.draft()
        after = scene.compute()

        assert (before.state, before.expected_amount) == ("ready", Decimal("219.14"))
        assert before.rounding_amount == 0
        assert isinstance(drafted, Drafted)
        assert drafted.untaxed_amount == drafted.expected_amount == Decimal("219.14")
        assert [(line.description, line.amount) for line in scene.erp.invoices[0].lines] == [
            ("Build: 1:23 h at 91.54125", Decimal("127.14")),
            ("Build: 1:00 h at 92", Decimal("92.00")),
        ]
        assert scene.erp.cost_only == {"work-P1"}
        assert (after.state, after.invoiced_amount) == ("invoiced", Decimal("219.14"))
        assert scene.one("SELECT count(*) FROM invoice_ledger_line") == 2

    def test_is_not_drafted_over_the_cap(self, scene: Scene) -> None:
        scene.arrange(_worked, billing_method="cost_plus", cap_amount=Decimal("219.13"))

        found = scene.compute()

        assert found.state == "blocked"
        assert "readiness.cap_exceeded" in [each["code"] for each in found.blockers]

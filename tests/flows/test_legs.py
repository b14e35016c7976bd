"""Both legs of work between companies stand, or both controllers are asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.flows.test_terms import Terms
from tests.support.scene import NOW

from tieline.canonical import Approval
from tieline.governance import approve, get_proposal, open_web_transaction
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.leg_checks import ALONE, LegChecks
from tieline.services.reference_files import carry_out_load, load_file, read_file
from tieline.services.terms_lists import Leg, list_legs

_PRICES = "home_entity,project_entity,labor_category,currency,price_amount,starts_on"
_BOOKINGS = "home_entity,project_entity,currency,amount,document_code,starts_on"


class Companies(Terms):
    """A consultant of London who works for Munich, each with an open October."""

    def __init__(self, owner: Database, worker: Database) -> None:
        super().__init__(owner, worker)
        with owner.transaction() as connection:
            connection.execute(
                "INSERT INTO legal_entity VALUES ('HR-UK', 'UK', 'GBP', 'Europe/London', 'tryton', %s)",
                (NOW,),
            )
            connection.execute(
                "INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)"
                " VALUES ('HR-UK', '2026-10', '2026-10-01', '2026-11-01', 'open', %s)",
                (NOW + timedelta(hours=2),),
            )
            connection.execute(
                "INSERT INTO intercompany_agreement (home_entity_code, project_entity_code, starts_on,"
                " recorded_at) VALUES ('HR-UK', 'HR-DE', '2026-01-01', %s)",
                (NOW,),
            )
            connection.execute("UPDATE employment SET is_home = false")
            connection.execute(
                "INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate,"
                " starts_on, recorded_at) VALUES (%s, 'HR-UK', 'U7', true, 60, '2026-01-01', %s)",
                (self.scene.person_id, NOW),
            )
        self.load("transfer-prices", _PRICES, "HR-UK,HR-DE,,GBP,70,2026-01-01")

    def leg(self) -> Leg:
        with self.worker.transaction() as connection:
            (leg,) = list_legs(connection, period_code="2026-10", now=self.clock.now())
        return leg

    def asked(self) -> dict[str, str]:
        """Make the check; return what the open cases say, by whose they are."""
        LegChecks(database=self.worker, clock=self.clock).look()
        rows = self.say(
            "SELECT entity_code, details ->> 'problem' AS problem FROM case_file"
            " WHERE reason = %s AND state = 'open'",
            ALONE,
        )
        return {row["entity_code"]: row["problem"] for row in rows}

    def book_leg(self, line: str) -> None:
        self.clock.instant += timedelta(minutes=1)
        self.load("intercompany-bookings", _BOOKINGS, line)


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[Companies]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield Companies(owner, worker_database)
    owner.close()


def test_one_leg_without_the_other_is_asked_of_both_controllers(
    world: Companies, database: Dsns
) -> None:
    # The last period of London was booked, so that what it books is told.
    world.book_leg("HR-UK,HR-DE,GBP,10,IC-09,2026-09-01")
    world.book("1", 9000)
    leg = world.leg()
    assert (leg.amount, leg.booked_amount, leg.state) == (Decimal("175.00"), None, "waiting")
    assert (leg.home_period_state, leg.project_period_state) == ("open", "open")

    # Its cut-off comes: the leg of Munich stands alone. September, of which no hour is known, does so already.
    world.clock.instant += timedelta(hours=3)
    assert world.leg().state == "one_leg"
    told = world.asked()
    assert set(told) == {"HR-DE", "HR-UK"}
    (count,) = world.say("SELECT count(*) AS n FROM case_file WHERE reason = %s", ALONE)
    assert count["n"] == 4
    world.book_leg("HR-UK,HR-DE,GBP,0,IC-09,2026-09-01")
    assert world.asked()["HR-DE"] == (
        "HR-DE has 2.50 h of people of HR-UK in its books (2026-10: open), worth GBP 175.00;"
        " HR-UK has booked nothing (2026-10: open)"
    )

    # Who carries out the other leg dies before it is committed: nothing of it stands, and both are still asked.
    file = read_file(
        noun="intercompany-bookings",
        name="ic.csv",
        body=f"{_BOOKINGS}\nHR-UK,HR-DE,GBP,175,IC-10,2026-10-01".encode(),
        is_whole=False,
    )
    now = world.clock.now()
    with world.worker.transaction() as connection:
        asked = load_file(connection, file=file, by="ann", reason="a test", now=now)
    assert asked.proposal_id is not None
    for dies in (True, False):
        with (
            suppress(KeyboardInterrupt),
            open_web_transaction(world.worker, entities=("HR-DE", "HR-UK")) as connection,
        ):
            approve(connection, proposal_id=asked.proposal_id, by="bob", now=now)
            proposal = get_proposal(connection, proposal_id=asked.proposal_id)
            carry_out_load(connection, proposal, now)
            if dies:
                raise KeyboardInterrupt
        assert set(world.asked()) == ({"HR-DE", "HR-UK"} if dies else set())
    assert (world.leg().state, world.leg().document_code) == ("both", "IC-10")
    # An hour that comes later parts them again, and one that is taken back joins them.
    world.book("2", 3600)
    assert "worth GBP 245.00; HR-UK has booked GBP 175.00 (IC-10)" in world.asked()["HR-UK"]
    world.book("2", 3600, approval=Approval.NOT_APPROVED)
    assert world.asked() == {}
    web = Database(database.web, pool_max=1, application_name="test-web").open()
    for entities, legs in ((("HR-UK",), 1), (("HR-DE",), 1), (("HR-FR",), 0)):
        with open_web_transaction(web, entities=entities) as connection:
            found = list_legs(connection, period_code="2026-10", now=world.clock.now())
        assert len(found) == legs
    web.close()

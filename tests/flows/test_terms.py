"""What an hour is worth: which rate decides, how it is billed, and what a cap or a purchase order leaves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from tests.flows.test_readiness import Scene
from tests.flows.test_time_validation import World
from tests.rooms.casework.hand_made_firm import NOW as READY_NOW
from tests.rooms.casework.hand_made_firm import Firm
from tests.support.scene import DAY, NOW

from tieline.app import InstalledSystems
from tieline.governance import approve, get_proposal, open_web_transaction
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.sql import load
from tieline.runtime.work import AtOnce
from tieline.services.explain import explain
from tieline.services.invoice_readiness import Drafted, NotDrafted
from tieline.services.links import read_links
from tieline.services.reference_files import carry_out_load, effect_of_file, load_file, read_file
from tieline.services.terms_lists import list_legs, list_orders


class Terms(World):
    """A firm that loads its terms from files."""

    def load(self, noun: str, *lines: str, is_whole: bool = False) -> None:
        """Load a file as two people, and let what it concerns be judged again."""
        file = read_file(
            noun=noun, name=f"{noun}.csv", body="\n".join(lines).encode(), is_whole=is_whole
        )
        now = self.clock.now()
        with self.worker.transaction() as connection:
            loaded = load_file(connection, file=file, by="ann", reason="a test", now=now)
        if loaded.proposal_id is not None:
            with open_web_transaction(self.worker, entities=("HR-DE", "HR-UK")) as connection:
                approve(connection, proposal_id=loaded.proposal_id, by="bob", now=now)
                proposal = get_proposal(connection, proposal_id=loaded.proposal_id)
                carry_out_load(connection, proposal, now)
        self.flow.judge_waiting(AtOnce(), "all")

    def effect(self, noun: str, *lines: str) -> list[tuple[Any, ...]]:
        """Return what loading a file would do, and that trying it left nothing behind."""
        file = read_file(noun=noun, name="x.csv", body="\n".join(lines).encode(), is_whole=False)
        with self.worker.transaction() as connection:
            found = effect_of_file(connection, file=file, now=self.clock.now())
            left = connection.execute(
                "SELECT count(*) AS marks FROM rejudge"
                " UNION ALL SELECT count(*) FROM reference_load WHERE loaded_by = 'trial'"
            ).fetchall()
        assert [row["marks"] for row in left] == [0, 0]
        return [
            (each.place, each.hours, each.before_amount, each.after_amount, each.newly_held,
             each.repriced, each.other_order)
            for each in found
        ]  # fmt: skip

    def hold_back(self) -> None:
        """Let nothing be posted: the ERP is only watched."""
        self.say("UPDATE connection SET mode = 'observe' WHERE connection_key = 'tryton'")

    def verdict(self, source_ref: str) -> dict[str, Any]:
        """Return the verdict that stands for an hour, with its reasons."""
        (row,) = self.say(
            "SELECT v.*, ARRAY(SELECT code FROM verdict_reason r WHERE r.verdict_id = v.verdict_id"
            " AND r.severity = 'error' ORDER BY 1) AS reasons"
            " FROM time_entry t JOIN verdict v USING (verdict_id) WHERE t.source_ref = %s",
            source_ref,
        )
        return row

    def priced(self, source_ref: str) -> tuple[str | None, Decimal | None, list[str]]:
        """Return which step decided, what the hour comes to, and what holds it."""
        row = self.verdict(source_ref)
        return row["rate_level"], row["amount"], row["reasons"]

    def why(self, source_ref: str) -> str:
        """Return the last words about an hour's amount."""
        with self.worker.transaction() as connection:
            told = explain(
                connection,
                kind="hour",
                ref=f"harvest:{source_ref}",
                links=read_links(connection, systems=InstalledSystems()),
                now=self.clock.now(),
            )
        return str([step for step in told.steps if step.what == "priced"][-1].facts["why"])


@pytest.fixture
def world(database: Dsns, worker_database: Database) -> Iterator[Terms]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield Terms(owner, worker_database)
    owner.close()


_HEAD = "card_code,labor_category,currency,rate_amount,starts_on"


class TestARate:
    def test_of_each_step_wins_over_the_next_and_two_of_one_step_hold(self, world: Terms) -> None:
        world.say("UPDATE contract_version SET practice = 'Data'")
        world.say("UPDATE contract_line SET superseded_at = %s", world.clock.now())
        world.hold_back()
        world.book("1", 7200)
        assert world.priced("1")[:2] == (None, None)
        assert "time.rate_missing" in world.priced("1")[2]

        list_head = f"entity,{_HEAD}"
        world.load("list-rates", list_head, ",L1,,EUR,100,2026-01-01")
        assert world.priced("1")[:2] == ("list", Decimal("200.00"))
        # The list of the entity itself, the category itself: each beats what holds for all.
        world.load("list-rates", list_head, ",L1,Consultant,EUR,101,2026-01-01")
        assert world.priced("1")[1] == Decimal("202.00")
        world.load("list-rates", list_head, "HR-DE,L1,Consultant,EUR,102,2026-01-01")
        assert world.priced("1")[1] == Decimal("204.00")

        world.load("practice-rates", f"practice,{_HEAD}", "Data,P1,,EUR,110,2026-01-01")
        assert world.priced("1")[:2] == ("practice", Decimal("220.00"))

        # The client's card is in dollars: without a rate of exchange of that day nothing is guessed.
        client_head = f"client,{_HEAD}"
        world.load("client-rates", client_head, "Client,C1,Consultant,USD,150,2026-01-01")
        assert world.priced("1")[:2] == ("client", None)
        assert "time.fx_rate_missing" in world.priced("1")[2]
        fx_head = "from_currency,to_currency,factor,source,starts_on,ends_on"
        world.load("fx-rates", fx_head, "USD,EUR,0.8,ECB,2026-10-01,2026-10-05")
        assert "time.fx_rate_missing" in world.priced("1")[2]
        world.load("fx-rates", fx_head, "USD,EUR,0.9,ECB,2026-10-05,")
        assert world.priced("1")[:2] == ("client", Decimal("270.00"))
        assert world.why("1") == (
            "2:00 h at 135 EUR is 270.00 EUR. The rate is the client's card C1 for Consultant from"
            " 2026-01-01 (client-rates.csv line 2, loaded by ann, approved by bob). It is 150 USD,"
            " at 0.9 by ECB from 2026-10-05."
        )
        # Two cards of one client are one too many, whatever they say; the contract may name one.
        world.load("client-rates", client_head, "Client,C2,Consultant,USD,150,2026-01-01")
        assert "time.rate_ambiguous" in world.priced("1")[2]
        world.say("UPDATE contract_version SET rate_card = 'C2'")
        world.flow.judge_waiting(AtOnce(), "all")
        assert world.priced("1")[:2] == ("client", Decimal("270.00"))

        world.say("UPDATE contract_line SET superseded_at = NULL")
        world.flow.judge_waiting(AtOnce(), "all")
        assert world.priced("1") == (None, Decimal("300.00"), [])

        world.load("person-rates", "project,person,currency,rate_amount,starts_on",
                   "P1,77,EUR,180,2026-10-05")  # fmt: skip
        assert world.priced("1") == ("person", Decimal("360.00"), [])
        assert "the rate of the person on the project from 2026-10-05" in world.why("1")
        world.book("2", 3600, work_date=DAY - timedelta(days=1))
        assert world.priced("2") == (None, Decimal("150.00"), [])

        world.load("rate-bounds", "client,labor_category,currency,rate_max,starts_on",
                   "client,,EUR,179.99,2026-01-01")  # fmt: skip
        assert world.priced("1")[2] == ["time.rate_above_agreed"]
        assert world.priced("2")[2] == []

    def test_that_changes_after_posting_is_posted_anew_and_a_load_alone_changes_nothing(
        self, world: Terms
    ) -> None:
        head = "project,person,currency,rate_amount,starts_on,ends_on"
        world.load("person-rates", head, "P1,77,EUR,180,2026-01-01,")
        world.book("1", 3600)
        assert world.verdict("1")["amount"] == Decimal("180.00")
        before = world.verdict("1")["posting_hash"]
        # Another row now says the same of that day.
        world.load("person-rates", head, "P1,77,EUR,190,2026-10-06,")
        world.book("1", 3600, narrative="other words")
        assert world.verdict("1")["posting_hash"] == before

        world.load("person-rates", head, "P1,77,EUR,200,2026-01-01,2026-10-06")
        world.book("1", 3600, narrative="again")
        assert world.verdict("1")["amount"] == Decimal("200.00")
        assert world.verdict("1")["posting_hash"] != before
        (line,) = world.say("SELECT sum(amount) AS amount, count(*) AS lines FROM ledger_line")
        assert (line["amount"], line["lines"]) == (Decimal("200.00"), 3)


class TestBilledTime:
    def test_is_rounded_as_the_contract_says_and_worked_time_stays(self, world: Terms) -> None:
        head = "contract,increment_seconds,rounding,rounds_per,minimum_seconds,starts_on,ends_on"
        world.load(
            "billing-terms",
            head,
            "C1,900,up,entry,0,2026-10-01,2026-10-06",
            "C1,900,nearest,entry,1800,2026-10-06,2026-10-07",
            "C1,900,down,entry,0,2026-10-07,2026-10-08",
            "C1,3600,up,day,0,2026-10-08,",
        )
        for source_ref, day, seconds in (
            ("up", 5, 1801), ("least", 6, 1), ("half", 6, 2250), ("down", 7, 899),
            ("day-2", 8, 1000), ("day-1", 8, 3000), ("alone", 9, 60),
        ):  # fmt: skip
            world.book(source_ref, seconds, work_date=date(2026, 10, day))
        billed = {
            row["source_ref"]: (row["billed"], row["amount"], row["seconds"])
            for row in world.say(
                "SELECT t.source_ref, coalesce(v.billed_seconds, v.seconds) AS billed, v.amount, v.seconds"
                " FROM time_entry t JOIN verdict v USING (verdict_id)"
            )
        }
        assert billed == {
            "up": (2700, Decimal("112.50"), 1801),
            "least": (1800, Decimal("75.00"), 1),
            "half": (2700, Decimal("112.50"), 2250),
            "down": (0, Decimal("0.00"), 899),
            # What stands comes first: the second hour of the day adds what is left of two hours.
            "day-2": (3600, Decimal("150.00"), 1000),
            "day-1": (3600, Decimal("150.00"), 3000),
            "alone": (3600, Decimal("150.00"), 60),
        }
        sent = world.say("SELECT sum(seconds) AS seconds FROM ledger_line")
        assert sent == [{"seconds": 1801 + 1 + 2250 + 899 + 1000 + 3000 + 60}]
        assert "Worked 0:30:01 h, billed in steps of 900 s, rounded up per entry" in world.why("up")


class TestAChangeOfTerms:
    def test_shows_what_it_does_to_unposted_and_posted_hours_before_anybody_agrees(
        self, world: Terms
    ) -> None:
        world.book("posted", 3600)
        world.hold_back()
        world.book("waiting", 7200, work_date=date(2026, 10, 20))
        head = "project,person,currency,rate_amount,starts_on"
        assert world.effect("person-rates", head, "P1,77,EUR,180,2026-01-01") == [
            ("posted", 1, Decimal("150.00"), Decimal("180.00"), 0, 1, 0),
            ("unposted", 1, Decimal("300.00"), Decimal("360.00"), 0, 1, 0),
        ]
        assert world.effect("person-rates", head, "P1,77,EUR,180,2026-11-01") == []
        # A client's new order from the middle of the month, with too little on it.
        order = "contract,order_number,amount,currency,starts_on,ends_on"
        assert world.effect(
            "purchase-orders",
            order,
            "C1,A,1000,EUR,2026-10-01,2026-10-16",
            "C1,B,100,EUR,2026-10-16,",
        ) == [
            ("posted", 1, Decimal("150.00"), Decimal("150.00"), 0, 0, 1),
            ("unposted", 1, Decimal("300.00"), Decimal("300.00"), 1, 0, 1),
        ]


class TestALimit:
    def test_at_each_of_four_levels_holds_by_work_date_whatever_came_first(
        self, world: Terms
    ) -> None:
        world.hold_back()
        head = "kind,contract,client,task,amount,currency,seconds,starts_on"
        for scope in ("C1,,Build", "C1,,", ",Client,Build", ",Client,"):
            world.load("spending-limits", head, f"cap,{scope},450,EUR,,2026-01-01", is_whole=True)
            # The latest comes first: the room goes to the earliest days all the same.
            for day in (9, 8, 7, 6, 5):
                world.book(f"{scope}-{day}", 3600, work_date=date(2026, 10, day))
            held = {day: world.priced(f"{scope}-{day}")[2] for day in (5, 6, 7, 8, 9)}
            reached = ["time.cap_reached"]
            assert held == {5: [], 6: [], 7: [], 8: reached, 9: reached}, scope
            world.load("spending-limits", head, f"cap,{scope},600,EUR,,2026-01-01", is_whole=True)
            assert world.priced(f"{scope}-8")[2] == []
            assert world.priced(f"{scope}-9")[2] == reached
            self._forget(world)

    def test_counts_what_is_posted_first_and_hours_and_other_contracts_of_the_client(
        self, world: Terms
    ) -> None:
        head = "kind,contract,client,task,amount,currency,seconds,starts_on,ends_on"
        world.load("spending-limits", head, "cap,,Client,,300,EUR,,2026-10-01,",
                   "budget,C1,,,,,3600,2026-10-01,")  # fmt: skip
        world.book("posted", 3600, work_date=date(2026, 10, 9))
        world.book("early", 7200, work_date=date(2026, 10, 5))
        assert world.priced("posted")[2] == []
        assert world.priced("early")[2] == ["time.cap_reached"]
        warned = world.say(
            "SELECT t.source_ref FROM verdict_reason r JOIN time_entry t USING (verdict_id)"
            " WHERE r.code = 'time.budget_hours_exceeded' AND r.severity = 'warn'"
        )
        assert warned == [{"source_ref": "early"}]
        # An hour of a day on which the limit does not hold is not counted, and a foreign one holds.
        world.load("spending-limits", head, "cap,,Client,,300,EUR,,2026-10-01,2026-10-05",
                   "cap,C1,,,300,USD,,2026-10-05,", is_whole=True)  # fmt: skip
        assert world.priced("early")[2] == ["time.limit_currency_differs"]

    def test_counts_all_of_what_moves_under_it_and_holds_for_whom_its_client_became(
        self, world: Terms
    ) -> None:
        head = "kind,contract,client,task,amount,currency,seconds,starts_on,ends_on"
        world.load("spending-limits", head, "cap,C1,,,450,EUR,,2026-10-01,2026-10-16",
                   "cap,C1,,,300,EUR,,2026-10-16,")  # fmt: skip
        world.book("moves", 3600, work_date=date(2026, 10, 5))
        # What stands of it stands under the other limit.
        world.judge(world.land("moves", 3600, work_date=date(2026, 10, 20)))
        world.judge(world.land("next", 7200, work_date=date(2026, 10, 21)))
        assert world.priced("next")[2] == ["time.cap_reached"]

        world.load("spending-limits", head, "cap,,Client,,300,EUR,,2026-10-01,", is_whole=True)
        assert world.priced("next")[2] == ["time.cap_reached"]
        with world.owner.transaction() as connection:
            connection.execute(
                """
                WITH stays AS (INSERT INTO client (recorded_at) VALUES (%(now)s) RETURNING client_id),
                told AS (INSERT INTO client_version (client_id, name, name_key, is_active, recorded_at)
                         SELECT client_id, 'Other', 'other', true, %(now)s FROM stays)
                UPDATE client SET redirect_to = stays.client_id FROM stays WHERE client.client_id = %(client)s
                """,
                {"now": world.clock.now(), "client": world.scene.client_id},
            )
        world.flow.judge_waiting(AtOnce(), "all")
        assert world.priced("next")[2] == ["time.cap_reached"]
        world.say("UPDATE spending_limit SET amount = 450 WHERE client_id IS NOT NULL")
        world.flow.judge_waiting(AtOnce(), "all")
        world.flow.judge_waiting(AtOnce(), "all")
        assert world.priced("next")[2] == []

    def _forget(self, world: Terms) -> None:
        world.say(
            "INSERT INTO exclusion SELECT entry_id, 'over', 'ann', 'bob', %s FROM time_entry"
            " ON CONFLICT DO NOTHING",
            world.clock.now(),
        )


class TestTimeAboveACap:
    _LIMIT = "kind,contract,client,task,amount,currency,seconds,starts_on"
    _TERMS = "contract,task,step_seconds,starts_on"

    def _agree(self, world: Terms, *, is_linked: bool = True) -> None:
        """Let the contract say that what is above its cap goes to a task of its own, unbilled."""
        world.say(
            "INSERT INTO contract_line (contract_id, task_name, labor_category, rate_amount, currency, starts_on,"
            " recorded_at) VALUES (%s, 'Above cap', '', 0, 'EUR', '2026-01-01', %s)",
            world.scene.contract_id,
            NOW,
        )
        if is_linked:
            self._link(world)
        world.load("over-cap", self._TERMS, "C1,Above cap,60,2026-01-01")

    def _cap(self, world: Terms, amount: int) -> None:
        world.load("spending-limits", self._LIMIT, f"cap,C1,,,{amount},EUR,,2026-01-01")

    def _link(self, world: Terms) -> None:
        world.say(
            "INSERT INTO crosswalk (connection_key, noun, our_id, source_ref, scope, because, starts_on,"
            " recorded_at)"
            " SELECT 'tryton', 'erp_task', contract_line_id, '599', '', 'test', '2026-01-01', %s FROM contract_line"
            " WHERE task_name = 'Above cap'",
            NOW,
        )

    def _standing(self, world: Terms) -> list[tuple[str, int]]:
        """Return what stands in the ERP: which task, and how long."""
        return sorted(
            (line.task_code, line.seconds) for line in world.target.lines.values() if line.seconds
        )

    def _booked(self, world: Terms) -> list[tuple[bool, int, Decimal]]:
        return [
            (row["is_billable"], row["seconds"], row["amount"])
            for row in world.say(
                "SELECT is_billable, sum(seconds)::int AS seconds, sum(amount) AS amount FROM ledger_line"
                " GROUP BY 1 HAVING sum(seconds) <> 0 ORDER BY 1 DESC"
            )
        ]

    def _state(self, world: Terms, *, unanswered: str = "") -> str:
        """Return the state of the newest change; as it would be if this was not answered for the unbilled line."""
        with world.owner.transaction() as connection, connection.transaction(force_rollback=True):
            connection.execute("ALTER TABLE effect DISABLE TRIGGER USER")
            connection.execute(
                "UPDATE effect SET state = 'UNKNOWN' WHERE part = 'capped' AND kind = %s"
                " AND entry_version = (SELECT max(entry_version) FROM effect)",
                (unanswered,),
            )
            row = connection.execute(
                "SELECT state FROM change_state ORDER BY version DESC LIMIT 1"
            ).fetchone()
        assert row is not None
        return str(row["state"])

    def _places(self, world: Terms) -> dict[str, str]:
        return {
            row["source_ref"]: row["place"]
            for row in world.say(
                "SELECT t.source_ref, p.place FROM entry_place p JOIN time_entry t USING (entry_id)"
            )
        }

    def test_goes_to_the_erp_unbilled_where_the_contract_says_so_and_is_held_elsewhere(
        self, world: Terms
    ) -> None:
        self._cap(world, 375)
        world.book("1", 7200, work_date=date(2026, 10, 5))
        world.book("2", 3600, work_date=date(2026, 10, 6))
        world.book("3", 3600, work_date=date(2026, 10, 7))
        assert world.priced("2")[2] == world.priced("3")[2] == ["time.cap_reached"]

        self._agree(world)
        world.post()

        split = world.verdict("2")
        assert (split["seconds"], split["capped_seconds"], split["amount"]) == (3600, 1800, 75)
        assert "0:30 h at 150 EUR is 75.00 EUR." in world.why("2")
        assert "0:30 h are above the cap and are not billed." in world.why("2")
        whole = world.verdict("3")
        assert (whole["seconds"], whole["capped_seconds"], whole["amount"]) == (3600, 3600, 0)
        assert self._standing(world) == [("501", 1800), ("501", 7200), ("599", 1800), ("599", 3600)]
        assert self._booked(world) == [(True, 9000, Decimal(375)), (False, 5400, Decimal(0))]
        assert self._places(world) == {"1": "posted", "2": "posted", "3": "posted"}
        keys = {
            (row["source_ref"], row["part"], row["effect_no"])
            for row in world.say("SELECT source_ref, part, effect_no FROM effect")
        }
        assert keys == {("1", "main", 1), ("2", "main", 1), ("2", "capped", 1), ("3", "capped", 1)}
        self._holds_together(world)

    def test_is_taken_back_with_the_rest_when_the_hour_is_edited_or_deleted(
        self, world: Terms
    ) -> None:
        self._cap(world, 375)
        self._agree(world)
        world.book("1", 10800)
        assert self._standing(world) == [("501", 9000), ("599", 1800)]

        # Other words change nothing; another length changes both lines, or leaves one.
        world.book("1", 10800, narrative="other words")
        assert len(world.say("SELECT part FROM effect")) == 2
        world.book("1", 12600)
        assert self._standing(world) == [("501", 9000), ("599", 3600)]
        assert self._booked(world) == [(True, 9000, Decimal(375)), (False, 3600, Decimal(0))]
        # One of two lines is half of a change.
        assert self._state(world) == "corrected"
        assert self._state(world, unanswered="void") == "under_way"
        assert self._state(world, unanswered="book") == "under_way"
        world.book("1", 7200)
        assert self._standing(world) == [("501", 7200)]
        world.book("1", 10800)
        assert self._standing(world) == [("501", 9000), ("599", 1800)]
        changes = world.say(
            "SELECT kind, old_seconds, old_amount, new_seconds, new_amount FROM posted_change ORDER BY version"
        )
        assert [tuple(row.values()) for row in changes] == [
            ("edited", 10800, 375, 12600, 375),
            ("edited", 12600, 375, 7200, 300),
            ("edited", 7200, 300, 10800, 375),
        ]
        self._holds_together(world)

        world.delete("1", others=set())
        assert self._standing(world) == []
        assert self._booked(world) == []
        self._holds_together(world)

    def test_waits_until_the_erp_knows_its_task_and_what_is_posted_stays_as_it_is(
        self, world: Terms
    ) -> None:
        self._cap(world, 375)
        self._agree(world, is_linked=False)
        world.book("1", 10800)
        assert world.verdict("1")["outcome"] == "parked"
        assert self._places(world) == {"1": "pending"}
        self._link(world)
        world.post()
        assert self._standing(world) == [("501", 9000), ("599", 1800)]

        # A higher cap is for the hours to come, and what is posted is no hour to come.
        self._cap(world, 600)
        world.book("2", 7200)
        assert self._standing(world) == [
            ("501", 5400), ("501", 9000), ("599", 1800), ("599", 1800)
        ]  # fmt: skip
        assert self._booked(world)[0] == (True, 14400, Decimal(600))
        self._holds_together(world)

    def _holds_together(self, world: Terms) -> None:
        """Ask the checks of our own books."""
        for check in ("own_effects", "own_ledger", "own_twice", "own_hours"):
            statement = load("tieline.reconciliation", check)
            assert world.say(statement) == [], check


class TestAPurchaseOrder:
    def test_must_hold_on_the_day_cover_the_task_alone_and_have_something_left(
        self, world: Terms
    ) -> None:
        world.hold_back()
        head = "contract,order_number,task,amount,currency,starts_on,ends_on"
        world.load("purchase-orders", head, "C1,PO-1,,300,EUR,2026-10-01,2026-10-07",
                   "C1,PO-2,,300,EUR,2026-10-08,")  # fmt: skip
        for day in (5, 6, 7, 8, 9):
            world.book(str(day), 5400, work_date=date(2026, 10, day))
        held = {day: world.priced(str(day))[2] for day in (5, 6, 7, 8, 9)}
        assert held == {
            5: [],
            6: ["time.purchase_order_exhausted"],
            7: ["time.purchase_order_not_valid"],
            8: [],
            9: ["time.purchase_order_exhausted"],
        }
        # One of the task beats one of the contract, and two of the contract are one too many.
        world.load("purchase-orders", head, "C1,PO-3,Build,,EUR,2026-10-01,2026-10-09",
                   "C1,PO-4,,,EUR,2026-10-09,")  # fmt: skip
        assert [world.priced(str(day))[2] for day in (5, 6, 7, 8)] == [[]] * 4
        # What the order of the task took is left in that of the contract.
        assert world.priced("9")[2] == ["time.purchase_order_ambiguous"]

    def test_that_follows_another_in_mid_month_splits_the_draft(
        self, worker_database: Database
    ) -> None:
        scene = self._two_orders(worker_database, "C-P1,A,,500,EUR,2026-10-01,2026-10-16")

        outcome = scene.draft()

        assert isinstance(outcome, Drafted)
        assert outcome.mismatch_amount == 0
        with worker_database.transaction() as connection:
            made = connection.execute(
                "SELECT order_number, untaxed_amount, count(b.business_key) AS lines FROM invoice_record i"
                " JOIN invoice_ledger_line b USING (invoice_id) GROUP BY 1, 2 ORDER BY 1"
            ).fetchall()
            first, second = list_orders(connection, contract_code="C-P1")
        assert [tuple(row.values()) for row in made] == [
            ("A", Decimal("300.00"), 2),
            ("B", Decimal("300.00"), 2),
        ]
        assert (first.drafted_amount, first.left_amount) == (Decimal(300), Decimal(200))
        assert (second.drafted_amount, second.left_amount) == (Decimal(300), Decimal(-100))
        again = scene.draft()
        assert isinstance(again, Drafted)
        assert not again.is_new

    def test_beside_another_is_not_mixed_into_one_draft(self, worker_database: Database) -> None:
        scene = self._two_orders(worker_database, "C-P1,A,Support,500,EUR,2026-10-16,")

        outcome = scene.draft()

        assert isinstance(outcome, NotDrafted)
        assert outcome.reason == "invoice.orders_side_by_side"

    def _two_orders(self, database: Database, first: str) -> Scene:
        scene = Scene(database)

        def build(firm: Firm) -> None:
            for ref, day in (("e1", 7), ("e2", 15), ("e3", 31)):
                firm.hour(ref, project=firm.last, work_date=date(2026, 10, day))
            support = uuid4()
            firm.connection.execute(
                "INSERT INTO task (task_id, project_id, task_name, is_billable, starts_on, recorded_at)"
                " SELECT %s, project_id, 'Support', true, starts_on, recorded_at FROM task",
                (support,),
            )
            other = {**firm.last, "task_id": support}
            firm.hour("e4", project=other, work_date=date(2026, 10, 30))

        scene.arrange(build)
        head = "contract,order_number,task,amount,currency,starts_on,ends_on"
        body = "\n".join((head, first, "C-P1,B,,200,EUR,2026-10-16,")).encode()
        with open_web_transaction(database, entities=("DE", "UK")) as connection:
            file = read_file(noun="purchase-orders", name="x.csv", body=body, is_whole=False)
            loaded = load_file(connection, file=file, by="ann", reason="a test", now=READY_NOW)
            assert loaded.proposal_id is not None
            approve(connection, proposal_id=loaded.proposal_id, by="bob", now=READY_NOW)
            proposal = get_proposal(connection, proposal_id=loaded.proposal_id)
            carry_out_load(connection, proposal, READY_NOW)
        scene.compute()
        scene.release("the rest comes later")
        return scene


class TestTermsBetweenCompanies:
    def test_ask_for_a_price_in_the_home_currency_once_one_is_told(self, world: Terms) -> None:
        world.hold_back()
        now = world.clock.now()
        with world.owner.transaction() as connection:
            connection.execute(
                "INSERT INTO legal_entity VALUES ('HR-UK', 'UK', 'GBP', 'Europe/London', 'tryton', %s)",
                (now,),
            )
            connection.execute(
                "INSERT INTO intercompany_agreement (home_entity_code, project_entity_code, starts_on,"
                " recorded_at) VALUES ('HR-UK', 'HR-DE', '2026-01-01', %s)",
                (now,),
            )
            connection.execute("UPDATE employment SET is_home = false")
            connection.execute(
                "INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate,"
                " starts_on, recorded_at) VALUES (%s, 'HR-UK', 'U7', true, 60, '2026-01-01', %s)",
                (world.scene.person_id, now),
            )
        world.book("1", 3600)
        assert world.priced("1")[2] == []
        head = "home_entity,project_entity,labor_category,currency,price_amount,starts_on"
        world.load("transfer-prices", head, "HR-UK,HR-DE,Manager,GBP,70,2026-01-01")
        assert world.priced("1")[2] == ["time.transfer_price_missing"]
        world.load("transfer-prices", head, "HR-UK,HR-DE,,EUR,70,2026-01-01")
        assert world.priced("1")[2] == ["time.transfer_currency_differs"]
        world.load("transfer-prices", head, "HR-UK,HR-DE,Consultant,GBP,70,2026-01-01")
        assert world.priced("1")[2] == []

        # The leg of what is posted is expected by the price of the day; the home company has no period.
        world.say("UPDATE connection SET mode = 'act' WHERE connection_key = 'tryton'")
        world.book("2", 5400)
        with world.worker.transaction() as connection:
            (leg,) = list_legs(connection, period_code="2026-10", now=now)
        assert (leg.part, leg.seconds, leg.amount, leg.currency, leg.unpriced) == (
            "leg:HR-UK", 9000, Decimal("175.00"), "GBP", 0,
        )  # fmt: skip
        assert (leg.home_period_state, leg.project_period_state) == (None, "open")

        world.hold_back()
        world.book("3", 60)
        world.load("tax-treatments", "entity,treatment,country,starts_on",
                   "HR-DE,reverse,,2026-01-01")  # fmt: skip
        world.load("revenue-accounts", "entity,practice,account_code,is_enabled,starts_on",
                   "HR-DE,,4400,no,2026-01-01")  # fmt: skip
        assert world.priced("3")[2] == [
            "time.revenue_account_missing",
            "time.tax_treatment_not_active",
        ]

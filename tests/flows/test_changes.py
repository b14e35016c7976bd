"""What changes after it was posted is found, decided by policy, and booked where people agreed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.flows.test_time_validation import World
from tests.support.books import FailingBooks, failing_books
from tests.support.scene import NOW
from tests.support.target import OpenBudgets

from tieline.canonical import Approval
from tieline.governance import Proposal
from tieline.kernel.errors import UserMistake
from tieline.posting.lines import LinePoster
from tieline.reconciliation import OWN_CHECKS, look_at_own_books
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.sdk import Capabilities, Undo
from tieline.sdk.directory import Connectors
from tieline.services import changes
from tieline.services.accruals import read_accruals
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.period_close import PeriodClosed, list_reopened, reopen_period
from tieline.services.time_validation import TimeValidation

OCTOBER, NOVEMBER = date(2026, 10, 5), date(2026, 11, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleting:
    """The same books, if they took a line back by deleting it."""

    books: FailingBooks
    undo_closed: Undo | None

    def get(self, *, connection_key: str) -> Any:
        return self.books.get(connection_key=connection_key)

    def capabilities(self, *, connection_key: str) -> Capabilities:
        known = self.books.capabilities(connection_key=connection_key)
        writes = [
            replace(each, undo=Undo.VOID_BY_KEY, undo_closed=self.undo_closed)
            for each in known.writes
        ]
        return replace(known, writes=tuple(writes))


@dataclass(slots=True)
class Firm:
    """Two legal entities, the hours of one consultant, and books that take documents only."""

    world: World
    books: FailingBooks

    def change(self, source_ref: str) -> changes.PostedChange:
        """Return the newest change of an hour."""
        with self.world.worker.transaction() as connection:
            found, _ = changes.list_changes(connection)
        return max(
            (each for each in found if each.source_ref == source_ref), key=lambda each: each.version
        )

    def agree(
        self, *source_refs: str, by: str = "ann", books: Connectors | None = None
    ) -> changes.Agreed:
        with self.world.worker.transaction() as connection:
            return changes.agree_to_changes(
                connection,
                change_ids=[self.change(ref).change_id for ref in source_refs],
                reason="the client asked for it",
                by=by,
                connectors=books or self.books,
                now=self.world.clock.now(),
            )

    def approve(self, *proposals: Proposal, by: str = "bob") -> None:
        """Agree as the second person, and let everything follow."""
        for proposal in proposals:
            with self.world.worker.transaction() as connection:
                approve_and_carry_out(
                    connection,
                    proposal_id=proposal.proposal_id,
                    reason="",
                    by=Decider(login=by),
                    connectors=self.books,
                    now=self.world.clock.now(),
                )
        self.world.post()

    def invoice(self, source_ref: str) -> None:
        """Put what stands for one hour on an invoice."""
        self.world.say(
            """
            WITH made AS (
                INSERT INTO invoice_record (contract_id, period_id, project_id, entity_code, business_key,
                    target_connection, target_code, number, state, currency, untaxed_amount, total_amount,
                    expected_amount, ledger_amount, recorded_at, correlation_id)
                SELECT l.contract_id, l.period_id, l.project_id, l.entity_code, l.business_key,
                    l.target_connection, 'inv-1', 'INV/1', 'posted', 'EUR', 150, 150, 150, 150, l.booked_at, 'c'
                FROM ledger_line l JOIN time_entry t USING (entry_id) WHERE t.source_ref = %s
                RETURNING invoice_id, business_key)
            INSERT INTO invoice_ledger_line (business_key, invoice_id)
            SELECT business_key, invoice_id FROM made
            """,
            source_ref,
        )

    def lines(self, source_ref: str) -> list[tuple[str, str, date, int, Decimal]]:
        """Return the ledger of one hour: entity, period, day, seconds, amount."""
        rows = self.world.say(
            "SELECT l.entity_code, p.period_code, l.work_date, l.seconds, l.amount FROM ledger_line l"
            " JOIN fiscal_period p USING (period_id) JOIN time_entry t USING (entry_id)"
            " WHERE t.source_ref = %s ORDER BY l.line_id",
            source_ref,
        )
        return [tuple(row.values()) for row in rows]

    def period(self, entity_code: str, day: date) -> UUID:
        (found,) = self.world.say(
            "SELECT period_id FROM fiscal_period WHERE entity_code = %s"
            " AND daterange(starts_on, ends_on) @> %s",
            entity_code,
            day,
        )
        period_id: UUID = found["period_id"]
        return period_id

    def accrued(self, period_id: UUID) -> list[tuple[int, int, Decimal | None, str | None]]:
        """Return a period's accruals: approved and standing seconds, amount, currency."""
        with self.world.worker.transaction() as connection:
            accruals = read_accruals(connection, period_id=period_id)
        assert accruals.adds_up
        return [
            (line.approved_seconds, line.standing_seconds, line.amount, line.currency)
            for line in accruals.lines
        ]

    def must_add_up(self) -> None:
        """Hold every check of our own books and the books' own sum against what we know."""
        with self.world.worker.transaction() as connection:
            for check in OWN_CHECKS:
                assert look_at_own_books(connection, check=check) == (), check
        (ours,) = self.world.say("SELECT sum(seconds)::int AS seconds FROM ledger_line")
        assert sum(self.books.standing()) == ours["seconds"]
        (wrong,) = self.world.say(
            "SELECT count(*) AS hours FROM entry_place p WHERE p.place = 'posted' AND p.seconds <>"
            " (SELECT sum(l.seconds) FROM ledger_line l WHERE l.entry_id = p.entry_id)"
        )
        assert wrong["hours"] == 0


@pytest.fixture
def firm(database: Dsns, worker_database: Database) -> Iterator[Firm]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    with failing_books("batch") as books:
        world = World(owner, worker_database)
        world.flow = TimeValidation(
            database=worker_database,
            line_poster=LinePoster(
                database=worker_database,
                connectors=books,
                budgets=OpenBudgets(),  # type: ignore[arg-type]
                clock=world.clock,
            ),
            clock=world.clock,
        )
        with owner.transaction() as connection:
            _add_austria(connection, world)
        world.post()
        yield Firm(world=world, books=books)
    owner.close()


def _add_austria(connection: Any, world: World) -> None:
    """Add a second legal entity with a project that the same consultant works for."""
    scene = world.scene
    connection.execute(
        "INSERT INTO legal_entity VALUES ('HR-AT', 'Halden Roe GesmbH', 'EUR', 'Europe/Vienna', 'tryton', %s)",
        (NOW,),
    )
    for entity in ("HR-DE", "HR-AT"):
        for code, starts_on, ends_on in (
            ("2026-10", date(2026, 10, 1), NOVEMBER),
            ("2026-11", NOVEMBER, date(2026, 12, 1)),
        ):
            connection.execute(
                "INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)"
                " VALUES (%s, %s, %s, %s, 'open', %s) ON CONFLICT DO NOTHING",
                (entity, code, starts_on, ends_on, NOW + timedelta(days=30)),
            )
    connection.execute(
        """
        WITH k AS (INSERT INTO contract (client_id, entity_code, contract_code, recorded_at)
                   VALUES (%(client)s, 'HR-AT', 'C2', %(now)s) RETURNING contract_id),
        kv AS (INSERT INTO contract_version (contract_id, name, billing_method, currency,
                   is_purchase_order_required, allows_unassigned_time, is_active, starts_on, recorded_at)
               SELECT contract_id, 'C2', 'time_and_materials', 'EUR', false, false, true, '2026-01-01', %(now)s FROM k),
        l AS (INSERT INTO contract_line (contract_id, task_name, labor_category, rate_amount, currency, starts_on,
                  recorded_at)
              SELECT contract_id, 'Build', 'Consultant', 160, 'EUR', '2026-01-01', %(now)s FROM k
              RETURNING contract_line_id),
        p AS (INSERT INTO project (contract_id, entity_code, project_code, recorded_at)
              SELECT contract_id, 'HR-AT', 'P2', %(now)s FROM k RETURNING project_id),
        pv AS (INSERT INTO project_version (project_id, name, status, accepts_time, starts_on, recorded_at)
               SELECT project_id, 'P2', 'active', true, '2026-01-01', %(now)s FROM p),
        t AS (INSERT INTO task (project_id, task_name, is_billable, starts_on, recorded_at)
              SELECT project_id, 'Build', true, '2026-01-01', %(now)s FROM p RETURNING task_id),
        a AS (INSERT INTO assignment (person_id, project_id, labor_category, starts_on, recorded_at)
              SELECT %(person)s, project_id, 'Consultant', '2026-01-01', %(now)s FROM p),
        e AS (INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate, starts_on,
                  recorded_at) VALUES (%(person)s, 'HR-AT', '99', false, 80, '2026-01-01', %(now)s)),
        i AS (INSERT INTO intercompany_agreement (home_entity_code, project_entity_code, starts_on, recorded_at)
              VALUES ('HR-DE', 'HR-AT', '2026-01-01', %(now)s)),
        g AS (INSERT INTO connection_go_live VALUES ('harvest', 'HR-AT', '2026-09-01'))
        INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)
        SELECT 'harvest', 'project', 'p2', project_id, '', 'a test', %(now)s FROM p
        UNION ALL SELECT 'harvest', 'task', 'p2/t1', task_id, '', 'a test', %(now)s FROM t
        UNION ALL SELECT 'tryton', 'employee', '99', %(person)s, 'HR-AT', 'a test', %(now)s
        UNION ALL SELECT 'tryton', 'erp_task', '601', contract_line_id, '', 'a test', %(now)s FROM l
        """,
        {"client": scene.client_id, "person": scene.person_id, "now": NOW},
    )


@pytest.mark.sql
class TestAPostedHour:
    def test_that_changes_or_moves_takes_no_more_of_a_cap_than_is_left(self, firm: Firm) -> None:
        world = firm.world
        for ref, project in (("1", "p1"), ("2", "p1"), ("3", "p2")):
            world.book(ref, 3600, project_ref=project)
        world.say("UPDATE contract_version SET cap_amount = 500 WHERE name <> 'C2'")
        world.say("UPDATE contract_version SET cap_amount = 300 WHERE name = 'C2'")

        # Both are twice as long before either is corrected: 300 and 300 are more than 500.
        for ref in ("1", "2"):
            world.judge(world.land(ref, 7200))
        world.post()
        assert [line[3] for line in firm.lines("1")] == [3600, -3600, 7200]
        assert [line[3] for line in firm.lines("2")] == [3600]
        assert world.reasons() == {"time.cap_exceeded"}
        # The first is short again, and whoever waits for its room is asked.
        world.book("1", 3600)
        assert [line[3] for line in firm.lines("2")] == [3600, -3600, 7200]
        assert world.reasons() == set()
        # What is booked anew keeps its place, also before an earlier day that waits for room.
        world.book("0", 3600, work_date=OCTOBER - timedelta(days=1))
        world.book("2", 5400)
        assert [line[3] for line in firm.lines("2")][2:] == [7200, -7200, 5400]
        assert world.reasons() == {"time.cap_exceeded"}
        world.book("2", 3600)
        assert [line[3] for line in firm.lines("0")] == [3600]
        assert world.reasons() == set()

        # What stands of it is of the contract that it leaves: 160 and 160 are more than 300.
        world.book("1", 3600, project_ref="p2")
        assert [line[1] for line in firm.lines("1")] == ["2026-10"] * 5
        assert world.reasons() == {"time.cap_exceeded"}
        firm.must_add_up()

    def test_is_corrected_where_its_period_or_an_agreed_one_takes_it(self, firm: Firm) -> None:
        world = firm.world
        for ref in ("1", "2", "3", "4", "5", "6"):
            world.book(ref, 3600)
        assert world.places() == {"posted": 6}

        # An open period: policy corrects by itself, and it is seen.
        world.book("1", 5400)
        edited = firm.change("1")
        assert (edited.kind, edited.way, edited.state) == ("edited", "rebook", "corrected")
        assert [line[3] for line in firm.lines("1")] == [3600, -3600, 5400]
        firm.must_add_up()

        # A closed period: nothing moves until two people agree, then it goes into the next open one.
        firm.invoice("3")
        world.close()
        world.book("2", 7200)
        world.book("6", 3600, billable=True, narrative="other words")
        closed = firm.change("2")
        assert (closed.kind, closed.way, closed.state) == ("edited", "adjust", "to_approve")
        assert [line[3] for line in firm.lines("2")] == [3600]
        # What is held of it is offered as an accrual, less what stands in the books already.
        with world.worker.transaction() as connection:
            accruals = read_accruals(connection, period_id=world.scene.period_id)
        (line,) = accruals.lines
        assert (line.place, line.approved_seconds, line.standing_seconds) == ("held", 7200, 3600)
        assert (line.amount, line.reversal_amount) == (Decimal(150), Decimal(-150))
        assert (line.books_on, line.reverses_on) == (date(2026, 10, 31), NOVEMBER)
        assert accruals.adds_up
        # What the target could not do is told before anybody agrees to it.
        for undo_closed, told in (
            (None, "tryton takes nothing back from a closed period"),
            (Undo.JOURNAL, "no accounts are named for HR-DE"),
        ):
            with pytest.raises(UserMistake, match=told):
                firm.agree("2", books=Deleting(books=firm.books, undo_closed=undo_closed))
        (proposal,) = firm.agree("2").proposals
        assert proposal.payload["told"] == "1 hours changed, net +150.00 EUR"
        assert firm.change("2").state == "proposed"
        with pytest.raises(UserMistake, match="may not approve"):
            firm.approve(proposal, by="ann")
        firm.approve(proposal)
        assert firm.lines("2") == [
            ("HR-DE", "2026-10", OCTOBER, 3600, Decimal(150)),
            ("HR-DE", "2026-11", NOVEMBER, -3600, Decimal(-150)),
            ("HR-DE", "2026-11", NOVEMBER, 7200, Decimal(300)),
        ]
        corrected = firm.change("2")
        assert (corrected.state, corrected.agreed_by, corrected.booked_into) == (
            "corrected",
            "bob",
            "2026-11",
        )
        assert world.places() == {"posted": 6}
        firm.must_add_up()

        # Moved to a project of another legal entity: taken back here in November, booked there in October.
        world.book("4", 3600, project_ref="p2", task_ref="t1")
        moved = firm.change("4")
        assert (moved.kind, moved.state, moved.new_entity_code) == ("moved", "to_approve", "HR-AT")
        # What stands is accrued away where it was booked, what the hour is worth now where it will be.
        assert (moved.period_id, moved.new_period_id) == (
            world.scene.period_id,
            firm.period("HR-AT", OCTOBER),
        )
        assert firm.accrued(world.scene.period_id) == [(0, 3600, Decimal(-150), "EUR")]
        assert firm.accrued(firm.period("HR-AT", OCTOBER)) == [(3600, 0, Decimal(160), "EUR")]
        firm.approve(*firm.agree("4").proposals)
        assert firm.lines("4") == [
            ("HR-DE", "2026-10", OCTOBER, 3600, Decimal(150)),
            ("HR-DE", "2026-11", NOVEMBER, -3600, Decimal(-150)),
            ("HR-AT", "2026-10", OCTOBER, 3600, Decimal(160)),
        ]
        firm.must_add_up()

        # Deleted after it was invoiced: what to credit is proposed and nothing is sent.
        sent = firm.books.standing()
        world.delete("3", others={"1", "2", "4", "5", "6"})
        deleted = firm.change("3")
        assert (deleted.kind, deleted.way, deleted.state) == (
            "deleted",
            "credit_and_rebill",
            "credit_proposed",
        )
        with world.worker.transaction() as connection:
            (credit,) = changes.list_credits(connection)
        assert (credit.credit_amount, credit.rebill_amount, credit.state) == (
            Decimal(150),
            Decimal(0),
            "proposed",
        )
        assert "posted.invoiced" in world.reasons()
        world.post()
        assert firm.books.standing() == sent
        with pytest.raises(UserMistake, match="nothing to agree"):
            firm.agree("3")
        with world.worker.transaction() as connection:
            credited = changes.propose_credited(
                connection, change_ids=[deleted.change_id], credit_number="CN/7",
                reason="the client got it back", by="ann", now=world.clock.now(),
            )  # fmt: skip
        firm.approve(credited)
        assert firm.books.standing() == sent
        assert firm.change("3").state == "to_approve"
        firm.approve(*firm.agree("3").proposals)
        assert [line[3] for line in firm.lines("3")] == [3600, -3600]
        with world.worker.transaction() as connection:
            (credit,) = changes.list_credits(connection)
        assert (credit.state, credit.credit_number) == ("credited", "CN/7")
        assert world.reasons() == set()
        firm.must_add_up()

        # Another rate for October: what was posted is found, though its source has not changed.
        self._re_rate(firm)
        rated = firm.change("5")
        assert (rated.kind, rated.state, rated.new_amount) == (
            "re_rated",
            "to_approve",
            Decimal(180),
        )
        firm.approve(*firm.agree("5").proposals)
        assert [(line[1], line[4]) for line in firm.lines("5")] == [
            ("2026-10", Decimal(150)),
            ("2026-11", Decimal(-150)),
            ("2026-11", Decimal(180)),
        ]
        firm.must_add_up()
        with world.worker.transaction() as connection:
            sums = changes.sum_changes(connection)
        assert {each.currency for each in sums} == {"EUR"}

    def _re_rate(self, firm: Firm) -> None:
        later = NOW + timedelta(minutes=1)
        firm.world.clock.instant = later
        with firm.world.owner.transaction() as connection:
            connection.execute(
                "UPDATE contract_line SET superseded_at = %s WHERE contract_line_id = %s",
                (later, firm.world.scene.contract_line_id),
            )
            row = connection.execute(
                "INSERT INTO contract_line (contract_id, task_name, labor_category, rate_amount, currency,"
                " starts_on, recorded_at) VALUES (%s, 'Build', 'Consultant', 180, 'EUR', '2026-01-01', %s)"
                " RETURNING contract_line_id",
                (firm.world.scene.contract_id, later),
            ).fetchone()
            assert row is not None
            new_line: UUID = row["contract_line_id"]
            connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)"
                " VALUES ('tryton', 'erp_task', '502', %s, '', 'a test', %s)",
                (new_line, later),
            )
        firm.world.post()

    def test_of_a_week_that_spans_month_end_goes_in_part(self, firm: Firm) -> None:
        world = firm.world
        world.clock.instant = NOW + timedelta(days=4)
        last, first = date(2026, 10, 30), date(2026, 11, 2)
        monday = {"work_date": first, "created_at": NOW}
        world.book("fri", 3600, work_date=last)
        world.book("mon", 7200, approval=Approval.NOT_APPROVED, **monday)
        assert sorted(firm.books.standing()) == [3600]

        # October closes with its days of that week; Monday is approved afterwards and goes to November.
        assert isinstance(world.close(), PeriodClosed)
        world.book("mon", 7200, **monday)
        assert firm.lines("mon")[0][1:4] == ("2026-11", first, 7200)

        # One more hour for the closed part waits for an agreement, and may be in the next period.
        world.book("late", 1800, work_date=last)
        late = firm.change("late")
        assert (late.kind, late.state, late.old_seconds) == ("late", "to_approve", 0)
        firm.approve(*firm.agree("late").proposals)
        assert [line[1:4] for line in firm.lines("late")] == [("2026-11", NOVEMBER, 1800)]
        firm.must_add_up()

    def test_comes_into_an_opened_period_as_a_difference_and_nothing_moves_back(
        self, firm: Firm
    ) -> None:
        world = firm.world
        world.book("1", 3600)
        world.close()
        world.book("1", 5400)
        firm.approve(*firm.agree("1").proposals)
        world.clock.instant = NOW + timedelta(hours=1)
        with world.worker.transaction() as connection:
            assert list_reopened(connection) == ()
            reopen_period(
                connection,
                period_id=world.scene.period_id,
                proposed_by="ann",
                approved_by="bob",
                reason="the auditors asked",
                until_on=date(2026, 11, 10),
                now=world.clock.now(),
            )
        world.post()
        assert [line[1] for line in firm.lines("1")] == ["2026-10", "2026-11", "2026-11"]
        world.book("2", 1800)
        with world.worker.transaction() as connection:
            (opened,) = list_reopened(connection)
        assert (opened.opened_by, opened.because) == ("bob", "the auditors asked")
        assert opened.until_on == date(2026, 11, 10)
        assert (opened.lines, opened.seconds, opened.amount) == (1, 1800, Decimal(75))
        (event,) = world.say("SELECT data FROM event WHERE type = 'period.reopened'")
        assert event["data"]["until_on"] == "2026-11-10"

    def test_waits_for_a_controller_where_the_firm_wants_to_be_asked(self, firm: Firm) -> None:
        world = firm.world
        world.book("1", 3600, billable=False)
        with world.owner.transaction() as connection:
            connection.execute(
                "UPDATE policy_value SET value = 'ask' WHERE name = 'change_in_open_period'"
            )
        world.book("1", 1800, billable=False)

        assert firm.change("1").state == "to_approve"
        assert firm.agree("1").agreed == 1
        world.post()
        assert firm.change("1").state == "corrected"
        world.book("1", 1800, billable=False, approval=Approval.NOT_APPROVED)
        assert (firm.change("1").kind, firm.change("1").state) == ("revoked", "to_approve")
        firm.must_add_up()

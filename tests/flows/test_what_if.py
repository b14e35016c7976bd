"""What rates, links and calendars would have done: asked of a past window, and true once they are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import psycopg
import pytest
from tests.flows.test_policy import Firm
from tests.support.scene import DAY

from tieline.governance import approve, get_proposal, open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.register import DRAFT_NOUNS, copy_calendar
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.reference_files import (
    carry_out_load,
    load_file,
    read_draft_file,
    read_file,
)
from tieline.services.what_if import Question, WhatIf

OCTOBER = (date(2026, 10, 1), date(2026, 11, 1))
_RATES = "contract,task,labor_category,currency,rate_amount,starts_on\nC1,Build,Consultant,EUR,200,{day}\n"
_LINKS = "connection,source_ref,person,starts_on\nharvest,u9,77,2026-01-01\n"
_WEEK = "person,week,starts_on\n77,2 2 2 2 2 0 0,2026-01-01\n"
_PLACE = "person,place,starts_on\n77,DE,2026-01-01\n"


def ask(firm: Firm, **files: str) -> WhatIf:
    """Ask what files would do, by the names of their nouns."""
    read = tuple(
        read_draft_file(
            noun=name.replace("_", "-"), name=f"{name}.csv", body=body.encode(), is_whole=False
        )
        for name, body in files.items()
    )
    starts_on, ends_on = OCTOBER
    return firm.ask(
        firm.worker, Question(starts_on=starts_on, ends_on=ends_on, files=read), chunk_hours=1000
    )


@pytest.fixture
def firm(database: Dsns, worker_database: Database) -> Iterator[Firm]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield Firm(owner, worker_database)
    owner.close()


@pytest.fixture
def worked(firm: Firm) -> Firm:
    firm.book("posted", 6 * 3600, work_date=DAY + timedelta(days=1))
    for number, length in enumerate((1, 2, 3)):
        firm.wait(f"w{number}", length, work_date=DAY + timedelta(days=2 + number))
    firm.wait("stranger", 4, person_ref="u9", work_date=DAY + timedelta(days=2))
    return firm


class TestADraftOfReferenceData:
    def test_is_asked_of_a_past_window_and_written_nowhere(self, worked: Firm) -> None:
        worked.say(
            "INSERT INTO holiday_year VALUES ('DE', 2026, 'a test', '2026-01-01') RETURNING 1"
        )
        before, tables = worked.verdicts(), _contents(worked)

        rates = ask(worked, contract_rates=_RATES.format(day=DAY + timedelta(days=3)))
        links = ask(worked, person_links=_LINKS)
        both = ask(worked, contract_rates=_RATES.format(day=DAY), person_links=_LINKS)
        calendar = ask(worked, week_patterns=_WEEK, work_places=_PLACE)

        (repriced,) = rates.contracts
        assert (repriced.place, repriced.was, repriced.becomes) == ("waiting", "cleared", "cleared")
        assert (repriced.entries, repriced.amount) == (2, Decimal(1000))
        assert repriced.was_amount == Decimal(750)
        assert [(each.noun, each.added, each.changed) for each in rates.drafts] == [
            ("contract-rates", 1, 1)
        ]
        (found,) = links.contracts
        assert (found.was_contract_code, found.contract_code) == ("C1", "C1")
        assert (found.was, found.becomes, found.seconds) == ("held", "cleared", 4 * 3600)
        (company,) = links.entities
        assert (company.was_amount, company.amount) == (Decimal(0), Decimal(600))
        assert [(each.code, each.lost) for each in links.rules] == [("time.person_unknown", 1)]
        by_place = {
            each.place: each.amount - each.was_amount
            for each in both.contracts
            if each.was == each.becomes
        }
        assert by_place == {"posted": 6 * 50, "waiting": 6 * 50}
        (total,) = both.entities
        assert total.amount - total.was_amount == 12 * 50 + 4 * 200
        assert {each.code for each in calendar.rules} >= {"time.day_over_scheduled"}
        assert (worked.verdicts(), _contents(worked)) == (before, tables)

    def test_of_costs_and_markups_tells_what_a_contract_would_bill_that_bills_costs(
        self, worked: Firm
    ) -> None:
        worked.say("UPDATE contract_version SET billing_method = 'cost_plus'")
        worked.say("UPDATE contract_line SET markup_percent = 15")
        costs = "person,entity,cost_rate,starts_on\n77,HR-DE,100,2026-01-01\n"
        markups = "contract,task,labor_category,markup_percent,starts_on\nC1,Build,Consultant,20,2026-01-01\n"

        dearer = ask(worked, cost_rates=costs)
        both = ask(worked, cost_rates=costs, contract_markups=markups)

        # Twelve hours of somebody who costs 80; the hour of a stranger costs nobody knows what.
        (was,) = dearer.entities
        assert (was.was_amount, was.amount) == (Decimal(12 * 92), Decimal(12 * 115))
        (becomes,) = both.entities
        assert (becomes.was_amount, becomes.amount) == (Decimal(12 * 92), Decimal(12 * 120))

    def test_of_fiscal_periods_tells_which_hours_another_calendar_would_keep_back(
        self, worked: Firm
    ) -> None:
        before, periods = worked.verdicts(), worked.say("SELECT * FROM fiscal_period")
        head = "entity,period,state,cut_off_on,starts_on,ends_on\n"

        # The second half of October becomes a period of its own: nothing of an hour hangs on it.
        split = ask(worked, fiscal_periods=head + "HR-DE,2026-10b,open,2026-11-05,2026-10-16,\n")
        # It is closed after the hours of the week were worked, but for the first of them.
        begin = DAY + timedelta(days=3)
        closed = ask(worked, fiscal_periods=head + f"HR-DE,2026-10b,closed,2026-11-05,{begin},\n")
        gone = ask(
            worked, fiscal_periods=head + f"HR-DE,2026-10,open,2026-11-05,2026-10-01,{begin}\n"
        )

        assert (split.entries, split.drafts[0].added) == (0, 1)
        (held,) = closed.contracts
        assert (held.place, held.was, held.becomes, held.entries) == (
            "waiting",
            "cleared",
            "held",
            2,
        )
        assert [(each.code, each.gained) for each in closed.rules] == [("time.period_closed", 2)]
        assert [(each.code, each.gained) for each in gone.rules] == [("time.period_unknown", 2)]
        assert (worked.verdicts(), worked.say("SELECT * FROM fiscal_period")) == (before, periods)

    def test_does_what_it_said_once_two_people_agree(self, worked: Firm) -> None:
        starts_on, ends_on = OCTOBER
        file = read_file(
            noun="person-rates",
            name="rates.csv",
            body=b"project,person,currency,rate_amount,starts_on\nP1,77,EUR,100,2026-10-01\n",
            is_whole=False,
        )
        with worked.worker.transaction() as connection:
            loaded = load_file(connection, file=file, by="ann", reason="x", now=worked.clock.now())
        assert loaded.proposal_id is not None

        told = worked.ask(
            worked.worker,
            Question(starts_on=starts_on, ends_on=ends_on, proposal_ids=(loaded.proposal_id,)),
        )

        before = worked.verdicts()
        with open_web_transaction(worked.worker, entities=("HR-DE",)) as connection:
            approve(connection, proposal_id=loaded.proposal_id, by="bob", now=worked.clock.now())
            carry_out_load(
                connection,
                get_proposal(connection, proposal_id=loaded.proposal_id),
                worked.clock.now(),
            )
        worked.judge_again()
        after = worked.verdicts()
        changed = {entry_id for entry_id in after if after[entry_id] != before[entry_id]}
        (standing,) = worked.say("SELECT entry_id FROM standing_effect")
        # What stands in the ERP keeps the price that it was booked with.
        assert set(told.sample) == {*changed, standing["entry_id"]}
        assert sum(after[entry_id][1] - before[entry_id][1] for entry_id in changed) == sum(
            each.amount - each.was_amount for each in told.contracts if each.place == "waiting"
        )
        assert told.entities[0].was_amount == Decimal(12 * 150)

    def test_can_be_taken_of_every_noun_there_is(self, worker_database: Database) -> None:
        with worker_database.transaction() as connection:
            copy_calendar(connection)
            for noun in DRAFT_NOUNS.values():
                names = {*noun.key, "starts_on", *noun.values(), noun.own_id, *noun.only}
                found = connection.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0",
                    (noun.table,),
                ).fetchall()
                assert names <= {row["attname"] for row in found}, noun.name

    def test_is_refused_where_nothing_can_be_said_of_it_and_never_writes(
        self, firm: Firm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        starts_on, ends_on = OCTOBER
        nothing = Question(starts_on=starts_on, ends_on=ends_on)
        same = _LINKS.replace("u9", "u1").replace("2026-01-01", "0001-01-01")

        with pytest.raises(UserMistake, match="name a draft"):
            firm.ask(firm.worker, nothing)
        with pytest.raises(UserMistake, match="line 2, person: no person is known as nobody"):
            ask(firm, person_links=_LINKS.replace("77", "nobody"))
        with pytest.raises(UserMistake, match="links is none of"):
            ask(firm, links=_LINKS)
        with pytest.raises(UserMistake, match="changes nothing"):
            ask(firm, person_links=same)
        monkeypatch.setattr("tieline.services.what_if.ask_what_if", _write)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            ask(firm, person_links=_LINKS)


def _write(connection: psycopg.Connection[object], **_: object) -> None:
    connection.execute("DELETE FROM rejudge")


def _contents(firm: Firm) -> object:
    tables = ("crosswalk", "contract_line", "work_pattern", "rejudge", "verdict", "audit")
    return [firm.say(f"SELECT count(*) AS rows FROM {table}") for table in tables]

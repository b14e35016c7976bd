"""Which client a record is takes two people, and the flow goes on; what a system may not say is told."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW, Firm
from tests.support.target import FixedClock, OneConnector

from tieline.casework import CaseSummary, list_cases
from tieline.kernel.errors import UserMistake
from tieline.proof.figures import cases_without_mistake
from tieline.runtime.database import Database
from tieline.services.client_sync import find_unclear
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.same_client import propose_same_client
from tieline.services.system import System
from tieline.services.workday import Workday

ANN, BOB = Decider(login="ann"), Decider(login="bob")


class Town:
    """A CRM and an ERP as they were read, and the worker that keeps the register."""

    def __init__(self, worker: Database) -> None:
        self.worker = worker
        self.clock = FixedClock(NOW)
        system = SimpleNamespace(database=worker, clock=self.clock, connectors=OneConnector(None))
        self.workday = Workday(system=cast(System, system))
        with worker.transaction() as connection:
            self.firm = Firm(connection).found()
        self.client_id = self.firm.client_id
        self.say("books", "1", name="Halden Roe", country_code="DE")
        self.keep()

    def say(self, key: str, source_ref: str, **fields: Any) -> None:
        """Let a system hold a company or party."""
        data = {
            "name": "Nordwind AG", "vat_number": None, "street": None, "postal_code": None,
            "city": None, "country_code": None, "domain": None, "parent_ref": None,
            "is_active": True, "extras": {}, **fields,
        }  # fmt: skip
        self.rows(
            "UPDATE source_version SET is_newest = false"
            " WHERE (connection_key, source_ref) = (%s, %s) RETURNING version",
            key,
            source_ref,
        )
        self.rows(
            "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version,"
            " is_newest, noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id,"
            " correlation_id) SELECT %s, 0, 'companies', %s, count(*) + 1, true, 'Client', %s, false,"
            " 'h', 1, %s, 1, 'c' FROM source_version WHERE (connection_key, source_ref) = (%s, %s)"
            " RETURNING version",
            key, source_ref, Jsonb(data), NOW, key, source_ref,
        )  # fmt: skip

    def link(self, key: str, source_ref: str) -> None:
        self.rows(
            "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
            " VALUES (%s, 'client', %s, %s, 'test', %s) RETURNING our_id",
            key, source_ref, self.client_id, NOW,
        )  # fmt: skip

    def keep(self) -> None:
        self.clock.instant += timedelta(minutes=1)
        self.workday.keep_register()

    def cases(self) -> tuple[CaseSummary, ...]:
        with self.worker.transaction() as connection:
            return list_cases(connection, reason="client.same_client_unclear")

    def propose(self, case_id: UUID, client_id: UUID | None) -> UUID:
        with self.worker.transaction() as connection:
            return propose_same_client(
                connection,
                case_id=case_id,
                client_id=client_id,
                reason="they told us on the phone",
                by=ANN.login,
                now=self.clock.now(),
            ).proposal_id

    def approve(self, proposal_id: UUID, by: Decider = BOB) -> None:
        with self.worker.transaction() as connection:
            approve_and_carry_out(
                connection,
                proposal_id=proposal_id,
                reason="",
                by=by,
                connectors=OneConnector(None),
                now=self.clock.now(),
            )

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.worker.transaction() as connection:
            return connection.execute(statement, values).fetchall()


@pytest.fixture
def town(worker_database: Database) -> Town:
    return Town(worker_database)


class TestWhichClientItIs:
    def test_is_asked_and_linked_by_two_people_and_the_flow_goes_on(self, town: Town) -> None:
        town.say("sales", "9")
        town.keep()
        (case,) = town.cases()
        proposal_id = town.propose(case.case_id, town.client_id)

        with pytest.raises(UserMistake, match="may not approve"):
            town.approve(proposal_id, by=ANN)
        with town.worker.transaction() as connection:
            assert ("sales", "9") in find_unclear(connection).reasons
        town.approve(proposal_id)
        town.keep()

        assert town.cases() == ()
        assert town.rows("SELECT our_id FROM crosswalk WHERE source_ref = '9'") == [
            {"our_id": town.client_id}
        ]
        with town.worker.transaction() as connection:
            assert find_unclear(connection).reasons == {}

    def test_may_be_a_new_one(self, town: Town) -> None:
        town.say("sales", "9")
        town.keep()
        (case,) = town.cases()

        town.approve(town.propose(case.case_id, None))
        town.keep()

        (made,) = town.rows(
            "SELECT x.our_id, v.name FROM crosswalk x JOIN client_version v ON v.client_id = x.our_id"
            " AND v.superseded_at IS NULL WHERE x.source_ref = '9'"
        )
        assert (made["name"], made["our_id"] == town.client_id) == ("Nordwind AG", False)
        assert town.cases() == ()

    def test_is_undone_whole_when_the_record_changed(self, town: Town) -> None:
        town.say("sales", "9")
        town.keep()
        (case,) = town.cases()
        proposal_id = town.propose(case.case_id, None)
        town.say("sales", "9", city="Bremen")

        with pytest.raises(UserMistake, match="changed since it was proposed"):
            town.approve(proposal_id)

        assert town.rows("SELECT state FROM proposal") == [{"state": "proposed"}]
        assert town.rows("SELECT our_id FROM crosswalk WHERE source_ref = '9'") == []


class TestWhatTheDemoPlanted:
    def test_is_found_whichever_record_was_read_first(self, town: Town) -> None:
        town.link("sales", "9")
        town.say("books", "2", country_code="DE")
        town.keep()

        planted = ("client.same_client_unclear", "9")

        assert cases_without_mistake(town.worker, {planted}) == []
        assert cases_without_mistake(town.worker, ()) == [
            "case client.same_client_unclear client books:2"
        ]


class TestAChangeByWhoDoesNotOwnTheField:
    @pytest.fixture
    def drifting(self, town: Town) -> Town:
        """Link one client in both systems and let the CRM move it to another city."""
        town.say("books", "2", city="Hamburg", country_code="DE")
        town.say("sales", "9", city="Bremen")
        town.link("books", "2")
        town.link("sales", "9")
        town.keep()
        return town

    def test_is_told_once_and_not_taken_over(self, drifting: Town) -> None:
        drifting.keep()

        (told,) = drifting.rows("SELECT * FROM page_drifts()")
        assert (told["name"], told["field"], told["ended_at"]) == ("Nordwind AG", "city", None)
        assert (told["owner_key"], told["owner_ref"]) == ("books", "2")
        assert (told["written_by"], told["writer_ref"]) == ("sales", "9")
        assert drifting.rows(
            "SELECT v.city FROM client_version v WHERE v.client_id = %s AND v.superseded_at IS NULL",
            drifting.client_id,
        ) == [{"city": "Hamburg"}]
        assert _events(drifting) == 1

    def test_ends_when_it_is_put_right_and_is_told_again_when_it_returns(
        self, drifting: Town
    ) -> None:
        drifting.say("sales", "9", city="Hamburg")
        drifting.keep()
        (solved,) = drifting.rows("SELECT since, ended_at FROM page_drifts()")

        drifting.say("sales", "9", city="Lübeck")
        drifting.keep()
        (again,) = drifting.rows("SELECT since, ended_at FROM page_drifts()")

        assert solved["ended_at"] > solved["since"]
        assert again["ended_at"] is None
        assert again["since"] > solved["ended_at"]
        assert _events(drifting) == 2


def _events(town: Town) -> int:
    return len(town.rows("SELECT 1 AS one FROM event WHERE type = 'register.write_refused'"))

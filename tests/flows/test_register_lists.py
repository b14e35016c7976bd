"""What is listed of clients and assignments is what the flow of a deal did, or why it did not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from tests.promises.connectors.vendors import running_harvest, running_hubspot
from tests.support.deal import (
    BOOKS,
    CLOCK,
    CRM,
    NOW,
    STAFF,
    Flow,
    Systems,
    deal_refs,
    found_firm,
    land_as_read,
    land_nouns,
    open_flow,
    open_systems,
    staff,
    staffing_fact,
    user_refs,
)

from tieline.app import InstalledSystems
from tieline.casework import list_cases, sync_time_cases
from tieline.runtime.migrate import Dsns
from tieline.services.register_lists import (
    ListedAssignment,
    ListedClient,
    list_assignments,
    list_clients,
)


class Lists:
    """A firm that wins a deal, and the lists that a person reads meanwhile."""

    def __init__(self, flow: Flow, systems: Systems, *, deal: str, users: list[str]) -> None:
        self.flow, self.systems = flow, systems
        self._deal, self._users = deal, users

    def win(self, *staffed: str) -> None:
        land_nouns(self.flow.database, deal=self._deal, users=self._users, staffed=staffed)

    def run(self) -> None:
        self.flow.run()
        # Who is on a project is written down at the first look after the project is there.
        self.flow.keep_register()
        with self.flow.database.transaction() as connection:
            sync_time_cases(connection, now=NOW, correlation_id="c")

    def refuse_assignments(self) -> None:
        refusing = replace(self.systems, clock_refuses=frozenset({"assignment"}))
        self.flow = replace(self.flow, directory=refusing.directory())

    def clients(self) -> tuple[ListedClient, ...]:
        with self.flow.database.transaction() as connection:
            return list_clients(connection, systems=InstalledSystems())

    def assignments(self) -> dict[str | None, ListedAssignment]:
        with self.flow.database.transaction() as connection:
            found = list_assignments(connection, systems=InstalledSystems())
        assert len({each.person_name for each in found}) == len(found)
        return {each.person_name: each for each in found}

    def case_ids(self, reason: str) -> set[UUID]:
        with self.flow.database.transaction() as connection:
            return {case.case_id for case in list_cases(connection, reason=reason)}


@pytest.fixture
def lists(database: Dsns, tmp_path: Path) -> Iterator[Lists]:
    with running_hubspot(tmp_path) as crm, running_harvest(tmp_path) as clock:
        systems = open_systems(crm, clock, folder=tmp_path)
        flow = open_flow(database, systems)
        with flow.owner.transaction() as connection:
            found_firm(connection)
        yield Lists(flow, systems, deal=deal_refs(crm)[0], users=user_refs(clock))
        flow.database.close()
        flow.owner.close()


def _standing(one: ListedAssignment) -> list[tuple[str, str, str]]:
    return [(each.connection_key, each.noun, each.state) for each in one.standing]


@pytest.mark.sql
class TestClients:
    def test_are_partial_until_the_erp_knows_them(self, lists: Lists) -> None:
        lists.win("anna")
        lists.flow.keep_register()
        (before,) = lists.clients()

        lists.run()

        (after,) = lists.clients()
        assert (before.link_state, after.link_state) == ("partial", "linked")
        assert [(one.connection_key, one.because) for one in before.records] == [(CRM, "created")]
        because = {one.connection_key: one.because.partition(":")[0] for one in after.records}
        assert because == {CRM: "created", BOOKS: "plan", CLOCK: "plan"}
        assert (after.entities, after.cases) == (("HR-DE",), ())


@pytest.mark.sql
class TestAssignments:
    def test_stand_where_the_deal_brought_them(self, lists: Lists) -> None:
        lists.win("anna", "ben")

        lists.run()

        found = lists.assignments()
        everywhere = [(BOOKS, "employee", "CONFIRMED"), (CLOCK, "assignment", "CONFIRMED")]
        assert [_standing(found[name]) for name in ("Anna", "Ben")] == [everywhere, everywhere]
        assert all(one.source_ref for each in found.values() for one in each.standing)
        told = found["Anna"].told_by
        assert told is not None
        assert (told.connection_key, told.read_at) == (STAFF, NOW)
        assert found["Anna"].cases == ()

    def test_tell_why_a_time_tool_has_none(self, lists: Lists) -> None:
        lists.win()
        lists.run()
        lists.refuse_assignments()
        staff(lists.flow.database, "anna", project_code="DP-1")

        lists.run()

        anna = lists.assignments()["Anna"]
        employee, assignment = anna.standing
        assert employee.state == "CONFIRMED"
        assert (assignment.state, assignment.because) == ("REJECTED", "vendor.refused")
        assert {case.case_id for case in anna.cases} == lists.case_ids("posted.rejected") != set()

    def test_tell_what_holds_somebody_back(self, lists: Lists) -> None:
        lists.win("anna")
        lists.run()
        carl = staffing_fact("employment", "carl", employee_code="C1", entity_code="HR-UK")
        land_as_read(lists.flow.database, STAFF, "staffing", {"e3": carl})
        staff(lists.flow.database, "carl", project_code="DP-1")

        lists.run()

        found = lists.assignments()
        missing = [(BOOKS, "employee", "MISSING"), (CLOCK, "assignment", "MISSING")]
        assert _standing(found["Carl"]) == missing
        assert {case.case_id for case in found["Carl"].cases} >= lists.case_ids(
            "deal.person_without_employee_record"
        )
        assert found["Carl"].cases
        assert found["Anna"].cases == ()

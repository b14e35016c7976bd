"""How projects stand: what was sold, planned, booked, approved and billed, and who is to be assigned anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.flows.test_missing_time import Town
from tests.support.scene import NOW

from tieline.app import InstalledSystems
from tieline.canonical import Approval
from tieline.governance import open_web_transaction
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.delivery import Delivery, ProjectStanding, State, read_delivery

_H = 3600
_TODAY = NOW.date()
_FRIDAY_WEEK = date(2026, 11, 13)


class Office(Town):
    """A town whose projects are looked at."""

    def stand(self, **asked: Any) -> Delivery:
        with self.worker.transaction() as connection:
            return read_delivery(
                connection, systems=InstalledSystems(), now=self.clock.now(), **asked
            )

    def project(self, **asked: Any) -> ProjectStanding:
        ((project,),) = (each.projects for each in self.stand(**asked).contracts)
        return project

    def link(self, person_id: UUID, ref: str) -> None:
        self.insert(
            "crosswalk", connection_key="harvest", noun="person", source_ref=ref, our_id=person_id,
            because="a test",
        )  # fmt: skip


@pytest.fixture
def office(database: Dsns, worker_database: Database) -> Iterator[Office]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield Office(owner, worker_database)
    owner.close()


@pytest.mark.sql
def test_a_project_tells_its_hours_and_who_is_to_be_assigned_anew(
    office: Office, database: Dsns
) -> None:
    untold = office.project()
    assert (untold.sold_seconds, untold.unsold_lines) == (None, 1)
    assert (untold.planned_seconds, untold.unplanned) == (None, 1)
    assert office.stand().sold_seconds == 0

    office.say("UPDATE contract_line SET sold_seconds = %s", 20 * _H)
    office.say("UPDATE assignment SET planned_seconds = %s, ends_on = %s", 9 * _H, _FRIDAY_WEEK)
    office.book("early", 2 * _H, work_date=date(2026, 8, 31))
    office.book("1", 8 * _H)
    office.book("2", 4 * _H, work_date=_TODAY, approval=Approval.NOT_APPROVED)
    office.invoice()

    found = office.project()
    assert (found.sold_seconds, found.planned_seconds) == (20 * _H, 9 * _H)
    assert (found.booked_seconds, found.approved_seconds) == (14 * _H, 10 * _H)
    assert (found.early_seconds, found.billed_seconds) == (2 * _H, 8 * _H)
    (placed,) = found.placements
    assert (placed.person.name, placed.booked_seconds) == ("Anna", 14 * _H)
    assert placed.is_exceeded
    assert placed.approver is not None
    assert placed.approver.name == "boss"

    # Tuesday until Thursday of next week: eight working days, one less for a holiday of her place.
    assert placed.days_left == 8
    office.works(office.anna)
    office.insert("public_holiday", place="DE", day=date(2026, 11, 4), name="a test")
    (placed,) = office.project().ending
    assert placed.days_left == 7
    office.say("UPDATE assignment SET ends_on = %s", _TODAY + timedelta(days=15))
    assert office.project().placements[0].days_left == 10
    office.say("UPDATE assignment SET ends_on = %s", _TODAY + timedelta(days=16))
    assert office.project().ending == ()

    # Where the next one follows, nothing ends.
    office.say("UPDATE assignment SET ends_on = %s", _FRIDAY_WEEK)
    office.insert(
        "assignment", person_id=office.anna, project_id=office.scene.project_id, labor_category="Lead",
        starts_on=_FRIDAY_WEEK,
    )  # fmt: skip
    assert office.project().ending == ()
    assert len(office.project().placements) == 2

    # Somebody books without an assignment; who is linked to nobody is only counted.
    bert = office.person("bert")
    office.link(bert, "u7")
    office.book("3", 3 * _H, work_date=_TODAY - timedelta(days=3), person_ref="u7")
    office.book("4", 1 * _H, work_date=_TODAY - timedelta(days=100), person_ref="u7")
    office.book("5", 2 * _H, work_date=_TODAY, person_ref="u8")
    found = office.project()
    (stray,) = found.strays
    assert (stray.person.name, stray.seconds) == ("bert", 3 * _H)
    assert (stray.first_on, stray.last_on) == (_TODAY - timedelta(days=3),) * 2
    assert (found.nobody_seconds, found.booked_seconds) == (2 * _H, 20 * _H)
    assert office.stand().of(state=State.OVERSOLD).contracts == ()
    office.book("6", 1 * _H, work_date=_TODAY, person_ref="u8")
    whole = office.stand()
    assert whole.contracts[0].over_seconds == _H
    for state, count in (
        (State.ATTENTION, 1),
        (State.ENDING, 0),
        (State.EXCEEDED, 1),
        (State.STRAY, 1),
        (State.OVERSOLD, 1),
    ):
        assert len(whole.of(state=state).contracts) == count, state
    assert whole.of(approver_id=office.boss).contracts
    assert whole.of(approver_id=bert).contracts == ()
    assert whole.of(words="p1").contracts
    assert whole.of(words="another").contracts == ()

    # Without staffing data nobody is astray, and the answer says that it was not looked at.
    office.say("UPDATE contract_version SET allows_unassigned_time = true")
    assert office.project().strays == ()
    office.say("UPDATE contract_version SET allows_unassigned_time = false")
    office.say("DELETE FROM assignment")
    assert office.project().strays == ()
    assert office.stand().unstaffed == ("HR-DE",)

    # What was known an hour before the first of it: nothing.
    assert office.stand(known_at=NOW - timedelta(hours=2)).contracts == ()
    web = Database(database.web, pool_max=1).open()
    for entities, count in ((("HR-DE",), 1), (("HR-UK",), 0)):
        with open_web_transaction(web, entities=entities) as connection:
            seen = read_delivery(connection, systems=InstalledSystems(), now=NOW)
        assert len(seen.contracts) == count
    web.close()


def test_a_contract_is_sold_once_whatever_its_projects(office: Office) -> None:
    office.say("UPDATE contract_line SET sold_seconds = %s", 10 * _H)
    (second,) = office.say(
        "INSERT INTO project (contract_id, entity_code, project_code, recorded_at)"
        " SELECT contract_id, entity_code, 'P2', recorded_at FROM project RETURNING project_id"
    )
    office.insert(
        "project_version", project_id=second["project_id"], name="P2", status="active",
        accepts_time=True, starts_on=date(2026, 1, 1),
    )  # fmt: skip
    office.book("1", 6 * _H)

    whole = office.stand()

    (contract,) = whole.contracts
    assert len(contract.projects) == 2
    assert (whole.sold_seconds, whole.booked_seconds) == (10 * _H, 6 * _H)
    office.say("UPDATE project_version SET status = 'closed'")
    assert office.stand().contracts == ()

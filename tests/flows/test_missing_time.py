"""Who has not handed in or approved the time that was expected of them, and what is done about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from tests.flows.test_time_validation import World
from tests.support.scene import DAY, NOW

from tieline.canonical import Approval
from tieline.governance import open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.kernel.money import Money
from tieline.notices import (
    ALL_STAFF,
    Reached,
    begin_attempt,
    list_notices,
    read_directory,
    set_reach,
)
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.message_desk import Desk
from tieline.services.message_text import Speech
from tieline.services.missing_time import MissingTime, Reminded, deputize, read_missing_time, remind

_H = 3600
_SINCE = date(2026, 1, 1)
_OCTOBER_DAYS = 22


class Town(World):
    """A world whose person works five days of eight hours in Germany, with an approver and a deputy."""

    def __init__(self, owner: Database, worker: Database) -> None:
        super().__init__(owner, worker)
        self.anna = self.scene.person_id
        self.boss, self.deputy = self.person("boss"), self.person("deputy")
        self.insert(
            "subject", subject_id=self.anna, kind="person", name="Anna", email="anna@x.example"
        )
        self.say("UPDATE connection SET kind = 'time' WHERE connection_key = 'harvest'")
        self.say("UPDATE assignment SET approver_id = %s, deputy_id = %s", self.boss, self.deputy)
        self.insert("holiday_year", place="DE", year=2026, source="a test")

    def person(self, name: str | None = None) -> UUID:
        """Add a person, with a name and an address where one is given."""
        (row,) = self.say("INSERT INTO person (recorded_at) VALUES (%s) RETURNING person_id", NOW)
        person_id: UUID = row["person_id"]
        if name is not None:
            self.insert(
                "subject", subject_id=person_id, kind="person", name=name, email=f"{name}@x.example"
            )
        return person_id

    def works(self, person_id: UUID) -> None:
        self.insert(
            "work_pattern",
            person_id=person_id,
            weekday_seconds=[8 * _H] * 5 + [0, 0],
            starts_on=_SINCE,
        )
        self.insert("work_place", person_id=person_id, place="DE", starts_on=_SINCE)

    def insert(self, table: str, **values: Any) -> None:
        names = [*values, "recorded_at"]
        marks = ", ".join(["%s"] * len(names))
        self.say(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",
            *values.values(),
            NOW - timedelta(hours=1),
        )

    def say(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.owner.transaction() as connection:
            done = connection.execute(statement, values)
            return done.fetchall() if done.description else []

    def found(self, **asked: Any) -> MissingTime:
        with self.worker.transaction() as connection:
            return read_missing_time(connection, now=self.clock.now(), **asked)


@pytest.fixture
def town(database: Dsns, worker_database: Database) -> Iterator[Town]:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield Town(owner, worker_database)
    owner.close()


@pytest.mark.sql
def test_a_person_owes_what_was_expected_of_them_and_is_not_entered(
    town: Town, database: Dsns
) -> None:
    town.book("1", 8 * _H)
    town.book("2", 4 * _H, work_date=DAY + timedelta(days=1), approval=Approval.NOT_APPROVED)
    (anna,) = town.found().people
    assert (anna.unknown, anna.missing_seconds) == ("pattern", 0), (
        "what is not known is not missing"
    )
    assert anna.unknown_days == 31

    town.works(town.anna)
    (anna,) = town.found().people
    expected = _OCTOBER_DAYS * 8 * _H
    assert (anna.expected_seconds, anna.entered_seconds) == (expected, 12 * _H)
    assert (anna.missing_seconds, anna.approved_seconds) == (expected - 12 * _H, 8 * _H)
    assert anna.worth == Money(amount=Decimal("24600.00"), currency="EUR")
    assert anna.submitted_seconds is None, "the tool does not tell it"
    (boss,) = town.found().approvers
    assert (boss.person.name, boss.unapproved_seconds, boss.people) == ("boss", 4 * _H, 1)

    # A long Monday makes up for a short Tuesday, but no week for another one.
    town.book("3", 14 * _H, work_date=date(2026, 10, 12), approval=Approval.NOT_APPROVED)
    assert town.found().missing_seconds == expected - 26 * _H
    town.book("4", 60 * _H, work_date=date(2026, 10, 19), approval=Approval.NOT_APPROVED)
    assert town.found().missing_seconds == expected - 66 * _H
    assert town.found(known_at=NOW - timedelta(hours=2)).people == ()

    # The tool tells what was handed in: its word is kept though it is no change.
    town.say(
        "UPDATE connection SET config = %s WHERE connection_key = 'harvest'",
        Jsonb({"submitted": ["sent in"]}),
    )
    changed = {"work_date": DAY + timedelta(days=1), "approval": Approval.NOT_APPROVED}
    town.book("2", 4 * _H, **changed, approval_word="sent in")
    (anna,) = town.found().people
    assert anna.submitted_seconds == 12 * _H

    # Another hour comes to dollars: no number says what an hour is worth.
    town.book("5", 1 * _H, work_date=date(2026, 10, 26))
    with town.owner.transaction() as connection:
        connection.execute("ALTER TABLE verdict DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE verdict SET currency = 'USD', amount = 1300 WHERE verdict_id ="
            " (SELECT verdict_id FROM time_entry WHERE source_ref = '5')"
        )
    (anna,) = town.found().people
    assert (anna.worth, town.found().unpriced_seconds) == (None, anna.missing_seconds)

    # Nobody is left out: who has no name, who was merged, and who moves to another entity in the period.
    nameless, merged, stays = town.person(), town.person(), town.person("stays")
    town.say(
        "INSERT INTO legal_entity VALUES ('HR-UK', 'Halden Roe Ltd', 'GBP', 'Europe/London', 'tryton', %s)",
        NOW,
    )
    town.say(
        "INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)"
        " VALUES ('HR-UK', '2026-10', '2026-10-01', '2026-11-01', 'open', %s)",
        NOW + timedelta(hours=1),
    )
    for person_id, entity_code, starts_on, ends_on in (
        (nameless, "HR-DE", _SINCE, date(2026, 10, 12)),
        (nameless, "HR-UK", date(2026, 10, 12), date(2026, 10, 15)),
        (merged, "HR-DE", date(2026, 10, 5), None),
    ):
        town.insert(
            "employment",
            person_id=person_id,
            entity_code=entity_code,
            employee_code=f"e-{person_id}-{entity_code}",
            is_home=True,
            starts_on=starts_on,
            ends_on=ends_on,
        )
        town.say("DELETE FROM work_pattern WHERE person_id = %s", person_id)
    town.works(nameless)
    town.works(merged)
    town.say("UPDATE person SET redirect_to = %s WHERE person_id = %s", stays, merged)
    found = {
        (each.person.person_id, each.entity_code): each.expected_seconds
        for each in town.found().people
        if each.person.person_id != town.anna
    }
    assert found == {
        (nameless, "HR-DE"): 7 * 8 * _H,
        (nameless, "HR-UK"): 3 * 8 * _H,
        (stays, "HR-DE"): 20 * 8 * _H,
    }
    assert {each.person.name for each in town.found(entity_code="HR-UK").people} == {None}
    assert town.found(period_code="2025-01") == MissingTime(people=(), approvers=())
    web = Database(database.web, pool_max=1, application_name="test-web").open()
    with open_web_transaction(web, entities=("HR-UK",)) as connection:
        seen = read_missing_time(connection, now=NOW)
    web.close()
    assert {each.entity_code for each in seen.people} == {"HR-UK"}


def test_each_owner_is_told_once_a_day_and_who_is_away_by_who_stands_in(town: Town) -> None:
    town.works(town.anna)
    town.book("1", 8 * _H, approval=Approval.NOT_APPROVED)
    with pytest.raises(UserMistake, match="reach staff:all"):
        _remind(town)
    town.say(
        "INSERT INTO connection (connection_key, system, kind, mode, settle_seconds)"
        " VALUES ('post', 'mail', 'channel', 'act', 0)"
    )
    with town.worker.transaction() as connection:
        place = Reached(recipient=ALL_STAFF, connection_key="post", urgent_only=False)
        set_reach(connection, reached=place, by="ann", now=NOW)

    done = _remind(town)
    assert (done.written, done.already, done.unreached) == (2, 0, ())
    assert _remind(town).written == 0
    told = _told(town)
    assert set(told) == {f"staff:{town.anna}", f"staff:{town.boss}"}
    assert told[f"staff:{town.boss}"].startswith("8.00 h to approve before ")
    assert "168.00 h to hand in" in told[f"staff:{town.anna}"]
    with town.worker.transaction() as connection:
        notices = {each.owner: each.notice_key for each in list_notices(connection)}
        attempt = begin_attempt(connection, notice_key=notices[f"staff:{town.anna}"])
        assert attempt is not None
        assert attempt.address == "anna@x.example", "it is read when the message goes out"
        assert "anna" not in attempt.body.lower()
        audited = connection.execute(
            "SELECT object, actor, data ->> 'owners' AS owners FROM audit WHERE action = 'time.reminded'"
            " ORDER BY audit_id LIMIT 1"
        ).fetchall()
    assert audited == [{"object": "missing_time:HR-DE:2026-10", "actor": "ann", "owners": "2"}]

    # The approver is away: the staffing file's deputy is told the next day, then who was agreed on by two.
    town.insert(
        "leave",
        person_id=town.boss,
        kind="vacation",
        starts_on=date(2026, 11, 1),
        ends_on=date(2026, 11, 9),
    )
    town.clock.instant += timedelta(days=1)
    _remind(town)
    assert told.keys() ^ _told(town).keys() == {f"staff:{town.deputy}"}
    (boss,) = town.found().approvers
    assert (boss.away_until, boss.deputy and boss.deputy.name) == (date(2026, 11, 9), "deputy")

    third = town.person("third")
    with town.worker.transaction() as connection:
        asked = deputize(
            connection,
            approver_id=town.boss,
            deputy="third@x.example",
            starts_on=date(2026, 11, 2),
            ends_on=date(2026, 11, 9),
            by="ann",
            reason="the boss is away",
            now=town.clock.now(),
        )
    assert asked.proposal_id is not None
    (boss,) = town.found().approvers
    assert boss.deputies == 0, "one person alone says it"
    with open_web_transaction(town.worker, entities=("HR-DE",)) as connection:
        approve_and_carry_out(
            connection,
            proposal_id=asked.proposal_id,
            reason="yes",
            by=Decider(login="bob"),
            connectors=None,  # type: ignore[arg-type]
            now=town.clock.now(),
        )
    town.clock.instant += timedelta(days=1)
    (boss,) = town.found().approvers
    assert (boss.deputies, boss.in_charge and boss.in_charge.person_id) == (1, third)


def _remind(town: Town) -> Reminded:
    with town.worker.transaction() as connection:
        return remind(
            connection,
            found=read_missing_time(connection, now=town.clock.now()),
            desk=Desk(
                speech=Speech(say_reason=str, say_system=str, web_url=""),  # type: ignore[arg-type]
                directory=read_directory(connection),
                now=town.clock.now(),
                link_key=b"k" * 32,
                pepper=b"p" * 32,
            ),
            by="ann",
            reason="the period closes",
        )


def _told(town: Town) -> dict[str, str]:
    with town.worker.transaction() as connection:
        return {each.owner: each.subject for each in list_notices(connection)}

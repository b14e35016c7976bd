"""Harvest's connector against a faithful server, through the guard where descriptions are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from tests.promises.connectors.vendors import Vendor, running_harvest
from tieline.canonical import (
    Approval,
    AssignmentCommand,
    ClientCommand,
    Command,
    ProjectCommand,
    TaskCommand,
    TimeEntry,
)
from tieline.connectors import harvest
from tieline.kernel.errors import AlreadyExists, NotExecuted, OutcomeUnknown, StreamBroken
from tieline.sdk import Translated

_KEYS = itertools.count(1)
SECRETS = {"access_token": "token", "account_id": "17"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A project with one person and one task."""

    client: ClientCommand
    project: ProjectCommand
    task: TaskCommand
    assignment: AssignmentCommand
    codes: dict[str, str]
    task_id: int
    user_id: int


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with running_harvest(tmp_path) as running:
        yield running
        assert running.exchanges


@pytest.fixture
def connector(vendor: Vendor) -> harvest.HarvestConnector:
    return harvest.build(vendor.connection(secrets=SECRETS))


def _provision(connector: harvest.HarvestConnector, vendor: Vendor) -> Set:
    people = [{"key": "u", "first_name": "Ann", "last_name": "Lee", "email": "ann@example.com"}]
    user_id = vendor.do("load", {"users": people})["ids"]["users"]["u"]
    client = _client()
    codes = {"client": connector.write(command=client).target_code}
    project = _project(codes["client"])
    codes["project"] = connector.write(command=project).target_code
    task = _task(codes["project"])
    codes["task"] = connector.write(command=task).target_code
    assignment = AssignmentCommand(
        business_key=UUID(int=4),
        entity_code="E",
        project_code=codes["project"],
        person_code=str(user_id),
    )
    codes["assignment"] = connector.write(command=assignment).target_code
    tasks = next(connector.pages(stream="tasks", cursor=None, is_full=True)).records
    return Set(
        client=client,
        project=project,
        task=task,
        assignment=assignment,
        codes=codes,
        task_id=int(tasks[0].source_ref),
        user_id=user_id,
    )


def _client() -> ClientCommand:
    return ClientCommand(
        business_key=UUID(int=1),
        entity_code="E",
        name="Example Works GmbH",
        vat_number="DE136695976",
        street="Hafenstrasse 1",
        postal_code="20457",
        city="Hamburg",
        country_code="DE",
        parent_code=None,
    )


def _project(client_code: str) -> ProjectCommand:
    return ProjectCommand(
        business_key=UUID(int=2),
        entity_code="E",
        client_code=client_code,
        contract_code=None,
        code="EW-001",
        name="Data platform",
        billing_method="time_and_materials",
        is_split=False,
        starts_on=date(2026, 10, 1),
        ends_on=date(2027, 1, 1),
    )


def _task(project_code: str) -> TaskCommand:
    return TaskCommand(
        business_key=UUID(int=3),
        entity_code="E",
        project_code=project_code,
        name="Development, senior",
        labor_category="senior",
        rate_amount=Decimal("120.50"),
        currency="EUR",
        is_billable=True,
        starts_on=date(2026, 10, 1),
        ends_on=None,
        budget_hours=None,
    )


def _hours(vendor: Vendor, made: Set, count: int) -> list[int]:
    entries = [
        {
            "key": f"e{next(_KEYS)}",
            "user_id": made.user_id,
            "project_id": int(made.codes["project"]),
            "task_id": made.task_id,
            "spent_date": "2026-10-05",
            "hours": "0.33",
            "notes": "Review",
        }
        for _ in range(count)
    ]
    return list(vendor.do("entries", {"entries": entries})["ids"].values())


class TestCursor:
    @pytest.mark.parametrize("told_at", [timedelta(days=1), timedelta(days=365_000)])
    def test_does_not_follow_a_record_into_the_future(
        self, connector: harvest.HarvestConnector, vendor: Vendor, told_at: timedelta
    ) -> None:
        made = _provision(connector, vendor)
        vendor.do("clock", {"now": (datetime.now(UTC) + told_at).isoformat()})
        ahead = _hours(vendor, made, 1)
        vendor.do("clock", {"now": datetime.now(UTC).isoformat()})
        (first,) = connector.pages(stream="time_entries", cursor=None, is_full=True)
        later = _hours(vendor, made, 1)

        (second,) = connector.pages(stream="time_entries", cursor=first.cursor, is_full=False)

        assert [record.source_ref for record in first.records] == [str(ahead[0])]
        assert {record.source_ref for record in second.records} >= {str(later[0])}

    def test_that_stands_in_the_future_reads_the_stream_whole(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)
        refs = [str(one) for one in _hours(vendor, made, 2)]
        far = "9999-12-31T23:59:59+00:00"

        (page,) = connector.pages(stream="time_entries", cursor=far, is_full=False)

        assert sorted(record.source_ref for record in page.records) == sorted(refs)
        assert datetime.fromisoformat(page.cursor) <= datetime.now(UTC)


class TestWrites:
    def test_each_is_read_back_as_it_was_asked(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)

        commands: list[Command] = [made.client, made.project, made.task, made.assignment]
        for command in commands:
            stored = connector.probe(command=command)
            assert [one.content for one in stored] == [command.content()]
            assert stored[0].target_code == made.codes[command.noun]
            by_number = connector.read_back(command=command, target_code=stored[0].target_code)
            assert by_number == stored
        stranger = replace(made.client, business_key=uuid4())
        assert connector.read_back(command=stranger, target_code=made.codes["client"]) == []

    def test_what_stands_is_told_and_not_changed(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)

        with pytest.raises(AlreadyExists) as told:
            connector.write(command=made.task)

        assert told.value.target_code == made.codes["task"]

    def test_are_taken_back_in_reverse_and_may_come_again(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)

        hows = {noun: self._undo(connector, made, noun) for noun in reversed(made.codes)}

        assert hows == dict.fromkeys(("assignment", "task", "project", "client"), "deleted")
        assert self._undo(connector, made, "project") == "absent"
        assert connector.probe(command=made.client) == []
        assert connector.read_back(command=made.client, target_code=made.codes["client"]) == []
        assert connector.write(command=made.client).target_code

    def test_a_project_with_hours_is_archived_and_keeps_them(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)
        _hours(vendor, made, 2)

        assert self._undo(connector, made, "task") == "archived"
        assert self._undo(connector, made, "project") == "archived"

        page = next(connector.pages(stream="time_entries", cursor=None, is_full=True))
        assert page.total == 2
        assert connector.probe(command=made.project) == []
        assert connector.probe(command=made.task) == []

    @pytest.mark.parametrize("fault", ["answer_lost", "late_commit", "truncated_body"])
    def test_a_lost_answer_is_unknown_and_then_found_once(
        self, connector: harvest.HarvestConnector, vendor: Vendor, fault: str
    ) -> None:
        rule = {"name": "one", "kind": fault, "method": "POST", "path": "/v2/clients"}
        vendor.do("faults", {"add": [{**rule, "occurrences": [1], "delay_ms": 50, "hold_ms": 10}]})

        with pytest.raises(OutcomeUnknown):
            connector.write(command=_client())
        _wait_until_found(connector, _client())

        assert [one.content for one in connector.probe(command=_client())] == [_client().content()]

    def test_a_refusal_with_retry_after_did_not_happen(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        rule = {"name": "one", "kind": "rate_limit_429", "method": "POST", "path": "/v2/clients"}
        vendor.do("faults", {"add": [{**rule, "occurrences": [1], "retry_after_seconds": 9}]})

        with pytest.raises(NotExecuted) as told:
            connector.write(command=_client())

        assert told.value.retry_after_seconds == 9
        assert connector.probe(command=_client()) == []

    @staticmethod
    def _undo(connector: harvest.HarvestConnector, made: Set, noun: str) -> str:
        return connector.undo(
            noun=noun, entity_code="E", target_code=made.codes[noun], business_key=UUID(int=1)
        )


class TestHours:
    def test_keep_their_bytes_and_tell_their_approval(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)
        numbers = _hours(vendor, made, 3)
        vendor.do("approve", {"ids": numbers[:1]})
        vendor.do("approve", {"ids": numbers[1:2], "locked_reason": "Item Locked by Payroll"})

        (page,) = connector.pages(stream="time_entries", cursor=None, is_full=True)
        nouns = {r.source_ref: _hour(connector.translate(record=r)) for r in page.records}

        assert [nouns[str(n)].approval for n in numbers] == [
            Approval.APPROVED,
            Approval.UNKNOWN,
            Approval.NOT_APPROVED,
        ]
        assert nouns[str(numbers[1])].approval_word == "Item Locked by Payroll"
        assert {hour.seconds for hour in nouns.values()} == {1188}
        assert {hour.task_ref for hour in nouns.values()} == {made.codes["task"]}
        for record in page.records:
            one = connector.read_one(object="time_entries", source_ref=record.source_ref)
            assert one == record

    def test_a_deleted_hour_is_none(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)
        numbers = _hours(vendor, made, 1)
        vendor.do("delete", {"ids": numbers})

        assert connector.read_one(object="time_entries", source_ref=str(numbers[0])) is None

    def test_a_poll_brings_only_what_changed_since(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)
        numbers = _hours(vendor, made, 2)
        first = list(connector.pages(stream="time_entries", cursor=None, is_full=False))[-1]
        old = "2020-01-01T00:00:00+00:00"
        new = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

        from_old = list(connector.pages(stream="time_entries", cursor=old, is_full=False))
        from_new = list(connector.pages(stream="time_entries", cursor=new, is_full=False))

        assert first.cursor
        assert {r.source_ref for p in from_old for r in p.records} == {str(n) for n in numbers}
        assert [p.records for p in from_new] == [()]
        assert first.cursor <= from_new[0].cursor < new

    @pytest.mark.parametrize("fault", ["skipped_page", "duplicate_page", "truncated_body"])
    def test_a_page_that_slips_is_noticed(
        self, connector: harvest.HarvestConnector, vendor: Vendor, fault: str
    ) -> None:
        made = _provision(connector, vendor)
        _hours(vendor, made, 3)
        rule = {"name": "one", "kind": fault, "path": "/v2/time_entries", "occurrences": [1]}
        vendor.do("faults", {"add": [rule]})

        with pytest.raises(StreamBroken):
            list(connector.pages(stream="time_entries", cursor=None, is_full=True))

        (page,) = connector.pages(stream="time_entries", cursor=None, is_full=True)
        assert page.total == 3

    def test_a_window_is_read_from_its_first_to_its_last_day(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        made = _provision(connector, vendor)
        _hours(vendor, made, 1)

        inside = connector.window_pages(
            stream="time_entries", starts_on=date(2026, 10, 5), ends_on=date(2026, 10, 6)
        )
        before = connector.window_pages(
            stream="time_entries", starts_on=date(2026, 10, 4), ends_on=date(2026, 10, 5)
        )

        assert [len(page.records) for page in inside] == [1]
        assert [len(page.records) for page in before] == [0]


class TestEveryStream:
    def test_is_read_understood_and_read_one_by_one(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        _hours(vendor, _provision(connector, vendor), 1)

        for stream in harvest.MANIFEST.streams:
            (page,) = connector.pages(stream=stream.name, cursor=None, is_full=True)
            assert page.records, stream.name
            for record in page.records:
                assert isinstance(connector.translate(record=record), Translated)
                again = connector.read_one(object=record.object, source_ref=record.source_ref)
                assert again is not None
                assert again.body == record.body


class TestTheCheck:
    def test_is_good_for_a_manager(
        self, connector: harvest.HarvestConnector, vendor: Vendor
    ) -> None:
        boss = {"first_name": "Max", "last_name": "Bo", "email": "max@example.com"}
        vendor.do("load", {"users": [{**boss, "key": "m", "access_roles": ["administrator"]}]})

        assert connector.check().is_good

    def test_refuses_names_that_nobody_knows(self, vendor: Vendor) -> None:
        config = {"fields": {"time_entries": {"mood": "notes"}}, "extras": {"clients": {"x": "y"}}}
        connector = harvest.build(vendor.connection(secrets=SECRETS, **config))

        fixes = [item.fix for item in connector.check().items if not item.is_good]

        assert "fields.time_entries.mood is not a canonical field" in fixes
        assert "Harvest's clients have no field y" in fixes


def _hour(result: object) -> TimeEntry:
    assert isinstance(result, Translated)
    assert isinstance(result.noun, TimeEntry)
    return result.noun


def _wait_until_found(connector: harvest.HarvestConnector, command: Command) -> None:
    for _ in range(100):
        if connector.probe(command=command):
            return
    raise AssertionError("the commit never came")


class TestARecordThatCannotBeNamed:
    def test_is_kept_and_not_understood_while_the_rest_is_read(
        self, connector: harvest.HarvestConnector, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert [
            page.total for page in connector.pages(stream="time_entries", cursor=None, is_full=True)
        ] == [0]
        fixture = resources.files(harvest).joinpath("fixtures/time_entries.approved.json")
        good = json.loads(fixture.read_bytes())
        nameless = {name: value for name, value in good.items() if name != "id"}
        odd = [{**good, "id": word} for word in (None, True, "7", {"id": 1})]
        timeless = {**good, "id": good["id"] + 1, "updated_at": "yesterday"}
        told = [good, nameless, *odd, timeless]
        page = {"time_entries": told, "page": 1, "next_page": None, "total_entries": len(told)}
        reply = SimpleNamespace(body=json.dumps(page).encode())
        monkeypatch.setattr(type(connector.http), "read", lambda *_, **__: reply)

        (read,) = connector.pages(stream="time_entries", cursor=None, is_full=True)

        understood = [connector.translate(record=record) for record in read.records]
        assert [isinstance(each, Translated) for each in understood] == [True] + [False] * 6
        assert len({record.source_ref for record in read.records}) == len(told)
        assert [json.loads(record.body) for record in read.records] == told

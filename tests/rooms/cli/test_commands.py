"""Every command: one JSON object on stdout, exit 0 only when the goal holds."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from tests.promises.connectors.vendors import Vendor, running_hubspot, running_service_desk
from tests.rooms.casework.hand_made_firm import NOW

from tieline import app
from tieline.runtime import worker
from tieline.runtime.database import Database
from tieline.runtime.outbox import publish
from tieline.services.system import System
from tieline.settings import Settings

from .conftest import Run

_BY = ("--by", "finance")
_STAFFING = """\
fact,person_email,person_name,employee_code,legal_entity,employed_from,employed_to,project_code,\
labor_category,assigned_from,assigned_to,approver_email,deputy_email,leave_from,leave_to
employment,anna@f.example,Anna,A1,HR-DE,2026-01-01,,,,,,,,,
"""


class TestBeginning:
    def test_a_second_time_changes_nothing(self, run: Run) -> None:
        firm = str(Path(__file__).parents[3] / "examples" / "firm.toml")

        again = run("init", "--firm", firm, "--json").json

        assert (again["people"], again["entities"], again["periods_opened"]) == ({}, [], 0)
        assert again["draft_release"] == "release:1"

    def test_made_up_passwords_are_shown_once(self, run: Run) -> None:
        people = run("init", "--person", "ann", "--person", "ben", "--json").json["people"]

        assert set(people) == {"ann", "ben"}
        assert all(len(password) >= 12 for password in people.values())

    def test_rules_wait_for_a_second_person(self, run: Run) -> None:
        own = run("proposals", "approve", "release:1", "--by", "controller")
        other = run("proposals", "approve", "release:1", *_BY, "--json")

        assert (own.code, other.code) == (2, 0)
        assert other.json == {"proposal": "release:1", "state": "current"}
        assert run("proposals", "list", "--json").json == {"proposals": [], "releases": []}

    def test_people_see_what_they_are_given(self, run: Run) -> None:
        added = run(
            "people", "add", "Gil", "--role", "controller", "--entity", "HR-UK", "--json"
        ).json

        assert (added["login"], added["entities"]) == ("gil", ["HR-UK"])
        assert len(added["password"]) >= 12
        logins = [each["login"] for each in run("people", "list", "--json").json["people"]]
        assert logins == ["controller", "finance", "gil"]


class TestConnections:
    def test_shows_limits_and_what_waits(self, run: Run) -> None:
        shown = run("connections", "--json")

        assert (shown.code, shown.json["connections"]) == (0, [])


class TestAWorker:
    def test_holds_everything_under_the_name_that_the_watchdog_frees(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stream that a dead reader held is read again as soon as its executor is known to be lost."""
        made: list[dict[str, Any]] = []

        class Recorded:
            def __init__(self, **words: Any) -> None:
                made.append(words)

            def run(self) -> int:
                return 0

        monkeypatch.setattr(worker, "Worker", Recorded)
        systems: list[System] = []
        open_system = app.open_system

        def remember(settings: Settings) -> System:
            systems.append(open_system(settings))
            return systems[-1]

        monkeypatch.setattr(app, "open_system", remember)

        assert run("worker").code == 0
        assert made[0]["executor_id"] == systems[0].reader.leases.holder


class TestEvents:
    def test_what_was_given_up_is_told_and_queued_anew(
        self, run: Run, worker_database: Database
    ) -> None:
        with worker_database.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode)"
                " VALUES ('bus', 'webhook', 'events', 'act')"
            )
            publish(
                connection,
                type="deal.won",
                subject_kind="deal",
                subject_id="7",
                entity_code=None,
                occurred_at=NOW,
                recorded_at=NOW,
                correlation_id="c",
            )
            connection.execute("UPDATE outbox SET state = 'failed', last_error = 'write.refused'")

        missed = run("events", "--json")
        again = run("events", "bus", "--send-again", "--json")

        assert (missed.code, again.code) == (1, 0)
        assert [(one["failed"], one["waiting"]) for one in missed.json["receivers"]] == [(1, 0)]
        assert [(one["failed"], one["waiting"]) for one in again.json["receivers"]] == [(0, 1)]

    def test_nobody_hears_under_another_name(self, run: Run) -> None:
        told = run("events", "bus")

        assert told.code == 2
        assert "bus is no connection that hears events" in told.err


class TestKeys:
    def test_are_issued_listed_and_revoked(self, run: Run) -> None:
        issued = run("keys", "issue", "monitor", "--scope", "time:read", *_BY, "--json").json
        listed = run("keys", "list", "--json").json["keys"]
        revoked = run("keys", "revoke", "monitor", "--reason", "unused", *_BY, "--json")

        assert issued["key"].startswith("tl_")
        assert [(each["name"], each["issued_by"]) for each in listed] == [("monitor", "finance")]
        assert "key" not in listed[0]
        assert revoked.code == 0
        assert run("keys", "list", "--json").json == {"keys": []}

    def test_take_an_administrator(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        added = run("people", "add", "gil", "--role", "controller", "--all-entities", "--json").json
        monkeypatch.setenv("TIELINE_PASSWORD", added["password"])

        ran = run("keys", "issue", "monitor", "--scope", "time:read", "--by", "gil")

        assert (ran.code, ran.err) == (2, "gil is no admin\n")


class TestReading:
    @pytest.mark.parametrize(
        "words",
        [
            ("status",),
            ("cases",),
            ("cases", "list"),
            ("close",),
            ("close", "periods"),
            ("time", "places"),
            ("people", "list"),
            ("keys", "list"),
            ("proposals", "list"),
            ("revenue",),
            ("events",),
            ("clients",),
            ("assignments", "--on", "2026-10-01"),
        ],
    )
    def test_prints_exactly_one_object_or_a_table(self, run: Run, words: tuple[str, ...]) -> None:
        as_json = run(*words, "--json")
        as_table = run(*words)

        assert as_json.code == as_table.code == 0
        assert isinstance(as_json.json, dict)
        assert as_table.out.strip()
        assert not as_table.out.startswith("{")


class TestConnecting:
    @pytest.fixture
    def drop(self, tmp_path: Path) -> Path:
        text = (Path(__file__).parents[3] / "examples" / "staffing.toml").read_text("utf-8")
        file = tmp_path / "staffing.toml"
        file.write_text(
            text.replace("/srv/tieline/staffing", str(tmp_path)).replace('"observe"', '"act"'),
            "utf-8",
        )
        return file

    def test_a_new_connection_observes(self, run: Run, drop: Path) -> None:
        first = run("connect", "filedrop", "--file", str(drop), "--json")
        second = run("connect", "filedrop", "--file", str(drop), "--json")

        assert (first.code, first.json["saved"], first.json["mode"]) == (0, True, "observe")
        assert second.json["mode"] == "act"
        (shown,) = run("status", "--json").json["connections"]
        assert (shown["connection_key"], shown["kind"]) == ("staffing", "hr")

    def test_what_does_not_pass_its_check_is_not_saved(self, run: Run, drop: Path) -> None:
        drop.write_text(drop.read_text("utf-8").replace(str(drop.parent), "/nowhere"), "utf-8")

        ran = run("connect", "filedrop", "--file", str(drop), "--json")

        assert (ran.code, ran.json["saved"]) == (1, False)
        assert run("status", "--json").json["connections"] == []

    def test_it_is_read_at_once_when_asked(self, run: Run, drop: Path) -> None:
        run("connect", "filedrop", "--file", str(drop))

        ran = run("sync", "staffing", "--json")

        assert (ran.code, ran.json["connection_key"]) == (0, "staffing")

    def test_it_is_paused_and_goes_on_by_one_command(self, run: Run, drop: Path) -> None:
        run("connect", "filedrop", "--file", str(drop))
        words = ("staffing", "--reason", "the agency sends it anew", "--by", "controller", "--json")

        paused, again = (run("connections", "pause", *words) for _ in range(2))

        assert (paused.code, paused.json["paused"], paused.json["changed"]) == (0, True, True)
        assert (again.code, again.json["changed"]) == (0, False)
        (shown,) = run("status", "--json").json["connections"]
        assert shown["paused"] is True
        assert run("connections", "resume", *words).json["changed"] is True
        nobody = run("connections", "pause", "nobody", *words[1:])
        assert (nobody.code, nobody.out) == (2, "")
        assert "no connection is called nobody" in nobody.err

    def test_it_is_told_that_nobody_works_on_it(self, run: Run, drop: Path) -> None:
        assert run("status").code == 0
        run("connect", "filedrop", "--file", str(drop))

        ran = run("status", "--json")

        assert (ran.code, ran.json["workers"]) == (1, [])
        assert "no worker runs" in ran.err

    def test_what_was_read_is_known_at_once(
        self, run: Run, drop: Path, worker_database: Database
    ) -> None:
        file = drop.parent / "staffing.csv"
        file.write_text(_STAFFING, encoding="utf-8")
        hour_ago = time.time() - 3600
        os.utime(file, (hour_ago, hour_ago))
        run("connect", "filedrop", "--file", str(drop))

        run("sync", "staffing", "--json")

        with worker_database.transaction() as connection:
            rows = connection.execute("SELECT employee_code FROM employment").fetchall()
        assert rows == [{"employee_code": "A1"}]


class TestConnectingHubspot:
    @pytest.fixture
    def vendor(self, tmp_path: Path) -> Iterator[Vendor]:
        with running_hubspot(tmp_path) as vendor:
            yield vendor
            assert vendor.exchanges

    @pytest.fixture
    def portal(self, vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("TIELINE_SECRET_HUBSPOT_ACCESS_TOKEN", "token")
        monkeypatch.setenv("TIELINE_SECRET_HUBSPOT_CLIENT_SECRET", "hook")
        text = (Path(__file__).parents[3] / "examples" / "hubspot.toml").read_text("utf-8")
        file = tmp_path / "hubspot.toml"
        file.write_text(
            text.replace("https://api.hubapi.com", vendor.url).replace(
                '["api.hubapi.com:443"]', "[]"
            ),
            "utf-8",
        )
        return file

    def test_missing_properties_are_named_and_not_made_unasked(
        self, run: Run, portal: Path
    ) -> None:
        ran = run("connect", "hubspot", "--file", str(portal), "--json")

        assert (ran.code, ran.json["saved"]) == (1, False)
        assert "deals have no tieline_billing_method" in ran.err
        assert any(check["name"] == "property" for check in ran.json["checks"])

    def test_agreed_properties_are_made_and_the_connection_saved(
        self, run: Run, portal: Path
    ) -> None:
        ran = run("connect", "hubspot", "--file", str(portal), "--create-fields", "--json")

        assert (ran.code, ran.json["saved"], ran.json["mode"]) == (0, True, "observe"), ran.err
        assert all(check["is_good"] for check in ran.json["checks"])

    def test_stored_secrets_are_used_again(
        self, run: Run, portal: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run("connect", "hubspot", "--file", str(portal), "--create-fields")
        monkeypatch.delenv("TIELINE_SECRET_HUBSPOT_ACCESS_TOKEN")
        monkeypatch.delenv("TIELINE_SECRET_HUBSPOT_CLIENT_SECRET")

        assert run("connect", "hubspot", "--file", str(portal)).code == 0


class TestConnectingAServiceDesk:
    def test_it_brings_messages_once_it_acts(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIELINE_SECRET_DESK_EMAIL", "tieline@example.com")
        monkeypatch.setenv("TIELINE_SECRET_DESK_API_TOKEN", "token")
        text = (Path(__file__).parents[3] / "examples" / "jira_service.toml").read_text("utf-8")
        file = tmp_path / "desk.toml"
        words = ("connect", "jira_service", "--file", str(file), "--json")

        with running_service_desk(tmp_path) as vendor:
            file.write_text(text.replace("https://your-site.atlassian.net", vendor.url), "utf-8")
            first = run(*words)
            file.write_text(file.read_text("utf-8").replace('"observe"', '"act"'), "utf-8")
            second = run(*words)
            assert vendor.exchanges

        assert (first.code, first.json["saved"], first.json["mode"]) == (0, True, "observe")
        assert (second.code, second.json["mode"]) == (0, "act"), second.err
        (shown,) = run("status", "--json").json["connections"]
        assert (shown["connection_key"], shown["kind"]) == ("desk", "channel")


class TestDeciding:
    @pytest.fixture
    def case_id(self, run: Run, worker_database: Database) -> str:
        with worker_database.transaction() as connection:
            row = connection.execute(
                "INSERT INTO case_file (reason, owner_queue, thing_kind, thing_key, entity_code,"
                " opened_at, correlation_id) VALUES ('deal.amount_missing', 'sales_operations',"
                " 'deal', 'hubspot:7', 'HR-DE', %s, 'c') RETURNING case_id",
                (NOW,),
            ).fetchone()
        assert row is not None
        return str(row["case_id"])

    def test_a_case_is_shown_taken_and_dismissed(self, run: Run, case_id: str) -> None:
        shown = run("cases", "show", case_id, "--json").json
        taken = run("cases", "assign", case_id, "gil", *_BY, "--json")
        replayed = run("cases", "replay", case_id, "--reason", "mended", *_BY, "--json")
        dismissed = run("cases", "dismiss", case_id, "--reason", "it is fine", *_BY, "--json")

        assert shown["case"]["thing_key"] == "hubspot:7"
        assert (taken.code, replayed.json["replayed"], dismissed.code) == (0, 0, 0)
        assert run("cases", "list", "--state", "dismissed", "--json").json["cases"]
        explained = run("explain", "case", case_id, "--json").json
        decisions = [
            step["facts"]["action"] for step in explained["steps"] if step["what"] == "decided"
        ]
        assert decisions == ["case.assigned", "case.replayed", "case.dismissed"]

    def test_cases_are_shown_and_then_sent_again_together(self, run: Run, case_id: str) -> None:
        shown = run("cases", "again", "--queue", "sales_operations", *_BY, "--json").json
        silent = run("cases", "again", case_id, "--apply", shown["digest"], *_BY)
        nothing = run(
            "cases", "again", case_id, "--apply", shown["digest"], "--reason", "mended", *_BY
        )

        assert [each["refused"] for each in shown["again"]["cases"]] == ["nothing"]
        assert "say with --reason" in silent.err
        assert (nothing.code, "none of these cases" in nothing.err) == (2, True)

    def test_an_auditor_changes_no_case(
        self, run: Run, case_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        added = run("people", "add", "gil", "--role", "auditor", "--all-entities", "--json").json
        monkeypatch.setenv("TIELINE_PASSWORD", added["password"])

        ran = run("cases", "replay", case_id, "--reason", "mended", "--by", "gil")

        assert (ran.code, "gil is none of controller" in ran.err) == (2, True)

    def test_a_case_out_of_sight_does_not_exist(
        self, run: Run, case_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        added = run(
            "people", "add", "gil", "--role", "controller", "--entity", "HR-UK", "--json"
        ).json
        monkeypatch.setenv("TIELINE_PASSWORD", added["password"])

        ran = run("cases", "assign", case_id, "gil", "--by", "gil")

        assert (ran.code, ran.err) == (2, f"there is no case {case_id}\n")


class TestClients:
    def test_are_proposed_for_a_case_and_linked_by_another(
        self, run: Run, worker_database: Database
    ) -> None:
        case_id = _ask_which_client(worker_database)

        shown = run("cases", "clients", case_id, "--json").json
        neither = run("cases", "same-client", case_id, "--reason", "x", *_BY)
        asked = run(
            "cases", "same-client", case_id, "--new", "--reason", "nobody knows them",
            "--by", "controller", "--json",
        )  # fmt: skip
        done = run("proposals", "approve", asked.json["proposal_id"], *_BY, "--json")

        assert (shown["record"]["name"], shown["candidates"]) == ("Nordwind", [])
        assert (neither.code, asked.code) == (2, 0)
        assert (done.json["state"], done.json["things"]) == ("approved", 1)
        with worker_database.transaction() as connection:
            row = connection.execute("SELECT because FROM crosswalk").fetchone()
        assert row == {"because": "steward:finance"}

    def test_a_pair_is_shown_answered_and_merged_from_a_shell(
        self, run: Run, worker_database: Database
    ) -> None:
        case_id = _ask_which_client(worker_database)
        one, other = _two_clients(worker_database, case_id)

        listed = run("clients", "same", "--json")
        shown = run("clients", "same", case_id, "--json")
        nobody = run("clients", "same", case_id, "--answer", "same")
        told = run("clients", "same", case_id, "--answer", "different", *_BY, "--json")
        undone = run("clients", "same", "--answer", "undo", *_BY, "--json")
        merged = run(
            "clients", "merge", one, "--into", other, "--reason", "one firm", *_BY, "--json"
        )
        again = run("clients", "merge", one, "--into", other, "--reason", "one firm", *_BY)
        fields = run("clients", "explain", one, "--json")
        apart = run("clients", "unmerge", one, "--reason", "two firms", *_BY, "--json")
        weights = run("clients", "weights", "--json")

        assert [each["case_id"] for each in listed.json["pairs"]] == [case_id]
        assert (shown.json["right"]["client_id"], shown.json["candidates"]) == (one, 2)
        assert (nobody.code, told.json["waits_for_second"]) == (2, False)
        assert (undone.json["answer"], merged.json["proposal_id"]) == ("undone", None)
        assert (again.code, fields.json["client_id"]) == (2, other)
        assert (apart.code, weights.json["weights"]) == (0, [])


def _ask_which_client(worker: Database) -> str:
    data: dict[str, Any] = {
        "name": "Nordwind", "vat_number": None, "street": None, "postal_code": None, "city": None,
        "country_code": None, "domain": None, "parent_ref": None, "is_active": True, "extras": {},
    }  # fmt: skip
    with worker.transaction() as connection:
        connection.execute(
            "INSERT INTO connection (connection_key, system, kind, mode)"
            " VALUES ('sales', 'hubspot', 'crm', 'act')"
        )
        connection.execute(
            "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version,"
            " is_newest, noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id,"
            " correlation_id) VALUES ('sales', 0, 'companies', '9', 1, true, 'Client', %s, false, 'h',"
            " 1, %s, 1, 'c')",
            (Jsonb(data), NOW),
        )
        row = connection.execute(
            "INSERT INTO case_file (reason, owner_queue, thing_kind, thing_key, opened_at,"
            " correlation_id) VALUES ('client.same_client_unclear', 'client_steward', 'client',"
            " 'sales:9', %s, 'c') RETURNING case_id",
            (NOW,),
        ).fetchone()
    assert row is not None
    return str(row["case_id"])


def _two_clients(worker: Database, case_id: str) -> tuple[str, str]:
    """Let the case ask about two clients, the likelier one first."""
    made = []
    with worker.transaction() as connection:
        for name in ("Nordwind AG", "Nordwind SE"):
            row = connection.execute(
                "INSERT INTO client (recorded_at) VALUES (%s) RETURNING client_id", (NOW,)
            ).fetchone()
            assert row is not None
            connection.execute(
                "INSERT INTO client_version (client_id, name, name_key, is_active, recorded_at)"
                " VALUES (%s, %s, 'nordwind', true, %s)",
                (row["client_id"], name, NOW),
            )
            made.append(str(row["client_id"]))
        connection.execute(
            "UPDATE case_file SET details = %s WHERE case_id = %s",
            (Jsonb({"candidates": f"{made[0]} (93), {made[1]} (90)"}), case_id),
        )
    return made[0], made[1]


class TestClosingPeriods:
    def test_a_period_is_closed_and_opened_again_by_two_people(self, run: Run) -> None:
        code = run("close", "periods", "--entity", "HR-DE", "--json").json["periods"][0][
            "period_code"
        ]
        which = ("HR-DE", code)

        nothing = run("close", "in-flight", *which, "--json")
        asked = run("close", "period", *which, "--by", "controller", "--json")
        twice = run("close", "period", *which, *_BY)
        own = run("proposals", "approve", asked.json["proposal_id"], "--by", "controller")
        done = run("proposals", "approve", asked.json["proposal_id"], *_BY, "--json")
        again = run("close", "reopen", *which, "--reason", "a late hour", *_BY, "--json")

        assert (nothing.code, nothing.json["in_flight"]) == (0, [])
        assert (twice.code, twice.err) == (2, "controller has proposed it already\n")
        assert (own.code, done.json["state"]) == (2, "approved")
        (closed,) = [
            each
            for each in run("close", "periods", "--entity", "HR-DE", "--json").json["periods"]
            if each["period_code"] == code
        ]
        assert (closed["state"], again.json["state"]) == ("closed", "proposed")

    def test_a_period_that_nobody_declared_is_told(self, run: Run) -> None:
        ran = run("close", "period", "HR-DE", "1999-01", *_BY)

        assert (ran.code, ran.err) == (2, "HR-DE has no period 1999-01 in your sight\n")


class TestProvisioning:
    @pytest.fixture
    def deal(self, run: Run, worker_database: Database) -> str:
        data: dict[str, Any] = {
            "name": "Deal", "stage": "closedwon", "is_won": False,
            "amount": "1500", "currency": "EUR", "closed_on": None, "client_ref": None,
            "owner_ref": None, "entity_code": "HR-DE", "practice": None,
            "billing_method": None, "purchase_order": None, "is_purchase_order_required": None,
            "rate_card": None, "tax_treatment": None, "starts_on": None, "ends_on": None,
            "project_code": None, "cap_amount": None, "lines": [], "extras": {},
        }  # fmt: skip
        with worker_database.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode)"
                " VALUES ('sales', 'hubspot', 'crm', 'act')"
            )
            connection.execute(
                "INSERT INTO source_version (connection_key, source_epoch, object, source_ref,"
                " version, is_newest, noun, data, is_deleted, material_hash, material_version,"
                " recorded_at, raw_id, correlation_id) VALUES ('sales', 0, 'deals', '7', 1, true,"
                " 'Opportunity', %s, false, 'h', 1, %s, 1, 'c')",
                (Jsonb(data), NOW),
            )
        return "sales:7"

    def test_the_plan_lists_every_blocker_and_starts_nothing(
        self, run: Run, deal: str, worker_database: Database
    ) -> None:
        ran = run("provision", deal, "--plan", "--json")

        assert ran.code == 1
        codes = {blocker["code"] for blocker in ran.json["deal"]["blockers"]}
        assert len(codes) >= 5
        assert codes == {each["code"] for each in ran.json["checks"] if each["outcome"] == "blocks"}
        assert [each["system"] for each in ran.json["systems"]] == ["tieline", "sales"]
        with worker_database.transaction() as connection:
            assert connection.execute("SELECT 1 FROM work_item").fetchone() is None

    def test_the_plan_that_was_shown_is_not_applied_before_the_deal_is_won(
        self, run: Run, deal: str
    ) -> None:
        shown = run("provision", deal, "--plan", "--json").json

        unseen = run("provision", deal, "--apply", "--digest", "0" * 64)
        ran = run("provision", deal, "--apply", "--digest", shown["digest"], "--json")

        assert (unseen.code, ran.code, ran.out) == (2, 2, "")
        assert ran.err == "sales:7 is not won, it stands at closedwon: nothing was begun\n"

    def test_the_plan_is_a_table_for_people(self, run: Run, deal: str) -> None:
        ran = run("provision", deal, "--plan")

        assert "Blockers" in ran.out
        assert "What each system gets" in ran.out
        assert "Field by field" in ran.out

    def test_without_a_deal_says_when_the_last_one_will_be_active(self, run: Run) -> None:
        told, shown = run("provision", "--json").json, run("provision")

        assert told["states"] == {}
        assert told["forecast"]["deals"] == told["forecast"]["calls"] == 0
        assert shown.err == "nothing is on its way\n"
        assert run("provision", "--plan").code == 2

    def test_a_deal_is_explained_before_it_is_won(self, run: Run, deal: str) -> None:
        (received,) = run("explain", "deal", deal, "--json").json["steps"]

        assert (received["system"], received["facts"]["stage"]) == ("sales", "closedwon")

    def test_what_systems_hold_is_proposed_in_parts(
        self, run: Run, deal: str, worker_database: Database, tmp_path: Path
    ) -> None:
        person = {"name": "Anna Berg", "email": "anna@f.example"}
        with worker_database.transaction() as connection:
            connection.execute(
                "INSERT INTO source_version (connection_key, source_epoch, object, source_ref,"
                " version, is_newest, noun, data, is_deleted, material_hash, material_version,"
                " recorded_at, raw_id, correlation_id) VALUES ('sales', 0, 'owners', '22', 1, true,"
                " 'Person', %s, false, 'h', 1, %s, 1, 'c')",
                (Jsonb(person), NOW),
            )

        people = run("adopt", "--what", "person", "--json")
        others = run("adopt", "--system", "clock", "--xlsx", str(tmp_path / "a.xlsx"), "--json")

        assert (people.code, people.json["counts"]) == (1, {"person": {"nothing": 1}})
        assert (others.code, others.json["counts"]) == (0, {})
        assert f"0 rows are in {tmp_path / 'a.xlsx'}" in others.err

    def test_a_ready_plan_is_started(self, run: Run, worker_database: Database) -> None:
        plan_id = uuid.uuid4()
        with worker_database.transaction() as connection:
            connection.execute(
                "INSERT INTO provisioning_plan (plan_id, connection_key, source_epoch, deal_ref, state,"
                " entity_code, plan, planned_at, known_at, correlation_id) VALUES (%s, 'sales', 0, '9',"
                " 'running', 'HR-DE', '{\"steps\": []}', %s, %s, 'c')",
                (plan_id, NOW, NOW),
            )

        ran = run("provision", str(plan_id), "--json")

        assert (ran.code, ran.json["deal"]["state"]) == (0, "running")

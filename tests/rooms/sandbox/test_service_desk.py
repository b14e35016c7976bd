from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.promises.connectors.guard import hold, read_exchanges
from tests.promises.connectors.vendors import Vendor, running_service_desk

from tieline.sandbox.process import pid_started

API = "/rest/servicedeskapi"
WHO = ("tieline@example.com", "token")
PLACE = {"serviceDeskId": "10", "requestTypeId": "25"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Vendor]:
    with running_service_desk(tmp_path, may_be_refused=True) as running:
        yield running
        assert running.exchanges


def _get(vendor: Vendor, path: str) -> httpx.Response:
    return httpx.get(vendor.url + API + path, auth=WHO, headers={"X-ExperimentalApi": "opt-in"})


def _post(vendor: Vendor, path: str, body: Any) -> httpx.Response:
    return httpx.post(vendor.url + API + path, json=body, auth=WHO)


def _create(vendor: Vendor, summary: str, **values: Any) -> httpx.Response:
    fields = {"summary": summary, **values}
    return _post(vendor, "/request", {**PLACE, "requestFieldValues": fields})


def _found(vendor: Vendor, query: str) -> list[str]:
    return [one["issueKey"] for one in _get(vendor, f"/request?{query}").json()["values"]]


class TestRequests:
    def test_are_taken_twice_without_a_word(self, desk: Vendor) -> None:
        made = [_create(desk, "Tryton is down [tl1f]") for _ in range(2)]

        assert [one.status_code for one in made] == [201, 201]
        assert _found(desk, "searchTerm=tl1f") == ["FIN-2", "FIN-1"]

    def test_are_found_by_words_of_their_summary_and_by_nothing_else(self, desk: Vendor) -> None:
        _create(desk, "Tryton is down [tl1f]", description="tl2f")
        _create(desk, "Harvest is down [tl3f]")
        other = {"summary": "Tryton is down too"}
        desk.do("raise", {"request_type_id": "25", "fields": other})
        desk.do("raise", {"request_type_id": "25", "fields": other, "shared": True})

        assert _found(desk, "searchTerm=tryton") == ["FIN-4", "FIN-1"]
        assert _found(desk, "searchTerm=tryton&requestOwnership=OWNED_REQUESTS") == ["FIN-1"]
        assert _found(desk, "searchTerm=down%20TL3F") == ["FIN-2"]
        assert _found(desk, "searchTerm=tl*") == ["FIN-2", "FIN-1"]
        assert _found(desk, "searchTerm=tl2f") == []
        assert _get(desk, "/request/FIN-3").status_code == 403

    def test_are_found_only_after_a_while_where_the_plan_says_so(self, desk: Vendor) -> None:
        desk.do("index", {"lag_ms": 60_000})
        _create(desk, "Tryton is down [tl1f]")

        late = _found(desk, "searchTerm=tl1f")
        desk.do("index", {"lag_ms": 0})

        assert late == []
        assert _found(desk, "searchTerm=tl1f") == ["FIN-1"]
        assert _get(desk, "/request/FIN-1").status_code == 200

    def test_are_paged_and_the_latest_activity_comes_first(self, desk: Vendor) -> None:
        for number in range(7):
            _create(desk, f"Matter {number}")
        _post(desk, "/request/FIN-3/comment", {"body": "Still so.", "public": True})

        first = _get(desk, "/request?limit=5").json()
        rest = httpx.get(first["_links"]["next"], auth=WHO).json()
        wide = _get(desk, "/request?limit=1000").json()

        assert (first["size"], first["limit"], first["isLastPage"]) == (5, 5, False)
        assert (rest["start"], rest["size"], rest["isLastPage"]) == (5, 2, True)
        assert (wide["size"], wide["limit"], wide["isLastPage"]) == (7, 50, True)
        assert first["values"][0]["issueKey"] == "FIN-3"
        assert first["values"] + rest["values"] == wide["values"]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"requestTypeId": "99"}, "does not have this request type"),
            ({"requestFieldValues": {"description": "x"}}, "Summary is required"),
            ({"requestFieldValues": {"summary": "a\nb"}}, "newline"),
            ({"requestFieldValues": {"summary": "😀" * 128}}, "255 characters"),
            ({"requestFieldValues": {"summary": "a", "description": "b" * 32_768}}, "32,767"),
            ({"requestFieldValues": {"summary": "a", "mood": "b"}}, "not valid"),
            ({"requestParticipants": ["nobody"]}, "customer does not exist"),
        ],
    )
    def test_are_refused_with_a_sentence(
        self, desk: Vendor, change: dict[str, Any], words: str
    ) -> None:
        body = {**PLACE, "requestFieldValues": {"summary": "a"}, **change}

        answer = _post(desk, "/request", body)

        assert answer.status_code == 400
        assert words in answer.json()["errorMessage"]

    def test_move_along_their_workflow_and_remember_it(self, desk: Vendor) -> None:
        _create(desk, "Tryton is down")
        offered = _get(desk, "/request/FIN-1/transition").json()["values"]
        resolve = next(one["id"] for one in offered if one["name"].startswith("Resolve"))
        step = {"id": resolve, "additionalComment": {"body": "It is up."}}

        assert _post(desk, "/request/FIN-1/transition", step).status_code == 204
        assert _post(desk, "/request/FIN-1/transition", step).status_code == 400

        statuses = _get(desk, "/request/FIN-1/status").json()["values"]
        comments = _get(desk, "/request/FIN-1/comment").json()["values"]
        assert [one["statusCategory"] for one in statuses] == ["DONE", "NEW"]
        assert [one["body"] for one in comments] == ["It is up."]
        assert _found(desk, "requestStatus=OPEN_REQUESTS") == []
        assert _found(desk, "requestStatus=CLOSED_REQUESTS") == ["FIN-1"]

    def test_show_text_in_the_notation_of_the_vendor(self, desk: Vendor) -> None:
        made = _create(desk, "a", description="*down* since [~accountid:x], \\*not\\*").json()
        _post(desk, "/request/FIN-1/comment", {"body": "{code}<b>{code}", "public": False})

        shown = _get(desk, "/request/FIN-1/comment?public=false&expand=renderedBody").json()

        assert made["requestFieldValues"][1]["renderedValue"]["html"] == (
            '<p><b>down</b> since <a class="user-hover">x</a>, *not*</p>'
        )
        (comment,) = shown["values"]
        assert comment["renderedBody"]["html"].count('<div class="code">') == 2
        assert "&lt;b&gt;" in comment["renderedBody"]["html"]


class TestTheGate:
    def test_answers_only_who_says_who_they_are(self, desk: Vendor) -> None:
        for auth in (None, ("tieline@example.com", "wrong"), ("else@example.com", "token")):
            answer = httpx.get(f"{desk.url}{API}/servicedesk", auth=auth)
            assert answer.status_code == 401
            assert answer.json()["errorMessage"]

    @pytest.mark.parametrize(
        ("right", "path", "body"),
        [
            ("create", "/request", {**PLACE, "requestFieldValues": {"summary": "a"}}),
            ("comment", "/request/FIN-1/comment", {"body": "a", "public": True}),
            ("transition", "/request/FIN-1/transition", {"id": "21"}),
            ("see", "/request/FIN-1/comment", {"body": "a", "public": True}),
        ],
    )
    def test_refuses_what_the_account_may_not_do(
        self, desk: Vendor, right: str, path: str, body: dict[str, Any]
    ) -> None:
        _create(desk, "Tryton is down")
        desk.do("rights", {"refused": [right]})

        assert _post(desk, path, body).status_code == 403

    def test_shows_no_desk_and_finds_nothing_there_without_the_right(self, desk: Vendor) -> None:
        shown = _get(desk, "/servicedesk").json()["values"]
        kinds = _get(desk, "/requesttype?serviceDeskId=10&expand=field").json()["values"]
        desk.do("rights", {"refused": ["see"]})

        assert [one["projectKey"] for one in shown] == ["FIN"]
        assert [f["fieldId"] for f in kinds[0]["fields"]["requestTypeFields"]] == [
            "summary",
            "description",
        ]
        assert _get(desk, "/servicedesk").json()["values"] == []
        assert _get(desk, "/request?serviceDeskId=10").status_code == 404
        assert _get(desk, "/request/FIN-9").status_code == 404

    def test_gives_an_experimental_method_only_to_who_opts_in(self, desk: Vendor) -> None:
        answer = httpx.get(f"{desk.url}{API}/requesttype", auth=WHO)

        assert answer.status_code == 412
        assert _get(desk, "/requesttype").status_code == 200

    @pytest.mark.parametrize(("kind", "status"), [("rate_limit_429", 429), ("slow", 200)])
    def test_follows_the_plan(self, desk: Vendor, kind: str, status: int) -> None:
        rule = {"name": "one", "kind": kind, "retry_after_seconds": 7, "delay_ms": 1}
        desk.do("faults", {"add": [rule]})

        answer = _get(desk, "/servicedesk")

        assert answer.status_code == status
        assert answer.headers.get("retry-after", "7") == "7"


class TestTheProcess:
    def test_keeps_what_it_committed_when_it_is_killed(self, tmp_path: Path) -> None:
        plan = tmp_path / "plan.json"
        plan.write_text(json.dumps({"index_lag_ms": 60_000, "rules": []}))
        with _process(tmp_path, "--plan", str(plan), "--requests-max", "3") as url:
            body = {**PLACE, "requestFieldValues": {"summary": "Kept"}}
            made = httpx.post(f"{url}{API}/request", json=body, auth=WHO).json()
            hidden = httpx.get(f"{url}{API}/request", auth=WHO).json()["values"]
            answers = [httpx.get(f"{url}{API}/servicedesk", auth=WHO) for _ in range(3)]

        with _process(tmp_path) as url:
            kept = httpx.get(f"{url}{API}/request", auth=WHO).json()["values"]

        assert hidden == []
        assert 429 in {answer.status_code for answer in answers}
        assert [one["issueKey"] for one in kept] == [made["issueKey"]]


@contextmanager
def _process(directory: Path, *more: str) -> Iterator[str]:
    """Run the server as a process and kill it at the end."""
    run_file = directory / "run.json"
    run_file.unlink(missing_ok=True)
    arguments = ["--directory", str(directory), "--run-file", str(run_file), *more]
    environment = {
        **os.environ,
        "TIELINE_SANDBOX_JIRA_TOKEN": "token",
        "TIELINE_SANDBOX_TOKEN": "control",
        "TIELINE_SANDBOX_RECORD": str(directory),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tieline.sandbox.service_desk", *arguments], env=environment
    )
    try:
        deadline = time.monotonic() + 20
        while not run_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        run = json.loads(run_file.read_text())
        assert (run["pid"], run["pid_started"]) == (process.pid, pid_started(process.pid))
        yield run["url"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = read_exchanges(directory / "jira_service.jsonl")
    assert kept
    hold(kept, vendor="jira_service")

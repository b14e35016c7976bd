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
from tests.promises.connectors.guard import descriptions, hold, read_exchanges
from tests.rooms.sandbox.conftest import Vendor

from tieline.sandbox.firm import Firm
from tieline.sandbox.process import pid_started


class TestHarvest:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Harvest-Account-Id": "18"}, 403),
            ({"User-Agent": ""}, 400),
        ],
    )
    def test_answers_only_who_says_who_they_are(
        self, time_tool: Vendor, headers: dict[str, str], status: int
    ) -> None:
        assert time_tool.api.get("/company", headers=headers).status_code == status

    def test_pages_through_all_entries_with_its_own_links(self, with_time: Vendor) -> None:
        seen: list[int] = []
        url: str | None = "/time_entries?per_page=100"
        while url is not None:
            page = with_time.api.get(url).json()
            seen += [entry["id"] for entry in page["time_entries"]]
            url = page["links"]["next"]

        assert len(seen) == len(set(seen)) == page["total_entries"]
        assert page["total_pages"] == page["page"] == len(seen) // 100 + 1

    def test_orders_entries_by_day_and_the_rest_by_creation(self, with_time: Vendor) -> None:
        entries = with_time.api.get("/time_entries").json()["time_entries"]
        users = with_time.api.get("/users").json()["users"]

        days = [entry["spent_date"] for entry in entries]
        assert days == sorted(days, reverse=True)
        assert [user["id"] for user in users] == sorted((u["id"] for u in users), reverse=True)

    def test_filters_by_change_day_person_and_project(self, with_time: Vendor) -> None:
        everything = with_time.api.get("/time_entries").json()["time_entries"]
        one = everything[40]
        query = {
            "from": one["spent_date"],
            "to": one["spent_date"],
            "user_id": one["user"]["id"],
            "project_id": one["project"]["id"],
            "updated_since": one["updated_at"],
            "is_running": "false",
        }

        found = with_time.api.get("/time_entries", params=query).json()["time_entries"]

        assert one in found
        assert len(found) < 4
        running = with_time.api.get("/time_entries?is_running=true").json()
        assert running["total_entries"] == 0

    def test_writes_hours_with_at_most_two_decimals(self, with_time: Vendor) -> None:
        text = with_time.api.get("/time_entries").text

        hours = {part.split(",")[0] for part in text.split('"hours":')[1:]}
        assert "8.0" in hours | {"8.0"}
        assert all(len(hour.partition(".")[2]) in (1, 2) for hour in hours)
        assert "0.0" in hours
        assert "88.0" in hours

    def test_shows_approval_only_as_a_lock(self, with_time: Vendor, firm: Firm) -> None:
        ids = with_time.ids().entry_ids
        entry = next(each for each in firm.entries if not each.is_locked and each.key in ids)
        with_time.do("approve", {"ids": [ids[entry.key]], "at": firm.now.isoformat()})

        shown = with_time.api.get(f"/time_entries/{ids[entry.key]}").json()
        with_time.do("unapprove", {"ids": [ids[entry.key]], "at": firm.now.isoformat()})
        withdrawn = with_time.api.get(f"/time_entries/{ids[entry.key]}").json()

        assert shown["is_locked"] is True
        assert shown["locked_reason"] == "Item Approved and Locked for this Time Period"
        assert (withdrawn["is_locked"], withdrawn["locked_reason"]) == (False, None)
        assert shown["updated_at"] == firm.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def test_says_nothing_of_a_deleted_entry_but_404(self, with_time: Vendor) -> None:
        entry = with_time.api.get("/time_entries").json()["time_entries"][5]
        with_time.do("delete", {"ids": [entry["id"]]})

        changed = with_time.api.get(
            "/time_entries", params={"updated_since": entry["updated_at"]}
        ).json()["time_entries"]

        assert with_time.api.get(f"/time_entries/{entry['id']}").status_code == 404
        assert entry["id"] not in [other["id"] for other in changed]
        assert with_time.journal()[-1]["operation"] == "delete"

    def test_refuses_to_change_a_locked_entry(self, with_time: Vendor) -> None:
        entries = with_time.api.get("/time_entries").json()["time_entries"]
        locked = next(entry for entry in entries if entry["is_locked"])

        assert with_time.api.patch(f"/time_entries/{locked['id']}", json={}).status_code == 422
        assert with_time.api.delete(f"/time_entries/{locked['id']}").status_code == 422

    @pytest.mark.parametrize(
        ("path", "body", "word"),
        [
            ("/clients", {}, "name"),
            ("/clients", {"name": 5}, "text"),
            ("/projects", {"client_id": 1, "name": "x"}, "is_billable"),
            (
                "/projects",
                {
                    "client_id": 1,
                    "name": "x",
                    "is_billable": True,
                    "bill_by": "none",
                    "budget_by": "none",
                },
                "does not exist",
            ),
            (
                "/time_entries",
                {"project_id": 1, "task_id": 1, "spent_date": "31.10.2026"},
                "date",
            ),
        ],
    )
    def test_refuses_bad_input_with_a_sentence(
        self, time_tool: Vendor, path: str, body: dict[str, Any], word: str
    ) -> None:
        answer = time_tool.api.post(path, json=body)

        assert answer.status_code == 422
        assert word in answer.json()["message"]

    def test_refuses_the_same_assignment_twice_and_the_same_name_not(
        self, provisioned: Vendor
    ) -> None:
        link = provisioned.api.get("/task_assignments").json()["task_assignments"][0]
        path = f"/projects/{link['project']['id']}/task_assignments"

        again = provisioned.api.post(path, json={"task_id": link["task"]["id"]})
        twins = [provisioned.api.post("/clients", json={"name": "Twin"}) for _ in range(2)]

        assert again.status_code == 422
        assert [twin.status_code for twin in twins] == [201, 201]

    def test_changes_and_deletes_what_a_provisioning_undoes(self, provisioned: Vendor) -> None:
        project = provisioned.api.get("/projects").json()["projects"][0]
        path = f"/projects/{project['id']}"

        renamed = provisioned.api.patch(path, json={"name": "New name"}).json()
        gone = provisioned.api.delete(path)

        assert (renamed["name"], renamed["code"]) == ("New name", project["code"])
        assert gone.status_code == 200
        assert provisioned.api.get(path).status_code == 404
        links = provisioned.api.get("/task_assignments").json()["task_assignments"]
        assert project["id"] not in [link["project"]["id"] for link in links]

    def test_allows_a_hundred_requests_in_fifteen_seconds(self, tmp_path: Path) -> None:
        with _process(tmp_path) as url, httpx.Client(base_url=url, headers=_HEADERS) as client:
            statuses = [client.get("/v2/company").status_code for _ in range(100)]
            limited = client.get("/v2/company")

        assert set(statuses) == {200}
        assert limited.status_code == 429
        assert 1 <= int(limited.headers["retry-after"]) <= 15

    def test_keeps_what_it_committed_when_it_is_killed(self, tmp_path: Path) -> None:
        with _process(tmp_path) as url:
            made = httpx.post(f"{url}/v2/clients", json={"name": "Kept"}, headers=_HEADERS).json()
        journal = tmp_path / "harvest-journal.jsonl"
        with journal.open("ab") as file:
            file.write(b'{"no": 2, "at": "20')

        with _process(tmp_path) as url:
            kept = httpx.get(f"{url}/v2/clients", headers=_HEADERS).json()["clients"]
            next_one = httpx.post(f"{url}/v2/clients", json={"name": "Next"}, headers=_HEADERS)

        assert kept == [made]
        assert next_one.json()["id"] == made["id"] + 1


class TestHarvestDescription:
    def test_knows_every_kind_of_answer(self, with_time: Vendor) -> None:
        """Ask for each; what is told is held against the description at the end."""
        descriptions()
        api = with_time.api
        project = api.get("/projects").json()["projects"][0]["id"]
        entry = api.get("/time_entries").json()["time_entries"][0]["id"]
        link = api.get(f"/projects/{project}/user_assignments").json()["user_assignments"][0]["id"]
        asked = [
            "/company",
            "/users/me",
            "/users",
            "/clients",
            f"/projects/{project}",
            "/tasks",
            "/task_assignments",
            "/user_assignments",
            f"/projects/{project}/task_assignments",
            f"/projects/{project}/user_assignments/{link}",
            "/time_entries?per_page=50",
            f"/time_entries/{entry}",
            "/time_entries/1",
        ]

        statuses = [api.get(path).status_code for path in asked]

        assert [status for status in statuses if status >= 300] == [404]


_HEADERS = {"Authorization": "Bearer secret", "Harvest-Account-Id": "17", "User-Agent": "test"}


@contextmanager
def _process(directory: Path) -> Iterator[str]:
    """Run the server as a process and kill it at the end."""
    run_file = directory / "run.json"
    run_file.unlink(missing_ok=True)
    arguments = ["--directory", str(directory), "--run-file", str(run_file), "--account", "17"]
    environment = {
        **os.environ,
        "TIELINE_SANDBOX_HARVEST_TOKEN": "secret",
        "TIELINE_SANDBOX_TOKEN": "control",
        "TIELINE_SANDBOX_RECORD": str(directory),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tieline.sandbox.harvest", *arguments], env=environment
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
    kept = read_exchanges(directory / "harvest.jsonl")
    assert kept
    hold(kept, vendor="harvest")

"""Vendors filled with the firm, served from a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.promises.connectors.guard import hold
from tests.rooms.sandbox.serving import serving

from tieline.sandbox import harvest, hubspot
from tieline.sandbox.exchanges import Exchange
from tieline.sandbox.faults import FaultInjector
from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_running import BEGUN_PROJECT, LOAD_PROJECT
from tieline.sandbox.front import ErrorAnswer, Front
from tieline.sandbox.harvest import HarvestServer
from tieline.sandbox.hubspot import HubSpotServer
from tieline.sandbox.hubspot_webhooks import Webhooks
from tieline.sandbox.process import SandboxClock
from tieline.sandbox.records import RecordStore
from tieline.sandbox.truth import HarvestIds, harvest_ids
from tieline.sandbox.wire import Answering

TODAY = date(2026, 11, 24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A running vendor: as an integration sees it, and as its own people do."""

    api: httpx.Client
    control: httpx.Client

    def do(self, verb: str, body: dict[str, Any]) -> Any:
        answer = self.control.post(f"/_sandbox/{verb}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def journal(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self.control.get("/_sandbox/journal").json()["journal"]
        return lines

    def ids(self) -> HarvestIds:
        return harvest_ids(self.journal())


@pytest.fixture(scope="session")
def firm() -> Firm:
    return Firm.generate(7, TODAY)


@pytest.fixture
def time_tool(tmp_path: Path) -> Iterator[Vendor]:
    server = HarvestServer(
        store=RecordStore(journal=tmp_path / "journal.jsonl"),
        clock=SandboxClock(),
        token="secret",
        account="17",
        requests_max=500,
    )
    headers = {"Authorization": "Bearer secret", "Harvest-Account-Id": "17"}
    yield from _running("harvest", server.answer, harvest.error_answer, headers, prefix="/v2")


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Vendor]:
    clock = SandboxClock()
    server = HubSpotServer(
        store=RecordStore(journal=tmp_path / "journal.jsonl"),
        clock=clock,
        token="secret",
        webhooks=Webhooks(secret="hook", clock=clock, app_id=1, portal_id=2),
        searches_max=100,
    )
    headers = {"Authorization": "Bearer secret"}
    yield from _running("hubspot", server.answer, hubspot.error_answer, headers, prefix="")


def _running(
    name: str,
    answer: Answering,
    error_answer: ErrorAnswer,
    headers: dict[str, str],
    *,
    prefix: str,
) -> Iterator[Vendor]:
    exchanges: list[Exchange] = []
    front = Front(
        answer=answer,
        injector=FaultInjector(name="vendor", plan={}, log=None),
        control_token="control",
        error_answer=error_answer,
        watch=exchanges.append,
    )
    with (
        serving(front.deliver) as address,
        httpx.Client(base_url=address + prefix, headers=headers) as api,
        httpx.Client(base_url=address, headers={"X-Sandbox-Token": "control"}) as control,
    ):
        yield Vendor(api=api, control=control)
    hold(exchanges, vendor=name, may_be_refused=True)


def story_projects(firm: Firm) -> set[str]:
    """Return the projects whose time is changed or counted; the others have thousands of entries."""
    return {*(deal.project_code for deal in firm.deals), LOAD_PROJECT, BEGUN_PROJECT}


@pytest.fixture
def provisioned(time_tool: Vendor, firm: Firm) -> Vendor:
    """A time tool in which somebody has set up the firm's projects, as provisioning would."""
    loaded = time_tool.do("load", firm.harvest_load())["ids"]
    running = time_tool.do("load", firm.harvest_projects(client_ids=loaded["clients"]))["ids"]
    links = firm.harvest_links(
        project_ids=running["projects"], task_ids=loaded["tasks"], user_ids=loaded["users"]
    )
    time_tool.do("load", links)
    clients = loaded["clients"] | {
        client.key: _made(time_tool, "/clients", {"name": client.crm_name})
        for client in firm.clients
        if client.key not in loaded["clients"]
    }
    tasks: dict[str, int] = loaded["tasks"]
    for deal in firm.deals:
        if deal.blocker is not None:
            continue
        project = _made(
            time_tool,
            "/projects",
            {
                "client_id": clients[deal.client_key],
                "name": deal.name,
                "code": deal.project_code,
                "is_billable": True,
                "bill_by": "Tasks",
                "budget_by": "none",
            },
        )
        for task in dict.fromkeys(line.task for line in deal.lines):
            if task not in tasks:
                tasks[task] = _made(time_tool, "/tasks", {"name": task})
            _made(time_tool, f"/projects/{project}/task_assignments", {"task_id": tasks[task]})
    return time_tool


def _made(vendor: Vendor, path: str, body: dict[str, Any]) -> int:
    answer = vendor.api.post(path, json=body)
    assert answer.status_code == 201, answer.text
    identity: int = answer.json()["id"]
    return identity


@pytest.fixture
def with_time(provisioned: Vendor, firm: Firm) -> Vendor:
    """The same with the month's time entered, on the projects that the story is about."""
    ids = provisioned.ids()
    wanted = {
        code: ids.project_ids[code] for code in story_projects(firm) if code in ids.project_ids
    }
    provisioned.do(
        "entries",
        firm.time_entries(project_ids=wanted, task_ids=ids.task_ids, user_ids=ids.user_ids),
    )
    return provisioned

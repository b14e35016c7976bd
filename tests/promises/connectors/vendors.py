"""The sandbox's vendors on a port of this process, guarded where the descriptions are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.promises.connectors.guard import hold
from tieline.runtime.clock import BusinessClock
from tieline.sandbox import harvest, hubspot, service_desk
from tieline.sandbox.exchanges import Exchange
from tieline.sandbox.faults import FaultInjector
from tieline.sandbox.front import ErrorAnswer, Front
from tieline.sandbox.harvest import HarvestServer
from tieline.sandbox.hubspot import HubSpotServer
from tieline.sandbox.hubspot_webhooks import Webhooks
from tieline.sandbox.process import SandboxClock
from tieline.sandbox.records import RecordStore
from tieline.sandbox.service_desk import ServiceDeskServer
from tieline.sandbox.service_desk_control import STANDARD
from tieline.sandbox.wire import Answering, Delivering, listen, port_of
from tieline.sdk import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A running vendor: where it is, and what its own people do there."""

    url: str
    front: Front
    # What passed since the start; it is held against the vendor's description at the end.
    exchanges: list[Exchange]

    def do(self, verb: str, body: dict[str, Any]) -> Any:
        answer = httpx.post(
            f"{self.url}/_sandbox/{verb}", json=body, headers={"x-sandbox-token": "control"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def journal(self) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/_sandbox/journal", headers={"x-sandbox-token": "control"})
        lines: list[dict[str, Any]] = answer.json()["journal"]
        return lines

    def connection(self, *, secrets: dict[str, str], **config: Any) -> Connection:
        return Connection(
            connection_key="vendor",
            base_url=self.url,
            config=config,
            secrets=secrets,
            allowed_hosts=frozenset({self.url.removeprefix("http://")}),
            timeout_seconds=2,
            clock=BusinessClock(),
        )


@contextmanager
def running_harvest(directory: Path) -> Iterator[Vendor]:
    server = HarvestServer(
        store=RecordStore(journal=directory / "harvest.jsonl"),
        clock=SandboxClock(),
        token="token",
        account="17",
        requests_max=1000,
    )
    yield from _running("harvest", server.answer, harvest.error_answer)


@contextmanager
def running_hubspot(directory: Path) -> Iterator[Vendor]:
    clock = SandboxClock()
    server = HubSpotServer(
        store=RecordStore(journal=directory / "hubspot.jsonl"),
        clock=clock,
        token="token",
        webhooks=Webhooks(secret="hook", clock=clock, app_id=1, portal_id=2),
        searches_max=100,
    )
    yield from _running("hubspot", server.answer, hubspot.error_answer)


@contextmanager
def running_service_desk(directory: Path, *, may_be_refused: bool = False) -> Iterator[Vendor]:
    server = ServiceDeskServer(
        store=RecordStore(journal=directory / "service-desk.jsonl"),
        clock=SandboxClock(),
        email="tieline@example.com",
        token="token",
        requests_max=1000,
    )
    server.control.load(STANDARD)
    yield from _running(
        "jira_service", server.answer, service_desk.error_answer, may_be_refused=may_be_refused
    )


def _running(
    name: str, answer: Answering, error_answer: ErrorAnswer, *, may_be_refused: bool = False
) -> Iterator[Vendor]:
    exchanges: list[Exchange] = []
    front = Front(
        answer=answer,
        injector=FaultInjector(name="vendor", plan={}, log=None),
        control_token="control",
        error_answer=error_answer,
        watch=exchanges.append,
    )
    with _serving(front.deliver) as url:
        yield Vendor(url=url, front=front, exchanges=exchanges)
    hold(exchanges, vendor=name, may_be_refused=may_be_refused)


@contextmanager
def _serving(deliver: Delivering) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(deliver), loop).result(timeout=10)
    try:
        yield f"http://127.0.0.1:{port_of(server)}"
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    current = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not current]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)

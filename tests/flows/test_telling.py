"""Events reach a real receiver over HTTP, signed, in order, and once more rather than never."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tieline.app import ConfiguredConnectors, InstalledSystems
from tieline.casework import list_cases
from tieline.runtime.budget import Budgets
from tieline.runtime.clock import BusinessClock
from tieline.runtime.database import Database
from tieline.runtime.outbox import publish
from tieline.runtime.secrets import Secrets, open_master_key, store_secret
from tieline.services.telling import NOT_HEARD, Telling, tell_again

KEY = b"twenty-four bytes or more"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass
class Ear:
    """A receiver that checks signatures by itself and answers as it is told."""

    statuses: list[int] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    forged: int = 0
    url: str = ""

    def take(self, headers: dict[str, str], body: bytes) -> int:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mine = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        if headers["webhook-signature"] != f"v1,{mine}":
            self.forged += 1
            return 401
        self.heard.append(json.loads(body))
        self.headers.append(headers)
        return self.statuses.pop(0) if self.statuses else 204


@pytest.fixture
def ear() -> Iterator[Ear]:
    listening = Ear()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = listening.take(headers, body)
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "40")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    listening.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield listening
    server.shutdown()
    server.server_close()
    thread.join()


class Town:
    """An installation with one connection that hears events."""

    def __init__(self, worker: Database, ear: Ear, folder: Path) -> None:
        self.worker = worker
        key = open_master_key(secrets_directory=folder)
        budgets = Budgets(database=worker)
        self.telling = Telling(
            database=worker,
            connectors=ConfiguredConnectors(
                database=worker, secrets=Secrets(database=worker, key=key), budgets=budgets
            ),
            clock=BusinessClock(anchor=NOW, started_at=datetime.now(UTC)),
        )
        with worker.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode, config)"
                " VALUES ('bus', 'webhook', 'events', 'act', %s)",
                (Jsonb({"base_url": ear.url}),),
            )
            store_secret(
                connection, key=key, connection_key="bus", name="signing_secret", value=SECRET
            )

    def happen(self, type_: str, *, subject: str = "1") -> None:
        with self.worker.transaction() as connection:
            publish(
                connection,
                type=type_,
                subject_kind="deal",
                subject_id=subject,
                entity_code="EW-DE",
                occurred_at=NOW,
                recorded_at=NOW,
                correlation_id="way-7",
                data={"seconds": 3600},
            )

    def at_once(self) -> None:
        with self.worker.transaction() as connection:
            connection.execute("UPDATE outbox SET due_at = clock_timestamp()")
            connection.execute(
                "UPDATE connection_budget SET paused_until = '-infinity', open_until = '-infinity'"
            )

    def cases(self) -> list[str]:
        with self.worker.transaction() as connection:
            found = list_cases(connection, state="open")
        return [case.thing_key for case in found if case.reason == NOT_HEARD]


@pytest.fixture
def town(worker_database: Database, ear: Ear, tmp_path: Path) -> Town:
    return Town(worker_database, ear, tmp_path / "secrets")


class TestTelling:
    def test_sends_a_signed_cloud_event(self, town: Town, ear: Ear) -> None:
        town.happen("deal.won")

        assert town.telling.tell() == 1
        assert town.telling.tell() == 0
        (event,) = ear.heard
        assert ear.forged == 0
        assert event["id"] == ear.headers[0]["webhook-id"]
        assert {name: event[name] for name in ("specversion", "type", "subject", "data")} == {
            "specversion": "1.0",
            "type": "deal.won",
            "subject": "deal:1",
            "data": {"seconds": 3600},
        }
        assert (event["correlationid"], event["legalentity"]) == ("way-7", "EW-DE")

    def test_sends_again_under_the_same_id_after_an_outage(self, town: Town, ear: Ear) -> None:
        ear.statuses = [500]
        town.happen("deal.won")
        town.happen("project.active")

        assert town.telling.tell() == 0
        town.at_once()
        assert town.telling.tell() == 2
        assert [event["type"] for event in ear.heard] == ["deal.won", "deal.won", "project.active"]
        assert ear.heard[0]["id"] == ear.heard[1]["id"]

    def test_waits_as_long_as_the_receiver_asks(self, town: Town, ear: Ear) -> None:
        ear.statuses = [429]
        town.happen("deal.won")
        town.telling.tell()
        with town.worker.transaction() as connection:
            connection.execute("UPDATE outbox SET due_at = clock_timestamp()")

        assert town.telling.tell() == 0
        assert len(ear.heard) == 1

    def test_opens_a_case_for_what_is_refused_and_closes_it_once_it_is_heard(
        self, town: Town, ear: Ear
    ) -> None:
        ear.statuses = [422] * 12
        town.happen("deal.won")
        for _ in range(12):
            town.telling.tell()
            town.at_once()

        assert town.cases() == ["bus"]
        with town.worker.transaction() as connection:
            assert tell_again(connection, connection_key="bus", by="shell:me", now=NOW) == 1
        town.telling.tell()
        assert town.cases() == []

    def test_opens_a_case_when_nobody_listens_for_an_hour(self, town: Town, ear: Ear) -> None:
        ear.statuses = [500, 500]
        town.happen("deal.won")
        town.telling.tell()
        assert town.cases() == []
        with town.worker.transaction() as connection:
            connection.execute("UPDATE outbox SET queued_at = queued_at - interval '2 hours'")
        town.at_once()
        town.telling.tell()

        assert town.cases() == ["bus"]


class TestTheCheck:
    def check(self, url: str, secret: str) -> dict[str, bool]:
        connector = InstalledSystems().build(
            system="webhook",
            connection_key="bus",
            config={"base_url": url, "events": ["deal.won"]},
            secrets={"signing_secret": secret},
        )
        return {item.name: item.is_good for item in connector.check().items}

    def test_sends_an_event_that_the_receiver_takes(self, ear: Ear) -> None:
        assert self.check(ear.url, SECRET) == {
            "signing_secret": True,
            "carries": True,
            "events": True,
            "legal_entities": True,
            "receiver": True,
        }
        assert [event["type"] for event in ear.heard] == ["tieline.checked"]

    def test_says_no_when_the_receiver_knows_another_secret(self, ear: Ear) -> None:
        other = "whsec_" + base64.b64encode(b"another key of 24 bytes!").decode()

        assert self.check(ear.url, other)["receiver"] is False

    @pytest.mark.parametrize("secret", ["", "whsec_", "whsec_kurz", "plain", "whsec_!!"])
    def test_says_no_to_what_is_no_secret(self, ear: Ear, secret: str) -> None:
        assert self.check(ear.url, secret)["signing_secret"] is False
        assert ear.heard == []

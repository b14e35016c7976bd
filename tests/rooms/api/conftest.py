"""The API on a firm of two legal entities, and keys that see one of them, or both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol, cast
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi.testclient import TestClient
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW, Firm
from tests.support.target import FixedClock

from tieline.api import create_api
from tieline.app import InstalledSystems
from tieline.connectors.hubspot import verify_webhook
from tieline.governance import issue_api_key
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.sdk import Hint
from tieline.services.message_text import Speech
from tieline.services.system import System

PEPPER = b"p" * 32
WEBHOOK_SECRET = "hook"
ALL = ("time:read", "time:write", "provisioning:write", "close:write", "cases:write")


class Portal:
    """A connector that takes webhooks, and counts them."""

    secret = WEBHOOK_SECRET
    asked: ClassVar[list[int]] = []

    def read_webhook(
        self, *, method: str, url: str, body: bytes, headers: Mapping[str, str], now: Any
    ) -> Sequence[Hint]:
        self.asked.append(1)
        return verify_webhook(
            method=method, url=url, body=body, headers=headers, secret=self.secret, now=now
        )


class Portals:
    """One connection that takes webhooks, one that does not."""

    def get(self, *, connection_key: str) -> Any:
        if connection_key == "sales":
            return Portal()
        if connection_key == "clock":
            return object()
        raise LookupError(connection_key)


@dataclass(slots=True, kw_only=True)
class House:
    """The API, a firm to call about, and the keys of its callers."""

    client: TestClient
    worker: Database
    keys: dict[str, str] = field(default_factory=dict)
    project: dict[str, Any] = field(default_factory=dict)
    other_project: dict[str, Any] = field(default_factory=dict)

    def get(self, address: str, *, key: str = "de", **words: Any) -> httpx.Response:
        return self.client.get(address, headers=self._headers(key), params=words)

    def post(
        self, address: str, body: Any = None, *, key: str = "de", once: str | None = None
    ) -> httpx.Response:
        headers = self._headers(key) | {"Idempotency-Key": once or uuid4().hex}
        return self.client.post(address, json=body, headers=headers)

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.worker.transaction() as connection:
            return connection.execute(statement, values).fetchall()

    def _headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[key]}"}


@pytest.fixture
def house(database: Dsns, worker_database: Database) -> Iterator[House]:
    web = Database(database.web, pool_max=4).open()
    judge = Database(database.judge, pool_max=2).open()
    system = SimpleNamespace(
        database=worker_database,
        web_database=web,
        judge_database=judge,
        pepper=PEPPER,
        clock=FixedClock(NOW),
        connectors=Portals(),
        systems=InstalledSystems(),
        speech=Speech(say_reason=str, say_system=str, web_url=""),  # type: ignore[arg-type]
        master_key=SimpleNamespace(derive=lambda purpose: purpose.encode().ljust(32)),
    )
    with TestClient(create_api(cast(System, system)), raise_server_exceptions=False) as client:
        made = House(client=client, worker=worker_database)
        with worker_database.transaction() as connection:
            firm = Firm(connection).found()
            made.project = firm.project("P-DE")
            made.other_project = firm.project("P-UK", entity_code="UK")
            for name, by, scopes, entities in (
                ("de", "ann", ALL, ("DE",)),
                ("de-second", "bob", ALL, ("DE",)),
                ("uk", "cyd", ALL, ("UK",)),
                ("all", "dan", (*ALL, "admin"), ("DE", "UK")),
                ("reader", "eve", ("time:read",), ("DE",)),
                ("blind", "fay", ALL, ()),
            ):
                issued = issue_api_key(
                    connection, name=name, scopes=scopes, entities=entities, pepper=PEPPER,
                    by=by, now=NOW,
                )  # fmt: skip
                made.keys[name] = issued.secret
        yield made
    web.close()
    judge.close()


@pytest.fixture
def held(house: House) -> UUID:
    """Hold one hour of the German entity; return its case."""
    return _hold(house, "h-1", house.project)


@pytest.fixture
def held_elsewhere(house: House) -> UUID:
    """Hold one hour of the British entity; return its case."""
    return _hold(house, "h-2", house.other_project)


def _hold(house: House, source_ref: str, project: dict[str, Any]) -> UUID:
    from tieline.casework.upkeep import sync_time_cases

    with house.worker.transaction() as connection:
        firm = Firm(connection)
        row = connection.execute("SELECT release_id FROM release").fetchone()
        assert row is not None
        firm.release_id = row["release_id"]
        firm.batch_id = house.rows("SELECT batch_id FROM intake_batch")[0]["batch_id"]
        firm.periods = {
            (each["entity_code"], each["period_code"]): each["period_id"]
            for each in house.rows("SELECT entity_code, period_code, period_id FROM fiscal_period")
        }
        firm.client_id = house.rows("SELECT client_id FROM client")[0]["client_id"]
        firm.person_id = house.rows("SELECT person_id FROM person")[0]["person_id"]
        if not connection.execute("SELECT 1 FROM rule").fetchone():
            firm.rule("time.narrative_missing", thing="entry")
        entry_id = firm.entry(source_ref)
        firm.judge(entry_id, "held", "time.narrative_missing", project=project)
        sync_time_cases(connection, now=NOW, correlation_id="c")
        found = connection.execute(
            "SELECT case_id FROM case_member WHERE entry_id = %s", (entry_id,)
        ).fetchone()
    assert found is not None
    case_id: UUID = found["case_id"]
    return case_id


class HasRows(Protocol):
    """A house of any kind that can be asked what it holds."""

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]: ...


def add_plan(
    house: HasRows, *, entity_code: str, deal_ref: str, state: str = "ready", blockers: Any = ()
) -> UUID:
    """Store the plan of a won deal."""
    rows = house.rows(
        "INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state, entity_code,"
        " plan, blockers, won_at, planned_at, known_at, correlation_id)"
        " VALUES ('sales', 0, %s, %s, %s, %s, %s, %s, %s, %s, 'c') RETURNING plan_id",
        deal_ref, state, entity_code, Jsonb({"steps": [], "inputs": "x"}), Jsonb(list(blockers)),
        NOW, NOW, NOW,
    )  # fmt: skip
    plan_id: UUID = rows[0]["plan_id"]
    return plan_id

"""The API tells keys apart, sees their legal entities only, and answers bad input in problems."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from tests.support.scene import NOW, approve_shipped_rules, build_scene, complete_scene
from tests.support.target import FixedClock

from tieline.api import create_api
from tieline.governance import issue_api_key
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.system import System

_PEPPER = b"p" * 32
_ENTRY = {
    "connection_key": "harvest",
    "source_ref": "new",
    "person_ref": "u1",
    "project_ref": "p1",
    "task_ref": "t1",
    "work_date": "2026-10-05",
    "seconds": 3600,
    "is_billable": True,
    "is_approved": True,
    "narrative_length": 10,
}


@pytest.fixture
def opened(database: Dsns, worker_database: Database) -> Iterator[tuple[TestClient, str]]:
    owner = Database(database.owner, pool_max=2).open()
    web = Database(database.web, pool_max=2).open()
    judge = Database(database.judge, pool_max=2).open()
    with owner.transaction() as connection:
        scene = build_scene(connection)
        complete_scene(connection, scene)
        connection.execute("UPDATE release SET state = 'superseded'")
        approve_shipped_rules(connection)
    with worker_database.transaction() as connection:
        key = issue_api_key(
            connection,
            name="test",
            scopes=("time:read", "cases:write"),
            entities=("HR-DE",),
            pepper=_PEPPER,
            by="ann",
            now=NOW,
        )
    system = SimpleNamespace(
        database=worker_database,
        web_database=web,
        judge_database=judge,
        pepper=_PEPPER,
        clock=FixedClock(NOW),
    )
    with TestClient(create_api(cast(System, system)), raise_server_exceptions=False) as client:
        yield client, key.secret
    for each in (owner, web, judge):
        each.close()


def _validate(client: TestClient, secret: str, content: Any) -> Any:
    return client.post(
        "/v1/time-entries:validate",
        content=content if isinstance(content, bytes) else None,
        json=None if isinstance(content, bytes) else content,
        headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"},
    )


class TestValidating:
    def test_clears_an_hour_that_is_right(self, opened: tuple[TestClient, str]) -> None:
        client, secret = opened

        answer = _validate(client, secret, {"entries": [_ENTRY]})

        assert answer.status_code == 200
        assert answer.json()["verdicts"][0] | {"reasons": []} == {
            "source_ref": "new",
            "outcome": "cleared",
            "amount": "150.00",
            "currency": "EUR",
            "reasons": [],
        }

    def test_names_every_reason_of_an_hour_that_is_wrong(
        self, opened: tuple[TestClient, str]
    ) -> None:
        client, secret = opened

        answer = _validate(
            client, secret, {"entries": [{**_ENTRY, "seconds": 0, "narrative_length": 0}]}
        )

        codes = {reason["code"] for reason in answer.json()["verdicts"][0]["reasons"]}
        assert {"time.duration_not_positive", "time.narrative_missing"} <= codes

    @pytest.mark.parametrize(
        "content",
        [
            b'{"entries": [' + b"[" * 100_000,
            b'{"entries": "\\u0000"}',
            b'{"entries": [], "tenant_id": 1}',
            b"not json",
            b'{"entries": [{"seconds": NaN}]}',
            b'{"entries": [{"seconds": 99999999999999999999}]}',
            b"\xff\xfe",
        ],
    )
    def test_answers_bad_input_with_a_problem(
        self, opened: tuple[TestClient, str], content: bytes
    ) -> None:
        client, secret = opened

        answer = _validate(client, secret, content)

        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"].startswith("application/problem+json")

    def test_refuses_a_body_that_is_too_large(self, opened: tuple[TestClient, str]) -> None:
        client, secret = opened

        assert _validate(client, secret, b" " * (1024 * 1024 + 1)).status_code == 413


class TestKeys:
    def test_are_needed(self, opened: tuple[TestClient, str]) -> None:
        client, _ = opened

        assert client.get("/v1/cases").status_code == 401
        assert _validate(client, "wrong", {"entries": [_ENTRY]}).status_code == 401

    def test_see_their_own_legal_entities(self, opened: tuple[TestClient, str]) -> None:
        client, secret = opened
        headers = {"Authorization": f"Bearer {secret}"}

        assert client.get("/v1/close", headers=headers).status_code == 200
        assert client.get("/v1/cases", headers=headers).json() == {"cases": []}
        assert client.get("/v1/readiness", headers=headers).status_code == 200

    def test_metrics_and_health_are_open(self, opened: tuple[TestClient, str]) -> None:
        client, _ = opened

        assert client.get("/healthz").json()["status"] == "ok"
        assert "tieline" in client.get("/metrics").text

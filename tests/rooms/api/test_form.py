"""Whatever is sent, the answer is a problem document, never a stack trace."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from typing import Any

import pytest
from tests.rooms.casework.hand_made_firm import NOW

from tieline.api import gate

from .conftest import WEBHOOK_SECRET, House

_MEDIA_TYPE = "application/problem+json"


class TestEveryError:
    @pytest.mark.parametrize(
        ("method", "address", "status"),
        [
            ("GET", "/v1/nothing", 404),
            ("GET", "/", 404),
            ("DELETE", "/v1/cases", 405),
            ("PUT", "/healthz", 405),
            ("GET", "/v1/cases/not-a-uuid", 422),
            ("GET", "/v1/cases?limit=0", 422),
            ("GET", "/v1/cases?limit=99999999999999999999999", 422),
            ("GET", "/v1/cases?reason=%00", 400),
            ("GET", "/v1/cases/%00", 400),
            ("GET", "/v1/explain/nothing?ref=x", 422),
            ("GET", "/v1/explain/hour?ref=" + "x" * 300, 422),
            ("GET", "/v1/cases?reason=%ff%fe", 200),
        ],
    )
    def test_is_a_problem_document(
        self, house: House, method: str, address: str, status: int
    ) -> None:
        answer = house.client.request(
            method, address, headers={"Authorization": f"Bearer {house.keys['de']}"}
        )

        assert answer.status_code == status
        # Refused at the gate or answered behind it: nobody keeps it, or takes it for something else.
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        if status != 200:
            assert answer.headers["content-type"] == _MEDIA_TYPE
            problem = answer.json()
            assert problem["status"] == status
            assert problem["trace_id"]
            assert "Traceback" not in answer.text

    def test_a_method_that_is_not_there_names_those_that_are(self, house: House) -> None:
        assert "GET" in house.client.delete("/healthz").headers["allow"]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b'{"reason": NaN}', 400),
            (b'{"reason": Infinity}', 400),
            (b'{"reason": -Infinity}', 400),
            (b'{"reason": ' + b"9" * 5000 + b"}", 400),
            (b'{"reason": "\\u0000"}', 400),
            (b'{"reason": "a\x00b"}', 400),
            (b'{"reason": "\\ud800"}', 422),
            (b'{"reason": "  "}', 422),
            (b'{"reason": 5}', 422),
            (b'{"reason": "x", "more": 1}', 422),
            (b"[" * 30 + b"]" * 30, 400),
            (b"{", 400),
            (b"null", 422),
            (b"", 422),
            (b'{"reason": "' + b"x" * 3000 + b'"}', 422),
        ],
    )
    def test_a_bad_body_is_refused(self, house: House, body: bytes, status: int) -> None:
        answer = house.client.post(
            "/v1/cases/00000000-0000-0000-0000-000000000000:replay",
            content=body,
            headers={
                "Authorization": f"Bearer {house.keys['de']}",
                "Content-Type": "application/json; charset=utf-8",
                "Idempotency-Key": "k",
            },
        )

        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == _MEDIA_TYPE

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
    def test_a_body_of_another_kind_is_refused(self, house: House, kind: str) -> None:
        answer = house.client.post(
            "/v1/time-entries:validate",
            content=b'{"entries": []}',
            headers={"Authorization": f"Bearer {house.keys['de']}", "Content-Type": kind},
        )

        assert (answer.status_code, answer.json()["code"]) == (415, "request.media_type")

    def test_a_database_that_does_not_answer_is_told(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import psycopg

        def broken(*_: object, **__: object) -> None:
            raise psycopg.OperationalError("could not connect to server: secret words")

        monkeypatch.setattr("tieline.runtime.database.Database.transaction", broken)

        answer = house.client.get("/healthz")

        assert answer.status_code == 503
        assert "secret" not in answer.text


class TestWebhooks:
    def test_are_answered_after_the_hint_is_committed(self, house: House) -> None:
        answer = _send(house, [_event(7), _event(7), _event(8)])

        assert answer == (200, {"marked": 2})
        marks = house.rows("SELECT connection_key, object, source_ref FROM dirty_mark ORDER BY 3")
        assert marks == [
            {"connection_key": "sales", "object": "deals", "source_ref": "7"},
            {"connection_key": "sales", "object": "deals", "source_ref": "8"},
        ]
        assert house.rows("SELECT count(*) AS n FROM inbox")[0]["n"] == 2

    def test_that_come_twice_mark_again(self, house: House) -> None:
        _send(house, [_event(7)])
        house.rows("DELETE FROM dirty_mark RETURNING 1")

        assert _send(house, [_event(7)]) == (200, {"marked": 1})
        assert len(house.rows("SELECT 1 FROM dirty_mark")) == 1

    def test_without_a_good_signature_mark_nothing(self, house: House) -> None:
        status, problem = _send(house, [_event(7)], secret="another")

        assert (status, problem["code"]) == (401, "webhook.signature_refused")
        assert house.rows("SELECT 1 FROM dirty_mark") == []

    def test_outside_the_replay_window_mark_nothing(self, house: House) -> None:
        status, _ = _send(house, [_event(7)], seconds_ago=301)

        assert status == 401
        assert house.rows("SELECT 1 FROM dirty_mark") == []

    @pytest.mark.parametrize("connection_key", ["clock", "none"])
    def test_to_where_none_are_expected_are_refused(
        self, house: House, connection_key: str
    ) -> None:
        status, problem = _send(house, [_event(7)], connection_key=connection_key)

        assert (status, problem["code"]) == (404, "webhook.unknown")

    def test_that_are_signed_and_unreadable_are_refused(self, house: House) -> None:
        status, _ = _send(house, {"not": "a list"})

        assert status == 400


def _event(number: int) -> dict[str, object]:
    return {
        "eventId": number,
        "subscriptionType": "deal.propertyChange",
        "objectId": number,
    }


def _send(
    house: House,
    events: object,
    *,
    secret: str = WEBHOOK_SECRET,
    seconds_ago: int = 0,
    connection_key: str = "sales",
) -> tuple[int, dict[str, object]]:
    body = json.dumps(events).encode()
    address = f"/v1/webhooks/{connection_key}"
    timestamp = str(int(NOW.timestamp() * 1000) - seconds_ago * 1000)
    signed = b"POST" + f"http://testserver{address}".encode() + body + timestamp.encode()
    signature = base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()
    answer = house.client.post(
        address,
        content=body,
        headers={
            "Content-Type": "application/json",
            "X-HubSpot-Signature-v3": signature,
            "X-HubSpot-Request-Timestamp": timestamp,
        },
    )
    return answer.status_code, answer.json()


class TestALargeBody:
    @pytest.mark.parametrize(
        ("body", "is_deep"),
        [
            (b"[" * 20 + b"]" * 20, False),
            (b"[" * 21 + b"]" * 21, True),
            (b'[{"a":' * 10 + b"1" + b"}]" * 10, False),
            (b'[{"a":' * 11 + b"1" + b"}]" * 11, True),
            (b"[" + b"[]," * 100_000 + b"[]]", False),
            (b'{"a": "' + b"[" * 50 + b'\\"' + b"[" * 50 + b'"}', False),
            (b'"' + b'\\"' * 500_000 + b"\\", False),
            (b"[" * 1_000_000, True),
        ],
    )
    def test_is_as_deep_as_its_brackets_outside_of_strings(
        self, body: bytes, is_deep: bool
    ) -> None:
        assert gate.is_too_deep(body) is is_deep

    def test_is_looked_at_beside_the_others(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        places, check = [], gate.check_body

        def look(scope: Any, body: bytes) -> None:
            places.append(threading.current_thread().name.startswith("asyncio_"))
            check(scope, body)

        monkeypatch.setattr(gate, "check_body", look)

        small, large = (
            house.post("/v1/cases:preview-again", {"case_ids": ["x" * length]}).status_code
            for length in (10, 100_000)
        )

        assert (small, large) == (422, 422)
        assert places == [False, True]

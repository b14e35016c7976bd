"""The guard sees every call of a simulated vendor, and says what is not described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.promises.connectors.guard import NotDescribed, descriptions, each_record_once, hold
from tests.promises.connectors.vendors import (
    Vendor,
    running_harvest,
    running_hubspot,
    running_service_desk,
)
from tieline.sandbox.exchanges import Exchange
from tieline.sandbox.wire import Request, Response, json_response

descriptions()

_HARVEST = {"authorization": "Bearer token", "harvest-account-id": "17", "user-agent": "test"}
_HUBSPOT = {"authorization": "Bearer token"}
_CLIENTS = "/v2/clients"
_DESK = "/rest/servicedeskapi"
_WHO = ("tieline@example.com", "token")


@pytest.fixture
def time_tool(tmp_path: Path) -> Iterator[Vendor]:
    with running_harvest(tmp_path) as vendor:
        yield vendor


def _told(response: Response, *, target: str = _CLIENTS) -> list[Exchange]:
    return [Exchange(request=Request(method="GET", target=target), response=response)]


def _asked(vendor: Vendor, query: str, *, after: dict[str, Any]) -> httpx.Response:
    vendor.do("faults", after)
    return httpx.get(vendor.url + _CLIENTS + query, headers=_HARVEST)


class TestWhatIsAsked:
    @pytest.mark.parametrize(
        "call",
        [
            {"method": "POST", "url": "/v2/clients", "json": {"name": "A", "mood": "good"}},
            {"method": "POST", "url": "/v2/clients", "json": {"name": 7}},
            {"method": "GET", "url": "/v2/clients", "params": {"mood": "good"}},
            {"method": "GET", "url": "/v2/moods"},
        ],
        ids=["property", "kind of value", "query", "address"],
    )
    def test_must_be_described_whoever_asks_and_whatever_the_answer(
        self, call: dict[str, Any], tmp_path: Path
    ) -> None:
        with (
            pytest.raises(NotDescribed, match=r"mood|name: 7 is not"),
            running_harvest(tmp_path) as vendor,
        ):
            httpx.request(**{**call, "url": vendor.url + call["url"]}, headers=_HARVEST)

    @pytest.mark.parametrize(
        "call",
        [
            {
                "method": "PATCH",
                "url": "/crm/v3/objects/0-3/1",
                "json": {"properties": {"dealname": "A"}, "mood": "good"},
            },
            {"method": "GET", "url": "/crm/v3/owners", "params": {"mood": "good"}},
        ],
        ids=["property", "query"],
    )
    def test_is_held_against_the_crm_too(self, call: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(NotDescribed, match="mood"), running_hubspot(tmp_path) as vendor:
            httpx.request(**{**call, "url": vendor.url + call["url"]}, headers=_HUBSPOT)

    @pytest.mark.parametrize(
        "call",
        [
            {"method": "POST", "url": "/request", "json": {"serviceDeskId": "10", "mood": "good"}},
            {"method": "POST", "url": "/request/FIN-1/comment", "json": {"public": "mood"}},
            {"method": "GET", "url": "/requesttype", "params": {"mood": "good"}},
            {"method": "GET", "url": "/moods"},
        ],
        ids=["property", "kind of value", "query", "address"],
    )
    def test_is_held_against_the_service_desk_too(
        self, call: dict[str, Any], tmp_path: Path
    ) -> None:
        with pytest.raises(NotDescribed, match="mood"), running_service_desk(tmp_path) as vendor:
            httpx.request(**{**call, "url": vendor.url + _DESK + call["url"]}, auth=_WHO)

    def test_is_seen_although_a_fault_came_before_the_vendor(self, tmp_path: Path) -> None:
        busy = {"add": [{"name": "f", "kind": "refuse_503_before"}]}

        with pytest.raises(NotDescribed, match="mood"), running_harvest(tmp_path) as vendor:
            assert _asked(vendor, "?mood=good", after=busy).status_code == 503


class TestWhatIsTold:
    @pytest.mark.parametrize("status", [200, 201, 400, 422, 429, 503])
    def test_must_be_described_whatever_the_status(self, status: int) -> None:
        with pytest.raises(NotDescribed, match=f"reply {status}"):
            hold(_told(json_response({"message": 7}, status=status)), vendor="harvest")

    def test_may_hold_no_more_than_is_described(self) -> None:
        refused = json_response({"message": "no", "mood": "bad"}, status=422)

        with pytest.raises(NotDescribed, match="/mood"):
            hold(_told(refused), vendor="harvest")

    def test_may_hold_no_more_than_is_described_however_deep(self) -> None:
        """Parts of the service desk's schemas stand behind allOf."""
        person = {"accountId": "1", "_links": {"self": "http://a", "mood": "bad"}}
        shown = json_response({"issueKey": "FIN-1", "reporter": person})

        with pytest.raises(NotDescribed, match="mood"):
            hold(_told(shown, target="/rest/servicedeskapi/request/FIN-1"), vendor="jira_service")

    def test_must_be_json(self) -> None:
        garbled = Response(
            status=503, headers={"content-type": "application/json"}, body=b"<html>busy</html>"
        )

        with pytest.raises(NotDescribed, match="reply 503"):
            hold(_told(garbled), vendor="harvest")

    @pytest.mark.parametrize("kind", ["refuse_503_before", "rate_limit_429"])
    def test_is_described_too_where_a_fault_refuses(self, time_tool: Vendor, kind: str) -> None:
        answer = _asked(time_tool, "", after={"add": [{"name": "f", "kind": kind}]})

        (exchange,) = time_tool.exchanges
        assert exchange.response is not None
        assert exchange.response.body == answer.content

    @pytest.mark.parametrize("kind", ["answer_lost", "truncated_body"])
    def test_is_checked_whole_where_a_fault_loses_or_cuts_it(
        self, time_tool: Vendor, kind: str
    ) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            _asked(time_tool, "", after={"add": [{"name": "f", "kind": kind}]})

        own, delivered = time_tool.exchanges
        assert own.response is not None
        assert json.loads(own.response.body)["clients"] == []
        assert delivered.response is None


class TestWhatIsToldAgain:
    def test_is_held_once_and_what_is_new_in_a_page_still_is(self) -> None:
        first, second = (
            Exchange(
                request=Request(method="GET", target="/v2/users"),
                response=Response(status=200, body=body),
            )
            for body in (
                b'{"users":[{"id":1,"rate":1.50},{"id":2}],"page":1}',
                b'{"users":[{"id":1,"rate":1.50},{"id":3}],"page":1}',
            )
        )

        held = [each.response for each in each_record_once([first, second, second])]

        assert [each.body for each in held if each is not None] == [
            b'{"users":[{"id":1,"rate":1.50},{"id":2}],"page":1}',
            b'{"users":[{"id":3}],"page":1}',
            b'{"users":[{"id":1,"rate":1.50}],"page":1}',
        ]

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.promises.connectors.guard import read_exchanges
from tests.rooms.sandbox.serving import serving

from tieline.sandbox.exchanges import Exchange, kept_exchanges
from tieline.sandbox.faults import FaultInjector, FaultPlanError
from tieline.sandbox.front import Front, plain_error, upstream
from tieline.sandbox.wire import Delivery, Request, Response, json_response

_TOKEN = {"X-Sandbox-Token": "control"}


@dataclass(slots=True)
class _Vendor:
    """Keep what was posted, and answer reads page by page, two numbers a page."""

    posted: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])

    async def answer(self, request: Request) -> Response:
        if request.method == "POST":
            self.posted.append(request.body)
            return json_response({"id": 7, "result": len(self.posted)})
        page = int(request.query.get("page", "1"))
        shown = self.numbers[2 * page - 2 : 2 * page]
        return json_response({"numbers": shown, "page": page, "total_entries": len(self.numbers)})


@dataclass(slots=True)
class _Stage:
    vendor: _Vendor
    client: httpx.Client
    log: Path

    def plan(self, **rule: Any) -> None:
        answer = self.client.post("/_sandbox/faults", json={"add": [rule]}, headers=_TOKEN)
        assert answer.status_code == 200, answer.text

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = self.client.get("/_sandbox/faults", headers=_TOKEN).json()
        return counts

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[_Stage]:
    """A front of its own before a vendor that is another server, as before the ERP."""
    vendor = _Vendor()
    log = tmp_path / "faults.jsonl"

    async def deliver(request: Request) -> Delivery:
        return Delivery(response=await vendor.answer(request))

    with serving(deliver) as behind:
        front = Front(
            answer=upstream(behind),
            injector=FaultInjector(name="vendor", plan={"seed": 1}, log=log),
            control_token="control",
            error_answer=plain_error,
        )
        with serving(front.deliver) as address, httpx.Client(base_url=address) as client:
            yield _Stage(vendor=vendor, client=client, log=log)


class TestFront:
    def test_passes_on_what_no_rule_selects(self, stage: _Stage) -> None:
        answers = [stage.client.post("/rpc", json={"n": n}).json()["result"] for n in range(3)]

        assert answers == [1, 2, 3]
        assert stage.counts() == {}

    def test_refuses_before_the_vendor_hears_of_it(self, stage: _Stage) -> None:
        stage.plan(name="busy", kind="refuse_503_before", method="POST", max_count=2)

        statuses = [stage.client.post("/rpc", json={}).status_code for _ in range(3)]

        assert statuses == [503, 503, 200]
        assert len(stage.vendor.posted) == 1
        assert stage.counts() == {"refuse_503_before": 2}

    def test_tells_how_long_to_wait_when_it_limits_the_rate(self, stage: _Stage) -> None:
        stage.plan(name="limit", kind="rate_limit_429", retry_after_seconds=4, max_count=1)

        answer = stage.client.post("/rpc", json={})

        assert (answer.status_code, answer.headers["retry-after"]) == (429, "4")
        assert stage.vendor.posted == []

    def test_loses_the_answer_after_the_vendor_committed(self, stage: _Stage) -> None:
        stage.plan(name="lost", kind="answer_lost", body=r'"create"', max_count=1)

        with pytest.raises(httpx.RemoteProtocolError):
            stage.client.post("/rpc", json={"method": "create"})

        assert len(stage.vendor.posted) == 1
        assert stage.counts() == {"answer_lost": 1}

    def test_commits_after_the_client_gave_up(self, stage: _Stage) -> None:
        stage.plan(name="late", kind="late_commit", delay_ms=400, hold_ms=50, max_count=1)

        with pytest.raises(httpx.RemoteProtocolError):
            stage.client.post("/rpc", json={})
        committed_at_once = len(stage.vendor.posted)
        time.sleep(0.7)

        assert (committed_at_once, len(stage.vendor.posted)) == (0, 1)
        assert [line["event"] for line in stage.lines()] == ["fault", "late_commit.forwarded"]

    def test_cuts_the_body_of_an_answer_that_was_committed(self, stage: _Stage) -> None:
        stage.plan(name="cut", kind="truncated_body", keep_bytes=5, max_count=1)

        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            stage.client.post("/rpc", json={})

        assert len(stage.vendor.posted) == 1

    def test_replays_an_earlier_answer_of_the_same_read(self, stage: _Stage) -> None:
        stage.plan(name="stale", kind="stale_read", method="GET", occurrences=[2])
        before = stage.client.get("/list?updated_since=2026-10-01").json()
        stage.vendor.numbers = [8, 9]

        replayed = stage.client.get("/list?updated_since=2026-10-02").json()
        fresh = stage.client.get("/list?updated_since=2026-10-02").json()

        assert replayed == before
        assert fresh["numbers"] == [8, 9]

    def test_keeps_a_stale_read_for_later_when_there_is_nothing_to_replay(
        self, stage: _Stage
    ) -> None:
        stage.plan(name="stale", kind="stale_read", method="GET", occurrences=[1])

        stage.client.get("/list")
        stage.vendor.numbers = []
        replayed = stage.client.get("/list").json()

        assert replayed["numbers"] == [1, 2]
        assert stage.counts() == {"stale_read": 1}

    def test_gives_a_replayed_call_its_own_number(self, stage: _Stage) -> None:
        stage.plan(name="stale", kind="stale_read", body="search_read", occurrences=[2])
        stage.client.post("/rpc", json={"id": 7, "method": "search_read"})

        replayed = stage.client.post("/rpc", json={"id": 9, "method": "search_read"}).json()

        assert replayed == {"id": 9, "result": 1}
        assert len(stage.vendor.posted) == 1

    def test_skips_a_page_and_leaves_the_total_as_it_is(self, stage: _Stage) -> None:
        stage.plan(name="skip", kind="skipped_page", method="GET", max_count=1)

        answer = stage.client.get("/list?page=2").json()

        assert answer == {"numbers": [5], "page": 3, "total_entries": 5}

    def test_shows_a_page_twice(self, stage: _Stage) -> None:
        stage.plan(name="twice", kind="duplicate_page", method="GET", max_count=1)

        answer = stage.client.get("/list?page=2").json()

        assert answer == {"numbers": [1, 2], "page": 2, "total_entries": 5}

    def test_doubles_the_records_of_a_first_page(self, stage: _Stage) -> None:
        stage.plan(name="twice", kind="duplicate_page", method="GET", max_count=1)

        assert stage.client.get("/list").json()["numbers"] == [1, 2, 1, 2]

    def test_hits_exactly_the_occurrences_named(self, stage: _Stage) -> None:
        stage.plan(name="some", kind="refuse_503_before", method="POST", occurrences=[2, 4])

        statuses = [stage.client.post("/rpc", json={}).status_code for _ in range(5)]

        assert statuses == [200, 503, 200, 503, 200]

    def test_rests_while_a_rule_is_disarmed(self, stage: _Stage) -> None:
        stage.plan(name="busy", kind="refuse_503_before", armed=False)
        quiet = stage.client.post("/rpc", json={}).status_code
        stage.client.post("/_sandbox/faults", json={"arm": ["busy"]}, headers=_TOKEN)

        loud = stage.client.post("/rpc", json={}).status_code

        assert (quiet, loud) == (200, 503)

    def test_refuses_control_without_the_token(self, stage: _Stage) -> None:
        assert stage.client.get("/_sandbox/faults").status_code == 401
        assert stage.client.post("/_sandbox/faults", json={}).status_code == 401

    def test_refuses_a_rule_it_does_not_understand(self, stage: _Stage) -> None:
        rule = {"name": "x", "kind": "explode"}

        answer = stage.client.post("/_sandbox/faults", json={"add": [rule]}, headers=_TOKEN)

        assert answer.status_code == 422
        assert "explode" in answer.json()["message"]

    def test_journals_every_fault_with_its_rule(self, stage: _Stage) -> None:
        stage.plan(name="lost", kind="answer_lost", method="POST", max_count=1)
        with pytest.raises(httpx.RemoteProtocolError):
            stage.client.post("/rpc", json={})

        (line,) = stage.lines()

        assert (line["front"], line["rule"], line["status"]) == ("vendor", "lost", 200)


class TestKeptExchanges:
    def test_hold_bodies_and_their_types_but_no_secret(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIELINE_SANDBOX_RECORD", str(tmp_path))
        keep = kept_exchanges(name="vendor")
        headers = {"content-type": "application/json", "authorization": "Bearer secret"}
        request = Request(
            method="POST", target="/a?b=c", headers=headers, body=b'{"n": "\xc3\xa4"}'
        )
        keep(Exchange(request=request, response=json_response({"id": 7}, status=201)))
        keep(Exchange(request=request, response=None))

        whole, lost = read_exchanges(tmp_path / "vendor.jsonl")

        assert whole.response is not None
        assert (whole.response.status, whole.response.body) == (201, b'{"id":7}')
        assert (lost.request.body, lost.request.target) == (request.body, "/a?b=c")
        assert lost.response is None
        assert "secret" not in (tmp_path / "vendor.jsonl").read_text()


class TestFaultInjector:
    def test_follows_the_seed(self) -> None:
        first, second, other = (_hits(seed=seed) for seed in (3, 3, 4))

        assert first == second
        assert first != other

    def test_counts_what_an_earlier_process_injected(self, tmp_path: Path) -> None:
        log = tmp_path / "faults.jsonl"
        rule = {"name": "busy", "kind": "refuse_503_before", "max_count": 1}
        before = FaultInjector(name="x", plan={"rules": [rule]}, log=log)
        request = Request(method="GET", target="/")
        claim = before.claim(request)
        assert claim is not None
        before.injected(claim, request)

        after = FaultInjector(name="x", plan={}, log=log)

        assert after.counts() == {"refuse_503_before": 1}

    def test_refuses_words_it_does_not_know(self) -> None:
        rule = {"name": "busy", "kind": "slow", "often": True}

        with pytest.raises(FaultPlanError, match="often"):
            FaultInjector(name="x", plan={"rules": [rule]}, log=None)


def _hits(*, seed: int) -> list[bool]:
    rule = {"name": "some", "kind": "answer_lost", "probability": 0.3}
    injector = FaultInjector(name="x", plan={"seed": seed, "rules": [rule]}, log=None)
    return [injector.claim(Request(method="GET", target="/")) is not None for _ in range(60)]

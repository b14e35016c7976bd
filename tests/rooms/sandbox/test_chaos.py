"""What a client meets behind the chaos proxy, and that a seed repeats it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tieline.sandbox.chaos import Chaos, Desk, course_of, read_rules
from tieline.sandbox.faults import FaultPlanError
from tieline.sandbox.wire import Request, port_of

BODY = b"0123456789" * 10
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
HOUR_MS = 3_600_000
PATIENCE_SECONDS, SHORT_PATIENCE_SECONDS = 20, 0.3

Call = Callable[[httpx.AsyncClient, str], Awaitable[Any]]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request as soon as its head is there; one that ends early is told how far it came."""
    with suppress(ConnectionError, asyncio.CancelledError):
        received = b""
        while not received.endswith(b"\r\n\r\n") and (more := await reader.read(100)):
            received += more
        whole = received.endswith(b"\r\n\r\n")
        told = BODY if whole else str(len(received)).encode().ljust(100)
        writer.write(HEAD + told)
        await writer.drain()
        await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def met(
    *rules: Mapping[str, Any],
    seed: int = 0,
    calls: int = 1,
    patience: float = PATIENCE_SECONDS,
    call: Call,
) -> list[Any]:
    """Call through the proxy on a connection for each, and return what came of it."""

    async def scene() -> list[Any]:
        upstream = await asyncio.start_server(answer, "127.0.0.1", 0)
        chaos = Chaos(host="127.0.0.1", port=port_of(upstream))
        chaos.follow({"seed": seed, "rules": rules})
        proxy = await chaos.listen()
        results = []
        for _ in range(calls):
            async with httpx.AsyncClient(timeout=patience) as client:
                try:
                    results.append(await call(client, f"http://127.0.0.1:{port_of(proxy)}/x"))
                except httpx.HTTPError as error:
                    results.append(type(error))
        for server in (proxy, upstream):
            server.close()
            await server.wait_closed()
        current = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not current]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return results

    return asyncio.run(scene())


async def body(client: httpx.AsyncClient, url: str) -> bytes:
    return (await client.get(url)).content


async def chunks(client: httpx.AsyncClient, url: str) -> list[bytes]:
    async with client.stream("GET", url) as response:
        return [chunk async for chunk in response.aiter_raw()]


class TestAClientBehindIt:
    def test_sees_nothing_of_a_proxy_without_rules(self) -> None:
        assert met(calls=3, call=body) == [BODY] * 3

    @pytest.mark.parametrize(
        ("rule", "outcome"),
        [
            ({"mode": "latency", "delay_ms": HOUR_MS}, httpx.ReadTimeout),
            ({"mode": "latency", "jitter_ms": HOUR_MS}, httpx.ReadTimeout),
            ({"mode": "latency", "delay_ms": 1, "direction": "request"}, BODY),
            ({"mode": "cut", "after_bytes": len(HEAD) + 50}, httpx.RemoteProtocolError),
            ({"mode": "cut", "after_bytes": 5, "direction": "request"}, httpx.RemoteProtocolError),
            ({"mode": "reset", "after_bytes": len(HEAD) + 50}, httpx.ReadError),
            ({"mode": "reset", "after_bytes": 5, "direction": "request"}, httpx.ReadError),
            ({"mode": "half_close", "after_bytes": 0}, httpx.RemoteProtocolError),
            (
                {"mode": "half_close", "after_bytes": 5, "direction": "request"},
                b"5".ljust(100),
            ),
            ({"mode": "stall", "after_bytes": len(HEAD) + 50}, httpx.ReadTimeout),
            ({"mode": "stall", "after_bytes": 5, "direction": "request"}, httpx.ReadTimeout),
            ({"mode": "stall", "after_bytes": len(HEAD) + 50, "hold_ms": 20}, BODY),
        ],
        ids=str,
    )
    def test_meets(self, rule: Mapping[str, Any], outcome: Any) -> None:
        waits_in_vain = outcome is httpx.ReadTimeout
        patience = SHORT_PATIENCE_SECONDS if waits_in_vain else PATIENCE_SECONDS

        assert met(rule, patience=patience, call=body) == [outcome]

    def test_gets_a_sliced_answer_whole_in_small_pieces(self) -> None:
        slow = {"mode": "latency", "delay_ms": 1}
        (pieces,) = met({"mode": "slice", "piece_bytes": 7}, slow, call=chunks)

        assert b"".join(pieces) == BODY
        assert max(map(len, pieces)) < len(BODY)

    def test_is_spared_where_a_rule_names_other_connections(self) -> None:
        rule = {"mode": "cut", "connections": [2]}

        assert met(rule, calls=3, call=body) == [BODY, httpx.RemoteProtocolError, BODY]


class TestASeed:
    RULES = (
        {"mode": "reset", "probability": 0.3, "after_bytes": 9},
        {"mode": "cut", "probability": 0.5, "after_bytes": len(HEAD) + 1},
        {"mode": "slice", "probability": 0.5, "piece_bytes": 11},
    )

    def test_repeats_what_clients_meet(self) -> None:
        first, again = (met(*self.RULES, seed=5, calls=12, call=body) for _ in range(2))

        assert first == again
        assert {BODY, httpx.ReadError, httpx.RemoteProtocolError} == set(first)

    def test_gives_another_course_than_another_seed(self) -> None:
        rules = read_rules(self.RULES)
        courses = [
            [course_of(seed=seed, number=number, rules=rules) for number in range(1, 40)]
            for seed in (5, 5, 6)
        ]

        assert courses[0] == courses[1] != courses[2]

    def test_repeats_the_jitter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waited: list[float] = []
        sleep = asyncio.sleep

        async def noted(seconds: float) -> None:
            waited.append(seconds)
            await sleep(0)

        monkeypatch.setattr("tieline.sandbox.chaos.asyncio.sleep", noted)
        jitter = {"mode": "latency", "delay_ms": 100, "jitter_ms": 50}
        for seed in (5, 5, 6):
            met({"mode": "slice", "piece_bytes": 20}, jitter, seed=seed, call=body)
        first, again, other = (waited[begin : begin + 7] for begin in range(0, len(waited), 7))

        assert first == again != other
        assert all(0.1 <= seconds <= 0.15 for seconds in waited)


class TestTheControlPort:
    def ask(self, desk: Desk, *, token: str = "t", plan: Any = None) -> tuple[int, Any]:
        request = Request(
            method="GET" if plan is None else "POST",
            target="/_sandbox/chaos",
            headers={"x-sandbox-token": token},
            body=b"" if plan is None else json.dumps(plan).encode(),
        )
        response = asyncio.run(desk.deliver(request)).response
        assert response is not None
        return response.status, json.loads(response.body)

    def test_takes_another_plan_from_who_has_the_token(self) -> None:
        desk = Desk(chaos=Chaos(host="127.0.0.1", port=1), url="http://here", token="t")

        assert self.ask(desk, token="x")[0] == 401
        assert self.ask(desk, plan={"rules": [{"mode": "nap"}]})[0] == 422
        assert self.ask(desk, plan={"rules": [{"mode": "cut"}]}) == (
            200,
            {"url": "http://here", "connections": 0, "injected": {}},
        )
        assert [rule.mode for rule in desk.chaos.rules] == ["cut"]

    @pytest.mark.parametrize(
        "rule", [{}, {"mode": "cut", "after": 3}, {"mode": "slice", "piece_bytes": 0}]
    )
    def test_refuses_a_rule_it_cannot_follow(self, rule: Mapping[str, Any]) -> None:
        with pytest.raises(FaultPlanError):
            read_rules([rule])

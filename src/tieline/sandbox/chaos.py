"""A network on a bad day: a TCP proxy that slows, slices, stalls and ends connections by a seeded plan.

A plan is ``{"seed": 7, "rules": [...]}``. A rule names its ``mode`` (latency, slice, cut, reset,
half_close, stall), its ``direction`` (request or answer), and which connections it meets: by
``probability``, or by number under ``connections``, counted from 1. Each connection meets the first rule
of a mode and direction that hits it. The same seed gives the n-th connection the same course.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import random
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tieline.sandbox.faults import FaultPlanError
from tieline.sandbox.front import TOKEN_HEADER, load_plan
from tieline.sandbox.process import run_until_stopped, secret, write_run_file
from tieline.sandbox.wire import Delivery, Request, Response, json_response, listen, port_of

_CONTROL_PATH = "/_sandbox/chaos"
_READ_BYTES = 65_536
_HELD_BYTES_MAX = 8 * 1024 * 1024
# Closing with this set sends RST and drops what was not sent yet.
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


class Mode(StrEnum):
    """Name what happens to the bytes of one direction."""

    LATENCY = "latency"
    SLICE = "slice"
    CUT = "cut"
    RESET = "reset"
    HALF_CLOSE = "half_close"
    STALL = "stall"


class Direction(StrEnum):
    """Name the way that bytes go."""

    REQUEST = "request"
    ANSWER = "answer"


_LASTING = (Mode.LATENCY, Mode.SLICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Say what happens to which connections; ``hold_ms`` 0 stalls until somebody leaves."""

    mode: Mode
    direction: Direction = Direction.ANSWER
    probability: float = 1
    connections: tuple[int, ...] = ()
    delay_ms: int = 0
    jitter_ms: int = 0
    piece_bytes: int = 1
    after_bytes: int = 0
    hold_ms: int = 0

    def hits(self, number: int, chance: random.Random) -> bool:
        """Say whether a connection meets the rule; each asks chance once, so that none shifts another."""
        drawn = chance.random()
        return number in self.connections if self.connections else drawn < self.probability


def read_rules(raw: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """Turn the rules of a plan into what they mean.

    :raises FaultPlanError: one of them cannot be followed.
    """
    known = {each.name for each in fields(Rule)}
    rules = []
    for number, words in enumerate(raw, start=1):
        unknown = sorted(set(words) - known)
        if unknown:
            raise FaultPlanError(f"chaos rule {number} has unknown words: {', '.join(unknown)}")
        try:
            rule = Rule(
                **{
                    **words,
                    "mode": Mode(words["mode"]),
                    "direction": Direction(words.get("direction", Direction.ANSWER)),
                    "connections": tuple(words.get("connections", ())),
                }
            )
        except (KeyError, ValueError, TypeError) as error:
            raise FaultPlanError(f"chaos rule {number} cannot be read: {error}") from error
        if rule.piece_bytes < 1:
            raise FaultPlanError(f"chaos rule {number} has pieces without a byte")
        rules.append(rule)
    return tuple(rules)


def course_of(
    *, seed: object, number: int, rules: Sequence[Rule]
) -> Mapping[Direction, Sequence[Rule]]:
    """Return what the n-th connection meets: slowness of every kind, and one end per direction."""
    chance = random.Random(f"{seed}:{number}")
    course: dict[Direction, list[Rule]] = {direction: [] for direction in Direction}
    for rule in rules:
        met = course[rule.direction]
        if rule.hits(number, chance) and not any(_excludes(other, rule) for other in met):
            met.append(rule)
    return course


def _excludes(met: Rule, rule: Rule) -> bool:
    is_an_end = rule.mode not in _LASTING
    return met.mode is rule.mode or (is_an_end and met.mode not in _LASTING)


class _Ended(Exception):
    """A connection is to end here; whether it is reset stands beside it."""

    def __init__(self, *, is_reset: bool) -> None:
        super().__init__()
        self.is_reset = is_reset


@dataclass(slots=True, kw_only=True)
class Chaos:
    """Stand between clients and one server, and count what was done to them."""

    host: str
    port: int
    seed: object = 0
    rules: tuple[Rule, ...] = ()
    connections: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    journal: Callable[[Mapping[str, Any]], None] | None = None

    async def listen(self, *, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
        """Accept connections until the returned server is closed."""
        return await asyncio.start_server(self._connected, host, port)

    def follow(self, plan: Mapping[str, Any]) -> None:
        """Follow another plan from the next connection on, which counts as its first.

        :raises FaultPlanError: the plan cannot be followed; the former one stays.
        """
        self.rules = read_rules(plan.get("rules", ()))
        self.seed = plan.get("seed", self.seed)
        self.connections = 0

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        course = course_of(seed=self.seed, number=number, rules=self.rules)
        try:
            back, forth = await asyncio.open_connection(self.host, self.port)
        except OSError:
            _reset(writer)
            return
        pumps = [
            asyncio.create_task(self._pump(number, direction, course[direction], *ends))
            for direction, ends in (
                (Direction.REQUEST, (reader, forth)),
                (Direction.ANSWER, (back, writer)),
            )
        ]
        try:
            await asyncio.gather(*pumps)
        except _Ended as ended:
            for each in (writer, forth):
                if ended.is_reset:
                    _reset(each)
        except (ConnectionError, asyncio.CancelledError):
            # One side went away, or the proxy is ending: the other side is told below.
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for each in (writer, forth):
                each.close()
            await asyncio.gather(
                *(each.wait_closed() for each in (writer, forth)), return_exceptions=True
            )

    async def _pump(
        self,
        number: int,
        direction: Direction,
        rules: Sequence[Rule],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pass the bytes of one direction on as its rules want it, until they end."""
        chance = random.Random(f"{self.seed}:{number}:{direction}")
        lasting = {rule.mode: rule for rule in rules if rule.mode in _LASTING}
        ending = next((rule for rule in rules if rule.mode not in _LASTING), None)
        passed = 0
        for rule in lasting.values():
            self._note(rule, number, passed)
        while chunk := await reader.read(_READ_BYTES):
            for piece in _pieces(chunk, lasting.get(Mode.SLICE)):
                await _wait(lasting.get(Mode.LATENCY), chance)
                room = len(piece) if ending is None else max(0, ending.after_bytes - passed)
                writer.write(piece[:room])
                await writer.drain()
                passed += min(room, len(piece))
                if ending is not None and passed >= ending.after_bytes:
                    self._note(ending, number, passed)
                    held = await _end(ending, reader, writer)
                    if held is None:
                        return
                    writer.write(piece[room:] + held)
                    ending = None
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    def _note(self, rule: Rule, number: int, passed: int) -> None:
        self.injected[rule.mode] += 1
        if self.journal is not None:
            self.journal({"connection": number, "passed_bytes": passed, **asdict(rule)})


async def _end(
    rule: Rule, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes | None:
    """End a connection, or only this direction (None); return what came during a stall that passed."""
    if rule.mode is Mode.STALL:
        return await _held(reader, hold_ms=rule.hold_ms)
    if rule.mode is Mode.HALF_CLOSE:
        writer.write_eof()
        while await reader.read(_READ_BYTES):
            # It is read on, so that who sends does not notice; the other direction ends by itself.
            continue
        return None
    raise _Ended(is_reset=rule.mode is Mode.RESET)


async def _held(reader: asyncio.StreamReader, *, hold_ms: int) -> bytes:
    """Keep what comes until the time is over.

    :raises _Ended: who sent it did not wait so long.
    """
    held = bytearray()
    try:
        async with asyncio.timeout(hold_ms / 1000 if hold_ms else None):
            while chunk := await reader.read(_READ_BYTES):
                held += chunk
                if len(held) > _HELD_BYTES_MAX:
                    break
    except TimeoutError:
        return bytes(held)
    raise _Ended(is_reset=False)


async def _wait(rule: Rule | None, chance: random.Random) -> None:
    if rule is not None:
        await asyncio.sleep((rule.delay_ms + chance.uniform(0, rule.jitter_ms)) / 1000)


def _pieces(chunk: bytes, rule: Rule | None) -> Iterator[bytes]:
    size = len(chunk) if rule is None else rule.piece_bytes
    for begin in range(0, len(chunk), size):
        yield chunk[begin : begin + size]


def _reset(writer: asyncio.StreamWriter) -> None:
    held: socket.socket | None = writer.get_extra_info("socket")
    if held is not None:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
    writer.transport.abort()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The control port: tells what was done, and takes another plan."""

    chaos: Chaos
    url: str
    token: str = field(repr=False)

    async def deliver(self, request: Request) -> Delivery:
        """Answer who has the token."""
        return Delivery(response=self._answer(request))

    def _answer(self, request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER, ""), self.token):
            return json_response({"message": "the sandbox token is missing or wrong"}, status=401)
        if request.path != _CONTROL_PATH:
            return json_response({"message": "there is no such address"}, status=404)
        if request.method == "POST":
            try:
                self.chaos.follow(json.loads(request.body))
            except (ValueError, AttributeError) as error:
                return json_response({"message": str(error)}, status=422)
        return json_response(
            {
                "url": self.url,
                "connections": self.chaos.connections,
                "injected": dict(sorted(self.chaos.injected.items())),
            }
        )


async def serve_chaos(
    chaos: Chaos,
    *,
    token: str,
    host: str,
    port: int,
    run_file: Path,
    stopped: asyncio.Event,
) -> None:
    """Serve until stopped; the run file names the control port, which names the proxy's."""
    proxy = await chaos.listen(host=host, port=port)
    desk = Desk(chaos=chaos, url=f"http://{host}:{port_of(proxy)}", token=token)
    control = await listen(desk.deliver, host=host)
    write_run_file(run_file, port=port_of(control), host=host)
    await stopped.wait()
    for server in (control, proxy):
        server.close()


def main() -> None:
    """Run a proxy before any server that speaks over TCP."""
    parser = argparse.ArgumentParser(prog="python -m tieline.sandbox.chaos", description=__doc__)
    parser.add_argument("--upstream", required=True, help="http://HOST:PORT, or tcp://HOST:PORT")
    parser.add_argument("--run-file", required=True, type=Path)
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-token", help="or TIELINE_SANDBOX_TOKEN")
    given = parser.parse_args()
    address = urlsplit(given.upstream)
    if address.hostname is None or address.port is None:
        sys.exit(f"--upstream must be http://HOST:PORT or tcp://HOST:PORT, not {given.upstream}")
    chaos = Chaos(host=address.hostname, port=address.port, journal=_journal(given.log))
    try:
        chaos.follow(load_plan(given.plan))
    except (OSError, ValueError) as error:
        sys.exit(f"the plan {given.plan} cannot be used: {error}")
    token = secret(given.control_token, variable="TIELINE_SANDBOX_TOKEN", option="--control-token")
    run_until_stopped(
        lambda stopped: serve_chaos(
            chaos,
            token=token,
            host=given.host,
            port=given.port,
            run_file=given.run_file,
            stopped=stopped,
        )
    )


def _journal(path: Path | None) -> Callable[[Mapping[str, Any]], None] | None:
    if path is None:
        return None

    def note(entry: Mapping[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**entry, "at": datetime.now(UTC).isoformat()}) + "\n")

    return note


if __name__ == "__main__":
    main()

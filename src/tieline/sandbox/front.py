"""The front of a vendor: passes requests on and, where the plan says so, breaks the exchange."""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import math
import re
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from tieline.sandbox.exchanges import Exchange, Watch, watched_by_nobody
from tieline.sandbox.faults import Claim, FaultInjector, FaultKind, FaultPlanError
from tieline.sandbox.pages import duplicated_page, skipped_page
from tieline.sandbox.process import monotonic, run_until_stopped, secret, write_run_file
from tieline.sandbox.wire import (
    Answering,
    Delivering,
    Delivery,
    Request,
    Response,
    decode_json,
    encode_json,
    exchange,
    json_response,
    listen,
    port_of,
    text_response,
)

TOKEN_HEADER = "x-sandbox-token"
_FAULTS_PATH = "/_sandbox/faults"
_AWAY_PATH = "/_sandbox/away"
_AWAY_SECONDS_MAX = 600
_REMEMBERED_MAX = 256
_VERSIONS_MAX = 4

ErrorAnswer = Callable[[int], Response]


class Front:
    """Stand between a client and a vendor and apply the fault plan."""

    def __init__(
        self,
        *,
        answer: Answering,
        injector: FaultInjector,
        control_token: str,
        error_answer: ErrorAnswer,
        watch: Watch = watched_by_nobody,
    ) -> None:
        self._vendor = answer
        self._watch = watch
        self._injector = injector
        self._token = control_token
        self._error_answer = error_answer
        self._memory: OrderedDict[str, deque[Response]] = OrderedDict()
        self._late: set[asyncio.Task[None]] = set()
        self._away_until = 0.0
        self._turned_away = 0

    async def deliver(self, request: Request) -> Delivery:
        """Answer one request as the plan wants it answered."""
        if request.path.startswith("/_sandbox/"):
            return Delivery(response=await self._control(request))
        if monotonic() < self._away_until:
            # The vendor never hears of it, as where the proxy before a server finds it gone.
            self._turned_away += 1
            return Delivery(response=self._error_answer(503))
        claim = self._injector.claim(request)
        if claim is None:
            return Delivery(response=await self._forward(request))
        delivery = await self._broken(claim, request)
        # What a fault lost or cut is not told; the vendor's own answer to it was seen whole.
        told = delivery.response if delivery.cut_after_bytes is None else None
        self._watch(Exchange(request=request, response=told))
        return delivery

    async def settle(self) -> None:
        """Wait until every late commit has reached the vendor."""
        while self._late:
            await asyncio.gather(*self._late)

    async def _control(self, request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER, ""), self._token):
            return json_response({"message": "the sandbox token is missing or wrong"}, status=401)
        if request.path == _AWAY_PATH:
            return self._go_away(request)
        if not request.path.startswith(_FAULTS_PATH):
            return await self._vendor(request)
        if request.method == "GET":
            is_detailed = request.path.endswith("/rules")
            return json_response(self._injector.rules() if is_detailed else self._injector.counts())
        return self._change_plan(request)

    def _go_away(self, request: Request) -> Response:
        """Take the vendor away for so many seconds, or (0) bring it back."""
        if request.method == "POST":
            try:
                seconds = int(json.loads(request.body)["seconds"])
            except (ValueError, KeyError, TypeError, OverflowError):
                return json_response({"message": "away needs whole seconds"}, status=422)
            if not 0 <= seconds <= _AWAY_SECONDS_MAX:
                told = f"away takes 0 to {_AWAY_SECONDS_MAX} seconds, not {seconds}"
                return json_response({"message": told}, status=422)
            self._away_until = monotonic() + seconds
        left = max(0, math.ceil(self._away_until - monotonic()))
        return json_response({"seconds_left": left, "turned_away": self._turned_away})

    def _change_plan(self, request: Request) -> Response:
        try:
            change = json.loads(request.body)
            self._injector.add(change.get("add", []))
            self._injector.arm(change.get("arm", []), is_armed=True)
            self._injector.arm(change.get("disarm", []), is_armed=False)
        except (ValueError, AttributeError) as error:
            return json_response({"message": str(error)}, status=422)
        return json_response(self._injector.rules())

    async def _answer(self, request: Request) -> Response:
        response = await self._vendor(request)
        self._watch(Exchange(request=request, response=response))
        return response

    async def _forward(self, request: Request) -> Response:
        response = await self._answer(request)
        if response.status < 300 and self._injector.remembers(request):
            versions = self._memory.setdefault(_memory_key(request), deque(maxlen=_VERSIONS_MAX))
            self._memory.move_to_end(_memory_key(request))
            versions.append(response)
            if len(self._memory) > _REMEMBERED_MAX:
                self._memory.popitem(last=False)
        return response

    async def _broken(self, claim: Claim, request: Request) -> Delivery:
        match claim.rule.kind:
            case FaultKind.REFUSE_503_BEFORE:
                self._injector.injected(claim, request)
                return Delivery(response=self._error_answer(503))
            case FaultKind.RATE_LIMIT_429:
                return self._rate_limited(claim, request)
            case FaultKind.ANSWER_LOST:
                response = await self._forward(request)
                self._injector.injected(claim, request, status=response.status)
                return Delivery(response=None)
            case FaultKind.LATE_COMMIT:
                return await self._late_commit(claim, request)
            case FaultKind.TRUNCATED_BODY:
                response = await self._forward(request)
                keep = min(claim.rule.keep_bytes, max(len(response.body) - 1, 0))
                self._injector.injected(claim, request, status=response.status, kept_bytes=keep)
                return Delivery(response=response, cut_after_bytes=keep)
            case FaultKind.STALE_READ:
                return await self._stale(claim, request)
            case FaultKind.DUPLICATE_PAGE:
                return await self._paged(
                    claim, request, await duplicated_page(request, self._answer)
                )
            case FaultKind.SKIPPED_PAGE:
                return await self._paged(claim, request, await skipped_page(request, self._answer))
            case FaultKind.TOKEN_EXPIRED:
                self._injector.injected(claim, request)
                return Delivery(response=json_response({"message": "token expired"}, status=401))
            case (
                FaultKind.HTML_PAGE
                | FaultKind.WRONG_TYPE
                | FaultKind.SKEWED_CLOCK
                | FaultKind.DRIFTED
            ):
                response = await self._forward(request)
                self._injector.injected(claim, request, status=response.status)
                return Delivery(response=_disguised(claim.rule.kind, response))
            case FaultKind.SLOW:
                self._injector.injected(claim, request, delay_ms=claim.rule.delay_ms)
                await asyncio.sleep(claim.rule.delay_ms / 1000)
                return Delivery(response=await self._forward(request))

    def _rate_limited(self, claim: Claim, request: Request) -> Delivery:
        self._injector.injected(claim, request)
        refused = self._error_answer(429)
        wait = str(claim.rule.retry_after_seconds)
        return Delivery(response=replace(refused, headers={**refused.headers, "retry-after": wait}))

    async def _late_commit(self, claim: Claim, request: Request) -> Delivery:
        self._injector.injected(claim, request, delay_ms=claim.rule.delay_ms)
        task = asyncio.create_task(self._commit_later(claim, request))
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        await asyncio.sleep(claim.rule.hold_ms / 1000)
        return Delivery(response=None)

    async def _commit_later(self, claim: Claim, request: Request) -> None:
        await asyncio.sleep(claim.rule.delay_ms / 1000)
        response = await self._answer(request)
        self._injector.note("late_commit.forwarded", claim, request, status=response.status)

    async def _stale(self, claim: Claim, request: Request) -> Delivery:
        versions = self._memory.get(_memory_key(request))
        if not versions:
            self._injector.give_back(claim)
            return Delivery(response=await self._forward(request))
        self._injector.injected(claim, request)
        return Delivery(response=_renumbered(versions[0], request))

    async def _paged(self, claim: Claim, request: Request, page: Response | None) -> Delivery:
        if page is None:
            self._injector.give_back(claim)
            return Delivery(response=await self._forward(request))
        self._injector.injected(claim, request)
        return Delivery(response=page)


_PAGE = "<html><body>We will be right back.</body></html>"
_LONG_AGO = "Thu, 01 Jan 2015 00:00:00 GMT"


def _disguised(kind: FaultKind, response: Response) -> Response:
    """Let what was done stand, and answer as a proxy, a wrong clock or a newer release would."""
    match kind:
        case FaultKind.HTML_PAGE:
            return text_response(_PAGE, content_type="text/html")
        case FaultKind.WRONG_TYPE:
            return replace(response, headers={**response.headers, "content-type": "text/html"})
        case FaultKind.SKEWED_CLOCK:
            return replace(response, headers={**response.headers, "date": _LONG_AGO})
        case _:
            told = decode_json(response.body)
            return json_response({f"{name}V2": value for name, value in told.items()})


def _memory_key(request: Request) -> str:
    """Name a read without what differs between two equal ones: a call's number, a poll's cursor."""
    query = {k: v for k, v in sorted(request.query.items()) if k != "updated_since"}
    try:
        body = decode_json(request.body) if request.body else {}
    except ValueError:
        body = {}
    if isinstance(body, dict):
        body = {k: v for k, v in body.items() if k != "id"}
    return f"{request.method} {request.path} {query} {encode_json(body)}"


def _renumbered(response: Response, request: Request) -> Response:
    """Give a replayed JSON-RPC answer the number of the call it pretends to answer."""
    if not request.body:
        return response
    try:
        asked, told = decode_json(request.body), decode_json(response.body)
    except ValueError:
        return response
    if not (isinstance(asked, dict) and isinstance(told, dict) and "id" in asked and "id" in told):
        return response
    return replace(response, body=encode_json({**told, "id": asked["id"]}).encode())


def plain_error(status: int) -> Response:
    """Answer as a bare web server would."""
    words = {429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Unavailable"}
    return text_response(words[status], status=status, content_type="text/plain")


def upstream(url: str) -> Answering:
    """Return what passes requests on to another server."""
    address = urlsplit(url)
    if address.hostname is None or address.port is None:
        sys.exit(f"--upstream must be http://HOST:PORT, not {url}")
    host, port = address.hostname, address.port

    async def forward(request: Request) -> Response:
        try:
            return await exchange(request, host=host, port=port)
        except ConnectionError:
            return plain_error(502)

    return forward


def load_plan(path: Path | None) -> dict[str, object]:
    """Read a plan, or return one without faults."""
    if path is None:
        return {}
    plan: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return plan


def start_injector(*, name: str, plan: Path | None, log: Path | None) -> FaultInjector:
    """Read a plan and begin to follow it, or end with one sentence."""
    try:
        return FaultInjector(name=name, plan=load_plan(plan), log=log)
    except (OSError, ValueError, FaultPlanError) as error:
        sys.exit(f"the fault plan {plan} cannot be used: {error}")


async def serve_front(
    front: Front,
    *,
    host: str,
    port: int,
    run_file: Path,
    stopped: asyncio.Event,
    deliver: Delivering | None = None,
) -> None:
    """Serve until stopped, then let late commits reach the vendor."""
    server = await listen(deliver or front.deliver, host=host, port=port)
    write_run_file(run_file, port=port_of(server), host=host)
    await stopped.wait()
    server.close()
    await front.settle()


def _hearing(deliver: Delivering, *, wanted: str, file: Path) -> Delivering:
    """Write down each request whose body is wanted, and when it came, before anything becomes of it."""
    pattern = re.compile(wanted.encode())

    async def heard(request: Request) -> Delivery:
        if pattern.search(request.body):
            line = {
                "at": datetime.now(UTC).isoformat(),
                "body": request.body.decode("utf-8", "replace"),
            }
            with file.open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(line) + "\n")
        return await deliver(request)

    return heard


def main() -> None:
    """Run a front of its own before a server that knows nothing of faults."""
    parser = argparse.ArgumentParser(prog="python -m tieline.sandbox.front", description=__doc__)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--run-file", required=True, type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--heard", type=Path, help="where requests are written down as they come")
    parser.add_argument("--heard-body", default="", help="only those whose body holds this pattern")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-token", help="or TIELINE_SANDBOX_TOKEN")
    given = parser.parse_args()
    front = Front(
        answer=upstream(given.upstream),
        injector=start_injector(name=given.name, plan=given.plan, log=given.log),
        control_token=secret(
            given.control_token, variable="TIELINE_SANDBOX_TOKEN", option="--control-token"
        ),
        error_answer=plain_error,
    )
    deliver: Delivering = front.deliver
    if given.heard is not None:
        deliver = _hearing(deliver, wanted=given.heard_body, file=given.heard)
    run_until_stopped(
        lambda stopped: serve_front(
            front,
            host=given.host,
            port=given.port,
            run_file=given.run_file,
            stopped=stopped,
            deliver=deliver,
        )
    )


if __name__ == "__main__":
    main()

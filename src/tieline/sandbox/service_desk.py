"""A server that behaves as Jira Service Management's REST API does, as far as a customer can see.

It takes the same request twice without a word, and its search learns of a new one only after a while.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import math
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tieline.sandbox import service_desk_model as model
from tieline.sandbox.exchanges import kept_exchanges
from tieline.sandbox.front import Front, load_plan, serve_front, start_injector
from tieline.sandbox.process import SandboxClock, monotonic, run_until_stopped, secret
from tieline.sandbox.records import Change, Record, RecordStore
from tieline.sandbox.service_desk_control import STANDARD, ServiceDeskControl
from tieline.sandbox.service_desk_model import (
    API,
    COMMENTS,
    DESKS,
    FIRST_IDS,
    REQUEST_TYPES,
    REQUESTS,
    Refusal,
)
from tieline.sandbox.wire import Request, Response, decode_json, json_response

_PAGE_MAX = 50
_WINDOW_SECONDS = 1
_ONE = re.compile(r"^/request/([^/]+)(?:/(comment|status|transition))?$")
_RETRY_AFTER_SECONDS = 5


class ServiceDeskServer:
    """Answer requests to one site, all of them made by one account."""

    def __init__(
        self,
        *,
        store: RecordStore,
        clock: SandboxClock,
        email: str,
        token: str,
        requests_max: int = 100,
        index_lag_ms: int = 0,
    ) -> None:
        self.store = store
        self.clock = clock
        self.index_lag_ms = index_lag_ms
        # What the account may not do: see, create, comment, transition.
        self.refused: frozenset[str] = frozenset()
        self.account = {"account_id": "account-1", "email": email, "name": "Tieline"}
        self._credentials = "Basic " + base64.b64encode(f"{email}:{token}".encode()).decode()
        self._requests_max = requests_max
        self._recent: deque[float] = deque()
        self._written: dict[int, float] = {}
        self.control = ServiceDeskControl(server=self)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        try:
            if request.path.startswith("/_sandbox/"):
                return self.control.answer(request)
            return self._refusal(request) or self._route(request)
        except Refusal as refusal:
            return _error(refusal.status, str(refusal))

    # -- what people and calls do alike ------------------------------------------------------------

    def get_request(self, key: str) -> Record:
        """Return a request by its key or id.

        :raises Refusal: there is none.
        """
        for request in self.store.table(REQUESTS).values():
            if key in (request["key"], str(request["id"])):
                return request
        raise Refusal(404, "The request does not exist.")

    def new_request(
        self, kind: Record, fields: Mapping[str, Any], *, reporter: Mapping[str, str]
    ) -> Record:
        """Return a request that nobody has committed yet."""
        desk = self.store.table(DESKS)[kind["desk_id"]]
        identity = self.store.next_id(REQUESTS, first=FIRST_IDS[REQUESTS])
        now = self.clock.now().isoformat()
        status, category = model.OPEN_STATUS
        return {
            "id": identity,
            "key": f"{desk['key']}-{identity - FIRST_IDS[REQUESTS] + 1}",
            "desk_id": desk["id"],
            "request_type_id": kind["id"],
            "fields": fields,
            "reporter": reporter,
            "participants": [],
            "statuses": [{"status": status, "category": category, "at": now}],
            "created_at": now,
            "active_at": now,
        }

    def new_comment(
        self, request: Record, body: str, *, is_public: bool, author: Mapping[str, str]
    ) -> Record:
        """Return a comment that nobody has committed yet."""
        return {
            "id": self.store.next_id(COMMENTS, first=FIRST_IDS[COMMENTS]),
            "request_id": request["id"],
            "body": body,
            "public": is_public,
            "author": author,
            "created_at": self.clock.now().isoformat(),
        }

    def moved(self, request: Record, status: tuple[str, str]) -> Record:
        """Return a request in another status."""
        now = self.clock.now().isoformat()
        reached = {"status": status[0], "category": status[1], "at": now}
        return {**request, "statuses": [*request["statuses"], reached], "active_at": now}

    # -- the gate ----------------------------------------------------------------------------------

    def _refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), self._credentials.encode()):
            return _error(401, "The user is not logged in.")
        now = monotonic()
        while self._recent and self._recent[0] <= now - _WINDOW_SECONDS:
            self._recent.popleft()
        if len(self._recent) < self._requests_max:
            self._recent.append(now)
            return None
        return _too_many(max(math.ceil(self._recent[0] + _WINDOW_SECONDS - now), 1))

    def _check_right(self, right: str) -> None:
        if right in self.refused:
            raise Refusal(403, "You do not have the permission to do this.")

    def _route(self, request: Request) -> Response:
        path = request.path.removeprefix(API).rstrip("/")
        match request.method, path:
            case "GET", "/servicedesk":
                return self._desks(request)
            case "GET", "/requesttype":
                return self._request_types(request)
            case "GET", "/request":
                return self._search(request)
            case "POST", "/request":
                return self._create(request)
            case _:
                return self._on_one(request, path)

    def _on_one(self, request: Request, path: str) -> Response:
        one = _ONE.match(path)
        if one is None or not request.path.startswith(API):
            raise Refusal(404, "There is nothing at this address.")
        return self._on_request(request, self._visible(one[1]), one[2] or "")

    # -- desks and request types -------------------------------------------------------------------

    def _visible_desks(self) -> Sequence[Record]:
        return [] if "see" in self.refused else list(self.store.table(DESKS).values())

    def _desks(self, request: Request) -> Response:
        base = _base(request)
        return _page(request, [model.shown_desk(desk, base) for desk in self._visible_desks()])

    def _request_types(self, request: Request) -> Response:
        if request.headers.get("x-experimentalapi") != "opt-in":
            raise Refusal(412, "This method is experimental: opt in to it.")
        asked = _values(request, "serviceDeskId")
        with_fields = "field" in _values(request, "expand")
        word = request.query.get("searchQuery", "").lower()
        desks = {desk["id"] for desk in self._visible_desks()}
        kinds = [
            model.shown_request_type(kind, _base(request), with_fields=with_fields)
            for kind in self.store.table(REQUEST_TYPES).values()
            if kind["desk_id"] in desks
            and (not asked or str(kind["desk_id"]) in asked)
            and word in f"{kind['name']} {kind['description']}".lower()
        ]
        return _page(request, kinds)

    # -- requests ----------------------------------------------------------------------------------

    def _sees(self, request: Record, ownership: frozenset[str] = frozenset()) -> bool:
        mine = self.account["account_id"]
        is_owner = bool(request["reporter"]["account_id"] == mine)
        is_taking_part = mine in request["participants"]
        if not ownership or "ALL_REQUESTS" in ownership:
            return is_owner or is_taking_part
        return (is_owner and "OWNED_REQUESTS" in ownership) or (
            is_taking_part and "PARTICIPATED_REQUESTS" in ownership
        )

    def _visible(self, key: str) -> Record:
        request = self.get_request(key)
        if not self._sees(request) or "see" in self.refused:
            raise Refusal(403, "You do not have the permission to see this request.")
        return request

    def _search(self, request: Request) -> Response:
        query = request.query
        self._check_place(query)
        ownership = _values(request, "requestOwnership")
        term = query.get("searchTerm", "")
        status = query.get("requestStatus", "ALL_REQUESTS")
        found = [
            one
            for one in self.store.table(REQUESTS).values()
            if self._sees(one, ownership)
            and query.get("serviceDeskId", str(one["desk_id"])) == str(one["desk_id"])
            and query.get("requestTypeId", str(one["request_type_id"]))
            == str(one["request_type_id"])
            and _has_status(one, status)
            and self._is_indexed(one)
            and model.matches(one["fields"]["summary"], term)
        ]
        found.sort(key=lambda one: (one["active_at"], one["id"]), reverse=True)
        return _page(request, [model.shown_request(one, _base(request)) for one in found])

    def _check_place(self, query: Mapping[str, str]) -> None:
        if "serviceDeskId" not in query:
            return
        desks = {str(desk["id"]) for desk in self._visible_desks()}
        kinds = {
            str(kind["id"])
            for kind in self.store.table(REQUEST_TYPES).values()
            if str(kind["desk_id"]) == query["serviceDeskId"]
        }
        if query["serviceDeskId"] not in desks or query.get("requestTypeId", "") not in {
            "",
            *kinds,
        }:
            raise Refusal(404, "The service desk or its request type does not exist.")

    def _is_indexed(self, request: Record) -> bool:
        written = self._written.get(request["id"], -math.inf)
        return monotonic() >= written + self.index_lag_ms / 1000

    def _create(self, request: Request) -> Response:
        body = _body(request)
        self._check_right("see")
        self._check_right("create")
        kind = self.store.table(REQUEST_TYPES).get(_number(body.get("requestTypeId")))
        if kind is None or str(kind["desk_id"]) != body.get("serviceDeskId"):
            raise Refusal(400, "The service desk does not have this request type.")
        if body.get("requestParticipants") or body.get("raiseOnBehalfOf"):
            raise Refusal(400, "The customer does not exist.")
        fields = model.check_fields(body.get("requestFieldValues") or {}, kind)
        record = self.new_request(kind, fields, reporter=self.account)
        self._written[record["id"]] = monotonic()
        self._commit(REQUESTS, record, "create")
        return json_response(model.shown_request(record, _base(request)), status=201)

    def _on_request(self, request: Request, record: Record, part: str) -> Response:
        match request.method, part:
            case "GET", "":
                return json_response(model.shown_request(record, _base(request)))
            case "GET", "status":
                statuses = [model.shown_status(one) for one in reversed(record["statuses"])]
                return _page(request, statuses)
            case "GET", "transition":
                return _page(request, _transitions(record))
            case "POST", "transition":
                return self._transition(request, record)
            case "GET", "comment":
                return self._comments(request, record)
            case "POST", "comment":
                return self._comment(request, record)
            case _:
                raise Refusal(404, "There is nothing at this address.")

    def _transition(self, request: Request, record: Record) -> Response:
        body = _body(request)
        self._check_right("transition")
        identity = str(body.get("id"))
        if identity not in {one["id"] for one in _transitions(record)}:
            raise Refusal(400, f"The transition {identity} is invalid.")
        remark = (body.get("additionalComment") or {}).get("body")
        model.check_text(remark or "")
        self._commit(REQUESTS, self.moved(record, model.TRANSITIONS[identity][2]), "update")
        if remark:
            self._add_comment(record, remark, is_public=True)
        return Response(status=204)

    def _comments(self, request: Request, record: Record) -> Response:
        wanted = {
            visibility
            for visibility, word in ((True, "public"), (False, "internal"))
            if request.query.get(word, "true") == "true"
        }
        with_rendered = "renderedBody" in _values(request, "expand")
        shown = [
            model.shown_comment(comment, _base(request), with_rendered=with_rendered)
            for comment in self.store.table(COMMENTS).values()
            if comment["request_id"] == record["id"] and comment["public"] in wanted
        ]
        return _page(request, shown)

    def _comment(self, request: Request, record: Record) -> Response:
        body = _body(request)
        self._check_right("comment")
        text, is_public = body.get("body"), body.get("public")
        if not isinstance(text, str) or not text.strip():
            raise Refusal(400, "Comment body can not be empty!")
        if not isinstance(is_public, bool):
            raise Refusal(400, "The visibility of the comment is required.")
        model.check_text(text)
        comment = self._add_comment(record, text, is_public=is_public)
        shown = model.shown_comment(comment, _base(request), with_rendered=False)
        return json_response(shown, status=201)

    def _add_comment(self, record: Record, text: str, *, is_public: bool) -> Record:
        comment = self.new_comment(record, text, is_public=is_public, author=self.account)
        self._commit(COMMENTS, comment, "create")
        active = {**self.get_request(record["key"]), "active_at": comment["created_at"]}
        self._commit(REQUESTS, active, "update")
        return comment

    def _commit(self, table: str, record: Record, operation: str) -> None:
        self.store.commit(
            [
                Change(
                    table=table,
                    record_id=record["id"],
                    record=record,
                    at=self.clock.now(),
                    by="api",
                    operation=operation,
                )
            ]
        )


def _transitions(record: Record) -> Sequence[Record]:
    category = record["statuses"][-1]["category"]
    return [
        {"id": identity, "name": name}
        for identity, (name, categories, _) in model.TRANSITIONS.items()
        if category in categories
    ]


def _has_status(request: Record, wanted: str) -> bool:
    is_closed = request["statuses"][-1]["category"] == "DONE"
    return wanted == "ALL_REQUESTS" or is_closed == (wanted == "CLOSED_REQUESTS")


def _base(request: Request) -> str:
    return f"http://{request.headers.get('host', 'localhost')}"


def _values(request: Request, name: str) -> frozenset[str]:
    """Return a query's values, given one by one or with commas."""
    given = parse_qs(urlsplit(request.target).query).get(name, [])
    return frozenset(word for value in given for word in value.split(","))


def _page(request: Request, values: Iterable[Record]) -> Response:
    every = list(values)
    start = _asked(request, "start", 0)
    limit = min(_asked(request, "limit", _PAGE_MAX), _PAGE_MAX)
    shown = every[start : start + limit]
    is_last = start + limit >= len(every)
    links = {"base": _base(request) + API, "context": "", "self": _base(request) + request.target}
    if not is_last:
        following = request.with_query(start=str(start + limit), limit=str(limit))
        links["next"] = _base(request) + following.target
    return json_response(
        {
            "_expands": [],
            "size": len(shown),
            "start": start,
            "limit": limit,
            "isLastPage": is_last,
            "_links": links,
            "values": shown,
        }
    )


def _asked(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal():
        raise Refusal(400, f"{name} must be a whole number.")
    return int(text)


def _number(text: object) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else 0


def _body(request: Request) -> Mapping[str, Any]:
    try:
        body = decode_json(request.body)
    except ValueError as error:
        raise Refusal(400, "The body cannot be read.") from error
    if not isinstance(body, dict):
        raise Refusal(400, "The body is not an object.")
    return body


def _error(status: int, sentence: str) -> Response:
    i18n = {"i18nKey": f"sandbox.error.{status}", "parameters": []}
    return json_response({"errorMessage": sentence, "i18nErrorMessage": i18n}, status=status)


def _too_many(wait_seconds: int) -> Response:
    limited = _error(429, "Rate limit exceeded.")
    return replace(limited, headers={**limited.headers, "retry-after": str(wait_seconds)})


def error_answer(status: int) -> Response:
    """Answer an injected refusal as the vendor words it."""
    if status == 429:
        return _too_many(_RETRY_AFTER_SECONDS)
    return _error(status, "The service is temporarily unavailable.")


def main() -> None:
    """Run one site as a process; its plan may hold ``index_lag_ms`` beside the rules."""
    parser = argparse.ArgumentParser(
        prog="python -m tieline.sandbox.service_desk", description=__doc__
    )
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--run-file", required=True, type=Path)
    parser.add_argument("--email", default="tieline@example.com")
    parser.add_argument("--token", help="or TIELINE_SANDBOX_JIRA_TOKEN")
    parser.add_argument("--control-token", help="or TIELINE_SANDBOX_TOKEN")
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--now", type=datetime.fromisoformat, help="where its clock begins")
    parser.add_argument("--requests-max", type=int, default=100, help="per second")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    injector = start_injector(
        name="jira_service", plan=given.plan, log=given.directory / "jira-service-faults.jsonl"
    )
    server = ServiceDeskServer(
        store=RecordStore(journal=given.directory / "jira-service-journal.jsonl"),
        clock=SandboxClock(now=given.now),
        email=given.email,
        token=secret(given.token, variable="TIELINE_SANDBOX_JIRA_TOKEN", option="--token"),
        requests_max=given.requests_max,
        index_lag_ms=int(str(load_plan(given.plan).get("index_lag_ms", 0))),
    )
    if not server.store.table(DESKS):
        server.control.load(STANDARD)
    front = Front(
        answer=server.answer,
        injector=injector,
        control_token=secret(
            given.control_token, variable="TIELINE_SANDBOX_TOKEN", option="--control-token"
        ),
        error_answer=error_answer,
        watch=kept_exchanges(name="jira_service"),
    )

    async def serve(stopped: asyncio.Event) -> None:
        await serve_front(
            front, host=given.host, port=given.port, run_file=given.run_file, stopped=stopped
        )

    run_until_stopped(serve)


if __name__ == "__main__":
    main()

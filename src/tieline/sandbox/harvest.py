"""A server that behaves as Harvest's API v2 does, as far as a time connector can see."""

from __future__ import annotations

import argparse
import asyncio
import hmac
import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tieline.sandbox.exchanges import kept_exchanges
from tieline.sandbox.front import Front, serve_front, start_injector
from tieline.sandbox.harvest_control import HarvestControl
from tieline.sandbox.harvest_model import (
    CLIENTS,
    PROJECTS,
    RESOURCES,
    TASK_ASSIGNMENTS,
    TASKS,
    TIME_ENTRIES,
    USER_ASSIGNMENTS,
    USERS,
    Resource,
    Unprocessable,
    find_assignment,
    instant,
    read_fields,
    render,
)
from tieline.sandbox.process import SandboxClock, monotonic, run_until_stopped, secret
from tieline.sandbox.records import Change, Record, RecordStore, newest_first
from tieline.sandbox.wire import (
    Request,
    Response,
    decode_json,
    json_response,
    text_response,
)

_PREFIX = "/v2"
_PER_PAGE_MAX = 2_000
_WINDOW_SECONDS = 15
_NESTED = re.compile(r"^/projects/(\d+)/(task_assignments|user_assignments)(?:/(\d+))?$")
_PLAIN = re.compile(r"^/(\w+)(?:/(\d+))?$")
_NO_CONTENT = text_response("")


class HarvestServer:
    """Answer requests to one Harvest account."""

    def __init__(
        self,
        *,
        store: RecordStore,
        clock: SandboxClock,
        token: str,
        account: str,
        requests_max: int = 100,
    ) -> None:
        self.store = store
        self.clock = clock
        self._token = token
        self._account = account
        self._requests_max = requests_max
        self._recent: deque[float] = deque()
        self._control = HarvestControl(store=store, clock=clock)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        try:
            if request.path.startswith("/_sandbox/"):
                return self._control.answer(request)
            return self._refusal(request) or self._route(request)
        except Unprocessable as error:
            return json_response({"code": 422, "message": str(error)}, status=422)

    def _refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given, f"Bearer {self._token}"):
            message = "The access token is missing, wrong, expired or revoked"
            return json_response(
                {"error": "invalid_token", "error_description": message}, status=401
            )
        if request.headers.get("harvest-account-id") != self._account:
            return _message(403, "The token has no access to this account")
        if not request.headers.get("user-agent"):
            return _message(400, "A User-Agent header is required")
        return self._throttled()

    def _throttled(self) -> Response | None:
        now = monotonic()
        while self._recent and self._recent[0] <= now - _WINDOW_SECONDS:
            self._recent.popleft()
        if len(self._recent) < self._requests_max:
            self._recent.append(now)
            return None
        wait = math.ceil(self._recent[0] + _WINDOW_SECONDS - now)
        return _too_many(max(wait, 1))

    def _route(self, request: Request) -> Response:
        if not request.path.startswith(_PREFIX + "/"):
            return _not_found()
        path = request.path.removeprefix(_PREFIX).rstrip("/")
        if path == "/company" and request.method == "GET":
            return json_response(_company(request))
        if path == "/users/me" and request.method == "GET":
            return self._me()
        if nested := _NESTED.match(path):
            resource = RESOURCES[nested[2]]
            return self._on_assignment(request, resource, int(nested[1]), _int(nested[3]))
        plain = _PLAIN.match(path)
        if plain is None or plain[1] not in RESOURCES:
            return _not_found()
        resource = RESOURCES[plain[1]]
        if resource in (TASK_ASSIGNMENTS, USER_ASSIGNMENTS):
            is_list = request.method == "GET" and plain[2] is None
            return self._list(request, resource, None) if is_list else _not_found()
        return self._on_record(request, resource, _int(plain[2]))

    def _me(self) -> Response:
        users = [u for u in self.store.table("users").values() if u["is_active"]]
        leading = [u for u in users if "administrator" in u["access_roles"]]
        if not users:
            return _not_found()
        return json_response(render(USERS, (leading or users)[0], self.store))

    def _on_record(self, request: Request, resource: Resource, identity: int | None) -> Response:
        match request.method, identity:
            case "GET", None:
                return self._list(request, resource, None)
            case "POST", None:
                return self._create(request, resource, {})
            case "GET" | "PATCH" | "DELETE", int(number):
                record = self.store.table(resource.name).get(number)
                return _not_found() if record is None else self._one(request, resource, record)
            case _:
                return _not_found()

    def _on_assignment(
        self, request: Request, resource: Resource, project_id: int, identity: int | None
    ) -> Response:
        if project_id not in self.store.table("projects"):
            return _not_found()
        match request.method, identity:
            case "GET", None:
                return self._list(request, resource, project_id)
            case "POST", None:
                return self._create(request, resource, {"project_id": project_id})
            case "GET" | "PATCH" | "DELETE", int(number):
                record = self.store.table(resource.name).get(number)
                if record is None or record["project_id"] != project_id:
                    return _not_found()
                return self._one(request, resource, record)
            case _:
                return _not_found()

    def _one(self, request: Request, resource: Resource, record: Record) -> Response:
        match request.method:
            case "GET":
                return json_response(render(resource, record, self.store))
            case "PATCH":
                return self._update(request, resource, record)
            case _:
                return self._delete(resource, record)

    def _list(self, request: Request, resource: Resource, project_id: int | None) -> Response:
        query = request.query
        records = [
            record
            for record in self.store.table(resource.name).values()
            if (project_id is None or record["project_id"] == project_id)
            and all(test(record) for test in self._tests(query))
        ]
        if resource is TIME_ENTRIES:
            ordered = sorted(records, key=lambda r: (r["spent_date"], r["id"]), reverse=True)
        else:
            ordered = newest_first(records)
        return json_response(self._page(request, resource, ordered))

    def _page(self, request: Request, resource: Resource, ordered: list[Record]) -> Record:
        page = max(_asked_int(request, "page", 1), 1)
        per_page = min(max(_asked_int(request, "per_page", _PER_PAGE_MAX), 1), _PER_PAGE_MAX)
        pages = max(math.ceil(len(ordered) / per_page), 1)
        shown = ordered[(page - 1) * per_page : page * per_page]
        following = page + 1 if page < pages else None
        previous = page - 1 if page > 1 else None
        return {
            resource.name: [render(resource, record, self.store) for record in shown],
            "per_page": per_page,
            "total_pages": pages,
            "total_entries": len(ordered),
            "next_page": following,
            "previous_page": previous,
            "page": page,
            "links": {
                "first": _link(request, 1, per_page),
                "next": following and _link(request, following, per_page),
                "previous": previous and _link(request, previous, per_page),
                "last": _link(request, pages, per_page),
            },
        }

    def _tests(self, query: Mapping[str, str]) -> list[Callable[[Record], bool]]:
        return [
            test for name, value in query.items() if (test := self._test(name, value)) is not None
        ]

    def _test(self, name: str, value: str) -> Callable[[Record], bool] | None:
        match name:
            case "updated_since":
                since = instant(_instant(value))
                return lambda record: bool(record["updated_at"] >= since)
            case "from":
                first = _day(value)
                return lambda record: bool(record["spent_date"] >= first)
            case "to":
                last = _day(value)
                return lambda record: bool(record["spent_date"] <= last)
            case "user_id" | "project_id" | "task_id":
                number = _number(value)
                return lambda record: record.get(name) == number
            case "client_id":
                client = _number(value)
                return lambda record: self._client_of(record) == client
            case "is_active" | "is_billed":
                wanted = _truth(value)
                return lambda record: record.get(name) == wanted
            case "is_running":
                running = _truth(value)
                return lambda _: not running
            case _:
                return None

    def _client_of(self, record: Record) -> int:
        if "client_id" in record:
            return int(record["client_id"])
        return int(self.store.table("projects")[record["project_id"]]["client_id"])

    def _create(self, request: Request, resource: Resource, fixed: Record) -> Response:
        fields = {**read_fields(resource, _body(request)), **fixed}
        missing = [name for name in resource.required if fields.get(name) in (None, "")]
        if missing:
            raise Unprocessable(", ".join(f"{name} can't be blank" for name in missing))
        self._check(resource, fields)
        if resource is TIME_ENTRIES:
            self._check_entry(fields)
        now = self.clock.now()
        record = {
            "id": self.store.next_id(resource.name, first=resource.first_id),
            **resource.defaults,
            **fields,
            "created_at": instant(now),
            "updated_at": instant(now),
        }
        changes = [_change(resource, record, now, "create")]
        if resource is PROJECTS:
            changes += self._future_assignments(record, now)
        self.store.commit(changes)
        return json_response(render(resource, record, self.store), status=201)

    def _check(self, resource: Resource, fields: Record) -> None:
        for column, table in resource.references.items():
            if column in fields and fields[column] not in self.store.table(table):
                raise Unprocessable(f"{column} {fields[column]} does not exist")
        if resource in (TASK_ASSIGNMENTS, USER_ASSIGNMENTS) and "project_id" in fields:
            column = resource.required[0]
            if find_assignment(
                self.store,
                resource,
                project_id=fields["project_id"],
                column=column,
                ref=fields[column],
            ):
                raise Unprocessable(f"{column} {fields[column]} has already been taken")

    def _check_entry(self, fields: Record) -> None:
        users = self.store.table("users")
        fields.setdefault("user_id", next(iter(users), 0))
        for resource, column in ((USER_ASSIGNMENTS, "user_id"), (TASK_ASSIGNMENTS, "task_id")):
            if not find_assignment(
                self.store,
                resource,
                project_id=fields["project_id"],
                column=column,
                ref=fields[column],
            ):
                raise Unprocessable(f"{column} {fields[column]} is not assigned to this project")

    def _future_assignments(self, project: Record, now: datetime) -> list[Change]:
        """Assign what the account assigns to every new project."""
        made: list[tuple[Resource, Record]] = [
            (TASK_ASSIGNMENTS, {"task_id": task["id"]})
            for task in self.store.table(TASKS.name).values()
            if task["is_default"]
        ]
        made += [
            (USER_ASSIGNMENTS, {"user_id": user["id"]})
            for user in self.store.table(USERS.name).values()
            if user["has_access_to_all_future_projects"]
        ]
        changes = []
        for resource, link in made:
            record = {
                "id": self.store.next_id(resource.name, first=resource.first_id),
                **resource.defaults,
                **link,
                "project_id": project["id"],
                "created_at": instant(now),
                "updated_at": instant(now),
            }
            changes.append(_change(resource, record, now, "create"))
        return changes

    def _update(self, request: Request, resource: Resource, record: Record) -> Response:
        if record.get("is_locked"):
            raise Unprocessable("Time entry is locked and can't be changed")
        fields = read_fields(resource, _body(request))
        self._check(resource, {k: v for k, v in fields.items() if k in resource.references})
        now = self.clock.now()
        changed = {**record, **fields, "updated_at": instant(now)}
        self.store.commit([_change(resource, changed, now, "update")])
        return json_response(render(resource, changed, self.store))

    def _delete(self, resource: Resource, record: Record) -> Response:
        now = self.clock.now()
        self._refuse_delete(resource, record)
        doomed = [(resource, record["id"])]
        if resource is PROJECTS:
            doomed += [
                (child, child_record["id"])
                for child in (TIME_ENTRIES, TASK_ASSIGNMENTS, USER_ASSIGNMENTS)
                for child_record in self.store.table(child.name).values()
                if child_record["project_id"] == record["id"]
            ]
        self.store.commit(
            [
                Change(
                    table=table.name,
                    record_id=identity,
                    record=None,
                    at=now,
                    by="api",
                    operation="delete",
                )
                for table, identity in doomed
            ]
        )
        return _NO_CONTENT

    def _refuse_delete(self, resource: Resource, record: Record) -> None:
        users_of = {CLIENTS.name: (PROJECTS, "client_id"), TASKS.name: (TIME_ENTRIES, "task_id")}
        if record.get("is_locked"):
            raise Unprocessable("Time entry is locked and can't be deleted")
        if resource.name in users_of:
            child, column = users_of[resource.name]
            rows = self.store.table(child.name).values()
            if any(row[column] == record["id"] for row in rows):
                raise Unprocessable(f"It is still used by {child.name}")
        if resource is TASK_ASSIGNMENTS and any(
            (row["project_id"], row["task_id"]) == (record["project_id"], record["task_id"])
            for row in self.store.table("time_entries").values()
        ):
            raise Unprocessable("It is still used by time_entries")


def _change(resource: Resource, record: Record, at: datetime, operation: str) -> Change:
    return Change(
        table=resource.name,
        record_id=record["id"],
        record=record,
        at=at,
        by="api",
        operation=operation,
    )


def _message(status: int, sentence: str) -> Response:
    return json_response({"code": status, "message": sentence}, status=status)


def _not_found() -> Response:
    return _message(404, "Not found")


def _too_many(wait_seconds: int) -> Response:
    limited = _message(429, "Your request has been throttled. Please try again later.")
    return Response(
        status=429,
        headers={**limited.headers, "retry-after": str(wait_seconds)},
        body=limited.body,
    )


def error_answer(status: int) -> Response:
    """Answer an injected refusal as Harvest words it."""
    return _too_many(1) if status == 429 else _message(status, "Service temporarily unavailable")


def _body(request: Request) -> Mapping[str, Any]:
    try:
        body = decode_json(request.body)
    except ValueError as error:
        raise Unprocessable("The body is not JSON") from error
    if not isinstance(body, dict):
        raise Unprocessable("The body is not an object")
    return body


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise Unprocessable(f"{text!r} is not a whole number")
    return int(text)


def _asked_int(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    return default if text is None else _number(text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise Unprocessable(f"{text!r} is not true or false")
    return text == "true"


def _day(text: str) -> str:
    return _instant(text).date().isoformat()


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise Unprocessable(f"{text!r} is not a date or instant") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _link(request: Request, page: int, per_page: int) -> str:
    changed = request.with_query(page=str(page), per_page=str(per_page))
    return f"http://{request.headers.get('host', 'localhost')}{changed.target}"


def _company(request: Request) -> Record:
    host = request.headers.get("host", "localhost")
    return {
        "base_uri": f"http://{host}",
        "full_domain": host,
        "name": "Halden Roe",
        "is_active": True,
        "week_start_day": "Monday",
        "wants_timestamp_timers": False,
        "time_format": "decimal",
        "date_format": "%Y-%m-%d",
        "plan_type": "simple-v4",
        "clock": "24h",
        "currency_code_display": "iso_code_before",
        "currency_symbol_display": "symbol_none",
        "decimal_symbol": ".",
        "thousands_separator": ",",
        "color_scheme": "orange",
        "weekly_capacity": 144_000,
        "expense_feature": True,
        "invoice_feature": True,
        "estimate_feature": True,
        "approval_feature": True,
        "team_feature": True,
    }


def main() -> None:
    """Run one Harvest account as a process."""
    parser = argparse.ArgumentParser(prog="python -m tieline.sandbox.harvest", description=__doc__)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--run-file", required=True, type=Path)
    parser.add_argument("--token", help="or TIELINE_SANDBOX_HARVEST_TOKEN")
    parser.add_argument("--account", required=True)
    parser.add_argument("--control-token", help="or TIELINE_SANDBOX_TOKEN")
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--now", type=datetime.fromisoformat, help="where its clock begins")
    parser.add_argument("--requests-max", type=int, default=100, help="per 15 seconds")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    server = HarvestServer(
        store=RecordStore(journal=given.directory / "harvest-journal.jsonl"),
        clock=SandboxClock(now=given.now),
        token=secret(given.token, variable="TIELINE_SANDBOX_HARVEST_TOKEN", option="--token"),
        account=given.account,
        requests_max=given.requests_max,
    )
    front = Front(
        answer=server.answer,
        injector=start_injector(
            name="harvest", plan=given.plan, log=given.directory / "harvest-faults.jsonl"
        ),
        control_token=secret(
            given.control_token, variable="TIELINE_SANDBOX_TOKEN", option="--control-token"
        ),
        error_answer=error_answer,
        watch=kept_exchanges(name="harvest"),
    )

    async def serve(stopped: asyncio.Event) -> None:
        await serve_front(
            front, host=given.host, port=given.port, run_file=given.run_file, stopped=stopped
        )

    run_until_stopped(serve)


if __name__ == "__main__":
    main()

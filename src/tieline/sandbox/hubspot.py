"""A server that behaves as HubSpot's CRM API does, as far as a CRM connector can see."""

from __future__ import annotations

import argparse
import asyncio
import hmac
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from tieline.sandbox.exchanges import kept_exchanges
from tieline.sandbox.front import Front, serve_front, start_injector
from tieline.sandbox.hubspot_catalog import owner_shown, pipeline_shown, property_shown
from tieline.sandbox.hubspot_control import HubSpotControl
from tieline.sandbox.hubspot_model import (
    ASSOCIATIONS,
    OWNERS,
    PROPERTIES,
    Invalid,
    ObjectType,
    association_type,
    checked_properties,
    comparable,
    get_object_type,
    instant,
    linked,
    matches,
    rendered,
)
from tieline.sandbox.hubspot_webhooks import Webhooks, WebhookTarget
from tieline.sandbox.process import SandboxClock, monotonic, run_until_stopped, secret
from tieline.sandbox.records import Change, Record, RecordStore
from tieline.sandbox.wire import Request, Response, decode_json, json_response, text_response

_LIST_MAX = 100
_SEARCH_MAX = 200
_SEARCH_REACH_MAX = 10_000

_ROUTES: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (method, re.compile(f"^{path}$"), name)
    for method, path, name in (
        ("GET", r"/crm/v3/objects/([\w-]+)", "list_objects"),
        ("POST", r"/crm/v3/objects/([\w-]+)", "create_object"),
        ("POST", r"/crm/v3/objects/([\w-]+)/search", "search_objects"),
        ("POST", r"/crm/v3/objects/([\w-]+)/batch/read", "batch_read"),
        ("POST", r"/crm/v3/objects/([\w-]+)/batch/update", "batch_update"),
        ("GET", r"/crm/v3/objects/([\w-]+)/(\d+)", "get_object"),
        ("PATCH", r"/crm/v3/objects/([\w-]+)/(\d+)", "update_object"),
        ("DELETE", r"/crm/v3/objects/([\w-]+)/(\d+)", "archive_object"),
        ("GET", r"/crm/v4/objects/([\w-]+)/(\d+)/associations/([\w-]+)", "list_links"),
        (
            "PUT",
            r"/crm/v4/objects/([\w-]+)/(\d+)/associations/default/([\w-]+)/(\d+)",
            "link_objects",
        ),
        ("POST", r"/crm/v4/associations/([\w-]+)/([\w-]+)/batch/read", "batch_links"),
        ("GET", r"/crm/v3/owners/?", "list_owners"),
        ("GET", r"/crm/v3/owners/(\d+)", "get_owner"),
        ("GET", r"/crm/v3/pipelines/([\w-]+)", "list_pipelines"),
        ("GET", r"/crm/v3/pipelines/([\w-]+)/([\w-]+)", "get_pipeline"),
        ("GET", r"/crm/v3/pipelines/([\w-]+)/([\w-]+)/stages", "list_stages"),
        ("GET", r"/crm/v3/properties/([\w-]+)", "list_properties"),
        ("POST", r"/crm/v3/properties/([\w-]+)", "create_property"),
        ("GET", r"/crm/v3/properties/([\w-]+)/(\w+)", "get_property"),
    )
)


class Budget:
    """Count requests in a sliding window."""

    def __init__(self, *, requests_max: int, seconds: int) -> None:
        self._requests_max = requests_max
        self._seconds = seconds
        self._recent: deque[float] = deque()

    def takes(self) -> bool:
        """Tell whether one more request fits, and count it."""
        now = monotonic()
        while self._recent and self._recent[0] <= now - self._seconds:
            self._recent.popleft()
        if len(self._recent) >= self._requests_max:
            return False
        self._recent.append(now)
        return True


class HubSpotServer:
    """Answer requests to one HubSpot portal."""

    def __init__(
        self,
        *,
        store: RecordStore,
        clock: SandboxClock,
        token: str,
        webhooks: Webhooks,
        burst_max: int = 190,
        searches_max: int = 5,
    ) -> None:
        self.store = store
        self.clock = clock
        self.webhooks = webhooks
        self._token = token
        self._burst = Budget(requests_max=burst_max, seconds=10)
        self._searches = Budget(requests_max=searches_max, seconds=1)
        self._control = HubSpotControl(server=self)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        try:
            if request.path.startswith("/_sandbox/"):
                return self._control.answer(request)
            return self._refusal(request) or self._route(request)
        except Invalid as error:
            return _error(400, str(error), category="VALIDATION_ERROR")

    def commit(
        self,
        kind: ObjectType,
        record: Record,
        *,
        at: datetime,
        by: str,
        operation: str,
        changed: Sequence[str],
    ) -> None:
        """Commit one object and announce what changed."""
        self.store.commit(
            [
                Change(
                    table=kind.table,
                    record_id=record["id"],
                    record=record,
                    at=at,
                    by=by,
                    operation=operation,
                )
            ]
        )
        source = "INTEGRATION" if by == "api" else "CRM_UI"
        self.webhooks.announce(_facts(kind, record, operation, changed, source))

    def changed_object(
        self, kind: ObjectType, record: Record, given: Mapping[str, Any], *, at: datetime
    ) -> Record:
        """Return the object with new property values and a new modification instant."""
        moment = instant(at)
        properties = {
            **record["properties"],
            **checked_properties(self.store, kind, given),
            kind.modified_property: moment,
        }
        return {**record, "properties": properties, "updated_at": moment}

    def new_object(self, kind: ObjectType, given: Mapping[str, Any], *, at: datetime) -> Record:
        """Return a new object, not yet committed."""
        identity = self.store.next_id(kind.table, first=kind.first_id)
        moment = instant(at)
        record: Record = {
            "id": identity,
            "properties": {"hs_object_id": str(identity), "createdate": moment},
            "created_at": moment,
            "updated_at": moment,
            "archived": False,
        }
        return self.changed_object(kind, record, given, at=at)

    def _refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given, f"Bearer {self._token}"):
            message = "Authentication credentials not found. This API supports OAuth 2.0 and private apps."
            return _error(401, message, category="INVALID_AUTHENTICATION")
        if not self._burst.takes():
            return rate_limited("TEN_SECONDLY_ROLLING")
        if request.path.endswith("/search") and not self._searches.takes():
            return rate_limited("SECONDLY")
        return None

    def _route(self, request: Request) -> Response:
        for method, path, name in _ROUTES:
            found = path.match(request.path)
            if found and method == request.method:
                answer: Callable[..., Response] = getattr(self, f"_{name}")
                return answer(request, *found.groups())
        return _not_found("resource not found")

    # Objects

    def _list_objects(self, request: Request, word: str) -> Response:
        kind = get_object_type(word)
        limit = _limit(request.query.get("limit"), most=_LIST_MAX)
        after = _whole(request.query.get("after", "0"))
        is_archived = request.query.get("archived") == "true"
        records = sorted(
            (r for r in self.store.table(kind.table).values() if r["archived"] == is_archived),
            key=lambda record: int(record["id"]),
        )
        rest = [record for record in records if record["id"] >= after]
        answer: Record = {"results": [self._shown(request, kind, r) for r in rest[:limit]]}
        if len(rest) > limit:
            following = str(rest[limit]["id"])
            answer["paging"] = {
                "next": {"after": following, "link": _link(request, after=following)}
            }
        return json_response(answer)

    def _get_object(self, request: Request, word: str, identity: str) -> Response:
        kind = get_object_type(word)
        record = self.store.table(kind.table).get(int(identity))
        is_archived = request.query.get("archived") == "true"
        if record is None or record["archived"] != is_archived:
            return _not_found("resource not found")
        return json_response(self._shown(request, kind, record))

    def _shown(self, request: Request, kind: ObjectType, record: Record) -> Record:
        asked = [name for name in request.query.get("properties", "").split(",") if name]
        shown = rendered(kind, record, properties=asked, archived=record["archived"])
        words = [word for word in request.query.get("associations", "").split(",") if word]
        groups = {
            target.table.replace("_", " "): self._linked_ids(kind, record["id"], target)
            for target in map(get_object_type, words)
        }
        present = {name: {"results": results} for name, results in groups.items() if results}
        return {**shown, "associations": present} if present else shown

    def _linked_ids(self, kind: ObjectType, identity: int, target: ObjectType) -> list[Record]:
        links = linked(self.store, kind, identity, target)
        word = f"{kind.singular}_to_{target.singular}"
        return [{"id": str(link["to_id"]), "type": word} for link in links]

    def _create_object(self, request: Request, word: str) -> Response:
        kind = get_object_type(word)
        body = _body(request)
        now = self.clock.now()
        record = self.new_object(kind, body.get("properties", {}), at=now)
        self.commit(kind, record, at=now, by="api", operation="create", changed=())
        for link in body.get("associations", []):
            self._link_new(kind, record["id"], link, now)
        shown = list(record["properties"])
        return json_response(rendered(kind, record, properties=shown), status=201)

    def _link_new(
        self, kind: ObjectType, identity: int, link: Mapping[str, Any], at: datetime
    ) -> None:
        numbers = {item["associationTypeId"] for item in link["types"]}
        other = next(
            (
                target
                for target in map(get_object_type, ("companies", "contacts", "deals", "line_items"))
                if (kind.table, target.table) not in {("companies", "companies")}
                and _is_linkable(kind, target)
                and association_type(kind, target)[0] in numbers
            ),
            None,
        )
        if other is None:
            raise Invalid(f"No association type {sorted(numbers)} from {kind.table}")
        self.link(kind, identity, other, int(link["to"]["id"]), at=at, by="api")

    def link(
        self,
        source: ObjectType,
        source_id: int,
        target: ObjectType,
        target_id: int,
        *,
        at: datetime,
        by: str,
        types: tuple[tuple[int, str | None], tuple[int, str | None]] | None = None,
    ) -> None:
        """Associate two objects both ways."""
        there, back = types or (association_type(source, target), association_type(target, source))
        ends = (
            (source, source_id, target, target_id, there),
            (target, target_id, source, source_id, back),
        )
        self.store.commit(
            [
                self._link_change(a, a_id, b, b_id, kind, at, by)
                for a, a_id, b, b_id, kind in ends
                if not any(link["to_id"] == b_id for link in linked(self.store, a, a_id, b))
            ]
        )

    def _link_change(
        self,
        source: ObjectType,
        source_id: int,
        target: ObjectType,
        target_id: int,
        kind: tuple[int, str | None],
        at: datetime,
        by: str,
    ) -> Change:
        identity = self.store.next_id(ASSOCIATIONS, first=1)
        record = {
            "id": identity,
            "from_table": source.table,
            "from_id": source_id,
            "to_table": target.table,
            "to_id": target_id,
            "type_id": kind[0],
            "label": kind[1],
        }
        return Change(
            table=ASSOCIATIONS,
            record_id=identity,
            record=record,
            at=at,
            by=by,
            operation="create",
        )

    def _update_object(self, request: Request, word: str, identity: str) -> Response:
        kind = get_object_type(word)
        record = self.store.table(kind.table).get(int(identity))
        if record is None or record["archived"]:
            return _not_found("resource not found")
        given = _body(request).get("properties", {})
        return json_response(self._update(kind, record, given))

    def _update(self, kind: ObjectType, record: Record, given: Mapping[str, Any]) -> Record:
        now = self.clock.now()
        changed = self.changed_object(kind, record, given, at=now)
        self.commit(kind, changed, at=now, by="api", operation="update", changed=list(given))
        return rendered(kind, changed, properties=list(given))

    def _archive_object(self, _request: Request, word: str, identity: str) -> Response:
        kind = get_object_type(word)
        record = self.store.table(kind.table).get(int(identity))
        if record is not None and not record["archived"]:
            now = self.clock.now()
            gone = {**record, "archived": True, "updated_at": instant(now)}
            self.commit(kind, gone, at=now, by="api", operation="archive", changed=())
        return text_response("", status=204)

    def _search_objects(self, request: Request, word: str) -> Response:
        kind = get_object_type(word)
        body = _body(request)
        limit = _limit(body.get("limit"), most=_SEARCH_MAX)
        offset = _whole(str(body.get("after") or "0"))
        if offset + limit > _SEARCH_REACH_MAX:
            raise Invalid("Paging through search results is limited to 10,000 results")
        found = self._found(kind, body)
        page = found[offset : offset + limit]
        names = body.get("properties") or ()
        answer: Record = {
            "total": len(found),
            "results": [rendered(kind, record, properties=names) for record in page],
        }
        if offset + limit < len(found):
            answer["paging"] = {"next": {"after": str(offset + limit)}}
        return json_response(answer)

    def _found(self, kind: ObjectType, body: Mapping[str, Any]) -> list[Record]:
        try:
            found = [
                record
                for record in self.store.table(kind.table).values()
                if not record["archived"] and matches(record, body.get("filterGroups") or ())
            ]
        except (KeyError, TypeError) as error:
            raise Invalid(f"The filter cannot be read: {error}") from error
        for sort in reversed(body.get("sorts") or []):
            name, is_descending = _sort(sort)
            found.sort(key=lambda r, n=name: comparable(r["properties"].get(n)))  # type: ignore[misc]
            if is_descending:
                found.reverse()
        return found

    def _batch_read(self, request: Request, word: str) -> Response:
        kind = get_object_type(word)
        body = _body(request)
        table = self.store.table(kind.table)
        records = [table.get(_whole(item["id"])) for item in body["inputs"]]
        results = [
            rendered(kind, record, properties=body.get("properties") or ())
            for record in records
            if record is not None and not record["archived"]
        ]
        return self._batch(results)

    def _batch_update(self, request: Request, word: str) -> Response:
        kind = get_object_type(word)
        table = self.store.table(kind.table)
        inputs = _body(request)["inputs"]
        missing = [item["id"] for item in inputs if _whole(item["id"]) not in table]
        if missing:
            return _not_found(f"Could not get some {kind.table}: {', '.join(missing)}")
        return self._batch(
            [self._update(kind, table[_whole(item["id"])], item["properties"]) for item in inputs]
        )

    def _batch(self, results: Sequence[Record]) -> Response:
        now = instant(self.clock.now())
        return json_response(
            {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        )

    # Associations

    def _list_links(self, request: Request, word: str, identity: str, other: str) -> Response:
        kind, target = get_object_type(word), get_object_type(other)
        if int(identity) not in self.store.table(kind.table):
            return _not_found("resource not found")
        links = linked(self.store, kind, int(identity), target)
        limit = _limit(request.query.get("limit", "500"), most=500)
        offset = _whole(request.query.get("after", "0"))
        answer: Record = {"results": _links_shown(links[offset : offset + limit])}
        if offset + limit < len(links):
            following = str(offset + limit)
            answer["paging"] = {
                "next": {"after": following, "link": _link(request, after=following)}
            }
        return json_response(answer)

    def _batch_links(self, request: Request, word: str, other: str) -> Response:
        kind, target = get_object_type(word), get_object_type(other)
        asked = [_whole(item["id"]) for item in _body(request)["inputs"]]
        found = {identity: linked(self.store, kind, identity, target) for identity in asked}
        results = [
            {"from": {"id": str(identity)}, "to": _links_shown(links)}
            for identity, links in found.items()
            if links
        ]
        # The vendor adds errors about records without associations, in a form that its own
        # description does not know; here they are only absent.
        return self._batch(results)

    def _link_objects(
        self, _request: Request, word: str, identity: str, other: str, other_id: str
    ) -> Response:
        kind, target = get_object_type(word), get_object_type(other)
        if int(identity) not in self.store.table(kind.table):
            return _not_found("resource not found")
        if int(other_id) not in self.store.table(target.table):
            return _not_found("resource not found")
        there = association_type(kind, target)[0]
        self.link(kind, int(identity), target, int(other_id), at=self.clock.now(), by="api")
        spec = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": there}
        ends = {"from": {"id": identity}, "to": {"id": other_id}}
        return self._batch([{**ends, "associationSpec": spec}])

    # Owners, pipelines, properties

    def _list_owners(self, request: Request) -> Response:
        email = request.query.get("email")
        owners = [
            owner_shown(record)
            for record in self.store.table(OWNERS).values()
            if email is None or record["email"] == email
        ]
        limit = _limit(request.query.get("limit", "100"), most=500)
        offset = _whole(request.query.get("after", "0"))
        answer: Record = {"results": owners[offset : offset + limit]}
        if offset + limit < len(owners):
            following = str(offset + limit)
            answer["paging"] = {
                "next": {"after": following, "link": _link(request, after=following)}
            }
        return json_response(answer)

    def _get_owner(self, _request: Request, identity: str) -> Response:
        record = self.store.table(OWNERS).get(int(identity))
        return (
            _not_found("Owner not found") if record is None else json_response(owner_shown(record))
        )

    def _list_pipelines(self, _request: Request, word: str) -> Response:
        get_object_type(word)
        return json_response({"results": [pipeline_shown()]})

    def _get_pipeline(self, _request: Request, word: str, identity: str) -> Response:
        get_object_type(word)
        if identity != pipeline_shown()["id"]:
            return _not_found("Pipeline not found")
        return json_response(pipeline_shown())

    def _list_stages(self, _request: Request, word: str, identity: str) -> Response:
        get_object_type(word)
        if identity != pipeline_shown()["id"]:
            return _not_found("Pipeline not found")
        return json_response({"results": pipeline_shown()["stages"]})

    def _properties_of(self, kind: ObjectType) -> list[Record]:
        built_in = [property_shown(name, form) for name, form in kind.built_in.items()]
        own = [
            {key: value for key, value in record.items() if not key.startswith("_")}
            for record in self.store.table(PROPERTIES).values()
            if record["_object"] == kind.table
        ]
        for record in own:
            record.pop("id", None)
        return built_in + own

    def _list_properties(self, _request: Request, word: str) -> Response:
        return json_response({"results": self._properties_of(get_object_type(word))})

    def _get_property(self, _request: Request, word: str, name: str) -> Response:
        for shown in self._properties_of(get_object_type(word)):
            if shown["name"] == name:
                return json_response(shown)
        return _not_found(f"Property {name} not found")

    def _create_property(self, request: Request, word: str) -> Response:
        kind = get_object_type(word)
        body = _body(request)
        for name in ("name", "label", "type", "fieldType", "groupName"):
            if not body.get(name):
                raise Invalid(f"{name} is required")
        if any(shown["name"] == body["name"] for shown in self._properties_of(kind)):
            message = f"A property named '{body['name']}' already exists."
            return _error(409, message, category="OBJECT_ALREADY_EXISTS")
        record = self.define_property(kind, body, at=self.clock.now(), by="api")
        shown = {k: v for k, v in record.items() if k != "id" and not k.startswith("_")}
        return json_response(shown, status=201)

    def define_property(
        self, kind: ObjectType, given: Mapping[str, Any], *, at: datetime, by: str
    ) -> Record:
        """Commit one property definition."""
        identity = self.store.next_id(PROPERTIES, first=1)
        record = {
            **property_shown(given["name"], given["type"], hubspot_defined=False, at=instant(at)),
            **{k: v for k, v in given.items() if k not in ("id",)},
            "id": identity,
            "_object": kind.table,
        }
        self.store.commit(
            [
                Change(
                    table=PROPERTIES,
                    record_id=identity,
                    record=record,
                    at=at,
                    by=by,
                    operation="create",
                )
            ]
        )
        return record


def _facts(
    kind: ObjectType, record: Record, operation: str, changed: Sequence[str], source: str
) -> list[Record]:
    about = {"objectId": record["id"], "changeSource": source}
    match operation:
        case "create":
            return [{"subscriptionType": f"{kind.singular}.creation", **about}]
        case "archive":
            return [{"subscriptionType": f"{kind.singular}.deletion", **about}]
        case _:
            return [
                {
                    "subscriptionType": f"{kind.singular}.propertyChange",
                    "propertyName": name,
                    "propertyValue": record["properties"].get(name) or "",
                    **about,
                }
                for name in changed
            ]


def _links_shown(links: Sequence[Record]) -> list[Record]:
    return [
        {"toObjectId": str(link["to_id"]), "associationTypes": [_link_type(link)]} for link in links
    ]


def _link_type(link: Record) -> Record:
    shown = {"category": "HUBSPOT_DEFINED", "typeId": link["type_id"]}
    # The description knows no empty label.
    return shown if link["label"] is None else {**shown, "label": link["label"]}


def _is_linkable(source: ObjectType, target: ObjectType) -> bool:
    try:
        association_type(source, target)
    except Invalid:
        return False
    return True


def _sort(sort: Any) -> tuple[str, bool]:
    if not isinstance(sort, str):
        raise Invalid("A sort is the name of a property")
    return sort.removeprefix("-"), sort.startswith("-")


def _error(status: int, message: str, *, category: str) -> Response:
    return json_response(
        {
            "status": "error",
            "message": message,
            "correlationId": str(uuid4()),
            "category": category,
        },
        status=status,
    )


def _not_found(message: str) -> Response:
    return _error(404, message, category="OBJECT_NOT_FOUND")


def rate_limited(policy: str) -> Response:
    """Answer 429 in the vendor's words."""
    word = {"SECONDLY": "secondly", "TEN_SECONDLY_ROLLING": "ten_secondly_rolling"}[policy]
    return json_response(
        {
            "status": "error",
            "message": f"You have reached your {word} limit.",
            "errorType": "RATE_LIMIT",
            "correlationId": str(uuid4()),
            "policyName": policy,
            "category": "RATE_LIMITS",
        },
        status=429,
        headers={"retry-after": "1"},
    )


def error_answer(status: int) -> Response:
    """Answer an injected refusal as HubSpot words it."""
    if status == 429:
        return rate_limited("TEN_SECONDLY_ROLLING")
    return _error(status, "Service unavailable", category="SERVICE_UNAVAILABLE")


def _body(request: Request) -> Mapping[str, Any]:
    try:
        body = decode_json(request.body)
    except ValueError as error:
        raise Invalid("Invalid input JSON") from error
    if not isinstance(body, dict):
        raise Invalid("Invalid input JSON: an object is needed")
    return body


def _whole(text: str) -> int:
    if not str(text).isdecimal():
        raise Invalid(f"{text} is not a whole number")
    return int(text)


def _limit(asked: Any, *, most: int) -> int:
    limit = 10 if asked is None else _whole(str(asked))
    if not 1 <= limit <= most:
        raise Invalid(f"limit must be between 1 and {most}")
    return limit


def _link(request: Request, *, after: str) -> str:
    host = request.headers.get("host", "localhost")
    return f"http://{host}{request.with_query(after=after).target}"


def main() -> None:
    """Run one HubSpot portal as a process."""
    parser = argparse.ArgumentParser(prog="python -m tieline.sandbox.hubspot", description=__doc__)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--run-file", required=True, type=Path)
    parser.add_argument("--token", help="or TIELINE_SANDBOX_HUBSPOT_TOKEN")
    parser.add_argument("--control-token", help="or TIELINE_SANDBOX_TOKEN")
    parser.add_argument("--webhook-secret", help="or TIELINE_SANDBOX_WEBHOOK_SECRET")
    parser.add_argument("--webhook-target", help="where signed batches of events go")
    parser.add_argument("--account", type=int, default=4_711_001, help="the portal's number")
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--now", type=datetime.fromisoformat, help="where its clock begins")
    parser.add_argument("--requests-max", type=int, default=190, help="per 10 seconds")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    run_until_stopped(lambda stopped: _serve(given, stopped))


async def _serve(given: argparse.Namespace, stopped: asyncio.Event) -> None:
    clock = SandboxClock(now=given.now)
    webhooks = Webhooks(
        secret=secret(
            given.webhook_secret,
            variable="TIELINE_SANDBOX_WEBHOOK_SECRET",
            option="--webhook-secret",
        ),
        clock=SandboxClock(),
        app_id=1_204_405,
        portal_id=given.account,
    )
    if given.webhook_target:
        webhooks.target = WebhookTarget(url=given.webhook_target)
    server = HubSpotServer(
        store=RecordStore(journal=given.directory / "hubspot-journal.jsonl"),
        clock=clock,
        token=secret(given.token, variable="TIELINE_SANDBOX_HUBSPOT_TOKEN", option="--token"),
        webhooks=webhooks,
        burst_max=given.requests_max,
    )
    front = Front(
        answer=server.answer,
        injector=start_injector(
            name="hubspot", plan=given.plan, log=given.directory / "hubspot-faults.jsonl"
        ),
        control_token=secret(
            given.control_token, variable="TIELINE_SANDBOX_TOKEN", option="--control-token"
        ),
        error_answer=error_answer,
        watch=kept_exchanges(name="hubspot"),
    )
    await serve_front(
        front, host=given.host, port=given.port, run_file=given.run_file, stopped=stopped
    )


if __name__ == "__main__":
    main()

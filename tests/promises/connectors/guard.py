"""A guard on the wire: each request and reply is held against the vendor's own description.

The vendor's front keeps what passes it, whoever calls: a connector in this process, in another, or in
a whole demo. When the server has stopped, all of it is held against the description, so that the
checks slow nobody down. The descriptions are read, repaired in memory and never edited; the repairs
are listed below. No status is let off: where a vendor describes one elsewhere, that is a repair too.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tieline.sandbox.exchanges import Exchange
from tieline.sandbox.wire import Request, Response, decode_json, encode_json

REPAIRS: Mapping[str, tuple[str, ...]] = {
    "harvest": (
        "status codes are numbers in the file and must be texts",
        (
            "three schemas say type: null, which OpenAPI 3.0 does not know: the choice is dropped,"
            " the value stays nullable as the description says beside it"
        ),
        "format: url and format: float mean nothing to a validator and are left alone",
    ),
    "hubspot": (
        "values of properties are described as texts; the vendor sends null for one without value",
        'labels of associations are described as texts; the vendor sends null for "no label"',
        "errors are described for a body of any type, which a validator does not read: it is JSON",
        "an empty list of bodies for 204 means none, which a validator takes for a missing one",
        "deals are described under the number of their type; the vendor takes their name as well",
    ),
    "jira_service": (
        "no server is named: a site has an address of its own",
        "429 and 503 are told by the vendor's page on limits: they are held as its 500 is",
        "412 is told once for all experimental methods: each of them may answer it, as its 500",
        "the rendered value of a field is described as an object without words; its example has some",
    ),
}
_LABELED = "AssociationSpecWithLabel"


# Words of refusals that the descriptions leave out and the vendors send all the same: Harvest's gate
# for tokens speaks as OAuth does, and HubSpot tells which of its limits was met.
SENT_BESIDE: Mapping[str, frozenset[str]] = {
    "harvest": frozenset({"/error", "/error_description"}),
    "hubspot": frozenset({"/status", "/errorType", "/policyName"}),
    "jira_service": frozenset(),
}
_COMPLAINTS_MAX = 10
_DEALS = re.compile(r"/objects/deals?(?=/|$)")


class NotDescribed(AssertionError):
    """A request or reply that the vendor's description does not know."""


def are_here() -> bool:
    """Say whether the descriptions are on this machine."""
    return _folder().is_dir()


def descriptions() -> Path:
    """Return the folder of descriptions, or skip the test or the module."""
    if not are_here():
        pytest.skip(
            "the vendors' descriptions are not here: whatever was asked of or told by a simulated"
            " HubSpot, Harvest or Jira in this run was held against nothing; set TIELINE_SHARED to check it",
            allow_module_level=True,
        )
    return _folder()


def hold(exchanges: Iterable[Exchange], *, vendor: str, may_be_refused: bool = False) -> None:
    """Hold what passed a vendor's front against its description, where that is here.

    ``may_be_refused`` is for the tests of a simulated server itself: what it refuses may be wrong.

    :raises NotDescribed: a request or a reply is not as described.
    """
    if not are_here():
        return
    found: dict[str, None] = {}
    for exchange in exchanges:
        request, response = exchange.request, exchange.response
        # Equal questions and equal answers are checked once in a session.
        asked = (vendor, request.method, request.target)
        is_refused = response is not None and response.status >= 400
        if not (may_be_refused and is_refused):
            body_type = _header(request.headers, "content-type")
            found |= dict.fromkeys(_faults_of_request(*asked, body_type, request.body))
        if response is not None:
            body_type = _header(response.headers, "content-type")
            found |= dict.fromkeys(
                _faults_of_reply(*asked, response.status, body_type, response.body)
            )
    if found:
        raise NotDescribed("\n".join(list(found)[:_COMPLAINTS_MAX]))


def read_exchanges(record: Path) -> list[Exchange]:
    """Return what a vendor in a process of its own kept."""
    lines = record.read_text(encoding="utf-8").splitlines()
    return [_exchange(json.loads(line)) for line in lines]


def each_record_once(exchanges: Iterable[Exchange]) -> Iterator[Exchange]:
    """Leave out of each page what was told before, word for word: a run reads the same thousands again and again."""
    told: set[str] = set()
    for exchange in exchanges:
        response = exchange.response
        if response is None or response.status != httpx.codes.OK:
            yield exchange
            continue
        try:
            page = decode_json(response.body)
        except ValueError:
            yield exchange
            continue
        if not isinstance(page, dict):
            yield exchange
            continue
        shortened = {name: _news(value, told) for name, value in page.items()}
        body = encode_json(shortened).encode("utf-8", "surrogateescape")
        yield replace(exchange, response=replace(response, body=body))


def _news(value: Any, told: set[str]) -> Any:
    """Return the records of a list that are new, or its first: an empty list is another answer."""
    if not isinstance(value, list) or not value:
        return value
    texts = [encode_json(each) for each in value]
    news = [each for each, text in zip(value, texts, strict=True) if text not in told]
    told.update(texts)
    return news or value[:1]


def as_exchange(request: httpx.Request) -> Exchange:
    """Return what a client sends, as a vendor's front would see it."""
    target = request.url.raw_path.decode("ascii")
    asked = Request(
        method=request.method, target=target, headers=request.headers, body=request.content
    )
    return Exchange(request=asked, response=None)


def _folder() -> Path:
    return Path(os.environ.get("TIELINE_SHARED", "../shared")) / "specs"


def _exchange(line: Mapping[str, Any]) -> Exchange:
    request = Request(
        method=line["method"],
        target=line["target"],
        headers={"content-type": line["asked_type"]},
        body=line["asked"].encode("utf-8", "surrogateescape"),
    )
    if "status" not in line:
        return Exchange(request=request, response=None)
    response = Response(
        status=line["status"],
        headers={"content-type": line["told_type"]},
        body=line["told"].encode("utf-8", "surrogateescape"),
    )
    return Exchange(request=request, response=response)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")


@lru_cache(maxsize=4096)
def _faults_of_request(
    vendor: str, method: str, target: str, body_type: str, body: bytes
) -> Sequence[str]:
    what = f"request {method} {target}"
    place = _find(vendor, method, target)
    if place is None:
        return [f"{what}: the address is not described"]
    asked = _Asked(place, method, target, body_type, body)
    known = {
        word["name"] for word in place.operation.get("parameters", ()) if word["in"] == "query"
    }
    undescribed = [f"?{name}" for name in asked.parameters.query if name not in known]
    if body:
        described = place.operation.get("requestBody", {"content": {}})["content"]
        undescribed += _undescribed_in(place.spec, described, body)
    errors = [] if undescribed else _sentences(place.openapi.iter_request_errors(asked))
    return [f"{what}: {name} is not described" for name in undescribed] + [
        f"{what}: {error}" for error in errors
    ]


@lru_cache(maxsize=4096)
def _faults_of_reply(
    vendor: str, method: str, target: str, status: int, body_type: str, body: bytes
) -> Sequence[str]:
    what = f"reply {status} to {method} {target}"
    place = _find(vendor, method, target)
    if place is None:
        # Nothing is described at this address, and the vendor may say that nothing is there.
        return [] if status == 404 else [f"{what}: the address is not described"]
    asked = _Asked(place, method, target, "", b"")
    faults = _sentences(place.openapi.iter_response_errors(asked, _Told(status, body_type, body)))
    if body and not faults:
        answers = place.operation["responses"]
        answer = _resolved(place.spec, answers.get(str(status), answers.get("default", {})))
        beside = SENT_BESIDE[vendor] if status >= 400 else frozenset()
        words = _undescribed_in(place.spec, answer.get("content", {}), body)
        faults = [f"{name} is not described" for name in words if name not in beside]
    return [f"{what}: {fault}" for fault in faults]


class _Place:
    """Where in a vendor's descriptions an address is."""

    def __init__(self, spec: Mapping[str, Any], *, template: str, path: str, method: str) -> None:
        self.spec = spec
        self.path = path
        self.template = template
        self.operation: Mapping[str, Any] = spec["paths"][template][method.lower()]

    @property
    def openapi(self) -> OpenAPI:
        return _openapi(id(self.spec))


class _Asked:
    """A request as the validator wants it, as if sent to the vendor's own address."""

    def __init__(
        self, place: _Place, method: str, target: str, body_type: str, body: bytes
    ) -> None:
        host = place.spec["servers"][0]["url"]
        self.host_url, _, _prefix = host.partition("/v2")
        self.path = f"/v2{place.path}" if host.endswith("/v2") else place.path
        self.full_url_pattern = f"{self.host_url}{self.path}"
        self.method = method.lower()
        self.content_type = body_type
        self.body = body or None
        query = parse_qsl(urlsplit(target).query, keep_blank_values=True)
        self.parameters = RequestParameters(query=ImmutableMultiDict(query), header=Headers())


class _Told:
    """A reply as the validator wants it."""

    def __init__(self, status: int, body_type: str, body: bytes) -> None:
        self.status_code = status
        self.content_type = body_type
        self.headers = Headers([("content-type", body_type)])
        self.data = body or None


def _find(vendor: str, method: str, target: str) -> _Place | None:
    path = unquote(urlsplit(target).path)
    specs: Sequence[Mapping[str, Any]]
    match vendor:
        case "harvest":
            specs, path = _harvest(), path.removeprefix("/v2")
        case "jira_service":
            specs = _jira_service()
        case _:
            specs, path = _hubspot(), _DEALS.sub("/objects/0-3", path)
    places = [
        _Place(spec, template=template, path=path, method=method)
        for spec in specs
        for template, operations in spec["paths"].items()
        if method.lower() in operations and _pattern(template).fullmatch(path.rstrip("/") or "/")
    ]
    # A path without parameters is meant before one that would take its last word as one.
    return min(places, key=lambda place: place.template.count("{"), default=None)


@lru_cache(maxsize=1024)
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template)))


def _sentences(errors: Iterator[Exception]) -> list[str]:
    sentences = []
    for error in errors:
        causes = getattr(error.__cause__, "schema_errors", ()) or ()
        sentences += [f"{'/'.join(map(str, one.path))}: {one.message[:200]}" for one in causes]
        if not causes:
            sentences.append(f"{error}: {error.__cause__}"[:300])
    return sentences


def _undescribed_in(
    spec: Mapping[str, Any], content: Mapping[str, Any], body: bytes
) -> Sequence[str]:
    described = content.get("application/json")
    if described is None:
        return ["a body"]
    try:
        value = json.loads(body)
    except ValueError:
        return ["a body that is no JSON"]
    return sorted(set(_undescribed(spec, described.get("schema", {}), value, at="")))


def _undescribed(
    spec: Mapping[str, Any], schema: Mapping[str, Any], value: Any, *, at: str
) -> Iterator[str]:
    schema = _resolved(spec, schema)
    if isinstance(value, list):
        for item in value:
            yield from _undescribed(spec, schema.get("items", {}), item, at=f"{at}[]")
    if not isinstance(value, dict):
        return
    parts = [_resolved(spec, part) for word in ("anyOf", "allOf") for part in schema.get(word, ())]
    described = {
        name: one
        for part in (schema, *parts)
        for name, one in (part.get("properties") or {}).items()
    }
    for name, item in value.items():
        if name in described:
            yield from _undescribed(spec, described[name], item, at=f"{at}/{name}")
        elif "additionalProperties" not in schema:
            yield f"{at}/{name}"


def _resolved(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        target: Any = spec
        for word in schema["$ref"].removeprefix("#/").split("/"):
            target = target[word]
        schema = target
    return schema


@lru_cache(maxsize=1)
def _harvest() -> tuple[Mapping[str, Any], ...]:
    path = descriptions() / "open" / "harvest" / "harvest-openapi.yaml"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    spec = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    repaired = _without_null_choice(spec)
    for operations in repaired["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            operation["responses"] = {str(status): told for status, told in answers.items()}
    return (_kept(repaired),)


@lru_cache(maxsize=1)
def _hubspot() -> tuple[Mapping[str, Any], ...]:
    folder = descriptions() / "restricted" / "hubspot"
    specs = []
    for path in sorted([*folder.glob("v3/*.json"), *folder.glob("v4/*.json")]):
        spec = json.loads(path.read_text(encoding="utf-8"))
        for name, schema in spec["components"]["schemas"].items():
            members = schema.get("properties") or {}
            if name.startswith("SimplePublicObject") and "Input" not in name:
                values = members.get("properties") or {}
                values.get("additionalProperties", {})["nullable"] = True
            if name == _LABELED and "label" in members:
                members["label"]["nullable"] = True
        for answer in spec["components"]["responses"].values():
            answer["content"] = {"application/json": answer["content"]["*/*"]}
        for operations in spec["paths"].values():
            for operation in operations.values():
                operation["responses"].get("204", {}).pop("content", None)
        specs.append(_kept(spec))
    return tuple(specs)


@lru_cache(maxsize=1)
def _jira_service() -> tuple[Mapping[str, Any], ...]:
    path = descriptions() / "open" / "jira" / "jsm-request.trimmed.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec["servers"] = [{"url": "https://example.atlassian.net"}]
    value = spec["components"]["schemas"]["CustomerRequestFieldValueDTO"]["properties"]
    value["renderedValue"]["additionalProperties"] = {"type": "string"}
    for operations in spec["paths"].values():
        for operation in operations.values():
            answers = operation["responses"]
            beside = ("412", "429", "503") if "x-experimental" in operation else ("429", "503")
            answers |= dict.fromkeys(beside, answers["500"])
    return (_kept(spec),)


def _without_null_choice(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_null_choice(item) for item in node]
    if not isinstance(node, dict):
        return node
    changed = {key: _without_null_choice(value) for key, value in node.items()}
    choices = changed.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        kept = [choice for choice in choices if choice != {"type": "null"}]
        # A reference may be nothing: in 3.0 that is said by a nullable object beside it.
        changed["anyOf"] = [*kept, {"type": "object", "nullable": True, "maxProperties": 0}]
    return changed


_KEPT: dict[int, Mapping[str, Any]] = {}


def _kept(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    _KEPT[id(spec)] = spec
    return spec


@lru_cache(maxsize=32)
def _openapi(number: int) -> OpenAPI:
    spec = copy.deepcopy(dict(_KEPT[number]))
    spec["security"] = []
    for operations in spec["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))

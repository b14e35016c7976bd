"""A guard on the wire: each request and reply is held against the vendor's own description.

The descriptions are read, repaired in memory and never edited. The repairs are listed below.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tieline.sandbox.wire import Answering, Request, Response

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
    ),
}
_LABELED = "AssociationSpecWithLabel"


class NotDescribed(AssertionError):
    """A request or reply that the vendor's description does not know."""


def _folder() -> Path:
    return Path(os.environ.get("TIELINE_SHARED", "../shared")) / "specs"


def are_here() -> bool:
    """Say whether the descriptions are on this machine."""
    return _folder().is_dir()


def descriptions() -> Path:
    """Return the folder of descriptions, or skip the test."""
    folder = _folder()
    if not are_here():
        pytest.skip("the vendors' descriptions are not here; set TIELINE_SHARED to check them")
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came over the wire."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes


class Guard:
    """Hold requests and replies of one vendor against its description.

    A reply of the vendor itself is checked whatever its status; what a fault made of it is not the
    vendor's word and never comes here.
    """

    def __init__(self, *, vendor: str, strip: str = "") -> None:
        self._specs = _harvest() if vendor == "harvest" else _hubspot()
        self._strip = strip
        self.seen: list[str] = []

    def check_request(self, asked: Asked) -> None:
        """Complain about the first word of a request that is not described.

        :raises NotDescribed: there is one.
        """
        path = asked.path.removeprefix(self._strip)
        spec, template = self._find(asked.method, path)
        self.seen.append(f"{asked.method} {template}")
        self._check_words(spec, spec["paths"][template][asked.method.lower()], asked)
        _raise(
            _openapi(id(spec)).iter_request_errors(_Asked(asked, spec=spec, path=path)),
            f"request {asked.method} {path}",
        )

    def check_reply(
        self, asked: Asked, *, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Complain about a reply that is not described for this request.

        :raises NotDescribed: it is not.
        """
        path = asked.path.removeprefix(self._strip)
        try:
            spec, _ = self._find(asked.method, path)
        except NotDescribed:
            if status == 404:
                # Nothing is described at this address, and the vendor says that nothing is there.
                return
            raise
        _raise(
            _openapi(id(spec)).iter_response_errors(
                _Asked(asked, spec=spec, path=path), _Told(status, headers, body)
            ),
            f"reply {status} to {asked.method} {path}",
        )

    def _find(self, method: str, path: str) -> tuple[Mapping[str, Any], str]:
        candidates = [
            (spec, template)
            for spec in self._specs
            for template, operations in spec["paths"].items()
            if method.lower() in operations and _matches(template, path)
        ]
        if not candidates:
            raise NotDescribed(f"{method} {path} is not described")
        # A path without parameters is meant before one that would take its last word as one.
        return min(candidates, key=lambda found: found[1].count("{"))

    def _check_words(
        self, spec: Mapping[str, Any], operation: Mapping[str, Any], asked: Asked
    ) -> None:
        known = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
        unknown = sorted({name for name, _ in asked.query} - known)
        if unknown:
            raise NotDescribed(f"{asked.path}: the query {unknown} is not described")
        if not asked.body:
            return
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        words = sorted(_undescribed(spec, schema, json.loads(asked.body), at=""))
        if words:
            raise NotDescribed(f"{asked.path}: {words} is not described")


class GuardedTransport(httpx.BaseTransport):
    """Pass requests on, and fail the test at the first word that is not described."""

    def __init__(self, *, vendor: str, strip: str = "") -> None:
        self._inner = httpx.HTTPTransport()
        self._guard = Guard(vendor=vendor, strip=strip)

    @property
    def seen(self) -> list[str]:
        """Return what was asked, in the description's words."""
        return self._guard.seen

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Check the request, send it, check the reply."""
        asked = Asked(
            method=request.method,
            path=request.url.path,
            query=tuple(request.url.params.multi_items()),
            headers=dict(request.headers),
            body=request.content,
        )
        self._guard.check_request(asked)
        raw = self._inner.handle_request(request)
        try:
            content = b"".join(raw.iter_raw())
        finally:
            raw.close()
        self._guard.check_reply(
            asked, status=raw.status_code, headers=dict(raw.headers), body=content
        )
        return httpx.Response(raw.status_code, headers=raw.headers, stream=_Whole(content))

    def close(self) -> None:
        """Let go of the connections."""
        self._inner.close()


def guarded(answer: Answering, *, vendor: str, complaints: list[str]) -> Answering:
    """Hold what a server of ours is asked and answers against the description, before any fault.

    Complaints are collected: the server runs in a thread, and its clients may be other processes.
    """
    if not are_here():
        return answer
    guard = Guard(vendor=vendor, strip="/v2" if vendor == "harvest" else "")

    def hold(check: Callable[[], None]) -> None:
        try:
            check()
        except NotDescribed as complaint:
            complaints.append(str(complaint))

    async def held(request: Request) -> Response:
        if request.path.startswith("/_sandbox/"):
            return await answer(request)
        asked = as_asked(request)
        response = await answer(request)
        # What the vendor itself refuses need not be described.
        if response.status < 400:
            hold(lambda: guard.check_request(asked))
        hold(
            lambda: guard.check_reply(
                asked, status=response.status, headers=response.headers, body=response.body
            )
        )
        return response

    return held


def complaints_of(record: Path, *, vendor: str) -> tuple[int, list[str]]:
    """Hold what a server of a demo kept against the description; return how much, and what is wrong."""
    complaints: list[str] = []
    kept = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    told: list[Response] = []

    async def answer(_request: Request) -> Response:
        return told.pop()

    held = guarded(answer, vendor=vendor, complaints=complaints)

    async def hold_each() -> None:
        for exchange in kept:
            told.append(
                Response(
                    status=exchange["status"],
                    headers=exchange["headers"],
                    body=exchange["answered"].encode(),
                )
            )
            await held(
                Request(
                    method=exchange["method"],
                    target=exchange["target"],
                    headers=exchange["asked_headers"],
                    body=exchange["asked"].encode(),
                )
            )
            told.clear()

    asyncio.run(hold_each())
    return len(kept), complaints


def as_asked(request: Request) -> Asked:
    """Return a request of the sandbox's wire."""
    return Asked(
        method=request.method,
        path=request.path,
        query=tuple(parse_qsl(urlsplit(request.target).query, keep_blank_values=True)),
        headers=request.headers,
        body=request.body,
    )


class _Whole(httpx.SyncByteStream):
    """A body that was read already and is handed on unread."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


class _Asked:
    """A request as the validator wants it, as if sent to the vendor's own address."""

    def __init__(self, asked: Asked, *, spec: Mapping[str, Any], path: str) -> None:
        host = spec["servers"][0]["url"]
        self.host_url, _, _prefix = host.partition("/v2")
        self.path = f"/v2{path}" if host.endswith("/v2") else path
        self.full_url_pattern = f"{self.host_url}{self.path}"
        self.method = asked.method.lower()
        self.content_type = asked.headers.get("content-type", "")
        self.body = asked.body or None
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(list(asked.query)),
            header=Headers(list(asked.headers.items())),
        )


class _Told:
    """A reply as the validator wants it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        lower = {name.lower(): value for name, value in headers.items()}
        self.status_code = status
        self.content_type = lower.get("content-type", "")
        self.headers = Headers(list(lower.items()))
        self.data = body or None


def _raise(errors: Iterator[Exception], what: str) -> None:
    sentences = []
    for error in errors:
        causes = getattr(error.__cause__, "schema_errors", ()) or ()
        sentences += [f"{'/'.join(map(str, one.path))}: {one.message[:200]}" for one in causes]
        if not causes:
            sentences.append(f"{error}: {error.__cause__}"[:300])
    if sentences:
        raise NotDescribed(f"{what}: {sentences[:5]}")


def _matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template))
    return re.fullmatch(pattern, path.rstrip("/") or "/") is not None


def _undescribed(
    spec: Mapping[str, Any], schema: Mapping[str, Any], value: Any, *, at: str
) -> Iterator[str]:
    while "$ref" in schema:
        target: Any = spec
        for word in schema["$ref"].removeprefix("#/").split("/"):
            target = target[word]
        schema = target
    if isinstance(value, list):
        for item in value:
            yield from _undescribed(spec, schema.get("items", {}), item, at=f"{at}[]")
    if not isinstance(value, dict):
        return
    described = schema.get("properties") or {}
    for name, item in value.items():
        if name in described:
            yield from _undescribed(spec, described[name], item, at=f"{at}/{name}")
        elif "additionalProperties" not in schema:
            yield f"{at}/{name}"


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
        specs.append(_kept(spec))
    return tuple(specs)


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

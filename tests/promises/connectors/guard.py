"""A guard on the transport: each request and reply is held against the vendor's own description.

The descriptions are read, repaired in memory and never edited. The repairs are listed below.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

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


class GuardedTransport(httpx.BaseTransport):
    """Pass requests on, and fail the test at the first word that is not described."""

    def __init__(self, *, vendor: str, strip: str = "") -> None:
        self._inner = httpx.HTTPTransport()
        self._specs = _harvest() if vendor == "harvest" else _hubspot()
        self._strip = strip
        self.seen: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Check the request, send it, check the reply."""
        path = request.url.path.removeprefix(self._strip)
        spec, template = self._find(request.method, path)
        self.seen.append(f"{request.method} {template}")
        asked = _Asked(request, host=spec["servers"][0]["url"], path=path)
        operation = spec["paths"][template][request.method.lower()]
        self._check_words(spec, operation, request)
        openapi = _openapi(id(spec))
        _raise(openapi.iter_request_errors(asked), f"request {request.method} {path}")
        raw = self._inner.handle_request(request)
        try:
            content = b"".join(raw.iter_raw())
        finally:
            raw.close()
        response = httpx.Response(raw.status_code, headers=raw.headers, stream=_Whole(content))
        told = _Told(response, content)
        if response.status_code < 300:
            _raise(openapi.iter_response_errors(asked, told), f"reply to {request.method} {path}")
        return response

    def close(self) -> None:
        """Let go of the connections."""
        self._inner.close()

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
        self, spec: Mapping[str, Any], operation: Mapping[str, Any], request: httpx.Request
    ) -> None:
        known = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
        unknown = sorted(set(request.url.params) - known)
        if unknown:
            raise NotDescribed(f"{request.url.path}: the query {unknown} is not described")
        if not request.content:
            return
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        words = sorted(_undescribed(spec, schema, json.loads(request.content), at=""))
        if words:
            raise NotDescribed(f"{request.url.path}: {words} is not described")


class _Whole(httpx.SyncByteStream):
    """A body that was read already and is handed on unread."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


class _Asked:
    """A request as the validator wants it, as if sent to the vendor's own address."""

    def __init__(self, request: httpx.Request, *, host: str, path: str) -> None:
        self.host_url, _, _prefix = host.partition("/v2")
        self.path = f"/v2{path}" if host.endswith("/v2") else path
        self.full_url_pattern = f"{self.host_url}{self.path}"
        self.method = request.method.lower()
        self.content_type = request.headers.get("content-type", "")
        self.body = request.content or None
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(list(request.url.params.multi_items())),
            header=Headers(list(request.headers.items())),
        )


class _Told:
    """A reply as the validator wants it."""

    def __init__(self, response: httpx.Response, content: bytes) -> None:
        self.status_code = response.status_code
        self.content_type = response.headers.get("content-type", "")
        self.headers = Headers(list(response.headers.items()))
        self.data = content or None


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

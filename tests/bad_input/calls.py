"""Every call of the API that is right but for one thing, made from the description and the corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from urllib.parse import quote

from tests.bad_input.corpus import Item, read_corpus
from tests.rooms.api.test_description import described

_PLACE = "\N{BLACK SQUARE}"
_DEPTH_MAX = 4
# A longer address is refused by the server before anything of ours sees it.
ADDRESS_BYTES_MAX = 20_000


def nothing() -> None:
    """Return the body of a call that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call; ``never`` says that it must be refused whatever stands in the database."""

    method: str
    template: str
    address: str
    what: str
    # Many are as large as a body may be, and most are never sent: they are made when they are.
    make: Callable[[], bytes | None] = nothing
    never: bool = False
    has_key: bool = True
    change_key: str | None = "new"
    headers: tuple[tuple[str, str], ...] = field(default=())
    status: int | None = None

    @property
    def body(self) -> bytes | None:
        """Make what is sent."""
        return self.make()

    def __str__(self) -> str:
        return f"{self.method} {self.template}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An address and method with something right in all of its places."""

    method: str
    template: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    example: Any
    statuses: frozenset[int]
    is_guarded: bool
    operation_id: str

    def address(self, **given: bytes) -> str:
        """Return the address, with bytes in one of its places."""
        filled = self.template
        for name, value in self.path.items():
            filled = filled.replace(f"{{{name}}}", quote(given.get(name, value.encode()), safe=""))
        words = {name: given[name] for name in self.query if name in given}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in words.items())
        return f"{filled}?{query}" if query else filled


def operations(there: Mapping[str, str]) -> list[Operation]:
    """Return every operation of the description, its places filled with what is there."""
    description = described()
    schemas = description["components"]["schemas"]
    found = []
    for template, methods in description["paths"].items():
        for method, operation in methods.items():
            places = {"path": {}, "query": {}, "header": {}}  # type: dict[str, dict[str, str]]
            for each in operation.get("parameters", ()):
                places[each["in"]][each["name"]] = there.get(each["name"], "x")
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            found.append(
                Operation(
                    method=method.upper(),
                    template=template,
                    path=places["path"],
                    query=places["query"],
                    example=None if schema is None else _example(schema, schemas, there),
                    statuses=frozenset(int(status) for status in operation["responses"]),
                    is_guarded=bool(operation.get("security")),
                    operation_id=operation.get("operationId", ""),
                )
            )
    return found


def bad_calls(operation: Operation) -> list[Call]:
    """Return every call of an operation that has one thing of the corpus in it."""
    return [
        *_in_addresses(operation),
        *_in_fields(operation),
        *_as_bodies(operation),
        *_with_headers(operation),
    ]


def _in_addresses(operation: Operation) -> Iterator[Call]:
    for name in (*operation.path, *operation.query):
        for item, value in _address_values():
            if len(value) > ADDRESS_BYTES_MAX or (
                name in operation.path and not value.strip(b"./")
            ):
                continue
            yield Call(
                method=operation.method,
                template=operation.template,
                address=operation.address(**{name: value}),
                what=f"{name} is {item.name}",
                make=partial(_written, operation.example),
                never=b"\x00" in value,
            )


@cache
def _address_values() -> list[tuple[Item, bytes]]:
    items = (*read_corpus("texts"), *read_corpus("values"))
    return [(item, item.text.encode("utf-8", "surrogatepass")) for item in items]


def _in_fields(operation: Operation) -> Iterator[Call]:
    for where, marked in _marked(operation.example):
        around = json.dumps(marked, ensure_ascii=False).encode()
        for item in (*read_corpus("values"), *read_corpus("texts")):
            yield Call(
                method=operation.method,
                template=operation.template,
                address=operation.address(),
                what=f"{where} is {item.name}",
                make=partial(_filled, around, item),
                never=item.never,
            )
    if isinstance(operation.example, dict):
        for name in ("role", "approved_by", "state", "entities", "tenant_id", "__proto__"):
            yield Call(
                method=operation.method,
                template=operation.template,
                address=operation.address(),
                what=f"{name} is set as well",
                make=partial(_written, operation.example | {name: "admin"}),
                never=True,
            )


def _as_bodies(operation: Operation) -> Iterator[Call]:
    if operation.method == "GET":
        return
    for item in read_corpus("bodies"):
        yield Call(
            method=operation.method,
            template=operation.template,
            address=operation.address(),
            what=f"the body is {item.name}",
            make=partial(_document, item),
            never=item.never,
        )
    for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x", ""):
        yield Call(
            method=operation.method,
            template=operation.template,
            address=operation.address(),
            what=f"the body is {kind or 'of no kind'}",
            make=partial(_written, {}),
            headers=(("Content-Type", kind),),
            status=415,
        )


def _with_headers(operation: Operation) -> Iterator[Call]:
    if not operation.is_guarded:
        return
    for item in read_corpus("headers"):
        yield Call(
            method=operation.method,
            template=operation.template,
            address=operation.address(),
            what=f"the key is {item.name}",
            make=partial(_written, operation.example),
            has_key=False,
            headers=tuple(_headers(item)),
            status=item.facts["status"],
        )
    if operation.method != "POST":
        return
    for item in read_corpus("change_keys"):
        yield Call(
            method=operation.method,
            template=operation.template,
            address=operation.address(),
            what=f"the Idempotency-Key is {item.name}",
            make=partial(_written, operation.example),
            change_key=item.text if "repeat" in item.facts else item.facts["key"],
        )


def _headers(item: Item) -> Iterator[tuple[str, str]]:
    if "repeat" in item.facts:
        name, before, unit, times = item.facts["repeat"]
        yield name, before + unit * times
        return
    for name, value in item.facts["headers"]:
        yield name, value


def _filled(around: bytes, item: Item) -> bytes:
    return around.replace(f'"{_PLACE}"'.encode(), item.fragment)


def _document(item: Item) -> bytes:
    return item.document


def _written(example: Any) -> bytes | None:
    return None if example is None else json.dumps(example).encode()


def _marked(example: Any, where: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the document once per place, with a mark in that place."""
    if where:
        yield where, _PLACE
    if depth == _DEPTH_MAX:
        return
    if isinstance(example, dict):
        for name, value in example.items():
            for inner, marked in _marked(value, f"{where}.{name}".strip("."), depth + 1):
                yield inner, example | {name: marked}
    elif isinstance(example, list) and example:
        for inner, marked in _marked(example[0], f"{where}[]", depth + 1):
            yield inner, [marked, *example[1:]]


def _example(schema: Any, schemas: Mapping[str, Any], there: Mapping[str, str]) -> Any:
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, there)
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas, there)
    for name in ("const", "default"):
        if name in schema and schema[name] not in (None, []):
            return schema[name]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return _example_object(schema, schemas, there)
        case "array":
            return [_example(schema["items"], schemas, there)]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case "string":
            return _example_text(schema)
        case _:
            return None


def _example_object(
    schema: Any, schemas: Mapping[str, Any], there: Mapping[str, str]
) -> dict[str, Any]:
    if "properties" not in schema:
        inner = schema.get("additionalProperties")
        return {"x": _example(inner, schemas, there)} if isinstance(inner, dict) else {}
    return {
        name: there.get(name) or _example(each, schemas, there)
        for name, each in schema["properties"].items()
    }


def _example_text(schema: Any) -> str:
    formats = {
        "date": "2026-10-05",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "date-time": "2026-10-05T09:00:00Z",
    }
    if "format" in schema:
        return formats.get(schema["format"], "x")
    return "0" * 64 if "64" in schema.get("pattern", "") else "x"

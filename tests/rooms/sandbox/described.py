"""Check answers against the vendor's own description, where the folder with descriptions is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft4Validator, FormatChecker


def specs() -> Path:
    """Return the folder of descriptions, or skip."""
    folder = Path(os.environ.get("TIELINE_SHARED", "../shared")) / "specs"
    if not folder.is_dir():
        pytest.skip("the vendors' descriptions are not here; set TIELINE_SHARED to check them")
    return folder


@lru_cache(maxsize=16)
def load(path: Path) -> dict[str, Any]:
    """Read a description once."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    else:
        loaded = json.loads(text)
    described: dict[str, Any] = loaded
    return described


def complain(
    spec: Mapping[str, Any], response: httpx.Response, *, path: str, method: str | None = None
) -> list[str]:
    """Return how an answer differs from what is described for this path."""
    operation = spec["paths"][path][(method or response.request.method).lower()]
    answers = {str(status): answer for status, answer in operation["responses"].items()}
    answer = answers.get(str(response.status_code), answers.get("default"))
    if answer is None:
        return [f"{response.status_code} is not described"]
    content = (answer.get("content") or {}).get("application/json") or (
        answer.get("content") or {}
    ).get("*/*")
    if content is None or not response.content:
        return []
    schema = {**_plain(content["schema"]), "components": _components(spec)}
    validator = Draft4Validator(schema, format_checker=FormatChecker())
    return [
        f"{'/'.join(map(str, error.path))}: {error.message[:200]}"
        for error in validator.iter_errors(response.json())
    ] + _unknown(schema, schema, response.json(), at="")


def _components(spec: Mapping[str, Any]) -> Any:
    key = id(spec)
    if key not in _CACHE:
        _CACHE[key] = {"schemas": _plain(spec["components"]["schemas"])}
    return _CACHE[key]


_CACHE: dict[int, Any] = {}


def _plain(schema: Any) -> Any:
    """Say in JSON Schema what the description says in its dialect: ``nullable``, repaired nulls."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items() if key != "example"}
    if schema.get("nullable") is True:
        without = {key: value for key, value in plain.items() if key != "nullable"}
        return {"anyOf": [without, {"type": "null"}], "properties": without.get("properties", {})}
    return plain


def _unknown(root: Mapping[str, Any], schema: Any, value: Any, *, at: str) -> list[str]:
    """Return properties of an answer that the description does not know."""
    schema = _resolved(root, schema)
    if isinstance(value, list):
        items = schema.get("items")
        found = [_unknown(root, items, item, at=f"{at}[]") for item in value] if items else []
        return sorted({line for lines in found for line in lines})
    if not isinstance(value, dict) or "properties" not in schema or not schema["properties"]:
        return []
    lines = []
    for name, item in value.items():
        if name not in schema["properties"]:
            lines.append(f"{at}/{name} is not described")
        else:
            lines += _unknown(root, schema["properties"][name], item, at=f"{at}/{name}")
    return lines


def _resolved(root: Mapping[str, Any], schema: Any) -> Any:
    while isinstance(schema, dict) and "$ref" in schema:
        target: Any = root
        for word in re.sub(r"^#/", "", schema["$ref"]).split("/"):
            target = target[word]
        schema = target
    for choice in schema.get("anyOf", []) if isinstance(schema, dict) else []:
        if isinstance(choice, dict) and "$ref" in choice:
            return _resolved(root, choice)
    return schema if isinstance(schema, dict) else {}

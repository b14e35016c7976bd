"""Name what a new description of the API takes away from callers of the old one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Description = Mapping[str, Any]


def breaking_changes(old: Description, new: Description) -> list[str]:
    """Return a sentence for every change that may break a caller."""
    return list(_addresses(old, new))


def _addresses(old: Description, new: Description) -> Iterator[str]:
    for path, methods in old["paths"].items():
        for method, was in methods.items():
            name = f"{method.upper()} {path}"
            becomes = new["paths"].get(path, {}).get(method)
            if becomes is None:
                yield f"{name} is gone"
                continue
            yield from _parameters(name, was, becomes)
            yield from _bodies(name, was, becomes, old, new)
            yield from _answers(name, was, becomes, old, new)


def _parameters(name: str, was: Description, becomes: Description) -> Iterator[str]:
    known = {(each["in"], each["name"]): each for each in was.get("parameters", ())}
    given = {(each["in"], each["name"]): each for each in becomes.get("parameters", ())}
    for place in known.keys() - given.keys():
        yield f"{name} no longer takes {place[0]} {place[1]}"
    for place, each in given.items():
        if each.get("required") and not known.get(place, {}).get("required"):
            yield f"{name} now demands {place[0]} {place[1]}"


def _bodies(
    name: str, was: Description, becomes: Description, old: Description, new: Description
) -> Iterator[str]:
    before, after = _schema(was.get("requestBody")), _schema(becomes.get("requestBody"))
    if after is None:
        return
    if before is None:
        yield f"{name} now demands a body"
        return
    fields, wanted = _fields(before, old), _fields(after, new)
    for field in sorted(fields.keys() - wanted.keys()):
        yield f"{name} no longer takes {field}"
    for field, (kind, is_required) in sorted(wanted.items()):
        if is_required and not fields.get(field, ("", False))[1]:
            yield f"{name} now demands {field}"
        if field in fields and not fields[field][0] <= kind:
            yield f"{name} takes another kind of {field}"


def _answers(
    name: str, was: Description, becomes: Description, old: Description, new: Description
) -> Iterator[str]:
    for status, answer in was["responses"].items():
        if status not in becomes["responses"]:
            yield f"{name} no longer answers {status}"
            continue
        before, after = _schema(answer), _schema(becomes["responses"][status])
        fields = _fields(before, old) if before is not None else {}
        told = _fields(after, new) if after is not None else {}
        for field, (kind, is_required) in sorted(fields.items()):
            if field not in told:
                yield f"{name} no longer tells {field}"
            elif is_required and not told[field][1]:
                yield f"{name} may leave {field} out now"
            elif not told[field][0] <= kind:
                yield f"{name} tells another kind of {field}"


def _schema(part: Description | None) -> Description | None:
    for content in (part or {}).get("content", {}).values():
        schema: Description = content.get("schema", {})
        return schema
    return None


def _fields(
    schema: Description, description: Description, prefix: str = "", seen: tuple[str, ...] = ()
) -> dict[str, tuple[frozenset[str], bool]]:
    """Return every field by its path, with the kinds it may have and whether it is always there."""
    found: dict[str, tuple[frozenset[str], bool]] = {}
    for part in _parts(schema, description):
        reference = str(part.get("title", ""))
        if reference and seen.count(reference) > 1:
            continue
        required = set(part.get("required", ()))
        for field, child in part.get("properties", {}).items():
            path = f"{prefix}{field}"
            found[path] = (_kinds(child, description), field in required)
            found.update(_fields(child, description, f"{path}.", (*seen, reference)))
        for child in (part.get("items"), *part.get("prefixItems", ())):
            if child:
                found.update(_fields(child, description, f"{prefix}[].", (*seen, reference)))
    return found


def _kinds(schema: Description, description: Description) -> frozenset[str]:
    return frozenset(
        f"{part.get('type', 'anything')}{':' + part['format'] if 'format' in part else ''}"
        for part in _parts(schema, description)
    )


def _parts(schema: Description, description: Description) -> list[Description]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _parts(description["components"]["schemas"][name], description)
    if "anyOf" in schema:
        return [part for each in schema["anyOf"] for part in _parts(each, description)]
    return [schema]

"""Exact JSON: the bytes of each record as they came, and numbers read from their text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

_DIGITS_MAX = 4_000
# Reads the same values of what it reads, and refuses more: halves of characters, marks of byte order, long numbers.
_QUICK: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Brackets:
    """What stands around the parts of a value."""

    name: str
    opening: str
    closing: str


_IN_ARRAYS = _Brackets(name="array", opening="[", closing="]")
_IN_OBJECTS = _Brackets(name="object", opening="{", closing="}")
_SPACES = frozenset(" \t\r\n")
# How far a value reaches is asked of it; what it says is read by others.
_STEPS = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
_UNNAMED_DIGITS = 16


class NotJson(ValueError):
    """The bytes are not the JSON they claim to be; says nothing of their content."""


def decode_exact(body: bytes) -> Any:
    """Read JSON with fractions, and whole numbers too long to be meant, as Decimal; NaN is refused.

    :raises NotJson: the bytes are not JSON.
    """
    try:
        return _QUICK.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError, ArithmeticError):
        return _decode_slowly(body)


def decode_page(body: bytes) -> Any:
    """Read a page of records whose own bytes are read apart: a NaN in one of them is a word here, and refused there.

    :raises NotJson: the bytes are not JSON.
    """
    try:
        return decode_exact(body)
    except NotJson:
        return _read(body, parse_float=Decimal, parse_int=_whole, parse_constant=str)


def unnamed(body: bytes) -> str:
    """Name a record that has no id after its bytes, so that it is kept and told of."""
    return f"unnamed-{hashlib.sha256(body).hexdigest()[:_UNNAMED_DIGITS]}"


def encode_exact(value: Any) -> bytes:
    """Write JSON with Decimal as a number, digit for digit.

    :raises NotJson: a number is not finite.
    """
    try:
        return msgspec.json.encode(_with_raw_numbers(value))
    except (TypeError, ValueError) as error:
        raise NotJson("the value cannot be written as JSON") from error


def array_slices(body: bytes, *, field: str) -> list[bytes]:
    """Cut every element of the array under a member name of the page, byte for byte.

    :raises NotJson: the page is not JSON, has no such member, or it is not an array.
    """
    members = member_slices(body)
    if field not in members:
        raise NotJson(f"the page has no {field}")
    return element_slices(members[field])


def element_slices(body: bytes) -> list[bytes]:
    """Cut every element of an array, byte for byte.

    :raises NotJson: the bytes are not an array.
    """
    try:
        return [bytes(element) for element in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [element for _, element in _cut(body, _IN_ARRAYS)]


def member_slices(body: bytes) -> dict[str, bytes]:
    """Cut every member of an object, byte for byte.

    :raises NotJson: the bytes are not an object.
    """
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return dict(_cut(body, _IN_OBJECTS))
    return {name: bytes(value) for name, value in members.items()}


def envelope(members: Mapping[str, bytes | list[bytes]]) -> bytes:
    """Join exact slices into one object without touching a byte of them."""
    parts = []
    for name, value in members.items():
        joined = value if isinstance(value, bytes) else b"[" + b",".join(value) + b"]"
        parts.append(json.dumps(name).encode() + b":" + joined)
    return b"{" + b",".join(parts) + b"}"


def _cut(body: bytes, brackets: _Brackets) -> list[tuple[str, bytes]]:
    """Cut what the quick reader refuses: one text with half of a character is no reason to lose its whole page."""
    try:
        return list(_cuts(body.decode(), brackets))
    except (ValueError, IndexError, StopIteration, RecursionError) as error:
        raise NotJson(f"the value is not an {brackets.name}") from error


def _cuts(text: str, brackets: _Brackets) -> Iterator[tuple[str, bytes]]:
    place = _after(text, 0, brackets.opening)
    while text[place] != brackets.closing:
        name = ""
        if brackets is _IN_OBJECTS:
            # Its name is a text: what begins otherwise is refused.
            name, place = _STEPS.raw_decode(text, _after(text, place, '"') - 1)
            place = _after(text, place, ":")
        _, end = _STEPS.raw_decode(text, place)
        yield name, text[place:end].encode()
        place = _skip(text, end)
        if text[place] != brackets.closing:
            place = _after(text, place, ",")
            if text[place] == brackets.closing:
                raise ValueError("nothing follows a comma")
    if _skip(text, place + 1) < len(text):
        raise ValueError("something follows the end")


def _after(text: str, place: int, sign: str) -> int:
    """Return the place of what follows a sign.

    :raises ValueError, IndexError: it is not there.
    """
    place = _skip(text, place)
    if text[place] != sign:
        raise ValueError(f"{sign} is missing")
    return _skip(text, place + 1)


def _skip(text: str, place: int) -> int:
    while text[place : place + 1] in _SPACES:
        place += 1
    return place


def _decode_slowly(body: bytes) -> Any:
    try:
        return _read(body, parse_float=Decimal, parse_constant=_refuse)
    except NotJson:
        # One number of thousands of digits is no reason to lose its whole page.
        return _read(body, parse_float=Decimal, parse_int=_whole, parse_constant=_refuse)


def _read(body: bytes, **hooks: Callable[[str], Any]) -> Any:
    try:
        return json.loads(body, **hooks)  # type: ignore[arg-type]
    except (ValueError, RecursionError) as error:
        raise NotJson("the body is not JSON") from error


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _DIGITS_MAX else Decimal(digits)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _with_raw_numbers(value: Any) -> Any:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("a number is not finite")
        return msgspec.Raw(format(value, "f").encode())
    if isinstance(value, float):
        raise TypeError("a float has no exact text")
    if isinstance(value, Mapping):
        return {name: _with_raw_numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_raw_numbers(item) for item in value]
    return value

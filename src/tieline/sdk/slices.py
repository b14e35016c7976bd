"""Exact JSON: the bytes of each record as they came, and numbers read from their text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

_DIGITS_MAX = 4_000
# Reads the same values of what it reads, and refuses more: halves of characters, marks of byte order, long numbers.
_QUICK: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)


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
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotJson("the value is not an array") from error


def member_slices(body: bytes) -> dict[str, bytes]:
    """Cut every member of an object, byte for byte.

    :raises NotJson: the bytes are not an object.
    """
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotJson("the value is not an object") from error
    return {name: bytes(value) for name, value in members.items()}


def envelope(members: Mapping[str, bytes | list[bytes]]) -> bytes:
    """Join exact slices into one object without touching a byte of them."""
    parts = []
    for name, value in members.items():
        joined = value if isinstance(value, bytes) else b"[" + b",".join(value) + b"]"
        parts.append(json.dumps(name).encode() + b":" + joined)
    return b"{" + b",".join(parts) + b"}"


def _decode_slowly(body: bytes) -> Any:
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _decode_long(body)


def _decode_long(body: bytes) -> Any:
    """Read once more: one number of thousands of digits is no reason to lose its whole page."""
    try:
        return json.loads(body, parse_float=Decimal, parse_int=_whole, parse_constant=_refuse)
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

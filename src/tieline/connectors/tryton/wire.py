"""Tryton's typed values inside JSON."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any


class Digits(Decimal):
    """A number that Tryton wants as a plain JSON number, such as a quantity."""


def encode(value: Any) -> Any:
    """Return the form Tryton wants for a typed value.

    :raises TypeError: the value has no form; floats among them.
    """
    match value:
        case bool() | int() | str() | None:
            return value
        case Digits():
            return Decimal(value)
        case Decimal():
            return {"__class__": "Decimal", "decimal": str(value)}
        case datetime():
            return {
                "__class__": "datetime",
                **_day(value),
                "hour": value.hour,
                "minute": value.minute,
                "second": value.second,
                "microsecond": value.microsecond,
            }
        case date():
            return {"__class__": "date", **_day(value)}
        case timedelta():
            return {"__class__": "timedelta", "seconds": value // timedelta(seconds=1)}
        case dict():
            return {name: encode(inner) for name, inner in value.items()}
        case list() | tuple():
            return [encode(inner) for inner in value]
        case _:
            raise TypeError(f"{type(value).__name__} has no form in Tryton's JSON")


def decode(text: str | bytes) -> Any:
    """Read a reply; numbers with a point become Decimal from their own digits.

    :raises ValueError: this is not the JSON that Tryton speaks.
    """
    return json.loads(
        text, object_hook=_typed, parse_float=Decimal, parse_constant=_refuse_constant
    )


def _day(value: date) -> dict[str, int]:
    return {"year": value.year, "month": value.month, "day": value.day}


def _typed(found: dict[str, Any]) -> Any:
    match found.get("__class__"):
        case "Decimal":
            return Decimal(found["decimal"])
        case "date":
            return date(found["year"], found["month"], found["day"])
        case "datetime":
            # Tryton's instants carry no zone; translate.utc says which one they are in.
            return datetime(  # noqa: DTZ001
                found["year"],
                found["month"],
                found["day"],
                found["hour"],
                found["minute"],
                found["second"],
                found["microsecond"],
            )
        case "timedelta":
            return timedelta(seconds=int(found["seconds"]))
        case _:
            return found


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number")

"""What counts as a change: a keyed hash over the canonical values of a noun's material fields."""

from __future__ import annotations

import hmac
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any

from tieline.canonical import TimeEntry

MATERIAL_VERSION = 1
TIME_FIELDS = (
    "person_ref",
    "project_ref",
    "task_ref",
    "labor_category",
    "work_date",
    "seconds",
    "billable",
    "approval",
    "narrative",
)
_TIME_VALUES = attrgetter(*TIME_FIELDS)


def time_material_hash(entry: TimeEntry, *, key: bytes, is_deleted: bool) -> bytes:
    """Return HMAC-SHA256 over the material fields of an hour; deletion is material."""
    *values, narrative = _TIME_VALUES(entry)
    parts = [_common_part(value) for value in values]
    # What somebody wrote is said once, and kept nowhere.
    parts += (_part(_word(narrative)), _common_part(is_deleted))
    return hmac.digest(key, b"".join(parts), "sha256")


def noun_material_hash(noun: Any, *, key: bytes, is_deleted: bool) -> bytes:
    """Return HMAC-SHA256 over all fields of any other noun."""
    return _digest([*_words(noun), str(is_deleted)], key=key)


def as_json(value: Any) -> Any:
    """Return a canonical value as JSON: dates in ISO form, decimals as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    return value


def _words(value: Any) -> list[str]:
    if is_dataclass(value) and not isinstance(value, type):
        words: list[str] = []
        for field in fields(value):
            words.append(field.name)
            words.extend(_words(getattr(value, field.name)))
        return words
    if isinstance(value, dict):
        return [word for name in sorted(value) for word in (name, *_words(value[name]))]
    if isinstance(value, (list, tuple)):
        return [str(len(value)), *(word for item in value for word in _words(item))]
    return [_word(value)]


def _word(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return "\x00"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


# The hours of a page share most of what is material: people, projects, days, durations. 1, 1.0 and True are not the
# same word.
@lru_cache(maxsize=16_384, typed=True)
def _common_part(value: Any) -> bytes:
    return _part(_word(value))


def _part(word: str) -> bytes:
    encoded = word.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def _digest(words: list[str], *, key: bytes) -> bytes:
    return hmac.digest(key, b"".join([_part(word) for word in words]), "sha256")

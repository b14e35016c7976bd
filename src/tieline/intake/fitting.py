"""What no table can hold is one record's fault: it becomes a case, and the rest of its page goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from tieline.canonical import TimeEntry
from tieline.intake.material import as_json
from tieline.sdk import Untranslatable

SECONDS_MAX = 2**31 - 1
# A name of more characters is none; a narrative may be as long as it is.
TEXT_CHARACTERS_MAX = 10_000
# What no amount of money has, and what a decimal keeps exactly.
DIGITS_MAX = 28
_WORDS = (
    "narrative",
    "person_ref",
    "project_ref",
    "task_ref",
    "labor_category",
    "zone",
    "approval_word",
    "approver_ref",
)


def unstorable(noun: Any) -> Untranslatable | None:
    """Say which value of a noun cannot be stored, or None."""
    if not isinstance(noun, TimeEntry):
        if not all(map(_is_kept_exactly, _numbers(noun))):
            return _because("number")
        return None if _fits(as_json(noun)) else _because("text")
    for name in _WORDS:
        word = getattr(noun, name)
        if word is not None and not _is_text(word):
            return _because(name)
    if not -SECONDS_MAX <= noun.seconds <= SECONDS_MAX:
        return _because("seconds")
    # A connector hands on what a source says, whatever its type promises.
    billable: Any = noun.billable
    if billable is not None and not isinstance(billable, bool):
        return _because("billable")
    return None


def _is_text(word: Any) -> bool:
    """Tell whether a word has no NUL and no half of a character."""
    if not isinstance(word, str) or "\0" in word:
        return False
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits(value: Any) -> bool:
    match value:
        case str():
            return len(value) <= TEXT_CHARACTERS_MAX and _is_text(value)
        case dict():
            return all(_is_text(name) and _fits(item) for name, item in value.items())
        case list():
            return all(_fits(item) for item in value)
        case _:
            return True


def _numbers(value: Any) -> Iterator[Decimal]:
    match value:
        case Decimal():
            yield value
        case dict():
            for item in value.values():
                yield from _numbers(item)
        case list() | tuple():
            for item in value:
                yield from _numbers(item)
        case _ if is_dataclass(value):
            for field in fields(value):
                yield from _numbers(getattr(value, field.name))
        case _:
            pass


def _is_kept_exactly(number: Decimal) -> bool:
    """Tell whether a number can be written out and reckoned with, digit for digit."""
    _, digits, exponent = number.as_tuple()
    is_finite = isinstance(exponent, int)
    return is_finite and len(digits) <= DIGITS_MAX and abs(number.adjusted()) < DIGITS_MAX


def _because(field: str) -> Untranslatable:
    return Untranslatable(
        reason="translate.value_unreadable",
        message=f"{field} holds what cannot be kept as it is",
        field=field,
    )

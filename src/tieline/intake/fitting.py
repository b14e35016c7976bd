"""What no table can hold is one record's fault: it becomes a case, and the rest of its page goes on."""

from __future__ import annotations

from typing import Any

from tieline.canonical import TimeEntry
from tieline.intake.material import as_json
from tieline.sdk import Untranslatable

SECONDS_MAX = 2**31 - 1
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
            return _is_text(value)
        case dict():
            return all(_is_text(name) and _fits(item) for name, item in value.items())
        case list():
            return all(_fits(item) for item in value)
        case _:
            return True


def _because(field: str) -> Untranslatable:
    return Untranslatable(
        reason="translate.value_unreadable",
        message=f"{field} holds what cannot be kept as it is",
        field=field,
    )

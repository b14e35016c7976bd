"""What Tryton's own sentences mean for us, in one table; HTTP statuses mean what they always do."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tieline.kernel.errors import (
    AlreadyExists,
    AskPerson,
    MendTieline,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StreamBroken,
    TielineError,
)


class Call(StrEnum):
    """Say whether a call may change something, for then a lost answer is not a failed call."""

    READ = "read"
    WRITE = "write"


# First match wins; the words are Tryton's English messages, which the context asks for.
SENTENCES: tuple[tuple[str, str], ...] = (
    ("must be unique", "exists"),
    ("because it has been invoiced", "target.invoiced"),
    ("you must reopen the period", "target.period_closed"),
    ("closed period", "target.period_closed"),
    ("does not exist", "target.reference_unknown"),
    ("A value is required for field", "target.value_missing"),
    ("is not valid according to its domain", "target.value_not_valid"),
    ("must be positive", "target.value_not_valid"),
    ("The number of digits", "target.value_not_valid"),
    ("is too long", "target.value_not_valid"),
    ("is not valid", "target.value_not_valid"),
    ("they are used", "target.in_use"),
    ("it is used", "target.in_use"),
    ("are used", "target.in_use"),
    ("you must cancel it", "target.state"),
)
_RIGHTS = "You are not allowed to access"
OTHER_REFUSAL = "target.refused"


def lost(*, call: Call, message: str) -> TielineError:
    """Return the error for an answer that never came whole."""
    return OutcomeUnknown(message) if call is Call.WRITE else StreamBroken(message)


def from_error(*, error: Any, call: Call, method: str) -> TielineError:
    """Return the error for the ``error`` member of a reply, which Tryton rolled back."""
    match error:
        case ["UserError", [str(message), *_]]:
            return _from_sentence(message)
        case ["UserWarning", [str(name), str(message), *_]]:
            return Refused(
                f"Tryton wants this warning acknowledged by a person: {message}",
                reason="target.warning",
                target_code=name,
            )
        case ["ConcurrencyException", *_]:
            return NotExecuted(f"Tryton saw the record change during {method}")
        case ["LoginException", *_]:
            return AskPerson("Tryton wants the integration user to log in with more than one step")
        case [str(message), *_] if message.startswith("'"):
            # A bare KeyError: the connector named a model or field that is not there.
            return MendTieline(f"Tryton does not know {message} in {method}")
        case _:
            # Any other exception may have come out of the commit itself.
            return lost(call=call, message=f"Tryton failed in {method} without saying why")


def _from_sentence(message: str) -> TielineError:
    if message.startswith(_RIGHTS):
        return AskPerson(f"Tryton: {message}")
    for words, reason in SENTENCES:
        if words in message:
            if reason == "exists":
                return AlreadyExists(f"Tryton: {message}", reason="target.exists")
            return Refused(f"Tryton: {message}", reason=reason)
    return Refused(f"Tryton: {message}", reason=OTHER_REFUSAL)

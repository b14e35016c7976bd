"""Errors named by what to do next: try again, ask a person, or mend Tieline.

For writes to a foreign system the question is sharper: did it surely not happen, was it refused,
or is the outcome unknown.
"""

from __future__ import annotations


class TielineError(Exception):
    """Carry one sentence that names the things; never bodies or secrets."""

    code = "tieline.error"


class UserMistake(TielineError):
    """What was asked for cannot be done; the sentence says what to change."""

    code = "request.invalid"


class TryAgain(TielineError):
    """Nothing was done; the same call may work later."""

    code = "call.try_again"

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class AskPerson(TielineError):
    """Nothing will change until a person acts, such as on refused credentials."""

    code = "call.ask_person"


class MendTieline(TielineError):
    """The code or its configuration is wrong; needs a code change."""

    code = "tieline.defect"


class NotExecuted(TryAgain):
    """The write surely did not happen: refused connection, documented 429."""

    code = "write.not_executed"


class HeldBack(NotExecuted):
    """Our own budget let nothing go: the vendor was not called, so it said nothing."""

    code = "call.held_back"


class Refused(TielineError):
    """The target understood the write and refused it: a documented validation answer."""

    code = "write.refused"

    def __init__(self, message: str, *, reason: str, target_code: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.target_code = target_code


class AlreadyExists(Refused):
    """The target holds a record under our key; compare its content."""

    code = "write.already_exists"


class OutcomeUnknown(TielineError):
    """The write may or may not have happened; only a read-back can tell."""

    code = "write.outcome_unknown"


class LeaseLost(TielineError):
    """Our right to act may have passed on: nothing more is sent or recorded by this run."""

    code = "call.lease_lost"


class StreamBroken(TryAgain):
    """A read stopped before its end; nothing may be concluded from what is missing."""

    code = "read.broken"

"""Switch off one safety of a worker, so that the proof shows that it can fail.

Each takes away one thing by replacing it in this process; nothing in the product asks for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tieline.canonical import TimeLineCommand
from tieline.posting import line_sending, lines
from tieline.posting.line_sending import LineSender
from tieline.posting.lines import LinePoster, Scope
from tieline.proof.books import BooksConnector
from tieline.runtime.leases import Fence
from tieline.sdk import StoredLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Sabotage:
    """One safety: what goes without it, and the profile in which it carries the weight.

    ``sleeps_at`` is where a sleeper must fall asleep for it to matter; '' is anywhere.
    """

    profile: str
    meaning: str
    apply: Callable[[], None]
    sleeps_at: str = ""


def _no_fence() -> None:
    _replace(Fence, "check", lambda _self: None)
    sending: Any = line_sending
    for room in (lines, sending):
        _replace(room, "hold", lambda *_args, **_words: None)
    confirm = sending.confirm

    def confirm_whatever_came_between(
        connection: Any, *, lines: Sequence[Any], **words: Any
    ) -> int:
        confirm(connection, lines=lines, **words)
        return len(lines)

    _replace(sending, "confirm", confirm_whatever_came_between)


def _no_settle() -> None:
    _replace(lines, "settle_seconds", lambda *_args, **_words: 0)


def _no_key() -> None:
    as_line = BooksConnector.as_line

    def as_line_with_another_key(self: BooksConnector, line: TimeLineCommand) -> dict[str, Any]:
        content = as_line(self, line)
        return {**content, "reference": f"{content['reference']} {secrets.token_hex(4)}"}

    _replace(BooksConnector, "as_line", as_line_with_another_key)


def _no_commit() -> None:
    call = LineSender._call

    def call_before_the_intent(
        self: LineSender, commands: Sequence[TimeLineCommand], outcome: Any
    ) -> None:
        keys = [command.business_key for command in commands]
        _set_state(self, keys, "PLANNED")
        call(self, commands, outcome)
        _set_state(self, keys, "INTENT")

    _replace(LineSender, "_call", call_before_the_intent)


def _no_probe() -> None:
    settle = LinePoster._settle

    def settle_unasked(
        self: LinePoster, scope: Scope, rows: list[Any], _found: list[StoredLine]
    ) -> Any:
        return settle(self, scope, rows, [])

    _replace(LinePoster, "_settle", settle_unasked)


def _set_state(sender: LineSender, keys: Sequence[Any], state: str) -> None:
    with sender.database.transaction() as connection:
        connection.execute(
            "UPDATE effect SET state = %s, due_at = NULL WHERE business_key = ANY (%s)",
            (state, list(keys)),
        )


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


SABOTAGES: Mapping[str, Sabotage] = {
    "fence": Sabotage(
        profile="probe",
        meaning="who slept through the loss of a lease sends and records when waking up",
        apply=_no_fence,
        sleeps_at="lines.after_intent",
    ),
    "settle": Sabotage(
        profile="probe",
        meaning="the target is asked before a lost write can have committed",
        apply=_no_settle,
    ),
    "key": Sabotage(
        profile="unique",
        meaning="a line sent again carries another key than the first time",
        apply=_no_key,
    ),
    "commit": Sabotage(
        profile="probe",
        meaning="the intent is not committed before the first byte leaves",
        apply=_no_commit,
    ),
    "probe": Sabotage(
        profile="probe",
        meaning="what is unknown is taken for absent without asking",
        apply=_no_probe,
    ),
}

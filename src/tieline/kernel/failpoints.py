"""Named places where a test may end or stop the process, so that every crash point can be enumerated.

``FAILPOINTS`` is all of them: a test kills a process at each and lets another go on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from tieline.kernel.errors import UserMistake

VARIABLE = "TIELINE_FAILPOINT"
EXIT_CODE = 137
PAUSE = "pause"

# What single records are written and taken back, and the kinds of steps of a plan.
WRITTEN_NOUNS = ("assignment", "client", "contract", "employee", "project", "status", "task")
UNDONE_NOUNS = tuple(noun for noun in WRITTEN_NOUNS if noun != "status")
# What is set on records that stand.
ALIGNED_NOUNS = ("field",)
PLAN_STEPS = (
    "activate",
    "crm.status",
    "erp.client",
    "erp.contract",
    "erp.employee",
    "erp.project",
    "erp.task",
    "time.assignment",
    "time.client",
    "time.project",
    "time.task",
)
FAILPOINTS = frozenset(
    {
        "intake.after_raw",
        "intake.after_versions",
        "invoice.after_answer",
        "invoice.after_intent",
        "judge.after_commit",
        "lines.after_answer",
        "lines.after_intent",
        "lines.after_probe",
        "lines.after_read_back",
        "lines.after_record",
        "lines.before_probe",
        "notice.after_answer",
        "notice.after_intent",
        "post_lines.between_rounds",
        "provision.after_post",
        "provision.after_undo",
        "provision.undo",
        "voids.after_answer",
        "voids.after_intent",
        "watchdog.after_cancel",
        *(
            f"post.{noun}.{moment}"
            for noun in (*WRITTEN_NOUNS, *ALIGNED_NOUNS)
            for moment in ("after_intent", "after_answer", "after_probe")
        ),
        *(
            f"undo.{noun}.{moment}"
            for noun in UNDONE_NOUNS
            for moment in ("after_intent", "after_answer")
        ),
        *(f"provision.{step}" for step in PLAN_STEPS),
    }
)
_hits: dict[str, int] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Die, or stand still until somebody says go on, at the n-th passage of a place."""

    name: str
    passage: int
    is_pause: bool


def read_wanted(environment: Mapping[str, str]) -> Wanted | None:
    """Return where ``TIELINE_FAILPOINT=name:n`` wants this process to die, None without it.

    With ``name:n:pause`` it stands still there, as a machine does that is put to sleep.

    :raises UserMistake: there is no such place, or no such passage.
    """
    given = environment.get(VARIABLE)
    if not given:
        return None
    name, _, rest = given.partition(":")
    passage, _, manner = rest.partition(":")
    if name not in FAILPOINTS:
        raise UserMistake(f"{VARIABLE} names {name}, which is no failpoint of this version")
    if passage and not (passage.isdecimal() and int(passage) > 0):
        raise UserMistake(f"{VARIABLE} counts passages from 1: {given} names none")
    if manner not in ("", PAUSE):
        raise UserMistake(f"{VARIABLE} ends a process or makes it {PAUSE}: {given} says {manner}")
    return Wanted(name=name, passage=int(passage or "1"), is_pause=manner == PAUSE)


def failpoint(name: str) -> None:
    """End the process as kill -9 would when the environment wants it to die here."""
    wanted = read_wanted(os.environ)
    if wanted is None:
        return
    if name not in FAILPOINTS:
        raise LookupError(f"the failpoint {name} is not among FAILPOINTS: register it there")
    if wanted.name != name:
        return
    with _lock:
        _hits[name] = _hits.get(name, 0) + 1
        is_due = _hits[name] == wanted.passage
    if is_due and wanted.is_pause:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif is_due:
        os._exit(EXIT_CODE)

"""Where a process may die, and what comes of it when another goes on."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.conftest import PreparedCluster, new_database
from tests.faults.stories import STORIES, Stage, State, play
from tieline.kernel.failpoints import EXIT_CODE, PLAN_STEPS, UNDONE_NOUNS, WRITTEN_NOUNS

_PATIENCE_SECONDS = 60
# These are written to the ERP first, then to the time tool, which knows no keys.
_TWICE = ("client", "project", "task")
Deaths = tuple[str, ...]
Case = tuple[str, Deaths]


def _cases() -> Iterator[Case]:
    for name in ("intake.after_raw", "intake.after_versions"):
        yield from (("hours", (f"{name}:{page}",)) for page in (1, 2))
    for name in (
        "judge.after_commit",
        "lines.after_intent",
        "lines.after_answer",
        "lines.after_read_back",
        "lines.after_record",
        "post_lines.between_rounds",
        "voids.after_intent",
        "voids.after_answer",
    ):
        yield "hours", (name,)
    yield "hours", ("lines.after_intent", "lines.before_probe")
    yield "hours", ("lines.after_answer", "lines.before_probe")
    yield "hours", ("voids.after_answer", "lines.before_probe")
    yield "hours", ("lines.after_answer", "lines.after_probe")
    yield from (("invoice", (name,)) for name in ("invoice.after_intent", "invoice.after_answer"))
    for name in ("notice.after_intent", "notice.after_answer"):
        yield from (("messages", (f"{name}:{number}",)) for number in (1, 3))
        # A desk knows no keys: it is asked for what may stand there.
        yield "desk", (f"{name}:1",)
    yield from (("won", (f"provision.{step}",)) for step in PLAN_STEPS)
    yield from (("won", (f"provision.after_post:{number}",)) for number in (1, 6, 11))
    for noun, number in _numbered(WRITTEN_NOUNS):
        sent, answered = f"post.{noun}.after_intent:{number}", f"post.{noun}.after_answer:{number}"
        yield from (("won", (died,)) for died in (sent, answered))
        # Asked about what never left, where the target knows no keys; else about what stands.
        yield "won", (sent if number == 2 else answered, f"post.{noun}.after_probe")
    for noun in ("employee", "assignment"):
        for moment in ("after_intent", "after_answer"):
            yield "staffed", (f"post.{noun}.{moment}",)
    for noun, number in _numbered(UNDONE_NOUNS):
        for moment in ("after_intent", "after_answer"):
            yield "refused", (f"undo.{noun}.{moment}:{number}",)
    for name in ("provision.undo", "provision.after_undo"):
        yield from (("refused", (f"{name}:{number}",)) for number in (1, 5))


def _numbered(nouns: Sequence[str]) -> Iterator[tuple[str, int]]:
    return ((noun, number) for noun in nouns for number in (1, 2)[: 2 if noun in _TWICE else 1])


CASES = list(_cases())
_numbers = itertools.count(1)
# Each process is a fork of one that has read the code already; its pools are its own.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.faults.stories"])


def run(stage: Stage, failpoint: str | None) -> int | None:
    process = _forks.Process(target=play, args=(stage, failpoint))
    process.start()
    process.join(_PATIENCE_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    code = process.exitcode
    process.close()
    return code


def end_of(
    story: str,
    cluster: PreparedCluster,
    folder: Path,
    deaths: Deaths,
    *,
    surely: int | None = None,
) -> State:
    """Let one process after the other die, and a last one come to the end.

    The first ``surely`` of them (None: all) must pass the place where they are told to die.
    """
    place = folder / f"{story}-{next(_numbers)}"
    place.mkdir()
    with (
        new_database(cluster) as dsns,
        STORIES[story].set_stage(story, dsns, place) as (stage, vendors),
    ):
        for number, failpoint in enumerate(deaths):
            code = run(stage, failpoint)
            is_optional = surely is not None and number >= surely
            assert code == EXIT_CODE or (is_optional and code == 0), f"{failpoint} was not passed"
        assert run(stage, None) == 0
        return STORIES[story].look(stage, vendors)

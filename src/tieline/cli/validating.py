"""Judge a file of hours: no server is needed, and no installation either."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tieline.cli.showing import hours, show_json, show_table, tell
from tieline.cli.tools import GOAL_MISSED, Tools, json_option, pass_tools, read_bytes
from tieline.kernel.errors import UserMistake
from tieline.runtime.postgres import EmbeddedCluster
from tieline.settings import Settings, read_settings

if TYPE_CHECKING:
    from tieline.services.file_judging import JudgedFile
    from tieline.services.hours_file import HoursFile
    from tieline.services.system import System

_PROBLEMS_TOLD_MAX = 200


@click.command("validate")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="The hours, as JSON or CSV: docs/reference/hours-file.md.",
)
@click.option(
    "--context",
    "context_file",
    type=click.Path(path_type=Path),
    help="The firm, as JSON, where the file of hours does not hold it.",
)
@click.option(
    "--strict", is_flag=True, help="An entry that is held or parked misses the goal, too."
)
@json_option
@pass_tools
def validate(
    tools: Tools, file: Path, context_file: Path | None, strict: bool, as_json: bool
) -> int:
    """Judge the hours of a file; nothing is stored, and no server needs to run.

    Where the file holds the firm it is judged by that, in a database of its own that is gone afterwards;
    else by the installation at hand. Exit 0: every entry could be judged, and with --strict nothing is held.
    """
    from tieline.services.hours_file import read_context, read_hours

    read = read_hours(_body(file), name=file.name)
    context = read.context
    if context_file is not None:
        if context is not None:
            raise UserMistake(f"{file} holds a context, and --context names another: give one")
        context = read_context(_body(context_file), name=context_file.name)
    settings = read_settings()
    if context is None and (settings.secrets_directory / "master.key").exists():
        judged = _by_installation(tools.system(), read)
    else:
        if context is None:
            tell("nothing is known of a firm: neither the file nor an installation says anything")
        with _borrowed_home(settings) as borrowed:
            tell("making a database for this file")
            judged = _by_file(tools.open(borrowed), read, context)
    _tell_problems(judged)
    if as_json:
        show_json({"entries": judged.entries, "summary": judged.summary})
    else:
        _show(judged)
    is_met = judged.is_whole and (judged.is_clear or not strict)
    return 0 if is_met else GOAL_MISSED


def _by_installation(system: System, read: HoursFile) -> JudgedFile:
    from tieline.services.file_judging import judge_file

    tell(f"judging {len(read.records)} entries by {system.settings.home}")
    return judge_file(
        system.judge_database,
        file=read,
        context="installation",
        material_key=system.reader.material_key,
        now=read.as_of or system.clock.now(),
    )


def _by_file(system: System, read: HoursFile, context: Mapping[str, Any] | None) -> JudgedFile:
    from tieline.services.file_judging import judge_file, sources_of
    from tieline.services.firm_file import load_firm

    now = read.as_of or system.clock.now()
    try:
        with system.database.transaction() as connection:
            loaded = load_firm(connection, context=context or {}, sources=sources_of(read), now=now)
        if loaded.problems:
            for problem in loaded.problems[:_PROBLEMS_TOLD_MAX]:
                tell(str(problem))
            more = len(loaded.problems) - _PROBLEMS_TOLD_MAX
            raise UserMistake(
                f"{len(loaded.problems)} problems of the context"
                + (f", {more} of them not shown" if more > 0 else "")
                + ": nothing was judged, for a verdict by half a firm says nothing"
            )
        tell(f"judging {len(read.records)} entries by {loaded.rows} rows of context")
        return judge_file(
            system.judge_database,
            file=read,
            context="none" if context is None else "file",
            material_key=system.reader.material_key,
            now=now,
        )
    finally:
        for database in (system.database, system.judge_database, system.web_database):
            database.close()


@contextmanager
def _borrowed_home(settings: Settings) -> Iterator[Settings]:
    """Lend an empty home with a database of its own; both are gone afterwards, also when told to stop."""
    home = Path(tempfile.mkdtemp(prefix="tieline-validate-"))
    home.chmod(0o755)
    borrowed = replace(settings, home=home, dsn=None, business_now=None)
    cluster = EmbeddedCluster(borrowed.postgres_directory)
    data = cluster.data_directory
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield borrowed
    finally:
        signal.signal(signal.SIGTERM, before)
        cluster.stop()
        shutil.rmtree(cluster.socket_directory, ignore_errors=True)
        if home not in data.parents:
            shutil.rmtree(data.parent, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell_problems(judged: JudgedFile) -> None:
    from tieline.services.file_judging import NOT_JUDGED

    told = [
        reason.message
        for entry in judged.entries
        if entry.verdict == NOT_JUDGED
        for reason in entry.reasons
    ]
    for sentence in told[:_PROBLEMS_TOLD_MAX]:
        tell(sentence)
    if len(told) > _PROBLEMS_TOLD_MAX:
        tell(f"and {len(told) - _PROBLEMS_TOLD_MAX} more problems: see the entries")


def _show(judged: JudgedFile) -> None:
    show_table(
        title=f"{judged.summary.judged} of {judged.summary.entries} entries judged",
        columns=("Place", "Ref", "Hours", "Verdict", "Amount", "Why"),
        rows=[
            (
                entry.place,
                entry.ref or "",
                "" if entry.seconds is None else hours(entry.seconds),
                f"{entry.verdict}, early" if entry.is_early else entry.verdict,
                "" if entry.amount is None else f"{entry.amount} {entry.currency}",
                "; ".join(reason.code for reason in entry.reasons),
            )
            for entry in judged.entries
        ],
    )


def _body(file: Path) -> bytes:
    from tieline.services.hours_file import FILE_BYTES_MAX

    return read_bytes(file, bytes_max=FILE_BYTES_MAX)

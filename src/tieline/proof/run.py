"""`tieline demo`: run the story, write the figures, say whether the promises held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from tieline.proof.console import DemoConsole
from tieline.proof.demo import Demo, Login, OpenSystem, Workers, demo_environment, write_report
from tieline.proof.mailing import with_an_address
from tieline.proof.processes import interrupted_by_signals
from tieline.proof.records import RecordsDemo
from tieline.proof.supervising import alone, fresh, refuse_a_home_in_use, tell
from tieline.proof.town import close_town, erp_directory
from tieline.reconciliation import PLACES
from tieline.sandbox.firm import Firm
from tieline.sdk.directory import Systems
from tieline.settings import Settings

Faults = Mapping[tuple[str, str], int]

MUST_BE_ZERO = (
    "orphan_projects",
    "conservation_gap_seconds",
    "erp_duplicate_lines",
    "erp_missing_lines",
    "reversals_without_cause",
    "cases_without_mistake",
    "invoice_total_mismatch",
    "incidents_not_found",
    "contracts_misjudged",
)
_MUST_BE_ZERO_OF_RECORDS = (
    "orphan_projects",
    "conservation_gap_seconds",
    "erp_duplicate_lines",
    "erp_missing_lines",
)
_POSTED_MIN = 4000
# Fewer, and the run has not met what it claims to survive.
FAULTS_MIN: Faults = {
    ("faults_injected", "answer_lost"): 5,
    ("faults_injected", "late_commit"): 5,
    ("faults_injected", "refuse_503_before|rate_limit_429"): 20,
    ("faults_injected", "skipped_page"): 1,
    ("faults_injected", "stale_read"): 1,
    ("faults_on_time_lines", "answer_lost"): 3,
    ("faults_on_time_lines", "late_commit"): 3,
}
# What a person finds to release of what was handed over when the console stays up, beside what ran before.
_CONTRACTS_LEFT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line asked for."""

    is_once: bool
    json_file: Path | None
    seed: int
    today: date
    input_directory: Path | None
    mapping: Path | None


def run_demo(
    *, options: DemoOptions, settings: Settings, open_system: OpenSystem, systems: Systems
) -> int:
    """Run the demo; 0 only when every promise held. Ctrl-C, SIGTERM or a closed terminal end it all.

    :raises UserMistake: the home is not the demo's to empty.
    """
    refuse_a_home_in_use(settings, made_up_in=erp_directory(settings), what="demo")
    settings.prepare_folders()
    with interrupted_by_signals(), alone(settings.run_directory):
        return _run(options, settings, open_system, systems)


def _run(
    options: DemoOptions, settings: Settings, open_system: OpenSystem, systems: Systems
) -> int:
    if options.input_directory is not None and options.mapping is not None:
        return _run_records(
            options.input_directory, options.mapping, options, settings, open_system, systems
        )
    firm = Firm.generate(options.seed, options.today)
    settings = fresh(replace(settings, business_now=firm.now))
    if not options.is_once:
        settings = with_an_address(settings)
    with demo_environment(settings, firm):
        workers = Workers(settings=settings, progress=tell)
        console = DemoConsole(settings=settings, progress=tell)
        demo = Demo(
            settings=settings,
            firm=firm,
            open_system=open_system,
            progress=tell,
            workers=workers,
            on_people=_nobody_looks if options.is_once else console.open,
            contracts_left=0 if options.is_once else _CONTRACTS_LEFT,
            is_played=options.is_once,
        )
        try:
            *_, figures = demo.run()
            if options.json_file is not None:
                write_report(figures, options.json_file)
            code = _verdict(
                find_broken(figures, MUST_BE_ZERO, posted_min=_POSTED_MIN, faults_min=FAULTS_MIN)
            )
            if not options.is_once:
                console.wait_for_the_end()
        finally:
            workers.stop()
            close_town(settings)
        return code


def _nobody_looks(_logins: Sequence[Login]) -> None:
    """Open no console: the story runs once, for a machine."""


def _run_records(
    directory: Path,
    mapping: Path,
    options: DemoOptions,
    settings: Settings,
    open_system: OpenSystem,
    systems: Systems,
) -> int:
    settings = fresh(settings)
    workers = Workers(settings=settings, progress=tell)
    demo = RecordsDemo(
        settings=settings,
        directory=directory,
        mapping=mapping,
        open_system=open_system,
        systems=systems,
        progress=tell,
        workers=workers,
    )
    try:
        figures = demo.run()
    finally:
        workers.stop()
        close_town(settings)
    if options.json_file is not None:
        write_report(figures, options.json_file)
    for reason, entries in figures["held_by_reason"].items():
        tell(f"  held by {reason}: {entries}")
    return _verdict(find_broken(figures, _MUST_BE_ZERO_OF_RECORDS, posted_min=1, faults_min={}))


def find_broken(
    figures: Mapping[str, Any], must_be_zero: Sequence[str], *, posted_min: int, faults_min: Faults
) -> dict[str, Any]:
    """Return every figure that is not as promised; without the faults a run proves nothing."""
    entries = figures["time_entries"]
    broken = {name: figures.get(name) for name in must_be_zero if figures.get(name) != 0}
    if entries["posted"] < posted_min:
        broken["time_entries.posted"] = entries["posted"]
    if entries["landed"] != sum(entries[place] for place in PLACES):
        broken["time_entries.landed"] = entries["landed"]
    for (where, kinds), least in faults_min.items():
        met = sum(
            count
            for name, count in figures[where].items()
            if name.rpartition(".")[2] in kinds.split("|")
        )
        if met < least:
            broken[f"{where}.{kinds}"] = met
    return broken


def _verdict(broken: Mapping[str, Any]) -> int:
    for name, value in broken.items():
        tell(f"not as promised: {name} = {'not measured' if value is None else value}")
    return 1 if broken else 0

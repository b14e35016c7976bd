"""Prove that nothing is lost and nothing done twice, on this machine, with one's own seed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tieline import __version__
from tieline.cli.showing import show_json, show_table, tell
from tieline.cli.tools import GOAL_MISSED, Tools, installed_settings, pass_tools
from tieline.kernel.errors import UserMistake
from tieline.settings import read_settings

_SEED_MAX = 2**31
_WORDS = (
    ("acknowledged", "Entries the source holds"),
    ("posted", "Posted once"),
    ("waiting_for_a_person", "Waiting for a person"),
    ("lost", "Lost"),
    ("duplicated", "Posted twice"),
    ("told_as_incident", "Of these told by an incident"),
    ("money_difference", "Difference in EUR"),
    ("longest_wait_seconds", "Longest wait of a line, seconds"),
    ("longest_stuck_seconds", "Longest wait after the last break, seconds"),
    ("calls_per_success", "Calls per batch that succeeded"),
    ("drain_seconds", "Until nothing moved, seconds"),
    ("kills", "Workers killed"),
    ("zombies", "Workers put to sleep"),
    ("database_crashes", "Database crashes"),
    ("upgrades", "Versions installed under load"),
    ("posted_after_backup", "Posted after the backup that was restored"),
    ("missing_in_list", "Of these missing in the list"),
    ("wrongly_in_list", "Wrongly in the list"),
    ("seconds_until_asked", "Until every target was asked, seconds"),
    ("seconds_total", "Seconds in all"),
)


@click.command()
@click.option("--entries", type=click.IntRange(1, 10_000_000), default=5000, show_default=True)
@click.option("--kills", type=click.IntRange(0, 10_000), default=10, show_default=True,
              help="Workers killed at random moments.")  # fmt: skip
@click.option("--zombies", type=click.IntRange(0, 10_000), default=3, show_default=True,
              help="Workers stopped, replaced, and woken after their lease has passed on.")  # fmt: skip
@click.option("--db-crashes", type=click.IntRange(0, 10_000), default=0, show_default=True,
              help="The database killed, stopped at once, or one of its backends killed.")  # fmt: skip
@click.option("--upgrades", type=click.IntRange(0, 1000), default=0, show_default=True,
              help="Every worker killed at once, and workers of another version started.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 32), default=3, show_default=True)
@click.option("--seed", type=click.IntRange(0, _SEED_MAX), help="Drawn and told when absent.")
@click.option(
    "--profile", help="native, upsert, unique, probe, batch or naive-erp: what the target forbids."
)
@click.option("--erp", default="books", show_default=True,
              help="books, or tryton: the real ERP, in a process of its own.")  # fmt: skip
@click.option(
    "--sabotage", help="Go without fence, settle, key, commit or probe: it must be found."
)
@click.option("--late", "is_late", is_flag=True,
              help="Let the target store later than declared: what stands twice must be told.")  # fmt: skip
@click.option("--restore", "is_restored", is_flag=True,
              help="Take a backup under load and restore it later: what was posted since must be listed.")  # fmt: skip
@click.option("--scenario", type=click.Choice(("backlog", "storm", "outage")),
              help="Instead: hours that pass in minutes, of the queue and the budgets alone.")  # fmt: skip
@click.option("--json", "json_file", is_flag=False, flag_value="-", metavar="[FILE]",
              help="The figures as one JSON object, in a file or on standard output.")  # fmt: skip
@click.option("--report", "report_file", type=click.Path(path_type=Path),
              help="One page in HTML for who must decide.")  # fmt: skip
@pass_tools
def prove(
    tools: Tools,
    entries: int,
    kills: int,
    zombies: int,
    db_crashes: int,
    upgrades: int,
    workers: int,
    seed: int | None,
    profile: str | None,
    erp: str,
    sabotage: str | None,
    is_late: bool,
    is_restored: bool,
    scenario: str | None,
    json_file: str | None,
    report_file: Path | None,
) -> int:
    """Break workers, answers and the database while hours are posted, and count what came of it.

    Exit 0 when nothing was lost and nothing stands twice. With a sabotage the promise must break: it
    exits 1, as every proof does that found something.
    """
    from tieline.proof.proving import ProveOptions, run_proof, run_scenario, write_page

    seed = secrets.randbelow(_SEED_MAX) if seed is None else seed
    if scenario is not None:
        told = run_scenario(name=scenario, seed=seed, settings=read_settings())
        return _show_scenario(told, json_file=json_file)
    options = ProveOptions.checked(
        profile=profile,
        erp=erp,
        sabotage=sabotage,
        is_late=is_late,
        is_restored=is_restored,
        entries=entries,
        kills=kills,
        zombies=zombies,
        database_crashes=db_crashes,
        upgrades=upgrades,
        workers=workers,
        seed=seed,
    )
    figures = run_proof(options=options, settings=read_settings(), open_system=tools.open_system)
    if report_file is not None:
        _write(report_file, write_page(figures))
    if json_file == "-":
        show_json(figures)
    else:
        if json_file is not None:
            _write(Path(json_file), _as_json(figures))
        show_table(
            title=f"Proof with seed {options.seed}, {options.target}",
            columns=("What", "Figure"),
            rows=[(title, str(figures[name])) for name, title in _WORDS if name in figures],
        )
    for sentence in figures.get("broken", ()):
        tell(f"not as promised: {sentence}")
    return 0 if figures["is_held"] else GOAL_MISSED


def _show_scenario(figures: Mapping[str, Any], *, json_file: str | None) -> int:
    if json_file == "-":
        show_json(figures)
    else:
        if json_file is not None:
            _write(Path(json_file), _as_json(figures))
        show_table(
            title=f"Scenario {figures['scenario']} with seed {figures['seed']}",
            columns=("What", "Figure"),
            rows=[
                (name.replace("_", " ").capitalize(), str(value))
                for name, value in figures.items()
                if name not in ("broken", "is_held", "scenario", "seed")
            ],
        )
    for sentence in figures["broken"]:
        tell(f"not as promised: {sentence}")
    return 0 if figures["is_held"] else GOAL_MISSED


@click.command(name="prove-worker", hidden=True)
@click.option("--machine", required=True)
@click.option("--lease-seconds", type=click.IntRange(1), required=True)
@click.option("--sabotage")
@click.option("--as-version", default=__version__)
@pass_tools
def prove_worker(
    tools: Tools, machine: str, lease_seconds: int, sabotage: str | None, as_version: str
) -> int:
    """Work as one of the workers of a proof, as if on a machine of its own."""
    from tieline.proof.proving.machine import appear_elsewhere
    from tieline.proof.sabotage import SABOTAGES

    appear_elsewhere(machine)
    if sabotage is not None:
        SABOTAGES[sabotage].apply()
    return tools.run_worker(installed_settings(), lease_seconds=lease_seconds, version=as_version)


def _as_json(figures: Mapping[str, Any]) -> str:
    return json.dumps(figures, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserMistake(f"{path} cannot be written: {error.strerror}") from error


COMMANDS: tuple[click.Command, ...] = (prove, prove_worker)

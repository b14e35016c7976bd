"""Run the installation: workers, the demo, and whether everything runs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click

from tieline.cli.showing import show_facts
from tieline.cli.tools import Tools, json_option, pass_tools
from tieline.kernel.errors import UserMistake
from tieline.settings import read_settings


@click.command()
@pass_tools
def worker(tools: Tools) -> int:
    """Read, judge, post and provision until told to stop."""
    return tools.run_worker(read_settings())


@click.command()
@json_option
@pass_tools
def status(tools: Tools, as_json: bool) -> int:
    """Say whether everything runs: connections, workers, what waits, what needs attention."""
    from tieline.services.overview import read_status

    system = tools.system()
    with system.database.transaction() as connection:
        facts = read_status(connection, now=system.clock.now())
    show_facts(facts, as_json=as_json)
    return 0


@click.command()
@click.option("--once", is_flag=True, help="Run the story once and end; no console.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here."
)
@click.option("--seed", default=7, show_default=True, help="Which firm.")
@click.option("--today", help="Fix the day, for tests: YYYY-MM-DD.")
@click.option("--input", "input_directory", type=click.Path(path_type=Path), help="Real records.")
@click.option("--mapping", type=click.Path(path_type=Path), help="How to read the real records.")
@pass_tools
def demo(
    tools: Tools,
    once: bool,
    json_file: Path | None,
    seed: int,
    today: str | None,
    input_directory: Path | None,
    mapping: Path | None,
) -> int:
    """Run a firm in a box on real systems, with faults on."""
    from tieline.proof.run import DemoOptions, run_demo

    if (input_directory is None) != (mapping is None):
        raise UserMistake("--input and --mapping go together: a folder, and how to read it")
    return run_demo(
        options=DemoOptions(
            is_once=once,
            json_file=json_file,
            seed=seed,
            today=_day(today),
            input_directory=input_directory,
            mapping=mapping,
        ),
        settings=read_settings(),
        open_system=tools.open_system,
    )


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserMistake(f"--today {text} is not a day: write YYYY-MM-DD") from error


COMMANDS: tuple[click.Command, ...] = (worker, status, demo)

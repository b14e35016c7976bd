"""The services from a shell: tables for people, one JSON object for machines.

Exit codes: 0 the goal holds, 1 it does not, 2 what was asked for cannot be done as asked.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tieline import __version__
from tieline.kernel.errors import MendTieline, TielineError, UserMistake
from tieline.services.system import System
from tieline.settings import Settings, read_settings

OpenSystem = Callable[[Settings], System]
RunWorker = Callable[[Settings], int]
GOAL_MISSED = 1
CANNOT = 2


def run(*, open_system: OpenSystem, run_worker: RunWorker) -> int:
    """Run one command; a user's mistake is one sentence on standard error."""
    try:
        answer = main.main(
            obj={"open_system": open_system, "run_worker": run_worker}, standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return CANNOT
    except click.Abort:
        click.echo("stopped", err=True)
        return GOAL_MISSED
    except UserMistake as error:
        click.echo(str(error), err=True)
        return CANNOT
    except MendTieline:
        raise
    except TielineError as error:
        click.echo(str(error), err=True)
        return GOAL_MISSED
    return int(answer or 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Connectivity for professional-services firms."""


@main.command()
@click.pass_obj
def worker(tools: Mapping[str, Any]) -> int:
    """Read, judge, post and provision until told to stop."""
    code: int = tools["run_worker"](read_settings())
    return code


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.pass_obj
def status(tools: Mapping[str, Any], as_json: bool) -> int:
    """Say whether everything runs: connections, workers, what waits, what needs attention."""
    from tieline.services.overview import read_status

    system = tools["open_system"](read_settings())
    with system.database.transaction() as connection:
        facts = read_status(connection, now=system.clock.now())
    _show(facts, as_json=as_json)
    return 0


@main.group()
def time() -> None:
    """Hours: where they are and what holds them up."""


@time.command("places")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def time_places(tools: Mapping[str, Any], as_json: bool) -> int:
    """Count hours by place: waiting, needs attention, in the ERP, left out, given to finance."""
    from tieline.reconciliation import read_places

    system = tools["open_system"](read_settings())
    with system.database.transaction() as connection:
        entries, seconds = read_places(connection)
    if as_json:
        _print_json({"entries": entries, "seconds": seconds})
    else:
        rows = [
            (_PLACES.get(place, place), str(count), _hours(seconds[place]))
            for place, count in sorted(entries.items())
        ]
        _table("Hours", ("Place", "Entries", "Hours"), rows)
    return 0


@time.command("rejudge")
@click.argument("neighbor_keys", nargs=-1, required=True)
@click.pass_obj
def time_rejudge(tools: Mapping[str, Any], neighbor_keys: Sequence[str]) -> int:
    """Judge the hours near these keys again, such as entry:ID or contract:ID."""
    from tieline.validation import mark_reference_change

    system = tools["open_system"](read_settings())
    with system.database.transaction() as connection:
        mark_reference_change(
            connection,
            keys=list(neighbor_keys),
            because="asked for on the command line",
            correlation_id="command-line",
            now=system.clock.now(),
        )
    return 0


@main.command()
@click.option("--reason", help="Only cases with this reason.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def cases(tools: Mapping[str, Any], reason: str | None, as_json: bool) -> int:
    """List what needs a person, most money first."""
    from tieline.casework import list_cases

    system = tools["open_system"](read_settings())
    with system.database.transaction() as connection:
        found = list_cases(connection, reason=reason)
    if as_json:
        _print_json({"cases": [_plain_fields(case) for case in found]})
        return 0
    rows = [
        (
            case.reason,
            case.owner_queue,
            f"{case.thing_kind} {case.thing_key}",
            case.entity_code or "",
        )
        for case in found
    ]
    _table("Needs attention", ("Reason", "Queue", "Thing to fix", "Entity"), rows)
    return 0


@main.command()
@click.argument("connection_key")
@click.option("--full", is_flag=True, help="Read everything, not only what changed.")
@click.pass_obj
def sync(tools: Mapping[str, Any], connection_key: str, full: bool) -> int:
    """Read every stream of a connection now."""
    from tieline.services.reading import Reading

    system = tools["open_system"](read_settings())
    reading = Reading(
        database=system.database,
        connectors=system.connectors,
        reader=system.reader,
        time_validation=system.time_validation,
        clock=system.clock,
    )
    try:
        results = reading.poll_now(connection_key=connection_key, is_full=full)
    except LookupError as error:
        raise UserMistake(str(error)) from error
    for result in results:
        click.echo(
            f"{result.rows} records read, {result.versions} new or changed,"
            f" {result.untranslated} not understood {result.problem}".rstrip(),
            err=True,
        )
    return GOAL_MISSED if any(result.problem for result in results) else 0


@main.command()
@click.argument("kind", type=click.Choice(["deal", "hour", "case", "invoice-line"]))
@click.argument("ref")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def explain(tools: Mapping[str, Any], kind: str, ref: str, as_json: bool) -> int:
    """Show the whole way of one thing. REF is connection:source_ref or our id."""
    from tieline.services.explain import explain as explain_one

    system = tools["open_system"](read_settings())
    with system.database.transaction() as connection:
        explanation = explain_one(connection, kind=kind, ref=ref)
    _show(_plain_fields(explanation), as_json=as_json)
    return 0


@main.command()
@click.option("--once", is_flag=True, help="Run the story once and end; no console.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here."
)
@click.option("--seed", default=7, show_default=True, help="Which firm.")
@click.option("--today", help="Fix the day, for tests: YYYY-MM-DD.")
@click.option("--input", "input_directory", type=click.Path(path_type=Path), help="Real records.")
@click.option("--mapping", type=click.Path(path_type=Path), help="How to read the real records.")
@click.pass_obj
def demo(
    tools: Mapping[str, Any],
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
        open_system=tools["open_system"],
    )


@main.group()
def connector() -> None:
    """Write and grade connectors."""


@connector.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(["crm", "erp", "time"]), required=True)
@click.option("--directory", type=click.Path(path_type=Path), default=Path())
def connector_new(name: str, kind: str, directory: Path) -> int:
    """Write the folder of a new connector."""
    from tieline.sdk.scaffold import new_connector

    click.echo(str(new_connector(name=name, kind=kind, directory=directory)))
    return 0


@connector.command("test")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
def connector_test(name: str, as_json: bool) -> int:
    """Run the promise tests of a connector on its fixtures and print its quality scale."""
    from tieline.sdk.quality import grade

    report = grade(name)
    _show(_plain_fields(report), as_json=as_json)
    return 0 if report.is_good else GOAL_MISSED


_PLACES = {
    "pending": "Waiting",
    "held": "Needs attention",
    "handed_over": "Given to finance as file",
    "posted": "In the ERP",
    "excluded": "Left out",
    "outside": "Not approved or before go-live",
}


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserMistake(f"--today {text} is not a day: write YYYY-MM-DD") from error


def _hours(seconds: int) -> str:
    return f"{Decimal(seconds) / 3600:.2f}"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="right" if column in ("Entries", "Hours") else "left")
    for row in rows:
        table.add_row(*row)
    Console(file=sys.stdout, width=int(os.environ.get("COLUMNS", "120"))).print(table)


def _show(facts: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name}: {json.dumps(value, default=str, ensure_ascii=False)}")


def _print_json(facts: Mapping[str, Any]) -> None:
    click.echo(json.dumps(facts, default=str, ensure_ascii=False))


def _plain_fields(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(_as_plain(value), default=str))
    return plain


def _as_plain(value: Any) -> Any:
    from dataclasses import fields, is_dataclass

    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _as_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _as_plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_plain(item) for item in value]
    return value

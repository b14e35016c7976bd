"""Connections: read them now, write new connectors, grade them."""

from __future__ import annotations

from pathlib import Path

import click

from tieline.cli.showing import show_facts, tell
from tieline.cli.tools import GOAL_MISSED, Tools, json_option, pass_tools
from tieline.kernel.errors import UserMistake


@click.command()
@click.argument("connection_key")
@click.option("--full", is_flag=True, help="Read everything, not only what changed.")
@pass_tools
def sync(tools: Tools, connection_key: str, full: bool) -> int:
    """Read every stream of a connection now."""
    from tieline.services.reading import Reading

    system = tools.system()
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
        tell(
            f"{result.rows} records read, {result.versions} new or changed,"
            f" {result.untranslated} not understood {result.problem}".rstrip()
        )
    return GOAL_MISSED if any(result.problem for result in results) else 0


@click.group()
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
@json_option
def connector_test(name: str, as_json: bool) -> int:
    """Run the promise tests of a connector on its fixtures and print its quality scale."""
    from tieline.cli.showing import plain
    from tieline.sdk.quality import grade

    report = grade(name)
    show_facts(plain(report), as_json=as_json)
    return 0 if report.is_good else GOAL_MISSED


COMMANDS: tuple[click.Command, ...] = (sync, connector)

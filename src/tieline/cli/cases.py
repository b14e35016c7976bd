"""What needs a person."""

from __future__ import annotations

import click

from tieline.cli.showing import show_json, show_table
from tieline.cli.tools import Tools, json_option, pass_tools


@click.command()
@click.option("--reason", help="Only cases with this reason.")
@json_option
@pass_tools
def cases(tools: Tools, reason: str | None, as_json: bool) -> int:
    """List what needs a person, most money first."""
    from tieline.casework import list_cases

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_cases(connection, reason=reason)
    if as_json:
        show_json({"cases": found})
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
    show_table(
        title="Needs attention", columns=("Reason", "Queue", "Thing to fix", "Entity"), rows=rows
    )
    return 0


COMMANDS: tuple[click.Command, ...] = (cases,)

"""Hours: where they are and what holds them up."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tieline.cli.showing import hours, show_facts, show_json, show_table
from tieline.cli.tools import Tools, json_option, pass_tools
from tieline.cli.validating import validate

_PLACES = {
    "pending": "Waiting",
    "held": "Needs attention",
    "handed_over": "Given to finance as file",
    "posted": "In the ERP",
    "excluded": "Left out",
    "outside": "Not approved or before go-live",
}


@click.group()
def time() -> None:
    """Hours: where they are and what holds them up."""


@time.command("places")
@json_option
@pass_tools
def places(tools: Tools, as_json: bool) -> int:
    """Count hours by place: waiting, needs attention, in the ERP, left out, given to finance."""
    from tieline.reconciliation import read_places

    system = tools.system()
    with system.database.transaction() as connection:
        entries, seconds = read_places(connection)
    if as_json:
        show_json({"entries": entries, "seconds": seconds})
        return 0
    rows = [
        (_PLACES.get(place, place), str(count), hours(seconds[place]))
        for place, count in sorted(entries.items())
    ]
    show_table(title="Hours", columns=("Place", "Entries", "Hours"), rows=rows)
    return 0


@time.command("rejudge")
@click.argument("neighbor_keys", nargs=-1, required=True)
@json_option
@pass_tools
def rejudge(tools: Tools, neighbor_keys: Sequence[str], as_json: bool) -> int:
    """Judge the hours near these keys again, such as entry:ID or contract:ID."""
    from tieline.validation import mark_reference_change

    system = tools.system()
    with system.database.transaction() as connection:
        mark_reference_change(
            connection,
            keys=list(neighbor_keys),
            because="asked for on the command line",
            correlation_id="command-line",
            now=system.clock.now(),
        )
    show_facts({"marked": list(neighbor_keys)}, as_json=as_json)
    return 0


time.add_command(validate)

COMMANDS: tuple[click.Command, ...] = (time,)

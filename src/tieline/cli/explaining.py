"""The whole way of one thing."""

from __future__ import annotations

import click

from tieline.cli.showing import plain, show_facts
from tieline.cli.tools import Tools, json_option, pass_tools


@click.command()
@click.argument("kind", type=click.Choice(["deal", "hour", "case", "invoice-line"]))
@click.argument("ref")
@json_option
@pass_tools
def explain(tools: Tools, kind: str, ref: str, as_json: bool) -> int:
    """Show the whole way of one thing. REF is connection:source_ref or our id."""
    from tieline.services.explain import explain as explain_one

    system = tools.system()
    with system.database.transaction() as connection:
        explanation = explain_one(connection, kind=kind, ref=ref)
    show_facts(plain(explanation), as_json=as_json)
    return 0


COMMANDS: tuple[click.Command, ...] = (explain,)

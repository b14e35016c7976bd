"""The whole way of one thing."""

from __future__ import annotations

import click

from tieline.cli.showing import as_text, plain, show_json
from tieline.cli.tools import Tools, json_option, pass_tools


@click.command()
@click.argument("kind", type=click.Choice(["deal", "hour", "case", "invoice-line"]))
@click.argument("ref")
@json_option
@pass_tools
def explain(tools: Tools, kind: str, ref: str, as_json: bool) -> int:
    """Show the whole way of one thing. REF is connection:source_ref or our id."""
    from tieline.services.explain import explain as explain_one
    from tieline.services.links import read_links

    system = tools.system()
    with system.judge_database.transaction() as connection:
        links = read_links(connection, systems=system.systems)
        explanation = explain_one(
            connection, kind=kind, ref=ref, links=links, now=system.clock.now()
        )
    if as_json:
        show_json(plain(explanation))
        return 0
    for step in explanation.steps:
        click.echo(f"{step.at:%Y-%m-%d %H:%M:%S}  " if step.at else " " * 21, nl=False)
        click.echo(f"{step.system}: {step.what}" + (f"  {step.link}" if step.link else ""))
        for name, value in plain(step.facts).items():
            click.echo(f"    {name}: {as_text(value)}")
    return 0


COMMANDS: tuple[click.Command, ...] = (explain,)

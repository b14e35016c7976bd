"""The whole way of one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tieline.cli.showing import as_text, plain, show_json
from tieline.cli.tools import Tools, json_option, pass_tools


@click.command()
@click.argument("kind", type=click.Choice(["deal", "hour", "case", "invoice-line"]))
@click.argument("ref")
@json_option
@pass_tools
def explain(tools: Tools, kind: str, ref: str, as_json: bool) -> int:
    """Show the whole way of one thing. REF is connection:source_ref or our id.

    Of an hour it tells each version, what each rule answered about it and by what, and where it was posted.
    With --json each verdict has its whole context.
    """
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
            if name == "rules":
                _tell_rules(value)
            elif name != "context":
                click.echo(f"    {name}: {as_text(value)}")
    return 0


def _tell_rules(rules: Sequence[Mapping[str, Any]]) -> None:
    from tieline.services.explain_rules import in_numbers

    click.echo(f"    rules: {in_numbers(rules)}")
    for rule in rules:
        if rule["answer"] not in ("violated", "ignored"):
            continue
        click.echo(f"      {rule['answer']}: {rule['rule']} ({rule['weight']}): {rule['message']}")
        click.echo(f"        {rule['predicate']}, for {as_text(rule['looked_at'])}")
        if rule["override"] is not None:
            click.echo(f"        by the policy: {as_text(rule['override'])}")


COMMANDS: tuple[click.Command, ...] = (explain,)

"""Configuration as files: everything a person sets, taken from one installation to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tieline.cli.showing import as_text, plain, show_json, show_table, tell
from tieline.cli.tools import (
    GOAL_MISSED,
    Tools,
    by_option,
    decider,
    in_file,
    json_option,
    pass_tools,
    reason_option,
    signed,
)
from tieline.governance import ADMIN
from tieline.settings import ENVIRONMENTS

if TYPE_CHECKING:
    from tieline.services.config_applying import Applied
    from tieline.services.configuration import ConfigPlan

_file = click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
_to = click.option(
    "--to",
    required=True,
    type=click.Choice(ENVIRONMENTS),
    help="What this installation must be, so that nobody plans for the wrong one.",
)


@click.group()
def config() -> None:
    """Everything a person sets, as one file: take it out, compare it, apply it elsewhere."""


@config.command("export")
@json_option
@pass_tools
def config_export(tools: Tools, as_json: bool) -> int:
    """Write legal entities, connections, policy, people, keys, routing and codes as one JSON file.

    Secrets are named, never written. --json puts it on one line.
    """
    from tieline.services.configuration import as_json as as_plain
    from tieline.services.configuration import export_config

    system = tools.system()
    with system.database.transaction() as connection:
        found = export_config(
            connection,
            environment=system.settings.environment.name,
            now=system.clock.now(),
        )
    for name in found.tables_apart:
        tell(f"{name} is too large for this file: tieline register export {name}")
    if as_json:
        show_json(as_plain(found))
    else:
        click.echo(json.dumps(as_plain(found), indent=2, ensure_ascii=False, sort_keys=True))
    return 0


@config.command("plan")
@_file
@_to
@click.option("--no-calls", is_flag=True, help="Ask no connected system what it lacks.")
@json_option
@pass_tools
def config_plan(tools: Tools, path: Path, to: str, no_calls: bool, as_json: bool) -> int:
    """Say what of FILE differs here, what does not exist here, and who must still agree.

    Nothing is written. Exit 0 when the plan may be applied as it is.
    """
    from tieline.services.configuration import plan_config, read_config_file

    file = in_file(path, read_config_file)
    plan = plan_config(tools.system(), file=file, to=to, with_calls=not no_calls)
    _show_plan(plan, path, as_json=as_json)
    return 0 if plan.may_apply else GOAL_MISSED


@config.command("apply")
@_file
@_to
@click.option("--plan", "plan_id", required=True, help="The plan that was read; a stale one is refused.")  # fmt: skip
@reason_option
@by_option
@json_option
@pass_tools
def config_apply(
    tools: Tools, path: Path, to: str, plan_id: str, reason: str, login: str, as_json: bool
) -> int:
    """Apply the plan of FILE that was read, all of it or nothing, and say how to undo it.

    What only stands here is left as it is. Passwords of new people are shown once.
    """
    from tieline.services.config_applying import apply_config
    from tieline.services.configuration import read_config_file

    file = in_file(path, read_config_file)
    system = tools.system()
    by = decider(signed(system, login), role=ADMIN)
    applied = apply_config(system, file=file, plan_id=plan_id, to=to, by=by.login, reason=reason)
    _show_applied(applied, as_json=as_json)
    return 0


def _show_plan(plan: ConfigPlan, path: Path, *, as_json: bool) -> None:
    if as_json:
        show_json({**plain(plan), "may_apply": plan.may_apply})
        return
    rows = [
        (each.section, each.key, each.what.replace("_", " "), name, as_text(was), as_text(becomes))
        for each in plan.differences
        for name, (was, becomes) in (each.fields or {"": ("", "")}).items()
    ]
    show_table(
        title=f"What differs in {plan.to}",
        columns=("What", "Which", "How", "Field", "Is", "Becomes"),
        rows=rows,
    )
    for title, lines in (
        ("Does not exist there", plan.missing),
        ("Is not done by a file", plan.refused),
        ("Must still be agreed to", plan.approvals),
    ):
        show_table(title=title, columns=("What",), rows=[(each,) for each in lines])
    tell(f"tieline config apply {path} --to {plan.to} --plan {plan.plan_id}")


def _show_applied(applied: Applied, *, as_json: bool) -> None:
    if as_json:
        show_json(plain(applied))
        return
    for title, lines in (
        ("Done", applied.done),
        ("Waits", applied.waits),
        ("How to undo it", applied.undo),
        ("Passwords, shown once", tuple(f"{k}: {v}" for k, v in applied.passwords.items())),
    ):
        show_table(title=title, columns=("What",), rows=[(each,) for each in lines])


COMMANDS: tuple[click.Command, ...] = (config,)

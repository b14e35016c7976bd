"""What the installation stands on: each thing with its state, what that means and what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import psycopg
from psycopg_pool import PoolTimeout

from tieline.cli.showing import show_json, show_table, tell
from tieline.cli.tools import GOAL_MISSED, Tools, installed_settings, json_option, pass_tools
from tieline.kernel.errors import TielineError

if TYPE_CHECKING:
    from tieline.services.doctor import Finding


@click.command()
@click.option("--no-calls", is_flag=True, help="Ask no connected system, only what is ours.")
@json_option
@pass_tools
def doctor(tools: Tools, no_calls: bool, as_json: bool) -> int:
    """Look at database, roles, clocks, disk, secrets, workers, audit, connections and certificates.

    Each line says its state, what it means and what to do. Exit 0 only when nothing is red.
    """
    from tieline.services.doctor import RED, Doctor, examine_settings, no_database

    settings = installed_settings()
    found = list(examine_settings(settings, variables=os.environ))
    if not any(each.state == RED for each in found):
        try:
            found += Doctor(system=tools.open(settings)).examine(with_calls=not no_calls)
        except (psycopg.Error, PoolTimeout, TielineError) as error:
            found.append(no_database(error))
    reds = sum(each.state == RED for each in found)
    if as_json:
        show_json({"environment": settings.environment.name, "red": reds, "findings": found})
    else:
        _show(found, reds)
    return GOAL_MISSED if reds else 0


def _show(found: Sequence[Finding], reds: int) -> None:
    show_table(
        title="What this installation stands on",
        columns=("Looked at", "State", "What it means", "What to do"),
        rows=[(each.name, each.state, each.means, each.do) for each in found],
    )
    tell("nothing is red" if not reds else f"{reds} are red")


COMMANDS: tuple[click.Command, ...] = (doctor,)

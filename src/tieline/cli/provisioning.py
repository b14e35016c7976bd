"""A won deal on its way to a project."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import click

from tieline.cli.showing import as_text, show_json, show_table, tell
from tieline.cli.tools import GOAL_MISSED, Tools, json_option, pass_tools
from tieline.kernel.errors import UserMistake
from tieline.runtime.telemetry import new_correlation_id
from tieline.services.deals import DealPlanDetail
from tieline.services.system import System

_LOOK_SECONDS = 1
_WAIT_SECONDS_MAX = 3600
_SHOWN_APART = frozenset({"steps", "lines", "warnings", "inputs", "done"})
_SETTLED = frozenset({"active", "blocked", "compensated", "stuck"})


@click.command()
@click.argument("deal")
@click.option("--plan", "only_plan", is_flag=True, help="Show the plan; start nothing.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, _WAIT_SECONDS_MAX),
    default=0,
    help="Wait up to so many seconds; then exit 0 means that the project is active.",
)
@json_option
@pass_tools
def provision(tools: Tools, deal: str, only_plan: bool, wait_seconds: int, as_json: bool) -> int:
    """Make a won deal a project. DEAL is connection:deal, or the id of its plan.

    The plan shows what each system will get, and every blocker at once. Exit 1 while one stands.
    """
    from tieline.services.deals import ask_for_project, preview_deal

    system = tools.system()
    with system.database.transaction() as connection:
        found = preview_deal(connection, ref=deal, now=system.clock.now())
    if only_plan or found.blockers:
        _show(found, as_json=as_json)
        return GOAL_MISSED if found.blockers else 0
    if found.plan_id is None:
        raise UserMistake(
            f"{deal} is planned by the workers once it is won: is one running, is it read?"
        )
    with system.database.transaction() as connection:
        found = ask_for_project(
            connection, plan_id=found.plan_id, correlation_id=new_correlation_id()
        )
    if wait_seconds:
        found = _await(system, found, seconds=wait_seconds)
    _show(found, as_json=as_json)
    return GOAL_MISSED if wait_seconds and found.state != "active" else 0


def _await(system: System, found: DealPlanDetail, *, seconds: int) -> DealPlanDetail:
    from tieline.services.deals import get_deal_plan

    plan_id = found.plan_id
    assert isinstance(plan_id, UUID)
    deadline = time.monotonic() + seconds
    while found.state not in _SETTLED and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        with system.database.transaction() as connection:
            found = get_deal_plan(connection, plan_id=plan_id)
    return found


def _show(found: DealPlanDetail, *, as_json: bool) -> None:
    if as_json:
        show_json({"deal": found})
        return
    facts: Mapping[str, Any] = {
        "deal": f"{found.connection_key}:{found.deal_ref}",
        "state": found.state,
        "won": found.is_won,
        **{name: value for name, value in found.plan.items() if name not in _SHOWN_APART},
    }
    show_table(
        title="Plan",
        columns=("Field", "Value"),
        rows=[(name, as_text(value)) for name, value in facts.items()],
    )
    done = found.plan.get("done", {})
    show_table(
        title="What each system gets",
        columns=("System", "What", "Which", "Done"),
        rows=[
            (
                step["target"] or "tieline",
                step["noun"],
                step["part"],
                str(done[step["id"]].get("target_code") or "yes") if step["id"] in done else "",
            )
            for step in found.plan.get("steps", ())
        ],
    )
    show_table(
        title="Sold",
        columns=("Task", "Category", "Hours", "Rate", "From"),
        rows=[
            (
                line["task_name"],
                line["labor_category"],
                line["hours"],
                line["rate_amount"],
                line["starts_on"],
            )
            for line in found.plan.get("lines", ())
        ],
    )
    _show_findings("Blockers", found.blockers)
    _show_findings("Warnings", found.plan.get("warnings", ()))
    if not found.blockers:
        tell("nothing stands in its way")


def _show_findings(title: str, findings: Any) -> None:
    if not findings:
        return
    show_table(
        title=title,
        columns=("Code", "Queue", "Message", "Fix", "Things"),
        rows=[
            (
                found["code"],
                found["owner_queue"],
                found["message"],
                found.get("fix_hint") or found.get("fix", ""),
                ", ".join(found["things"]),
            )
            for found in findings
        ],
    )


COMMANDS: tuple[click.Command, ...] = (provision,)

"""What systems tell differently, and writing what the owner says."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import click

from tieline.cli.showing import show_json, show_table, tell
from tieline.cli.tools import Tools, decider, holder, json_option, pass_tools, shell_user, signed
from tieline.kernel.errors import UserMistake
from tieline.services.aligning import (
    ROLES_THAT_ALIGN,
    apply_alignment,
    show_alignment,
    writes_in_words,
)
from tieline.services.drifting import Difference, list_differences
from tieline.services.shown_plans import DIGEST_CHARACTERS_MIN, Chosen
from tieline.services.system import System


@click.command()
@click.option(
    "--align", "field", help="A field such as client.city: make all say what its owner says."
)
@click.option("--plan", "only_plan", is_flag=True, help="With --align: show what would be written.")
@click.option("--apply", "is_applied", is_flag=True, help="With --align: write what was shown.")
@click.option("--digest", help="With --apply: that plan, by its digest; else the last one shown.")
@click.option(
    "--plan-id", "shown_id", type=click.UUID, help="The same, by the id it was shown under."
)
@click.option("--by", "login", metavar="LOGIN", help="Who writes it; needed with --apply.")
@click.option("--reason", default="", help="Why; needed with --apply and kept with it.")
@json_option
@pass_tools
def drift(
    tools: Tools,
    field: str | None,
    only_plan: bool,
    is_applied: bool,
    digest: str | None,
    shown_id: UUID | None,
    login: str | None,
    reason: str,
    as_json: bool,
) -> int:
    """Every field that systems tell differently, since when, and how to put it right.

    With --align and --plan, what would be written where; with --apply, that very plan is written. Exit 2
    where it would be another now.
    """
    if field is None and (only_plan or is_applied or digest or shown_id):
        raise UserMistake("--plan and --apply go with --align FIELD")
    if field is not None and only_plan == is_applied:
        raise UserMistake("--align goes with --plan or with --apply")
    system = tools.system()
    if field is None:
        return _list(system, as_json=as_json)
    if only_plan:
        return _plan(system, field, as_json=as_json)
    if login is None or not reason:
        raise UserMistake("--apply needs --by LOGIN and --reason TEXT")
    return _apply(
        system,
        field,
        Chosen(digest=digest, shown_id=shown_id),
        login=login,
        reason=reason,
        as_json=as_json,
    )


def _list(system: System, *, as_json: bool) -> int:
    with system.database.transaction() as connection:
        found = list_differences(connection, connectors=system.connectors, now=system.clock.now())
    if as_json:
        show_json({"differences": found, "total": len(found)})
        return 0
    _show("What systems tell differently", found)
    return 0


def _plan(system: System, field: str, *, as_json: bool) -> int:
    with system.database.transaction() as connection:
        plan, shown = show_alignment(
            connection,
            field=field,
            connectors=system.connectors,
            to=shell_user(),
            now=system.clock.now(),
        )
    if as_json:
        show_json(
            {
                "field": plan.field,
                "digest": shown.digest,
                "plan_id": shown.shown_id,
                "writes": plan.writes,
                "others": plan.others,
            }
        )
        return 0
    show_table(
        title=f"What would be written of {plan.field}",
        columns=("System", "Record", "Says", "Would say"),
        rows=writes_in_words(plan),
    )
    _show("What is not written from here", plan.others)
    tell(f"plan {shown.digest[:DIGEST_CHARACTERS_MIN]}; carry it out with --apply")
    return 0


def _apply(
    system: System, field: str, chosen: Chosen, *, login: str, reason: str, as_json: bool
) -> int:
    person = holder(signed(system, login), roles=ROLES_THAT_ALIGN)
    with system.database.transaction() as connection:
        shown = apply_alignment(
            connection,
            field=field,
            chosen=chosen,
            connectors=system.connectors,
            by=decider(person).login,
            reason=reason,
            now=system.clock.now(),
        )
    writes = len(shown.content["writes"])
    if as_json:
        show_json({"field": shown.subject, "digest": shown.digest, "writes": writes})
    else:
        tell(f"{writes} records of {shown.subject} are written by a worker now")
    return 0


def _show(title: str, found: Sequence[Difference]) -> None:
    show_table(
        title=title,
        columns=("Of", "Field", "Owner says", "System", "Says", "Since", "What to do"),
        rows=[
            (
                f"{each.noun} {each.owner_ref or each.our_id}",
                each.field,
                f"{each.owner_key or each.owner_kind}: {each.owner_value or 'nothing'}",
                f"{each.system_key} {each.system_ref}",
                each.value,
                f"{each.since:%Y-%m-%d %H:%M}" if each.since else "",
                each.fix,
            )
            for each in found
        ],
    )


COMMANDS: tuple[click.Command, ...] = (drift,)

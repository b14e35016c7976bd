"""What would be held if it were approved now; a command of the group ``time``."""

from __future__ import annotations

from uuid import UUID

import click

from tieline.cli.hours import time
from tieline.cli.showing import hours, plain, show_facts, show_json, show_table
from tieline.cli.tools import (
    Tools,
    by_option,
    decider,
    holder,
    json_option,
    pass_tools,
    reason_option,
    signed,
)

_ROLES = ("controller", "finance", "delivery")


@time.command("early")
@click.option("--entity", default="", help="Only this legal entity.")
@click.option("--project", default="", help="Only this project, by its code.")
@click.option("--person", type=click.UUID, help="Only this person, by our id.")
@click.option("--approver", type=click.UUID, help="Only what this person is to approve, by our id.")
@click.option(
    "--manager", type=click.UUID, help="Only projects that this person manages, by our id."
)
@click.option("--all", "is_all", is_flag=True, help="Also what would be cleared.")
@json_option
@pass_tools
def early(
    tools: Tools,
    entity: str,
    project: str,
    person: UUID | None,
    approver: UUID | None,
    manager: UUID | None,
    is_all: bool,
    as_json: bool,
) -> int:
    """What would be held of the hours that nobody has approved yet, if they were approved now.

    Nothing is stored and nothing of it is ever posted: each is judged again when it is approved.
    """
    from tieline.services.early_look import ALL, HELD, read_early_look
    from tieline.services.installation import entity_codes

    system = tools.system()
    with system.judge_database.transaction() as connection:
        codes = entity_codes(connection)
        found = read_early_look(
            connection, now=system.clock.now(), entities=codes, all_entities=codes
        )
    found = found.of(
        entity_code=entity,
        project_code=project,
        person_id=person,
        approver_id=approver,
        manager_id=manager,
    )
    shown = found.of(state=ALL if is_all else HELD)
    if as_json:
        show_json(
            {
                "hours": [{**plain(each), "is_early": True} for each in shown.hours],
                "entries": len(found.hours),
                "seconds": found.seconds,
                "held_entries": len(found.held),
                "held_seconds": found.held_seconds,
                "held_amounts": found.held_amounts,
                "by_reason": found.by_reason,
            }
        )
        return 0
    show_table(
        title=f"Not approved yet: {len(found.held)} of {len(found.hours)} entries would be held",
        columns=("Person", "Project", "Day", "Hours", "Early verdict", "Amount", "Why"),
        rows=[
            (
                each.person_name or str(each.person_id or ""),
                each.project_code or "",
                each.work_date.isoformat(),
                hours(each.seconds),
                each.outcome,
                "" if each.amount is None else f"{each.amount} {each.currency}",
                "; ".join(f"{reason.message} {reason.fix_hint}" for reason in each.reasons),
            )
            for each in shown.hours
        ],
    )
    return 0


@time.command("tell-early")
@reason_option
@by_option
@json_option
@pass_tools
def tell_people(tools: Tools, reason: str, login: str, as_json: bool) -> int:
    """Send one message, once a day, to each person who worked, is to approve or manages what would be held."""
    from tieline.services.early_look import read_early_look
    from tieline.services.early_telling import tell_early
    from tieline.services.installation import entity_codes
    from tieline.services.reminding import reminding_desk

    system = tools.system()
    person = holder(signed(system, login), roles=_ROLES)
    with system.judge_database.transaction() as connection:
        found = read_early_look(
            connection,
            now=system.clock.now(),
            entities=person.entities,
            all_entities=entity_codes(connection),
        )
    with system.database.transaction() as connection:
        done = tell_early(
            connection,
            found=found,
            desk=reminding_desk(connection, system=system),
            by=decider(person).login,
            reason=reason,
        )
    show_facts(
        {"messages": done.written, "told_today_or_not_reached": done.not_written}, as_json=as_json
    )
    return 0


COMMANDS: tuple[click.Command, ...] = ()

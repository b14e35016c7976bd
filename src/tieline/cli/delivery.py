"""How projects stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tieline.cli.showing import hours, show_json, show_table, tell
from tieline.cli.tools import Tools, json_option, pass_tools

if TYPE_CHECKING:
    from tieline.services.delivery import Delivery

# As the service names them; it is imported only when it is asked.
_STATES = ("all", "attention", "ending", "exceeded", "stray", "oversold")


@click.command()
@click.option("--entity", default="", help="Only this legal entity.")
@click.option(
    "--state",
    type=click.Choice(_STATES),
    default="all",
    help="Only what needs a look, or only for one reason.",
)
@click.option("--words", default="", help="Only what has these in a code or a name.")
@json_option
@pass_tools
def delivery(tools: Tools, entity: str, state: str, words: str, as_json: bool) -> int:
    """Sold, planned, booked, approved and billed hours per running project, and who to assign anew."""
    from tieline.services.delivery import State, read_delivery

    system = tools.system()
    with system.database.transaction() as connection:
        whole = read_delivery(
            connection, systems=system.systems, now=system.clock.now(), entity_code=entity
        )
    found = whole.of(state=State(state), words=words)
    if as_json:
        show_json(
            {
                "sold_seconds": found.sold_seconds,
                "planned_seconds": found.planned_seconds,
                "booked_seconds": found.booked_seconds,
                "approved_seconds": found.approved_seconds,
                "billed_seconds": found.billed_seconds,
                "assignments_ending": len(found.ending),
                "assignments_exceeded": len(found.exceeded),
                "people_without_assignment": len(found.strays),
                "entities_without_staffing": found.unstaffed,
                "projects": found.projects,
            }
        )
        return 0
    show_table(
        title="Projects",
        columns=("Project", "Contract", "Sold", "Planned", "Booked", "Approved", "Billed"),
        rows=[
            (
                each.project_code,
                each.contract_code,
                _told(each.sold_seconds),
                _told(each.planned_seconds),
                hours(each.booked_seconds),
                hours(each.approved_seconds),
                hours(each.billed_seconds),
            )
            for each in found.projects
        ],
    )
    show_table(
        title="To be assigned anew", columns=("Project", "Person", "What"), rows=_to_do(found)
    )
    if found.unstaffed:
        tell(f"not checked, for nobody tells who is assigned: {', '.join(found.unstaffed)}")
    return 0


def _to_do(found: Delivery) -> list[tuple[str, str, str]]:
    rows = [
        (project, one.person, f"ends, {one.days_left} working days left")
        for project, one in found.ending
    ]
    rows += [
        (
            project,
            one.person,
            f"{hours(one.booked_seconds - (one.planned_seconds or 0))} h too many",
        )
        for project, one in found.exceeded
    ]
    rows += [
        (project, one.person, f"no assignment for {hours(one.seconds)} h")
        for project, one in found.strays
    ]
    return [
        (project.project_code, person.name or str(person.person_id), what)
        for project, person, what in rows
    ]


def _told(seconds: int | None) -> str:
    return "not told" if seconds is None else hours(seconds)


COMMANDS: tuple[click.Command, ...] = (delivery,)

"""The register: clients as all systems know them, and who is on which project."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

import click

from tieline.cli.showing import show_json, show_table
from tieline.cli.tools import Tools, json_option, pass_tools
from tieline.kernel.errors import UserMistake

if TYPE_CHECKING:
    from tieline.services.register_lists import LinkState, Standing, ToldBy

_SHOWN_MAX = 500


@click.command()
@click.argument("name", required=False)
@click.option("--entity", help="Only those that this legal entity has a contract with.")
@click.option(
    "--links",
    type=click.Choice(["linked", "partial", "unclear"]),
    help="Only those that a CRM and an ERP know, that not each knows yet, or that a case asks about.",
)
@json_option
@pass_tools
def clients(
    tools: Tools, name: str | None, entity: str | None, links: LinkState | None, as_json: bool
) -> int:
    """Clients whose name holds NAME, with their record in every system; 500 at most."""
    from tieline.services.register_lists import list_clients

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_clients(
            connection,
            systems=system.systems,
            name=name,
            entity_code=entity,
            link_state=links,
            limit=_SHOWN_MAX,
        )
    if as_json:
        show_json({"clients": found})
        return 0
    show_table(
        title="Clients",
        columns=("Client", "Tax number", "Part of", "Entities", "Links", "Records", "Cases"),
        rows=[
            (
                each.name if each.is_active else f"{each.name} (not active)",
                each.vat_number or "",
                each.parent_name or "",
                ", ".join(each.entities),
                each.link_state,
                ", ".join(f"{one.connection_key}:{one.source_ref}" for one in each.records),
                str(each.open_cases),
            )
            for each in found
        ],
    )
    return 0


@click.command()
@click.option("--project", help="Only this project, by its code.")
@click.option("--person", type=click.UUID, help="Only this person, by our id.")
@click.option("--entity", help="Only projects of this legal entity.")
@click.option("--on", "on_day", help="Only what holds on this day: YYYY-MM-DD.")
@json_option
@pass_tools
def assignments(
    tools: Tools,
    project: str | None,
    person: UUID | None,
    entity: str | None,
    on_day: str | None,
    as_json: bool,
) -> int:
    """Who is on which project from when until when, who said so and where it stands; 500 at most."""
    from tieline.services.register_lists import list_assignments

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_assignments(
            connection,
            systems=system.systems,
            project_code=project,
            person_id=person,
            entity_code=entity,
            on_date=_day(on_day),
            limit=_SHOWN_MAX,
        )
    if as_json:
        show_json({"assignments": found})
        return 0
    show_table(
        title="Assignments",
        columns=("Project", "Person", "As", "From", "Until", "Told by", "Stands", "Cases"),
        rows=[
            (
                each.project_code,
                each.person_name or str(each.person_id),
                each.labor_category,
                each.starts_on.isoformat(),
                "" if each.ends_on is None else each.ends_on.isoformat(),
                _origin(each.told_by),
                ", ".join(_standing(one) for one in each.standing),
                str(len(each.cases)),
            )
            for each in found
        ],
    )
    return 0


def _origin(told: ToldBy | None) -> str:
    if told is None:
        return ""
    line = "" if told.line_number is None else f" line {told.line_number}"
    return f"{told.connection_key}{line}"


def _standing(one: Standing) -> str:
    if one.state == "CONFIRMED":
        return one.connection_key
    why = one.state.lower() if one.because is None else f"{one.state.lower()}: {one.because}"
    return f"{one.connection_key} ({why})"


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserMistake(f"--on {text} is not a day: write YYYY-MM-DD") from error


COMMANDS: tuple[click.Command, ...] = (clients, assignments)

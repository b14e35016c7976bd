"""What is earned, billed and still to come, per project."""

from __future__ import annotations

import click

from tieline.cli.showing import hours, show_json, show_table
from tieline.cli.tools import Tools, json_option, pass_tools


@click.command()
@click.option("--entity", help="Only this legal entity.")
@json_option
@pass_tools
def revenue(tools: Tools, entity: str | None, as_json: bool) -> int:
    """Per project what is earned, billed, in progress and in the backlog, and as of when."""
    from tieline.services.revenue_status import list_revenue_status

    with tools.system().database.transaction() as connection:
        projects = list_revenue_status(connection, entity_code=entity)
    if as_json:
        show_json({"projects": projects})
        return 0
    show_table(
        title="Revenue status",
        columns=(
            "Project",
            "Entity",
            "Hours",
            "Earned",
            "Billed",
            "In progress",
            "Backlog",
            "As of",
        ),
        rows=[
            (
                each.project_code,
                each.entity_code,
                hours(each.posted_seconds),
                f"{each.earned_amount:.2f} {each.currency}",
                f"{each.billed_amount:.2f}",
                f"{each.wip_amount:.2f}",
                "" if each.backlog_amount is None else f"{each.backlog_amount:.2f}",
                f"{each.as_of:%Y-%m-%d %H:%M}",
            )
            for each in projects
        ],
    )
    return 0


COMMANDS: tuple[click.Command, ...] = (revenue,)

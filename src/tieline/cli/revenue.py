"""What is earned, billed and still to come: as it stands, or summed as of any instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from tieline.cli.showing import hours, show_json, show_table
from tieline.cli.tools import Tools, instant, json_option, pass_tools

if TYPE_CHECKING:
    from tieline.services.revenue_status import RevenueStatus, RevenueSum

_UNKNOWN = "not checked"


@click.command()
@click.option("--entity", help="Only this legal entity.")
@click.option(
    "--by",
    type=click.Choice(["project", "contract", "client", "practice", "entity"]),
    help="Sum by this, with margin and what the ERP says beside it.",
)
@click.option("--as-of", help="As of this instant, such as 2026-10-31T22:00:00Z; with --by.")
@json_option
@pass_tools
def revenue(
    tools: Tools, entity: str | None, by: str | None, as_of: str | None, as_json: bool
) -> int:
    """Per project what is earned, billed, in progress and in the backlog, and as of when."""
    from tieline.services.revenue_status import list_revenue_status, sum_revenue

    system = tools.system()
    if by is not None or as_of is not None:
        at = system.clock.now() if as_of is None else instant(as_of, hint="--as-of")
        by = by or "project"
        with system.database.transaction() as connection:
            sums = sum_revenue(connection, at=at, by=by, entity_code=entity)
        if as_json:
            show_json({"by": by, "as_of": at, "sums": sums})
            return 0
        _show_sums(sums, by=by, at=at)
        return 0
    with system.database.transaction() as connection:
        projects = list_revenue_status(connection, entity_code=entity)
    if as_json:
        show_json({"projects": projects})
        return 0
    _show_projects(projects)
    return 0


def _show_projects(projects: Sequence[RevenueStatus]) -> None:
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
                _UNKNOWN
                if each.earned_amount is None
                else f"{each.earned_amount:.2f} {each.currency}",
                f"{each.billed_amount:.2f}",
                _money(each.wip_amount),
                "" if each.backlog_amount is None else f"{each.backlog_amount:.2f}",
                f"{each.as_of:%Y-%m-%d %H:%M}",
            )
            for each in projects
        ],
    )


def _show_sums(sums: Sequence[RevenueSum], *, by: str, at: datetime) -> None:
    show_table(
        title=f"Revenue by {by}, as of {at:%Y-%m-%d %H:%M} UTC",
        columns=(
            by.capitalize(),
            "Currency",
            "Earned",
            "Billed",
            "In progress",
            "Deferred",
            "Backlog",
            "Funded",
            "Margin",
            "ERP beside ledger",
        ),
        rows=[
            (
                each.name,
                each.currency,
                _money(each.earned_amount),
                _money(each.billed_amount),
                _money(each.wip_amount),
                _money(each.deferred_amount),
                _money(each.backlog_amount),
                _money(each.funded_amount),
                _money(each.margin_amount),
                _beside(each),
            )
            for each in sums
        ],
    )
    for rate in sorted({rate for each in sums for rate in each.cost_rates}):
        click.echo(f"Costs in another currency are converted by the day worked: {rate}")


def _beside(each: RevenueSum) -> str:
    told = []
    if each.rounding_amount:
        told.append(f"{each.rounding_amount:.2f} by its rounding")
    if each.unexplained_amount:
        told.append(f"{each.unexplained_amount:.2f} not explained")
    if each.erp_seconds != each.ledger_seconds:
        told.append(f"{hours(each.erp_seconds - each.ledger_seconds)} other hours")
    return ", ".join(told) or "the same"


def _money(amount: Decimal | None) -> str:
    return _UNKNOWN if amount is None else f"{amount:.2f}"


COMMANDS: tuple[click.Command, ...] = (revenue,)

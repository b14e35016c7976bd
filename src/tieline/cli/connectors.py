"""Connectors: write the folder of a new one, and see where one stands on the quality scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tieline.cli.showing import plain, show_json, show_table
from tieline.cli.tools import GOAL_MISSED, Tools, json_option, pass_tools

if TYPE_CHECKING:
    from tieline.sdk.quality import QualityReport, RuleResult


@click.group()
def connector() -> None:
    """Write and grade connectors."""


@connector.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(["crm", "erp", "time"]), required=True)
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where the folder is written; else here.",
)
@json_option
def connector_new(name: str, kind: str, directory: Path, as_json: bool) -> int:
    """Write the folder of a new connector."""
    from tieline.sdk.scaffold import new_connector

    folder = new_connector(name=name, kind=kind, directory=directory)
    if as_json:
        show_json({"folder": str(folder), "files": sorted(path.name for path in folder.iterdir())})
        return 0
    click.echo(f"{folder} is written. See where it stands: tieline connector test {folder}")
    return 0


@connector.command("test")
@click.argument("name")
@json_option
@pass_tools
def connector_test(tools: Tools, name: str, as_json: bool) -> int:
    """Run the promises of a connector on its fixtures and print its quality scale.

    NAME is a system, a folder or a Python package. Nothing is called but a server in this process.
    """
    from tieline.sdk.finding import find_package
    from tieline.sdk.quality import grade

    package = find_package(name=name, installed=tools.connector_packages(), directory=Path.cwd())
    report = grade(package)
    if as_json:
        show_json(_facts(report, package))
    else:
        _show(report)
    return 0 if report.is_good else GOAL_MISSED


def _facts(report: QualityReport, package: str) -> dict[str, object]:
    following = report.next_missing
    return {
        "system": report.system,
        "package": package,
        "claimed_tier": report.claimed_tier,
        "tier": report.tier or None,
        "is_good": report.is_good,
        "next_missing": None if following is None else plain(following),
        "rules": plain(report.results),
    }


def _show(report: QualityReport) -> None:
    show_table(
        title=f"{report.system} on the quality scale",
        columns=("Tier", "Rule", "Standing", "Seen by", "What is kept, or what is wrong"),
        rows=[
            (one.tier, one.rule, one.standing, _witness(one), _explanation(one))
            for one in report.results
        ],
    )
    click.echo(_verdict(report))


def _witness(result: RuleResult) -> str:
    if result.standing == "done":
        return "a test" if result.is_tested else "its word"
    return "a test" if result.problems else ""


def _explanation(result: RuleResult) -> str:
    return "; ".join(result.problems) or result.reason or result.meaning


def _verdict(report: QualityReport) -> str:
    reached = (
        f"{report.system} is {report.tier}" if report.tier else f"{report.system} has no tier yet"
    )
    if report.claimed_tier != report.tier:
        reached += f" and says it is {report.claimed_tier}"
    following = report.next_missing
    if following is None:
        return f"{reached}; no rule is missing."
    return f"{reached}; next is {following.tier}.{following.rule}: {_explanation(following)}."


COMMANDS: tuple[click.Command, ...] = (connector,)

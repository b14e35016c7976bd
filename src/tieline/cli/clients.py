"""Clients: as all systems know them, and which records of a file are the same one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tieline.cli.showing import plain, show_json, show_table, tell
from tieline.cli.tools import Tools, json_option, pass_tools

if TYPE_CHECKING:
    from tieline.services.register_lists import LinkState

_SHOWN_MAX = 500
_PAIRS_SHOWN_MAX = 40


class _ListUnlessNamed(click.Group):
    """Let ``clients NAME`` list clients, beside commands of their own name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListUnlessNamed)
def clients() -> None:
    """Clients: list them, by the name they hold, or find the same ones in a file."""


@clients.command("list")
@click.argument("name", required=False)
@click.option("--entity", help="Only those that this legal entity has a contract with.")
@click.option(
    "--links",
    type=click.Choice(["linked", "partial", "unclear"]),
    help="Only those that a CRM and an ERP know, that not each knows yet, or that a case asks about.",
)
@json_option
@pass_tools
def show_clients(
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


@clients.command("dedupe")
@click.option(
    "--input",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    help="A CSV file in UTF-8 with a header; any of the columns record_id, source, name, address,"
    " city, postal_code, country, phone, email, tax_id, and cluster_id where it is labeled.",
)
@click.option(
    "--labels",
    type=click.IntRange(min=0),
    default=0,
    help="How many pairs of a labeled file the scorer may learn from; it is measured on the others.",
)
@json_option
@pass_tools
def dedupe_file(tools: Tools, path: Path, labels: int, as_json: bool) -> int:
    """Find the records of a file that are the same client; needs no installation.

    A pair says link where no steward needs to look at it. A labeled file is also measured.
    """
    from tieline.services.client_dedupe import dedupe

    found = dedupe(path, labels=labels, say=tell)
    quality = {} if found.quality is None else plain(found.quality)
    if as_json:
        facts = {**plain(found), **quality}
        del facts["quality"]
        show_json(facts)
        return 0
    show_table(
        title=f"{len(found.pairs)} pairs of {found.records} records are the same client",
        columns=("Record", "Record", "Score", "Decision"),
        rows=[
            (pair.left, pair.right, f"{pair.score:.3f}", pair.decision)
            for pair in found.pairs[:_PAIRS_SHOWN_MAX]
        ],
    )
    if len(found.pairs) > _PAIRS_SHOWN_MAX:
        tell(f"{_PAIRS_SHOWN_MAX} of {len(found.pairs)} pairs are shown; --json prints all")
    for name, value in quality.items():
        tell(f"{name} {value:.3f}")
    return 0


COMMANDS: tuple[click.Command, ...] = (clients,)

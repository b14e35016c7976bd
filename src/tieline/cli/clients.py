"""Clients: as all systems know them, and which records of a file are the same one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tieline.cli.showing import plain, show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    Tools,
    as_id,
    by_option,
    holder,
    json_option,
    pass_tools,
    reason_option,
    signed,
)
from tieline.kernel.errors import UserMistake
from tieline.services.deciding import ROLES_THAT_MATCH

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from uuid import UUID

    from psycopg import Connection

    from tieline.governance import Person
    from tieline.runtime.database import Row
    from tieline.services.client_merging import Merged
    from tieline.services.client_pairs import Pair
    from tieline.services.register_lists import LinkState
    from tieline.services.system import System


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


@clients.command("same")
@click.argument("case_id", metavar="[CASE]", required=False)
@click.option(
    "--answer",
    type=click.Choice(["same", "different", "later", "undo"]),
    help="What the two of CASE are; undo takes back what was said last, of whatever pair.",
)
@click.option(
    "--client", "client_id", help="The candidate; the likeliest one where it is left out."
)
@click.option("--reason", default="", help="How you know; it is kept with the answer.")
@click.option("--by", "login", metavar="LOGIN", help="Who answers.")
@json_option
@pass_tools
def same(
    tools: Tools,
    case_id: str | None,
    answer: str | None,
    client_id: str | None,
    reason: str,
    login: str | None,
    as_json: bool,
) -> int:
    """Pairs that may be one client: list them, show the one of CASE, or answer it."""
    system = tools.system()
    if answer is not None:
        if login is None:
            raise UserMistake("say who answers: --by LOGIN")
        return _answer(
            system, case_id, answer, client_id, reason=reason, login=login, as_json=as_json
        )
    from tieline.services.client_pairs import list_pairs

    if case_id is not None:
        with system.database.transaction() as connection:
            pair = _pair(connection, system, as_id(case_id, what="case"), _client(client_id))
        if as_json:
            show_json(plain(pair))
            return 0
        show_table(
            title=f"Same client? {pair.score or '-'} of 100 alike",
            columns=("Field", "The one", "The other", "Agrees"),
            rows=[
                (each.field, each.left or "", each.right or "", _AGREES[each.agrees])
                for each in pair.compared
            ],
        )
        for each in pair.weights:
            tell(f"{each.field} {each.weight:+.2f}")
        return 0
    with system.database.transaction() as connection:
        found = list_pairs(connection, asking=login or "")
    if as_json:
        show_json({"pairs": plain(found)})
        return 0
    show_table(
        title=f"{len(found)} wait for an answer",
        columns=("Case", "What", "Which", "Since"),
        rows=[
            (str(each.case_id), each.reason, each.thing_key, f"{each.opened_at:%Y-%m-%d %H:%M}")
            for each in found
        ],
    )
    return 0


_AGREES = {True: "yes", False: "no", None: ""}


@clients.command("merge")
@click.argument("client_id", metavar="CLIENT")
@click.option("--into", required=True, metavar="CLIENT", help="The client that it becomes.")
@reason_option
@by_option
@json_option
@pass_tools
def merge(tools: Tools, client_id: str, into: str, reason: str, login: str, as_json: bool) -> int:
    """Let a client become another; where money was posted for it, a second person decides."""
    from tieline.services.client_merging import merge_clients

    system = tools.system()
    person = holder(signed(system, login), roles=ROLES_THAT_MATCH)
    with _as_worker(system, person) as connection:
        done = merge_clients(
            connection,
            losing_id=as_id(client_id, what="client"),
            winning_id=as_id(into, what="client"),
            by=person.login,
            reason=reason,
            connectors=system.connectors,
            now=system.clock.now(),
        )
    return _show_merged(done, as_json=as_json)


@clients.command("unmerge")
@click.argument("client_id", metavar="CLIENT")
@reason_option
@by_option
@json_option
@pass_tools
def unmerge(tools: Tools, client_id: str, reason: str, login: str, as_json: bool) -> int:
    """Let a client that was merged be one of its own again, with the records that were its own."""
    from tieline.services.client_merging import unmerge_clients

    system = tools.system()
    person = holder(signed(system, login), roles=ROLES_THAT_MATCH)
    with _as_worker(system, person) as connection:
        done = unmerge_clients(
            connection,
            losing_id=as_id(client_id, what="client"),
            by=person.login,
            reason=reason,
            connectors=system.connectors,
            now=system.clock.now(),
        )
    return _show_merged(done, as_json=as_json)


@clients.command("explain")
@click.argument("client_id", metavar="CLIENT")
@json_option
@pass_tools
def explain(tools: Tools, client_id: str, as_json: bool) -> int:
    """Explain a client field by field: who says what, whose word counts, and why."""
    from tieline.services.client_fields import explain_client

    system = tools.system()
    with system.database.transaction() as connection:
        try:
            found = explain_client(
                connection, client_id=as_id(client_id, what="client"), now=system.clock.now()
            )
        except LookupError as error:
            raise UserMistake(str(error)) from error
    if as_json:
        show_json(plain(found))
        return 0
    show_table(
        title=f"Client {found.client_id}",
        columns=("Field", "Value", "Because", "Of", "Others say"),
        rows=[
            (
                each.field,
                each.value or "",
                each.because,
                f"{each.connection_key}:{each.source_ref}" if each.connection_key else "",
                ", ".join(
                    f"{one.connection_key}:{one.source_ref} {one.value}"
                    for one in each.said
                    if one.value != each.value
                ),
            )
            for each in found.fields
        ],
    )
    return 0


@clients.command("weights")
@json_option
@pass_tools
def weights(tools: Tools, as_json: bool) -> int:
    """The numbered weights by which clients are matched, and how each did beside the one before."""
    from tieline.register import list_weights

    system = tools.system()
    with system.database.transaction() as connection:
        found = [
            {
                "version": each.version,
                "kind": each.kind,
                "state": each.state,
                "records": each.records,
                "decisions": each.decisions,
                "compared": dict(each.compared),
                "made_at": each.made_at,
            }
            for each in list_weights(connection)
        ]
    if as_json:
        show_json({"weights": found})
        return 0
    show_table(
        title="Weights",
        columns=("Number", "Kind", "State", "Records", "Decisions", "Compared"),
        rows=[
            tuple(
                str(each[name] or "")
                for name in ("version", "kind", "state", "records", "decisions", "compared")
            )
            for each in found
        ],
    )
    return 0


def _answer(
    system: System,
    case_id: str | None,
    answer: str,
    client_id: str | None,
    *,
    reason: str,
    login: str,
    as_json: bool,
) -> int:
    from tieline.services.client_pairs import answer_pair, undo_last

    person = holder(signed(system, login), roles=ROLES_THAT_MATCH)
    with _as_worker(system, person) as connection:
        if answer == "undo":
            done = undo_last(
                connection, by=person.login, connectors=system.connectors, now=system.clock.now()
            )
        else:
            if case_id is None:
                raise UserMistake("say of which case: tieline clients same CASE --answer same")
            asked = as_id(case_id, what="case")
            pair = _pair(connection, system, asked, _client(client_id))
            assert pair.right.client_id is not None
            done = answer_pair(
                connection,
                case_id=asked,
                client_id=pair.right.client_id,
                answer=answer,  # type: ignore[arg-type]
                reason=reason or "what both records say",
                by=person.login,
                connectors=system.connectors,
                now=system.clock.now(),
            )
    show_facts(plain(done), as_json=as_json)
    return 0


def _pair(
    connection: Connection[Row], system: System, case_id: UUID, client_id: UUID | None
) -> Pair:
    from tieline.services.client_pairs import read_pair
    from tieline.services.links import read_links

    try:
        return read_pair(
            connection,
            case_id=case_id,
            client_id=client_id,
            links=read_links(connection, systems=system.systems),
            reader=connection,
            connectors=system.connectors,
            now=system.clock.now(),
        )
    except LookupError as error:
        raise UserMistake(str(error)) from error


def _as_worker(system: System, person: Person) -> AbstractContextManager[Connection[Row]]:
    from tieline.governance import open_web_transaction

    # The register is the worker's; what may be seen is still the person's.
    return open_web_transaction(system.database, entities=person.entities)


def _client(text: str | None) -> UUID | None:
    return None if text is None else as_id(text, what="client")


def _show_merged(done: Merged, *, as_json: bool) -> int:
    show_facts(
        {
            "merge_id": done.merge_id,
            "proposal_id": None if done.proposal is None else done.proposal.proposal_id,
            "records": [f"{each.connection_key}:{each.source_ref}" for each in done.moved],
        },
        as_json=as_json,
    )
    return 0


COMMANDS: tuple[click.Command, ...] = (clients,)

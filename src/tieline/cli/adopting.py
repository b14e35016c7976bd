"""Adopt what connected systems already hold: see what is proposed, correct it in a sheet, link it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tieline.cli.showing import plain, show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    CONTROLLER,
    GOAL_MISSED,
    Tools,
    decider,
    json_option,
    pass_tools,
    read_bytes,
    signed,
    write_bytes,
)
from tieline.governance import Person
from tieline.kernel.errors import UserMistake
from tieline.settings import PASSWORD_VARIABLE

if TYPE_CHECKING:
    from tieline.services.proposing_links import Adoptable, Filters
    from tieline.services.system import System

_STEWARD = "data_steward"


@click.command()
@click.option(
    "--plan",
    "is_plan",
    is_flag=True,
    help="Propose anew from what was read, and say what; nothing is linked.",
)
@click.option(
    "--xlsx",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what was proposed last as a sheet to correct, or with --plan anew; nothing is linked.",
)
@click.option("--system", "connection_key", default="", metavar="NAME", help="Of one connection only, with --plan and --xlsx.")  # fmt: skip
@click.option("--what", "noun", default="", help="Of client, person, project, task or erp_task only, with --plan and --xlsx.")  # fmt: skip
@click.option("--state", default="", help="Only what stands so, such as strong, weak, several or left, with --plan and --xlsx.")  # fmt: skip
@click.option(
    "--apply",
    "corrected",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Link what the corrected sheet confirms: rows whose Decision is link.",
)
@click.option(
    "--contracts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Tell of contracts that run, a row per rate; alone it says what is in the file.",
)
@click.option("--by", "login", metavar="LOGIN", help=f"Who confirms, with --apply or --contracts; see {PASSWORD_VARIABLE}.")  # fmt: skip
@click.option("--reason", default="", help="Why; kept with what is linked.")
@json_option
@pass_tools
def adopt(
    tools: Tools,
    is_plan: bool,
    xlsx: Path | None,
    connection_key: str,
    noun: str,
    state: str,
    corrected: Path | None,
    contracts: Path | None,
    login: str | None,
    reason: str,
    as_json: bool,
) -> int:
    """Propose links for the clients, people, projects and tasks that connected systems already hold.

    With --plan or alone it proposes anew and says what and why; exit 0 when nothing is left without a link. A
    corrected sheet goes back with --apply, --by and --reason. Contracts that run are told with --contracts, --by
    and --reason; a second person approves them.
    """
    system = tools.system()
    if contracts is not None:
        if is_plan or xlsx is not None or corrected is not None:
            raise UserMistake("--contracts takes --by and --reason, and nothing else")
        return _tell_contracts(system, contracts, login, reason, as_json=as_json)
    if corrected is not None:
        if login is None or not reason.strip() or is_plan or xlsx is not None:
            raise UserMistake("--apply takes --by and --reason, and nothing else")
        return _apply(system, corrected, signed(system, login), reason, as_json=as_json)
    from tieline.services.proposing_links import LEFT, Filters

    found, known_at = _proposed(
        system,
        Filters(
            connection_key=connection_key,
            noun=noun,
            state=state,
            has_left=not (connection_key or noun or state),
        ),
        is_anew=is_plan or xlsx is None,
    )
    if xlsx is not None:
        _write(found, xlsx, as_of=known_at)
    _show(found, as_json=as_json)
    return GOAL_MISSED if any(each.state != LEFT for each in found) else 0


def _proposed(
    system: System, filters: Filters, *, is_anew: bool
) -> tuple[Sequence[Adoptable], datetime]:
    """Return what is proposed, and as of when; what nobody proposed yet is proposed first."""
    from tieline.services.proposing_links import NOUNS, list_proposals, propose_links, read_look

    def progress(done: int, total: int) -> None:
        tell("proposed" if done == total else f"proposing: {NOUNS[done]} ({done} of {total} done)")

    with system.database.transaction() as connection:
        known_at = read_look(connection).known_at
        if is_anew or known_at is None:
            known_at = system.clock.now()
            propose_links(connection, by="shell", now=known_at, progress=progress)
        return list_proposals(connection, filters=filters), known_at


def _tell_contracts(
    system: System, path: Path, login: str | None, reason: str, *, as_json: bool
) -> int:
    from tieline.services.running_contracts import preview_contracts, propose_contracts

    body = read_bytes(path)
    if login is None:
        with system.database.transaction() as connection:
            found = preview_contracts(connection, body=body)
        show_facts(plain(found), as_json=as_json)
        return GOAL_MISSED if found.mistakes else 0
    if not reason.strip():
        raise UserMistake("--contracts with --by takes --reason")
    by = decider(signed(system, login), role=CONTROLLER)
    with system.database.transaction() as connection:
        proposal = propose_contracts(
            connection,
            name=path.name,
            body=body,
            by=by.login,
            reason=reason,
            now=system.clock.now(),
        )
    show_facts({"proposal": proposal.proposal_id}, as_json=as_json)
    return 0


def _apply(system: System, path: Path, person: Person, reason: str, *, as_json: bool) -> int:
    from tieline.services.adopting import SHEET, read_decisions, read_ours
    from tieline.services.adopting import adopt as link_all
    from tieline.services.xlsx_reading import read_sheet

    role = _STEWARD if person.has_role(_STEWARD) else CONTROLLER
    by = decider(person, role=role)
    rows = read_sheet(read_bytes(path), name=SHEET)
    with system.database.transaction() as connection:
        ours = read_ours(connection)
    decisions = read_decisions(ours, rows=rows)
    with system.database.transaction() as connection:
        done = link_all(
            connection,
            decisions=decisions,
            by=by.login,
            reason=reason,
            now=system.clock.now(),
            progress=lambda now, all_of_it: tell(f"{now} of {all_of_it} links"),
        )
    show_facts(plain(done), as_json=as_json)
    return GOAL_MISSED if done.refused else 0


def _write(found: Sequence[Adoptable], path: Path, *, as_of: datetime) -> None:
    from tieline.console.workbook import About, Column, Sheet, make_workbook
    from tieline.services.adopting import HEADER, SHEET, as_cells

    about = About(
        title="What connected systems hold and no link of ours is",
        as_of=as_of,
        by="shell",
        filters={},
        notes=(
            "Write link or leave under Decision. Ours may name another: a project's code, CODE / TASK, an e-mail; of a task of the ERP, CODE / TASK / CATEGORY.",
            "Send it back: tieline adopt --apply FILE --by LOGIN --reason WHY",
        ),
    )
    sheet = Sheet(
        name=SHEET,
        columns=[Column(title=title, width=24) for title in HEADER],
        rows=as_cells(found),
    )
    write_bytes(path, make_workbook(about=about, sheets=[sheet]))
    tell(f"{len(found)} rows are in {path}")


def _show(found: Sequence[Adoptable], *, as_json: bool) -> None:
    counts: dict[str, Counter[str]] = {}
    for each in found:
        counts.setdefault(each.noun, Counter())[each.state] += 1
    if as_json:
        show_json({"counts": counts, "proposals": found})
        return
    show_table(
        title="Not linked yet",
        columns=("What", "How sure", "Records"),
        rows=[
            (noun, state, str(count))
            for noun, states in counts.items()
            for state, count in sorted(states.items())
        ],
    )


COMMANDS: tuple[click.Command, ...] = (adopt,)

"""Files for manual loading while a target is down: make, list, show, give free, withdraw."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from tieline.cli.showing import hours, show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    CONTROLLER,
    Tools,
    by_option,
    decider,
    json_option,
    pass_tools,
    reason_option,
    signed,
)
from tieline.kernel.errors import UserMistake
from tieline.posting.file_settling import Looked
from tieline.posting.handing_over import FileDraft, ImportFile
from tieline.services.fallback import VALID_HOURS, VALID_HOURS_MAX
from tieline.services.system import System

_NAMED_MAX = 20
_PRIVATE = 0o600


@click.group()
def fallback() -> None:
    """Give finance the lines of a target that is down, as the file that its own import takes."""


@fallback.command("make")
@click.option("--target", required=True, help="The connection that is down.")
@click.option("--entity", "entities", multiple=True, help="Only this legal entity; repeat it.")
@click.option("--period", help="Only this period, such as 2026-10; else every open one.")
@click.option(
    "--valid-hours",
    type=click.IntRange(1, VALID_HOURS_MAX),
    default=VALID_HOURS,
    show_default=True,
    help="How long it may be loaded, from its approval on.",
)
@click.option(
    "--plan", "is_plan", is_flag=True, help="Show what would be in it and ask for nothing."
)
@click.option("--reason", default="", help="Why; it stands on the cover sheet.")
@click.option("--by", "login", metavar="LOGIN", help="Who asks; without it nothing is asked for.")
@json_option
@pass_tools
def make(
    tools: Tools,
    target: str,
    entities: Sequence[str],
    period: str | None,
    valid_hours: int,
    is_plan: bool,
    reason: str,
    login: str | None,
    as_json: bool,
) -> int:
    """Show what a file of each legal entity would hold; with --by and --reason propose it.

    A second person makes it: tieline proposals approve. Lines that are being sent, or that nobody
    has confirmed, are never in a file.
    """
    from tieline.services.fallback import draft_files, propose_file, told_of

    system = tools.system()
    asks = login is not None and not is_plan
    seen = _entities(system, login if asks else None, entities)
    now = system.clock.now()
    with system.database.transaction() as connection:
        drafts = draft_files(
            connection,
            connectors=system.connectors,
            target_connection=target,
            entities=seen,
            period_code=period,
            now=now,
        )
        proposed = {
            draft.scope.entity_code: propose_file(
                connection,
                draft=draft,
                valid_hours=valid_hours,
                reason=reason,
                by=str(login),
                now=now,
            )
            for draft in drafts
            if asks and (draft.commands or len(drafts) == 1)
        }
    facts = [
        {
            **_facts(draft),
            "told": told_of(draft),
            "proposal_id": str(proposed[draft.scope.entity_code].proposal_id)
            if draft.scope.entity_code in proposed
            else None,
        }
        for draft in drafts
    ]
    if as_json:
        show_json({"files": facts})
        return 0
    for draft, fact in zip(drafts, facts, strict=True):
        _show_draft(draft, fact["proposal_id"])
    if not asks:
        tell("nothing was asked for: say --reason and --by to propose it")
    return 0


@fallback.command("list")
@click.option("--state", type=click.Choice(["open", "settled", "withdrawn"]))
@json_option
@pass_tools
def list_command(tools: Tools, state: str | None, as_json: bool) -> int:
    """List the files that were made, and what became of their lines."""
    from tieline.posting.handing_over import list_files

    system = tools.system()
    with system.database.transaction() as connection:
        files = list_files(connection, state=state)
    if as_json:
        show_json({"files": [_told(file) for file in files]})
        return 0
    show_table(
        title="Files for manual loading",
        columns=("File", "State", "Lines", "Hours", "Money", "Found", "Free", "Otherwise", "Until"),
        rows=[
            (
                file.file_name,
                file.state,
                str(file.lines),
                hours(file.seconds),
                _money(file.cover["amounts"]),
                str(file.matched),
                str(file.released),
                str(file.differs),
                f"{file.valid_until:%Y-%m-%d %H:%M}",
            )
            for file in files
        ],
    )
    return 0


@fallback.command("show")
@click.argument("file_name", metavar="FILE")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the file and its cover sheet into this folder.",
)
@json_option
@pass_tools
def show(tools: Tools, file_name: str, out: Path | None, as_json: bool) -> int:
    """Show a file; with --out write it and its cover sheet, as long as somebody may need it."""
    from tieline.posting.cover_sheet import write_cover
    from tieline.posting.handing_over import find_content

    system = tools.system()
    file = _get(system, file_name)
    written: list[str] = []
    if out is not None:
        with system.database.transaction() as connection:
            content = find_content(connection, file_id=file.file_id)
        if content is None:
            raise UserMistake(f"{file.file_name} is {file.state}: its lines are kept no longer")
        out.mkdir(parents=True, exist_ok=True)
        written = [
            _write(out / file.file_name, content),
            _write(out / f"{file.file_name}.cover.html", write_cover(file).encode()),
        ]
    show_facts({**_told(file), "written": written}, as_json=as_json)
    return 0


@fallback.command("release")
@click.argument("file_name", metavar="FILE")
@reason_option
@by_option
@json_option
@pass_tools
def release(tools: Tools, file_name: str, reason: str, login: str, as_json: bool) -> int:
    """Give free what of a file does not stand in the target; the target is asked first.

    Say it when nobody will load what is left: these lines are then sent as every other.
    """
    from tieline.services.workday import Workday

    system = tools.system()
    file = _seen(system, login, file_name)
    looked = Workday(system=system).fallback().release(
        file_name=file.file_name, by=login, reason=reason
    )  # fmt: skip
    _show_looked(file, looked, as_json=as_json)
    return 0


@fallback.command("withdraw")
@click.argument("file_name", metavar="FILE")
@reason_option
@by_option
@json_option
@pass_tools
def withdraw(tools: Tools, file_name: str, reason: str, login: str, as_json: bool) -> int:
    """Take back a file of which nothing stands in the target; the target is asked first."""
    from tieline.services.workday import Workday

    system = tools.system()
    file = _seen(system, login, file_name)
    looked = Workday(system=system).fallback().withdraw(
        file_name=file.file_name, by=login, reason=reason
    )  # fmt: skip
    _show_looked(file, looked, as_json=as_json)
    return 0


def _entities(system: System, login: str | None, asked: Sequence[str]) -> Sequence[str]:
    from tieline.services.installation import entity_codes

    with system.database.transaction() as connection:
        known = entity_codes(connection)
    if login is not None:
        person = signed(system, login)
        decider(person, role=CONTROLLER)
        known = tuple(code for code in known if code in person.entities)
    beyond = sorted(set(asked) - set(known))
    if beyond:
        raise UserMistake(f"{', '.join(beyond)} is no legal entity in sight")
    return asked or known


def _seen(system: System, login: str, file_name: str) -> ImportFile:
    person = signed(system, login)
    decider(person, role=CONTROLLER)
    file = _get(system, file_name)
    if file.entity_code not in person.entities:
        raise UserMistake(f"there is no file {file_name} in {login}'s sight")
    return file


def _get(system: System, file_name: str) -> ImportFile:
    from tieline.posting.handing_over import get_file

    try:
        with system.database.transaction() as connection:
            return get_file(connection, file_name=file_name)
    except LookupError as error:
        raise UserMistake(str(error)) from error


def _write(path: Path, content: bytes) -> str:
    # It holds what people wrote about their hours: nobody else on this machine reads it.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise UserMistake(f"{path} cannot be written: {error.strerror}") from error
    return str(path)


def _facts(draft: FileDraft) -> dict[str, object]:
    return {
        "target_connection": draft.scope.target_connection,
        "entity_code": draft.scope.entity_code,
        "periods": draft.periods,
        "lines": len(draft.commands),
        "seconds": draft.seconds,
        "amounts": {currency: str(amount) for currency, amount in draft.amounts.items()},
        "unpriced_seconds": draft.unpriced_seconds,
        "left_out": draft.left_out,
    }


def _show_draft(draft: FileDraft, proposal_id: object) -> None:
    scope = draft.scope
    show_table(
        title=f"A file of {scope.entity_code} for {scope.target_connection}"
        + (f", proposal {proposal_id}" if proposal_id else ""),
        columns=("", "Lines", "Hours", "Money"),
        rows=[
            ("In the file", str(len(draft.commands)), hours(draft.seconds), _money(draft.amounts)),
            *(
                (f"Not in it: {each.why}", str(each.lines), hours(each.seconds), "")
                for each in draft.left_out
            ),
        ],
    )


def _told(file: ImportFile) -> dict[str, object]:
    return {
        "file_name": file.file_name,
        "state": file.state,
        "target_connection": file.target_connection,
        "entity_code": file.entity_code,
        "lines": file.lines,
        "seconds": file.seconds,
        "amounts": file.cover["amounts"],
        "checksum": file.checksum,
        "made_by": file.made_by,
        "approved_by": file.approved_by,
        "reason": file.reason,
        "made_at": file.made_at,
        "valid_until": file.valid_until,
        "asked_at": file.asked_at,
        "given": file.given,
        "matched": file.matched,
        "released": file.released,
        "differs": file.differs,
        "left_out": [
            {**each, "named": each["named"][:_NAMED_MAX]} for each in file.cover["left_out"]
        ],
    }


def _show_looked(file: ImportFile, looked: Looked, *, as_json: bool) -> None:
    show_facts(
        {
            "file_name": file.file_name,
            "matched": looked.matched,
            "released": looked.released,
            "differs": looked.differs,
            "doubled": looked.doubled,
            "waiting": looked.waiting,
        },
        as_json=as_json,
    )


def _money(amounts: object) -> str:
    assert hasattr(amounts, "items")
    return ", ".join(f"{amount} {currency}" for currency, amount in amounts.items())


COMMANDS: tuple[click.Command, ...] = (fallback,)

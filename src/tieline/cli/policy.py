"""What the firm decided: read it, draft another, see what it would do, and agree to it as the second person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from tieline.cli.showing import hours, plain, show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    CONTROLLER,
    Tools,
    by_option,
    decider,
    json_option,
    pass_tools,
    read_bytes,
    read_text,
    reason_option,
    signed,
)
from tieline.kernel.errors import UserMistake

if TYPE_CHECKING:
    from tieline.policy import ReleaseLine
    from tieline.services.policy_files import PolicyFile
    from tieline.services.reference_files import File
    from tieline.services.what_if import WhatIf

_SAMPLE = 100
_Command = Callable[..., int]


@click.group()
def policy() -> None:
    """What the firm decided: values, severities and rules of its own, in numbered releases."""


_file_option = click.option(
    "--file",
    "path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The whole policy, TOML or JSON, as export writes it; what it leaves out is withdrawn.",
)
_installed_option = click.option(
    "--installed-rules",
    "is_installed",
    is_flag=True,
    help="Take the shipped rules of the installed version instead of those of the current release.",
)
_sample_option = click.option(
    "--entries",
    "sample",
    type=click.IntRange(0, 100_000),
    default=_SAMPLE,
    show_default=True,
    help="How many of the hours that differ are named, by id, in the JSON.",
)


def _window(command: _Command) -> _Command:
    day = click.DateTime(formats=["%Y-%m-%d"])
    until = click.option("--to", "ends", required=True, type=day, help="The first day after it.")
    since = click.option("--from", "starts", required=True, type=day, help="The first day.")
    return since(until(command))


@policy.command("export")
@click.argument("release", type=int, required=False)
@json_option
@pass_tools
def export(tools: Tools, release: int | None, as_json: bool) -> int:
    """Write the policy of a RELEASE, or of the current one, as a file that draft takes: TOML, or JSON."""
    from tieline.services.policy_files import export_policy, write_toml

    with tools.system().database.transaction() as connection:
        found = export_policy(connection, release_id=release)
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        click.echo(write_toml(found), nl=False)
    return 0


@policy.command("list")
@json_option
@pass_tools
def list_all(tools: Tools, as_json: bool) -> int:
    """List the releases, the newest first."""
    from tieline.policy import list_releases

    with tools.system().database.transaction() as connection:
        found = list_releases(connection)
    if as_json:
        show_json({"releases": found})
        return 0
    show_table(
        title="Releases",
        columns=("Release", "State", "Title", "Proposed by", "Approved by", "Why"),
        rows=[_line(each) for each in found],
    )
    return 0


@policy.command("show")
@click.argument("release", type=int)
@json_option
@pass_tools
def show(tools: Tools, release: int, as_json: bool) -> int:
    """Say what a RELEASE changes against the one it was drafted from, or the current one."""
    from tieline.services.policy_files import show_release

    try:
        with tools.system().database.transaction() as connection:
            found = show_release(connection, release_id=release)
    except LookupError as error:
        raise UserMistake(str(error)) from error
    facts = {
        "release": release,
        "state": found.line.state,
        "title": found.line.title,
        "proposed_by": found.line.proposed_by,
        "approved_by": found.line.approved_by,
        "reason": found.line.reason,
        "against": found.against,
        "changes": found.changes,
    }
    if as_json:
        show_json(facts)
        return 0
    show_facts({name: value for name, value in facts.items() if name != "changes"}, as_json=False)
    for each in found.changes:
        click.echo(f"  {each}")
    return 0


@policy.command("draft")
@_file_option
@_installed_option
@reason_option
@by_option
@json_option
@pass_tools
def draft(
    tools: Tools, path: Path, is_installed: bool, reason: str, login: str, as_json: bool
) -> int:
    """Propose a policy from a file; it decides nothing until somebody else approves it."""
    from tieline.services.policy_files import draft_policy

    told = _read(path)
    system = tools.system()
    by = decider(signed(system, login), role=CONTROLLER)
    with system.database.transaction() as connection:
        done = draft_policy(
            connection,
            file=told,
            by=by.login,
            reason=reason,
            now=system.clock.now(),
            is_installed=is_installed,
        )
    if as_json:
        show_json(
            {
                "release": done.release_id,
                "state": "draft",
                "against": done.based_on,
                "changes": done.changes,
            }
        )
        return 0
    show_facts({"release": done.release_id, "state": "draft"}, as_json=False)
    for each in done.changes:
        click.echo(f"  {each}")
    tell(f"see what it would do: tieline policy diff --draft {done.release_id} --from DAY --to DAY")
    return 0


@policy.command("try")
@_file_option
@_installed_option
@_window
@_sample_option
@json_option
@pass_tools
def try_file(
    tools: Tools,
    path: Path,
    is_installed: bool,
    starts: datetime,
    ends: datetime,
    sample: int,
    as_json: bool,
) -> int:
    """Say what a file would do to past days, before anybody proposes it: drafted, asked and taken back."""
    from tieline.services.policy_files import draft_policy
    from tieline.services.what_if import Question, ask_what_if

    told = _read(path)
    system = tools.system()
    now = system.clock.now()
    with (
        system.database.transaction() as connection,
        connection.transaction(force_rollback=True),
    ):
        done = draft_policy(
            connection, file=told, by="try", reason="try", now=now, is_installed=is_installed
        )
        found = ask_what_if(
            connection,
            question=Question(
                starts_on=starts.date(),
                ends_on=ends.date(),
                new_release_id=done.release_id,
            ),
            now=now,
            sample=sample,
            progress=_tell_progress,
        )
    return _show_what_if(found, as_json=as_json)


@policy.command("drafts")
@click.argument("name", required=False)
@json_option
@pass_tools
def drafts(tools: Tools, name: str | None, as_json: bool) -> int:
    """What may be laid over by diff --load, or the columns of the file of one NAME."""
    from tieline.register import DRAFT_NOUNS, NOUNS, file_columns

    if name is not None and name not in DRAFT_NOUNS:
        raise UserMistake(f"{name} is none of {', '.join(DRAFT_NOUNS)}")
    if name is None:
        names = ("noun", "loaded", "says")
        rows = [
            (each.name, "yes" if each.name in NOUNS else "only looked at", each.says)
            for each in DRAFT_NOUNS.values()
        ]
    else:
        names = ("column", "empty", "says")
        rows = [
            (each.name, each.empty.value, each.says) for each in file_columns(DRAFT_NOUNS[name])
        ]
    if as_json:
        show_json({"rows": [dict(zip(names, row, strict=True)) for row in rows]})
        return 0
    show_table(
        title=name or "What may be drafted",
        columns=tuple(each.capitalize() for each in names),
        rows=rows,
    )
    return 0


@policy.command("diff")
@click.option("--draft", "draft_id", type=int, help="The release that is looked at.")
@click.option(
    "--against", "against_id", type=int, help="Compared with this one; by default the current."
)
@click.option(
    "--load",
    "loads",
    multiple=True,
    metavar="NOUN=FILE",
    help="Also lay a CSV file over what is known: rates, links, calendars; see policy drafts. May be repeated.",
)
@click.option("--whole", "is_whole", is_flag=True, help="What the files do not name is ended.")
@click.option(
    "--proposal",
    "proposals",
    multiple=True,
    type=click.UUID,
    help="Also a file that waits for a second person. May be repeated.",
)
@_window
@_sample_option
@json_option
@pass_tools
def diff(
    tools: Tools,
    draft_id: int | None,
    against_id: int | None,
    loads: tuple[str, ...],
    is_whole: bool,
    proposals: tuple[UUID, ...],
    starts: datetime,
    ends: datetime,
    sample: int,
    as_json: bool,
) -> int:
    """Say what a draft would do to hours worked on past days, by contract: time, money, closed periods.

    A draft is a release, and files of rates, links or calendars. Nothing is written; Ctrl-C ends it.
    """
    from tieline.services.what_if import Question, answer

    files = tuple(_draft_file(each, is_whole=is_whole) for each in loads)
    if draft_id is None and against_id is None and not files and not proposals:
        raise UserMistake("name a draft: --draft N, --against N, --load NOUN=FILE or --proposal ID")
    system = tools.system()
    found = answer(
        # Only the worker may have copies of its own.
        system.database if files or proposals else system.judge_database,
        question=Question(
            starts_on=starts.date(),
            ends_on=ends.date(),
            new_release_id=draft_id,
            old_release_id=against_id,
            files=files,
            proposal_ids=proposals,
        ),
        now=system.clock.now(),
        sample=sample,
        progress=_tell_progress,
    )
    return _show_what_if(found, as_json=as_json)


@policy.command("approve")
@click.argument("release", type=int)
@by_option
@json_option
@pass_tools
def approve(tools: Tools, release: int, login: str, as_json: bool) -> int:
    """Let a drafted RELEASE decide, as the second person."""
    from tieline.services.deciding import approve_draft_release

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    try:
        with system.database.transaction() as connection:
            approve_draft_release(
                connection,
                release_id=release,
                by=by,
                entities=person.entities,
                now=system.clock.now(),
            )
    except LookupError as error:
        raise UserMistake(f"no release {release} is in {login}'s sight") from error
    show_facts({"release": release, "state": "current"}, as_json=as_json)
    return 0


@policy.command("reject")
@click.argument("release", type=int)
@reason_option
@by_option
@json_option
@pass_tools
def reject(tools: Tools, release: int, reason: str, login: str, as_json: bool) -> int:
    """Turn a drafted RELEASE down, or take one's own back."""
    from tieline.services.deciding import reject_draft_release

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    try:
        with system.database.transaction() as connection:
            reject_draft_release(
                connection,
                release_id=release,
                reason=reason,
                by=by,
                entities=person.entities,
                now=system.clock.now(),
            )
    except LookupError as error:
        raise UserMistake(f"no release {release} is in {login}'s sight") from error
    show_facts({"release": release, "state": "rejected"}, as_json=as_json)
    return 0


def _read(path: Path) -> PolicyFile:
    from tieline.services.policy_files import read_policy_file

    text = read_text(path)
    try:
        return read_policy_file(text, is_json=path.suffix.lower() == ".json")
    except UserMistake as error:
        raise UserMistake(f"{path}: {error}") from error


def _draft_file(told: str, *, is_whole: bool) -> File:
    from tieline.services.reference_files import read_draft_file

    noun, sign, name = told.partition("=")
    if not sign or not name:
        raise UserMistake(f"--load {told}: write NOUN=FILE")
    path = Path(name)
    body = read_bytes(path)
    try:
        return read_draft_file(noun=noun, name=path.name, body=body, is_whole=is_whole)
    except UserMistake as error:
        raise UserMistake(f"{path.name}: {error}") from error


def _tell_progress(done: int, total: int) -> None:
    tell(f"{done} of {total} hours")


def _show_what_if(found: WhatIf, *, as_json: bool) -> int:
    if as_json:
        show_json(plain(found))
        return 0
    for line in found.policy:
        click.echo(f"  {line}")
    for each in found.drafts:
        click.echo(
            f"  {each.noun} {each.file_name}: {each.added} added, {each.changed} changed, {each.ended} ended"
        )
    show_table(
        title=f"{found.entries} of {found.hours_read} hours would be answered otherwise",
        columns=("Entity", "Currency", "Entries", "Hours", "Goes to the ERP", "Would go"),
        rows=[
            (
                one.entity_code,
                one.currency,
                str(one.entries),
                hours(one.seconds),
                str(one.was_amount),
                str(one.amount),
            )
            for one in found.entities
        ],
    )
    show_table(
        title="By contract",
        columns=(
            "Entity",
            "Contract",
            "Where",
            "Was",
            "Becomes",
            "Entries",
            "Hours",
            "Worth",
            "Would be",
        ),
        rows=[
            (
                _moved(change.was_entity_code, change.entity_code),
                _moved(change.was_contract_code, change.contract_code),
                change.place,
                change.was,
                change.becomes,
                str(change.entries),
                hours(change.seconds),
                _money(change.was_amount, change.was_currency),
                _money(change.amount, change.currency),
            )
            for change in found.contracts
        ],
    )
    show_table(
        title="By rule",
        columns=("Rule", "Severity", "Gained", "Lost", "Hours"),
        rows=[
            (rule.code, rule.severity, str(rule.gained), str(rule.lost), hours(rule.seconds))
            for rule in found.rules
        ],
    )
    show_table(
        title="Closed periods touched",
        columns=("Entity", "Period", "Entries", "Hours", "Went to the ERP", "Would have gone"),
        rows=[
            (
                period.entity_code,
                period.period_code,
                str(period.entries),
                hours(period.seconds),
                _money(period.was_amount, period.currency),
                _money(period.amount, period.currency),
            )
            for period in found.closed_periods
        ],
    )
    return 0


def _moved(was: str | None, becomes: str | None) -> str:
    return becomes or "" if was == becomes else f"{was or 'none'} -> {becomes or 'none'}"


def _money(amount: Decimal, currency: str) -> str:
    return f"{amount} {currency}" if currency else ""


def _line(each: ReleaseLine) -> tuple[str, ...]:
    return (
        str(each.release_id),
        each.state,
        each.title,
        each.proposed_by,
        each.approved_by or "",
        each.reason,
    )


COMMANDS: tuple[click.Command, ...] = (policy,)

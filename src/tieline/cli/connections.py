"""Connections: connect a system, read it now."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tieline.cli.showing import show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    GOAL_MISSED,
    Tools,
    ask_secret,
    by_option,
    holder,
    in_file,
    json_option,
    pass_tools,
    reason_option,
    shell_user,
    signed,
)
from tieline.governance import open_web_transaction
from tieline.intake import ReadResult
from tieline.kernel.errors import AskPerson, UserMistake
from tieline.kernel.limits import LimitKind
from tieline.runtime.budget import LimitState
from tieline.runtime.secrets import Secrets
from tieline.services.connecting import Connected, WrittenConnection
from tieline.services.forecast import Outlook
from tieline.services.system import System
from tieline.settings import SECRET_VARIABLE_PREFIX


@click.command()
@click.argument("system_name", metavar="SYSTEM")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="The connection as TOML; else SYSTEM.toml in this folder.",
)
@click.option(
    "--create-fields", is_flag=True, help="Create missing fields in the system without asking."
)
@click.option("--new-secrets", is_flag=True, help="Ask for secrets that are stored already.")
@json_option
@pass_tools
def connect(
    tools: Tools,
    system_name: str,
    path: Path | None,
    create_fields: bool,
    new_secrets: bool,
    as_json: bool,
) -> int:
    """Connect a system, once its check passes; a new connection observes.

    Secrets come from TIELINE_SECRET_CONNECTION_NAME or the terminal, and are kept encrypted. Connecting
    again with another mode in the file changes the mode.
    """
    from tieline.services.connecting import read_written, save_connection, try_connection

    system = tools.system()
    written = in_file(
        path or Path(f"{system_name}.toml"),
        lambda text: read_written(text, system=system_name, systems=system.systems),
    )
    for name in written.left_aside:
        tell(f"[{name}] belongs to a run with real records and is left aside")
    secret_words = _secret_words(system, written, is_new=new_secrets)
    tried = try_connection(system, written=written, secrets=secret_words)
    if tried.missing and _may_create(tried, is_agreed=create_fields):
        _create(system, written, secret_words, tried)
        tried = try_connection(system, written=written, secrets=secret_words)
    if all(item.is_good for item in tried.checks):
        with system.database.transaction() as connection:
            tried = save_connection(
                connection,
                system=system,
                written=written,
                secrets=secret_words,
                tried=tried,
                by=shell_user(),
                now=system.clock.now(),
            )
    _show_connected(tried, as_json=as_json)
    return 0 if tried.is_saved else GOAL_MISSED


@click.command()
@click.argument("connection_key")
@click.option("--full", is_flag=True, help="Read everything, not only what changed.")
@json_option
@pass_tools
def sync(tools: Tools, connection_key: str, full: bool, as_json: bool) -> int:
    """Read every stream of a connection now, and bring clients, people and plans in line with it."""
    from tieline.services.workday import Workday

    workday = Workday(system=tools.system())
    try:
        results = workday.reading().poll_now(connection_key=connection_key, is_full=full)
    except LookupError as error:
        if type(error) is not LookupError:
            raise
        raise UserMistake(str(error)) from error
    workday.keep_register()
    if as_json:
        show_json({"connection_key": connection_key, "streams": [_read(one) for one in results]})
    for result in results:
        tell(
            f"{result.rows} records read, {result.versions} new or changed,"
            f" {result.untranslated} not understood {result.problem}".rstrip()
        )
    return GOAL_MISSED if any(result.problem for result in results) else 0


def _read(result: ReadResult) -> Mapping[str, Any]:
    return {
        "rows": result.rows,
        "versions": result.versions,
        "untranslated": result.untranslated,
        "problem": result.problem,
    }


def _secret_words(system: System, written: WrittenConnection, *, is_new: bool) -> Mapping[str, str]:
    stored = Secrets(database=system.database, key=system.master_key)
    words = {}
    for name in written.secret_names:
        variable = secret_variable(written.connection_key, name)
        kept = None if is_new else _stored(stored, written.connection_key, name)
        words[name] = (
            os.environ.get(variable)
            or kept
            or ask_secret(f"{name} of {written.connection_key}", variable=variable)
        )
    return words


def secret_variable(connection_key: str, name: str) -> str:
    """Return the environment's name of a secret."""
    return SECRET_VARIABLE_PREFIX + re.sub(r"[^A-Z0-9]", "_", f"{connection_key}_{name}".upper())


def _stored(secrets: Secrets, connection_key: str, name: str) -> str | None:
    try:
        return secrets.get(connection_key=connection_key, name=name)
    except AskPerson:
        return None


def _may_create(tried: Connected, *, is_agreed: bool) -> bool:
    for field in tried.missing:
        tell(f"{field.object} have no {field.name}")
    if is_agreed or not sys.stdin.isatty():
        return is_agreed
    return click.confirm("Create them?", err=True)


def _create(
    system: System,
    written: WrittenConnection,
    secret_words: Mapping[str, str],
    tried: Connected,
) -> None:
    from tieline.services.connecting import create_fields

    created = create_fields(system, written=written, secrets=secret_words, missing=tried.missing)
    tell(f"created {', '.join(created)}")


def _show_connected(tried: Connected, *, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "connection_key": tried.connection_key,
                "saved": tried.is_saved,
                "mode": tried.mode if tried.is_saved else None,
                "checks": tried.checks,
            }
        )
        return
    show_table(
        title=f"Check of {tried.connection_key}",
        columns=("Check", "Good", "What to do"),
        rows=[(item.name, "yes" if item.is_good else "no", item.fix) for item in tried.checks],
    )
    tell(f"saved, mode {tried.mode}" if tried.is_saved else "nothing is saved")


@click.group(name="connections", invoke_without_command=True)
@json_option
@click.pass_context
def connections(context: click.Context, as_json: bool) -> int:
    """Show what each connection may be asked, what is used of it, and when what waits will be through.

    Exit 1 when lines wait that will not be through before their cut-off.
    """
    if context.invoked_subcommand is not None:
        return 0
    tools = context.find_object(Tools)
    assert tools is not None
    return _list(tools, as_json=as_json)


@connections.command("pause")
@click.argument("connection_key", metavar="CONNECTION")
@reason_option
@by_option
@json_option
@pass_tools
def pause(tools: Tools, connection_key: str, reason: str, login: str, as_json: bool) -> int:
    """Stop reading from and writing to a system until it is resumed; what waits goes on waiting."""
    return _switch(tools, connection_key, reason, login, is_paused=True, as_json=as_json)


@connections.command("resume")
@click.argument("connection_key", metavar="CONNECTION")
@reason_option
@by_option
@json_option
@pass_tools
def resume(tools: Tools, connection_key: str, reason: str, login: str, as_json: bool) -> int:
    """Let a paused connection go on."""
    return _switch(tools, connection_key, reason, login, is_paused=False, as_json=as_json)


def _switch(
    tools: Tools, connection_key: str, reason: str, login: str, *, is_paused: bool, as_json: bool
) -> int:
    from tieline.services.pausing import ROLES_THAT_PAUSE, set_paused

    system = tools.system()
    person = holder(signed(system, login), roles=ROLES_THAT_PAUSE)
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        try:
            is_changed = set_paused(
                connection,
                connection_key=connection_key,
                is_paused=is_paused,
                by=person.login,
                reason=reason,
                now=system.clock.now(),
            )
        except LookupError as error:
            raise UserMistake(str(error)) from error
    show_facts(
        {"connection_key": connection_key, "paused": is_paused, "changed": is_changed},
        as_json=as_json,
    )
    return 0


def _list(tools: Tools, *, as_json: bool) -> int:
    from tieline.services.forecast import read_outlook

    system = tools.system()
    now = system.clock.now()
    with system.database.transaction() as connection:
        outlook = read_outlook(connection, systems=system.systems)
    rows = [_as_row(outlook, key, now=now) for key in sorted(outlook.targets)]
    if as_json:
        show_json({"as_of": now.isoformat(), "connections": rows})
    else:
        show_table(
            title="Connections",
            columns=("Connection", "Limit", "Used", "Waiting", "Through", "In time"),
            rows=[
                (
                    row["connection_key"],
                    "\n".join(limit["allows"] for limit in row["limits"]),
                    "\n".join(str(limit["used"]) for limit in row["limits"]),
                    str(row["waiting"]),
                    row["through_at"] or row["because"] if row["waiting"] else "",
                    "" if row["is_in_time"] is None else "yes" if row["is_in_time"] else "no",
                )
                for row in rows
            ],
        )
    return GOAL_MISSED if any(row["is_in_time"] is False for row in rows) else 0


def _as_row(outlook: Outlook, key: str, *, now: datetime) -> Mapping[str, Any]:
    waiting = outlook.waiting(key)
    found = outlook.forecast(key, items=waiting, now=now)
    return {
        "connection_key": key,
        "limits": [
            {
                "name": limit.name,
                "allows": _allows(limit),
                "allowed": limit.allowed,
                "used": limit.used,
                "source": limit.source,
            }
            for limit in outlook.limits.get(key, ())
        ],
        "waiting": waiting,
        "calls": found.calls,
        "through_at": None
        if found.through_at is None
        else found.through_at.isoformat("T", "minutes"),
        "because": found.because,
        "is_in_time": outlook.is_in_time(key, now=now) if waiting else None,
    }


def _allows(limit: LimitState) -> str:
    match limit.kind:
        case LimitKind.QUOTA:
            return f"{limit.allowed} each {limit.every}"
        case LimitKind.CONCURRENT:
            return f"{limit.allowed} at once"
        case LimitKind.WINDOW | LimitKind.BUCKET:
            return f"{limit.allowed} in {limit.window_seconds} s"


COMMANDS: tuple[click.Command, ...] = (connect, connections, sync)

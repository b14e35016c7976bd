"""Connect a system: read what a person wrote, try it, and save it only when it works.

Pattern: on request, one connection at a time. Vendor calls: those of the connector's check(); creating
the fields that a mapping names only after a person agreed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from tieline.governance import record_audit
from tieline.kernel.errors import TielineError, UserMistake
from tieline.sdk import Capabilities, CheckItem, CheckReport, MissingField
from tieline.sdk.directory import Systems
from tieline.services.fitness import why_no_call
from tieline.services.installation import ConnectionSetup, connect, entity_codes
from tieline.services.system import System

MODES = ("observe", "propose", "act")
FIELD = "property"
_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OURS = frozenset({"connection_key", "system", "mode", "settle_seconds", "go_live"})
# Master data that a person declares about old records: read by `tieline demo --input`, not from here.
_LEFT_ASIDE = frozenset({"declare"})
# What Tieline itself reads of every connection, beside the words of its connector.
_COMMON = frozenset(
    {
        "base_url",
        "allowed_hosts",
        "timeout_seconds",
        "streams",
        "poll_seconds",
        "full_read_seconds",
        "check_seconds",
        "submitted",
        "check_lines_seconds",
        "batch_lines_max",
        "labor_categories",
        "limits",
        "credentials_end_on",
    }
)
_SECONDS = (
    "timeout_seconds",
    "poll_seconds",
    "full_read_seconds",
    "check_seconds",
    "check_lines_seconds",
    "settle_seconds",
)
# An ERP's own hours are not read as hours to post, so not every stream is read of itself.
_READ_BY_KIND: Mapping[str, frozenset[str]] = {
    "crm": frozenset({"client", "opportunity", "person"}),
    "erp": frozenset({"client", "person"}),
    "time": frozenset({"person", "time_entry"}),
    "hr": frozenset({"person", "staffing_fact"}),
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenConnection:
    """A connection as a person wrote it down, with what follows from its connector."""

    connection_key: str
    system: str
    kind: str
    mode: str
    config: Mapping[str, Any]
    secret_names: tuple[str, ...]
    settle_seconds: int
    go_live: Mapping[str, date]
    left_aside: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """What came of a try; ``missing`` are fields that could be created in the system."""

    connection_key: str
    is_saved: bool
    mode: str
    checks: tuple[CheckItem, ...]
    missing: tuple[MissingField, ...]


def read_written(text: str, *, system: str, systems: Systems) -> WrittenConnection:
    """Understand the TOML of a connection; what it does not know, it refuses.

    :raises UserMistake: a word is missing, unknown or of another kind than it must be.
    """
    return understand_written(_parsed(text), system=system, systems=systems)


def understand_written(
    table: Mapping[str, Any], *, system: str, systems: Systems
) -> WrittenConnection:
    """Understand a connection that was read already; what it does not know, it refuses.

    :raises UserMistake: a word is missing, unknown or of another kind than it must be.
    """
    if table.get("system") != system:
        raise UserMistake(f'the file is of system = "{table.get("system", "")}", not of {system}')
    try:
        manifest = systems.manifest(system=system)
    except LookupError as error:
        raise UserMistake(str(error)) from error
    _check_names(table, manifest)
    _check_values(table, manifest)
    config = {name: value for name, value in table.items() if name not in _OURS | _LEFT_ASIDE}
    try:
        manifest.limits_of(config)
    except ValueError as error:
        raise UserMistake(str(error)) from error
    kind = _kind(manifest, config)
    config.setdefault("streams", _streams(manifest, kind, config))
    _check_streams(config["streams"], manifest)
    return WrittenConnection(
        connection_key=table["connection_key"],
        system=system,
        kind=kind,
        mode=table.get("mode", "observe"),
        config=json.loads(json.dumps(config, default=str)),
        secret_names=_secret_names(manifest, config),
        settle_seconds=table.get("settle_seconds", manifest.settle_seconds),
        go_live=_go_live(table.get("go_live", {})),
        left_aside=tuple(sorted(_LEFT_ASIDE & set(table))),
    )


def try_connection(
    system: System, *, written: WrittenConnection, secrets: Mapping[str, str]
) -> Connected:
    """Let the connector check everything; nothing is saved.

    :raises UserMistake: this environment may not call it.
    """
    because = why_no_call(system.settings.environment, written.config)
    if because is not None:
        raise UserMistake(because)
    connector = _build(system.systems, written, secrets)
    try:
        report: CheckReport = connector.check()
    except TielineError as error:
        report = CheckReport(items=(CheckItem(name="check", is_good=False, fix=str(error)),))
    can_create = hasattr(connector, "missing_properties") and all(
        item.is_good or item.name == FIELD for item in report.items
    )
    return Connected(
        connection_key=written.connection_key,
        is_saved=False,
        mode=written.mode,
        checks=report.items,
        missing=tuple(connector.missing_properties()) if can_create and not report.is_good else (),
    )


def create_fields(
    system: System,
    *,
    written: WrittenConnection,
    secrets: Mapping[str, str],
    missing: Sequence[MissingField],
) -> Sequence[str]:
    """Create the fields a person agreed to; return their names."""
    created: Sequence[str] = _build(system.systems, written, secrets).create_properties(missing)
    return created


def save_connection(
    connection: Connection[Row],
    *,
    system: System,
    written: WrittenConnection,
    secrets: Mapping[str, str],
    tried: Connected,
    by: str,
    now: datetime,
) -> Connected:
    """Save a connection that was tried and found good; a new one observes.

    :raises UserMistake: its go-live names a legal entity that is not declared.
    """
    unknown = set(written.go_live) - set(entity_codes(connection))
    if unknown:
        raise UserMistake(f"go_live names {', '.join(sorted(unknown))}, which nobody declared")
    standing = connection.execute(
        "SELECT system FROM connection WHERE connection_key = %s", (written.connection_key,)
    ).fetchone()
    if standing is not None and standing["system"] != written.system:
        raise UserMistake(f"{written.connection_key} is a connection of {standing['system']}")
    mode = written.mode if standing else "observe"
    connect(
        connection,
        key=system.master_key,
        setup=ConnectionSetup(
            connection_key=written.connection_key,
            system=written.system,
            kind=written.kind,
            mode=mode,
            config=written.config,
            secrets=secrets,
            settle_seconds=written.settle_seconds,
            go_live=written.go_live,
        ),
        now=now,
    )
    record_audit(
        connection,
        now=now,
        actor=by,
        action="connection.saved",
        object=f"connection:{written.connection_key}",
        entity_code=None,
        reason="its check passed",
        data={"mode": mode, "system": written.system},
    )
    return replace(tried, is_saved=True, mode=mode)


# -- understanding a file --------------------------------------------------------------------------


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserMistake(f"it is not TOML: {error}") from error
    if "\\u0000" in json.dumps(table, default=str):
        raise UserMistake("it holds a NUL")
    return table


def _check_names(table: Mapping[str, Any], manifest: Capabilities) -> None:
    known = _OURS | _COMMON | _LEFT_ASIDE | set(manifest.config_keys)
    unknown = sorted(set(table) - known)
    if unknown:
        raise UserMistake(f"{manifest.system} has no setting {', '.join(unknown)}")
    secret = {name.partition(".")[0] for name in manifest.secret_names} & set(table)
    if secret:
        raise UserMistake(f"{', '.join(sorted(secret))} is a secret: it is asked for, not written")


def _check_values(table: Mapping[str, Any], manifest: Capabilities) -> None:
    key = table.get("connection_key")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise UserMistake("connection_key is a lower-case word of at most 40 letters and digits")
    if table.get("mode", MODES[0]) not in MODES:
        raise UserMistake(f"mode is one of {', '.join(MODES)}")
    for name in _SECONDS:
        if name in table and (type(table[name]) is not int or table[name] < 0):
            raise UserMistake(f"{name} is a whole number of seconds")
    begins = tuple(f"{scheme}://" for scheme in manifest.address_schemes)
    address = table.get("base_url", begins[0])
    if not isinstance(address, str) or not address.startswith(begins):
        raise UserMistake(f"base_url is an address that begins with {begins[0]}")
    if not _is_day(table.get("credentials_end_on", "2000-01-01")):
        raise UserMistake("credentials_end_on is a day, such as 2026-12-31")
    for name in ("allowed_hosts", "streams", "submitted"):
        if not _is_words(table.get(name, [])):
            raise UserMistake(f"{name} is a list of words")


def _is_day(value: object) -> bool:
    # As a person writes it, or as an exported configuration does.
    if type(value) is date:
        return True
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _kind(manifest: Capabilities, config: Mapping[str, Any]) -> str:
    if manifest.notice_repeats is not None and config.get("carries") == "notices":
        return "channel"
    if manifest.kind != "file":
        return manifest.kind
    return "time" if "time_entries" in config.get("files", {}) else "hr"


def _streams(manifest: Capabilities, kind: str, config: Mapping[str, Any]) -> list[str]:
    if manifest.kind == "file":
        return [
            stream.name for stream in manifest.streams if stream.name in config.get("files", {})
        ]
    wanted = _READ_BY_KIND.get(kind, frozenset())
    return [stream.name for stream in manifest.streams if stream.noun in wanted]


def _check_streams(streams: Sequence[str], manifest: Capabilities) -> None:
    known = {stream.name for stream in manifest.streams}
    unknown = sorted(set(streams) - known)
    if unknown:
        raise UserMistake(
            f"{manifest.system} has no stream {', '.join(unknown)}: {', '.join(sorted(known))}"
        )


def _secret_names(manifest: Capabilities, config: Mapping[str, Any]) -> tuple[str, ...]:
    names: list[str] = []
    for name in manifest.secret_names:
        stem, _, scope = name.partition(".")
        if scope:
            names += [f"{stem}.{entity_code}" for entity_code in config.get("companies", {})]
        else:
            names.append(name)
    return tuple(names)


def _go_live(table: Any) -> Mapping[str, date]:
    if not isinstance(table, dict) or not all(type(day) is date for day in table.values()):
        raise UserMistake("go_live gives each legal entity a day, such as HR-DE = 2026-10-01")
    return table


def _build(systems: Systems, written: WrittenConnection, secrets: Mapping[str, str]) -> Any:
    try:
        return systems.build(
            system=written.system,
            connection_key=written.connection_key,
            config=written.config,
            secrets=secrets,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        # A connector reads what it must have by name; the name is what the person has to write.
        raise UserMistake(
            f"{written.system} cannot be connected with this file: {error}"
        ) from error

"""Everything a person sets as one file: read out here, compared with another installation, applied there.

Pattern: on request. A plan says what differs, what does not exist there and who must still agree; what is
applied is the plan that was read, or nothing. Secrets are named, never written; what only stands there stays.
Vendor calls: the check of each connection that would change, with the secrets that are stored there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Literal

from psycopg import Connection
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tieline.governance import (
    ROLES,
    SUBJECT_CHARACTERS_MAX,
    list_api_keys,
    list_identities,
    list_people,
)
from tieline.kernel.errors import AskPerson, UserMistake
from tieline.notices import list_reached, list_stand_ins
from tieline.runtime.secrets import Secrets
from tieline.services.config_tables import (
    CONFIGURED,
    export_tables,
    row_by_row,
    why_not_loaded,
    why_refused,
)
from tieline.services.connecting import WrittenConnection, try_connection, understand_written
from tieline.services.policy_files import PolicyFile, draft_policy, export_policy
from tieline.services.system import System

FORMAT: Literal["tieline configuration 1"] = "tieline configuration 1"
_SECTIONS = ("entities", "connections", "people", "keys", "reach", "stand_ins", "identities")
ADDED, CHANGED, ONLY_THERE = "added", "changed", "only_there"
FILE_BYTES_MAX = 4 * 1024 * 1024
_ITEMS_MAX = 2000
_CELL_MAX = 1000

Row = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Cell = Annotated[str, Field(max_length=_CELL_MAX)]


class FilePeriod(_Strict):
    """A fiscal period and when it closes."""

    starts_on: date
    ends_on: date
    cut_off_at: datetime
    urgent_from: datetime
    grace_until: datetime


class FileEntity(_Strict):
    """A legal entity with its calendar."""

    name: str = Field(min_length=1, max_length=200)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    zone: str = Field(min_length=1, max_length=100)
    erp: str = Field(min_length=1, max_length=40)
    periods: dict[str, FilePeriod] = Field(default={}, max_length=600)


class FileConnection(_Strict):
    """A connection, its mode and its maps; secrets stand here by name only."""

    system: str = Field(min_length=1, max_length=100)
    mode: Literal["observe", "propose", "act"]
    settle_seconds: int = Field(ge=0, le=1_000_000)
    go_live: dict[str, date] = Field(default={}, max_length=500)
    config: dict[str, Any]
    secrets: list[str] = Field(default=[], max_length=100)


class FilePerson(_Strict):
    """Somebody who may log in, until an instant where one is given; no password stands here."""

    name: str = Field(max_length=300)
    roles: list[str] = Field(max_length=50)
    entities: list[str] = Field(max_length=500)
    ends_at: AwareDatetime | None = None


class FileKey(_Strict):
    """A machine's key by its name; it is issued anew in each installation."""

    scopes: list[str] = Field(max_length=50)
    entities: list[str] = Field(max_length=500)


class FileIdentity(_Strict):
    """Whom the provider of a key ``login issuer`` calls by this subject."""

    subject: str = Field(min_length=1, max_length=SUBJECT_CHARACTERS_MAX)


class FileReach(_Strict):
    """Where a person or a queue is reached."""

    address: str = Field(max_length=500)
    urgent_only: bool


class FileStandIn(_Strict):
    """Who stands in for a person or a queue until before a day."""

    login: str = Field(max_length=100)
    ends_on: date


class ConfigFile(_Strict):
    """Everything that people set in one installation."""

    format: Literal["tieline configuration 1"]
    environment: str = Field(max_length=20)
    entities: dict[str, FileEntity] = Field(default={}, max_length=500)
    connections: dict[str, FileConnection] = Field(default={}, max_length=500)
    policy: PolicyFile | None = None
    people: dict[str, FilePerson] = Field(default={}, max_length=_ITEMS_MAX)
    keys: dict[str, FileKey] = Field(default={}, max_length=_ITEMS_MAX)
    reach: dict[str, FileReach] = Field(default={}, max_length=_ITEMS_MAX)
    stand_ins: dict[str, FileStandIn] = Field(default={}, max_length=_ITEMS_MAX)
    identities: dict[str, FileIdentity] = Field(default={}, max_length=_ITEMS_MAX)
    # Each table is the whole of it; one that is not named stays as it is.
    tables: dict[str, list[dict[str, _Cell]]] = Field(default={}, max_length=len(CONFIGURED))
    # Too large for this file: they have files of their own.
    tables_apart: list[str] = Field(default=[], max_length=len(CONFIGURED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that differs; ``fields`` gives what it is there and what it would become."""

    section: str
    key: str
    what: str
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigPlan:
    """What applying a file would do; ``plan_id`` stands for exactly this file on exactly that state."""

    plan_id: str
    to: str
    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    approvals: tuple[str, ...]
    refused: tuple[str, ...]

    @property
    def may_apply(self) -> bool:
        return not self.missing and not self.refused


def read_config_file(text: str) -> ConfigFile:
    """Understand a file as export writes it.

    :raises UserMistake: it is none, or says something that a configuration does not have.
    """
    try:
        return ConfigFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserMistake(f"{place or 'the file'}: {first['msg']}") from error


def export_config(connection: Connection[Row], *, environment: str, now: datetime) -> ConfigFile:
    """Return everything that people set here."""
    people = list_people(connection)
    tables, apart = export_tables(connection, now=now)
    return ConfigFile(
        format=FORMAT,
        environment=environment,
        entities=_entities(connection),
        connections=_connections(connection),
        policy=_policy(connection),
        people={
            each.login: FilePerson(
                name=each.display_name,
                roles=sorted(each.roles),
                entities=sorted(each.entities),
                ends_at=each.ends_at,
            )
            for each in people
        },
        keys={
            each.name: FileKey(scopes=sorted(each.scopes), entities=sorted(each.entities))
            for each in list_api_keys(connection)
        },
        reach={
            f"{each.recipient} {each.connection_key}": FileReach(
                address=each.address, urgent_only=each.urgent_only
            )
            for each in list_reached(connection)
        },
        stand_ins={
            f"{each.owner} {each.starts_on}": FileStandIn(login=each.login, ends_on=each.ends_on)
            for each in list_stand_ins(connection)
        },
        identities={
            f"{each.login} {each.issuer}": FileIdentity(subject=each.subject)
            for each in list_identities(connection)
        },
        tables=tables,
        tables_apart=apart,
    )


def as_json(file: ConfigFile) -> Row:
    """Return a configuration as plain JSON containers."""
    told: Row = file.model_dump(mode="json")
    return told


def plan_config(system: System, *, file: ConfigFile, to: str, with_calls: bool) -> ConfigPlan:
    """Compare a file with this installation, and say what applying it takes.

    :raises UserMistake: this installation is not of the environment that is named.
    """
    here = system.settings.environment.name
    if to != here:
        raise UserMistake(
            f"this installation is {here}, not {to}: set TIELINE_HOME and TIELINE_DSN"
        )
    with system.database.transaction() as connection:
        now = system.clock.now()
        standing = export_config(connection, environment=here, now=now)
        no_tables = {
            name: why
            for name, rows in file.tables.items()
            if (why := why_refused(name, rows, apart=standing.tables_apart))
        }
        # What cannot be taken at all is not compared.
        differences = tuple(_differences(standing, file, tables=file.tables.keys() - no_tables))
        approvals, refused = _policy_answer(connection, file, differences, now=now)
        missing = [*_missing_in_tables(connection, standing, file, differences)]
    refused += [sentence for why in no_tables.values() for sentence in why]
    approvals += [
        f"tables.{name} becomes a proposal: a second person approves it"
        for name in _touched(differences, "tables")
        if CONFIGURED[name].moves_money
    ]
    missing += _missing_names(system, standing, file, differences)
    missing += _missing_of_people(standing, file, differences)
    for key in _touched(differences, "connections"):
        refused += _refused_connection(standing, file, key)
        missing += _missing_there(system, file.connections[key], key, with_calls=with_calls)
    refused += _refused_calendar(differences)
    return ConfigPlan(
        plan_id=plan_id_of(standing, file),
        to=to,
        differences=differences,
        missing=tuple(dict.fromkeys(missing)),
        approvals=tuple(approvals),
        refused=tuple(refused),
    )


def written_connection(system: System, *, key: str, told: FileConnection) -> WrittenConnection:
    """Return a connection of a file as if a person had written it by itself.

    :raises UserMistake: its system does not know what it says.
    """
    table = {
        **told.config,
        "connection_key": key,
        "system": told.system,
        "mode": told.mode,
        "settle_seconds": told.settle_seconds,
        "go_live": told.go_live,
    }
    try:
        return understand_written(table, system=told.system, systems=system.systems)
    except UserMistake as error:
        raise UserMistake(f"{key}: {error}") from error


def stored_secrets(system: System, *, written: WrittenConnection) -> tuple[Row, tuple[str, ...]]:
    """Return the secrets of a connection that are stored here, and the names of those that are not."""
    kept = Secrets(database=system.database, key=system.master_key)
    found, absent = {}, []
    for name in written.secret_names:
        try:
            found[name] = kept.get(connection_key=written.connection_key, name=name)
        except AskPerson:
            absent.append(name)
    return found, tuple(absent)


# -- reading what stands here ----------------------------------------------------------------------


def _entities(connection: Connection[Row]) -> dict[str, FileEntity]:
    periods: dict[str, dict[str, FilePeriod]] = {}
    for row in connection.execute(
        "SELECT entity_code, period_code, starts_on, ends_on, cut_off_at, urgent_from, grace_until"
        " FROM fiscal_period ORDER BY entity_code, starts_on, period_code"
    ).fetchall():
        code, period = row.pop("entity_code"), row.pop("period_code")
        periods.setdefault(code, {})[period] = FilePeriod(**row)
    rows = connection.execute(
        "SELECT entity_code, name, currency, zone, erp_connection_key AS erp FROM legal_entity"
        " ORDER BY entity_code"
    ).fetchall()
    return {
        code: FileEntity(**row, periods=periods.get(code, {}))
        for code, row in ((row.pop("entity_code"), row) for row in rows)
    }


def _connections(connection: Connection[Row]) -> dict[str, FileConnection]:
    rows = connection.execute(
        """
        SELECT c.connection_key, c.system, c.mode, c.settle_seconds, c.config,
               coalesce((SELECT jsonb_object_agg(g.entity_code, g.go_live_on) FROM connection_go_live g
                         WHERE g.connection_key = c.connection_key), '{}') AS go_live,
               ARRAY(SELECT s.name FROM secret s WHERE s.connection_key = c.connection_key ORDER BY 1) AS secrets
        FROM connection c ORDER BY c.connection_key
        """
    ).fetchall()
    return {row.pop("connection_key"): FileConnection(**row) for row in rows}


def _policy(connection: Connection[Row]) -> PolicyFile | None:
    row = connection.execute("SELECT FROM release WHERE state = 'current'").fetchone()
    return None if row is None else export_policy(connection)


# -- comparing -------------------------------------------------------------------------------------


def _differences(
    standing: ConfigFile, file: ConfigFile, *, tables: Collection[str]
) -> Iterator[Difference]:
    there, wanted = as_json(standing), as_json(file)
    for section in _SECTIONS:
        for key in sorted({*there[section], *wanted[section]}):
            old, new = there[section].get(key), wanted[section].get(key)
            if old is None:
                yield Difference(section=section, key=key, what=ADDED)
            elif new is None:
                yield Difference(section=section, key=key, what=ONLY_THERE)
            elif fields := dict(_fields(old, new)):
                yield Difference(section=section, key=key, what=CHANGED, fields=fields)
    for name in sorted(tables):
        rows = there["tables"].get(name, [])
        if fields := dict(
            _fields(row_by_row(name, rows), row_by_row(name, wanted["tables"][name]))
        ):
            yield Difference(
                section="tables", key=name, what=CHANGED if rows else ADDED, fields=fields
            )
    if wanted["policy"] is not None and wanted["policy"] != there["policy"]:
        fields = dict(_fields(there["policy"] or {}, wanted["policy"]))
        yield Difference(
            section="policy",
            key="release",
            what=CHANGED if there["policy"] else ADDED,
            fields=fields,
        )


def _fields(
    old: Mapping[str, Any], new: Mapping[str, Any], *, before: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in sorted({*old, *new}):
        was, becomes = old.get(name), new.get(name)
        if was == becomes or (not before and name == "secrets"):
            continue
        if isinstance(was, dict) and isinstance(becomes, dict):
            yield from _fields(was, becomes, before=f"{before}{name}.")
        else:
            yield f"{before}{name}", (was, becomes)


def plan_id_of(standing: ConfigFile, file: ConfigFile) -> str:
    """Return what stands for exactly this file on exactly that state."""
    both = [as_json(standing), as_json(file)]
    text = json.dumps(both, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _touched(differences: Sequence[Difference], section: str) -> list[str]:
    return [
        each.key
        for each in differences
        if each.section == section and each.what in (ADDED, CHANGED)
    ]


# -- what stands in the way ------------------------------------------------------------------------


def _policy_answer(
    connection: Connection[Row],
    file: ConfigFile,
    differences: Sequence[Difference],
    *,
    now: datetime,
) -> tuple[list[str], list[str]]:
    """Try the policy as a draft and take it back: it names rules, entities, clients and contracts."""
    if file.policy is None or not any(each.section == "policy" for each in differences):
        return [], []
    try:
        with connection.transaction(force_rollback=True):
            draft_policy(connection, file=file.policy, by="plan", reason="plan", now=now)
    except UserMistake as error:
        return [], [f"policy: {error}"]
    except LookupError:
        return [], ["policy: approve the shipped rules first, then plan again"]
    return ["the policy becomes a draft release: a second controller approves it"], []


def _missing_in_tables(
    connection: Connection[Row],
    standing: ConfigFile,
    file: ConfigFile,
    differences: Sequence[Difference],
) -> Iterator[str]:
    for name in _touched(differences, "tables"):
        yield from why_not_loaded(
            connection,
            name=name,
            rows=file.tables[name],
            connections=frozenset(file.connections) - frozenset(standing.connections),
            entities=frozenset(file.entities) - frozenset(standing.entities),
        )


def _missing_names(
    system: System, standing: ConfigFile, file: ConfigFile, differences: Sequence[Difference]
) -> Iterator[str]:
    entities = {*standing.entities, *file.entities}
    connections = {*standing.connections, *file.connections}
    for code in _touched(differences, "entities"):
        erp, there = file.entities[code].erp, standing.entities.get(code)
        if erp not in connections and (there is None or there.erp != erp):
            yield f"entities.{code}: no connection is called {erp}"
    for key in _touched(differences, "connections"):
        told = file.connections[key]
        if told.system not in system.systems.names():
            yield f"connections.{key}: {told.system} is not installed there"
        for code in sorted(set(told.go_live) - entities):
            yield f"connections.{key}: there is no legal entity {code}"
    for name in _touched(differences, "keys"):
        yield f"keys.{name}: it must be issued there: tieline keys issue {name}"
    for place in _touched(differences, "reach"):
        recipient, _, channel = place.partition(" ")
        if channel not in connections:
            yield f"reach.{recipient}: no connection is called {channel}"


def _missing_of_people(
    standing: ConfigFile, file: ConfigFile, differences: Sequence[Difference]
) -> Iterator[str]:
    entities = {*standing.entities, *file.entities}
    for login in _touched(differences, "people"):
        for code in sorted(set(file.people[login].entities) - entities):
            yield f"people.{login}: there is no legal entity {code}"
        for role in sorted(set(file.people[login].roles) - set(ROLES)):
            yield f"people.{login}: there is no role {role}"
    for place in _touched(differences, "identities"):
        login, _, issuer = place.partition(" ")
        if login not in {*standing.people, *file.people} or not issuer:
            yield f"identities.{login}: nobody has this login"


def _missing_there(
    system: System, told: FileConnection, key: str, *, with_calls: bool
) -> list[str]:
    """Ask the system itself, with the secrets that are stored here, for what the file names."""
    if told.system not in system.systems.names():
        return []
    try:
        written = written_connection(system, key=key, told=told)
    except UserMistake as error:
        return [f"connections.{error}"]
    secrets, absent = stored_secrets(system, written=written)
    if absent:
        return [
            f"connections.{key}: the secret {name} is not stored there: tieline connect {told.system}"
            for name in absent
        ]
    if not with_calls:
        return []
    try:
        tried = try_connection(system, written=written, secrets=secrets)
    except UserMistake as error:
        return [f"connections.{key}: {error}"]
    return [
        f"connections.{key}: {item.name}: {item.fix}" for item in tried.checks if not item.is_good
    ]


def _refused_connection(standing: ConfigFile, file: ConfigFile, key: str) -> list[str]:
    there, wanted = standing.connections.get(key), file.connections[key]
    if there is not None and there.system != wanted.system:
        return [f"connections.{key}: it is a connection of {there.system} there"]
    return []


def _refused_calendar(differences: Sequence[Difference]) -> list[str]:
    """Refuse what decides where money is booked: it has commands of its own, with two people."""
    found = []
    for each in differences:
        if each.section != "entities" or each.what != CHANGED:
            continue
        for name, (was, becomes) in each.fields.items():
            is_new_period = name.startswith("periods.") and was is None
            if name in ("currency", "zone") or (
                name.startswith("periods.") and not is_new_period and becomes is not None
            ):
                found.append(
                    f"entities.{each.key}.{name}: it stands as {was} and is not changed by a file"
                )
    return found

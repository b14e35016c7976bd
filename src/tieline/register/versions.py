"""Master data on two time axes: a change closes the old row and adds a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection, sql

from tieline.runtime.database import Row

_KEPT = frozenset({"recorded_at", "superseded_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedTable:
    """A table whose rows are closed, never overwritten; ``key`` names the thing."""

    name: str
    key: tuple[str, ...]
    own_id: str | None = None


CLIENT = VersionedTable(name="client_version", key=("client_id",))
CONTRACT = VersionedTable(name="contract_version", key=("contract_id",))
PROJECT = VersionedTable(name="project_version", key=("project_id",))
CONTRACT_LINE = VersionedTable(
    name="contract_line",
    key=("contract_id", "task_name", "labor_category", "starts_on"),
    own_id="contract_line_id",
)
EMPLOYMENT = VersionedTable(
    name="employment", key=("person_id", "entity_code", "starts_on"), own_id="employment_id"
)
ASSIGNMENT = VersionedTable(
    name="assignment", key=("person_id", "project_id", "starts_on"), own_id="assignment_id"
)
LEAVE = VersionedTable(name="leave", key=("person_id", "starts_on"), own_id="leave_id")
WORK_PATTERN = VersionedTable(
    name="work_pattern", key=("person_id", "starts_on"), own_id="work_pattern_id"
)
EMPLOYMENT_SHARE = VersionedTable(
    name="employment_share", key=("person_id", "starts_on"), own_id="employment_share_id"
)
WORK_PLACE = VersionedTable(
    name="work_place", key=("person_id", "starts_on"), own_id="work_place_id"
)
WORK_PERMISSION = VersionedTable(
    name="work_permission", key=("person_id", "kind", "starts_on"), own_id="work_permission_id"
)
COMPANY_HOLIDAY = VersionedTable(
    name="company_holiday", key=("entity_code", "starts_on"), own_id="company_holiday_id"
)
AGREEMENT = VersionedTable(
    name="intercompany_agreement",
    key=("home_entity_code", "project_entity_code"),
    own_id="agreement_id",
)


def upsert(
    connection: Connection[Row],
    *,
    table: VersionedTable,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Make the values the present ones of a key; return whether that was a change."""
    standing = find_current(connection, table=table, key=key)
    if standing is not None:
        if all(standing[name] == value for name, value in values.items()):
            return False
        close(connection, table=table, key=key, now=now)
    kept = {
        name: value
        for name, value in (standing or {}).items()
        if name not in _KEPT and name != table.own_id
    }
    _insert(connection, table, {**kept, **key, **values, "recorded_at": now})
    return True


def amend(
    connection: Connection[Row],
    *,
    table: VersionedTable,
    own_id: UUID,
    values: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Make these the present values of a row that others are linked to; return whether that was a change.

    The row keeps its id; what it said until now stays as a row of the past.

    :raises LookupError: no row stands under the id.
    """
    assert table.own_id is not None
    key = {table.own_id: own_id}
    standing = find_current(connection, table=table, key=key)
    if standing is None:
        raise LookupError(f"no {table.name} stands under {own_id}")
    if all(standing[name] == value for name, value in values.items()):
        return False
    present = {**values, "recorded_at": max(now, standing["recorded_at"])}
    connection.execute(
        sql.SQL("UPDATE {} SET {} WHERE {}").format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in present),
            _where(key),
        ),
        (*present.values(), own_id),
    )
    past = {name: value for name, value in standing.items() if name != table.own_id}
    _insert(connection, table, {**past, "superseded_at": present["recorded_at"]})
    return True


def close(
    connection: Connection[Row], *, table: VersionedTable, key: Mapping[str, Any], now: datetime
) -> int:
    """End what is known of a key, or of all keys that begin with it; return how many rows."""
    statement = sql.SQL(
        "UPDATE {} SET superseded_at = greatest(%s, recorded_at) WHERE {} AND superseded_at IS NULL"
    ).format(sql.Identifier(table.name), _where(key))
    return connection.execute(statement, (now, *key.values())).rowcount


def find_current(
    connection: Connection[Row], *, table: VersionedTable, key: Mapping[str, Any]
) -> Row | None:
    """Return the row of a key as it stands, or None."""
    statement = sql.SQL("SELECT * FROM {} WHERE {} AND superseded_at IS NULL").format(
        sql.Identifier(table.name), _where(key)
    )
    return connection.execute(statement, tuple(key.values())).fetchone()


def as_of(
    connection: Connection[Row],
    *,
    table: VersionedTable,
    key: Mapping[str, Any],
    known_at: datetime,
) -> Sequence[Row]:
    """Return the rows of a key as they were known at an instant."""
    statement = sql.SQL(
        "SELECT * FROM {} WHERE {} AND recorded_at <= %s"
        " AND (superseded_at IS NULL OR superseded_at > %s)"
    ).format(sql.Identifier(table.name), _where(key))
    return connection.execute(statement, (*key.values(), known_at, known_at)).fetchall()


def current_client_id(connection: Connection[Row], *, client_id: UUID) -> UUID:
    """Follow the redirects that merges left.

    :raises LookupError: there is no such client.
    """
    row = connection.execute(
        """
        WITH RECURSIVE way AS (
            SELECT client_id, redirect_to FROM client WHERE client_id = %s
            UNION SELECT c.client_id, c.redirect_to FROM client c JOIN way w ON c.client_id = w.redirect_to
        ) SELECT client_id FROM way WHERE redirect_to IS NULL
        """,
        (client_id,),
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no client {client_id}")
    found: UUID = row["client_id"]
    return found


def _insert(connection: Connection[Row], table: VersionedTable, row: Mapping[str, Any]) -> None:
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(sql.Identifier(name) for name in row),
        sql.SQL(", ").join(sql.Placeholder() for _ in row),
    )
    connection.execute(statement, tuple(row.values()))


def _where(key: Mapping[str, Any]) -> sql.Composed:
    return sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in key)

"""Clients and assignments as the register holds them, in sight of the caller.

Pattern: one read. Vendor calls: none. Every record links to itself in its own system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.sdk.directory import Systems
from tieline.services.links import Links, read_links

LIST_MAX = 500
_CLIENTS = "SELECT * FROM page_clients(%(asked)s, %(name)s, %(entity)s, %(limit)s, %(offset)s)"
_ASSIGNMENTS = (
    "SELECT * FROM page_assignments(%(project)s, %(person)s, %(on_date)s, %(limit)s, %(offset)s)"
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """One record of a client in one system, and why it is taken for this client."""

    connection_key: str
    source_ref: str
    because: str
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedClient:
    """One client; ``entities`` are the legal entities in sight that have a contract with it."""

    client_id: UUID
    name: str
    vat_number: str | None
    city: str | None
    country_code: str | None
    domain: str | None
    is_active: bool
    parent_client_id: UUID | None
    parent_name: str | None
    entities: tuple[str, ...]
    records: tuple[ClientRecord, ...]
    open_cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an assignment stands: as an employee in the ERP, as an assignment in the time tool."""

    connection_key: str
    noun: str
    source_ref: str | None
    state: str
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAssignment:
    """Who is on which project in [starts_on, ends_on); no end means until further notice."""

    assignment_id: UUID
    person_id: UUID
    person_name: str | None
    project_id: UUID
    project_code: str
    entity_code: str
    labor_category: str
    starts_on: date
    ends_on: date | None
    approver_id: UUID | None
    deputy_id: UUID | None
    employee_code: str | None
    standing: tuple[Standing, ...]


def list_clients(
    connection: Connection[Row],
    *,
    systems: Systems,
    name: str | None = None,
    entity_code: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[ListedClient, ...]:
    """List clients by name, whole or in part, and legal entity."""
    values = {
        "asked": None,
        "name": name,
        "entity": entity_code,
        "limit": limit,
        "offset": offset,
    }
    rows = connection.execute(_CLIENTS, values).fetchall()
    links = read_links(connection, systems=systems)
    return tuple(_client(row, links) for row in rows)


def get_client(connection: Connection[Row], *, client_id: UUID, systems: Systems) -> ListedClient:
    """Return one client; one that was merged answers as the one it became.

    :raises LookupError: there is no such client in sight.
    """
    values = {"asked": client_id, "name": None, "entity": None, "limit": 1, "offset": 0}
    row = connection.execute(_CLIENTS, values).fetchone()
    if row is None:
        raise LookupError(f"no client {client_id}")
    return _client(row, read_links(connection, systems=systems))


def list_assignments(
    connection: Connection[Row],
    *,
    systems: Systems,
    project_code: str | None = None,
    person_id: UUID | None = None,
    on_date: date | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[ListedAssignment, ...]:
    """List assignments by project, person, and the day on which they hold."""
    rows = connection.execute(
        _ASSIGNMENTS,
        {
            "project": project_code,
            "person": person_id,
            "on_date": on_date,
            "limit": limit,
            "offset": offset,
        },
    ).fetchall()
    links = read_links(connection, systems=systems)
    return tuple(_assignment(row, links) for row in rows)


def _client(row: Row, links: Links) -> ListedClient:
    records = tuple(
        ClientRecord(
            connection_key=each["connection_key"],
            source_ref=each["source_ref"],
            because=each["because"],
            url=links.record(
                connection_key=each["connection_key"],
                object=each["object"],
                source_ref=each["source_ref"],
            )
            if each["object"]
            else links.written(
                connection_key=each["connection_key"],
                noun="client",
                target_code=each["source_ref"],
            ),
        )
        for each in row["records"]
    )
    return ListedClient(**{**row, "entities": tuple(row["entities"]), "records": records})


def _assignment(row: Row, links: Links) -> ListedAssignment:
    standing = tuple(
        Standing(
            connection_key=each["connection_key"],
            noun=each["noun"],
            source_ref=each["source_ref"],
            state=each["state"],
            url=links.written(
                connection_key=each["connection_key"],
                noun=each["noun"],
                target_code=each["source_ref"],
            ),
        )
        for each in row["standing"]
    )
    return ListedAssignment(**{**row, "standing": standing})

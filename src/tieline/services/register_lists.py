"""Clients and assignments as the register holds them, in sight of the caller.

Pattern: one read. Vendor calls: none. Every record links to itself in its own system.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection

from tieline.sdk.directory import Systems
from tieline.services.links import Links, read_links

LIST_MAX = 500
_CLIENTS = """
    SELECT * FROM page_clients(%(asked)s, %(name)s, %(entity_code)s, %(link_state)s, %(limit)s, %(offset)s)
"""
_ASSIGNMENTS = """
    SELECT * FROM page_assignments(%(project_code)s, %(person_id)s, %(entity_code)s, %(on_date)s, %(limit)s,
                                   %(offset)s)
"""

Row = dict[str, Any]
# Of a client: known wherever clients are kept, not everywhere yet, or a case asks which client a record is.
LinkState = Literal["linked", "partial", "unclear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """One record of a client in one system, and why it is taken for this client."""

    connection_key: str
    source_ref: str
    because: str
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """A case about what is listed."""

    case_id: UUID
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedClient:
    """One client; ``entities`` are the legal entities in sight that have a contract with it.

    It is ``linked`` where a CRM and an ERP know it, ``partial`` before that, and ``unclear`` while a
    case asks whether a record is this client.
    """

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
    link_state: LinkState
    records: tuple[ClientRecord, ...]
    open_cases: int
    cases: tuple[OpenCase, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an assignment stands: as an employee in the ERP, as an assignment in the time tool.

    ``state`` is that of the write, or MISSING where nothing stands and nothing is on its way;
    ``because`` says why a write did not come about.
    """

    connection_key: str
    noun: str
    source_ref: str | None
    state: str
    because: str | None
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldBy:
    """The row of a staffing list that puts somebody on a project, and when it was read."""

    connection_key: str
    file_name: str | None
    line_number: int | None
    read_at: datetime


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
    told_by: ToldBy | None
    standing: tuple[Standing, ...]
    cases: tuple[OpenCase, ...]


def list_clients(
    connection: Connection[Row],
    *,
    systems: Systems,
    name: str | None = None,
    entity_code: str | None = None,
    link_state: LinkState | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[ListedClient, ...]:
    """List clients by name, whole or in part, legal entity and how far they are linked."""
    values = {
        "asked": None,
        "name": name,
        "entity_code": entity_code,
        "link_state": link_state,
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
    values = {
        "asked": client_id,
        "name": None,
        "entity_code": None,
        "link_state": None,
        "limit": 1,
        "offset": 0,
    }
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
    entity_code: str | None = None,
    on_date: date | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[ListedAssignment, ...]:
    """List assignments by project, person, legal entity, and the day on which they hold."""
    values = {
        "project_code": project_code,
        "person_id": person_id,
        "entity_code": entity_code,
        "on_date": on_date,
        "limit": limit,
        "offset": offset,
    }
    rows = connection.execute(_ASSIGNMENTS, values).fetchall()
    links = read_links(connection, systems=systems)
    return tuple(_assignment(row, links) for row in rows)


def _client(row: Row, links: Links) -> ListedClient:
    records = tuple(
        ClientRecord(**each, url=_url(links, each, noun="client")) for each in row["records"]
    )
    cases = _cases(row)
    more = {"entities": tuple(row["entities"]), "records": records, "cases": cases}
    return ListedClient(**{**row, **more}, open_cases=len(cases))


def _assignment(row: Row, links: Links) -> ListedAssignment:
    standing = tuple(
        Standing(**each, url=_url(links, each, noun=each["noun"])) for each in row["standing"]
    )
    more = {"told_by": _told_by(row["told_by"]), "standing": standing, "cases": _cases(row)}
    return ListedAssignment(**{**row, **more})


def _told_by(told: Row | None) -> ToldBy | None:
    if told is None:
        return None
    return ToldBy(**{**told, "read_at": datetime.fromisoformat(told["read_at"]).astimezone(UTC)})


def _cases(row: Row) -> tuple[OpenCase, ...]:
    return tuple(
        OpenCase(case_id=UUID(each["case_id"]), reason=each["reason"]) for each in row["cases"]
    )


def _url(links: Links, record: Row, *, noun: str) -> str | None:
    return links.written(
        connection_key=record["connection_key"], noun=noun, target_code=record["source_ref"]
    )

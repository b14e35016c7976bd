"""Why a client is called and lives as it does: each field, whose word it is, and by which step.

Pattern: one read of what the worker may read. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import Client
from tieline.register import (
    CLIENT,
    Told,
    current_client_id,
    find_current,
    list_merges,
    newest,
    read_ownership,
)
from tieline.runtime.database import Row
from tieline.services.client_sync import settle_client, told_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one record says of a field, and since when."""

    connection_key: str
    source_ref: str
    value: str
    told_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedField:
    """A field of a client: ``because`` agreed, owner, recency, completeness or kept, and who says what.

    ``connection_key`` and ``source_ref`` are empty where no record says it and it was kept.
    """

    field: str
    value: str | None
    because: str
    owner_kind: str
    connection_key: str
    source_ref: str
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMerge:
    """That two clients became one, by whom and why, and whether it was undone."""

    losing_id: UUID
    winning_id: UUID
    merged_by: str
    approved_by: str | None
    reason: str
    merged_at: datetime
    undone_by: str | None
    undone_reason: str | None
    undone_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedClient:
    """A client field by field, and the merges it took part in."""

    client_id: UUID
    fields: tuple[ExplainedField, ...]
    merges: tuple[ClientMerge, ...]


def explain_client(
    connection: Connection[Row], *, client_id: UUID, now: datetime
) -> ExplainedClient:
    """Explain a client; one that was merged is explained as the one it became.

    :raises LookupError: there is no such client.
    """
    chosen = current_client_id(connection, client_id=client_id)
    standing = find_current(connection, table=CLIENT, key={"client_id": chosen}) or {}
    told = _told(connection, chosen)
    ownership = read_ownership(connection, noun="client", on=now.date())
    found = settle_client(chosen, told, [standing], ownership)
    return ExplainedClient(
        client_id=chosen,
        fields=tuple(
            ExplainedField(
                field=each.field,
                value=_text(each.value),
                because=each.because,
                owner_kind=each.owner_kind,
                connection_key=each.connection_key,
                source_ref=each.source_ref,
                said=tuple(
                    Said(
                        connection_key=one.connection_key,
                        source_ref=one.source_ref,
                        value=str(_text(one.values[each.field])),
                        told_at=one.told_at,
                    )
                    for one in told
                    if one.values[each.field] is not None
                ),
            )
            for each in found.survivors
        ),
        merges=tuple(
            ClientMerge(
                losing_id=each.losing_id,
                winning_id=each.winning_id,
                merged_by=each.merged_by,
                approved_by=each.approved_by,
                reason=each.reason,
                merged_at=each.merged_at,
                undone_by=each.undone_by,
                undone_reason=each.undone_reason,
                undone_at=each.undone_at,
            )
            for each in list_merges(connection, client_id=client_id)
        ),
    )


def _told(connection: Connection[Row], client_id: UUID) -> list[Told]:
    rows = connection.execute(
        """
        SELECT x.connection_key, x.source_ref, p.our_id AS parent_id
        FROM crosswalk x
        JOIN source_version s ON s.connection_key = x.connection_key AND s.source_ref = x.source_ref
             AND s.noun = 'Client' AND s.is_newest
        LEFT JOIN crosswalk p ON p.connection_key = x.connection_key AND p.noun = 'client'
             AND p.source_ref = s.data ->> 'parent_ref' AND p.superseded_at IS NULL
        WHERE x.noun = 'client' AND x.our_id = %s AND x.superseded_at IS NULL
        """,
        (client_id,),
    ).fetchall()
    parents: Mapping[tuple[str, str], Any] = {
        (row["connection_key"], row["source_ref"]): row["parent_id"] for row in rows
    }
    return [
        told_by(source, parent_id=parents[source.connection_key, source.source_ref])
        for source in newest(connection, noun=Client, kinds=("crm", "erp"))
        if (source.connection_key, source.source_ref) in parents and not source.is_deleted
    ]


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)

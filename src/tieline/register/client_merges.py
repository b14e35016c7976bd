"""Which clients became one, and back: a merge is an edge, and everything else follows from the edges that stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.runtime.database import Row

_ALSO = "also:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """That one client became another; it stands until it is undone."""

    merge_id: UUID
    losing_id: UUID
    winning_id: UUID
    merged_by: str
    approved_by: str | None
    reason: str
    merged_at: datetime
    values_before: Mapping[str, Any]
    undone_by: str | None
    undone_reason: str | None
    undone_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A record that is of another client now; its ``scope`` is empty for the client's first in its system."""

    connection_key: str
    source_ref: str
    from_id: UUID
    to_id: UUID
    scope: str


def add_merge(
    connection: Connection[Row],
    *,
    losing_id: UUID,
    winning_id: UUID,
    by: str,
    approved_by: str | None,
    reason: str,
    values_before: Mapping[str, Any],
    now: datetime,
) -> UUID:
    """Keep that one client became another; ``follow_merges`` carries it out."""
    row = connection.execute(
        """
        INSERT INTO client_merge (losing_id, winning_id, merged_by, approved_by, reason, merged_at, values_before)
        VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING merge_id
        """,
        (losing_id, winning_id, by, approved_by, reason, now, Jsonb(dict(values_before))),
    ).fetchone()
    assert row is not None
    merge_id: UUID = row["merge_id"]
    return merge_id


def undo_merge(
    connection: Connection[Row], *, merge_id: UUID, by: str, reason: str, now: datetime
) -> bool:
    """Let a merge stand no longer; return whether it stood."""
    undone = connection.execute(
        "UPDATE client_merge SET undone_by = %s, undone_reason = %s, undone_at = greatest(%s, merged_at)"
        " WHERE merge_id = %s AND undone_at IS NULL",
        (by, reason, now, merge_id),
    )
    return undone.rowcount == 1


def find_merge(connection: Connection[Row], *, losing_id: UUID) -> Merge | None:
    """Return the merge by which a client became another, or None."""
    row = connection.execute(
        "SELECT * FROM client_merge WHERE losing_id = %s AND undone_at IS NULL", (losing_id,)
    ).fetchone()
    return None if row is None else Merge(**row)


def list_merges(connection: Connection[Row], *, client_id: UUID) -> tuple[Merge, ...]:
    """Return every merge that a client took part in, the newest first."""
    rows = connection.execute(
        "SELECT * FROM client_merge WHERE %(client_id)s IN (losing_id, winning_id)"
        " ORDER BY merged_at DESC, merge_id",
        {"client_id": client_id},
    ).fetchall()
    return tuple(Merge(**row) for row in rows)


def members_of(connection: Connection[Row], *, client_id: UUID) -> tuple[UUID, ...]:
    """Return a client and everybody who became it, through however many merges."""
    rows = connection.execute(
        """
        WITH RECURSIVE member AS (
            SELECT %s::uuid AS client_id
            UNION
            SELECT m.losing_id FROM member p
            JOIN client_merge m ON m.winning_id = p.client_id AND m.undone_at IS NULL
        ) SELECT client_id FROM member ORDER BY 1
        """,
        (client_id,),
    ).fetchall()
    return tuple(row["client_id"] for row in rows)


def follow_merges(
    connection: Connection[Row], *, client_ids: tuple[UUID, ...], because: str, now: datetime
) -> tuple[Moved, ...]:
    """Let redirects and links of some clients be what the standing merges make of them.

    Each redirect leads to the last client in one step, and each record to where its own client led.
    """
    edges = {
        row["losing_id"]: row["winning_id"]
        for row in connection.execute(
            "SELECT losing_id, winning_id FROM client_merge WHERE undone_at IS NULL"
        ).fetchall()
    }
    roots = {client_id: _root(client_id, edges) for client_id in (*client_ids, *edges)}
    connection.execute(
        """
        UPDATE client c SET redirect_to = nullif(w.root_id, c.client_id)
        FROM unnest(%s::uuid[], %s::uuid[]) w (client_id, root_id)
        WHERE c.client_id = w.client_id AND c.redirect_to IS DISTINCT FROM nullif(w.root_id, c.client_id)
        """,
        (list(roots), list(roots.values())),
    )
    homes = [
        client_id
        for client_id in roots
        if roots[client_id] in client_ids or client_id in client_ids
    ]
    links = connection.execute(
        """
        SELECT crosswalk_id, connection_key, source_ref, our_id, scope, coalesce(home_id, our_id) AS home_id
        FROM crosswalk WHERE noun = 'client' AND superseded_at IS NULL AND coalesce(home_id, our_id) = ANY (%s)
        ORDER BY connection_key, source_ref
        """,
        (homes,),
    ).fetchall()  # fmt: skip
    wanted = _placed(links, roots)
    moved = [row for row in links if (row["our_id"], row["scope"]) != wanted[row["crosswalk_id"]]]
    connection.execute(
        "UPDATE crosswalk SET superseded_at = greatest(%s, recorded_at) WHERE crosswalk_id = ANY (%s)",
        (now, [row["crosswalk_id"] for row in moved]),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, home_id, because, recorded_at)
            SELECT connection_key, noun, source_ref, %s, %s, %s, %s, greatest(%s, superseded_at)
            FROM crosswalk WHERE crosswalk_id = %s
            """,
            [
                (
                    *wanted[row["crosswalk_id"]], row["home_id"], because, now, row["crosswalk_id"],
                )
                for row in moved
            ],
        )  # fmt: skip
    return tuple(
        Moved(
            connection_key=row["connection_key"],
            source_ref=row["source_ref"],
            from_id=row["our_id"],
            to_id=wanted[row["crosswalk_id"]][0],
            scope=wanted[row["crosswalk_id"]][1],
        )
        for row in moved
    )


def _root(client_id: UUID, edges: Mapping[UUID, UUID]) -> UUID:
    seen = {client_id}
    while client_id in edges:
        client_id = edges[client_id]
        if client_id in seen:
            raise LookupError(f"client {client_id} was merged into itself")
        seen.add(client_id)
    return client_id


def _placed(links: list[Row], roots: Mapping[UUID, UUID]) -> dict[int, tuple[UUID, str]]:
    """Return client and scope of every link: in each system a client has one first record."""
    placed: dict[int, tuple[UUID, str]] = {}
    has_first: set[tuple[str, UUID]] = set()
    # A client's own record comes before those that merges brought.
    for row in sorted(links, key=lambda row: roots[row["home_id"]] != row["home_id"]):
        root = roots[row["home_id"]]
        place = (row["connection_key"], root)
        scope = f"{_ALSO}{row['source_ref']}" if place in has_first else ""
        has_first.add(place)
        placed[row["crosswalk_id"]] = (root, scope)
    return placed

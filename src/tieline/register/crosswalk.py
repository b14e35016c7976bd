"""Which record of which system is which of ours; dated, and unique both ways."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from psycopg import Connection

from tieline.runtime.database import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One record of another system and the one of ours that it is."""

    connection_key: str
    noun: str
    source_ref: str
    our_id: UUID
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """The link stands; ``is_new`` when this call made it."""

    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTaken:
    """Another link stands in the way, on either side."""

    standing: Link


def link(
    connection: Connection[Row], *, wanted: Link, because: str, now: datetime
) -> Linked | LinkTaken:
    """Link a record, unless it or ours is linked otherwise already."""
    standing = connection.execute(
        """
        WITH standing AS MATERIALIZED (
            SELECT connection_key, noun, source_ref, our_id, scope FROM crosswalk
            WHERE connection_key = %(connection_key)s AND noun = %(noun)s AND superseded_at IS NULL
              AND (source_ref = %(source_ref)s OR (our_id = %(our_id)s AND scope = %(scope)s))
        ), made AS (
            INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)
            SELECT %(connection_key)s, %(noun)s, %(source_ref)s, %(our_id)s, %(scope)s, %(because)s, %(now)s
            WHERE NOT EXISTS (SELECT FROM standing)
        )
        SELECT * FROM standing
        """,
        {**_values(wanted), "because": because, "now": now},
    ).fetchall()
    for row in standing:
        found = Link(**row)
        if found != wanted:
            return LinkTaken(standing=found)
    return Linked(is_new=not standing)


def unlink(
    connection: Connection[Row],
    *,
    connection_key: str,
    noun: str,
    our_id: UUID,
    now: datetime,
    scope: str = "",
) -> bool:
    """Close a link; return whether one stood."""
    closed = connection.execute(
        """
        UPDATE crosswalk SET superseded_at = greatest(%s, recorded_at)
        WHERE connection_key = %s AND noun = %s AND our_id = %s AND scope = %s
          AND superseded_at IS NULL
        """,
        (now, connection_key, noun, our_id, scope),
    ).rowcount
    return closed > 0


def hand_on(
    connection: Connection[Row],
    *,
    wanted: Link,
    to_id: UUID,
    on: date,
    because: str,
    now: datetime,
) -> bool:
    """Let the record of a link be another one of ours from a day on; return whether it stood until then."""
    closed = connection.execute(
        """
        UPDATE crosswalk SET superseded_at = greatest(%(now)s, recorded_at)
        WHERE connection_key = %(connection_key)s AND noun = %(noun)s AND source_ref = %(source_ref)s
          AND our_id = %(our_id)s AND scope = %(scope)s AND superseded_at IS NULL AND ends_on IS NULL
        RETURNING crosswalk_id
        """,
        {**_values(wanted), "now": now},
    ).fetchone()
    if closed is None:
        return False
    connection.execute(
        """
        INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, starts_on, ends_on,
            recorded_at)
        SELECT connection_key, noun, source_ref, our_id, scope, %(because)s, starts_on, %(on)s, superseded_at
        FROM crosswalk WHERE crosswalk_id = %(closed)s AND starts_on < %(on)s
        UNION ALL
        SELECT connection_key, noun, source_ref, %(to_id)s, scope, %(because)s, greatest(starts_on, %(on)s), NULL,
               superseded_at
        FROM crosswalk WHERE crosswalk_id = %(closed)s
        """,
        {"because": because, "on": on, "to_id": to_id, "closed": closed["crosswalk_id"]},
    )
    return True


def find_ours(
    connection: Connection[Row], *, connection_key: str, noun: str, source_ref: str
) -> UUID | None:
    """Return our id of another system's record, or None."""
    row = connection.execute(
        """
        SELECT our_id FROM crosswalk
        WHERE connection_key = %s AND noun = %s AND source_ref = %s AND superseded_at IS NULL
        """,
        (connection_key, noun, source_ref),
    ).fetchone()
    return None if row is None else row["our_id"]


def find_theirs(
    connection: Connection[Row], *, connection_key: str, noun: str, our_id: UUID, scope: str = ""
) -> str | None:
    """Return another system's reference of one of ours, or None."""
    row = connection.execute(
        """
        SELECT source_ref FROM crosswalk
        WHERE connection_key = %s AND noun = %s AND our_id = %s AND scope = %s
          AND superseded_at IS NULL
        """,
        (connection_key, noun, our_id, scope),
    ).fetchone()
    return None if row is None else row["source_ref"]


def all_links(
    connection: Connection[Row], *, nouns: Iterable[str], of: Iterable[UUID] | None = None
) -> list[Link]:
    """Return every link of some nouns that stands now, or those of some of ours alone."""
    rows = connection.execute(
        """
        SELECT connection_key, noun, source_ref, our_id, scope FROM crosswalk
        WHERE noun = ANY (%(nouns)s) AND superseded_at IS NULL
          AND (%(ours)s::uuid[] IS NULL OR our_id = ANY (%(ours)s))
        """,
        {"nouns": list(nouns), "ours": None if of is None else list(of)},
    ).fetchall()
    return [Link(**row) for row in rows]


def links_from(
    connection: Connection[Row], *, noun: str, records: Iterable[tuple[str, str]]
) -> list[Link]:
    """Return the links of some records, each with the key of its connection, that stand now."""
    asked = sorted(set(records))
    rows = connection.execute(
        """
        SELECT x.connection_key, x.noun, x.source_ref, x.our_id, x.scope
        FROM unnest(%(keys)s::text[], %(refs)s::text[]) AS a (connection_key, source_ref)
        JOIN crosswalk x USING (connection_key, source_ref)
        WHERE x.noun = %(noun)s AND x.superseded_at IS NULL
        """,
        {
            "noun": noun,
            "keys": [key for key, _ in asked],
            "refs": [ref for _, ref in asked],
        },
    ).fetchall()
    return [Link(**row) for row in rows]


def _values(wanted: Link) -> Row:
    return {
        "connection_key": wanted.connection_key,
        "noun": wanted.noun,
        "source_ref": wanted.source_ref,
        "our_id": wanted.our_id,
        "scope": wanted.scope,
    }

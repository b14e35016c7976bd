"""Say what we call the codes of other systems, and what they call ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from psycopg import Connection

from tieline.runtime.database import Row


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Code:
    """One code on a day, of ours or of a connection; ``entity_code`` is '' where no legal entity is known."""

    connection_key: str
    kind: str
    entity_code: str
    code: str
    on: date


# The row of the legal entity goes before that of every one. What is asked of a kind that the connection has no
# rows of is left out: such codes are told and sent as they stand.
_ASK = """
    WITH asked AS (
        SELECT * FROM unnest(%(keys)s::text[], %(kinds)s::text[], %(entities)s::text[], %(codes)s::text[],
                             %(days)s::date[]) AS a (connection_key, kind, entity_code, code, on_day)
    ), told AS (
        SELECT k.connection_key, k.kind, k.on_day
        FROM (SELECT DISTINCT connection_key, kind, on_day FROM asked) k
        WHERE EXISTS (
            SELECT FROM {table} t
            WHERE t.superseded_at IS NULL AND (t.connection_key, t.kind) = (k.connection_key, k.kind)
              AND t.starts_on <= k.on_day AND (t.ends_on IS NULL OR k.on_day < t.ends_on))
    )
    SELECT a.*, coalesce(own.{becomes}, every.{becomes}) AS becomes
    FROM asked a JOIN told USING (connection_key, kind, on_day)
    LEFT JOIN {table} own ON own.superseded_at IS NULL AND a.entity_code <> ''
        AND (own.connection_key, own.kind, own.entity_code, own.{code})
            = (a.connection_key, a.kind, a.entity_code, a.code)
        AND own.starts_on <= a.on_day AND (own.ends_on IS NULL OR a.on_day < own.ends_on)
    LEFT JOIN {table} every ON every.superseded_at IS NULL AND every.entity_code = ''
        AND (every.connection_key, every.kind, every.{code}) = (a.connection_key, a.kind, a.code)
        AND every.starts_on <= a.on_day AND (every.ends_on IS NULL OR a.on_day < every.ends_on)
"""
_OURS = _ASK.format(table="inbound_code", code="their_code", becomes="our_code")
_THEIRS = _ASK.format(table="outbound_code", code="our_code", becomes="their_code")


def our_codes(connection: Connection[Row], *, asked: Iterable[Code]) -> dict[Code, str | None]:
    """Return what we call these codes of other systems; None where nobody said.

    Codes of a kind that their connection has no rows of are left out: they stand as they are.
    """
    return _ask(connection, _OURS, asked)


def their_codes(connection: Connection[Row], *, asked: Iterable[Code]) -> dict[Code, str | None]:
    """Return what other systems call these codes of ours; None where nobody said.

    Codes of a kind that the connection has no rows of are left out: they are sent as they are.
    """
    return _ask(connection, _THEIRS, asked)


def _ask(
    connection: Connection[Row], statement: str, asked: Iterable[Code]
) -> dict[Code, str | None]:
    each = sorted(set(asked))
    if not each:
        return {}
    parameters: Mapping[str, object] = {
        "keys": [code.connection_key for code in each],
        "kinds": [code.kind for code in each],
        "entities": [code.entity_code for code in each],
        "codes": [code.code for code in each],
        "days": [code.on for code in each],
    }
    return {
        Code(
            connection_key=row["connection_key"],
            kind=row["kind"],
            entity_code=row["entity_code"],
            code=row["code"],
            on=row["on_day"],
        ): row["becomes"]
        for row in connection.execute(statement.encode(), parameters).fetchall()
    }

"""Keys of machines: named, scoped, bound to legal entities, revocable."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance.audit import record_audit
from tieline.governance.people import ADMIN, COSTS
from tieline.governance.tokens import new_token, token_hash
from tieline.kernel.errors import UserMistake

SCOPES = frozenset(
    {
        "time:read",
        "time:write",
        "provisioning:write",
        "close:write",
        "cases:write",
        "costs:read",
        "admin",
    }
)
# Whoever issued a key and has none of these roles any more does no such thing through it either.
_ROLES_OF: Mapping[str, frozenset[str]] = {
    "provisioning:write": frozenset({"controller", "finance", "delivery", "integration"}),
    "close:write": frozenset({"controller", "finance"}),
    "cases:write": frozenset({"controller", "finance", "delivery", "integration", "data_steward"}),
    "costs:read": frozenset({COSTS}),
    "admin": frozenset(),
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCaller:
    """Who calls, what they may do, and for which legal entities.

    A key acts for the person who issued it: nobody agrees to their own proposal through a key.
    """

    key_id: UUID
    name: str
    issued_by: str
    scopes: frozenset[str]
    entities: tuple[str, ...]

    @property
    def sees_costs(self) -> bool:
        """Say whether the key may see what hours cost."""
        return self.may("costs:read")

    def may(self, scope: str) -> bool:
        """Say whether the key has a scope; admin has every one."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key; ``secret`` is shown once and kept nowhere."""

    key_id: UUID
    name: str
    secret: str = field(repr=False)


def issue_api_key(
    connection: Connection[Row],
    *,
    pepper: bytes,
    name: str,
    scopes: Collection[str],
    entities: Collection[str],
    by: str,
    now: datetime,
    expires_at: datetime | None = None,
) -> IssuedKey:
    """Make a key and say its secret once.

    :raises UserMistake: a scope does not exist, or a key of this name is in use.
    """
    unknown = set(scopes) - SCOPES
    if unknown or not scopes:
        raise UserMistake(f"scopes are some of {', '.join(sorted(SCOPES))}, not {sorted(unknown)}")
    secret = new_token(prefix="tl")
    row = connection.execute(
        """
        INSERT INTO api_key (name, key_hash, scopes, entities, created_at, created_by, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING RETURNING key_id
        """,
        (
            name,
            token_hash(secret, pepper=pepper),
            sorted(scopes),
            sorted(entities),
            now,
            by,
            expires_at,
        ),
    ).fetchone()
    if row is None:
        raise UserMistake(f"a key named {name} is in use: revoke it first, or choose another name")
    record_audit(
        connection,
        now=now,
        actor=by,
        action="api_key.issued",
        object=f"api_key:{row['key_id']}",
        entity_code=None,
        reason=name,
        data={"scopes": sorted(scopes), "entities": sorted(entities)},
    )
    return IssuedKey(key_id=row["key_id"], name=name, secret=secret)


def verify_api_key(
    connection: Connection[Row], *, pepper: bytes, secret: str, now: datetime
) -> ApiCaller | None:
    """Return the caller a secret belongs to, with what its issuer may do today, or None when it opens nothing."""
    row = connection.execute(
        """
        SELECT k.key_id, k.name, k.created_by, k.scopes, k.entities, p.roles AS issuer_roles,
               p.entities AS issuer_entities
        FROM api_key k LEFT JOIN person_login p ON p.login = lower(k.created_by)
        WHERE k.key_hash = %(hash)s AND k.revoked_at IS NULL
          AND (k.expires_at IS NULL OR k.expires_at > %(now)s)
          -- It acts for whoever issued it, and no longer than they may.
          AND coalesce(p.is_active AND (p.ends_at IS NULL OR p.ends_at > %(now)s), true)
        """,
        {"hash": token_hash(secret, pepper=pepper), "now": now},
    ).fetchone()
    if row is None:
        return None
    roles, entities = row["issuer_roles"], row["issuer_entities"]
    if roles is not None and ADMIN not in roles:
        row["scopes"] = [
            scope
            for scope in row["scopes"]
            if scope not in _ROLES_OF or not _ROLES_OF[scope].isdisjoint(roles)
        ]
    if entities is not None:
        row["entities"] = [entity for entity in row["entities"] if entity in entities]
    return _caller(row)


def list_api_keys(connection: Connection[Row]) -> tuple[ApiCaller, ...]:
    """List the keys in use, without secrets."""
    rows = connection.execute(
        "SELECT key_id, name, created_by, scopes, entities FROM api_key"
        " WHERE revoked_at IS NULL ORDER BY name"
    ).fetchall()
    return tuple(_caller(row) for row in rows)


def revoke_api_key(
    connection: Connection[Row], *, name: str, by: str, reason: str, now: datetime
) -> None:
    """Close a key at once.

    :raises UserMistake: no key of this name is in use.
    """
    row = connection.execute(
        "UPDATE api_key SET revoked_at = %s, revoked_by = %s"
        " WHERE name = %s AND revoked_at IS NULL RETURNING key_id",
        (now, by, name),
    ).fetchone()
    if row is None:
        raise UserMistake(f"no key named {name} is in use")
    record_audit(
        connection,
        now=now,
        actor=by,
        action="api_key.revoked",
        object=f"api_key:{row['key_id']}",
        entity_code=None,
        reason=reason,
    )


def _caller(row: Row) -> ApiCaller:
    return ApiCaller(
        key_id=row["key_id"],
        name=row["name"],
        issued_by=row["created_by"],
        scopes=frozenset(row["scopes"]),
        entities=tuple(row["entities"]),
    )

"""Draft, approve and compare releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import record_audit
from tieline.kernel.errors import UserMistake

OWN = "firm."
"""What the code of a rule begins with that a firm wrote itself."""

_LINE = (
    "release_id, title, state, proposed_by, proposed_at, approved_by, approved_at, reason, based_on"
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as data: ``predicate`` says what must be true where ``applies_when`` holds."""

    book: str
    code: str
    position: int
    scope: str
    applies_when: str
    predicate: str
    severity: str
    owner_queue: str
    thing: str
    message: str
    fix_hint: str
    source: str
    neighbors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Another severity for a rule, narrowed by entity, client or contract, between two dates."""

    code: str
    entity_code: str | None
    client_id: UUID | None
    contract_id: UUID | None
    starts_on: date
    ends_on: date | None
    severity: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyValue:
    """A named value of a release, for all entities ('') or one."""

    name: str
    entity_code: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLine:
    """One release in the list of all."""

    release_id: int
    title: str
    state: str
    proposed_by: str
    proposed_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    reason: str
    based_on: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseText:
    """Everything that one release says."""

    line: ReleaseLine
    shipped_rules: tuple[Rule, ...]
    own_rules: tuple[Rule, ...]
    values: tuple[PolicyValue, ...]
    overrides: tuple[Override, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The release that decides now."""

    release_id: int
    title: str
    proposed_by: str
    approved_by: str


def draft_release(
    connection: Connection[Row],
    *,
    title: str,
    rules: Sequence[Rule],
    values: Sequence[PolicyValue],
    overrides: Sequence[Override],
    proposed_by: str,
    reason: str,
    now: datetime,
    based_on: int | None = None,
) -> int:
    """Propose a release; it decides nothing until somebody else approves it.

    One that is ``based_on`` another is approved only while that one decides.
    """
    row = connection.execute(
        "INSERT INTO release (title, proposed_by, proposed_at, reason, based_on)"
        " VALUES (%s, %s, %s, %s, %s) RETURNING release_id",
        (title, proposed_by, now, reason, based_on),
    ).fetchone()
    assert row is not None
    release_id = int(row["release_id"])
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO rule (release_id, book, code, position, scope, applies_when, predicate, severity,
                owner_queue, thing, message, fix_hint, source, neighbors)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (release_id, rule.book, rule.code, rule.position, rule.scope, rule.applies_when,
                 rule.predicate, rule.severity, rule.owner_queue, rule.thing, rule.message,
                 rule.fix_hint, rule.source, list(rule.neighbors))
                for rule in rules
            ],
        )  # fmt: skip
        cursor.executemany(
            "INSERT INTO policy_value (release_id, name, entity_code, value, reason)"
            " VALUES (%s, %s, %s, %s, %s)",
            [(release_id, v.name, v.entity_code, v.value, v.reason) for v in values],
        )
        cursor.executemany(
            """
            INSERT INTO severity_override (release_id, code, entity_code, client_id, contract_id,
                starts_on, ends_on, severity, reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (release_id, o.code, o.entity_code, o.client_id, o.contract_id, o.starts_on,
                 o.ends_on, o.severity, o.reason)
                for o in overrides
            ],
        )  # fmt: skip
    return release_id


def approve_release(
    connection: Connection[Row],
    *,
    release_id: int,
    approved_by: str,
    now: datetime,
    through: str = "",
) -> None:
    """Make a draft current as the second person; hours without an intent are judged again.

    ``through`` names a key they used.

    :raises UserMistake: it is not a draft, the approver proposed it, or another release than that it was
        based on decides by now.
    """
    proposed_by = _lock_draft(connection, release_id=release_id)
    if proposed_by.casefold() == approved_by.casefold():
        raise UserMistake(
            f"release {release_id} was proposed by {approved_by}: somebody else approves"
        )
    _check_base(connection, release_id=release_id)
    connection.execute("UPDATE release SET state = 'superseded' WHERE state = 'current'")
    connection.execute(
        "UPDATE release SET state = 'current', approved_by = %s, approved_at = %s WHERE release_id = %s",
        (approved_by, now, release_id),
    )
    connection.execute(
        "INSERT INTO rejudge (neighbor_key, because, correlation_id, recorded_at)"
        " VALUES ('release', 'policy.release', %s, %s)",
        (f"release:{release_id}", now),
    )
    _audit(
        connection, release_id=release_id, action="release.approved", actor=approved_by, reason="",
        data={"proposed_by": proposed_by}, through=through, now=now,
    )  # fmt: skip


def reject_release(
    connection: Connection[Row],
    *,
    release_id: int,
    rejected_by: str,
    reason: str,
    now: datetime,
    through: str = "",
) -> None:
    """Turn a draft down, or take one's own back; ``through`` names a key they used.

    :raises UserMistake: it is not a draft.
    """
    proposed_by = _lock_draft(connection, release_id=release_id)
    connection.execute("UPDATE release SET state = 'rejected' WHERE release_id = %s", (release_id,))
    _audit(
        connection, release_id=release_id, action="release.rejected", actor=rejected_by,
        reason=reason, data={"proposed_by": proposed_by}, through=through, now=now,
    )  # fmt: skip


def has_release(connection: Connection[Row]) -> bool:
    """Say whether a release decides yet."""
    row = connection.execute("SELECT 1 FROM release WHERE state = 'current'").fetchone()
    return row is not None


def current_release(connection: Connection[Row]) -> Release:
    """Return the release that decides now.

    :raises UserMistake: none has been approved yet.
    """
    row = connection.execute(
        "SELECT release_id, title, proposed_by, approved_by FROM release WHERE state = 'current'"
    ).fetchone()
    if row is None:
        raise UserMistake("no release of rules has been approved yet")
    return Release(**row)


def read_release(connection: Connection[Row], *, release_id: int) -> ReleaseText:
    """Return everything that a release says, draft or not.

    :raises UserMistake: there is no such release.
    """
    line = find_release(connection, release_id=release_id)
    if line is None:
        raise UserMistake(f"there is no release {release_id}")
    rules = [
        Rule(**{**row, "neighbors": tuple(row["neighbors"])})
        for row in connection.execute(
            "SELECT book, code, position, scope, applies_when, predicate, severity, owner_queue, thing,"
            " message, fix_hint, source, neighbors FROM rule WHERE release_id = %s ORDER BY position, code",
            (release_id,),
        ).fetchall()
    ]
    values = connection.execute(
        "SELECT name, entity_code, value, reason FROM policy_value WHERE release_id = %s ORDER BY 1, 2",
        (release_id,),
    ).fetchall()
    overrides = connection.execute(
        "SELECT code, entity_code, client_id, contract_id, starts_on, ends_on, severity, reason"
        " FROM severity_override WHERE release_id = %s ORDER BY override_id",
        (release_id,),
    ).fetchall()
    return ReleaseText(
        line=line,
        shipped_rules=tuple(rule for rule in rules if not rule.code.startswith(OWN)),
        own_rules=tuple(rule for rule in rules if rule.code.startswith(OWN)),
        values=tuple(PolicyValue(**row) for row in values),
        overrides=tuple(Override(**row) for row in overrides),
    )


def find_release(connection: Connection[Row], *, release_id: int) -> ReleaseLine | None:
    """Return the line of a release, or None."""
    row = connection.execute(
        f"SELECT {_LINE} FROM release WHERE release_id = %s", (release_id,)
    ).fetchone()
    return None if row is None else ReleaseLine(**row)


def list_releases(connection: Connection[Row], *, limit: int = 100) -> tuple[ReleaseLine, ...]:
    """List releases, the newest first."""
    rows = connection.execute(
        f"SELECT {_LINE} FROM release ORDER BY release_id DESC LIMIT %s", (limit,)
    ).fetchall()
    return tuple(ReleaseLine(**row) for row in rows)


def diff_releases(
    connection: Connection[Row], *, old_release_id: int, new_release_id: int
) -> list[str]:
    """Name in words what a new release changes against an old one."""
    rows = connection.execute(
        """
        WITH said AS (
            SELECT release_id, 'rule ' || code AS name,
                   concat_ws(' | ', severity, applies_when, predicate,
                             CASE WHEN code LIKE 'firm.%%' THEN concat_ws(' | ', owner_queue, thing, message, fix_hint) END)
                   AS text
            FROM rule
            UNION ALL SELECT release_id, concat_ws(' ', 'value', name, nullif(entity_code, '')), value FROM policy_value
            UNION ALL SELECT o.release_id, concat_ws(' ', 'severity', o.code, o.entity_code, n.name, k.contract_code,
                'from', o.starts_on, 'until ' || o.ends_on), o.severity
            FROM severity_override o
            LEFT JOIN client_version n ON n.client_id = o.client_id AND n.superseded_at IS NULL
            LEFT JOIN contract k ON k.contract_id = o.contract_id
        )
        SELECT coalesce(o.name, n.name) AS name, o.text AS was, n.text AS becomes
        FROM (SELECT * FROM said WHERE release_id = %s) o
        FULL JOIN (SELECT * FROM said WHERE release_id = %s) n ON n.name = o.name
        WHERE o.text IS DISTINCT FROM n.text ORDER BY 1
        """,
        (old_release_id, new_release_id),
    ).fetchall()
    return [f"{row['name']}: {row['was'] or 'none'} -> {row['becomes'] or 'none'}" for row in rows]


def _check_base(connection: Connection[Row], *, release_id: int) -> None:
    # Whoever approves the second of two drafts of one release would take the first one back unseen.
    row = connection.execute(
        "SELECT d.based_on, c.release_id AS current FROM release d"
        " LEFT JOIN release c ON c.state = 'current' WHERE d.release_id = %s",
        (release_id,),
    ).fetchone()
    if row and row["based_on"] is not None and row["based_on"] != row["current"]:
        raise UserMistake(
            f"release {release_id} was drafted when {row['based_on']} decided, and {row['current']} does"
            " by now: draft it anew"
        )


def _lock_draft(connection: Connection[Row], *, release_id: int) -> str:
    row = connection.execute(
        "SELECT state, proposed_by FROM release WHERE release_id = %s FOR UPDATE", (release_id,)
    ).fetchone()
    if row is None or row["state"] != "draft":
        raise UserMistake(f"release {release_id} is not a draft")
    return str(row["proposed_by"])


def _audit(
    connection: Connection[Row],
    *,
    release_id: int,
    action: str,
    actor: str,
    reason: str,
    data: Row,
    through: str,
    now: datetime,
) -> None:
    record_audit(
        connection,
        now=now,
        actor=actor,
        action=action,
        object=f"release:{release_id}",
        entity_code=None,
        reason=reason,
        data=data | ({"key": through} if through else {}),
    )

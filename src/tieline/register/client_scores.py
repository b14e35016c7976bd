"""Keep how alike clients were found, by which weights, and what stewards said of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.register.likeness.stock import Decided, Scorer, scorer_as_json, scorer_of_json
from tieline.runtime.database import Row

FITTED, LEARNED = "fitted", "learned"
LINK, ASK, NEW, KNOWN = "link", "ask", "new", "known"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWeights:
    """A numbered scorer; ``compared`` says how it and the one before did on the same decisions."""

    version: int
    kind: str
    state: str
    records: int
    decisions: int
    compared: Mapping[str, Any]
    made_at: datetime
    scorer: Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptScore:
    """That a subject may be a client, how alike they are, and what each field told."""

    subject: str
    client_id: UUID
    decision: str
    reason: str
    score: int
    odds: Decimal
    fitted_odds: Decimal
    told: Mapping[str, float]
    levels: Sequence[int]
    weights_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was last seen of a subject and what came of it."""

    subject: str
    seen: str
    weights_version: int
    outcome: str
    because: str


def subject_of_record(connection_key: str, source_ref: str) -> str:
    """Return how a record of a system is named among subjects."""
    return f"record:{connection_key}:{source_ref}"


def subject_of_client(client_id: UUID) -> str:
    """Return how a client is named among subjects."""
    return f"client:{client_id}"


# -- weights ---------------------------------------------------------------------------------------


def find_weights(connection: Connection[Row]) -> KeptWeights | None:
    """Return the weights that count now, or None."""
    row = connection.execute("SELECT * FROM client_weights WHERE state = 'current'").fetchone()
    return None if row is None else _weights(row)


def list_weights(connection: Connection[Row]) -> tuple[KeptWeights, ...]:
    """List all weights, the newest first."""
    rows = connection.execute("SELECT * FROM client_weights ORDER BY version DESC").fetchall()
    return tuple(_weights(row) for row in rows)


def keep_weights(
    connection: Connection[Row],
    *,
    scorer: Scorer,
    kind: str,
    records: int,
    decisions: int,
    compared: Mapping[str, Any],
    is_used: bool,
    now: datetime,
) -> KeptWeights:
    """Number a scorer; from now on it counts, or it is kept as refused."""
    if is_used:
        connection.execute("UPDATE client_weights SET state = 'past' WHERE state = 'current'")
        connection.execute("DELETE FROM client_pass")
    row = connection.execute(
        """
        INSERT INTO client_weights (kind, state, records, decisions, body, compared, made_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING *
        """,
        (
            kind, "current" if is_used else "refused", records, decisions,
            Jsonb(scorer_as_json(scorer)), Jsonb(dict(compared)), now,
        ),
    ).fetchone()  # fmt: skip
    assert row is not None
    return _weights(row)


def _weights(row: Row) -> KeptWeights:
    body = row.pop("body")
    return KeptWeights(**row, scorer=scorer_of_json(body))


# -- scores ----------------------------------------------------------------------------------------


def read_looks(connection: Connection[Row]) -> dict[str, Look]:
    """Return what was last seen, by subject."""
    rows = connection.execute(
        "SELECT subject, seen, weights_version, outcome, because FROM client_look"
    ).fetchall()
    return {row["subject"]: Look(**row) for row in rows}


def keep_looks(connection: Connection[Row], *, looks: Sequence[Look], now: datetime) -> None:
    """Remember what was seen and what came of it."""
    connection.execute(
        """
        INSERT INTO client_look (subject, seen, weights_version, outcome, because, looked_at)
        SELECT l.*, %(now)s FROM unnest(%(subjects)s::text[], %(seen)s::text[], %(versions)s::integer[],
                                        %(outcomes)s::text[], %(because)s::text[]) l
        ON CONFLICT (subject) DO UPDATE SET seen = excluded.seen, outcome = excluded.outcome,
            weights_version = excluded.weights_version, because = excluded.because, looked_at = excluded.looked_at
        """,
        {
            "now": now,
            "subjects": [look.subject for look in looks],
            "seen": [look.seen for look in looks],
            "versions": [look.weights_version for look in looks],
            "outcomes": [look.outcome for look in looks],
            "because": [look.because for look in looks],
        },
    )


def forget_looks(connection: Connection[Row], *, subjects: Collection[str]) -> None:
    """Let subjects be looked at anew."""
    connection.execute("DELETE FROM client_look WHERE subject = ANY (%s)", (list(subjects),))


def is_same_pass(connection: Connection[Row], *, digest: str) -> bool:
    """Say whether the last pass over clients knew the very same."""
    row = connection.execute("SELECT FROM client_pass WHERE digest = %s", (digest,)).fetchone()
    return row is not None


def keep_pass(connection: Connection[Row], *, digest: str, now: datetime) -> None:
    """Remember of what a pass over clients knew."""
    connection.execute(
        "INSERT INTO client_pass (digest, passed_at) VALUES (%s, %s) ON CONFLICT (is_only)"
        " DO UPDATE SET digest = excluded.digest, passed_at = excluded.passed_at",
        (digest, now),
    )


def read_scores(
    connection: Connection[Row], *, subject: str | None = None
) -> tuple[KeptScore, ...]:
    """Return the scores that stand, of one subject or of all, the highest first."""
    rows = connection.execute(
        """
        SELECT subject, client_id, decision, reason, score, odds, fitted_odds, told, levels, weights_version
        FROM client_score
        WHERE superseded_at IS NULL AND (%(subject)s::text IS NULL OR subject = %(subject)s)
        ORDER BY odds DESC, subject, client_id
        """,
        {"subject": subject},
    ).fetchall()
    return tuple(KeptScore(**row) for row in rows)


def keep_scores(
    connection: Connection[Row],
    *,
    scores: Sequence[KeptScore],
    instead_of: Collection[tuple[str, UUID]],
    now: datetime,
) -> None:
    """Let scores stand, and those of some pairs stand no longer."""
    gone = sorted(instead_of, key=str)
    connection.execute(
        """
        UPDATE client_score s SET superseded_at = greatest(%s, s.recorded_at)
        FROM unnest(%s::text[], %s::uuid[]) g (subject, client_id)
        WHERE s.subject = g.subject AND s.client_id = g.client_id AND s.superseded_at IS NULL
        """,
        (now, [subject for subject, _ in gone], [client_id for _, client_id in gone]),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO client_score (subject, client_id, decision, reason, score, odds, fitted_odds, told, levels,
                weights_version, recorded_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    each.subject, each.client_id, each.decision, each.reason, each.score, each.odds,
                    each.fitted_odds, Jsonb(dict(each.told)), list(each.levels), each.weights_version, now,
                )
                for each in scores
            ],
        )  # fmt: skip


# -- decisions -------------------------------------------------------------------------------------


def decide_pair(
    connection: Connection[Row],
    *,
    subject: str,
    client_id: UUID,
    is_same: bool,
    decided_by: str,
    approved_by: str | None,
    reason: str,
    now: datetime,
) -> UUID:
    """Keep what was said of a pair with what was seen of it; what was said before is undone by it."""
    undo_decision(connection, subject=subject, client_id=client_id, by=decided_by, now=now)
    row = connection.execute(
        """
        INSERT INTO client_decision (subject, client_id, is_same, decided_by, approved_by, reason, decided_at,
            odds, fitted_odds, levels, weights_version)
        SELECT %(subject)s, %(client_id)s, %(is_same)s, %(decided_by)s, %(approved_by)s, %(reason)s, %(now)s,
               s.odds, s.fitted_odds, nullif(s.levels, '{}'), s.weights_version
        FROM (SELECT) one
        LEFT JOIN client_score s ON s.subject = %(subject)s AND s.client_id = %(client_id)s
             AND s.superseded_at IS NULL
        RETURNING decision_id
        """,
        {
            "subject": subject, "client_id": client_id, "is_same": is_same, "decided_by": decided_by,
            "approved_by": approved_by, "reason": reason, "now": now,
        },
    ).fetchone()  # fmt: skip
    assert row is not None
    decision_id: UUID = row["decision_id"]
    return decision_id


def undo_decision(
    connection: Connection[Row], *, subject: str, client_id: UUID, by: str, now: datetime
) -> bool:
    """Let what was said of a pair count no more; return whether something was said."""
    undone = connection.execute(
        "UPDATE client_decision SET undone_at = greatest(%s, decided_at), undone_by = %s"
        " WHERE subject = %s AND client_id = %s AND undone_at IS NULL",
        (now, by, subject, client_id),
    )
    return undone.rowcount > 0


def pairs_apart(connection: Connection[Row]) -> frozenset[tuple[str, UUID]]:
    """Return the pairs of which a steward said that they are two firms."""
    rows = connection.execute(
        "SELECT subject, client_id FROM client_decision WHERE undone_at IS NULL AND NOT is_same"
    ).fetchall()
    return frozenset((row["subject"], row["client_id"]) for row in rows)


def read_decided(connection: Connection[Row]) -> tuple[Decided, ...]:
    """Return what stewards decided of compared pairs, the oldest first."""
    rows = connection.execute(
        """
        SELECT levels, fitted_odds, is_same FROM client_decision
        WHERE undone_at IS NULL AND levels IS NOT NULL ORDER BY decided_at, decision_id
        """
    ).fetchall()
    return tuple(
        Decided(levels=row["levels"], fitted_odds=float(row["fitted_odds"]), is_same=row["is_same"])
        for row in rows
    )

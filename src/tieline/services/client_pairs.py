"""Pairs that may be one client, one after the other: what agrees, what would follow, and one answer to each.

Pattern: read as a person sees it; an answer is one transaction of the worker with its audit row. A pair
is an open case, so that page, command and exception decide the very same thing. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg import Connection

from tieline.casework import close_case, get_case, open_case
from tieline.governance import Proposal, list_proposals, record_audit, reject
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.errors import UserMistake
from tieline.register import (
    decide_pair,
    name_key,
    subject_of_client,
    subject_of_record,
    undo_decision,
)
from tieline.runtime.database import Row
from tieline.runtime.telemetry import new_correlation_id
from tieline.sdk.directory import Connectors
from tieline.services.client_fields import explain_client
from tieline.services.client_matching import (
    DUPLICATE_CLIENTS,
    DUPLICATE_IN_SOURCE,
    SAME_CLIENT_UNCLEAR,
)
from tieline.services.client_merging import (
    MERGE,
    UNMERGE,
    MergePreview,
    merge_clients,
    preview_merge,
    unmerge_clients,
)
from tieline.services.client_sync import PAIR, STEWARDS
from tieline.services.links import Links
from tieline.services.same_client import (
    SAME_CLIENT,
    KnownClient,
    find_client,
    propose_same_client,
    read_question,
)

Answer = Literal["same", "different", "later"]
SAME, DIFFERENT, LATER = "same", "different", "later"
PAIR_REASONS = (SAME_CLIENT_UNCLEAR, DUPLICATE_IN_SOURCE, DUPLICATE_CLIENTS)
PAIRS_MAX = 500
# How long somebody may take back what they said with one key.
UNDO_FOR = timedelta(days=1)
_FIELDS = ("name", "vat_number", "street", "postal_code", "city", "country_code", "domain")
_BAR_WHOLE = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A pair, or a record and its candidates, that nobody decided yet."""

    case_id: UUID
    reason: str
    thing_kind: str
    thing_key: str
    opened_at: datetime
    put_off_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record in its system."""

    connection_key: str
    source_ref: str
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """By which step a field of a client stands, and whose word it is; '' where no record says it."""

    because: str
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two; ``client_id`` is None for a record that no client stands for yet."""

    client_id: UUID | None
    values: Mapping[str, str | None]
    records: tuple[Record, ...]
    why: Mapping[str, Why] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A field of both: whether it agrees (None where one says nothing)."""

    field: str
    left: str | None
    right: str | None
    agrees: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """What a field told, as a logarithm of odds; ``part`` of a whole bar, from 0 to 100."""

    field: str
    weight: float
    part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two that may be one client, what is known of both, and what making them one would do.

    ``why_not`` says why they cannot be said to be one here; ``takes_two`` whether a second person agrees.
    """

    case_id: UUID
    reason: str
    left: Side
    right: Side
    compared: tuple[Compared, ...]
    weights: tuple[Weight, ...]
    score: int | None
    weights_version: int | None
    candidates: int
    merge: MergePreview | None
    deals: tuple[str, ...]
    takes_two: bool
    why_not: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What an answer did: at once, or as a proposal that waits for a second person."""

    case_id: UUID | None
    answer: str
    waits_for_second: bool


def list_pairs(connection: Connection[Row], *, asking: str) -> tuple[Waiting, ...]:
    """List what waits for an answer; what the person put off comes last."""
    rows = connection.execute(
        "SELECT * FROM page_same_clients(%s) LIMIT %s", (asking, PAIRS_MAX)
    ).fetchall()
    return tuple(Waiting(**row) for row in rows)


def read_pair(
    connection: Connection[Row],
    *,
    case_id: UUID,
    links: Links,
    reader: Connection[Row],
    connectors: Connectors,
    now: datetime,
    client_id: UUID | None = None,
) -> Pair:
    """Return the likeliest pair of a case, or that with one client; ``reader`` may read everything.

    :raises LookupError: there is no such case in sight, or it asks nothing of the kind.
    """
    detail = get_case(connection, case_id=case_id)
    case = detail.case
    candidates = _candidates(connection, case_id)
    if client_id is not None:
        candidates = [each for each in candidates if each.client_id == client_id]
    if not candidates:
        raise LookupError(f"case {case_id} does not ask whether two are one client")
    right = candidates[0]
    left = _left(connection, case_id, case.thing_kind, case.thing_key)
    merge, why_not = None, ""
    if left.client_id is None:
        taken = [
            each for each in right.known_as if each.startswith(f"{left.records[0].connection_key}:")
        ]
        if taken:
            why_not = (
                f"The client is {taken[0]} there already: make one of the two records in"
                f" {left.records[0].connection_key}, or say that they are two clients."
            )
    else:
        try:
            merge = preview_merge(
                reader, losing_id=left.client_id, winning_id=right.client_id, connectors=connectors
            )
        except UserMistake as error:
            why_not = f"{error}."
    scores = {
        row["client_id"]: row
        for row in connection.execute("SELECT * FROM page_case_scores(%s)", (case_id,)).fetchall()
    }
    score = scores.get(right.client_id)
    right_side = _side(right)
    return Pair(
        case_id=case_id,
        reason=case.reason,
        left=_explained(_with_urls(left, links), reader, now),
        right=_explained(_with_urls(right_side, links), reader, now),
        compared=_compared(left.values, right_side.values),
        weights=() if score is None else _weights(score),
        score=right.score if score is None else score["score"],
        weights_version=None if score is None else score["weights_version"],
        candidates=len(candidates),
        merge=merge,
        deals=tuple(
            each.key for each in detail.members if each.kind == "deal" and not each.left_at
        ),
        takes_two=left.client_id is None or (merge is not None and merge.takes_two),
        why_not=why_not,
    )


def answer_pair(
    connection: Connection[Row],
    *,
    case_id: UUID,
    client_id: UUID,
    answer: Answer,
    reason: str,
    by: str,
    connectors: Connectors,
    now: datetime,
    through: str = "",
) -> Answered:
    """Carry out what a person said of a pair, or propose it; as the worker.

    :raises LookupError: there is no such case.
    :raises UserMistake: it is decided already, or cannot be.
    """
    case = get_case(connection, case_id=case_id).case
    if case.state != "open":
        raise UserMistake("it was decided already")
    candidates = _candidates(connection, case_id)
    if client_id not in {each.client_id for each in candidates}:
        raise UserMistake(f"the case does not ask about client {client_id}")
    if answer == LATER:
        connection.execute(
            "INSERT INTO client_later (case_id, login, put_off_at) VALUES (%s, %s, %s)"
            " ON CONFLICT (case_id, login) DO UPDATE SET put_off_at = excluded.put_off_at",
            (case_id, by, now),
        )
        return Answered(case_id=case_id, answer=answer, waits_for_second=False)
    if case.thing_kind == PAIR:
        return _answer_clients(
            connection, case_id, case.thing_key, client_id, answer, reason=reason, by=by,
            connectors=connectors, through=through, now=now,
        )  # fmt: skip
    if answer == DIFFERENT and len(candidates) > 1:
        # The others are asked about next; who is none of them is a new client.
        _keep_apart(
            connection, subject_of_record(*case.thing_key.split(":", 1)), client_id, reason=reason,
            by=by, through=through, now=now,
        )  # fmt: skip
        return Answered(case_id=case_id, answer=answer, waits_for_second=False)
    propose_same_client(
        connection,
        case_id=case_id,
        client_id=client_id if answer == SAME else None,
        reason=reason,
        by=by,
        through=through,
        now=now,
    )
    return Answered(case_id=case_id, answer=answer, waits_for_second=True)


def undo_last(
    connection: Connection[Row],
    *,
    by: str,
    connectors: Connectors,
    now: datetime,
    through: str = "",
) -> Answered:
    """Take back what a person said last of a pair, while it is theirs alone to take back; as the worker.

    :raises UserMistake: there is nothing of the kind.
    """
    proposal = _last_proposal(connection, by)
    row = connection.execute(
        """
        SELECT subject, client_id, is_same, decided_at FROM client_decision
        WHERE lower(decided_by) = lower(%s) AND approved_by IS NULL AND undone_at IS NULL AND decided_at > %s
        ORDER BY decided_at DESC, decision_id LIMIT 1
        """,
        (by, now - UNDO_FOR),
    ).fetchone()
    if proposal is not None and (row is None or proposal.proposed_at >= row["decided_at"]):
        reject(
            connection, proposal_id=proposal.proposal_id, by=by, reason="taken back", now=now,
            through=through,
        )  # fmt: skip
        asked = proposal.payload.get("case_id")
        return Answered(
            case_id=None if asked is None else UUID(asked), answer="undone", waits_for_second=False
        )
    if row is None:
        raise UserMistake("there is nothing of yours to take back")
    return _undo(connection, row, by=by, connectors=connectors, through=through, now=now)


# -- answers ---------------------------------------------------------------------------------------


def _answer_clients(
    connection: Connection[Row],
    case_id: UUID,
    thing_key: str,
    client_id: UUID,
    answer: str,
    *,
    reason: str,
    by: str,
    connectors: Connectors,
    through: str,
    now: datetime,
) -> Answered:
    left_id = UUID(thing_key.partition(":")[0])
    if answer == DIFFERENT:
        _keep_apart(
            connection, subject_of_client(left_id), client_id, reason=reason, by=by,
            through=through, now=now,
        )  # fmt: skip
        close_case(connection, case_id=case_id, because="decided", now=now)
        return Answered(case_id=case_id, answer=answer, waits_for_second=False)
    done = merge_clients(
        connection, losing_id=left_id, winning_id=client_id, by=by, reason=reason,
        connectors=connectors, now=now, through=through,
    )  # fmt: skip
    if done.proposal is None:
        close_case(connection, case_id=case_id, because="decided", now=now)
    return Answered(case_id=case_id, answer=answer, waits_for_second=done.proposal is not None)


def _keep_apart(
    connection: Connection[Row],
    subject: str,
    client_id: UUID,
    *,
    reason: str,
    by: str,
    through: str,
    now: datetime,
) -> None:
    decide_pair(
        connection, subject=subject, client_id=client_id, is_same=False, decided_by=by,
        approved_by=None, reason=reason, now=now,
    )  # fmt: skip
    _audit(connection, "client.pair_decided", subject, client_id, by, reason, through, now)


def _undo(
    connection: Connection[Row],
    row: Row,
    *,
    by: str,
    connectors: Connectors,
    through: str,
    now: datetime,
) -> Answered:
    subject, client_id = row["subject"], row["client_id"]
    if row["is_same"]:
        merged = connection.execute(
            "SELECT losing_id FROM client_merge WHERE undone_at IS NULL AND losing_id = ANY (%(pair)s)"
            " AND winning_id = ANY (%(pair)s)",
            {"pair": [client_id, UUID(subject.removeprefix("client:"))]},
        ).fetchone()
        if merged is None:
            raise UserMistake("the two were merged further since: take that back first")
        done = unmerge_clients(
            connection, losing_id=merged["losing_id"], by=by, reason="taken back",
            connectors=connectors, now=now, through=through,
        )  # fmt: skip
        if done.proposal is not None:
            return Answered(case_id=None, answer="undone", waits_for_second=True)
    else:
        undo_decision(connection, subject=subject, client_id=client_id, by=by, now=now)
        _audit(connection, "client.pair_undone", subject, client_id, by, "taken back", through, now)
    if not subject.startswith("client:"):
        return Answered(case_id=None, answer="undone", waits_for_second=False)
    key = f"{subject.removeprefix('client:')}:{client_id}"
    score = connection.execute(
        "SELECT score FROM client_score WHERE subject = %s AND client_id = %s ORDER BY score_id DESC LIMIT 1",
        (subject, client_id),
    ).fetchone()
    case_id = open_case(
        connection,
        request=CaseRequest(
            reason=DUPLICATE_CLIENTS,
            owner_queue=STEWARDS,
            thing_kind=PAIR,
            thing_key=key,
            entity_code=None,
            members=(CaseMember(kind=PAIR, key=key),),
            details={"candidates": f"{client_id} ({0 if score is None else score['score']})"},
        ),
        now=now,
        correlation_id=new_correlation_id(),
    )
    return Answered(case_id=case_id, answer="undone", waits_for_second=False)


def _last_proposal(connection: Connection[Row], by: str) -> Proposal | None:
    mine = [
        each
        for kind in (SAME_CLIENT, MERGE, UNMERGE)
        for each in list_proposals(connection, kind=kind)
        if each.proposed_by.casefold() == by.casefold()
    ]
    return max(mine, key=lambda each: each.proposed_at, default=None)


def _audit(
    connection: Connection[Row],
    action: str,
    subject: str,
    client_id: UUID,
    by: str,
    reason: str,
    through: str,
    now: datetime,
) -> None:
    record_audit(
        connection, now=now, actor=by, action=action, object=f"client:{client_id}", entity_code=None,
        reason=reason, data={"pair": subject} | ({"key": through} if through else {}),
    )  # fmt: skip


# -- what is shown ---------------------------------------------------------------------------------


def _candidates(connection: Connection[Row], case_id: UUID) -> list[KnownClient]:
    found = connection.execute(
        "SELECT * FROM page_case_candidates(%s) ORDER BY score DESC, client_id", (case_id,)
    ).fetchall()
    return [KnownClient(**{**row, "known_as": tuple(row["known_as"] or ())}) for row in found]


def _left(connection: Connection[Row], case_id: UUID, thing_kind: str, thing_key: str) -> Side:
    if thing_kind == PAIR:
        found = find_client(connection, client_id=UUID(thing_key.partition(":")[0]))
        if found is None:
            raise LookupError(f"there is no client {thing_key}")
        return _side(found)
    record = read_question(connection, case_id=case_id).record
    return Side(
        client_id=None,
        values={name: getattr(record, name) for name in _FIELDS},
        records=(
            Record(connection_key=record.connection_key, source_ref=record.source_ref, url=None),
        ),
    )


def _side(client: KnownClient) -> Side:
    return Side(
        client_id=client.client_id,
        values={name: getattr(client, name) for name in _FIELDS},
        records=tuple(
            Record(connection_key=key, source_ref=source_ref, url=None)
            for key, _, source_ref in (each.partition(":") for each in client.known_as)
        ),
    )


def _with_urls(side: Side, links: Links) -> Side:
    return replace(
        side,
        records=tuple(
            replace(
                each,
                url=links.written(
                    connection_key=each.connection_key, noun="client", target_code=each.source_ref
                ),
            )
            for each in side.records
        ),
    )


def _explained(side: Side, reader: Connection[Row], now: datetime) -> Side:
    if side.client_id is None:
        return side
    found = explain_client(reader, client_id=side.client_id, now=now)
    return replace(
        side,
        why={
            each.field: Why(
                because=each.because,
                record=f"{each.connection_key} {each.source_ref}".strip(),
            )
            for each in found.fields
        },
    )


def _compared(
    left: Mapping[str, str | None], right: Mapping[str, str | None]
) -> tuple[Compared, ...]:
    return tuple(
        Compared(
            field=name,
            left=left[name],
            right=right[name],
            agrees=None
            if not left[name] or not right[name]
            else _plain(name, left[name]) == _plain(name, right[name]),
        )
        for name in _FIELDS
    )


def _plain(field: str, text: str | None) -> str:
    # A name agrees whatever its legal form and accents, as it is matched.
    if field == "name":
        return name_key(text or "")
    return "".join(letter for letter in (text or "").casefold() if letter.isalnum())


def _weights(score: Row) -> tuple[Weight, ...]:
    told: dict[str, float] = dict(score["told"])
    taught = round(float(score["odds"] - score["fitted_odds"]), 2)
    if taught:
        told["decisions"] = taught
    return tuple(
        Weight(
            field=name,
            weight=weight,
            part=min(100, round(100 * abs(weight) / _BAR_WHOLE)),
        )
        for name, weight in sorted(told.items(), key=lambda each: -abs(each[1]))
    )

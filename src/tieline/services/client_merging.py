"""Make one client of two, and two of one again: links, redirects and values follow; contracts and money stay.

Pattern: shown, then carried out in one transaction, with its audit row; under whose client money was
posted takes two people. Other systems follow by durable writes where their connector can, else by a case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import Client, FieldCommand, WorkItem
from tieline.governance import Proposal, list_proposals, propose, record_audit
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TryAgain, UserMistake
from tieline.kernel.keys import SourceIdentity
from tieline.posting import EffectRequest, Poster, Waiting
from tieline.register import (
    CLIENT,
    Merge,
    Moved,
    Source,
    add_merge,
    decide_pair,
    find_current,
    find_merge,
    follow_merges,
    forget_looks,
    members_of,
    name_key,
    newest,
    read_ownership,
    subject_of_client,
    undo_decision,
    undo_merge,
    upsert,
)
from tieline.runtime.database import Database, Row
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import REFERENCE, Again, Done, Outcome, Steps, schedule
from tieline.sdk.directory import Connectors
from tieline.services.client_sync import CLIENT_SYNC_LOCK, STEWARDS, settle_client, told_by

MERGE, UNMERGE = "client.merge", "client.unmerge"
REPOINT = "repoint"
MERGE_BY_HAND = "client.merge_by_hand"
_KINDS = ("crm", "erp", "time")
_PROJECTS, _CLIENT_FIELD = "projects", "client_id"
_NOT_OURS = frozenset({"client_id", "recorded_at", "superseded_at", "name_key"})
_RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Repointed:
    """A record of a system that is to belong to another record of a client there."""

    connection_key: str
    object: str
    source_ref: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """A system that holds the client twice, where only a person can make it one."""

    connection_key: str
    losing_ref: str
    winning_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePreview:
    """What making one client of two would do, and whether a second person must agree.

    ``records`` would be the other client's; contracts and posted lines stay as they are.
    """

    losing_id: UUID
    winning_id: UUID
    records: tuple[str, ...]
    repointed: tuple[Repointed, ...]
    by_hand: tuple[ByHand, ...]
    contracts: tuple[str, ...]
    posted_lines: int
    takes_two: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What was done, or the proposal that waits for a second person."""

    merge_id: UUID | None
    proposal: Proposal | None
    moved: tuple[Moved, ...]


def preview_merge(
    connection: Connection[Row], *, losing_id: UUID, winning_id: UUID, connectors: Connectors
) -> MergePreview:
    """Say what a merge would do.

    :raises UserMistake: the two cannot become one; the sentence says why.
    """
    winning_id = _refuse(connection, losing_id, winning_id)
    losing, winning = (_links_of(connection, each) for each in (losing_id, winning_id))
    repointed, by_hand = _elsewhere(connection, losing, winning, connectors)
    members = members_of(connection, client_id=losing_id)
    contracts, posted = _contracts_of(connection, members)
    return MergePreview(
        losing_id=losing_id,
        winning_id=winning_id,
        records=tuple(f"{key}:{ref}" for key, ref in losing),
        repointed=repointed,
        by_hand=by_hand,
        contracts=contracts,
        posted_lines=posted,
        takes_two=posted > 0,
    )


def merge_clients(
    connection: Connection[Row],
    *,
    losing_id: UUID,
    winning_id: UUID,
    by: str,
    reason: str,
    connectors: Connectors,
    now: datetime,
    through: str = "",
) -> Merged:
    """Make one client of two, or propose it where money was posted; as the worker.

    :raises UserMistake: no reason is given, or the two cannot become one.
    """
    _must_say_why(reason)
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (CLIENT_SYNC_LOCK,))
    shown = preview_merge(
        connection, losing_id=losing_id, winning_id=winning_id, connectors=connectors
    )
    if shown.takes_two:
        proposal = _propose(
            connection, MERGE, losing_id, winning_id, by=by, reason=reason, through=through, now=now
        )
        return Merged(merge_id=None, proposal=proposal, moved=())
    return _merge(
        connection, losing_id, shown.winning_id, by=by, approved_by=None, reason=reason,
        connectors=connectors, now=now,
    )  # fmt: skip


def unmerge_clients(
    connection: Connection[Row],
    *,
    losing_id: UUID,
    by: str,
    reason: str,
    connectors: Connectors,
    now: datetime,
    through: str = "",
) -> Merged:
    """Make two clients of one that was merged, or propose it where money was posted; as the worker.

    :raises UserMistake: no reason is given, or the client was not merged.
    """
    _must_say_why(reason)
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (CLIENT_SYNC_LOCK,))
    merge = _standing(connection, losing_id)
    _, posted = _contracts_of(connection, members_of(connection, client_id=losing_id))
    if posted:
        proposal = _propose(
            connection, UNMERGE, losing_id, merge.winning_id, by=by, reason=reason, through=through,
            now=now,
        )  # fmt: skip
        return Merged(merge_id=None, proposal=proposal, moved=())
    return _unmerge(
        connection, merge, by=by, approved_by=None, reason=reason, connectors=connectors, now=now
    )


def carry_out_merge(
    connection: Connection[Row], proposal: Proposal, now: datetime, connectors: Connectors
) -> int:
    """Merge, or take apart, what two people agreed on; as the worker.

    :raises UserMistake: it cannot be done any more.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (CLIENT_SYNC_LOCK,))
    losing_id = UUID(proposal.payload["losing_id"])
    told: dict[str, Any] = {
        "by": proposal.proposed_by,
        "approved_by": proposal.approved_by,
        "reason": proposal.reason,
        "connectors": connectors,
        "now": now,
    }
    if proposal.kind == UNMERGE:
        done = _unmerge(connection, _standing(connection, losing_id), **told)
    else:
        winning_id = _refuse(connection, losing_id, UUID(proposal.payload["winning_id"]))
        done = _merge(connection, losing_id, winning_id, **told)
    return len(done.moved)


def find_by_hand(connection: Connection[Row], *, connectors: Connectors) -> tuple[CaseRequest, ...]:
    """Return what people have yet to make one in systems that hold a merged client twice."""
    rows = connection.execute(
        """
        SELECT x.connection_key, x.source_ref, x.our_id, f.source_ref AS first_ref
        FROM crosswalk x
        JOIN crosswalk f ON f.noun = 'client' AND f.our_id = x.our_id AND f.connection_key = x.connection_key
             AND f.scope = '' AND f.superseded_at IS NULL
        WHERE x.noun = 'client' AND x.scope <> '' AND x.superseded_at IS NULL AND x.home_id <> x.our_id
        ORDER BY x.connection_key, x.source_ref
        """
    ).fetchall()
    if not rows:
        return ()
    gone = {
        (source.connection_key, source.source_ref)
        for source in newest(connection, noun=Client, kinds=_KINDS)
        if source.is_deleted
    }
    return tuple(
        CaseRequest(
            reason=MERGE_BY_HAND,
            owner_queue=STEWARDS,
            thing_kind="client",
            thing_key=f"{row['connection_key']}:{row['source_ref']}",
            entity_code=None,
            members=(
                CaseMember(kind="client", key=f"{row['connection_key']}:{row['source_ref']}"),
            ),
            details={
                "fix": f"Merge {row['source_ref']} into {row['first_ref']} in {row['connection_key']}:"
                " both are one client here, and nothing can be written there to make them one."
            },
        )
        for row in rows
        if (row["connection_key"], row["source_ref"]) not in gone
        and not _may_repoint(connectors, row["connection_key"])
    )


# -- carrying out ----------------------------------------------------------------------------------


def _merge(
    connection: Connection[Row],
    losing_id: UUID,
    winning_id: UUID,
    *,
    by: str,
    approved_by: str | None,
    reason: str,
    connectors: Connectors,
    now: datetime,
) -> Merged:
    repointed, _ = _elsewhere(
        connection, _links_of(connection, losing_id), _links_of(connection, winning_id), connectors
    )
    merge_id = add_merge(
        connection, losing_id=losing_id, winning_id=winning_id, by=by, approved_by=approved_by,
        reason=reason, values_before=_kept(_own_values(connection, winning_id)), now=now,
    )  # fmt: skip
    moved = _follow(connection, losing_id, winning_id, because=f"merged:{losing_id}", now=now)
    decide_pair(
        connection, subject=_first(losing_id, winning_id)[0], client_id=_first(losing_id, winning_id)[1],
        is_same=True, decided_by=by, approved_by=approved_by, reason=reason, now=now,
    )  # fmt: skip
    _repoint(connection, merge_id, repointed)
    _audit(
        connection, "client.merged", losing_id, winning_id, moved, by=by, approved_by=approved_by,
        reason=reason, now=now,
    )  # fmt: skip
    return Merged(merge_id=merge_id, proposal=None, moved=moved)


def _unmerge(
    connection: Connection[Row],
    merge: Merge,
    *,
    by: str,
    approved_by: str | None,
    reason: str,
    connectors: Connectors,
    now: datetime,
) -> Merged:
    undo_merge(connection, merge_id=merge.merge_id, by=by, reason=reason, now=now)
    moved = _follow(
        connection, merge.losing_id, merge.winning_id, because=f"unmerged:{merge.losing_id}", now=now,
        base=merge.values_before,
    )  # fmt: skip
    subject, client_id = _first(merge.losing_id, merge.winning_id)
    undo_decision(connection, subject=subject, client_id=client_id, by=by, now=now)
    back = connection.execute(
        "SELECT connection_key, object, source_ref, after AS before, before AS after FROM client_repoint"
        " WHERE merge_id = %s ORDER BY connection_key, source_ref",
        (merge.merge_id,),
    ).fetchall()
    _repoint(connection, merge.merge_id, [Repointed(**row) for row in back])
    _audit(
        connection, "client.unmerged", merge.losing_id, merge.winning_id, moved, by=by,
        approved_by=approved_by, reason=reason, now=now,
    )  # fmt: skip
    return Merged(merge_id=merge.merge_id, proposal=None, moved=moved)


def _follow(
    connection: Connection[Row],
    losing_id: UUID,
    winning_id: UUID,
    *,
    because: str,
    now: datetime,
    base: Mapping[str, Any] | None = None,
) -> tuple[Moved, ...]:
    """Let links, redirects and values be what the standing merges make of them."""
    root_id = _root_of(connection, winning_id)
    moved = follow_merges(
        connection, client_ids=(losing_id, winning_id, root_id), because=because, now=now
    )
    for client_id in dict.fromkeys((losing_id, *_way_up(connection, winning_id))):
        _settle(connection, client_id, base=base if client_id == winning_id else None, now=now)
    forget_looks(
        connection, subjects=[subject_of_client(each) for each in (losing_id, winning_id, root_id)]
    )
    return moved


def _settle(
    connection: Connection[Row], client_id: UUID, *, base: Mapping[str, Any] | None, now: datetime
) -> None:
    """Let a client be what its own records and those of its members make it."""
    members = members_of(connection, client_id=client_id)
    standing = [
        _parsed(base) if base is not None else _own_values(connection, client_id),
        *(_values(connection, each) for each in members if each != client_id),
    ]
    homes = connection.execute(
        """
        SELECT connection_key, source_ref FROM crosswalk
        WHERE noun = 'client' AND superseded_at IS NULL AND coalesce(home_id, our_id) = ANY (%s)
        """,
        (list(members),),
    ).fetchall()
    wanted = {(row["connection_key"], row["source_ref"]) for row in homes}
    told = [
        told_by(source, parent_id=_parent(connection, source))
        for source in newest(connection, noun=Client, kinds=("crm", "erp"))
        if (source.connection_key, source.source_ref) in wanted and not source.is_deleted
    ]
    ownership = read_ownership(connection, noun="client", on=now.date())
    values = dict(settle_client(client_id, told, standing, ownership).values)
    if values["parent_client_id"] in members:
        values["parent_client_id"] = None
    values["name_key"] = name_key(values["name"])
    upsert(connection, table=CLIENT, key={"client_id": client_id}, values=values, now=now)


def _parent(connection: Connection[Row], source: Source) -> UUID | None:
    parent_ref = source.data.get("parent_ref")
    row = connection.execute(
        "SELECT our_id FROM crosswalk WHERE connection_key = %s AND noun = 'client' AND source_ref = %s"
        " AND superseded_at IS NULL",
        (source.connection_key, parent_ref),
    ).fetchone()
    return None if row is None else row["our_id"]


# -- what would be done ----------------------------------------------------------------------------


def _refuse(connection: Connection[Row], losing_id: UUID, winning_id: UUID) -> UUID:
    """Return the client that both would be.

    :raises UserMistake: they cannot be one.
    """
    for client_id in (losing_id, winning_id):
        if find_current(connection, table=CLIENT, key={"client_id": client_id}) is None:
            raise UserMistake(f"there is no client {client_id}")
    merged = find_merge(connection, losing_id=losing_id)
    if merged is not None:
        raise UserMistake(f"client {losing_id} is merged into {merged.winning_id} already")
    root_id = _root_of(connection, winning_id)
    if root_id == losing_id:
        raise UserMistake(f"{losing_id} and {winning_id} are one client already")
    for part, whole in ((losing_id, root_id), (root_id, losing_id)):
        if whole in _above(connection, part):
            raise UserMistake(
                f"client {part} is a part of {whole}: put the parent right where it is kept before"
                " you merge them"
            )
    return root_id


def _above(connection: Connection[Row], client_id: UUID) -> set[UUID]:
    rows = connection.execute(
        """
        WITH RECURSIVE above AS (
            SELECT coalesce(g.redirect_to, g.client_id) AS client_id
            FROM client_version v JOIN client g ON g.client_id = v.parent_client_id
            WHERE v.client_id = %s AND v.superseded_at IS NULL
            UNION
            SELECT coalesce(g.redirect_to, g.client_id) FROM above a
            JOIN client_version v ON v.client_id = a.client_id AND v.superseded_at IS NULL
            JOIN client g ON g.client_id = v.parent_client_id
        ) SELECT client_id FROM above
        """,
        (client_id,),
    ).fetchall()
    return {row["client_id"] for row in rows}


def _elsewhere(
    connection: Connection[Row],
    losing: Collection[tuple[str, str]],
    winning: Collection[tuple[str, str]],
    connectors: Connectors,
) -> tuple[tuple[Repointed, ...], tuple[ByHand, ...]]:
    """Return what hangs on the losing client where a system holds both, and where a person must act."""
    first = dict(reversed(list(winning)))
    repointed: list[Repointed] = []
    by_hand: list[ByHand] = []
    for key, losing_ref in losing:
        winning_ref = first.get(key)
        if winning_ref is None:
            continue
        if not _may_repoint(connectors, key):
            by_hand.append(
                ByHand(connection_key=key, losing_ref=losing_ref, winning_ref=winning_ref)
            )
            continue
        repointed += [
            Repointed(
                connection_key=key,
                object=source.identity.object,
                source_ref=source.source_ref,
                before=losing_ref,
                after=winning_ref,
            )
            for source in newest(connection, noun=WorkItem, kinds=_KINDS)
            if source.connection_key == key
            and source.data.get("kind") == "project"
            and source.data.get("client_ref") == losing_ref
            and not source.is_deleted
        ]
    return tuple(repointed), tuple(by_hand)


def _may_repoint(connectors: Connectors, connection_key: str) -> bool:
    try:
        declared = connectors.capabilities(connection_key=connection_key)
    except LookupError:
        return False
    return declared.may_set(_PROJECTS, _CLIENT_FIELD)


def _links_of(connection: Connection[Row], client_id: UUID) -> list[tuple[str, str]]:
    rows = connection.execute(
        """
        SELECT connection_key, source_ref FROM crosswalk
        WHERE noun = 'client' AND our_id = %s AND superseded_at IS NULL
        ORDER BY connection_key, scope <> '', source_ref
        """,
        (client_id,),
    ).fetchall()
    return [(row["connection_key"], row["source_ref"]) for row in rows]


def _contracts_of(
    connection: Connection[Row], client_ids: Sequence[UUID]
) -> tuple[tuple[str, ...], int]:
    """Return the contracts of clients, with their legal entity, and how many lines were posted for them."""
    rows = connection.execute(
        """
        SELECT k.entity_code || ' ' || k.contract_code AS contract,
               (SELECT count(*) FROM ledger_line l WHERE l.contract_id = k.contract_id) AS lines
        FROM contract k WHERE k.client_id = ANY (%s) ORDER BY 1
        """,
        (list(client_ids),),
    ).fetchall()
    return tuple(row["contract"] for row in rows), sum(row["lines"] for row in rows)


# -- values ----------------------------------------------------------------------------------------


def _values(connection: Connection[Row], client_id: UUID) -> dict[str, Any]:
    row = find_current(connection, table=CLIENT, key={"client_id": client_id}) or {}
    return {name: value for name, value in row.items() if name not in _NOT_OURS}


def _own_values(connection: Connection[Row], client_id: UUID) -> dict[str, Any]:
    """Return what a client was before any merge that stands now."""
    row = connection.execute(
        "SELECT values_before FROM client_merge WHERE winning_id = %s AND undone_at IS NULL"
        " ORDER BY merged_at, merge_id LIMIT 1",
        (client_id,),
    ).fetchone()
    if row is not None and row["values_before"]:
        return _parsed(row["values_before"])
    return _values(connection, client_id)


def _kept(values: Mapping[str, Any]) -> dict[str, Any]:
    parent = values["parent_client_id"]
    return {**values, "parent_client_id": None if parent is None else str(parent)}


def _parsed(values: Mapping[str, Any]) -> dict[str, Any]:
    parent = values.get("parent_client_id")
    return {**values, "parent_client_id": UUID(parent) if isinstance(parent, str) else parent}


def _way_up(connection: Connection[Row], client_id: UUID) -> Iterable[UUID]:
    at: UUID | None = client_id
    while at is not None:
        yield at
        merge = find_merge(connection, losing_id=at)
        at = None if merge is None else merge.winning_id


def _root_of(connection: Connection[Row], client_id: UUID) -> UUID:
    *_, root = _way_up(connection, client_id)
    return root


def _standing(connection: Connection[Row], losing_id: UUID) -> Merge:
    merge = find_merge(connection, losing_id=losing_id)
    if merge is None:
        raise UserMistake(f"client {losing_id} is not merged into another")
    return merge


def _first(one: UUID, other: UUID) -> tuple[str, UUID]:
    """Return a pair of clients as it is kept among scores and decisions."""
    low, high = sorted((one, other), key=str)
    return subject_of_client(low), high


# -- who did it, and what follows ------------------------------------------------------------------


def _propose(
    connection: Connection[Row],
    kind: str,
    losing_id: UUID,
    winning_id: UUID,
    *,
    by: str,
    reason: str,
    through: str,
    now: datetime,
) -> Proposal:
    subject = f"client:{losing_id}"
    for each in (MERGE, UNMERGE):
        for waiting in list_proposals(connection, kind=each, object=subject):
            raise UserMistake(f"{waiting.proposed_by} has proposed it already")
    return propose(
        connection, kind=kind, object=subject, entity_code=None,
        payload={"losing_id": str(losing_id), "winning_id": str(winning_id)},
        by=by, reason=reason, now=now, through=through,
    )  # fmt: skip


def _audit(
    connection: Connection[Row],
    action: str,
    losing_id: UUID,
    winning_id: UUID,
    moved: Sequence[Moved],
    *,
    by: str,
    approved_by: str | None,
    reason: str,
    now: datetime,
) -> None:
    record_audit(
        connection, now=now, actor=approved_by or by, action=action, object=f"client:{losing_id}",
        entity_code=None, reason=reason,
        data={
            "client": str(winning_id),
            "records": [f"{each.connection_key}:{each.source_ref}" for each in moved],
            **({"proposed_by": by} if approved_by else {}),
        },
    )  # fmt: skip


def _must_say_why(reason: str) -> None:
    if not reason.strip():
        raise UserMistake("say why")


def _repoint(connection: Connection[Row], merge_id: UUID, repointed: Sequence[Repointed]) -> None:
    """Have records of other systems follow, as durable work; the last word said of each counts."""
    if not repointed:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO client_repoint (merge_id, connection_key, object, source_ref, before, after)
            VALUES (%(merge_id)s, %(connection_key)s, %(object)s, %(source_ref)s, %(before)s, %(after)s)
            ON CONFLICT (merge_id, connection_key, object, source_ref)
            DO UPDATE SET before = excluded.before, after = excluded.after, turn = client_repoint.turn + 1
            """,
            [{**asdict(each), "merge_id": merge_id} for each in repointed],
        )
    schedule(
        connection, kind=REPOINT, subject=str(merge_id), work_class=REFERENCE,
        correlation_id=new_correlation_id(),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Repointing:
    """Carry out what follows from a merge in other systems: one write after the other, each read back."""

    database: Database
    poster: Poster
    clock: Clock

    def repoint(self, steps: Steps, subject: str) -> Outcome:
        """Let every record of a merge belong to the client that the merge, or its undoing, says."""
        told = steps.run("read", lambda: self._told(UUID(subject)))
        try:
            for each in told:
                name = f"{each['connection_key']}:{each['source_ref']}:{each['turn']}"
                wait = steps.run(name, partial(self._write, subject, each))
                if wait:
                    return Again(due_in_seconds=wait)
        except TryAgain as error:
            return Again(due_in_seconds=error.retry_after_seconds or _RETRY_SECONDS)
        return Done()

    def _told(self, merge_id: UUID) -> list[dict[str, Any]]:
        with self.database.transaction() as connection:
            return connection.execute(
                """
                SELECT r.connection_key, r.object, r.source_ref, r.before, r.after, r.turn, c.source_epoch
                FROM client_repoint r JOIN connection c USING (connection_key)
                WHERE r.merge_id = %s ORDER BY r.connection_key, r.source_ref
                """,
                (merge_id,),
            ).fetchall()

    def _write(self, subject: str, told: Mapping[str, Any]) -> int:
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT entity_code FROM legal_entity ORDER BY entity_code LIMIT 1"
            ).fetchone()
        if row is None:
            raise LookupError("there is no legal entity")
        entity_code: str = row["entity_code"]

        def build(key: UUID) -> FieldCommand:
            return FieldCommand(
                business_key=key,
                entity_code=entity_code,
                object=told["object"],
                record_code=told["source_ref"],
                before={_CLIENT_FIELD: told["before"]},
                values={_CLIENT_FIELD: told["after"]},
            )

        request = EffectRequest(
            source=SourceIdentity(
                connection_key=told["connection_key"],
                source_epoch=told["source_epoch"],
                object=told["object"],
                source_ref=told["source_ref"],
            ),
            target_connection=told["connection_key"],
            noun=FieldCommand.noun,
            part=f"{_CLIENT_FIELD}|{subject}|{told['turn']}",
            entity_code=entity_code,
            work_class=REFERENCE,
            deadline_at=None,
            release_id=None,
            correlation_id=subject,
            project_id=None,
        )
        match self.poster.post(request=request, build=build):
            case Waiting(due_in_seconds=seconds):
                return max(1, seconds)
            case _:
                # Confirmed, or refused and its own case: the other records go on.
                return 0

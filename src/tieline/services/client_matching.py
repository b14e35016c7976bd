"""Who of the clients and of the records without a client is like whom: one mechanism with the dedupe of a file.

Pattern: read by a pass over clients, set-wise, in its transaction; what did not change is not compared
again. An identifier decides; a score links where more than the name agrees, or asks; a name alone asks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.register import (
    Identifier,
    KeptScore,
    KeptWeights,
    Look,
    Source,
    contradict,
    find_weights,
    identifiers,
    keep_looks,
    keep_scores,
    keep_weights,
    name_key,
    own_domain,
    read_looks,
    read_scores,
    subject_of_client,
    subject_of_record,
)
from tieline.register.client_scores import ASK, FITTED, KNOWN, LINK, NEW
from tieline.register.identifiers import OF_REGISTERS
from tieline.register.likeness import likely_one, score_stock
from tieline.runtime.database import Row
from tieline.services.client_policy import ClientPolicy

SAME_CLIENT_UNCLEAR = "client.same_client_unclear"
DUPLICATE_IN_SOURCE = "client.duplicate_in_source"
DUPLICATE_CLIENTS = "client.duplicate_suspected"
CANDIDATES_MAX = 10
# A stock that has so many times more records than the weights were fitted to is fitted anew.
_GROWN = 2
# From here on two names are the same but for how they are written.
_NAMES_ALIKE_MIN = 0.9
_NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A client, or a record that no client stands for yet, as it is compared."""

    subject: str
    client_id: UUID | None
    connections: frozenset[str]
    name: str
    row: Mapping[str, str]
    identifiers: frozenset[Identifier]
    is_active: bool

    @property
    def seen(self) -> str:
        names = sorted(f"{each.kind} {each.value}" for each in self.identifiers)
        told = json.dumps([self.name, dict(self.row), names, self.is_active], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """How alike two nodes are; ``odds`` are logarithms."""

    odds: float
    fitted_odds: float
    told: Mapping[str, float]
    name_alike: float
    levels: Sequence[int]

    @property
    def score(self) -> int:
        return round(100 * likely_one(self.odds))


# What the comparison did not bring together is asked about without a score.
_NOT_COMPARED = Like(odds=0.0, fitted_odds=0.0, told={}, name_alike=0.0, levels=())
_BY_NAME = Like(odds=0.0, fitted_odds=0.0, told={}, name_alike=1.0, levels=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A client that a node may be."""

    client_id: UUID
    like: Like


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is to become of a record: ``outcome`` link or new, or ask with a reason and candidates."""

    outcome: str
    because: str
    reason: str = ""
    candidates: tuple[Candidate, ...] = ()


@dataclass(slots=True)
class Matching:
    """The clients and records of one pass, who is like whom, and what comes of it."""

    policy: ClientPolicy
    weights: KeptWeights | None
    clients: dict[UUID, Node]
    likes: dict[str, dict[str, Like]]
    apart: frozenset[frozenset[str]]
    changed: frozenset[str]
    looks: dict[str, Look] = field(default_factory=dict)
    made_of: dict[str, UUID] = field(default_factory=dict)
    taken: dict[UUID, set[str]] = field(default_factory=dict)
    names_of: dict[UUID, set[Identifier]] = field(default_factory=dict)
    by_identifier: dict[Identifier, set[UUID]] = field(default_factory=dict)
    by_name: dict[str, set[UUID]] = field(default_factory=dict)

    def find(self, node: Node) -> Found:
        """Decide what a record is: an exact identifier first, then how alike it is."""
        exact = self._of_registers(node)
        if exact:
            candidates = tuple(
                Candidate(client_id=each, like=self._like(node, each)) for each in sorted(exact)
            )
            if len(exact) > 1:
                return _asked(candidates, because="several clients have its identifiers")
            if contradict(node.identifiers, frozenset(self.names_of[candidates[0].client_id])):
                return _asked(candidates, because="one of its identifiers agrees, another differs")
            return self._linked(node, candidates[0], because=self._shared(node, candidates[0]))
        candidates = self._candidates(node)
        sure = [each for each in candidates if self._is_sure(node, each)]
        if len(sure) == 1:
            return self._linked(node, sure[0], because=self._shared(node, sure[0]))
        if len(candidates) == 1 and self._links(candidates[0].like):
            return self._linked(
                node, candidates[0], because=f"a score of {candidates[0].like.score}"
            )
        if candidates:
            return _asked(candidates, because="it is like clients that are known")
        return Found(outcome=NEW, because="no client is like it")

    def add(self, client_id: UUID, node: Node) -> None:
        """Let what a client, or a record that became it, goes by lead to the client."""
        if node.client_id is None:
            self.made_of[node.subject] = client_id
        self.clients.setdefault(client_id, node)
        self.taken.setdefault(client_id, set()).update(node.connections)
        self.names_of.setdefault(client_id, set()).update(node.identifiers)
        for each in node.identifiers:
            self.by_identifier.setdefault(each, set()).add(client_id)
        self.by_name.setdefault(name_key(node.name), set()).add(client_id)

    def twins(self) -> list[tuple[UUID, Candidate]]:
        """Return the pairs of clients that may be one, each once."""
        found = []
        for node in self.clients.values():
            if node.client_id is None or not node.is_active:
                continue
            near = {
                other: like
                for other, like in self.likes.get(node.subject, {}).items()
                if node.subject < other and other.startswith("client:")
            }
            for client_id in self._named_alike(node):
                near.setdefault(subject_of_client(client_id), _BY_NAME)
            for other_subject, like in sorted(near.items()):
                other = self.clients.get(UUID(other_subject[7:]))
                if other is None or other_subject <= node.subject or not other.is_active:
                    continue
                if other.client_id is None:
                    # It was made just now: the next pass knows it.
                    continue
                if self._may_be(node, other, like):
                    candidate = Candidate(client_id=other.client_id, like=like)
                    found.append((node.client_id, candidate))
        return found

    # -- one pair ----------------------------------------------------------------------------------

    def _linked(self, node: Node, candidate: Candidate, *, because: str) -> Found:
        taken = self.taken[candidate.client_id] & node.connections
        if taken:
            return Found(
                outcome=ASK, reason=DUPLICATE_IN_SOURCE, candidates=(candidate,),
                because=f"{', '.join(sorted(taken))} has another record of the client",
            )  # fmt: skip
        return Found(outcome=LINK, because=because, candidates=(candidate,))

    def _links(self, like: Like) -> bool:
        # However well a name fits, it is no more than a name.
        beside = sum(weight for name, weight in like.told.items() if name != _NAME)
        return like.odds >= self.policy.link_odds and beside > 0

    def _is_sure(self, node: Node, candidate: Candidate) -> bool:
        # A group shares its domain and its switchboard: they decide where the name agrees as well.
        shared = node.identifiers & self.names_of[candidate.client_id]
        return (
            any(len(self.by_identifier.get(each, ())) == 1 for each in shared)
            and candidate.like.name_alike >= _NAMES_ALIKE_MIN
        )

    def _shared(self, node: Node, candidate: Candidate) -> str:
        shared = node.identifiers & self.names_of[candidate.client_id]
        return "the same " + " and ".join(sorted({each.kind for each in shared}))

    def _may_be(self, node: Node, other: Node, like: Like) -> bool:
        if frozenset((node.subject, other.subject)) in self.apart:
            return False
        if contradict(node.identifiers, other.identifiers):
            return False
        return (
            like.odds > self.policy.ask_odds
            or name_key(node.name) == name_key(other.name)
            or any(
                each.kind in OF_REGISTERS or len(self.by_identifier.get(each, ())) == 1
                for each in node.identifiers & other.identifiers
            )
        )

    # -- who is near -------------------------------------------------------------------------------

    def _of_registers(self, node: Node) -> set[UUID]:
        return {
            client_id
            for each in node.identifiers
            if each.kind in OF_REGISTERS
            for client_id in self.by_identifier.get(each, ())
            if frozenset((node.subject, self.clients[client_id].subject)) not in self.apart
        }

    def _candidates(self, node: Node) -> tuple[Candidate, ...]:
        near: dict[UUID, Like] = {}
        for subject, like in self.likes.get(node.subject, {}).items():
            client_id = self.made_of.get(subject)
            if client_id is None and subject.startswith("client:"):
                client_id = UUID(subject[7:])
            if client_id in self.clients and (
                client_id not in near or near[client_id].odds < like.odds
            ):
                near[client_id] = like
        for client_id in self._named_alike(node):
            near.setdefault(client_id, _BY_NAME)
        for each in node.identifiers:
            for client_id in self.by_identifier.get(each, ()):
                near.setdefault(client_id, _NOT_COMPARED)
        found = [
            Candidate(client_id=client_id, like=like)
            for client_id, like in near.items()
            if self._may_be(node, self.clients[client_id], like)
        ]
        found.sort(key=lambda each: (-each.like.odds, str(each.client_id)))
        return tuple(found[:CANDIDATES_MAX])

    def _named_alike(self, node: Node) -> set[UUID]:
        return self.by_name.get(name_key(node.name), set())

    def _like(self, node: Node, client_id: UUID) -> Like:
        near = self.likes.get(node.subject, {})
        return near.get(self.clients[client_id].subject, _NOT_COMPARED)


def read_matching(
    connection: Connection[Row],
    *,
    clients: Mapping[UUID, Node],
    records: Sequence[Node],
    apart: frozenset[frozenset[str]],
    policy: ClientPolicy,
    now: datetime,
) -> Matching:
    """Compare what changed since it was last looked at; who did not is known by what was kept."""
    weights = find_weights(connection)
    looks = read_looks(connection)
    nodes = [*clients.values(), *records]
    if weights is not None and len(nodes) >= _GROWN * max(weights.records, 1):
        weights = None
    version = None if weights is None else weights.version
    changed = frozenset(
        node.subject
        for node in nodes
        if (look := looks.get(node.subject)) is None
        or (look.seen, look.weights_version) != (node.seen, version)
    )
    likes: dict[str, dict[str, Like]] = {}
    if changed:
        # Two records without a client are compared anew each time: what they become is not known yet.
        asked = [node.client_id is None or node.subject in changed for node in nodes]
        scored = score_stock(
            [node.row for node in nodes],
            asked=asked if weights else [True] * len(nodes),
            scorer=None if weights is None else weights.scorer,
        )
        if weights is None and scored.scorer is not None:
            weights = keep_weights(
                connection, scorer=scored.scorer, kind=FITTED, records=len(nodes), decisions=0,
                compared={}, is_used=True, now=now,
            )  # fmt: skip
        for each in scored.scores:
            one, other = nodes[each.left].subject, nodes[each.right].subject
            like = Like(
                odds=each.odds, fitted_odds=each.fitted_odds, told=each.told,
                name_alike=each.name_alike, levels=each.levels,
            )  # fmt: skip
            likes.setdefault(one, {})[other] = likes.setdefault(other, {})[one] = like
    is_asked = {node.subject for node in records} if changed else set()
    for kept in read_scores(connection):
        if kept.subject in changed or kept.subject in is_asked:
            continue
        other = subject_of_client(kept.client_id)
        if other in changed or kept.client_id not in clients:
            continue
        like = _as_kept(kept)
        likes.setdefault(kept.subject, {})[other] = likes.setdefault(other, {})[kept.subject] = like
    matching = Matching(
        policy=policy, weights=weights, clients=dict(clients), likes=likes, apart=apart,
        changed=changed, looks=looks,
    )  # fmt: skip
    for client_id, node in clients.items():
        matching.add(client_id, node)
    return matching


def as_asked(scores: Sequence[KeptScore]) -> Found:
    """Return what is asked about a subject, as it was kept."""
    return Found(
        outcome=ASK,
        because="",
        reason=scores[0].reason,
        candidates=tuple(
            Candidate(client_id=each.client_id, like=_as_kept(each)) for each in scores
        ),
    )


def node_of_record(source: Source) -> Node:
    """Return a record as it is compared."""
    data = source.data
    return Node(
        subject=subject_of_record(source.connection_key, source.source_ref),
        client_id=None,
        connections=frozenset((source.connection_key,)),
        name=data["name"],
        row=_row(data, data.get("extras") or {}) | {"source": source.connection_key},
        identifiers=identifiers(data),
        is_active=not source.is_deleted,
    )


def node_of_client(
    client_id: UUID,
    values: Mapping[str, Any],
    sources: Iterable[Source],
    *,
    connections: frozenset[str],
) -> Node:
    """Return a client as it is compared: its own values, and what its records say beside them.

    ``connections`` are those that have a record of it, even one that is gone there.
    """
    told = list(sources)
    extras: dict[str, Any] = {}
    names = set(identifiers(values))
    for source in told:
        said = source.data.get("extras") or {}
        extras = {**{name: value for name, value in said.items() if value}, **extras}
        names |= identifiers(source.data)
    return Node(
        subject=subject_of_client(client_id),
        client_id=client_id,
        connections=connections,
        name=values["name"],
        row=_row(values, extras),
        identifiers=frozenset(names),
        is_active=bool(values["is_active"]),
    )


def keep_found(
    connection: Connection[Row],
    *,
    matching: Matching,
    records: Mapping[str, tuple[Node, Found]],
    twins: Sequence[tuple[UUID, Candidate]],
    now: datetime,
) -> None:
    """Keep what was found of every pair that asks or linked, with its weights' number."""
    version = 0 if matching.weights is None else matching.weights.version
    wanted = {
        (subject, candidate.client_id): _kept(subject, candidate, found.outcome, found.reason or found.because, version)
        for subject, (_, found) in records.items()
        if found.outcome in (ASK, LINK)
        for candidate in found.candidates
    }  # fmt: skip
    for client_id, candidate in twins:
        subject = subject_of_client(client_id)
        wanted[subject, candidate.client_id] = _kept(
            subject, candidate, ASK, DUPLICATE_CLIENTS, version
        )
    standing = {
        (each.subject, each.client_id): each
        for each in read_scores(connection)
        # Why a record was linked stays where it was said.
        if each.decision == ASK or each.subject in records
    }
    fresh = {pair: score for pair, score in wanted.items() if _differs(standing.get(pair), score)}
    gone = [pair for pair in standing if pair not in wanted or pair in fresh]
    keep_scores(connection, scores=list(fresh.values()), instead_of=gone, now=now)
    looks = [
        Look(
            subject=node.subject, seen=node.seen, weights_version=version, outcome=found.outcome,
            because=found.because,
        )
        for node, found in records.values()
    ]  # fmt: skip
    looks += [
        Look(
            subject=node.subject, seen=node.seen, weights_version=version, outcome=KNOWN, because=""
        )
        for node in matching.clients.values()
        if node.client_id is not None and node.subject in matching.changed
    ]
    keep_looks(connection, looks=[look for look in looks if matching.looks.get(look.subject) != look], now=now)  # fmt: skip


def _differs(standing: KeptScore | None, wanted: KeptScore) -> bool:
    return standing is None or (
        standing.decision, standing.reason, standing.odds, standing.weights_version, standing.told
    ) != (wanted.decision, wanted.reason, wanted.odds, wanted.weights_version, wanted.told)  # fmt: skip


def _kept(
    subject: str, candidate: Candidate, decision: str, reason: str, version: int
) -> KeptScore:
    like = candidate.like
    return KeptScore(
        subject=subject, client_id=candidate.client_id, decision=decision, reason=reason,
        score=like.score, odds=Decimal(str(like.odds)), fitted_odds=Decimal(str(like.fitted_odds)),
        told=like.told, levels=like.levels, weights_version=version,
    )  # fmt: skip


def _as_kept(kept: KeptScore) -> Like:
    return Like(
        odds=float(kept.odds), fitted_odds=float(kept.fitted_odds), told=kept.told,
        name_alike=0.0, levels=kept.levels,
    )  # fmt: skip


def _asked(candidates: tuple[Candidate, ...], *, because: str) -> Found:
    return Found(outcome=ASK, reason=SAME_CLIENT_UNCLEAR, candidates=candidates, because=because)


def _row(values: Mapping[str, Any], extras: Mapping[str, Any]) -> dict[str, str]:
    domain = own_domain(values.get("domain"))
    said = {
        "name": values["name"],
        "address": values.get("street"),
        "city": values.get("city"),
        "postal_code": values.get("postal_code"),
        "country": values.get("country_code"),
        "phone": extras.get("phone"),
        "email": f"@{domain}" if domain else extras.get("email"),
        "tax_id": values.get("vat_number"),
    }
    return {name: str(value) for name, value in said.items() if value}

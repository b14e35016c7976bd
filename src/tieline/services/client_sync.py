"""One golden client with its hierarchy, linked in every system that knows it.

Pattern: scheduled after every read of clients; set-wise, one transaction; no vendor calls. Matching
comes before creating: an identifier, or a score that says enough, links; what is less is a case, and
a client is created in an ERP only when a deal needs it there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import Client, Opportunity, Person
from tieline.governance.audit import record_audit
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.errors import UserMistake
from tieline.kernel.keys import SourceIdentity, key_as_base32
from tieline.register import (
    CLIENT,
    Drift,
    KeptScore,
    Link,
    LinkTaken,
    Ownership,
    Source,
    all_links,
    as_client,
    as_opportunity,
    current_client_id,
    decide_pair,
    find_ours,
    is_same_pass,
    keep_drifts,
    keep_pass,
    keep_scores,
    link,
    links_from,
    name_key,
    newest,
    pairs_apart,
    read_ownership,
    read_scores,
    subject_of_client,
    subject_of_record,
    upsert,
    vat_key,
)
from tieline.register.survivorship import Survived, Told, survive
from tieline.runtime.database import Database, Row
from tieline.services.client_learning import learn_weights
from tieline.services.client_matching import (
    DUPLICATE_CLIENTS,
    DUPLICATE_IN_SOURCE,
    SAME_CLIENT_UNCLEAR,
    Candidate,
    Found,
    Matching,
    Node,
    as_asked,
    keep_found,
    node_of_client,
    node_of_record,
    read_matching,
)
from tieline.services.client_policy import ClientPolicy, read_client_policy
from tieline.services.deal_codes import in_our_codes

HIERARCHY_CYCLE = "client.hierarchy_cycle"
CLIENT_REASONS = (SAME_CLIENT_UNCLEAR, DUPLICATE_IN_SOURCE, DUPLICATE_CLIENTS, HIERARCHY_CYCLE)
STEWARDS = "client_steward"
CLIENT_SYNC_LOCK = 7_146_254_701
PAIR = "client_pair"
_CRM, _ERP = "crm", "erp"
_MEMBERS_MAX = 200

SourceKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSyncResult:
    """What became of the newest companies and parties; the cases are all that stand now."""

    created: int
    linked: int
    changed: int
    drifts: tuple[Drift, ...]
    cases: tuple[CaseRequest, ...]
    waiting: int
    not_clients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """Records that no client stands for yet and why, and the clients they may be."""

    reasons: Mapping[SourceKey, str]
    client_ids: frozenset[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class SameClientDecided:
    """Two people said which client a record is."""

    client_id: UUID
    is_new_client: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SameClientRefused:
    """The decision cannot be carried out; ``reason`` says why."""

    reason: str
    message: str


@dataclass(slots=True, kw_only=True)
class _Ledger:
    """What one run knows and did."""

    links: dict[SourceKey, UUID]
    current: dict[UUID, Row]
    redirects: Mapping[UUID, UUID]
    created: int = 0
    linked: int = 0
    changed: int = 0
    waiting: int = 0
    drifts: list[Drift] = field(default_factory=list)
    found: dict[str, tuple[Node, Found]] = field(default_factory=dict)
    twins: list[tuple[UUID, Candidate]] = field(default_factory=list)
    unclear: dict[SourceKey, Found] = field(default_factory=dict)


def sync_clients(database: Database, *, now: datetime, correlation_id: str) -> ClientSyncResult:
    """Bring clients up to date with the newest companies and parties."""
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (CLIENT_SYNC_LOCK,))
        sources = newest(connection, noun=Client, kinds=(_CRM, _ERP))
        clients, strangers = _only_clients(connection, sources)
        ledger = _open_ledger(connection, clients)
        ordered, cycles = parents_first(clients)
        _link_new(connection, ordered, ledger, cycles=cycles, now=now)
        cycles |= _update_all(connection, ordered, ledger, cycles=cycles, now=now)
        keep_drifts(
            connection, noun="client", drifts=ledger.drifts, now=now, correlation_id=correlation_id
        )
        cases = _cases(ledger, cycles, _won_deals(connection, now=now))
    return ClientSyncResult(
        created=ledger.created,
        linked=ledger.linked,
        changed=ledger.changed,
        drifts=tuple(ledger.drifts),
        cases=cases,
        waiting=ledger.waiting,
        not_clients=strangers,
    )


def find_unclear(
    connection: Connection[Row], *, companies: Collection[SourceKey] | None = None
) -> Unclear:
    """Return what a deal must wait for, as the last pass over clients found it.

    Of some ``companies`` alone it is found by them and those above them; whom their clients may be one with is asked
    of the scores.
    """
    if companies is not None:
        return _unclear_of(connection, companies)
    clients, _ = _only_clients(connection, newest(connection, noun=Client, kinds=(_CRM, _ERP)))
    links = {
        (each.connection_key, each.source_ref) for each in all_links(connection, nouns=("client",))
    }
    _, cycles = parents_first(clients)
    reasons: dict[SourceKey, str] = dict.fromkeys(cycles, HIERARCHY_CYCLE)
    open_keys = {
        subject_of_record(*_key(source)): _key(source)
        for source in clients
        if _key(source) not in links and not source.is_deleted
    }
    client_ids: set[UUID] = set()
    for score in read_scores(connection):
        key = open_keys.get(score.subject)
        if key is not None and score.reason in CLIENT_REASONS:
            reasons.setdefault(key, score.reason)
            client_ids.add(score.client_id)
    return Unclear(reasons=reasons, client_ids=frozenset(client_ids))


def _unclear_of(connection: Connection[Row], companies: Collection[SourceKey]) -> Unclear:
    known: dict[SourceKey, Source] = {}
    asked: set[str] = set()
    while wanted := {ref for _, ref in (companies if not asked else _above(known))} - asked:
        found = newest(connection, noun=Client, kinds=(_CRM,), asked={"source_ref": wanted})
        known |= {_key(source): source for source in found}
        asked |= wanted
    ours = links_from(connection, noun="client", records=known)
    _, cycles = parents_first(known.values())
    reasons: dict[SourceKey, str] = dict.fromkeys(cycles, HIERARCHY_CYCLE)
    linked = {(each.connection_key, each.source_ref) for each in ours}
    open_keys = {
        subject_of_record(*key): key
        for key, source in known.items()
        if key not in linked and not source.is_deleted
    }
    rows = connection.execute(
        """
        SELECT s.subject, s.client_id, s.reason FROM client_score s
        WHERE s.superseded_at IS NULL AND s.reason = ANY (%(reasons)s)
          AND (s.client_id = ANY (%(clients)s) OR s.subject = ANY (%(subjects)s))
          AND starts_with(s.subject, 'record:') AND NOT EXISTS (
              SELECT FROM crosswalk x WHERE x.noun = 'client' AND x.superseded_at IS NULL
                AND s.subject = 'record:' || x.connection_key || ':' || x.source_ref)
        """,
        {
            "reasons": list(CLIENT_REASONS),
            "clients": [each.our_id for each in ours],
            "subjects": list(open_keys),
        },
    ).fetchall()
    for row in rows:
        if row["subject"] in open_keys:
            reasons.setdefault(open_keys[row["subject"]], row["reason"])
    return Unclear(reasons=reasons, client_ids=frozenset(row["client_id"] for row in rows))


def _above(known: Mapping[SourceKey, Source]) -> set[SourceKey]:
    parents = ((key, source.data.get("parent_ref")) for (key, _), source in known.items())
    return {(key, parent) for key, parent in parents if parent is not None}


def find_strangers(connection: Connection[Row]) -> frozenset[SourceKey]:
    """Return the parties of ERPs that are nobody's client: their employees and their own companies."""
    sources = newest(connection, noun=Client, kinds=(_ERP,))
    clients, _ = _only_clients(connection, sources)
    return frozenset(map(_key, sources)) - frozenset(map(_key, clients))


def decide_same_client(
    connection: Connection[Row],
    *,
    connection_key: str,
    source_ref: str,
    client_id: UUID | None,
    proposed_by: str,
    approved_by: str,
    now: datetime,
) -> SameClientDecided | SameClientRefused:
    """Link a record to the client that two people say it is, or (None) to a new one.

    :raises UserMistake: one person did both.
    """
    if proposed_by.casefold() == approved_by.casefold():
        raise UserMistake(f"{proposed_by} said which client it is and may not approve it")
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (CLIENT_SYNC_LOCK,))
    source = _find_source(connection, connection_key, source_ref)
    if source is None:
        return SameClientRefused(
            reason="client.unknown_record",
            message=f"{connection_key} has no company {source_ref}",
        )
    standing = find_ours(
        connection, connection_key=connection_key, noun="client", source_ref=source_ref
    )
    if standing is not None:
        if client_id in (None, standing):
            return SameClientDecided(client_id=standing, is_new_client=False)
        return SameClientRefused(
            reason="client.already_linked",
            message=f"{connection_key} {source_ref} is already client {standing}",
        )
    is_new = client_id is None
    if client_id is None:
        chosen, _ = _create(connection, as_client(source), now=now)
    else:
        chosen = current_client_id(connection, client_id=client_id)
    done = link(connection, wanted=_link(source, chosen), because=f"steward:{approved_by}", now=now)
    if isinstance(done, LinkTaken):
        return SameClientRefused(
            reason="client.already_linked",
            message=f"client {chosen} is already {done.standing.source_ref} in {connection_key}",
        )
    _keep_answers(
        connection, subject_of_record(connection_key, source_ref), chosen=chosen,
        proposed_by=proposed_by, approved_by=approved_by, now=now,
    )  # fmt: skip
    record_audit(
        connection, now=now, actor=approved_by, action="client.same_client_decided",
        object=f"client:{chosen}", entity_code=None, reason="the same client, by two people",
        data={
            "record": f"{connection_key}:{source_ref}",
            "is_new_client": is_new,
            "proposed_by": proposed_by,
        },
    )  # fmt: skip
    return SameClientDecided(client_id=chosen, is_new_client=is_new)


def parents_first(sources: Iterable[Source]) -> tuple[list[Source], frozenset[SourceKey]]:
    """Order records so that a parent comes before its children; return who stands in a cycle."""
    by_key = {_key(source): source for source in sources}
    # ERP parties come first: they bring the identifiers that companies of a CRM are matched by.
    waiting = sorted(by_key, key=lambda key: (by_key[key].kind != _ERP, key))
    ordered: list[Source] = []
    state: dict[SourceKey, str] = {}
    cycles: set[SourceKey] = set()
    for start in waiting:
        path: list[SourceKey] = []
        key: SourceKey | None = start
        while key is not None and key in by_key and key not in state:
            state[key] = "open"
            path.append(key)
            parent = by_key[key].data.get("parent_ref")
            key = None if parent is None else (key[0], parent)
        if key in path:
            cycles.update(path[path.index(key) :])
        for passed in reversed(path):
            state[passed] = "done"
            ordered.append(by_key[passed])
    return ordered, frozenset(cycles)


def _keep_answers(
    connection: Connection[Row],
    subject: str,
    *,
    chosen: UUID,
    proposed_by: str,
    approved_by: str,
    now: datetime,
) -> None:
    """Keep of every pair that was asked about what was answered, and ask no more."""
    asked = read_scores(connection, subject=subject)
    for score in asked:
        decide_pair(
            connection, subject=subject, client_id=score.client_id,
            is_same=score.client_id == chosen, decided_by=proposed_by, approved_by=approved_by,
            reason="which client a record is", now=now,
        )  # fmt: skip
    pairs = [(subject, score.client_id) for score in asked]
    keep_scores(connection, scores=(), instead_of=pairs, now=now)


# -- who is new ------------------------------------------------------------------------------------


def _link_new(
    connection: Connection[Row],
    ordered: list[Source],
    ledger: _Ledger,
    *,
    cycles: frozenset[SourceKey],
    now: datetime,
) -> None:
    may_create = _parties_were_read(connection)
    waiting = [
        source for source in ordered
        if _key(source) not in ledger.links and not source.is_deleted and _key(source) not in cycles
    ]  # fmt: skip
    apart = _apart(connection, ledger)
    policy = read_client_policy(connection)
    learn_weights(connection, policy=policy, now=now)
    digest = _digest(ordered, ledger, apart, policy, may_create=may_create)
    if is_same_pass(connection, digest=digest):
        _as_before(connection, waiting, ledger)
        return
    matching = _read_matching(connection, ordered, waiting, ledger, apart, policy, now=now)
    for source in waiting:
        node = node_of_record(source)
        found = matching.find(node)
        if found.reason:
            ledger.unclear[_key(source)] = found
            ledger.found[node.subject] = (node, found)
            continue
        if found.candidates:
            client_id = found.candidates[0].client_id
            because = "identifier" if found.because.startswith("the same") else "score"
            ledger.linked += 1
        elif source.kind == _CRM and not may_create:
            ledger.waiting += 1
            continue
        else:
            client_id, ledger.current[client_id] = _create(connection, as_client(source), now=now)
            because = "created"
            ledger.created += 1
        link(connection, wanted=_link(source, client_id), because=because, now=now)
        ledger.links[_key(source)] = client_id
        ledger.found[node.subject] = (node, found)
        matching.add(client_id, node)
    twins = matching.twins()
    ledger.twins = twins
    keep_found(connection, matching=matching, records=ledger.found, twins=twins, now=now)
    # What this pass made or linked is something else to know: the next one compares it.
    keep_pass(connection, digest=digest, now=now)


def _as_before(connection: Connection[Row], waiting: Iterable[Source], ledger: _Ledger) -> None:
    """Ask again what the last pass asked: nothing that it knew is otherwise."""
    kept: dict[str, list[KeptScore]] = {}
    for score in read_scores(connection):
        kept.setdefault(score.subject, []).append(score)
        if score.reason == DUPLICATE_CLIENTS:
            client_id = UUID(score.subject.removeprefix("client:"))
            ledger.twins.append((client_id, as_asked([score]).candidates[0]))
    for source in waiting:
        asked = kept.get(subject_of_record(*_key(source)), [])
        if asked and asked[0].reason in CLIENT_REASONS:
            ledger.unclear[_key(source)] = as_asked(asked)
        else:
            ledger.waiting += 1


def _digest(
    sources: Iterable[Source],
    ledger: _Ledger,
    apart: frozenset[frozenset[str]],
    policy: ClientPolicy,
    *,
    may_create: bool,
) -> str:
    told = [
        *sorted(f"{client_id} {row['recorded_at']}" for client_id, row in ledger.current.items()),
        *sorted(f"{_key(source)} {source.version}" for source in sources),
        *sorted(f"{key} {client_id}" for key, client_id in ledger.links.items()),
        *sorted(" ".join(sorted(pair)) for pair in apart),
        f"{policy} {may_create}",
    ]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _read_matching(
    connection: Connection[Row],
    sources: Iterable[Source],
    waiting: Iterable[Source],
    ledger: _Ledger,
    apart: frozenset[frozenset[str]],
    policy: ClientPolicy,
    *,
    now: datetime,
) -> Matching:
    told: dict[UUID, list[Source]] = {}
    linked: dict[UUID, set[str]] = {}
    for (connection_key, _), linked_id in ledger.links.items():
        linked.setdefault(linked_id, set()).add(connection_key)
    for source in sources:
        client_id = ledger.links.get(_key(source))
        if client_id is not None and not source.is_deleted:
            told.setdefault(client_id, []).append(source)
    return read_matching(
        connection,
        clients={
            client_id: node_of_client(
                client_id,
                row,
                told.get(client_id, ()),
                connections=frozenset(linked.get(client_id, ())),
            )
            for client_id, row in ledger.current.items()
        },
        records=[node_of_record(source) for source in waiting],
        apart=apart,
        policy=policy,
        now=now,
    )


def _apart(connection: Connection[Row], ledger: _Ledger) -> frozenset[frozenset[str]]:
    """Return the pairs that are two firms, by what each of them is called now."""
    linked = {subject_of_record(*key): client_id for key, client_id in ledger.links.items()}
    apart: set[frozenset[str]] = set()
    for subject, client_id in pairs_apart(connection):
        other = subject_of_client(ledger.redirects.get(client_id, client_id))
        one = linked.get(subject)
        if one is None and subject.startswith("client:"):
            one = UUID(subject.removeprefix("client:"))
        mine = subject if one is None else subject_of_client(ledger.redirects.get(one, one))
        apart.add(frozenset((mine, other)))
    return frozenset(apart)


def _create(
    connection: Connection[Row], client: Client, *, now: datetime
) -> tuple[UUID, dict[str, Any]]:
    row = connection.execute(
        "INSERT INTO client (recorded_at) VALUES (%s) RETURNING client_id", (now,)
    ).fetchone()
    assert row is not None
    client_id: UUID = row["client_id"]
    values = _with_key({**client_fields(client), "parent_client_id": None})
    upsert(connection, table=CLIENT, key={"client_id": client_id}, values=values, now=now)
    return client_id, values


# -- what a client is ------------------------------------------------------------------------------


def _update_all(
    connection: Connection[Row],
    ordered: list[Source],
    ledger: _Ledger,
    *,
    cycles: frozenset[SourceKey],
    now: datetime,
) -> frozenset[SourceKey]:
    """Let every client be what its records make it; return whose parent would make it its own part."""
    ownership = read_ownership(connection, noun="client", on=now.date())
    told: dict[UUID, list[Told]] = {}
    for source in ordered:
        client_id = ledger.links.get(_key(source))
        if client_id in ledger.current and not source.is_deleted:
            in_cycle = _key(source) in cycles
            told.setdefault(client_id, []).append(
                told_by(
                    source, parent_id=None if in_cycle else _parent_of(source, ledger, client_id)
                )
            )
    survived = {
        client_id: settle_client(client_id, records, [ledger.current[client_id]], ownership)
        for client_id, records in told.items()
    }
    rings = _rings(survived, ledger)
    refused: set[SourceKey] = set()
    for client_id, found in survived.items():
        standing = ledger.current[client_id]
        values = dict(found.values)
        if client_id in rings:
            values["parent_client_id"] = standing["parent_client_id"]
            refused.update(
                (each.connection_key, each.source_ref) for each in found.survivors
                if each.field == "parent_client_id" and each.connection_key
            )  # fmt: skip
        ledger.drifts.extend(found.drifts)
        values = _with_key(values)
        if any(standing.get(name) != value for name, value in values.items()):
            upsert(connection, table=CLIENT, key={"client_id": client_id}, values=values, now=now)
            ledger.changed += 1
    return frozenset(refused)


def settle_client(
    client_id: UUID,
    records: Sequence[Told],
    standing: Sequence[Mapping[str, Any]],
    ownership: Ownership,
) -> Survived:
    """Return what records make of a client, field by field; ``standing`` is what was known of it."""
    country = standing[0].get("country_code") or next(
        (each.values["country_code"] for each in records if each.values["country_code"]), None
    )
    return survive(
        records,
        noun="client",
        our_id=client_id,
        owners=ownership.of_region(country),
        standing=standing,
    )


def told_by(source: Source, *, parent_id: UUID | None) -> Told:
    """Return what a record says of its client."""
    return Told(
        connection_key=source.connection_key,
        source_ref=source.source_ref,
        kind=source.kind,
        told_at=source.source_at or source.recorded_at,
        values={**client_fields(as_client(source)), "parent_client_id": parent_id},
    )


def _parent_of(source: Source, ledger: _Ledger, client_id: UUID) -> UUID | None:
    parent_ref = source.data.get("parent_ref")
    if parent_ref is None:
        return None
    parent = ledger.links.get((source.connection_key, parent_ref))
    return parent if parent != client_id else None


def _rings(survived: Mapping[UUID, Survived], ledger: _Ledger) -> frozenset[UUID]:
    """Return the clients that would be a part of themselves, through whatever systems say."""
    parents = {client_id: row["parent_client_id"] for client_id, row in ledger.current.items()} | {
        client_id: found.values["parent_client_id"] for client_id, found in survived.items()
    }
    done: set[UUID] = set()
    rings: set[UUID] = set()
    for start in parents:
        path: list[UUID] = []
        at: UUID | None = start
        while at is not None and at in parents and at not in done and at not in path:
            path.append(at)
            above = parents[at]
            at = None if above is None else ledger.redirects.get(above, above)
        if at in path:
            rings.update(path[path.index(at) :])
        done.update(path)
    return frozenset(rings)


def client_fields(client: Client) -> dict[str, Any]:
    """Return what a record says of a client, as it is compared and kept."""
    return {
        "name": client.name,
        "vat_number": vat_key(client.vat_number, country_code=client.country_code),
        "street": client.street,
        "postal_code": client.postal_code,
        "city": client.city,
        "country_code": client.country_code.upper() if client.country_code else None,
        "domain": client.domain.lower() if client.domain else None,
        "is_active": client.is_active,
    }


def _with_key(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "name_key": name_key(values["name"])}


# -- what a run needs to know ----------------------------------------------------------------------


def _open_ledger(connection: Connection[Row], sources: Iterable[Source]) -> _Ledger:
    rows = connection.execute(
        """
        SELECT v.* FROM client_version v JOIN client c USING (client_id)
        WHERE v.superseded_at IS NULL AND c.redirect_to IS NULL
        """
    ).fetchall()
    merged = connection.execute(
        "SELECT client_id, redirect_to FROM client WHERE redirect_to IS NOT NULL"
    ).fetchall()
    redirects = {row["client_id"]: row["redirect_to"] for row in merged}
    ledger = _Ledger(
        links={
            (each.connection_key, each.source_ref): redirects.get(each.our_id, each.our_id)
            for each in all_links(connection, nouns=("client",))
        },
        current={row["client_id"]: row for row in rows},
        redirects=redirects,
    )
    _link_what_we_wrote(connection, sources, ledger)
    return ledger


def _link_what_we_wrote(
    connection: Connection[Row], sources: Iterable[Source], ledger: _Ledger
) -> None:
    # A party that we are about to link ourselves carries our key as its code: it is no stranger.
    written = connection.execute(
        """
        SELECT e.business_key, e.target_connection, x.our_id FROM effect e
        JOIN crosswalk x ON x.connection_key = e.connection_key AND x.noun = 'client'
             AND x.source_ref = e.source_ref AND x.superseded_at IS NULL
        WHERE e.noun = 'client' AND e.kind = 'write'
        """
    ).fetchall()
    ours = {
        (row["target_connection"], key_as_base32(row["business_key"])): row["our_id"]
        for row in written
    }
    for source in sources:
        code = (source.data.get("extras") or {}).get("code")
        client_id = ours.get((source.connection_key, code or ""))
        if client_id is not None:
            ledger.links.setdefault(_key(source), client_id)


def _only_clients(connection: Connection[Row], sources: list[Source]) -> tuple[list[Source], int]:
    """Leave out an ERP's parties that are its employees, its own companies, or nobody we bill."""
    people = {
        (person.connection_key, (person.data.get("extras") or {}).get("party_code"))
        for person in newest(connection, noun=Person, kinds=(_ERP,))
    }
    entities = {
        row["entity_code"]
        for row in connection.execute("SELECT entity_code FROM legal_entity").fetchall()
    }
    kept = [
        source
        for source in sources
        if source.kind != _ERP
        or (
            _key(source) not in people
            and (source.data.get("extras") or {}).get("code") not in entities
            and _can_be_billed(source.data)
        )
    ]
    return kept, len(sources) - len(kept)


def _can_be_billed(data: Mapping[str, Any]) -> bool:
    return bool(data.get("vat_number") or data.get("country_code") or data.get("city"))


def _parties_were_read(connection: Connection[Row]) -> bool:
    # Before the ERP has told whom it knows, nobody can say that a company is new.
    row = connection.execute(
        """
        SELECT NOT EXISTS (
            SELECT FROM connection c WHERE c.kind = 'erp' AND NOT EXISTS (
                SELECT FROM stream_cursor s WHERE s.connection_key = c.connection_key AND s.read_at IS NOT NULL
            ) AND NOT EXISTS (
                SELECT FROM source_version v WHERE v.connection_key = c.connection_key AND v.noun = 'Client'
            )
        ) AS were_read
        """
    ).fetchone()
    assert row is not None
    return bool(row["were_read"])


def _won_deals(
    connection: Connection[Row], *, now: datetime
) -> dict[SourceKey, list[SourceIdentity]]:
    # A stage is looked up of what could count: all deals are gone through every two seconds.
    sources = [
        deal
        for deal in newest(connection, noun=Opportunity, kinds=(_CRM,))
        if deal.data["client_ref"] and not deal.is_deleted
    ]
    told = [(source.connection_key, as_opportunity(source)) for source in sources]
    found: dict[SourceKey, list[SourceIdentity]] = {}
    for source, coded in zip(
        sources, in_our_codes(connection, told=told, on=now.date()), strict=True
    ):
        if coded.deal.is_won:
            key = (source.connection_key, source.data["client_ref"])
            found.setdefault(key, []).append(source.identity)
    return found


def _find_source(
    connection: Connection[Row], connection_key: str, source_ref: str
) -> Source | None:
    for source in newest(connection, noun=Client, kinds=(_CRM, _ERP)):
        if _key(source) == (connection_key, source_ref):
            return source
    return None


# -- cases -----------------------------------------------------------------------------------------


def _cases(
    ledger: _Ledger,
    cycles: frozenset[SourceKey],
    blocked: Mapping[SourceKey, list[SourceIdentity]],
) -> tuple[CaseRequest, ...]:
    unclear = [
        _case(
            found.reason,
            key,
            deals=blocked.get(key, []),
            details={
                "candidates": ", ".join(map(_told, found.candidates)),
                "fix": "Say which of these clients it is, or that it is a new one.",
            },
        )
        for key, found in ledger.unclear.items()
    ]
    twins = [
        CaseRequest(
            reason=DUPLICATE_CLIENTS,
            owner_queue=STEWARDS,
            thing_kind=PAIR,
            thing_key=f"{client_id}:{candidate.client_id}",
            entity_code=None,
            members=(CaseMember(kind=PAIR, key=f"{client_id}:{candidate.client_id}"),),
            details={
                "candidates": _told(candidate),
                "fix": "Say whether the two clients are one: they are merged, or left apart for good.",
            },
        )
        for client_id, candidate in ledger.twins
    ]
    rings = [
        _case(
            HIERARCHY_CYCLE,
            key,
            deals=blocked.get(key, []),
            details={"fix": "Correct the parent company in the CRM."},
        )
        for key in sorted(cycles)
    ]
    return (*unclear, *twins, *rings)


def _told(candidate: Candidate) -> str:
    return f"{candidate.client_id} ({candidate.like.score})"


def _case(
    reason: str,
    key: SourceKey,
    *,
    deals: list[SourceIdentity],
    details: Mapping[str, str],
) -> CaseRequest:
    members = [CaseMember(kind="client", key=":".join(key))]
    members += [
        CaseMember(kind="deal", key=f"{deal.connection_key}:{deal.source_ref}")
        for deal in deals[:_MEMBERS_MAX]
    ]
    return CaseRequest(
        reason=reason,
        owner_queue=STEWARDS,
        thing_kind="client",
        thing_key=":".join(key),
        entity_code=None,
        members=tuple(members),
        details=details,
    )


def _link(source: Source, client_id: UUID) -> Link:
    return Link(
        connection_key=source.connection_key,
        noun="client",
        source_ref=source.source_ref,
        our_id=client_id,
    )


def _key(source: Source) -> SourceKey:
    return (source.connection_key, source.source_ref)

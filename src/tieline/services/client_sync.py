"""One golden client with its hierarchy, linked in every system that knows it.

Pattern: scheduled after every read of clients; set-wise, one transaction; no vendor calls. Matching
comes before creating: an exact identifier links, a name alone or several candidates are a case, and
a client is created in an ERP only when a deal needs it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    CLIENT_OWNERS,
    Candidate,
    Drift,
    Known,
    Likeness,
    Link,
    LinkTaken,
    Neighborhood,
    Ownership,
    Source,
    all_links,
    as_client,
    current_client_id,
    find_current,
    find_ours,
    keep_drifts,
    link,
    name_key,
    newest,
    read_ownership,
    settle,
    upsert,
    vat_key,
)
from tieline.runtime.database import Database, Row

SAME_CLIENT_UNCLEAR = "client.same_client_unclear"
DUPLICATE_IN_SOURCE = "client.duplicate_in_source"
HIERARCHY_CYCLE = "client.hierarchy_cycle"
CLIENT_REASONS = (SAME_CLIENT_UNCLEAR, DUPLICATE_IN_SOURCE, HIERARCHY_CYCLE)
STEWARDS = "client_steward"
CLIENT_SYNC_LOCK = 7_146_254_701
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

    known: Neighborhood
    links: dict[SourceKey, UUID]
    linked_of: dict[UUID, dict[str, str]]
    kinds: Mapping[str, str]
    created: int = 0
    linked: int = 0
    changed: int = 0
    waiting: int = 0
    drifts: list[Drift] = field(default_factory=list)
    unclear: dict[SourceKey, tuple[str, list[Candidate]]] = field(default_factory=dict)

    def add_link(self, source: Source, client_id: UUID) -> None:
        self.links[_key(source)] = client_id
        self.linked_of.setdefault(client_id, {})[source.connection_key] = source.source_ref

    def kinds_of(self, client_id: UUID) -> frozenset[str]:
        return frozenset(self.kinds[key] for key in self.linked_of.get(client_id, {}))


def sync_clients(database: Database, *, now: datetime, correlation_id: str) -> ClientSyncResult:
    """Bring clients up to date with the newest companies and parties."""
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (CLIENT_SYNC_LOCK,))
        sources = newest(connection, noun=Client, kinds=(_CRM, _ERP))
        clients, strangers = _only_clients(connection, sources)
        ledger = _open_ledger(connection, clients)
        ownership = read_ownership(connection, noun="client", on=now.date())
        ordered, cycles = parents_first(clients)
        may_create = _parties_were_read(connection)
        for source in ordered:
            _sync_one(
                connection, source, ledger, ownership=ownership, now=now, may_create=may_create,
                in_cycle=_key(source) in cycles,
            )  # fmt: skip
        keep_drifts(
            connection, noun="client", drifts=ledger.drifts, now=now, correlation_id=correlation_id
        )
        blocked = _won_deals(connection)
        cases = _cases(ledger, cycles, blocked)
    return ClientSyncResult(
        created=ledger.created,
        linked=ledger.linked,
        changed=ledger.changed,
        drifts=tuple(ledger.drifts),
        cases=cases,
        waiting=ledger.waiting,
        not_clients=strangers,
    )


def find_unclear(connection: Connection[Row]) -> Unclear:
    """Return what a deal must wait for, without changing anything."""
    clients, _ = _only_clients(connection, newest(connection, noun=Client, kinds=(_CRM, _ERP)))
    ledger = _open_ledger(connection, clients)
    _, cycles = parents_first(clients)
    reasons: dict[SourceKey, str] = dict.fromkeys(cycles, HIERARCHY_CYCLE)
    client_ids: set[UUID] = set()
    for source in clients:
        if _key(source) in ledger.links or source.is_deleted:
            continue
        reason, found = _match(source, ledger)
        if reason is not None:
            reasons.setdefault(_key(source), reason)
            client_ids.update(candidate.client_id for candidate in found)
    return Unclear(reasons=reasons, client_ids=frozenset(client_ids))


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
        chosen = _create(connection, as_client(source), now=now)
    else:
        chosen = current_client_id(connection, client_id=client_id)
    done = link(connection, wanted=_link(source, chosen), because=f"steward:{approved_by}", now=now)
    if isinstance(done, LinkTaken):
        return SameClientRefused(
            reason="client.already_linked",
            message=f"client {chosen} is already {done.standing.source_ref} in {connection_key}",
        )
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


# -- one record ----------------------------------------------------------------------------------


def _sync_one(
    connection: Connection[Row],
    source: Source,
    ledger: _Ledger,
    *,
    ownership: Ownership,
    now: datetime,
    may_create: bool,
    in_cycle: bool,
) -> None:
    key = _key(source)
    if key in ledger.links:
        if not source.is_deleted:
            _update(
                connection, source, ledger, ledger.links[key],
                ownership=ownership, now=now, in_cycle=in_cycle,
            )  # fmt: skip
        return
    if source.is_deleted or in_cycle:
        return
    reason, found = _match(source, ledger)
    if reason is not None:
        ledger.unclear[key] = (reason, found)
        return
    if found:
        _attach(connection, source, ledger, found[0].client_id, now=now, because="identifier")
        ledger.linked += 1
    elif source.kind == _CRM and not may_create:
        ledger.waiting += 1
        return
    else:
        client_id = _create(connection, as_client(source), now=now)
        _attach(connection, source, ledger, client_id, now=now, because="created")
        ledger.created += 1
    _update(
        connection, source, ledger, ledger.links[key],
        ownership=ownership, now=now, in_cycle=False,
    )  # fmt: skip


def _match(source: Source, ledger: _Ledger) -> tuple[str | None, list[Candidate]]:
    """Return a reason and candidates; without a reason one candidate links and none creates."""
    likeness = _likeness(as_client(source))
    exact = ledger.known.exact_matches(likeness)
    if len(exact) == 1:
        taken = ledger.linked_of.get(exact[0], {}).get(source.connection_key)
        found = [Candidate(client_id=exact[0], score=100)]
        return (None if taken is None else DUPLICATE_IN_SOURCE), found
    if exact:
        return SAME_CLIENT_UNCLEAR, [Candidate(client_id=one, score=100) for one in exact]
    similar = ledger.known.candidates(likeness)
    return (SAME_CLIENT_UNCLEAR if similar else None), similar


def _attach(
    connection: Connection[Row],
    source: Source,
    ledger: _Ledger,
    client_id: UUID,
    *,
    now: datetime,
    because: str,
) -> None:
    link(connection, wanted=_link(source, client_id), because=because, now=now)
    ledger.add_link(source, client_id)


def _create(connection: Connection[Row], client: Client, *, now: datetime) -> UUID:
    row = connection.execute(
        "INSERT INTO client (recorded_at) VALUES (%s) RETURNING client_id", (now,)
    ).fetchone()
    assert row is not None
    client_id: UUID = row["client_id"]
    values = {**_fields(client), "parent_client_id": None}
    upsert(
        connection, table=CLIENT, key={"client_id": client_id}, values=_with_key(values), now=now
    )
    return client_id


def _update(
    connection: Connection[Row],
    source: Source,
    ledger: _Ledger,
    client_id: UUID,
    *,
    ownership: Ownership,
    now: datetime,
    in_cycle: bool,
) -> None:
    client = as_client(source)
    current = find_current(connection, table=CLIENT, key={"client_id": client_id}) or {}
    proposed = _fields(client)
    if client.parent_ref is not None and not in_cycle:
        parent = ledger.links.get((source.connection_key, client.parent_ref))
        if parent is not None and parent != client_id:
            proposed["parent_client_id"] = parent
    settled = settle(
        noun="client",
        our_id=client_id,
        current={name: current.get(name) for name in (*CLIENT_OWNERS,)},
        proposed=proposed,
        owners=ownership.of_region(current.get("country_code") or proposed["country_code"]),
        written_by=source.connection_key,
        kind=source.kind,
        present_kinds=ledger.kinds_of(client_id),
    )
    ledger.drifts.extend(settled.drifts)
    values = _with_key(settled.values)
    if upsert(connection, table=CLIENT, key={"client_id": client_id}, values=values, now=now):
        ledger.changed += 1
    ledger.known.keep(Known(client_id=client_id, likeness=_likeness_of_row(values)))


def _fields(client: Client) -> dict[str, Any]:
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


def _likeness(client: Client) -> Likeness:
    return _likeness_of_row(_with_key(_fields(client)))


def _likeness_of_row(row: Mapping[str, Any]) -> Likeness:
    return Likeness(
        name_key=row["name_key"],
        vat_key=row["vat_number"],
        city=row["city"],
        country_code=row["country_code"],
        domain=row["domain"],
    )


# -- what a run needs to know ----------------------------------------------------------------------


def _open_ledger(connection: Connection[Row], sources: Iterable[Source]) -> _Ledger:
    rows = connection.execute(
        """
        SELECT v.* FROM client_version v JOIN client c USING (client_id)
        WHERE v.superseded_at IS NULL AND c.redirect_to IS NULL
        """
    ).fetchall()
    kinds = {
        row["connection_key"]: row["kind"]
        for row in connection.execute("SELECT connection_key, kind FROM connection").fetchall()
    }
    ledger = _Ledger(
        known=Neighborhood(
            Known(client_id=row["client_id"], likeness=_likeness_of_row(row)) for row in rows
        ),
        links={},
        linked_of={},
        kinds=kinds,
    )
    for found in all_links(connection, nouns=("client",)):
        ledger.links[(found.connection_key, found.source_ref)] = found.our_id
        ledger.linked_of.setdefault(found.our_id, {})[found.connection_key] = found.source_ref
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
                SELECT FROM stream_cursor s WHERE s.connection_key = c.connection_key
            ) AND NOT EXISTS (
                SELECT FROM source_version v WHERE v.connection_key = c.connection_key AND v.noun = 'Client'
            )
        ) AS were_read
        """
    ).fetchone()
    assert row is not None
    return bool(row["were_read"])


def _won_deals(connection: Connection[Row]) -> dict[SourceKey, list[SourceIdentity]]:
    found: dict[SourceKey, list[SourceIdentity]] = {}
    for deal in newest(connection, noun=Opportunity, kinds=(_CRM,)):
        if deal.data["is_won"] and deal.data["client_ref"] and not deal.is_deleted:
            key = (deal.connection_key, deal.data["client_ref"])
            found.setdefault(key, []).append(deal.identity)
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
            reason,
            key,
            deals=blocked.get(key, []),
            details={
                "candidates": ", ".join(f"{one.client_id} ({one.score})" for one in found),
                "fix": "Say which of these clients it is, or that it is a new one.",
            },
        )
        for key, (reason, found) in ledger.unclear.items()
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
    return (*unclear, *rings)


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

"""Every field that systems tell differently, since when, whose word counts, and how to put it right.

Pattern: read as a set, one transaction. Vendor calls: none. What counts is what the field's owner says;
where two systems of the owner's kind differ, nobody's does, and that is told instead of a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import Client, WorkItem
from tieline.register import (
    OWNERS,
    Ownership,
    Source,
    all_links,
    as_client,
    newest,
    read_ownership,
    vat_key,
)
from tieline.runtime.database import Row
from tieline.sdk.directory import Connectors
from tieline.services.project_provisioning import UNDER_WAY
from tieline.services.provisioning_facts import DealFacts, load_deals
from tieline.services.provisioning_plan import terms_of

_KINDS = ("crm", "erp", "time")
_PROJECT = "project"
OURS = "tieline"
SET, BY_HAND, PLAN, DECLARE, CONNECT = "set", "by_hand", "plan", "declare", "connect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field of one thing of ours that a system tells otherwise than its owner does.

    ``action`` is set (it can be written from here), by_hand, plan (a change of what was provisioned),
    declare (two systems own it) or connect (no system that owns it knows the thing).
    """

    noun: str
    our_id: UUID
    field: str
    owner_kind: str
    owner_key: str | None
    owner_ref: str | None
    owner_value: str | None
    system_key: str
    system_object: str
    system_ref: str
    value: str
    since: datetime | None
    action: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one system says of one thing."""

    source: Source
    fields: Mapping[str, str | None]


def list_differences(
    connection: Connection[Row],
    *,
    connectors: Connectors,
    now: datetime,
    noun: str | None = None,
    field: str | None = None,
) -> tuple[Difference, ...]:
    """List what differs between systems, by noun, thing and field; as the worker."""
    nouns = OWNERS if noun is None else (noun,)
    found: list[Difference] = []
    for each in nouns:
        ownership = read_ownership(connection, noun=each, on=now.date())
        if each == "deal":
            found += _deals(connection, ownership, now)
        else:
            found += _of_noun(connection, each, ownership, connectors)
    kept = [one for one in found if field in (None, one.field)]
    return tuple(
        sorted(kept, key=lambda one: (one.noun, str(one.our_id), one.field, one.system_key))
    )


# -- what systems say ------------------------------------------------------------------------------


def _of_noun(
    connection: Connection[Row], noun: str, ownership: Ownership, connectors: Connectors
) -> list[Difference]:
    said = _said(connection, noun)
    found = [
        difference
        for our_id, theirs in said.items()
        for difference in _differing(noun, our_id, theirs, ownership, connectors)
    ]
    return _with_since(connection, found, said)


def _said(connection: Connection[Row], noun: str) -> dict[UUID, list[_Said]]:
    links = {
        (found.connection_key, found.source_ref): found.our_id
        for found in all_links(connection, nouns=(noun,))
    }
    words, told = _WORDS[noun]
    said: dict[UUID, list[_Said]] = {}
    for source in newest(connection, noun=told, kinds=_KINDS):
        our_id = links.get((source.connection_key, source.source_ref))
        if our_id is None or source.is_deleted or not _is_of(noun, source.data):
            continue
        said.setdefault(our_id, []).append(_Said(source=source, fields=words(source)))
    return said


def _is_of(noun: str, data: Mapping[str, Any]) -> bool:
    return noun != _PROJECT or data.get("kind") == _PROJECT


def _client_words(source: Source) -> dict[str, str | None]:
    client = as_client(source)
    return {
        "name": _text(client.name),
        "vat_number": vat_key(client.vat_number, country_code=client.country_code),
        # A time tool keeps an address as one text: that is no other street.
        "street": None if source.kind == "time" else _text(client.street),
        "postal_code": _text(client.postal_code),
        "city": _text(client.city),
        "country_code": client.country_code.upper() if client.country_code else None,
        "domain": client.domain.lower() if client.domain else None,
        "is_active": str(client.is_active).lower(),
    }


def _project_words(source: Source) -> dict[str, str | None]:
    return {
        "code": _text(source.data["code"]),
        "name": _text(source.data["name"]),
        "is_active": str(source.data["is_active"]).lower(),
    }


def _text(text: str | None) -> str | None:
    return (text or "").strip() or None


_WORDS: Mapping[str, tuple[Callable[[Source], dict[str, str | None]], type]] = {
    "client": (_client_words, Client),
    _PROJECT: (_project_words, WorkItem),
}


# -- whose word counts -----------------------------------------------------------------------------


def _differing(
    noun: str,
    our_id: UUID,
    theirs: Sequence[_Said],
    ownership: Ownership,
    connectors: Connectors,
) -> Iterable[Difference]:
    for name, owner_kind in ownership.of_region(_region(theirs)).items():
        told = [one for one in theirs if one.fields.get(name) is not None]
        if len({one.fields[name] for one in told}) < 2:
            continue
        owners = [one for one in told if one.source.kind == owner_kind]
        words = {one.fields[name] for one in owners}
        owner = owners[0] if len(words) == 1 else None
        for one in told:
            if owner is not None and one.fields[name] == owner.fields[name]:
                continue
            action, fix = _action(noun, name, owner_kind, one, owner, len(words), connectors)
            yield Difference(
                noun=noun,
                our_id=our_id,
                field=name,
                owner_kind=owner_kind,
                owner_key=None if owner is None else owner.source.connection_key,
                owner_ref=None if owner is None else owner.source.source_ref,
                owner_value=None if owner is None else owner.fields[name],
                system_key=one.source.connection_key,
                system_object=one.source.identity.object,
                system_ref=one.source.source_ref,
                value=one.fields[name] or "",
                since=None,
                action=action,
                fix=fix,
            )


def _region(theirs: Sequence[_Said]) -> str | None:
    """Return the country that every system names, if they name one and the same."""
    countries = {one.fields.get("country_code") for one in theirs} - {None}
    return countries.pop() if len(countries) == 1 else None


def _action(
    noun: str,
    name: str,
    owner_kind: str,
    one: _Said,
    owner: _Said | None,
    words: int,
    connectors: Connectors,
) -> tuple[str, str]:
    key = one.source.connection_key
    if owner is None and words > 1:
        return DECLARE, f"Two systems of the kind {owner_kind} say otherwise: correct one of them."
    if owner is None:
        return CONNECT, f"No {owner_kind} says it: link the {noun} there, or declare another owner."
    if connectors.capabilities(connection_key=key).may_set(one.source.identity.object, name):
        return SET, f"tieline drift --align {noun}.{name} --plan"
    record = f"{one.source.identity.object} {one.source.source_ref}"
    return BY_HAND, f"Set {name} of {record} in {key} by hand: it takes none from here."


# -- since when ------------------------------------------------------------------------------------


def _with_since(
    connection: Connection[Row], found: list[Difference], said: Mapping[UUID, Sequence[_Said]]
) -> list[Difference]:
    """Add since when both systems say what they say now."""
    sources = {
        (one.source.connection_key, one.source.source_ref): one
        for theirs in said.values()
        for one in theirs
    }
    wanted = {
        key
        for each in found
        for key in ((each.system_key, each.system_ref), (each.owner_key, each.owner_ref))
        if key in sources
    }
    told = _histories(connection, [sources[key] for key in wanted if key in sources])
    dated = []
    for each in found:
        words = _WORDS[each.noun][0]
        instants = [
            _since_last(told[key], words, each.field)
            for key in ((each.system_key, each.system_ref), (each.owner_key, each.owner_ref))
            if key in told
        ]
        dated.append(replace(each, since=max(instants, default=None)))
    return dated


def _histories(
    connection: Connection[Row], wanted: Sequence[_Said]
) -> dict[tuple[str | None, str | None], list[Source]]:
    """Return every version of these records, the newest first."""
    rows = connection.execute(
        """
        SELECT s.connection_key, s.source_ref, s.data, s.recorded_at
        FROM source_version s
        JOIN unnest(%s::text[], %s::integer[], %s::text[], %s::text[])
            AS w (connection_key, source_epoch, object, source_ref)
            USING (connection_key, source_epoch, object, source_ref)
        ORDER BY s.version DESC
        """,
        (
            [one.source.connection_key for one in wanted],
            [one.source.identity.source_epoch for one in wanted],
            [one.source.identity.object for one in wanted],
            [one.source.source_ref for one in wanted],
        ),
    ).fetchall()
    newest_of = {(one.source.connection_key, one.source.source_ref): one.source for one in wanted}
    told: dict[tuple[str | None, str | None], list[Source]] = {}
    for row in rows:
        key = (row["connection_key"], row["source_ref"])
        told.setdefault(key, []).append(_at(newest_of[key], row))
    return told


def _at(source: Source, row: Row) -> Source:
    return replace(source, recorded_at=row["recorded_at"], data=row["data"])


def _since_last(
    versions: Sequence[Source], words: Callable[[Source], Mapping[str, str | None]], name: str
) -> datetime:
    """Return when a record began to say of a field what it says now."""
    now_said = words(versions[0])[name]
    since = versions[0].recorded_at
    for version in versions:
        if words(version)[name] != now_said:
            break
        since = version.recorded_at
    return since


# -- deals against what was provisioned ------------------------------------------------------------


def _deals(connection: Connection[Row], ownership: Ownership, now: datetime) -> list[Difference]:
    rows = {
        row["deal_key"]: row
        for row in connection.execute(
            "SELECT deal_key, project_id, plan FROM provisioning_plan WHERE state = ANY (%s)",
            (list(UNDER_WAY),),
        ).fetchall()
    }
    if not rows:
        return []
    found: list[Difference] = []
    for facts in load_deals(connection, now=now):
        row = rows.get(facts.key)
        if row is not None and facts.is_won:
            found += _terms(facts, row, ownership.of_region(None))
    return found


def _terms(facts: DealFacts, row: Row, owners: Mapping[str, str]) -> Iterable[Difference]:
    agreed = row["plan"]
    for name, value in terms_of(facts).items():
        if name not in owners or name not in agreed or agreed[name] == value:
            continue
        yield Difference(
            noun="deal",
            our_id=row["project_id"],
            field=name,
            owner_kind=owners[name],
            owner_key=facts.source.connection_key,
            owner_ref=facts.source.source_ref,
            owner_value=None if value is None else str(value),
            system_key=OURS,
            system_object="contract",
            system_ref=str(agreed.get("project_code") or row["project_id"]),
            value=str(agreed[name] or ""),
            since=facts.source.recorded_at,
            action=PLAN,
            fix=f"tieline provision {facts.key} --plan",
        )

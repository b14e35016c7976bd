"""Read the newest records that connections brought, noun by noun."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg import Connection

from tieline.canonical import Client, CostRate, Opportunity, OpportunityLine, Person, StaffingFact
from tieline.kernel.keys import SourceIdentity
from tieline.runtime.database import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a record came from, when, and whether it is gone there."""

    identity: SourceIdentity
    kind: str
    version: int
    is_deleted: bool
    source_at: datetime | None
    recorded_at: datetime
    correlation_id: str
    data: Mapping[str, Any]

    @property
    def connection_key(self) -> str:
        return self.identity.connection_key

    @property
    def source_ref(self) -> str:
        return self.identity.source_ref


_VERSIONS = """
    SELECT s.connection_key, s.source_epoch, s.object, s.source_ref, s.version, s.is_deleted,
           s.source_at, s.recorded_at, s.correlation_id, s.data, c.kind
    FROM source_version s
    JOIN connection c ON c.connection_key = s.connection_key AND c.source_epoch = s.source_epoch
    WHERE s.noun = %(noun)s
"""
_NEWEST = _VERSIONS + " AND s.is_newest"
_OF_ONE = (
    " AND (s.connection_key, s.source_epoch, s.object, s.source_ref)"
    " = (%(connection_key)s, %(source_epoch)s, %(object)s, %(source_ref)s)"
)


# What records are asked for by; each has an index.
_ASKED_BY: Mapping[str, str] = {
    "source_ref": "s.source_ref",
    "project_code": "s.data ->> 'project_code'",
    "client_ref": "s.data ->> 'client_ref'",
    "person_email": "lower(btrim(s.data ->> 'person_email'))",
}


def newest(
    connection: Connection[Row],
    *,
    noun: type,
    kinds: tuple[str, ...],
    asked: Mapping[str, Collection[str]] | None = None,
) -> list[Source]:
    """Return the newest version of every record of a noun from some kinds of connection.

    ``asked`` leaves out those of which no field is among the words that are asked for.
    """
    any_of = ""
    if asked is not None:
        any_of = " OR ".join(f"{_ASKED_BY[name]} = ANY (%({name})s)" for name in asked)
        any_of = f" AND ({any_of})"
    rows = connection.execute(
        f"{_NEWEST} AND c.kind = ANY (%(kinds)s){any_of}"
        " ORDER BY s.connection_key, s.object, length(s.source_ref), s.source_ref",
        {
            "noun": noun.__name__,
            "kinds": list(kinds),
            **{name: list(words) for name, words in (asked or {}).items()},
        },
    ).fetchall()
    return [_source(row) for row in rows]


def find_newest(
    connection: Connection[Row], *, noun: type, identity: SourceIdentity
) -> Source | None:
    """Return the newest version of one record, or None when nothing of it was read."""
    row = connection.execute(_NEWEST + _OF_ONE, _values(noun, identity)).fetchone()
    return None if row is None else _source(row)


def find_version(
    connection: Connection[Row], *, noun: type, identity: SourceIdentity, version: int
) -> Source | None:
    """Return one version of a record as it was told then, or None when it is not kept."""
    row = connection.execute(
        _VERSIONS + _OF_ONE + " AND s.version = %(version)s",
        {**_values(noun, identity), "version": version},
    ).fetchone()
    return None if row is None else _source(row)


def _values(noun: type, identity: SourceIdentity) -> Row:
    return {
        "noun": noun.__name__,
        "connection_key": identity.connection_key,
        "source_epoch": identity.source_epoch,
        "object": identity.object,
        "source_ref": identity.source_ref,
    }


def _source(row: Row) -> Source:
    return Source(
        identity=SourceIdentity(
            connection_key=row["connection_key"],
            source_epoch=row["source_epoch"],
            object=row["object"],
            source_ref=row["source_ref"],
        ),
        kind=row["kind"],
        version=row["version"],
        is_deleted=row["is_deleted"],
        source_at=row["source_at"],
        recorded_at=row["recorded_at"],
        correlation_id=row["correlation_id"],
        data=row["data"],
    )


def as_client(source: Source) -> Client:
    """Return the record as a client."""
    return Client(**{**source.data, "extras": dict(source.data.get("extras") or {})})


def as_person(source: Source) -> Person:
    """Return the record as a person."""
    data = source.data
    return Person(
        **{
            **data,
            "employed_from": _day(data["employed_from"]),
            "employed_to": _day(data["employed_to"]),
            "cost_rate": _number(data["cost_rate"]),
            "cost_rates": tuple(
                CostRate(
                    starts_on=date.fromisoformat(rate["starts_on"]), amount=Decimal(rate["amount"])
                )
                for rate in data.get("cost_rates", ())
            ),
        }
    )


def as_staffing_fact(source: Source) -> StaffingFact:
    """Return the record as a staffing fact."""
    data = source.data
    return StaffingFact(
        **{**data, "starts_on": _day(data["starts_on"]), "ends_on": _day(data["ends_on"])}
    )


def as_opportunity(source: Source) -> Opportunity:
    """Return the record as an opportunity with its lines."""
    data = source.data
    dates = {name: _day(data[name]) for name in ("closed_on", "starts_on", "ends_on")}
    numbers = {name: _number(data[name]) for name in ("amount", "cap_amount")}
    lines = tuple(_line(line) for line in data["lines"])
    # What was read before anybody asked for it says none.
    cost_center = data.get("cost_center")
    return Opportunity(**{**data, **dates, **numbers, "cost_center": cost_center, "lines": lines})


def _line(data: Mapping[str, Any]) -> OpportunityLine:
    numbers = {name: _number(data[name]) for name in ("hours", "rate_amount", "amount")}
    # What was read before anybody asked for it says none.
    numbers["markup_percent"] = _number(data.get("markup_percent"))
    return OpportunityLine(**{**data, **numbers, "rate_starts_on": _day(data["rate_starts_on"])})


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)

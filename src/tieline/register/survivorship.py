"""Which of several records says what a client is: the field's owner, then the newest, then the most complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from tieline.register.owners import Drift

AGREED, OWNER, RECENCY, COMPLETENESS, KEPT = "agreed", "owner", "recency", "completeness", "kept"

_Rank = TypeVar("_Rank", bool, int, datetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one record of one system says of a client, and since when."""

    connection_key: str
    source_ref: str
    kind: str
    told_at: datetime
    values: Mapping[str, Any]

    @property
    def completeness(self) -> int:
        return sum(value is not None for value in self.values.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """The value that a field has, whose it is, and by which step it stands.

    ``connection_key`` and ``source_ref`` are empty where no record says it and it was kept.
    """

    field: str
    value: Any
    because: str
    owner_kind: str
    connection_key: str
    source_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survived:
    """A client as its records make it, field by field, and what was refused."""

    values: Mapping[str, Any]
    survivors: tuple[Survivor, ...]
    drifts: tuple[Drift, ...]


def survive(
    told: Sequence[Told],
    *,
    noun: str,
    our_id: UUID,
    owners: Mapping[str, str],
    standing: Sequence[Mapping[str, Any]],
) -> Survived:
    """Choose each field's value; ``standing`` holds what was known, tried in order where nobody says."""
    survivors = tuple(_survivor(name, told, owner, standing) for name, owner in owners.items())
    values = {each.field: each.value for each in survivors}
    present = {each.kind for each in told}
    refused = {
        (name, each.connection_key): owner
        for name, owner in owners.items()
        for each in told
        if owner in present
        and each.kind != owner
        and each.values.get(name) is not None
        and each.values[name] != values[name]
    }
    return Survived(
        values=values,
        survivors=survivors,
        drifts=tuple(
            Drift(noun=noun, our_id=our_id, field=name, owner_kind=owner, written_by=written_by)
            for (name, written_by), owner in refused.items()
        ),
    )


def _survivor(
    name: str, told: Sequence[Told], owner: str, standing: Sequence[Mapping[str, Any]]
) -> Survivor:
    left = [each for each in told if each.values.get(name) is not None]
    if not left:
        value = next((each[name] for each in standing if each.get(name) is not None), None)
        return Survivor(
            field=name,
            value=value,
            because=KEPT,
            owner_kind=owner,
            connection_key="",
            source_ref="",
        )
    because = AGREED
    for step, rank in _STEPS:
        if _is_one(left, name):
            break
        because = step
        left = _best(left, rank(owner))
    if not _is_one(left, name):
        # Nothing tells them apart: what stands stays where one of them says it.
        because = KEPT
        kept = [each for each in left if standing and each.values[name] == standing[0].get(name)]
        left = kept or left
    chosen = min(left, key=lambda each: (each.kind != owner, each.connection_key, each.source_ref))
    return Survivor(
        field=name,
        value=chosen.values[name],
        because=because,
        owner_kind=owner,
        connection_key=chosen.connection_key,
        source_ref=chosen.source_ref,
    )


def _is_one(told: Sequence[Told], name: str) -> bool:
    return len({each.values[name] for each in told}) == 1


def _best(told: list[Told], rank: Callable[[Told], _Rank]) -> list[Told]:
    best = max(rank(each) for each in told)
    return [each for each in told if rank(each) == best]


# In order of precedence.
_STEPS: tuple[tuple[str, Callable[[str], Callable[[Told], Any]]], ...] = (
    (OWNER, lambda owner: lambda each: each.kind == owner),
    (RECENCY, lambda _: lambda each: each.told_at),
    (COMPLETENESS, lambda _: lambda each: each.completeness),
)

"""What the firm has planned for the board: the hours, months and file that its deeds are about.

The demo tells it as JSON; what is left out is not offered. Deals are not planned: every deal that is
open in the CRM waits, and ``deals`` only adds what is remarkable about one::

    zone, city                the clock on the wall: an IANA zone and the name of its city
    deals:   [{deal, note}]
    edits:   [{entry, hours, note}]
    deletes: [{entry, note}]
    months:  [starts_on]
    file:    {directory, name, content, note}

``deal`` and ``entry`` are the keys under which the firm loaded them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Hours of an entry that somebody will change."""

    entry: str
    hours: Decimal
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """An entry that somebody will delete."""

    entry: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A file that an agency will send."""

    directory: Path
    name: str
    content: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasions:
    """What may happen next."""

    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    city: str = "UTC"
    deals: Mapping[str, str] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    deletes: tuple[Delete, ...] = ()
    months: tuple[date, ...] = ()
    file: Drop | None = None


def read_occasions(raw: Mapping[str, Any]) -> Occasions:
    """Read what is planned.

    :raises ValueError: it cannot be read; the sentence says what.
    """
    try:
        return Occasions(
            zone=ZoneInfo(str(raw.get("zone", "UTC"))),
            city=str(raw.get("city", "UTC")),
            deals={str(row["deal"]): str(row["note"]) for row in raw.get("deals", ())},
            edits=tuple(
                Edit(entry=str(row["entry"]), hours=Decimal(row["hours"]), note=str(row["note"]))
                for row in raw.get("edits", ())
            ),
            deletes=tuple(
                Delete(entry=str(row["entry"]), note=str(row["note"]))
                for row in raw.get("deletes", ())
            ),
            months=tuple(date.fromisoformat(day) for day in raw.get("months", ())),
            file=_drop(raw["file"]) if raw.get("file") else None,
        )
    except (KeyError, TypeError, AttributeError, InvalidOperation, ZoneInfoNotFoundError) as error:
        raise ValueError(f"what is planned cannot be read: {error!r}") from error


def _drop(raw: Mapping[str, Any]) -> Drop:
    name = str(raw["name"])
    if Path(name).name != name or not Path(name).suffix:
        raise ValueError(f"{name!r} is no name of a file such as agency.csv")
    return Drop(
        directory=Path(raw["directory"]),
        name=name,
        content=str(raw["content"]),
        note=str(raw["note"]),
    )

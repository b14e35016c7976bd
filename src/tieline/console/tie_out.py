"""The line per legal entity that adds up, as the database shows it within a person's sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.console.words import PLACES
from tieline.reconciliation import SOURCE, TARGET, Check, list_checks

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A legal entity in sight."""

    entity_code: str
    name: str
    currency: str
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TieOut:
    """Hours approved in the time tool, and the five places where they are; all in seconds."""

    entity_code: str | None
    period_id: UUID | None
    period_code: str | None
    period_state: str | None
    starts_on: date | None
    cut_off_at: datetime | None
    entries: int
    approved_seconds: int
    posted_seconds: int
    pending_seconds: int
    held_seconds: int
    excluded_seconds: int
    handed_over_seconds: int
    leaving_seconds: int
    uncounted_seconds: int

    @property
    def places(self) -> dict[str, int]:
        """Return the seconds of each place, in the order of the line."""
        return {place: getattr(self, f"{place}_seconds") for place in PLACES}

    @property
    def unaccounted_seconds(self) -> int:
        """Return what is approved and in no place; anything but 0 is a defect of ours."""
        return self.approved_seconds - sum(self.places.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Unaccounted:
    """Hours that nobody can account for: in our own books, and where the others say otherwise."""

    books_seconds: int
    checks: tuple[Check, ...]

    @property
    def seconds(self) -> int | None:
        """Return the seconds, None while somebody was not asked and our books add up."""
        source = sum(each.gap_seconds for each in self.checks if each.side == SOURCE)
        target = sum(each.gap_seconds for each in self.checks if each.side == TARGET)
        # An hour that is in no place of ours is missing beside the source's figure too.
        found = max(self.books_seconds, source) + target
        return None if self.is_open and not found else found

    @property
    def is_open(self) -> bool:
        """Say whether a source or a target was never asked."""
        return not self.checks or any(each.asked_at is None for each in self.checks)

    @property
    def asked_at(self) -> datetime | None:
        """Return since when the figure is true: the oldest answer."""
        return min((each.asked_at for each in self.checks if each.asked_at), default=None)


def read_unaccounted(connection: Connection[Row], *, lines: Sequence[TieOut]) -> Unaccounted:
    """Return what nobody can account for, as of the last time everybody was asked."""
    return Unaccounted(books_seconds=unaccounted(lines), checks=list_checks(connection))


def read_entities(connection: Connection[Row]) -> dict[str, Entity]:
    """Return the legal entities in sight by their code."""
    rows = connection.execute("SELECT * FROM page_entities()").fetchall()
    return {row["entity_code"]: Entity(**row) for row in rows}


def read_tie_outs(connection: Connection[Row]) -> list[TieOut]:
    """Return a line per legal entity and period; hours that belong to none yet come last."""
    rows = connection.execute("SELECT * FROM page_close_lines()").fetchall()
    return [TieOut(**row) for row in rows]


def unaccounted(lines: Sequence[TieOut]) -> int:
    """Return the seconds in no place, over all lines, without letting signs cancel."""
    return sum(abs(line.unaccounted_seconds) for line in lines)


def as_chart(lines: Sequence[TieOut], *, names: dict[str | None, str]) -> dict[str, Any]:
    """Return the lines as stacked bars."""
    return {
        "kind": "stacked_bars",
        "unit": "h",
        "categories": [names.get(line.entity_code, line.entity_code) for line in lines],
        "series": [
            {"name": name, "place": place, "seconds": [line.places[place] for line in lines]}
            for place, name in PLACES.items()
        ],
    }

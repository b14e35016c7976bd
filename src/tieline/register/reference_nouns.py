"""What may be loaded from a file: nouns, their columns, and the tables they stand in.

A table of such a noun has an id of its own, the columns named here, and six that every one of them has:
starts_on, ends_on, recorded_at, superseded_at, load_id and line_number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What stands in a cell; the last five name a thing that the register already knows."""

    TEXT = "text"
    DAY = "day"
    NUMBER = "number"
    WHOLE = "whole number"
    YES_NO = "yes or no"
    CURRENCY = "currency"
    ENTITY = "legal entity"
    CLIENT = "client"
    CONTRACT = "contract"
    PROJECT = "project"
    PERSON = "person"


class Empty(StrEnum):
    """What an empty cell means: a mistake, nothing known, or everything there is."""

    REFUSED = "refused"
    UNKNOWN = "unknown"
    EVERY = "every"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileColumn:
    """One column of a file; ``words`` are the only ones it may hold, where there are any."""

    name: str
    kind: Kind
    says: str
    stored_as: str = ""
    empty: Empty = Empty.REFUSED
    words: tuple[str, ...] = ()
    minimum: int | None = None

    @property
    def column(self) -> str:
        """Return the name of the column in its table."""
        return self.stored_as or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """One kind of reference data; ``key`` names the table's columns that say which thing it is.

    A row without an end holds until the next one of its key begins. What ``moves_money`` is loaded
    by two people.
    """

    name: str
    says: str
    table: str
    own_id: str
    key: tuple[str, ...]
    columns: tuple[FileColumn, ...]
    moves_money: bool

    def values(self) -> tuple[str, ...]:
        """Return the table's columns that are not of the key."""
        named = (each.column for each in self.columns)
        return (*(name for name in named if name not in self.key), "ends_on")


FX_RATES = Noun(
    name="fx-rates",
    says="What one currency was worth in another, from a day on, and who says so.",
    table="fx_rate",
    own_id="fx_rate_id",
    key=("from_currency", "to_currency"),
    columns=(
        FileColumn(name="from_currency", kind=Kind.CURRENCY, says="One unit of this ..."),
        FileColumn(name="to_currency", kind=Kind.CURRENCY, says="... is worth so many of this."),
        FileColumn(name="factor", kind=Kind.NUMBER, says="How many, such as 0.9215.", minimum=0),
        FileColumn(name="source", kind=Kind.TEXT, says="Whose rate it is, such as ECB."),
    ),
    moves_money=True,
)

NOUNS: Mapping[str, Noun] = {noun.name: noun for noun in (FX_RATES,)}

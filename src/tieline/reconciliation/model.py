"""A reference ledger in dictionaries: what must stand once nothing moves any more, and nothing else.

It knows no database, no protocol and no fault: faults may change how long it takes, and never what
stands. Tests, proofs and reconciliation hold the real thing against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Generic, TypeVar

_SECONDS_PER_HOUR = 3600
_CENT = Decimal("0.01")
Key = TypeVar("Key", bound=Hashable)

# Every step an effect may take; from UNKNOWN no step leads to sending but by asking. What a restore
# forgot is UNKNOWN, and what people load from a file is HANDED_OVER, before anything was sent.
ALLOWED_STEPS: Mapping[str, frozenset[str]] = {
    "PLANNED": frozenset({"INTENT", "WITHDRAWN", "UNKNOWN", "HANDED_OVER"}),
    "HANDED_OVER": frozenset({"CONFIRMED", "PLANNED", "CONFLICT"}),
    "INTENT": frozenset({"CONFIRMED", "REJECTED", "UNKNOWN", "PLANNED"}),
    "UNKNOWN": frozenset({"PROBING"}),
    "PROBING": frozenset({"CONFIRMED", "ABSENT", "CONFLICT", "UNKNOWN"}),
    "ABSENT": frozenset({"INTENT", "WITHDRAWN", "UNKNOWN", "HANDED_OVER"}),
    "CONFLICT": frozenset({"CONFIRMED", "WITHDRAWN"}),
    "REJECTED": frozenset({"PLANNED", "WITHDRAWN"}),
}
# Where an effect may rest when nothing moves any more.
SETTLED_STATES = frozenset({"CONFIRMED", "REJECTED", "CONFLICT", "WITHDRAWN"})


class Place(StrEnum):
    """Name where an hour is; ``outside`` and ``leaving`` are no part of the population."""

    PENDING = "pending"
    HELD = "held"
    HANDED_OVER = "handed_over"
    POSTED = "posted"
    EXCLUDED = "excluded"
    OUTSIDE = "outside"
    LEAVING = "leaving"


class Judgment(StrEnum):
    """Name what the firm's rules say of an hour."""

    CLEARED = "cleared"
    HELD = "held"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One version of an hour as its source holds it."""

    seconds: int
    judgment: Judgment = Judgment.CLEARED
    is_approved: bool = True
    is_deleted: bool = False

    @property
    def is_in_population(self) -> bool:
        """Say whether it is to be in one of the places."""
        return self.is_approved and not self.is_deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an hour is, what our ledger holds of it net, and what the target holds of it net."""

    place: Place
    seconds: int
    amount: Decimal
    target_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The firm's price, and what the target takes and gives back."""

    rate: Decimal
    currency: str
    takes: Callable[[int], bool] = lambda _seconds: True
    can_undo: bool = True


@dataclass(slots=True, kw_only=True)
class ReferenceLedger:
    """The history of each hour, and what stands of it.

    Versions may come in any number between two settlements: only the newest counts, whatever of the
    others was already on its way.
    """

    terms: Terms
    newest: dict[str, Hour] = field(default_factory=dict)
    handed_over: set[str] = field(default_factory=set)
    stands: dict[str, int] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def change(self, ref: str, hour: Hour) -> None:
        """Take a version of the source; equal content is no change."""
        if self.newest.get(ref) != hour:
            self.newest[ref] = hour
            self.places[ref] = Place.PENDING if hour.is_in_population else Place.OUTSIDE

    def hand_over(self, ref: str) -> None:
        """Put an hour into a file for people to load; nothing of it is sent."""
        self.handed_over.add(ref)

    def release(self, ref: str) -> None:
        """Take a handed over hour back into our own hands."""
        self.handed_over.discard(ref)

    def settle(self) -> None:
        """Let everything come to rest."""
        for ref, hour in self.newest.items():
            self.places[ref] = self._settle(ref, hour)

    def _settle(self, ref: str, hour: Hour) -> Place:
        if not hour.is_in_population:
            return Place.OUTSIDE if self._take_back(ref) else Place.LEAVING
        if ref in self.handed_over:
            return Place.HANDED_OVER
        match hour.judgment:
            case Judgment.HELD:
                # A person decides: until then what stands is left as it is.
                return Place.HELD
            case Judgment.EXCLUDED:
                self._take_back(ref)
                return Place.EXCLUDED
            case Judgment.CLEARED:
                return self._post(ref, hour.seconds)

    def _post(self, ref: str, seconds: int) -> Place:
        if self.stands.get(ref) == seconds:
            return Place.POSTED
        if not self._take_back(ref):
            return Place.HELD
        if not self.terms.takes(seconds):
            return Place.HELD
        self.stands[ref] = seconds
        return Place.POSTED

    def _take_back(self, ref: str) -> bool:
        """Bring what stands of an hour to nothing; say whether the target lets us."""
        if ref in self.stands and not self.terms.can_undo:
            return False
        self.stands.pop(ref, None)
        return True

    # -- what the real thing is held against -------------------------------------------------------

    def standing(self) -> Mapping[str, Standing]:
        """Return where each hour must be and what must stand of it, here and in the target."""
        return {
            ref: Standing(
                place=self.places[ref],
                seconds=self.stands.get(ref, 0),
                amount=self.amount_of(self.stands.get(ref, 0)),
                target_seconds=self.stands.get(ref, 0),
            )
            for ref in self.newest
        }

    def differences(self, observed: Mapping[str, Standing]) -> list[str]:
        """Say in which hours the real thing is not as it must be; empty when it is."""
        wanted = self.standing()
        return [
            f"{ref}: {observed.get(ref)} stands for {wanted.get(ref)}"
            for ref in sorted({*wanted, *observed})
            if observed.get(ref) != wanted.get(ref)
        ]

    def seconds_by_place(self) -> Mapping[Place, int]:
        """Add up the population: together it is what the source itself would say."""
        sums: Counter[Place] = Counter()
        for ref, hour in self.newest.items():
            if hour.is_in_population:
                sums[self.places[ref]] += hour.seconds
        return sums

    def sums(self) -> Mapping[str, Decimal]:
        """Add up what stands, rounded line by line, never across currencies."""
        posted = [self.amount_of(seconds) for seconds in self.stands.values()]
        return {self.terms.currency: sum(posted, Decimal(0))}

    def amount_of(self, seconds: int) -> Decimal:
        """Price a line: rounded once, half up."""
        exact = self.terms.rate * seconds / _SECONDS_PER_HOUR
        return exact.quantize(_CENT, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally(Generic[Key]):
    """Lines that are lost, stand too often, or stand as they must."""

    lost: Counter[Key]
    duplicated: Counter[Key]
    posted: Counter[Key]


def tally(*, wanted: Counter[Key], stands: Counter[Key], waiting: Counter[Key]) -> Tally[Key]:
    """Compare what must stand with what does, line by line, whatever key a line carries.

    What waits for a person is neither lost nor posted, and may stand already: once, and no more.
    """
    return Tally(
        lost=wanted - stands - waiting,
        duplicated=stands - wanted,
        posted=stands & (wanted - waiting),
    )


def steps_not_allowed(steps: Mapping[str, frozenset[str]]) -> list[str]:
    """Say which steps somebody allows that nobody may take, and which they forbid that somebody must."""
    told = {(begin, end) for begin, ends in steps.items() for end in ends}
    must = {(begin, end) for begin, ends in ALLOWED_STEPS.items() for end in ends}
    return [f"{begin} to {end}" for begin, end in sorted(told ^ must)]

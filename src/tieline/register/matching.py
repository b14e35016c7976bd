"""Say how alike two clients are. A score proposes; only an exact identifier, or a person, links."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from rapidfuzz import fuzz

NAME_ALONE_MIN = 90
NAME_WITH_PLACE_MIN = 78
_SAME_COUNTRY, _SAME_CITY, _SAME_DOMAIN, _OTHER_COUNTRY = 2, 3, 5, -10
CANDIDATES_MAX = 10
CROWD_MIN = 1_000
_LETTERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What matching looks at."""

    name_key: str
    vat_key: str | None
    city: str | None
    country_code: str | None
    domain: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A golden client as matching sees it."""

    client_id: UUID
    likeness: Likeness


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A golden client that may be the same firm."""

    client_id: UUID
    score: int


class Neighborhood:
    """The golden clients, found by what they have in common and never by looking at each of them."""

    def __init__(self, known: Iterable[Known] = ()) -> None:
        self._known = {one.client_id: one for one in known}

    @cached_property
    def _members(self) -> dict[str, set[UUID]]:
        # Made for the first who asks: a run that meets nobody new looks nobody up.
        members: dict[str, set[UUID]] = {}
        for one in self._known.values():
            _add(members, one)
        return members

    def keep(self, known: Known) -> None:
        """Let a client stand as it is now."""
        before = self._known.get(known.client_id)
        if before == known:
            return
        members = self._members
        if before is not None:
            for trait in _traits(before.likeness):
                members[trait].discard(known.client_id)
        self._known[known.client_id] = known
        _add(members, known)

    def exact_matches(self, subject: Likeness) -> list[UUID]:
        """Return the clients with the same tax number."""
        if subject.vat_key is None:
            return []
        return sorted(self._members.get(f"tax {subject.vat_key}", ()), key=str)

    def candidates(self, subject: Likeness) -> list[Candidate]:
        """Return the clients that may be the same, most alike first.

        Two different tax numbers are two firms, whatever they are called.
        """
        found = [
            Candidate(client_id=client_id, score=score)
            for client_id in self._near(subject)
            if not _tax_numbers_differ(subject, self._known[client_id].likeness)
            and (score := likeness_score(subject, self._known[client_id].likeness)) is not None
        ]
        found.sort(key=lambda candidate: (-candidate.score, str(candidate.client_id)))
        return found[:CANDIDATES_MAX]

    def _near(self, subject: Likeness) -> set[UUID]:
        groups = [self._members.get(trait, set()) for trait in _traits(subject)]
        groups = sorted((group for group in groups if group), key=len)
        # What a crowd shares finds nobody, unless there is nothing rarer.
        telling = [group for group in groups if len(group) <= CROWD_MIN] or groups[:1]
        return set().union(*telling)


def _add(members: dict[str, set[UUID]], known: Known) -> None:
    for trait in _traits(known.likeness):
        members.setdefault(trait, set()).add(known.client_id)


def _traits(likeness: Likeness) -> set[str]:
    letters = f"^{likeness.name_key.replace(' ', '')}$"
    traits = {letters[at : at + _LETTERS] for at in range(max(1, len(letters) - _LETTERS + 1))}
    if likeness.vat_key is not None:
        traits.add(f"tax {likeness.vat_key}")
    if likeness.domain:
        traits.add(f"domain {likeness.domain.strip().casefold()}")
    return traits


def likeness_score(left: Likeness, right: Likeness) -> int | None:
    """Return 0 to 100, or None when a person need not look."""
    name = _name_score(left.name_key, right.name_key)
    same_city = _same(left.city, right.city)
    same_domain = _same(left.domain, right.domain)
    needed = NAME_WITH_PLACE_MIN if same_city or same_domain else NAME_ALONE_MIN
    if name < needed:
        return None
    extra = _SAME_CITY * bool(same_city) + _SAME_DOMAIN * bool(same_domain)
    same_country = _same(left.country_code, right.country_code)
    if same_country is not None:
        extra += _SAME_COUNTRY if same_country else _OTHER_COUNTRY
    return max(0, min(100, name + extra))


def _name_score(left: str, right: str) -> int:
    together = fuzz.ratio(left.replace(" ", ""), right.replace(" ", ""))
    sorted_words = fuzz.token_sort_ratio(left, right)
    return int(max(together, sorted_words))


def _tax_numbers_differ(left: Likeness, right: Likeness) -> bool:
    return None not in (left.vat_key, right.vat_key) and left.vat_key != right.vat_key


def _same(left: str | None, right: str | None) -> bool | None:
    if not left or not right:
        return None
    return left.strip().casefold() == right.strip().casefold()

"""Candidates for a client are found without looking at every client."""

from __future__ import annotations

import random
from uuid import UUID

from tieline.register import Known, Likeness, Neighborhood, name_key
from tieline.register.matching import likeness_score

_SYLLABLES = "ka lo mi ter ven dor sa lin bru gos pel rax um fex hil".split()


def _client(number: int, name: str, *, vat: str | None = None, city: str | None = None) -> Known:
    return Known(
        client_id=UUID(int=number),
        likeness=Likeness(
            name_key=name_key(name), vat_key=vat, city=city, country_code="DE", domain=None
        ),
    )


def _names(count: int) -> list[str]:
    draw = random.Random(3)
    names = ["".join(draw.sample(_SYLLABLES, 3)) + " Holding AG" for _ in range(count // 2)]
    return names + [name.replace(name[4], "", 1) for name in names]


class TestANeighborhood:
    def test_finds_what_looking_at_everybody_finds(self) -> None:
        known = [
            _client(number, name, city="Kiel" if number % 2 else None)
            for number, name in enumerate(_names(160))
        ]
        neighborhood = Neighborhood(known)

        for one in known[::7]:
            alike = {
                other.client_id
                for other in known
                if likeness_score(one.likeness, other.likeness) is not None
            }
            found = {each.client_id for each in neighborhood.candidates(one.likeness)}
            assert found <= alike
            assert len(found) == min(10, len(alike))

    def test_forgets_what_a_client_was_called(self) -> None:
        neighborhood = Neighborhood([_client(1, "Brumild Holding AG", vat="DE1")])

        neighborhood.keep(_client(1, "Thornbury Retail Ltd", vat="DE2"))

        assert neighborhood.candidates(_client(2, "Brumild Holding").likeness) == []
        assert neighborhood.exact_matches(_client(2, "x", vat="DE1").likeness) == []
        assert neighborhood.exact_matches(_client(2, "x", vat="DE2").likeness) == [UUID(int=1)]

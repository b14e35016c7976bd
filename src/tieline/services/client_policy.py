"""What a firm decided about matching clients: from where on a pair links, is asked about, and is learned from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from psycopg import Connection

from tieline.policy import find_value
from tieline.runtime.database import Row
from tieline.validation import builtin_values

LINK_SCORE, ASK_SCORE = "client_link_score", "client_ask_score"
DECISIONS_MIN = "client_decisions_min"
# Scores are told to a ten-thousandth.
_WHOLE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy:
    """Odds, as logarithms, from which a pair links and from which a steward decides; 0 decisions: never learn."""

    link_odds: float
    ask_odds: float
    decisions_min: int

    @property
    def link_chance(self) -> float:
        return 1 / (1 + math.exp(-self.link_odds))


def read_client_policy(connection: Connection[Row]) -> ClientPolicy:
    """Return what holds for every legal entity: a client belongs to none."""
    shipped = {value.name: value.value for value in builtin_values()}

    def number(name: str) -> int:
        said = find_value(connection, name=name, entity_code="")
        return int(shipped[name] if said is None else said)

    ask = _odds(number(ASK_SCORE))
    return ClientPolicy(
        # Nothing links by itself that would not even be asked about.
        link_odds=max(_odds(number(LINK_SCORE)), ask),
        ask_odds=ask,
        decisions_min=number(DECISIONS_MIN),
    )


def _odds(score: int) -> float:
    if score >= _WHOLE:
        return math.inf
    return math.log(max(score, 1) / (_WHOLE - max(score, 1)))

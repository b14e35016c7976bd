"""Learn from what people decided of pairs: a numbered correction, compared before it is used.

Pattern: part of a pass over clients, in its transaction. Vendor calls: none. New weights are used only
where they do better than those before on the same decisions, each judged by weights that had not seen
it, and where no more of their automatic links would have been wrong than the policy allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from tieline.register import KeptWeights, find_weights, keep_weights, read_decided
from tieline.register.client_scores import LEARNED
from tieline.register.likeness import Decided, learn_from, likely_one, odds_of
from tieline.runtime.database import Row
from tieline.services.client_policy import ClientPolicy

_FOLDS = 5
# Of each answer so many are needed: of one kind alone nothing can be told apart.
_EACH_MIN = 5
# It is worth learning anew when the decisions grew by a fifth.
_GROWN = 5
_CHANCE_LEAST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fared:
    """How weights do on decisions: the mean surprise, how many they have right, and their links."""

    surprise: float
    right: int
    links: int
    links_right: int

    @property
    def link_precision(self) -> float:
        # Of no links none is wrong.
        return self.links_right / self.links if self.links else 1.0


def learn_weights(
    connection: Connection[Row], *, policy: ClientPolicy, now: datetime
) -> KeptWeights | None:
    """Number weights that were learned from enough decisions, used or refused; None where none were."""
    if not policy.decisions_min:
        return None
    row = connection.execute(
        """
        SELECT count(*) AS decisions,
               (SELECT coalesce(max(w.decisions), 0) FROM client_weights w WHERE w.kind = 'learned'
                AND w.version > (SELECT max(f.version) FROM client_weights f WHERE f.kind = 'fitted')) AS learned
        FROM client_decision WHERE undone_at IS NULL AND levels IS NOT NULL
        """
    ).fetchone()
    assert row is not None
    learned = row["learned"]
    if row["decisions"] < max(policy.decisions_min, learned and learned + learned // _GROWN + 1):
        return None
    current = find_weights(connection)
    if current is None:
        return None
    decided = read_decided(connection)
    same = sum(each.is_same for each in decided)
    if min(same, len(decided) - same) < _EACH_MIN:
        return None
    scorer = learn_from(decided, weights=current.scorer.weights)
    before = fare(decided, odds_of(decided, scorer=current.scorer), policy=policy)
    after = fare(decided, _held_out(decided, current), policy=policy)
    return keep_weights(
        connection,
        scorer=scorer,
        kind=LEARNED,
        records=current.records,
        decisions=len(decided),
        compared={
            "same": same,
            "before": {"version": current.version, **_told(before)},
            "after": _told(after),
        },
        is_used=is_better(after, than=before, policy=policy),
        now=now,
    )


def is_better(after: Fared, *, than: Fared, policy: ClientPolicy) -> bool:
    """Say whether weights may be used instead of others."""
    return (
        after.surprise < than.surprise
        and after.link_precision >= than.link_precision
        and after.link_precision >= policy.link_chance
    )


def fare(decided: Sequence[Decided], odds: Sequence[float], *, policy: ClientPolicy) -> Fared:
    """Hold odds against what was decided."""
    pairs = [(each.is_same, told) for each, told in zip(decided, odds, strict=True)]
    chances = [likely_one(told if is_same else -told) for is_same, told in pairs]
    return Fared(
        surprise=sum(-math.log(max(chance, _CHANCE_LEAST)) for chance in chances)
        / max(len(pairs), 1),
        right=sum(is_same == (told > policy.ask_odds) for is_same, told in pairs),
        links=sum(told >= policy.link_odds for _, told in pairs),
        links_right=sum(is_same and told >= policy.link_odds for is_same, told in pairs),
    )


def _held_out(decided: Sequence[Decided], current: KeptWeights) -> list[float]:
    """Return the odds of each decision by weights that were learned from the others."""
    odds = [0.0] * len(decided)
    for fold in range(_FOLDS):
        others = [each for place, each in enumerate(decided) if place % _FOLDS != fold]
        places = range(fold, len(decided), _FOLDS)
        scorer = learn_from(others, weights=current.scorer.weights)
        for place, told in zip(
            places, odds_of([decided[place] for place in places], scorer=scorer), strict=True
        ):
            odds[place] = told
    return odds


def _told(fared: Fared) -> dict[str, float]:
    return {
        "surprise": round(fared.surprise, 4),
        "right": fared.right,
        "links": fared.links,
        "links_right": fared.links_right,
    }

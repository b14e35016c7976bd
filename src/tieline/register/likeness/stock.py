"""Score who of a stock is like whom, by weights that are kept: the same score as of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tieline.register.likeness.comparing import FEATURES, Levels, compare
from tieline.register.likeness.learning import Learned, learn, sights
from tieline.register.likeness.pairing import find_pairs
from tieline.register.likeness.records import FIELDS, Records, comparable
from tieline.register.likeness.weighing import (
    WEIGHED,
    Floats,
    Model,
    Numbers,
    Weights,
    level_codes,
    name_alike,
    weigh,
)

_SIGNS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """Fitted weights, and what stewards taught on top of them."""

    weights: Weights
    learned: Learned | None = None

    def odds(self, likeness: Levels, fitted: Floats) -> Floats:
        """Return the odds that count, of pairs whose fitted odds are known."""
        if self.learned is None:
            return fitted
        return self.learned.odds(sights(likeness, fitted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What was found of two records; ``told`` is what each field adds to the fitted odds.

    ``name_alike`` is from 0 to 1; ``levels`` is what was compared, to learn from later.
    """

    left: int
    right: int
    odds: float
    fitted_odds: float
    told: Mapping[str, float]
    name_alike: float
    levels: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The pairs that were worth comparing, and by which scorer; None where nothing could be fitted."""

    scorer: Scorer | None
    compared: int
    scores: tuple[Score, ...]


def score_stock(
    rows: Sequence[Mapping[str, str]], *, asked: Sequence[bool], scorer: Scorer | None
) -> Scored:
    """Score every pair of rows of which at least one is asked about; without a scorer one is fitted.

    What ranks a pair is how well both do with others: those are compared, too, and not returned.
    """
    records = Records()
    for row in rows:
        records.add(comparable({name: row.get(name) or "" for name in FIELDS}))
    records.weigh()
    left, right = find_pairs(records)
    is_asked = np.array(asked, dtype=np.bool_)
    if scorer is not None:
        left, right = _around(left, right, is_asked)
    if not len(left):
        return Scored(scorer=scorer, compared=0, scores=())
    likeness = compare(records, left.tolist(), right.tolist())
    fitted, weights = weigh(
        likeness, left, right, records=len(records),
        weights=None if scorer is None else scorer.weights,
    )  # fmt: skip
    used = scorer or Scorer(weights=weights)
    odds = used.odds(likeness, fitted)
    told = weights.ranked.evidence(level_codes(likeness))
    alike = name_alike(likeness)
    return Scored(
        scorer=used,
        compared=len(left),
        scores=tuple(
            Score(
                left=int(left[pair]),
                right=int(right[pair]),
                odds=round(float(odds[pair]), _SIGNS),
                fitted_odds=round(float(fitted[pair]), _SIGNS),
                told={
                    name: round(weight, 2)
                    for name, weight in zip(WEIGHED, told[pair].tolist(), strict=True)
                    if round(weight, 2)
                },
                name_alike=float(alike[pair]),
                levels=tuple(likeness[pair].tolist()),
            )
            for pair in np.flatnonzero(is_asked[left] | is_asked[right]).tolist()
        ),
    )


def _around(left: Numbers, right: Numbers, is_asked: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    touched = is_asked[left] | is_asked[right]
    near = is_asked.copy()
    near[left[touched]] = near[right[touched]] = True
    kept = near[left] | near[right]
    return left[kept], right[kept]


# -- learning --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A pair that a steward decided, as it was compared then."""

    levels: Sequence[int]
    fitted_odds: float
    is_same: bool


def learn_from(decided: Sequence[Decided], *, weights: Weights) -> Scorer:
    """Return the scorer corrected by decisions."""
    likeness, fitted = _as_seen(decided)
    answers = np.array([each.is_same for each in decided], dtype=np.bool_)
    return Scorer(weights=weights, learned=learn(sights(likeness, fitted), answers))


def odds_of(decided: Sequence[Decided], *, scorer: Scorer) -> tuple[float, ...]:
    """Return the odds that a scorer gives pairs that were decided."""
    likeness, fitted = _as_seen(decided)
    return tuple(scorer.odds(likeness, fitted).tolist())


def _as_seen(decided: Sequence[Decided]) -> tuple[Levels, Floats]:
    likeness = np.array([each.levels for each in decided], dtype=np.uint8)
    fitted = np.array([each.fitted_odds for each in decided], dtype=np.float64)
    return likeness.reshape(-1, len(FEATURES)), fitted


# -- kept ------------------------------------------------------------------------------------------


def scorer_as_json(scorer: Scorer) -> dict[str, Any]:
    """Return a scorer as it is kept."""
    weights = scorer.weights
    return {
        "first": _model_as_json(weights.first),
        "ranked": _model_as_json(weights.ranked),
        "usual": list(weights.usual),
        "learned": None if scorer.learned is None else scorer.learned.weights.tolist(),
    }


def scorer_of_json(body: Mapping[str, Any]) -> Scorer:
    """Return the scorer that was kept."""
    learned = body["learned"]
    one, two, three = body["usual"]
    return Scorer(
        weights=Weights(
            first=_model_of_json(body["first"]),
            ranked=_model_of_json(body["ranked"]),
            usual=(one, two, three),
        ),
        learned=None if learned is None else Learned(weights=np.array(learned, dtype=np.float64)),
    )


def _model_as_json(model: Model) -> dict[str, Any]:
    return {**asdict(model), "weights": [each.tolist() for each in model.weights]}


def _model_of_json(body: Mapping[str, Any]) -> Model:
    return Model(
        share=body["share"],
        weights=tuple(np.array(each, dtype=np.float64) for each in body["weights"]),
        site_max=body["site_max"],
    )

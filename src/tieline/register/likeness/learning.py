"""Learn from what stewards decided: a small correction of the unlabeled odds, never a new beginning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tieline.register.likeness.comparing import AT, FULL, MISSING, Levels
from tieline.register.likeness.weighing import Floats, Numbers, likely, name_alike

_ROUNDS_MAX = 50
_HELD = 2.0
_HELD_ODDS = 0.5
_ODDS_MAX = 12.0
_UNEASE = 0.05
_MIDDLE, _SPREAD = 0.5, 0.3
_STEP_MIN = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A correction: what each feature adds to the odds."""

    weights: Floats

    def odds(self, seen: Floats) -> Floats:
        """Return the corrected odds, as logarithms, of pairs seen by ``sights``."""
        return np.asarray(_standard(seen) @ self.weights)


def sights(likeness: Levels, odds: Floats) -> Floats:
    """Return what the learner sees of each pair: its likeness, what is missing, and its odds."""
    seen = likeness.astype(np.float64) / FULL
    seen[likeness == MISSING] = np.nan
    alike = name_alike(likeness)
    clipped = np.clip(odds, -_ODDS_MAX, _ODDS_MAX)
    more = [alike, alike**2, alike * seen[:, AT["name_rarity"]], clipped]
    return np.column_stack([seen, *more])


def choose(odds: Floats, count: int, *, seed: int) -> Numbers:
    """Return the pairs to ask about: most where the odds are even, some everywhere else."""
    chance = likely(odds)
    unsure = np.sqrt(chance * (1 - chance)) + _UNEASE * chance
    unsure += unsure.sum() / len(odds) * _UNEASE
    generator = np.random.default_rng(seed)
    # The largest of these keys are a weighted sample without repetition.
    keys = np.log(generator.random(len(odds))) / unsure
    return np.sort(np.argsort(-keys)[:count]).astype(np.int64)


def learn(seen: Floats, is_same: NDArray[np.bool_]) -> Learned:
    """Fit the correction to decided pairs."""
    x = _standard(seen)
    begin = np.zeros(x.shape[1])
    begin[-2] = 1.0
    held = np.full(x.shape[1], _HELD)
    held[-2], held[-1] = _HELD_ODDS * len(seen) ** 0.5, 0.1
    weights = begin.copy()
    loss = _loss(x, is_same, weights, begin, held)
    for _ in range(_ROUNDS_MAX):
        chance = likely(x @ weights)
        slope = x.T @ (chance - is_same) + held * (weights - begin)
        curve = (x * (chance * (1 - chance))[:, None]).T @ x + np.diag(held)
        step = np.linalg.solve(curve, slope)
        # A full step may jump over the hollow: it is halved until it leads down.
        while (reached := _loss(x, is_same, weights - step, begin, held)) > loss:
            step /= 2
            if np.abs(step).max() < _STEP_MIN:
                break
        else:
            weights, loss = weights - step, reached
        if np.abs(step).max() < _STEP_MIN:
            break
    return Learned(weights=weights)


def _loss(
    x: Floats, is_same: NDArray[np.bool_], weights: Floats, begin: Floats, held: Floats
) -> float:
    odds = x @ weights
    return float(
        np.logaddexp(0, np.where(is_same, -odds, odds)).sum()
        + (held * (weights - begin) ** 2).sum() / 2
    )


def _standard(seen: Floats) -> Floats:
    # A sample of decisions is too small to say how far values spread; what is missing is in between.
    standard = np.nan_to_num((seen[:, :-1] - _MIDDLE) / _SPREAD)
    return np.column_stack([standard, seen[:, -1], np.ones(len(seen))])

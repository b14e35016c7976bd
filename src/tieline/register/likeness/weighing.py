"""Weigh evidence while nothing is labeled: the model of Fellegi and Sunter, fitted by expectation
and maximization on the candidates themselves, and held to what is generally known of clients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tieline.register.likeness.comparing import AT, FULL, MISSING, Levels

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]
Numbers = NDArray[np.int64]

ROUNDS_MAX = 20
SETTLED = 1e-3
UNSAID = -1
_ODDS_MAX = 30.0
# How many pairs of general knowledge stand beside the pairs of the file.
_PRIOR_PAIRS, _PRIOR_SHARE = 30.0, 1.0
# How many other records of the same client a record has, before the file was looked at.
_TWINS, _TWINS_MAX = 0.3, 6.0
_HARDLY = 1e-3
# A file may have so many times more or fewer twins than it seemed to at first.
_SHARE_MOVES = 4.0
_AS_GOOD, _RANK_SHARE = 0.7, 0.1

_NAME_LEAST = 0.3
# From where on a name holds the other one, letters are the same but for slips, and a number may be one.
_OWN_WORDS_MIN, _SAME_LETTERS_MIN, _TAX_SLIP_MIN = 0.75, 0.92, 0.74
_NAME_CUTS = (0.45, 0.6, 0.72, 0.82, 0.9, 0.97)
_NAME_SAME = (0.006, 0.02, 0.04, 0.06, 0.09, 0.14, 0.55, 0.094)
_NAME_DIFFERENT = (0.35, 0.25, 0.14, 0.08, 0.05, 0.03, 0.04, 0.06)
_CONTAINED, _CONTAINED_MIN = 7, 0.93
_RARITY_CUTS = (0.3, 0.5)
_EQUAL_NAMES = 6 * (len(_RARITY_CUTS) + 1)
_ADDRESS_CUTS = (0.35, 0.6, 0.8, 0.95)
_ADDRESS_RARE_MIN = 0.36
_ADDRESS_SAME = (0.1, 0.1, 0.15, 0.2, 0.45)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A field with its levels: how often one client's two records reach each, and two clients'."""

    name: str
    cuts: tuple[float, ...]
    same: tuple[float, ...]
    different: tuple[float, ...]


# The last level is an equal value that few have, the one before it an equal value that many have.
# These are expectations to begin with; the file corrects them.
SIMPLE = (
    Measure(name="name_numbers", cuts=(0.4,), same=(0.004, 0.996), different=(0.2, 0.8)),
    Measure(name="form", cuts=(0.9,), same=(0.15, 0.85), different=(0.5, 0.5)),
    Measure(name="address_numbers", cuts=(0.4, 0.9), same=(0.12, 0.18, 0.7), different=(0.7, 0.25, 0.05)),
    Measure(name="city", cuts=(0.86, 0.99, 1), same=(0.1, 0.1, 0.4, 0.4), different=(0.86, 0.04, 0.08, 0.02)),
    Measure(name="postal", cuts=(0.74, 0.99, 1), same=(0.07, 0.13, 0.2, 0.6), different=(0.9, 0.07, 0.02, 0.01)),
    Measure(name="country", cuts=(0.99, 1), same=(0.03, 0.72, 0.25), different=(0.7, 0.27, 0.03)),
    Measure(name="phone", cuts=(0.8, 0.99, 1), same=(0.27, 0.08, 0.1, 0.55), different=(0.98, 0.01, 0.008, 0.002)),
    Measure(name="mailbox", cuts=(0.88, 0.99, 1), same=(0.25, 0.15, 0.2, 0.4), different=(0.92, 0.03, 0.04, 0.01)),
    Measure(name="domain", cuts=(0.9, 0.99, 1), same=(0.15, 0.1, 0.15, 0.6), different=(0.97, 0.01, 0.01, 0.01)),
    Measure(name="source", cuts=(1,), same=(0.7, 0.3), different=(0.6, 0.4)),
    Measure(name="tax", cuts=(0.74, 0.99, 1), same=(0.08, 0.12, 0.05, 0.75), different=(0.985, 0.01, 0.004, 0.001)),
)  # fmt: skip
RANK = Measure(name="rank", cuts=(), same=(0.1, 0.25, 0.65), different=(0.6, 0.34, 0.06))
# A series of funds or branches is a crowd of its own; what is known of numbers is not unlearned.
_PINNED = ("name_numbers",)
# A house, its town and its domain are one thing that agrees: the units of one institution share all of them.
_SITE = ("address_numbers", "city", "postal", "country", "domain")
_SITE_MAX = 0.9


SIMPLE_AND_RANK = (*SIMPLE, RANK)
SITE_PLACES = [1, *(place for place, simple in enumerate(SIMPLE, start=2) if simple.name in _SITE)]


def likely(odds: Floats) -> Floats:
    """Return the chance that odds, as logarithms, stand for."""
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -_ODDS_MAX, _ODDS_MAX))))


def likely_one(odds: float) -> float:
    """Return the chance that the odds of one pair stand for."""
    return float(likely(np.array([odds]))[0])


WEIGHED = ("name", "address", *(simple.name for simple in SIMPLE))


def level_codes(likeness: Levels) -> Codes:
    """Return each field's level of each pair: name, address, then the simple fields."""
    codes = np.full((len(likeness), 2 + len(SIMPLE)), UNSAID, dtype=np.int8)
    codes[:, 0] = _name_codes(likeness)
    codes[:, 1] = _address_codes(likeness)
    for place, simple in enumerate(SIMPLE, start=2):
        codes[:, place] = _worded(likeness, simple.name, simple.cuts)
    return codes


def _worded(likeness: Levels, name: str, cuts: tuple[float, ...]) -> Codes:
    values = likeness[:, AT[name]]
    found = np.searchsorted(np.array([FULL * cut for cut in cuts]), values, side="right")
    return np.where(values == MISSING, UNSAID, found).astype(np.int8)


def name_alike(likeness: Levels) -> Floats:
    """Return how alike two names are, by words or by letters, whichever is more."""
    words = likeness[:, AT["name_words"]] / FULL
    letters = 3 * (likeness[:, AT["name_letters"]] / FULL) - 2
    return np.where(likeness[:, AT["name_words"]] == MISSING, 0.0, np.maximum(words, letters))


def are_contradicted(likeness: Levels) -> NDArray[np.bool_]:
    """Return what no odds make one client: two tax numbers, and names that differ under no common one.

    Names differ where they have hardly anything in common, or each tells much that the other does not: one family has
    a house, a telephone and a surname in common.
    """
    tax, letters = likeness[:, AT["tax"]], likeness[:, AT["name_letters"]]
    is_said = likeness[:, AT["name_words"]] != MISSING
    is_told_apart = (likeness[:, AT["name_contained"]] < FULL * _OWN_WORDS_MIN) & (
        (letters == MISSING) | (letters < FULL * _SAME_LETTERS_MIN)
    )
    names_differ = is_said & (is_told_apart | (name_alike(likeness) < _NAME_LEAST))
    taxes_differ = (tax != MISSING) & (tax < FULL * _TAX_SLIP_MIN)
    return np.asarray(taxes_differ | (names_differ & (tax != FULL)))


def _name_codes(likeness: Levels) -> Codes:
    alike = name_alike(likeness)
    base = np.searchsorted(np.array(_NAME_CUTS), alike, side="right")
    contained = likeness[:, AT["name_contained"]] / FULL >= _CONTAINED_MIN
    base = np.where(contained & (base < 4), _CONTAINED, base)
    rarity = np.searchsorted(
        np.array(_RARITY_CUTS), likeness[:, AT["name_rarity"]] / FULL, side="right"
    )
    codes = base * (len(_RARITY_CUTS) + 1) + rarity
    return np.where(likeness[:, AT["name_words"]] == MISSING, UNSAID, codes).astype(np.int8)


def _address_codes(likeness: Levels) -> Codes:
    base = _worded(likeness, "address_words", _ADDRESS_CUTS)
    rare = likeness[:, AT["address_rarity"]] / FULL >= _ADDRESS_RARE_MIN
    return np.where(base == UNSAID, UNSAID, base * 2 + rare).astype(np.int8)


def first_odds(likeness: Levels, codes: Codes, *, records: int) -> Floats:
    """Return the odds, as logarithms, that general knowledge gives each pair."""
    scale = np.log(records + 1)
    odds = np.full(len(likeness), np.log(_TWINS) - scale)
    rarities = len(_RARITY_CUTS) + 1
    said = codes[:, 0] != UNSAID
    bits = likeness[:, AT["name_rarity"]] / FULL * 2 * scale
    odds += np.where(
        said,
        np.minimum(bits, 1.4 * scale)
        + np.log(np.array(_NAME_SAME) / np.array(_NAME_DIFFERENT))[codes[:, 0] // rarities],
        0,
    )
    where = np.zeros(len(likeness))
    said = codes[:, 1] != UNSAID
    bits = likeness[:, AT["address_rarity"]] / FULL * 2 * scale
    where += np.where(
        said, np.minimum(bits, scale) + np.log(np.array(_ADDRESS_SAME))[codes[:, 1] // 2], 0
    )
    for place, simple in enumerate(SIMPLE, start=2):
        weights = np.log(np.array(simple.same) / np.array(simple.different))
        told = np.where(codes[:, place] == UNSAID, 0.0, weights[codes[:, place]])
        if simple.name in _SITE:
            where += told
        else:
            odds += told
    return np.asarray(odds + np.minimum(where, _SITE_MAX * scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What was fitted: the share of candidates that are the same client, and what each level tells."""

    share: float
    weights: tuple[Floats, ...]
    site_max: float

    def odds(self, codes: Codes) -> Floats:
        """Return the logarithm of the odds that each pair is the same client."""
        total = np.full(len(codes), np.log(self.share / (1 - self.share)))
        where = np.zeros(len(codes))
        for place, weights in enumerate(self.weights[: codes.shape[1]]):
            told = np.append(weights, 0.0)[codes[:, place]]
            if place in SITE_PLACES:
                where += told
            else:
                total += told
        return np.asarray(total + np.minimum(where, self.site_max))

    def evidence(self, codes: Codes) -> Floats:
        """Return what each of ``WEIGHED`` adds to the odds of each pair."""
        return np.stack(
            [
                np.append(weights, 0.0)[codes[:, place]]
                for place, weights in enumerate(self.weights[: codes.shape[1]])
            ],
            axis=1,
        )


def rank_codes(odds: Floats, left: Numbers, right: Numbers, *, records: int) -> Codes:
    """Return whether a pair is the best of both records, of one, or of neither."""
    best = np.full(records, -np.inf)
    np.maximum.at(best, left, odds)
    np.maximum.at(best, right, odds)
    return (
        (odds >= best[left] - _AS_GOOD).astype(np.int8) + (odds >= best[right] - _AS_GOOD)
    ).astype(np.int8)


def fit(codes: Codes, odds: Floats, left: Numbers, right: Numbers, *, records: int) -> Model:
    """Fit the model, beginning with the odds of general knowledge."""
    first, inverse, counts = _patterns(codes)
    patterns = codes[first]
    site_max = _SITE_MAX * float(np.log(records + 1))
    chance = likely(odds)
    usual = float(_damp(chance, left, right, records).mean()) + 1 / (len(codes) + 2)
    for _ in range(ROUNDS_MAX):
        damped = _damp(chance, left, right, records)
        share = min(max(float(damped.mean()), usual / _SHARE_MOVES), usual * _SHARE_MOVES, 0.5)
        model = _maximize(patterns, counts, np.bincount(inverse, damped) / counts, share, site_max)
        before = chance
        chance = likely(model.odds(patterns))[inverse]
        if np.abs(chance - before).max() < SETTLED:
            break
    return model


def _patterns(codes: Codes) -> tuple[Numbers, Numbers, Numbers]:
    """Return where each different row stands first, which row each is, and how often it occurs."""
    whole = np.zeros(len(codes), dtype=np.int64)
    for place in range(codes.shape[1]):
        levels = int(codes[:, place].max(initial=0)) + 2
        whole = whole * levels + codes[:, place] - UNSAID
    _, first, inverse, counts = np.unique(
        whole, return_index=True, return_inverse=True, return_counts=True
    )
    return first, inverse, counts


def _damp(chance: Floats, left: Numbers, right: Numbers, records: int) -> Floats:
    # A client has a few records; hundreds that look alike share an agent, a tower or a word.
    twins = np.bincount(left, chance, records) + np.bincount(right, chance, records)
    most = np.maximum(np.maximum(twins[left], twins[right]), _TWINS_MAX)
    return np.asarray(chance * _TWINS_MAX / most)


def _maximize(
    patterns: Codes, counts: NDArray[np.int64], chance: Floats, share: float, site_max: float
) -> Model:
    same, other = counts * chance, counts * (1 - chance)
    weights = []
    for place in range(patterns.shape[1]):
        column = patterns[:, place]
        said = column != UNSAID
        expected = _expected(place, column[said], counts[said])
        sure = said & (patterns[:, 0] >= _EQUAL_NAMES) if _name_of(place) == "source" else said
        # Whether a system holds a client twice is seen where names are equal, not where they are alike.
        m = np.bincount(column[sure], same[sure], len(expected))
        u = np.bincount(column[said], other[said], len(expected))
        found = np.asarray(m + u, dtype=np.float64)
        base = (m + u + 0.5) / (m + u + 0.5).sum()
        share_known = _RANK_SHARE if _name_of(place) in ("rank", "source") else _PRIOR_SHARE
        pairs = _PRIOR_PAIRS + share_known * m.sum()
        if _name_of(place) in _PINNED:
            weights.append(np.log(expected / np.array(SIMPLE[place - 2].different)))
            continue
        m = (m + pairs * expected) / (m.sum() + pairs)
        u = (u + _PRIOR_PAIRS * base) / (u.sum() + _PRIOR_PAIRS)
        weights.append(_rising(np.log(m / u), np.asarray(found + _HARDLY), place))
    return Model(share=share, weights=tuple(weights), site_max=site_max)


def _name_of(place: int) -> str:
    return SIMPLE_AND_RANK[place - 2].name if place > 1 else ""


def _rising(weights: Floats, counts: Floats, place: int) -> Floats:
    # More alike never tells less: what the file says against that is a crowd that looks alike.
    if _name_of(place) == "source":
        return weights
    order, columns = [*range(len(weights))], 1
    if place < 2:
        columns = len(_RARITY_CUTS) + 1 if place == 0 else 2
        order = [0, 1, 2, _CONTAINED, 3, 4, 5, 6] if place == 0 else [*range(len(weights) // 2)]
    grid, heavy = weights.reshape(-1, columns), counts.reshape(-1, columns)
    risen = np.empty_like(grid)
    for column in range(columns):
        risen[order, column] = _rise(grid[order, column].tolist(), heavy[order, column].tolist())
    return risen.ravel()


def _rise(values: list[float], counts: list[float]) -> list[float]:
    """Return the nearest values that rise: neighbors that fall are drawn together by weight."""
    groups: list[list[float]] = []
    for value, count in zip(values, counts, strict=True):
        groups.append([value, count, 1])
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            last, before = groups.pop(), groups.pop()
            weight = before[1] + last[1]
            groups.append(
                [(before[0] * before[1] + last[0] * last[1]) / weight, weight, before[2] + last[2]]
            )
    return [value for value, _, size in groups for _ in range(int(size))]


def _expected(place: int, column: Codes, counts: NDArray[np.int64]) -> Floats:
    if place > 1:
        return np.array(SIMPLE_AND_RANK[place - 2].same)
    # How rare the words are is the file's own; how alike the names of one client are is not.
    same, rarities = (_NAME_SAME, len(_RARITY_CUTS) + 1) if place == 0 else (_ADDRESS_SAME, 2)
    found = np.bincount(column, counts, len(same) * rarities).reshape(-1, rarities) + 0.5
    shares = found / found.sum(axis=1, keepdims=True)
    return np.asarray((shares * np.array(same)[:, None]).ravel())


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """All that weighing needs to know of a stock: two fits, and how usual it is to be the best pair."""

    first: Model
    ranked: Model
    usual: tuple[float, float, float]


def weigh(
    likeness: Levels, left: Numbers, right: Numbers, *, records: int, weights: Weights | None = None
) -> tuple[Floats, Weights]:
    """Return the odds of every pair, as logarithms, and the weights: those given, else fitted."""
    codes = level_codes(likeness)
    general = first_odds(likeness, codes, records=records)
    model = fit(codes, general, left, right, records=records) if weights is None else weights.first
    odds = (general + model.odds(codes)) / 2
    ranked = np.column_stack([codes, rank_codes(odds, left, right, records=records)])
    if weights is None:
        again = fit(ranked, odds, left, right, records=records)
        chance = likely(odds)
        best = np.bincount(ranked[:, -1], chance, 3) / (chance.sum() + 1e-9)
        usual = (float(best[0]), float(best[1]), float(best[2]))
        weights = Weights(first=model, ranked=again, usual=usual)
    # To be the best is no evidence by itself: a record without a twin has a best pair, too.
    of_rank = weights.ranked.weights[-1]
    told = of_rank - (np.array(weights.usual) * of_rank).sum()
    final = (odds + weights.ranked.odds(codes)) / 2 + np.minimum(told, 0)[ranked[:, -1]]
    return np.asarray(final), weights

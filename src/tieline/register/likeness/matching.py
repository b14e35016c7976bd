"""Match records of clients: prepare, pair, compare, weigh, settle; one verb for a file or the stock."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tieline.register.likeness.comparing import FEATURES, Levels, compare
from tieline.register.likeness.learning import choose, learn, sights
from tieline.register.likeness.pairing import find_pairs
from tieline.register.likeness.records import Comparable, Records, comparable
from tieline.register.likeness.settling import pairs_of_groups, settle_groups
from tieline.register.likeness.weighing import (
    WEIGHED,
    Floats,
    Numbers,
    are_contradicted,
    level_codes,
    likely,
    weigh,
)

Row = Mapping[str, str]
Told = Callable[[str], None]

_ROWS_A_TURN = 5_000
_PAIRS_A_TURN = 20_000
_SEEN_A_TURN = 200_000
_SEED = 20
# Odds from which a link needs no steward: while nothing is labeled more is asked for.
LINK_ODDS, LINK_ODDS_LEARNED = 6.0, 4.0
_LINK_CHANCE = 0.997
_ONCE_SEEN = 0.5
_Done = TypeVar("_Done")

_records = Records()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Pairs that are the same client, their odds, which of them need no steward, and what was asked.

    ``told`` is what each of ``WEIGHED`` added to the odds, one row a pair.
    """

    candidates: int
    left: Numbers
    right: Numbers
    odds: Floats
    may_link: NDArray[np.bool_]
    told: Floats
    asked: frozenset[tuple[int, int]]


def gather(rows: Iterable[Row]) -> Records:
    """Return records in comparable form, on all processors where they are many."""
    records = Records()
    for part in _spread(_comparable_all, _turns(rows, _ROWS_A_TURN)):
        for one in part:
            records.add(one)
    records.weigh()
    return records


def match(
    records: Records,
    *,
    say: Told,
    labels: int = 0,
    is_same: Callable[[int, int], bool] | None = None,
) -> Matched:
    """Find the pairs that are the same client; ``is_same`` answers for ``labels`` of them."""
    left, right = find_pairs(records, spread=_spread)
    say(f"{len(left)} pairs are worth comparing")
    likeness = compare_all(records, left, right)
    say("weighing what agrees and what does not")
    if not len(left):
        return _NOTHING
    odds, weights = weigh(likeness, left, right, records=len(records))
    asked: frozenset[tuple[int, int]] = frozenset()
    least = LINK_ODDS
    if labels and is_same is not None:
        chosen = choose(odds, min(labels, len(left)), seed=_SEED)
        answers = np.array(
            [is_same(int(left[pair]), int(right[pair])) for pair in chosen], dtype=np.bool_
        )
        say(f"learning from {len(chosen)} pairs, {int(answers.sum())} of them the same client")
        odds = _corrected(likeness, odds, chosen, answers)
        asked = frozenset(zip(left[chosen].tolist(), right[chosen].tolist(), strict=True))
        least = _least(odds)
    group = settle_groups(left, right, odds, records=len(records))
    one, other = pairs_of_groups(group)
    place, was_seen = _where(left, right, one, other, len(records))
    # A pair of a group that was never compared is there because of the others.
    found = np.where(was_seen, np.maximum(odds[place], _ONCE_SEEN), _ONCE_SEEN)
    told = weights.ranked.evidence(level_codes(likeness[place])) * was_seen[:, None]
    # A house and its switchboard are one thing that agrees, not two, and a group shares both.
    may_link = (found >= least) & ~are_contradicted(likeness[place])
    return Matched(
        candidates=len(left), left=one, right=other, odds=found, may_link=may_link, told=told,
        asked=asked,
    )  # fmt: skip


def compare_all(records: Records, left: Numbers, right: Numbers) -> Levels:
    """Compare pairs, on all processors where they are many."""
    global _records
    _records = records
    turns = (
        (left[start : start + _PAIRS_A_TURN], right[start : start + _PAIRS_A_TURN])
        for start in range(0, len(left), _PAIRS_A_TURN)
    )
    likeness = np.empty((len(left), len(FEATURES)), dtype=np.uint8)
    start = 0
    for part in _spread(_compare_turn, turns):
        likeness[start : start + len(part)] = part
        start += len(part)
    return likeness


def _corrected(
    likeness: Levels, odds: Floats, chosen: Numbers, answers: NDArray[np.bool_]
) -> Floats:
    learned = learn(sights(likeness[chosen], odds[chosen]), answers)
    corrected = np.empty(len(odds))
    for start in range(0, len(odds), _SEEN_A_TURN):
        turn = slice(start, start + _SEEN_A_TURN)
        corrected[turn] = learned.odds(sights(likeness[turn], odds[turn]))
    return corrected


def _least(odds: Floats) -> float:
    """Return the odds above which as many links are right as is asked for, by their own chances."""
    falling = np.sort(odds[odds > LINK_ODDS_LEARNED])[::-1]
    right = np.cumsum(likely(falling)) / np.arange(1, len(falling) + 1)
    kept = falling[right >= _LINK_CHANCE]
    return float(kept[-1]) if len(kept) else np.inf


def _where(
    left: Numbers, right: Numbers, one: Numbers, other: Numbers, records: int
) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return where pairs stand among the compared ones, and whether they do."""
    codes, wanted = left * records + right, one * records + other
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return place, codes[place] == wanted


_NOTHING = Matched(
    candidates=0, left=np.empty(0, np.int64), right=np.empty(0, np.int64), odds=np.empty(0),
    may_link=np.empty(0, np.bool_), told=np.empty((0, len(WEIGHED))), asked=frozenset(),
)  # fmt: skip


# -- on all processors -----------------------------------------------------------------------------


def _comparable_all(rows: Sequence[Row]) -> list[Comparable]:
    return [comparable(row) for row in rows]


def _compare_turn(pairs: tuple[Numbers, Numbers]) -> Levels:
    return compare(_records, pairs[0].tolist(), pairs[1].tolist())


def _turns(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while turn := list(islice(waiting, size)):
        yield turn


_Turn = TypeVar("_Turn")


def _spread(work: Callable[[_Turn], _Done], turns: Iterator[_Turn]) -> Iterator[_Done]:
    """Do turns in order; beside each other once there is more than one."""
    first = list(islice(turns, 2))
    processors = len(os.sched_getaffinity(0))
    if len(first) < 2 or processors < 2:
        for turn in (*first, *turns):
            yield work(turn)
        return
    with multiprocessing.get_context("fork").Pool(processors) as pool:
        # Not more turns are handed out than may lie finished: a million rows stay on disk.
        waiting = [pool.apply_async(work, (turn,)) for turn in first]
        for turn in turns:
            waiting.append(pool.apply_async(work, (turn,)))
            if len(waiting) > 2 * processors:
                yield waiting.pop(0).get()
        for one in waiting:
            yield one.get()

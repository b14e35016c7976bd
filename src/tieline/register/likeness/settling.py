"""Turn odds of pairs into clients: pairs that contradict each other are settled together."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from tieline.register.likeness.weighing import Floats, Numbers

# What two records tell that nobody thought worth comparing, and how far one pair may go.
UNSEEN, FAR = -3.0, 6.0
CONSIDERED_MIN = -4.0
MEMBERS_MAX = 200


def settle_groups(left: Numbers, right: Numbers, odds: Floats, *, records: int) -> Numbers:
    """Return the group of every record: two groups are one where their pairs on average say so."""
    chosen = odds > CONSIDERED_MIN
    near: list[dict[int, tuple[float, int]]] = [{} for _ in range(records)]
    heap: list[tuple[float, int, int]] = []
    for one, other, told in zip(
        left[chosen].tolist(), right[chosen].tolist(), odds[chosen].tolist(), strict=True
    ):
        held = min(FAR, told)
        near[one][other] = near[other][one] = (held, 1)
        if held > 0:
            heap.append((-held, one, other))
    heapq.heapify(heap)
    group = list(range(records))
    sizes = [1] * records
    while heap:
        mean, one, other = heapq.heappop(heap)
        known = near[one].get(other)
        if group[one] != one or group[other] != other or known is None:
            continue
        if (
            -mean != _mean(known, sizes[one] * sizes[other])
            or sizes[one] + sizes[other] > MEMBERS_MAX
        ):
            continue
        if len(near[one]) < len(near[other]):
            one, other = other, one
        group[other] = one
        del near[one][other]
        for third, (total, count) in near[other].items():
            if third == one:
                continue
            before, seen = near[one].get(third, (0.0, 0))
            near[one][third] = near[third][one] = (before + total, seen + count)
            del near[third][other]
        near[other] = {}
        sizes[one] += sizes[other]
        for third, known in near[one].items():
            mean = _mean(known, sizes[one] * sizes[third])
            if mean > 0:
                heapq.heappush(heap, (-mean, one, third))
    return _roots(group)


def _mean(known: tuple[float, int], pairs: int) -> float:
    total, count = known
    return (total + (pairs - count) * UNSEEN) / pairs


def _roots(group: list[int]) -> Numbers:
    return np.array([_root(group, record) for record in range(len(group))], dtype=np.int64)


def _root(group: list[int], record: int) -> int:
    root = record
    while group[root] != root:
        root = group[root]
    while group[record] != root:
        group[record], record = root, group[record]
    return root


def pairs_of_groups(group: Numbers) -> tuple[Numbers, Numbers]:
    """Return every pair of records of one group, the lower number first."""
    order = np.argsort(group, kind="stable")
    ends = np.flatnonzero(np.diff(group[order], append=-1)) + 1
    starts = np.concatenate(([0], ends[:-1]))[: len(ends)]
    left: list[NDArray[np.int64]] = []
    right: list[NDArray[np.int64]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start > 1:
            one, other = np.triu_indices(end - start, 1)
            members = np.sort(order[start:end])
            left.append(members[one])
            right.append(members[other])
    if not left:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return np.concatenate(left), np.concatenate(right)

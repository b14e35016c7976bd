"""A process dies at one crash point and the next at another: every pair, by command.

Too long for every commit: ``script/test tests/faults/pairs.py``, or a slice of it with ``-k hours``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PreparedCluster
from tests.faults.deaths import CASES, Case, end_of
from tests.faults.stories import State


def _pairs() -> Iterator[Case]:
    for story in dict.fromkeys(story for story, _ in CASES):
        alone = [deaths[0] for each, deaths in CASES if each == story and len(deaths) == 1]
        # Who dies first may be the one that dies again, in the same place.
        yield from ((story, (first, second)) for first in alone for second in alone)


_PAIRS = list(_pairs())


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, State]:
    """Keep what each story ends in when nobody dies."""
    return {}


@pytest.mark.parametrize(
    ("story", "deaths"), _PAIRS, ids=[f"{story}: {' then '.join(two)}" for story, two in _PAIRS]
)
def test_two_deaths_leave_what_the_next_process_brings_to_the_same_end(
    story: str,
    deaths: tuple[str, str],
    prepared_cluster: PreparedCluster,
    undisturbed: dict[str, State],
    tmp_path: Path,
) -> None:
    if story not in undisturbed:
        undisturbed[story] = end_of(story, prepared_cluster, tmp_path, ())

    assert end_of(story, prepared_cluster, tmp_path, deaths, surely=1) == undisturbed[story]

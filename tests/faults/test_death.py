"""A process dies at each of its crash points; another goes on and ends where nobody died."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import PreparedCluster
from tests.faults.deaths import CASES, Deaths, end_of
from tests.faults.stories import State
from tieline.kernel.failpoints import ALIGNED_NOUNS, FAILPOINTS

# Real workers are needed for it: tests/rooms/runtime/test_worker.py.
_MOMENTS = ("after_intent", "after_answer", "after_probe")
# Setting a field passes the steps of every single record, which the status of a deal dies at.
_ELSEWHERE = {
    "watchdog.after_cancel",
    *(f"post.{noun}.{moment}" for noun in ALIGNED_NOUNS for moment in _MOMENTS),
}


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, State]:
    """Keep what each story ends in when nobody dies."""
    return {}


class TestDeath:
    @pytest.mark.parametrize(
        ("story", "deaths"),
        CASES,
        ids=[f"{story}: {' then '.join(deaths)}" for story, deaths in CASES],
    )
    def test_leaves_what_the_next_process_brings_to_the_same_end(
        self,
        story: str,
        deaths: Deaths,
        prepared_cluster: PreparedCluster,
        undisturbed: dict[str, State],
        tmp_path: Path,
    ) -> None:
        if story not in undisturbed:
            undisturbed[story] = end_of(story, prepared_cluster, tmp_path, ())

        assert end_of(story, prepared_cluster, tmp_path, deaths) == undisturbed[story]

    def test_is_tried_at_every_crash_point(self) -> None:
        tried = {deaths[-1].partition(":")[0] for _, deaths in CASES}

        assert tried | _ELSEWHERE == FAILPOINTS

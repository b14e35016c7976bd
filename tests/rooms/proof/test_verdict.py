"""A run that broke a promise, or met too little to prove one, does not end well."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tieline.proof.run import FAULTS_MIN, MUST_BE_ZERO, find_broken

_GOOD: dict[str, Any] = {
    **dict.fromkeys(MUST_BE_ZERO, 0),
    "time_entries": {
        "landed": 646,
        "pending": 0,
        "held": 25,
        "handed_over": 0,
        "posted": 621,
        "excluded": 0,
        "outside": 40,
    },
    "faults_injected": {
        "tryton.answer_lost": 4,
        "harvest.answer_lost": 1,
        "tryton.late_commit": 5,
        "tryton.refuse_503_before": 12,
        "hubspot.rate_limit_429": 8,
        "harvest.skipped_page": 1,
        "harvest.stale_read": 1,
    },
    "faults_on_time_lines": {"answer_lost": 3, "late_commit": 3},
}


def _broken(figures: dict[str, Any]) -> dict[str, Any]:
    return find_broken(figures, MUST_BE_ZERO, posted_min=500, faults_min=FAULTS_MIN)


class TestARun:
    def test_ends_well_when_every_promise_held(self) -> None:
        assert _broken(_GOOD) == {}

    @pytest.mark.parametrize("name", MUST_BE_ZERO)
    def test_is_broken_by_one_that_did_not_or_was_not_measured(self, name: str) -> None:
        without = {key: value for key, value in _GOOD.items() if key != name}

        assert _broken(_GOOD | {name: 1}) == {name: 1}
        assert _broken(without) == {name: None}

    def test_is_broken_by_an_hour_in_no_place(self) -> None:
        entries = _GOOD["time_entries"] | {"held": 24}

        assert _broken(_GOOD | {"time_entries": entries}) == {"time_entries.landed": 646}

    @pytest.mark.parametrize(
        ("where", "name", "told"),
        [
            ("faults_injected", "harvest.answer_lost", "faults_injected.answer_lost"),
            ("faults_injected", "harvest.stale_read", "faults_injected.stale_read"),
            ("faults_on_time_lines", "late_commit", "faults_on_time_lines.late_commit"),
        ],
    )
    def test_proves_nothing_without_the_faults(self, where: str, name: str, told: str) -> None:
        figures = copy.deepcopy(_GOOD)
        figures[where][name] -= 1

        assert list(_broken(figures)) == [told]

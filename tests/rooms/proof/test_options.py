"""What a proof is asked to do, and when its promise is held."""

from __future__ import annotations

from typing import Any

import pytest

from tieline.kernel.errors import UserMistake
from tieline.proof.proving.options import ProveOptions
from tieline.proof.proving.page import write_page
from tieline.proof.proving.run import broken_promises
from tieline.proof.sabotage import SABOTAGES

_GOOD: dict[str, Any] = {
    "seed": 1,
    "profile": "probe",
    "erp": "books",
    "sabotage": None,
    "version": "1",
    "machine": "<m>",
    "seconds_total": 9,
    "acknowledged": 10,
    "posted": 9,
    "waiting_for_a_person": 1,
    "lost": 0,
    "duplicated": 0,
    "told_as_incident": 0,
    "money_difference": "0.00",
    "longest_wait_seconds": 50,
    "longest_stuck_seconds": 5,
    "calls_per_success": "1.00",
    "drain_seconds": 3,
    "is_drained": True,
    "kills": 2,
    "zombies": 1,
    "database_crashes": 0,
    "faults_injected": {"books.answer_lost": 3},
}


def options(**words: Any) -> ProveOptions:
    usual: dict[str, Any] = {
        "profile": None, "sabotage": None, "is_late": False, "entries": 10, "kills": 2,
        "zombies": 1, "database_crashes": 0, "workers": 3, "seed": 1,
    }  # fmt: skip
    return ProveOptions.checked(**{**usual, **words})


class TestOptions:
    def test_pick_the_profile_in_which_a_safety_carries_the_weight(self) -> None:
        picked = {name: options(sabotage=name).profile for name in SABOTAGES}

        assert picked == {
            "fence": "probe",
            "settle": "probe",
            "key": "unique",
            "commit": "probe",
            "probe": "probe",
        }
        assert (options().profile, options(is_late=True).profile) == ("unique", "probe")

    @pytest.mark.parametrize(
        "words", [{"is_late": True, "profile": "unique"}, {"is_late": True, "sabotage": "key"}]
    )
    def test_go_together_or_are_refused(self, words: dict[str, Any]) -> None:
        with pytest.raises(UserMistake, match="--late goes with"):
            options(**words)


class TestTheVerdict:
    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({}, []),
            ({"lost": 1, "posted": 8}, ["1 lines are lost", "what was acknowledged"]),
            ({"duplicated": 2, "money_difference": "4.00"}, ["2 lines are dupl", "the money diff"]),
            ({"is_drained": False}, ["it did not come to an end"]),
            ({"longest_stuck_seconds": 41}, ["something was stuck for 41 s"]),
            ({"kills": 1}, ["only 1 workers were killed"]),
            ({"zombies": 0}, ["only 0 workers were put to sleep"]),
        ],
    )
    def test_names_each_promise_that_did_not_hold(
        self, wrong: dict[str, Any], told: list[str]
    ) -> None:
        broken = broken_promises({**_GOOD, **wrong}, options())

        assert [
            sentence[: len(start)] for sentence, start in zip(broken, told, strict=True)
        ] == told

    @pytest.mark.parametrize(
        ("duplicated", "incidents", "is_held"), [(3, 3, True), (3, 2, False), (0, 0, False)]
    )
    def test_of_a_late_target_asks_for_an_incident_for_each_twin(
        self, duplicated: int, incidents: int, is_held: bool
    ) -> None:
        figures = {
            **_GOOD,
            "duplicated": duplicated,
            "told_as_incident": incidents,
            "money_difference": "9.00",
        }

        assert (broken_promises(figures, options(is_late=True)) == []) is is_held


class TestThePage:
    def test_says_the_verdict_and_escapes_the_machine(self) -> None:
        held = write_page({**_GOOD, "is_held": True})
        broken = write_page({**_GOOD, "is_held": False, "broken": ["2 lines are lost"]})

        assert "Nothing was lost and nothing stands twice." in held
        assert "&lt;m&gt;" in held
        assert "The promise did not hold: 2 lines are lost." in broken

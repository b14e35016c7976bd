"""The benchmark moves every hour to exactly one place; how fast it is, no test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_ENTRIES = 1_000
_SECONDS_MAX = 300


@pytest.fixture(scope="module")
def figures(home: Path) -> dict[str, Any]:
    program = _ROOT / "benchmarks" / "time_plane.py"
    words = [
        "--entries",
        str(_ENTRIES),
        "--page-rows",
        "400",
        "--batch-lines-max",
        "200",
        "--without-dlt",
        "--json",
    ]
    result = subprocess.run(
        [sys.executable, str(program), *words],
        env=os.environ | {"TIELINE_HOME": str(home), "PYTHONPATH": str(_ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.slow
class TestTimePlane:
    def test_puts_every_entry_in_the_place_the_generator_expects(
        self, figures: dict[str, Any]
    ) -> None:
        places = {name: place["entries"] for name, place in figures["product"]["places"].items()}

        # Of 200 entries four are not assigned, four not approved, one is booked twice.
        assert places == {"posted": 955, "held": 25, "outside": 20}

    def test_books_what_the_target_was_given_and_no_second_more(
        self, figures: dict[str, Any]
    ) -> None:
        product = figures["product"]

        assert product["conservation_gap_seconds"] == 0
        assert product["ledger_lines"] == product["target_lines"] == 955
        assert product["ledger_seconds"] == product["target_seconds"] > 0

    def test_gives_the_limit_the_same_rows(self, figures: dict[str, Any]) -> None:
        assert figures["limit"]["ledger_lines"] == figures["product"]["ledger_lines"]

    def test_runs_with_nothing_switched_off(self, figures: dict[str, Any]) -> None:
        machine = figures["machine"]

        assert machine["fsync"] == machine["synchronous_commit"] == "on"
        assert machine["full_page_writes"] == "on"

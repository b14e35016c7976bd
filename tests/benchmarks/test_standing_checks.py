"""The checks find every silent corruption of a small target, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_LINES, _CORRUPTIONS = 2_000, 40
_SECONDS_MAX = 300


@pytest.mark.slow
class TestStandingChecks:
    def test_find_what_was_changed_and_nothing_else(self, home: Path) -> None:
        program = _ROOT / "benchmarks" / "standing_checks.py"
        words = ["--lines", str(_LINES), "--corruptions", str(_CORRUPTIONS), "--json"]

        result = subprocess.run(
            [sys.executable, str(program), *words],
            env=os.environ | {"TIELINE_HOME": str(home), "PYTHONPATH": str(_ROOT / "src")},
            capture_output=True,
            text=True,
            timeout=_SECONDS_MAX,
            check=False,
        )

        assert result.returncode == 0, result.stderr
        figures = json.loads(result.stdout)
        assert (figures["found"], figures["missed"], figures["falsely_found"]) == (
            _CORRUPTIONS,
            0,
            0,
        )
        assert figures["found_in_clean_target"] == figures["found_on_clean_books"] == 0

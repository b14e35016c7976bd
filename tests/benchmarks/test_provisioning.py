"""Deals that are won become a project once in each system; how soon, no test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_DEALS = 3
_SECONDS_MAX = 300


def test_makes_each_deal_a_project_and_tells_every_figure(home: Path) -> None:
    program = _ROOT / "benchmarks" / "provisioning.py"
    words = ["--deals", str(_DEALS), "--workers", "1", "--reply-ms", "1", "--no-webhooks"]

    result = subprocess.run(
        [sys.executable, str(program), *words, "--json"],
        env=os.environ | {"TIELINE_HOME": str(home), "PYTHONPATH": str(_ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["active"] == _DEALS
    assert figures["standing"]["erp"] == dict.fromkeys(
        ("client", "contract", "project", "task"), _DEALS
    )
    assert figures["own_to_waiting_median"] > 0
    # A write and a read back of each of nine steps at least.
    assert figures["calls_of_a_deal"] >= 18
    assert list(home.iterdir()) == []

"""The benchmark posts every line once, with the protocol and without; how fast, no test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_SECONDS_MAX = 300


def test_posts_each_line_once_either_way(home: Path) -> None:
    result = subprocess.run(
        [
            sys.executable,
            str(_ROOT / "benchmarks" / "posting.py"),
            "--entries",
            "400",
            "--batch-lines",
            "40",
            "--json",
        ],
        env=os.environ | {"TIELINE_HOME": str(home), "PYTHONPATH": str(_ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)

    assert (figures["with_protocol_lines"], figures["without_lines"]) == (200, 80)
    assert figures["least_lines"] == 80
    assert figures["stands"] == 400
    assert Decimal(figures["ratio"]) > 0
    assert Decimal(figures["ratio_to_least"]) > 0

"""Real work records through the file drop into the ERP, asked for by name: a slice here, all of them by the demo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import memory_folder

_ROOT = Path(__file__).parents[2]
_RECORDS = Path(os.environ.get("TIELINE_SHARED", "../shared")).resolve() / "data" / "sip"
_LINES = 300
_SECONDS_MAX = 300

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("TEST_THOROUGH"),
        reason="it takes a minute; ask for it: TEST_THOROUGH=1 script/test tests/demo/test_records.py",
    ),
    pytest.mark.skipif(
        not _RECORDS.is_dir(),
        reason="the real work records are not here; set TIELINE_SHARED to read them",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run on records ended with."""

    exit_code: int
    words: str
    figures: dict[str, Any]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    home = Path(tempfile.mkdtemp(prefix="tieline-records-", dir=memory_folder()))
    home.chmod(0o755)
    report = home / "figures.json"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "tieline.app", "demo", "--once", "--json", str(report)),
            *("--input", str(_slice(home)), "--mapping", str(_ROOT / "examples" / "sip.toml")),
        ],
        env={**os.environ, "TIELINE_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )
    yield Run(
        exit_code=ended.returncode,
        words=ended.stdout,
        figures=json.loads(report.read_text(encoding="utf-8")) if report.exists() else {},
    )
    shutil.rmtree(home, ignore_errors=True)


def _slice(home: Path) -> Path:
    """Copy the first records, which no quoted line break divides, and all dates."""
    folder = home / "records"
    folder.mkdir()
    shutil.copy(_RECORDS / "est-act-dates.csv", folder)
    with (_RECORDS / "sip-task-info.csv").open(encoding="latin-1", newline="") as whole:
        lines = [next(whole) for _ in range(_LINES)]
    (folder / "sip-task-info.csv").write_text("".join(lines), encoding="latin-1")
    return folder


class TestRecords:
    def test_are_all_in_one_place_and_once_in_the_erp(self, run: Run) -> None:
        entries = run.figures.get("time_entries", {})

        assert run.exit_code == 0, run.words
        assert entries["landed"] + entries["outside"] == _LINES - 1
        assert entries["landed"] == entries["posted"] + entries["held"]
        assert entries["posted"] > 0

    def test_are_held_for_the_reasons_that_are_told(self, run: Run) -> None:
        held = run.figures["held_by_reason"]

        assert sum(held.values()) == run.figures["time_entries"]["held"]
        assert set(held) <= {"time.day_over_maximum", "time.work_date_missing"}

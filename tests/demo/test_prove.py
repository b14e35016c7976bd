"""A slice of the proof: workers killed and put to sleep, answers lost; and one safety switched off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import memory_folder

from tieline.app import main

_SECONDS_MAX = 300
Refuse = Callable[..., str]

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a run left: exit code, figures and words."""

    code: int
    figures: dict[str, Any]
    words: str
    page: str


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tieline-prove-", dir=memory_folder()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def prove(home: Path, *words: str) -> Proof:
    page = home / "page.html"
    ran = subprocess.run(
        [sys.executable, "-m", "tieline.app", "prove", "--json", "--report", str(page), *words],
        env={**os.environ, "TIELINE_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )
    return Proof(
        code=ran.returncode,
        figures=json.loads(ran.stdout) if ran.stdout else {},
        words=ran.stderr,
        page=page.read_text(encoding="utf-8") if page.exists() else "",
    )


@pytest.fixture
def refuse(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refuse:
    """Say what the command says to words that it does not take; in this process, as nothing begins."""

    def told(*words: str) -> str:
        monkeypatch.setenv("TIELINE_HOME", str(home))
        monkeypatch.setattr(sys, "argv", ["tieline", "prove", "--json", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return told


class TestProve:
    def test_finds_nothing_lost_and_nothing_twice(self, home: Path) -> None:
        proof = prove(
            home, *("--entries", "600", "--kills", "3", "--zombies", "1"),
            *("--profile", "probe", "--seed", "5"),
        )  # fmt: skip

        figures = proof.figures
        assert proof.code == 0, proof.words
        assert (figures["lost"], figures["duplicated"], figures["money_difference"]) == (
            0,
            0,
            "0.00",
        )
        assert figures["acknowledged"] == figures["posted"] == 600
        assert (figures["kills"], figures["zombies"]) == (3, 1)
        assert sum(figures["faults_injected"].values()) > 0
        assert "Nothing was lost and nothing stands twice." in proof.page

    def test_holds_with_the_real_erp(self, home: Path) -> None:
        proof = prove(
            home, *("--erp", "tryton", "--entries", "200", "--kills", "1", "--zombies", "0"),
            *("--workers", "2", "--seed", "5"),
        )  # fmt: skip

        figures = proof.figures
        assert proof.code == 0, proof.words
        assert (figures["lost"], figures["duplicated"], figures["money_difference"]) == (
            0,
            0,
            "0.00",
        )
        assert figures["acknowledged"] == figures["posted"] == 200
        # Each batch that stands was asked for: who waited is counted from then.
        assert Decimal(figures["calls_per_success"]) >= 1

    def test_finds_what_goes_wrong_without_a_safety(self, home: Path) -> None:
        proof = prove(
            home, *("--entries", "400", "--kills", "0", "--zombies", "0"),
            *("--sabotage", "probe", "--seed", "5"),
        )  # fmt: skip

        assert proof.code == 1, proof.words
        assert proof.figures["duplicated"] > 0
        assert "lines are duplicated" in proof.words
        assert "The promise did not hold" in proof.page


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--profile", "magic"), "--profile is one of"),
            (("--sabotage", "luck"), "--sabotage is one of"),
            (("--erp", "magic"), "--erp is one of"),
            (("--erp", "tryton", "--late"), "it goes alone"),
            (("--entries", "0"), "0 is not in the range"),
        ],
    )
    def test_are_told_in_a_sentence(
        self, refuse: Refuse, words: tuple[str, ...], told: str
    ) -> None:
        assert told in refuse(*words)

    def test_an_installation_is_not_emptied(self, refuse: Refuse, home: Path) -> None:
        (home / "secrets").mkdir()
        (home / "secrets" / "master.key").write_text("x")

        assert "is an installation, and a proof would empty it" in refuse("--entries", "1")

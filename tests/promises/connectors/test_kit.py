"""The connector kit as a stranger has it: from the wheel, in an empty folder, by the how-to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.wheel import ROOT, build_wheel
from tieline import cli
from tieline.app import InstalledSystems, connector_packages
from tieline.sdk import quality
from tieline.settings import Settings

HOW_TO = ROOT / "docs" / "how-to" / "new-connector.md"
_COMMAND = "import sys; from tieline.app import main; sys.argv[0] = 'tieline'; main()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """An empty folder, and a ``tieline`` that comes out of the wheel alone."""

    folder: Path
    path: Sequence[Path]

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        python_path = os.pathsep.join(map(str, self.path))
        inside = {
            "PATH": f"{self.path[0] / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": python_path,
            "COLUMNS": "400",
        }
        return subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.folder,
            env=inside,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, unpack it, and give it a ``tieline`` command."""
    made = tmp_path_factory.mktemp("wheel")
    place = made / "installed"
    with zipfile.ZipFile(build_wheel(made)) as wheel:
        wheel.extractall(place)
    command = place / "bin" / "tieline"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{_COMMAND}" "$@"\n')
    command.chmod(0o755)
    return place


@pytest.fixture
def shell(unpacked: Path, tmp_path: Path) -> Shell:
    return Shell(folder=tmp_path, path=(unpacked,))


class TestTheHowTo:
    def test_is_what_happens(self, shell: Shell) -> None:
        blocks = re.findall(r"```console\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
        lines = "".join(blocks).splitlines()
        said = ""

        for line in lines:
            if line.startswith("$ "):
                said = shell.run(line[2:]).stdout
            else:
                assert line in said

        assert any(line.startswith("$ tieline connector new") for line in lines)

    def test_explains_every_rule(self) -> None:
        text = HOW_TO.read_text()

        missing = [
            rule
            for tier, rules in quality.RULES.items()
            for rule, meaning in rules.items()
            if f"| {tier} | `{rule}` | {meaning} |" not in text
        ]

        assert missing == []


class TestTheWheel:
    def test_finds_a_connector_that_another_package_announces(self, shell: Shell) -> None:
        shell.run("tieline connector new distant --kind erp")
        announced = shell.folder / "distant-1.0.dist-info"
        announced.mkdir()
        (announced / "METADATA").write_text("Metadata-Version: 2.1\nName: distant\nVersion: 1.0\n")
        (announced / "entry_points.txt").write_text("[tieline.connectors]\nfar-erp = distant\n")
        elsewhere = shell.folder / "elsewhere"
        elsewhere.mkdir()
        visitor = Shell(folder=elsewhere, path=(*shell.path, shell.folder))

        ended = visitor.run("tieline connector test far-erp --json")

        assert json.loads(ended.stdout)["tier"] == "bronze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command of this process said, and its exit code."""

    code: int
    out: str
    err: str


class Terminal:
    """An empty folder in this process; no command of these opens an installation."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def run(self, line: str) -> Ended:
        code = cli.run(
            open_system=_never,
            run_worker=_never,
            run_web=_never,
            connector_packages=connector_packages,
            systems=InstalledSystems(),
            words=line.split()[1:],
        )
        said = self._capsys.readouterr()
        return Ended(code=code, out=said.out, err=said.err)

    def begin(self) -> Path:
        """Write a connector under a name that no other test imported."""
        name = f"acme_{uuid4().hex[:8]}"
        self.run(f"tieline connector new {name} --kind time")
        return self.folder / name


def _never(settings: Settings, **_words: Any) -> Any:
    raise AssertionError("a connector is graded without an installation")


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return Terminal(tmp_path, capsys)


class TestTheCommand:
    @pytest.mark.parametrize("name", ["filedrop", "tieline.connectors.hubspot"])
    def test_grades_a_system_and_a_package(self, terminal: Terminal, name: str) -> None:
        ended = terminal.run(f"tieline connector test {name} --json")

        facts = json.loads(ended.out)
        assert (ended.code, facts["is_good"]) == (0, True)
        assert facts["next_missing"]["standing"] == "open"

    @pytest.mark.parametrize(
        ("line", "sentence"),
        [
            ("tieline connector test nothing", "nothing is no connector"),
            ("tieline connector test json", "json is no connector"),
            ("tieline connector test ..", ".. is no connector"),
            ("tieline connector new json --kind crm", "json is the name of a Python package"),
            ("tieline connector new Acme --kind crm", "Acme is not a name"),
            ("tieline connector new class --kind crm", "class is not a name"),
            ("tieline connector new acme --kind crm --directory none", "none is no folder"),
        ],
    )
    def test_refuses_in_one_sentence(self, terminal: Terminal, line: str, sentence: str) -> None:
        ended = terminal.run(line)

        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(sentence)
        assert ended.err.count("\n") == 1

    def test_writes_no_folder_twice(self, terminal: Terminal) -> None:
        folder = terminal.begin()

        ended = terminal.run(f"tieline connector new {folder.name} --kind time")

        assert (ended.code, ended.err) == (2, f"{folder.name} is there already\n")

    @pytest.mark.parametrize(
        ("file_name", "text"),
        [
            ("manifest.toml", "system = "),
            ("manifest.toml", 'system = "acme"'),
            ("connector.py", "def build("),
            ("quality.toml", '[bronze]\nshape = "done"'),
        ],
    )
    def test_says_of_a_broken_folder_that_it_cannot_be_loaded(
        self, terminal: Terminal, file_name: str, text: str
    ) -> None:
        folder = terminal.begin()
        (folder / file_name).write_text(text)

        ended = terminal.run(f"tieline connector test {folder.name}")

        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert ended.err.startswith(f"{folder.name} cannot be loaded")

    def test_counts_a_connector_that_breaks_off_as_a_broken_promise(
        self, terminal: Terminal
    ) -> None:
        folder = terminal.begin()
        (folder / "translate.py").unlink()
        connector = folder / "connector.py"
        connector.write_text(
            connector.read_text()
            .replace("from . import translate as words\n", "")
            .replace("words.translate(record=record)", "None")
        )

        ended = terminal.run(f"tieline connector test {folder.name}")

        assert ended.code == 1
        assert "translate.py is missing" in ended.out
        assert "the rehearsal broke off with FileNotFoundError" in ended.out

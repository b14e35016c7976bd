"""What the documents say is there: links, paths, commands, settings, rooms, words."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tieline.app import InstalledSystems
from tieline.console import words as page_words
from tieline.sdk.quality import RULES
from tieline.services.beginning import read_firm
from tieline.services.connecting import read_written

from .documents import (
    DECISIONS,
    GLOSSARY,
    dead_links,
    document_paths,
    drawn_rooms,
    glossary_rows,
    layered_rooms,
    links_of,
    missing_paths,
    read_document,
    settings_in,
    standing_rooms,
    unused_page_words,
    wrong_commands,
)
from .reference import words
from .source_words import ROOT

_PATHS = document_paths()
_every_page = pytest.mark.parametrize("path", _PATHS, ids=lambda path: str(path.relative_to(ROOT)))
_ARCHITECTURE = read_document(ROOT / "ARCHITECTURE.md")
_DECISION_PARTS = ("**Context.**", "**Decision.**", "**Consequences.**")


@_every_page
class TestAPage:
    def test_leads_to_what_is_there(self, path: Path) -> None:
        assert dead_links(read_document(path)) == []

    def test_names_files_that_exist(self, path: Path) -> None:
        assert missing_paths(read_document(path)) == []

    def test_shows_commands_that_are_understood(self, path: Path) -> None:
        assert wrong_commands(read_document(path)) == []

    def test_names_settings_of_the_reference(self, path: Path) -> None:
        known = words()["settings"]
        unknown = {
            name
            for name in settings_in(read_document(path))
            if name not in known and not name.startswith("TIELINE_SECRET_")
        }

        assert unknown == set()


class TestThePages:
    def test_are_all_reached_from_the_first_one(self) -> None:
        reached: set[Path] = set()
        to_read = [ROOT / "README.md"]
        while to_read:
            path = to_read.pop()
            if path in reached or path.suffix != ".md":
                continue
            reached.add(path)
            for _, target, _ in links_of(read_document(path)):
                to_read.extend(target.glob("*.md") if target.is_dir() else [target])

        assert [path for path in _PATHS if "docs" in path.parts and path not in reached] == []


class TestTheArchitecture:
    def test_draws_the_rooms_that_stand(self) -> None:
        assert set(drawn_rooms(_ARCHITECTURE)) == standing_rooms()

    def test_draws_them_in_the_order_of_the_imports(self) -> None:
        assert drawn_rooms(_ARCHITECTURE) == layered_rooms()


class TestTheGlossary:
    rows = glossary_rows(read_document(GLOSSARY))

    def test_says_what_a_page_says(self) -> None:
        assert unused_page_words(self.rows) == []

    @pytest.mark.parametrize(
        "table", ["PLACES", "OUTCOMES", "WRITES", "READINESS", "PLANS", "MODES"]
    )
    def test_has_every_state_that_a_page_translates(self, table: str) -> None:
        states: Mapping[str, str] = getattr(page_words, table)

        assert [s for s in states if s.replace("_", " ") not in self.rows] == []


class TestTheDecisions:
    paths = sorted(DECISIONS.glob("*.md"))

    def test_are_numbered_without_a_gap(self) -> None:
        numbers = [int(path.name[:4]) for path in self.paths]

        assert numbers == list(range(1, len(self.paths) + 1))

    @pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)
    def test_say_why_what_and_what_follows(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")

        assert [part for part in _DECISION_PARTS if part not in text] == []

    @pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)
    def test_name_the_check_that_holds_them(self, path: Path) -> None:
        text = " ".join(path.read_text(encoding="utf-8").split())
        _, says_so, check = text.rpartition("Held by ")

        assert says_so
        assert "`tests/" in check or "pyproject.toml" in check

    @pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)
    def test_name_tests_that_exist(self, path: Path) -> None:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", path.read_text(encoding="utf-8"))

        assert [
            f"{file}::{name}"
            for file, name in named
            if not re.search(rf"(class|def) {name}\b", (ROOT / file).read_text(encoding="utf-8"))
        ] == []


class TestTheConnectorPage:
    def test_has_every_rule_of_the_scale(self) -> None:
        page = (ROOT / "docs" / "how-to" / "new-connector.md").read_text(encoding="utf-8")
        rows = [
            f"| {tier} | `{rule}` | {RULES[tier][rule]} |" for tier in RULES for rule in RULES[tier]
        ]

        assert [row for row in rows if row not in page] == []


class TestTheExamples:
    paths = sorted((ROOT / "examples").glob("*.toml"))

    @pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)
    def test_are_understood(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        system = tomllib.loads(text).get("system")

        if system is None:
            assert len(read_firm(text)) == 4
        else:
            written = read_written(text, system=system, systems=InstalledSystems())
            assert written.system == system
            # Who hears events or brings messages is told, and not read.
            assert bool(written.config["streams"]) is (written.kind not in ("events", "channel"))


class TestTheChecks:
    """Each check finds what it is for; a page that is wrong in every way shows it."""

    wrong = read_document(
        ROOT / "docs" / "wrong.md",
        "\n".join(
            [
                "# A page",
                "[gone](gone.md) [no anchor](#nowhere) [not there](GLOSSARY.md#nowhere)",
                "![gone](images/gone.png)",
                "`src/tieline/gone.py`, `services/gone.py`, `script/gone`, `tests/gone/*`",
                "`tieline gone`, `tieline cases --gone`, `tieline up now`, TIELINE_GONE",
                "```console",
                "$ tieline close release NOR --period 2026-10",
                "$ tieline explain thing 7",
                "$ tieline up --workers many",
                "$ tieline keys",
                "$ script/demo --gone",
                "$ cat examples/gone.toml",
                "```",
            ]
        ),
    )
    right = read_document(
        ROOT / "docs" / "right.md",
        "\n".join(
            [
                "# A page: of `words`",
                "[here](#a-page-of-words) [there](GLOSSARY.md#glossary) [away](https://example.com/x)",
                "`src/tieline/app.py`, `services/time_validation.py`, `tests/rooms/*`, `run/clock.json`",
                "`tieline close release`, `tieline cases --reason CODE`, TIELINE_HOME",
                "```console",
                "$ TIELINE_HOME=/srv/tieline tieline cases list --queue delivery | head",
                "$ tieline close release NOR --period 2026-10 --by finance  # asks for the password",
                "$ script/demo --once \\",
                "    --json figures.json",
                "```",
            ]
        ),
    )

    def test_find_dead_links(self) -> None:
        assert dead_links(self.wrong) == [
            "gone.md",
            "#nowhere",
            "GLOSSARY.md#nowhere",
            "images/gone.png",
        ]

    def test_find_missing_paths(self) -> None:
        assert missing_paths(self.wrong) == [
            "examples/gone.toml",
            "script/gone",
            "services/gone.py",
            "src/tieline/gone.py",
            "tests/gone/*",
        ]

    def test_find_wrong_commands(self) -> None:
        found = [line.partition(": ")[0] for line in wrong_commands(self.wrong)]

        assert found == [
            "tieline close release NOR --period 2026-10",
            "tieline explain thing 7",
            "tieline up --workers many",
            "tieline keys",
            "tieline demo --gone",
            "tieline gone",
            "tieline cases --gone",
            "tieline up now",
        ]

    def test_find_unknown_settings(self) -> None:
        assert settings_in(self.wrong) - set(words()["settings"]) == {"TIELINE_GONE"}

    def test_find_words_that_no_page_says(self) -> None:
        assert unused_page_words({"held": "Needs attention", "gone": "Wibble"}) == ["Wibble"]

    def test_leave_a_right_page_alone(self) -> None:
        assert dead_links(self.right) == []
        assert missing_paths(self.right) == []
        assert wrong_commands(self.right) == []
        assert settings_in(self.right) == {"TIELINE_HOME"}

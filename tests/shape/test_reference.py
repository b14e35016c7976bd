"""The reference equals the code: nothing that a person may meet is missing, nothing in it is stale."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from tieline.app import BUILT_IN
from tieline.cli import main
from tieline.services.provisioning_checks import CHECKS as PROVISIONING_CHECKS
from tieline.services.readiness_checks import CHECKS as READINESS_CHECKS
from tieline.validation import builtin_rules

from .reference import FOLDER, pages, words
from .source_words import read_names, read_settings_names, read_statement_reasons

_WRITE_IT = "run script/reference"
_SAY_IT = "write a sentence for each in docs/reference/words.toml, and run script/reference"


class TestReference:
    @pytest.mark.parametrize("name", sorted(pages()))
    def test_is_the_one_that_the_code_writes(self, name: str) -> None:
        committed = (FOLDER / name).read_text(encoding="utf-8")

        assert committed == pages()[name], _WRITE_IT

    def test_has_every_setting(self) -> None:
        assert set(words()["settings"]) == read_settings_names(), _SAY_IT

    def test_has_every_event(self) -> None:
        assert set(words()["events"]) == read_names().events, _SAY_IT

    def test_has_every_action_of_the_audit(self) -> None:
        assert set(words()["actions"]) == read_names().actions, _SAY_IT

    def test_has_every_reason(self) -> None:
        in_books = {
            *(rule.code for rule in builtin_rules()),
            *(check.code for check in PROVISIONING_CHECKS),
            *(check.code for check in READINESS_CHECKS),
        }
        named = read_names().reasons - in_books

        assert set(words()["reasons"]) == named, _SAY_IT
        page = (FOLDER / "reasons.md").read_text(encoding="utf-8")
        assert [code for code in sorted(in_books | named) if f"`{code}`" not in page] == []

    def test_has_every_reason_that_a_statement_makes(self) -> None:
        page = (FOLDER / "reasons.md").read_text(encoding="utf-8")

        assert [code for code in read_statement_reasons() if f"`{code}`" not in page] == [], _SAY_IT

    def test_has_every_command(self) -> None:
        page = (FOLDER / "commands.md").read_text(encoding="utf-8")

        assert [name for name in _commands(main, "tieline") if f"## {name}\n" not in page] == []

    def test_has_every_connector(self) -> None:
        page = (FOLDER / "connectors.md").read_text(encoding="utf-8")

        assert [system for system in BUILT_IN if f"## {system}\n" not in page] == []


class TestCommands:
    def test_say_what_they_do(self) -> None:
        silent = [name for name, command in _tree(main, "tieline") if not command.help]

        assert silent == []

    def test_print_json_wherever_they_print_facts(self) -> None:
        # These run until they are stopped, write a folder, or have a file for their figures.
        others = {
            *("tieline worker", "tieline prove-worker", "tieline web"),
            *("tieline demo", "tieline connector new"),
        }
        without = {
            name
            for name, command in _tree(main, "tieline")
            if not isinstance(command, click.Group)
            and not any("--json" in parameter.opts for parameter in command.params)
        }

        assert without <= others


def _commands(command: click.Command, name: str) -> Iterator[str]:
    return (path for path, _ in _tree(command, name))


def _tree(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for child, below in command.commands.items():
            yield f"{name} {child}", below
            yield from _tree(below, f"{name} {child}")

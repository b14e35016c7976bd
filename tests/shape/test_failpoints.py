"""Every crash point is registered, and every registered one is in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tieline.app import InstalledSystems
from tieline.kernel.errors import UserMistake
from tieline.kernel.failpoints import (
    ALIGNED_NOUNS,
    FAILPOINTS,
    PLAN_STEPS,
    UNDONE_NOUNS,
    WRITTEN_NOUNS,
    failpoint,
    read_wanted,
)
from tieline.sdk import Undo
from tieline.settings import read_settings

from .source_words import SOURCE

# What is written as lines or drafts has failpoints of its own.
_OTHERWISE = {"time_line"}
# What stands in the gap of a composed name.
_GAP = f"({'|'.join(re.escape(word) for word in (*WRITTEN_NOUNS, *ALIGNED_NOUNS, *PLAN_STEPS))})"


class TestFailpoints:
    def test_are_registered_and_passed_in_the_code(self) -> None:
        patterns = list(_patterns())
        passed_in = {
            name: [pattern for pattern in patterns if re.fullmatch(pattern, name)]
            for name in FAILPOINTS
        }

        assert [name for name, found in passed_in.items() if not found] == []
        unregistered = [
            pattern
            for pattern in patterns
            if not any(re.fullmatch(pattern, name) for name in FAILPOINTS)
        ]
        assert unregistered == []

    def test_exist_for_every_noun_that_a_connector_writes_or_takes_back(self) -> None:
        writes = [
            write
            for system in InstalledSystems().names()
            for write in InstalledSystems().manifest(system=system).writes
            if write.noun not in _OTHERWISE
        ]

        assert {write.noun for write in writes} == {*WRITTEN_NOUNS, *ALIGNED_NOUNS}
        assert {write.noun for write in writes if write.undo is not Undo.NONE} == set(UNDONE_NOUNS)

    def test_exist_for_every_kind_of_step_of_a_plan(self) -> None:
        plan = (SOURCE / "services" / "provisioning_plan.py").read_text(encoding="utf-8")
        named = {*re.findall(r'"((?:erp|time|crm)\.\w+)"', plan), "activate"}

        # The kinds that the plan names literally; tests/faults passes them all.
        assert named <= set(PLAN_STEPS)

    def test_refuse_a_name_that_nobody_registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TIELINE_FAILPOINT", "intake.after_raw:9")

        with pytest.raises(LookupError, match="register it"):
            failpoint("intake.after_lunch")


class TestTheSetting:
    def test_names_a_place_and_a_passage(self) -> None:
        wanted = read_wanted({"TIELINE_FAILPOINT": "lines.after_intent:3"})

        assert wanted is not None
        assert (wanted.name, wanted.passage) == ("lines.after_intent", 3)

    @pytest.mark.parametrize(
        ("given", "sentence"),
        [
            ("lines.after_lunch", "names lines.after_lunch, which is no failpoint"),
            ("lines.after_intent:0", "counts passages from 1"),
            ("lines.after_intent:x", "counts passages from 1"),
        ],
    )
    def test_is_refused_in_one_sentence(self, given: str, sentence: str) -> None:
        with pytest.raises(UserMistake, match=sentence):
            read_settings(environment={"TIELINE_FAILPOINT": given, "HOME": "/nowhere"})


def _patterns() -> Iterator[str]:
    """Yield every name in the code as a pattern; a composed one has nouns or steps in its gap."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="failpoint"), args=[argument]):
                    yield _pattern(argument)


def _pattern(argument: ast.expr) -> str:
    match argument:
        case ast.Constant(value=str(name)):
            return re.escape(name)
        case ast.JoinedStr(values=parts):
            return "".join(
                re.escape(str(part.value)) if isinstance(part, ast.Constant) else _GAP
                for part in parts
            )
        case _:
            raise AssertionError(f"line {argument.lineno}: a failpoint is named where it stands")

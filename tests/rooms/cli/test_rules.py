"""The rules as they ship are read without an installation."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tieline import cli
from tieline.sdk.directory import Systems
from tieline.settings import Settings


def _nothing_to_open(*_: Settings, **__: Any) -> Any:
    raise AssertionError("an installation was asked for")


def _run(*words: str) -> int:
    return cli.run(
        open_system=_nothing_to_open,
        run_worker=_nothing_to_open,
        run_web=_nothing_to_open,
        connector_packages=dict,
        systems=cast(Systems, None),
        words=words,
    )


class TestRules:
    def test_are_told_whole_with_an_example_that_holds_and_one_that_fails(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _run("rules", "--json") == 0

        rules = {each["code"]: each for each in json.loads(capsys.readouterr().out)["rules"]}
        assert len(rules) >= 49
        missing = rules["time.project_unknown"]
        assert missing["title"] == "Project is known"
        assert missing["predicate"] == "project_count > 0"
        assert missing["examples"]["pass"] == [{"project_count": 1}]
        assert missing["examples"]["fail"] == [{"project_count": 0, "project_id": None}]
        assert all(
            each["message"] and each["fix_hint"] and each["source"] for each in rules.values()
        )

    def test_are_a_table_for_people(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _run("rules") == 0

        assert "Task can be charged" in capsys.readouterr().out

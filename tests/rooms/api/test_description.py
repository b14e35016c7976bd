"""The description of the API: 3.1, complete, and no promise to a caller is taken back unseen.

To take a new description over: python -m tests.rooms.api.test_description
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tieline.api import create_api
from tieline.api.bodies import StrictModel
from tieline.services.system import System

from .breaking import breaking_changes

SNAPSHOT = Path(__file__).with_name("openapi.json")
_TAKE_OVER = "take it over with: python -m tests.rooms.api.test_description"


def described() -> dict[str, Any]:
    """Return the description of the API as it is; no database is needed for it."""
    api = create_api(cast(System, SimpleNamespace(database=None, web_database=None)))
    description: dict[str, Any] = json.loads(json.dumps(api.openapi()))
    description["info"]["version"] = "of the code"
    return description


def _takes_text(told: FieldInfo) -> bool:
    wanted = Annotated[told.annotation, told]  # type: ignore[name-defined]
    try:
        TypeAdapter(wanted, config=ConfigDict(strict=True)).validate_python("2026-10-01")
    except ValidationError:
        return False
    return True


def _committed() -> dict[str, Any]:
    description: dict[str, Any] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return description


class TestDescription:
    def test_breaks_no_caller(self) -> None:
        assert breaking_changes(_committed(), described()) == []

    def test_equals_the_committed_one(self) -> None:
        assert described() == _committed(), _TAKE_OVER

    def test_takes_a_day_as_it_is_written_in_json(self) -> None:
        refused = [
            f"{model.__name__}.{name}"
            for model in StrictModel.__subclasses__()
            for name, told in model.model_fields.items()
            if "datetime.date" in repr(told.annotation) and not _takes_text(told)
        ]

        assert refused == []

    def test_is_openapi_3_1(self) -> None:
        assert described()["openapi"].startswith("3.1")

    def test_names_the_problems_of_every_address(self) -> None:
        for path, methods in described()["paths"].items():
            for method, operation in methods.items():
                failures = [s for s in operation["responses"] if s >= "400"]
                kinds = {
                    kind
                    for status in failures
                    for kind in operation["responses"][status]["content"]
                }
                assert failures, (method, path)
                assert kinds == {"application/problem+json"}, (method, path)

    def test_asks_for_a_key_wherever_a_firm_is_shown(self) -> None:
        open_paths = {
            path
            for path, methods in described()["paths"].items()
            for operation in methods.values()
            if not operation.get("security")
        }

        assert open_paths == {"/healthz", "/metrics", "/v1/webhooks/{connection_key}"}

    def test_every_change_takes_an_idempotency_key(self) -> None:
        harmless = {
            "/v1/cases:preview-again",
            "/v1/replays:plan",
            "/v1/time-entries:validate",
            "/v1/webhooks/{connection_key}",
        }

        for path, methods in described()["paths"].items():
            if "post" in methods and path not in harmless:
                names = {each["name"] for each in methods["post"]["parameters"]}
                assert "idempotency-key" in names, path


_CASES = "/v1/cases"
_ASSIGN = "/v1/cases/{case_id}:assign"


def _without_address(new: dict[str, Any]) -> None:
    del new["paths"][_ASSIGN]


def _without_answer_field(new: dict[str, Any]) -> None:
    del new["components"]["schemas"]["CaseSummary"]["properties"]["owner_queue"]


def _another_kind(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["CaseSummary"]["properties"]["seconds"]["type"] = "string"


def _demands_more(new: dict[str, Any]) -> None:
    schema = new["components"]["schemas"]["Assignment"]
    schema["properties"]["because"] = {"type": "string"}
    schema["required"].append("because")


def _without_parameter(new: dict[str, Any]) -> None:
    operation = new["paths"][_CASES]["get"]
    operation["parameters"] = [p for p in operation["parameters"] if p["name"] != "reason"]


def _without_status(new: dict[str, Any]) -> None:
    del new["paths"][_ASSIGN]["post"]["responses"]["404"]


class TestBreakingChanges:
    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (_without_address, f"POST {_ASSIGN} is gone"),
            (_without_answer_field, f"GET {_CASES} no longer tells cases.[].owner_queue"),
            (_another_kind, f"GET {_CASES} tells another kind of cases.[].seconds"),
            (_demands_more, f"POST {_ASSIGN} now demands because"),
            (_without_parameter, f"GET {_CASES} no longer takes query reason"),
            (_without_status, f"POST {_ASSIGN} no longer answers 404"),
        ],
    )
    def test_are_named(self, change: Callable[[dict[str, Any]], None], sentence: str) -> None:
        new = copy.deepcopy(_committed())

        change(new)

        assert sentence in breaking_changes(_committed(), new)

    def test_an_addition_is_none(self) -> None:
        new = copy.deepcopy(_committed())
        new["components"]["schemas"]["CaseSummary"]["properties"]["more"] = {"type": "string"}
        new["paths"]["/v1/more"] = new["paths"][_CASES]

        assert breaking_changes(_committed(), new) == []


if __name__ == "__main__":
    SNAPSHOT.write_text(
        json.dumps(described(), indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )

"""The books of a proof forbid what their profile says, and nothing more."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from tieline.sandbox.books import PROFILES, Books
from tieline.sandbox.wire import Request, Response

LINE = {"person": "1", "task": "2", "date": "2026-03-02", "seconds": 900}
KEY = "5b1f9a52-6f7c-4d0b-9f56-2f3f4b8f0c11"


def books(profile: str) -> Books:
    return Books(profile=profile, token="t", journal=io.StringIO())


def ask(held: Books, path: str, content: Any, *, token: str = "t") -> Response:
    request = Request(
        method="POST",
        target=path,
        headers={"authorization": f"Bearer {token}"},
        body=json.dumps(content).encode(),
    )
    return asyncio.run(held.answer(request))


def store(held: Books, *, reference: str = KEY, **words: Any) -> int:
    line = {**LINE, "reference": reference, **words}
    if held.profile == "batch":
        return ask(held, "/v1/documents", {"number": "7", "lines": [line]}).status
    if held.profile == "naive-erp":
        line.pop("reference")
    return ask(held, "/v1/lines", {"lines": [line]}).status


def stored(held: Books) -> list[int]:
    assert isinstance(held.journal, io.StringIO)
    entries = [json.loads(line) for line in held.journal.getvalue().splitlines()]
    stands: dict[int, int] = {}
    for entry in entries:
        if entry["event"] == "stored":
            stands[entry["id"]] = entry["seconds"]
        else:
            stands.pop(entry["id"])
    return sorted(stands.values())


class TestBooks:
    @pytest.mark.parametrize(
        ("profile", "second", "stands"),
        [
            ("native", 200, [900]),
            ("upsert", 200, [1800]),
            ("unique", 409, [900]),
            ("probe", 200, [900, 1800]),
            ("batch", 200, [900, 1800]),
            ("naive-erp", 200, [900, 1800]),
        ],
    )
    def test_treats_a_second_line_of_a_reference_as_its_profile_says(
        self, profile: str, second: int, stands: list[int]
    ) -> None:
        held = books(profile)

        assert store(held) == 200
        assert store(held, seconds=1800) == second
        assert stored(held) == stands

    def test_stores_a_batch_as_a_whole_or_not_at_all(self) -> None:
        held = books("unique")
        store(held)
        batch = [{**LINE, "reference": "another"}, {**LINE, "reference": KEY}]

        assert ask(held, "/v1/lines", {"lines": batch}).status == 409
        assert stored(held) == [900]

    @pytest.mark.parametrize("profile", PROFILES)
    def test_finds_lines_by_reference_unless_it_is_naive_or_knows_documents_alone(
        self, profile: str
    ) -> None:
        held = books(profile)
        store(held)

        found = ask(held, "/v1/lines/search", {"references": [KEY]})

        if profile in ("naive-erp", "batch"):
            assert found.status == 404
        else:
            assert [line["seconds"] for line in json.loads(found.body)["lines"]] == [900]

    def test_shows_every_document_that_came_under_a_number(self) -> None:
        held = books("batch")
        store(held)
        store(held, seconds=-900)

        def documents(number: str) -> Any:
            asked = Request(
                method="GET",
                target=f"/v1/documents?number={number}",
                headers={"authorization": "Bearer t"},
            )
            return json.loads(asyncio.run(held.answer(asked)).body)["documents"]

        assert [[line["seconds"] for line in one["lines"]] for one in documents("7")] == [
            [900],
            [-900],
        ]
        assert documents("8") == []

    @pytest.mark.parametrize(
        "line",
        [
            LINE,
            {**LINE, "reference": KEY, "extra": 1},
            {**LINE, "reference": KEY, "seconds": 1.5},
            {**LINE, "reference": KEY, "date": "today"},
        ],
    )
    def test_refuses_what_is_no_line(self, line: dict[str, Any]) -> None:
        held = books("unique")

        assert ask(held, "/v1/lines", {"lines": [line]}).status == 422
        assert stored(held) == []

    def test_lets_in_who_has_the_token(self) -> None:
        assert ask(books("unique"), "/v1/lines", {"lines": []}, token="x").status == 401

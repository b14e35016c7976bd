"""A target of the proof: books that keep time lines, as safe or as careless as their profile says.

It allows every duplicate that its profile does not forbid, and keeps a journal of each line that was
stored. ``upsert`` replaces the line of a reference, ``unique`` refuses a second one, ``probe`` keeps
references without comparing them, ``native`` answers a reference it knows as it did the first time,
``batch`` takes lines in documents and shows a document by its number,
keeping each that comes under one, ``naive-erp`` keeps no references and finds nothing. A search finds a
line by the first 36 characters of its reference: what follows them is a note.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hmac
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, TextIO

from tieline.sandbox.front import Front, plain_error, serve_front, start_injector
from tieline.sandbox.process import run_until_stopped, secret
from tieline.sandbox.wire import Delivery, Request, Response, json_response

PROFILES = ("native", "upsert", "unique", "probe", "batch", "naive-erp")
_LINES, _DOCUMENTS = "/v1/lines", "/v1/documents"
_FOUND_BY_REFERENCE = ("native", "upsert", "unique", "probe")
_WORDS = ("person", "task", "date", "seconds")
_STEM = 36
_PAGE_LINES_MAX = 1000
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

Line = dict[str, Any]


class Refusal(ValueError):
    """What the books do not take; the sentence says why."""


@dataclass(slots=True, kw_only=True)
class Items:
    """Answer line by line: refuse those at some places of the next batch, and answer as told.

    What is refused for now may be sent again. ``answers_max`` is for how many lines an answer speaks,
    ``shuffle`` puts them into another order.
    """

    refused: frozenset[int] = frozenset()
    is_for_now: bool = False
    answers_max: int | None = None
    shuffle: Random | None = None

    def answer(self, lines: Sequence[Line], put: Callable[[Line], int]) -> list[Line]:
        """Store what is not refused; return the answers, each with the place of its line."""
        answers: list[Line] = []
        for place, line in enumerate(lines):
            if place in self.refused:
                answers.append({"line": place, "refused": "locked", "retry": self.is_for_now})
            else:
                answers.append({"line": place, "id": put(line)})
        if self.shuffle is not None:
            self.shuffle.shuffle(answers)
        return answers[: self.answers_max]


@dataclass(slots=True, kw_only=True)
class Books:
    """Lines in memory, their journal on disk."""

    profile: str
    token: str
    journal: TextIO
    lines: dict[int, Line] = field(default_factory=dict)
    by_reference: dict[str, list[int]] = field(default_factory=dict)
    by_stem: dict[str, set[str]] = field(default_factory=dict)
    by_number: dict[str, list[list[int]]] = field(default_factory=dict)
    newest_id: int = 0
    newest_batch: int = 0
    items: Items | None = None
    # Lines of these lengths are refused for good, and what came with them in one call.
    never_taken: frozenset[int] = frozenset()

    async def answer(self, request: Request) -> Response:
        """Answer one request; every refusal is a sentence under ``message``."""
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given, f"Bearer {self.token}"):
            return json_response({"message": "the token is missing or wrong"}, status=401)
        try:
            return self._answer(request)
        except Refusal as refusal:
            return json_response({"message": str(refusal)}, status=422)
        except (ValueError, TypeError, KeyError) as error:
            return json_response({"message": f"not understood: {error}"}, status=400)

    def _answer(self, request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/v1/totals":
                return json_response({"totals": self._totals(request.query)})
            case "GET", "/v1/lines":
                return json_response({"lines": self._page(request.query)})
            case "POST", "/v1/documents" if self.profile == "batch":
                document = json.loads(request.body)
                return self._store_document(str(document["number"]), document["lines"])
            case "GET", "/v1/documents" if self.profile == "batch":
                return json_response({"documents": self._documents(request.query["number"])})
            case "POST", "/v1/lines" if self.profile != "batch":
                return self._store(json.loads(request.body)["lines"])
            case "POST", "/v1/import":
                return self._store(_rows(request.body))
            case "POST", "/v1/lines/search" if self.profile in _FOUND_BY_REFERENCE:
                return json_response({"lines": self._find(json.loads(request.body)["references"])})
            case "POST", "/v1/lines/void" if self.profile in _FOUND_BY_REFERENCE:
                return self._void(json.loads(request.body)["references"])
        return json_response({"message": "there is no such address"}, status=404)

    def _store_document(self, number: str, lines: Sequence[Line]) -> Response:
        # A document is taken whole or not at all: nobody answers for its lines.
        self.items = None
        stored = self._store(lines)
        self.by_number.setdefault(number, []).append(json.loads(stored.body)["ids"])
        return stored

    def _documents(self, number: str) -> list[Line]:
        return [
            {"number": number, "lines": [{"id": each, **self.lines[each]} for each in ids]}
            for ids in self.by_number.get(number, ())
        ]

    def _store(self, lines: Sequence[Line]) -> Response:
        for line in lines:
            self._check(line)
        taken = [line["reference"] for line in lines if self._is_taken(line)]
        if taken:
            return json_response({"message": f"{taken[0]} stands already"}, status=409)
        self.newest_batch += 1
        if self.items is not None:
            items, self.items = self.items, Items()
            results = items.answer(lines, self._put)
            self.journal.flush()
            return json_response({"results": results})
        ids = [self._put(line) for line in lines]
        self.journal.flush()
        return json_response({"ids": ids})

    def _check(self, line: Line) -> None:
        words = {*_WORDS, *(() if self.profile == "naive-erp" else ("reference",))}
        if set(line) != words:
            raise Refusal(f"a line has {', '.join(sorted(words))} and nothing else")
        if type(line["seconds"]) is not int or not _DATE.fullmatch(line["date"]):
            raise Refusal("seconds are whole, and a date is YYYY-MM-DD")
        if line["seconds"] in self.never_taken:
            raise Refusal(f"{line['seconds']} seconds are no duration")

    def _is_taken(self, line: Line) -> bool:
        return self.profile == "unique" and bool(self.by_reference.get(line["reference"]))

    def _put(self, line: Line) -> int:
        reference = line.get("reference")
        standing = self.by_reference.get(reference, []) if reference else []
        if self.profile == "native" and standing:
            return standing[0]
        if self.profile == "upsert" and standing:
            number = standing[0]
            self._note("voided", number, self.lines[number])
        else:
            self.newest_id += 1
            number = self.newest_id
            if reference:
                self.by_reference.setdefault(reference, []).append(number)
                self.by_stem.setdefault(reference[:_STEM], set()).add(reference)
        self.lines[number] = line
        self._note("stored", number, line)
        return number

    def _find(self, references: Sequence[str]) -> list[Line]:
        return [
            {"id": number, **self.lines[number]}
            for reference in references
            for number in self._standing(reference)
        ]

    def _standing(self, reference: str) -> list[int]:
        stem = reference[:_STEM]
        return [
            number
            for each in sorted(self.by_stem.get(stem, ()))
            for number in self.by_reference.get(each, ())
        ]

    def _void(self, references: Sequence[str]) -> Response:
        for reference in references:
            for number in self.by_reference.pop(reference, ()):
                self._note("voided", number, self.lines.pop(number))
        self.journal.flush()
        return json_response({})

    def _totals(self, query: Mapping[str, str]) -> list[Line]:
        found = [
            line["seconds"]
            for line in self.lines.values()
            if query["from"] <= line["date"] < query["to"]
        ]
        return [{"seconds": sum(found), "lines": len(found)}] if found else []

    def _page(self, query: Mapping[str, str]) -> list[Line]:
        after = int(query["after"])
        found = (
            {"id": number, **line}
            for number, line in self.lines.items()
            if number > after and query["from"] <= line["date"] < query["to"]
        )
        return list(islice(found, _PAGE_LINES_MAX))

    def _note(self, event: str, number: int, line: Line) -> None:
        entry = {
            "event": event,
            "at": datetime.now(UTC).isoformat(),
            "batch": self.newest_batch,
            "id": number,
            **line,
        }
        self.journal.write(json.dumps(entry) + "\n")


def _rows(body: bytes) -> list[Line]:
    """Read a file as it stands: columns in any order, every value a word, seconds in digits."""
    rows: list[Line] = list(csv.DictReader(io.StringIO(body.decode("utf-8"), newline="")))
    for row in rows:
        if None in row or not re.fullmatch(r"[0-9]+", row["seconds"] or ""):
            raise Refusal("a row has a value for each column, and seconds in digits")
        row["seconds"] = int(row["seconds"])
    return rows


@dataclass(slots=True, kw_only=True)
class Desk:
    """Note what was asked before anything happens to it: an answer may never come."""

    front: Front
    journal: TextIO

    async def deliver(self, request: Request) -> Delivery:
        """Note a write, and pass everything on."""
        if request.method == "POST" and request.path in (_LINES, _DOCUMENTS):
            self._note(request.body)
        return await self.front.deliver(request)

    def _note(self, body: bytes) -> None:
        try:
            asked = [[line[word] for word in _WORDS] for line in json.loads(body)["lines"]]
        except (ValueError, TypeError, KeyError):
            return
        entry = {"event": "asked", "at": datetime.now(UTC).isoformat(), "lines": asked}
        self.journal.write(json.dumps(entry) + "\n")


def main() -> None:
    """Run books as a process."""
    parser = argparse.ArgumentParser(prog="python -m tieline.sandbox.books", description=__doc__)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--run-file", required=True, type=Path)
    parser.add_argument("--profile", required=True, choices=PROFILES)
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--token", help="or TIELINE_SANDBOX_BOOKS_TOKEN")
    parser.add_argument("--control-token", help="or TIELINE_SANDBOX_TOKEN")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    with (given.directory / "journal.jsonl").open("a", encoding="utf-8") as journal:
        books = Books(
            profile=given.profile,
            token=secret(given.token, variable="TIELINE_SANDBOX_BOOKS_TOKEN", option="--token"),
            journal=journal,
        )
        front = Front(
            answer=books.answer,
            injector=start_injector(
                name="books", plan=given.plan, log=given.directory / "faults.jsonl"
            ),
            control_token=secret(
                given.control_token, variable="TIELINE_SANDBOX_TOKEN", option="--control-token"
            ),
            error_answer=plain_error,
        )
        desk = Desk(front=front, journal=journal)

        async def serve(stopped: asyncio.Event) -> None:
            await serve_front(
                front,
                deliver=desk.deliver,
                host=given.host,
                port=given.port,
                run_file=given.run_file,
                stopped=stopped,
            )

        run_until_stopped(serve)


if __name__ == "__main__":
    main()

"""The proof's books in memory behind their own connector, and somebody who loads files into them."""

from __future__ import annotations

import asyncio
import importlib
import io

import httpx

from tieline.proof.books import PACKAGES, SYSTEMS
from tieline.sandbox.books import Books
from tieline.sandbox.wire import Request
from tieline.sdk import Connection


class BooksDesk:
    """Books of a profile; ``is_down`` lets nobody in."""

    def __init__(self, profile: str) -> None:
        self.books = Books(profile=profile, token="t", journal=io.StringIO())
        self.is_down = False
        self.writes = 0
        module = importlib.import_module(PACKAGES[SYSTEMS[profile]] + ".connector")
        self.manifest = module.MANIFEST
        self.connector = module.build(
            Connection(
                connection_key="erp",
                base_url="http://books.example",
                config={"has_references": profile != "naive-erp"},
                secrets={"token": "t"},
                allowed_hosts=frozenset({"books.example"}),
            ),
            transport=httpx.MockTransport(self._answer),
        )

    def load(self, content: bytes) -> int:
        """Send a file as a person does; return the status."""
        return self._ask("POST", "/v1/import", content)[0]

    def seconds(self) -> list[int]:
        """Return the length of every line that stands, in order."""
        return sorted(line["seconds"] for line in self.books.lines.values())

    def delete(self, number: int) -> None:
        """Take one document out by hand."""
        reference = self.books.lines.pop(number)["reference"]
        self.books.by_reference[reference].remove(number)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("the books are down", request=request)
        self.writes += request.url.path == "/v1/lines"
        target = request.url.raw_path.decode()
        status, body = self._ask(request.method, target, request.content)
        headers = {"content-type": "application/json"}
        return httpx.Response(status, stream=httpx.ByteStream(body), headers=headers)

    def _ask(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        headers = {"authorization": "Bearer t"}
        request = Request(method=method, target=target, headers=headers, body=body)
        answer = asyncio.run(self.books.answer(request))
        return answer.status, answer.body

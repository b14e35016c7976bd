"""Calls over real HTTP: a server on a port of its own, and a connection that sends what it is given."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn

_SECONDS_MAX = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    kind: str
    text: str
    location: str
    seconds: float


class Wire:
    """One connection to a server, opened again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = self._open()

    def send(
        self, method: str, address: str, headers: Iterable[tuple[bytes, bytes]], body: bytes | None
    ) -> Answer:
        """Send one request as it is given and return its answer."""
        began = time.monotonic()
        self._connection.putrequest(method, address, skip_accept_encoding=True)
        for name, value in headers:
            self._connection.putheader(name, value)
        if body is not None:
            self._connection.putheader("Content-Length", str(len(body)))
        # Whoever refuses a large request may close before all of it was sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.endheaders(body)
        answer = self._connection.getresponse()
        try:
            text = answer.read().decode("utf-8", "replace")
        except ConnectionResetError:
            # It was answered, and the rest of what was sent is not read any more.
            text = ""
        if answer.will_close:
            self._connection.close()
            self._connection = self._open()
        return Answer(
            status=answer.status,
            kind=answer.headers.get("content-type", ""),
            text=text,
            location=answer.headers.get("location", ""),
            seconds=time.monotonic() - began,
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _open(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=_SECONDS_MAX)


@contextmanager
def served(application: Any) -> Iterator[int]:
    """Serve an application as the product does, and return its port."""
    server = uvicorn.Server(
        uvicorn.Config(
            application, host="127.0.0.1", port=0, log_config=None, lifespan="off",
            server_header=False, proxy_headers=False,
        )
    )  # fmt: skip
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _SECONDS_MAX
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    yield port
    server.should_exit = True
    thread.join(timeout=_SECONDS_MAX)

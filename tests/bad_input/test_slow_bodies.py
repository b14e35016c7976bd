"""A body that comes letter by letter, or stops: it is let go in time, others are answered meanwhile, nothing is kept."""

from __future__ import annotations

import socket
import time

import pytest

from tests.bad_input.conftest import Town
from tests.bad_input.traces import Traces
from tieline.api import gate

_SECONDS_MAX = 10


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("/v1/cases:preview-again", "application/json"),
        ("/login", "application/x-www-form-urlencoded"),
        ("/adopt/sheet", "multipart/form-data; boundary=x"),
    ],
)
class TestABody:
    def test_that_comes_letter_by_letter_is_let_go_in_time(
        self, town: Town, monkeypatch: pytest.MonkeyPatch, address: str, kind: str
    ) -> None:
        monkeypatch.setattr(gate, "BODY_SECONDS_MAX", 1)
        traces, began = Traces(town.house.worker), time.monotonic()

        with _begun(town, address, kind) as slow, _begun(town, "/healthz", kind, "GET", 0) as quick:
            slow.sendall(b"{")
            others = quick.recv(1000)
            answer = slow.recv(1000)
            # Read to its end: the server closes, and waits for no more of it.
            while slow.recv(1000):
                pass

        assert others.startswith(b"HTTP/1.1 200")
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < _SECONDS_MAX
        assert traces.changed() == []

    def test_that_stops_is_forgotten(self, town: Town, address: str, kind: str) -> None:
        traces = Traces(town.house.worker)

        for _ in range(20):
            with _begun(town, address, kind) as stopped:
                stopped.sendall(b"{")
        with _begun(town, "/healthz", kind, "GET", 0) as other:
            answer = other.recv(1000)

        assert answer.startswith(b"HTTP/1.1 200")
        assert traces.changed() == []


def _begun(
    town: Town, address: str, kind: str, method: str = "POST", length: int = 1000
) -> socket.socket:
    """Send the head of a request that promises more than it brings."""
    opened = socket.create_connection(("127.0.0.1", town.port), timeout=_SECONDS_MAX)
    opened.sendall(
        f"{method} {address} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\nAuthorization: Bearer {town.key}\r\nConnection: close\r\n\r\n".encode()
    )
    return opened

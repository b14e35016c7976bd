"""A vendor on a bad day: one server in this process that misbehaves in one way at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_READ_BYTES = 65_536
_PEER_SECONDS_MAX = 10
_STOP_SECONDS_MAX = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehavior:
    """What is sent for any request; ``cut`` closes after so many bytes, None sends all."""

    name: str
    answer: bytes
    cut: int | None = None


def _http(status: str, *headers: str, body: bytes = b"{}") -> bytes:
    # A caller that is not told would now and then ask again on a connection that is closing, and
    # blame its loss on the misbehavior.
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *headers]
    head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


UNAUTHORIZED = Misbehavior(name="401", answer=_http("401 Unauthorized"))
FORBIDDEN = Misbehavior(name="403", answer=_http("403 Forbidden"))
MISSING = Misbehavior(name="404", answer=_http("404 Not Found"))
LIMITED = Misbehavior(name="429", answer=_http("429 Too Many Requests", "Retry-After: 7"))
INVALID = Misbehavior(
    name="422", answer=_http("422 Unprocessable", body=b'{"message": "it is not valid"}')
)
BROKEN = Misbehavior(name="500", answer=_http("500 Internal Server Error"))
BUSY = Misbehavior(name="503", answer=_http("503 Service Unavailable"))
REDIRECT = Misbehavior(name="302", answer=_http("302 Found", "Location: http://127.0.0.1:9/"))
DROPPED = Misbehavior(name="answer dropped", answer=b"")
CUT = Misbehavior(name="answer cut", answer=_http("200 OK", body=b'{"results": [' * 50), cut=200)
GARBAGE = Misbehavior(name="no JSON", answer=_http("200 OK", body=b"<html>busy</html>"))
NOT_A_NUMBER = Misbehavior(name="NaN", answer=_http("200 OK", body=b'{"total_entries": NaN}'))
EMPTY = Misbehavior(name="empty 200", answer=_http("200 OK", body=b""))


@dataclass(slots=True, kw_only=True)
class MisbehavingServer:
    """Count what arrives and answer all of it in the same bad way."""

    url: str
    methods: list[str] = field(default_factory=list)


@contextlib.contextmanager
def misbehaving(
    behavior: Misbehavior, *, questions: tuple[tuple[bytes, bytes], ...] = ()
) -> Iterator[MisbehavingServer]:
    """Serve until the block ends; a question that is known is answered well and not counted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        server = MisbehavingServer(url=f"http://127.0.0.1:{address[1]}")
        stopped = threading.Event()
        thread = threading.Thread(
            target=_serve, args=(listener, behavior, questions, server, stopped), daemon=True
        )
        thread.start()
        try:
            yield server
        finally:
            stopped.set()
            # Nothing but a caller wakes who waits for one.
            socket.create_connection(address).close()
            thread.join(timeout=_STOP_SECONDS_MAX)


def closed_port() -> str:
    """Return an address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _serve(
    listener: socket.socket,
    behavior: Misbehavior,
    questions: tuple[tuple[bytes, bytes], ...],
    server: MisbehavingServer,
    stopped: threading.Event,
) -> None:
    while not stopped.is_set():
        peer, _ = listener.accept()
        # Whoever goes away in the middle is no reason to stop serving the next.
        with peer, contextlib.suppress(OSError):
            peer.settimeout(_PEER_SECONDS_MAX)
            method, body = _take_request(peer)
            known = [answer for words, answer in questions if words in body]
            if known:
                peer.sendall(_http("200 OK", body=known[0]))
            elif method:
                server.methods.append(method)
                peer.sendall(behavior.answer[: behavior.cut])


def _take_request(peer: socket.socket) -> tuple[str, bytes]:
    """Return method and body, or an empty method when the caller left before it had asked."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = peer.recv(_READ_BYTES)
        if not chunk:
            return "", b""
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        chunk = peer.recv(_READ_BYTES)
        if not chunk:
            return "", b""
        body += chunk
    return head.split(b" ", 1)[0].decode("ascii", "replace"), body

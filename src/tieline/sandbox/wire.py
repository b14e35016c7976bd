"""HTTP/1.1 as both sides of the sandbox speak it: one request, one answer, or a broken promise."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import h11

_READ_BYTES = 65_536
_BODY_BYTES_MAX = 64 * 1024 * 1024
_HOP_HEADERS = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}
)

# The encoder is written in C and knows no Decimal. Nobody else can have written the mark.
_MARK = secrets.token_hex(16)
_MARKED = re.compile(f'"{_MARK}([^"]*)"')

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Hold one complete request; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """Return the decoded path without the query."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """Return the query's last value per name."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def with_query(self, **changes: str) -> Request:
        """Return the request with these query values set."""
        path = urlsplit(self.target).path
        return replace(self, target=f"{path}?{urlencode({**self.query, **changes})}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Hold one complete answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Say what reaches the client: an answer, its first bytes, or (None) a closed connection."""

    response: Response | None
    cut_after_bytes: int | None = None


Answering = Callable[[Request], Awaitable[Response]]
Delivering = Callable[[Request], Awaitable[Delivery]]


def encode_json(value: Json) -> str:
    """Write JSON with every Decimal as a plain number and without floats' noise."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_marked)
    return _MARKED.sub(r"\1", text)


def _marked(value: object) -> Json:
    """Return what the encoder can write: a Decimal as a marked word, which becomes its digits."""
    if isinstance(value, Decimal):
        return f"{_MARK}{value:f}"
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def decode_json(text: bytes | str) -> Json:
    """Read JSON with exact numbers.

    :raises ValueError: the text is not JSON.
    """
    return json.loads(text, parse_float=Decimal)


def json_response(
    value: Json, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Wrap a value as an answer in JSON."""
    return text_response(encode_json(value), status=status, headers=headers)


def text_response(
    text: str,
    *,
    status: int = 200,
    content_type: str = "application/json; charset=utf-8",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Wrap a text as an answer."""
    return Response(
        status=status,
        headers={"content-type": content_type, **(headers or {})},
        body=text.encode(),
    )


async def listen(deliver: Delivering, *, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
    """Accept connections until the returned server is closed; port 0 lets the system choose."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _converse(deliver, reader, writer)
        except (ConnectionError, h11.RemoteProtocolError, TimeoutError):
            # The client went away or spoke nonsense: nothing is left to tell it.
            writer.transport.abort()
        except asyncio.CancelledError:
            # The server is ending; asyncio's streams would report a cancelled task as a failure.
            writer.transport.abort()
        finally:
            writer.close()

    return await asyncio.start_server(connected, host, port)


def port_of(server: asyncio.Server) -> int:
    """Return the port that the server listens on."""
    port: int = server.sockets[0].getsockname()[1]
    return port


async def exchange(request: Request, *, host: str, port: int) -> Response:
    """Send one request on a connection of its own and return the complete answer.

    :raises ConnectionError: nobody answers, or the answer breaks off.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        connection = h11.Connection(h11.CLIENT)
        writer.write(_request_bytes(connection, request, authority=f"{host}:{port}"))
        await writer.drain()
        return await _read_response(connection, reader)
    except h11.RemoteProtocolError as error:
        raise ConnectionError(f"the answer of {host}:{port} broke off") from error
    finally:
        writer.close()


async def _converse(
    deliver: Delivering, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    connection = h11.Connection(h11.SERVER)
    while (request := await _read_request(connection, reader, writer)) is not None:
        delivery = await deliver(request)
        if delivery.response is None:
            writer.transport.abort()
            return
        if delivery.cut_after_bytes is not None:
            await _write_cut(connection, writer, delivery.response, delivery.cut_after_bytes)
            return
        await _write_whole(connection, writer, delivery.response)
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return
        connection.start_next_cycle()


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(_READ_BYTES))
    return event


async def _read_request(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    head = await _next_event(connection, reader)
    if not isinstance(head, h11.Request):
        return None
    if connection.they_are_waiting_for_100_continue:
        go_on = connection.send(h11.InformationalResponse(status_code=100, headers=[]))
        writer.write(go_on or b"")
    body = await _read_body(connection, reader)
    return Request(
        method=head.method.decode(),
        target=head.target.decode(),
        headers=_headers(head),
        body=body,
    )


async def _read_response(connection: h11.Connection, reader: asyncio.StreamReader) -> Response:
    head = await _next_event(connection, reader)
    while isinstance(head, h11.InformationalResponse):
        head = await _next_event(connection, reader)
    if not isinstance(head, h11.Response):
        raise ConnectionError("the connection was closed before an answer")
    body = await _read_body(connection, reader)
    return Response(status=head.status_code, headers=_headers(head), body=body)


async def _read_body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while isinstance(event := await _next_event(connection, reader), h11.Data):
        body.extend(event.data)
        if len(body) > _BODY_BYTES_MAX:
            raise ConnectionError("the body is larger than the sandbox takes")
    return bytes(body)


def _headers(head: h11.Request | h11.Response) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}


def _request_bytes(connection: h11.Connection, request: Request, *, authority: str) -> bytes:
    headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _HOP_HEADERS]
    headers += [("host", authority), ("connection", "close"), ("accept-encoding", "identity")]
    headers.append(("content-length", str(len(request.body))))
    head = h11.Request(method=request.method, target=request.target, headers=headers)
    return _sent(connection, head, h11.Data(data=request.body), h11.EndOfMessage())


def _response_head(response: Response) -> h11.Response:
    headers = [(k, v) for k, v in response.headers.items() if k.lower() not in _HOP_HEADERS]
    if response.status != 204:
        headers.append(("content-length", str(len(response.body))))
    return h11.Response(status_code=response.status, headers=headers)


async def _write_whole(
    connection: h11.Connection, writer: asyncio.StreamWriter, response: Response
) -> None:
    head = _response_head(response)
    body = response.body if response.status != 204 else b""
    writer.write(_sent(connection, head, h11.Data(data=body), h11.EndOfMessage()))
    await writer.drain()


async def _write_cut(
    connection: h11.Connection, writer: asyncio.StreamWriter, response: Response, keep: int
) -> None:
    head = connection.send(_response_head(response)) or b""
    writer.write(head + response.body[:keep])
    await writer.drain()


def _sent(connection: h11.Connection, *events: h11.Event) -> bytes:
    return b"".join(connection.send(event) or b"" for event in events)

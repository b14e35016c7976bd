"""The HTTP client: what each way to fail means, and what it refuses to do."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tieline.kernel.errors import (
    AskPerson,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StreamBroken,
    TryAgain,
)
from tieline.sdk import Connection
from tieline.sdk.http import HttpClient, NotFound, retry_after_seconds


def _client(answer: Any, **more: Any) -> HttpClient:
    connection = Connection(
        connection_key="vendor",
        base_url="https://vendor.example",
        config={},
        secrets={"token": "secret"},
        allowed_hosts=frozenset({"vendor.example:443"}),
    )
    return HttpClient(
        connection=connection, headers={}, transport=httpx.MockTransport(answer), **more
    )


def _raising(error: type[Exception]) -> Any:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error("broken")

    return answer


def _status(status: int, body: bytes = b"{}", **headers: str) -> Any:
    return lambda _: httpx.Response(status, stream=httpx.ByteStream(body), headers=headers)


class TestErrors:
    @pytest.mark.parametrize(
        ("answer", "read_error", "write_error"),
        [
            (_raising(httpx.ConnectError), NotExecuted, NotExecuted),
            (_raising(httpx.ConnectTimeout), NotExecuted, NotExecuted),
            (_raising(httpx.ReadTimeout), StreamBroken, OutcomeUnknown),
            (_raising(httpx.ReadError), StreamBroken, OutcomeUnknown),
            (_raising(httpx.WriteError), StreamBroken, OutcomeUnknown),
            (_raising(httpx.RemoteProtocolError), StreamBroken, OutcomeUnknown),
            (_status(429), NotExecuted, NotExecuted),
            (_status(401), AskPerson, AskPerson),
            (_status(403), AskPerson, AskPerson),
            (_status(404), NotFound, NotFound),
            (_status(410), NotFound, NotFound),
            (_status(400), Refused, Refused),
            (_status(422), Refused, Refused),
            (_status(500), TryAgain, OutcomeUnknown),
            (_status(503), TryAgain, OutcomeUnknown),
            (_status(302, location="https://elsewhere.example"), AskPerson, OutcomeUnknown),
            (_status(200, b"<html>"), StreamBroken, OutcomeUnknown),
            (_status(200, b""), StreamBroken, OutcomeUnknown),
            (_status(200, b'{"a": NaN}'), StreamBroken, OutcomeUnknown),
            (_status(200, b"[" * 100_000), StreamBroken, OutcomeUnknown),
        ],
    )
    def test_say_what_to_do_next(
        self, answer: Any, read_error: type[Exception], write_error: type[Exception]
    ) -> None:
        with pytest.raises(read_error) as read:
            _client(answer).read_json(path="/a")
        with pytest.raises(write_error) as written:
            _client(answer).write_json(method="POST", path="/a", content={})

        assert (read.type, written.type) == (read_error, write_error)

    def test_a_reply_past_the_cap_is_not_kept(self) -> None:
        client = _client(_status(200, b"x" * 1001), reply_bytes_max=1000)

        with pytest.raises(StreamBroken):
            client.read(path="/a")

    def test_a_host_that_is_not_listed_is_never_called(self) -> None:
        called: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            called.append(request)
            return httpx.Response(200)

        client = _client(answer)

        with pytest.raises(AskPerson, match="not among its hosts"):
            client.read(path=".evil.example/a")

        assert called == []

    def test_an_answer_in_another_encoding_is_unreadable(self) -> None:
        headers = {"content-encoding": "gzip"}
        answer = lambda _: httpx.Response(200, stream=httpx.ByteStream(b"x"), headers=headers)  # noqa: E731

        with pytest.raises(StreamBroken):
            _client(answer).read(path="/a")


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("7", 7),
            ("0", 1),
            ("-5", 1),
            ("1.2", 2),
            ("99999999999999", 3600),
            ("1e400", 3600),
            ("Infinity", 3600),
            ("NaN", 3600),
            ("Tue, 03 Nov 2026 09:01:30 GMT", 90),
            ("Tue, 03 Nov 2020 09:01:30 GMT", 1),
            ("Tue, 03 Nov 2099 09:01:30 GMT", 3600),
            ("soon", 15),
            ("", 15),
        ],
    )
    def test_is_understood_in_every_form(self, text: str, seconds: int) -> None:
        headers = {"retry-after": text, "date": "Tue, 03 Nov 2026 09:00:00 GMT"}

        assert retry_after_seconds(headers) == seconds

"""The vendor on a bad day is bad in the way it was told to be, and in no other."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from tieline.sdk.promises import server
from tieline.sdk.promises.server import misbehaving

QUESTION = (b"who are you", b'{"name": "vendor"}')


class TestMisbehavingServer:
    def test_answers_what_is_asked_first_and_does_not_count_it(self) -> None:
        with misbehaving(server.BUSY, questions=(QUESTION,)) as vendor:
            answer = httpx.post(vendor.url, content=b"who are you")

        assert answer.json() == {"name": "vendor"}
        assert vendor.methods == []

    @pytest.mark.parametrize("behavior", [server.BUSY, server.GARBAGE, server.LIMITED])
    def test_never_lets_a_caller_ask_again_on_a_connection_that_closes(
        self, behavior: server.Misbehavior
    ) -> None:
        with misbehaving(behavior, questions=(QUESTION,)) as vendor, httpx.Client() as client:
            question = client.post(vendor.url, content=b"who are you")
            write = client.post(vendor.url, content=b"write this")

        assert question.headers["connection"] == "close"
        assert write.headers["connection"] == "close"
        assert vendor.methods == ["POST"]

    def test_goes_on_when_a_caller_leaves_in_the_middle(self) -> None:
        with misbehaving(server.BUSY) as vendor:
            address = (urlsplit(vendor.url).hostname, urlsplit(vendor.url).port)
            with socket.create_connection(address) as caller:
                caller.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")

            answer = httpx.get(vendor.url)

        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert vendor.methods == ["GET"]

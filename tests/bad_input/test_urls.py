"""An address that is not among the hosts of a connection is not called, however it is written."""

from __future__ import annotations

import httpx
import pytest

from tests.bad_input.corpus import Item, read_corpus
from tieline.kernel.errors import TielineError
from tieline.sdk import Connection
from tieline.sdk.http import HttpClient
from tieline.settings import ISSUER_VARIABLE, read_settings


class _Wire(httpx.BaseTransport):
    """Answer nobody, and remember who was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))


def _client(address: str, wire: _Wire) -> HttpClient:
    connection = Connection(
        connection_key="vendor",
        base_url=address,
        config={},
        secrets={},
        allowed_hosts=frozenset({"vendor.example"}),
    )
    return HttpClient(connection=connection, headers={}, transport=wire)


@pytest.mark.parametrize("item", read_corpus("urls"), ids=lambda item: item.name)
def test_another_host_is_not_called(item: Item) -> None:
    wire = _Wire()
    client = _client(item.text, wire)

    for call in (client.read, client.write):
        with pytest.raises(TielineError):
            call(method="POST", path="/x")

    assert wire.asked == []


def test_its_own_host_is_called() -> None:
    wire = _Wire()

    _client("https://vendor.example", wire).read(path="/x")

    assert wire.asked == ["https://vendor.example/x"]


@pytest.mark.parametrize("item", read_corpus("urls"), ids=lambda item: item.name)
def test_settings_take_it_or_say_why_not(item: Item) -> None:
    told = []

    for name in (ISSUER_VARIABLE, "TIELINE_WEB_URL"):
        values = {
            "TIELINE_OIDC_CLIENT_ID": "x",
            "TIELINE_WEB_URL": "https://tieline.example",
            name: item.text,
        }
        try:
            read_settings(environment=values)
        except TielineError as error:
            told.append((name, str(error)))

    assert all(name in sentence for name, sentence in told)

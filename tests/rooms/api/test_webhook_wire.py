"""A change in the CRM reaches the API as a signed hint over real HTTP, twice and out of order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from tests.promises.connectors.vendors import Vendor, running_hubspot
from tests.rooms.casework.hand_made_firm import NOW

from .conftest import House, Portal

_SECONDS_MAX = 15


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with running_hubspot(tmp_path) as vendor:
        vendor.do("clock", {"now": NOW.isoformat()})
        yield vendor


@pytest.fixture
def address(house: House) -> Iterator[str]:
    """Serve the API on a port of its own."""
    server = uvicorn.Server(
        uvicorn.Config(house.client.app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _SECONDS_MAX
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=_SECONDS_MAX)


@pytest.fixture
def deals(vendor: Vendor) -> list[str]:
    """Put two deals into the CRM before anybody listens."""
    rows = [{"key": name, "properties": {"dealname": name}} for name in ("A", "B")]
    loaded = vendor.do("load", {"deals": rows})
    return sorted(str(ref) for ref in loaded["ids"]["deals"].values())


class TestHints:
    def test_mark_every_deal_that_changed(
        self, house: House, vendor: Vendor, deals: list[str], address: str
    ) -> None:
        vendor.do(
            "webhooks",
            {"target": f"{address}/v1/webhooks/sales", "duplicates": 1, "reorder": True},
        )

        _rename(vendor, deals)

        _wait_for(house, deals)
        events = house.rows("SELECT count(*) AS n FROM inbox WHERE connection_key = 'sales'")
        assert events[0]["n"] >= len(deals)
        # However many hints came, they are read together, and soon.
        work = house.rows("SELECT kind, subject, state FROM work_item")
        assert work == [{"kind": "read_marked", "subject": "sales", "state": "waiting"}]

    def test_signed_with_another_secret_mark_nothing(
        self,
        house: House,
        vendor: Vendor,
        deals: list[str],
        address: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        refused: list[int] = []
        monkeypatch.setattr(Portal, "secret", "another")
        monkeypatch.setattr(Portal, "asked", refused)
        vendor.do("webhooks", {"target": f"{address}/v1/webhooks/sales"})

        _rename(vendor, deals)

        deadline = time.monotonic() + _SECONDS_MAX
        while not refused:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)
        assert house.rows("SELECT 1 FROM dirty_mark") == []


def _rename(vendor: Vendor, deals: list[str]) -> None:
    for deal in deals:
        vendor.do("edit", {"object": "deals", "id": deal, "properties": {"dealname": "new"}})


def _wait_for(house: House, deals: list[str]) -> None:
    deadline = time.monotonic() + _SECONDS_MAX
    while True:
        marks = house.rows("SELECT source_ref FROM dirty_mark WHERE object = 'deals' ORDER BY 1")
        if [mark["source_ref"] for mark in marks] == deals:
            return
        assert time.monotonic() < deadline, marks
        time.sleep(0.05)

"""A proof puts a bad network before a server, and changes it while it runs."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from tests.rooms.sandbox.serving import serving

from tieline.proof import processes
from tieline.proof.chaos import start_chaos
from tieline.sandbox.wire import Delivery, Request, text_response
from tieline.settings import read_settings


async def _answer(_: Request) -> Delivery:
    return Delivery(response=text_response("well"))


class TestChaosBeforeAServer:
    def test_breaks_what_it_is_told_to_and_ends_with_the_proof(self, tmp_path: Path) -> None:
        settings = read_settings(environment={"TIELINE_HOME": str(tmp_path)})
        settings.prepare_folders()
        with serving(_answer) as upstream:
            proxy = start_chaos(
                settings=settings,
                name="network",
                upstream_url=upstream,
                control_token="secret",
                seed=7,
                rules=[{"mode": "reset"}],
            )
            with pytest.raises(httpx.ReadError):
                httpx.get(proxy.url)
            proxy.follow(seed=7, rules=[])
            answered = httpx.get(proxy.url).text
            injected = proxy.injected()
            cleared = processes.clear(settings.run_directory)

        assert (answered, injected) == ("well", {"reset": 1})
        assert cleared == ["network"]

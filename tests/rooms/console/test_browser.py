"""The pages in a real browser: nothing is refused by the policy, and a keyboard is enough."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from .conftest import PASSWORD, House

_PAGES = (
    "/",
    "/missing",
    "/handover",
    "/handover/plan?deal=sales:7",
    "/early",
    "/exceptions",
    "/exceptions/again",
    "/delivery",
    "/close",
    "/changes",
    "/trace",
    "/what-if",
    "/adopt",
    "/connections",
    "/drift",
    "/approvals",
    "/guide",
    "/guide/operate/alarms",
)
_CHROMIUM = shutil.which("chromium")


@pytest.fixture
def address(firm: House) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(firm.web, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)


@pytest.mark.slow
@pytest.mark.skipif(_CHROMIUM is None, reason="there is no chromium on this machine")
class TestABrowser:
    def test_shows_every_page_without_a_refusal_and_by_keyboard(self, address: str) -> None:
        playwright = pytest.importorskip(
            "playwright.sync_api", reason="requirements/browser.txt is not installed"
        )
        told: list[str] = []
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(color_scheme="dark")
            page.on("console", lambda message: told.append(message.text))
            page.on("pageerror", lambda error: told.append(str(error)))
            page.goto(f"{address}/login")
            page.keyboard.type("dan")
            page.keyboard.press("Tab")
            page.keyboard.type(PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=Will we make it today?")
            for path in _PAGES:
                page.goto(address + path)
                assert page.get_attribute("html", "data-bs-theme") == "dark", path
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.textContent")
            page.set_viewport_size({"width": 400, "height": 800})
            page.goto(f"{address}/exceptions")
            worth = page.locator("#results td[data-of=Worth]").first.bounding_box()
            browser.close()

        assert focused == "To the content"
        assert worth is not None
        assert worth["x"] + worth["width"] <= 400
        assert told == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_finds_nothing_serious_that_keeps_a_person_out(self, address: str, scheme: str) -> None:
        playwright = pytest.importorskip(
            "playwright.sync_api", reason="requirements/browser.txt is not installed"
        )
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        found = []
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(color_scheme=scheme)
            page.goto(f"{address}/login")
            page.fill("[name=login]", "dan")
            page.fill("[name=password]", PASSWORD)
            page.click("main button")
            page.wait_for_selector("text=Will we make it today?")
            for path in _PAGES:
                page.goto(address + path)
                found += [
                    (path, each["id"], each["nodes"][0]["html"])
                    for each in axe.run(page).response["violations"]
                    if each["impact"] in ("serious", "critical")
                ]
            browser.close()

        assert found == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [1280, 1024])
    def test_finds_every_page_in_one_row(self, address: str, width: int, scheme: str) -> None:
        playwright = pytest.importorskip(
            "playwright.sync_api", reason="requirements/browser.txt is not installed"
        )
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 700})
            page.goto(f"{address}/login")
            page.fill("[name=login]", "dan")
            page.fill("[name=password]", PASSWORD)
            page.click("main button")
            page.wait_for_selector("text=Will we make it today?")
            rows = page.evaluate(
                "[...document.querySelectorAll('nav.pages a')].map(each => each.offsetTop)"
            )
            is_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            browser.close()

        assert len(rows) > 10
        assert len(set(rows)) == 1
        assert not is_wide

"""No test starts a simulated vendor whose description exists without the guard behind it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.promises.connectors.guard import descriptions

from .source_words import ROOT

_TESTS = ROOT / "tests"
# A server in this process, one in a process of its own, and a whole demo that starts both.
_STARTS = re.compile(
    r"\b(Harvest|HubSpot|ServiceDesk)Server\(|\"tieline\.app\", \"demo\""
    r"|\"-m\", \"tieline\.sandbox\.(harvest|hubspot|service_desk)\""
)
_HOLDS = re.compile(r"(?<!def )\bhold\(")
# Its records come from files: neither vendor takes part.
_WITHOUT_VENDORS = frozenset({"demo/test_records.py"})


class TestSimulatedVendors:
    def test_are_started_only_where_their_exchanges_are_held(self) -> None:
        starters = {
            str(path.relative_to(_TESTS)): path.read_text(encoding="utf-8")
            for path in sorted({*_TESTS.rglob("*.py")} - {Path(__file__)})
            if _STARTS.search(path.read_text(encoding="utf-8"))
        }

        loose = {name for name, text in starters.items() if not _HOLDS.search(text)}

        assert loose == _WITHOUT_VENDORS
        assert len(starters) > len(loose)

    @pytest.mark.parametrize(
        "text",
        [
            "server = HarvestServer(store=store)",
            "ServiceDeskServer(store=store)",
            'Popen([sys.executable, "-m", "tieline.sandbox.hubspot"])',
            'Popen([sys.executable, "-m", "tieline.sandbox.service_desk"])',
            '(sys.executable, "-m", "tieline.app", "demo", "--once")',
        ],
    )
    def test_are_found_however_they_are_started(self, text: str) -> None:
        assert _STARTS.search(text)

    def test_are_held_against_something(self) -> None:
        """Skip, and so say once at the end of a run, where the descriptions are not at hand."""
        folder = descriptions()

        assert (folder / "open" / "harvest").is_dir()
        assert (folder / "open" / "jira").is_dir()
        assert (folder / "restricted" / "hubspot").is_dir()

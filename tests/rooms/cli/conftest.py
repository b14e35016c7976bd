"""The command line on a database of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from tieline import app, cli
from tieline.runtime.migrate import Dsns
from tieline.services.system import System
from tieline.settings import Settings

PASSWORD = "a password of twelve"


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        (line,) = self.out.strip().splitlines()
        facts: dict[str, Any] = json.loads(line)
        return facts


Run = Callable[..., Ran]


@pytest.fixture
def run_bare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run commands in a home of their own, as a shell would; nothing is installed."""
    monkeypatch.setenv("TIELINE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TIELINE_DSN", raising=False)
    monkeypatch.setattr("sys.stdin", open("/dev/null", encoding="utf-8"))  # noqa: SIM115

    def run(*words: str) -> Ran:
        capfd.readouterr()
        code = cli.run(
            open_system=app.open_system,
            run_worker=app.run_worker,
            run_web=app.run_web,
            connector_packages=app.connector_packages,
            systems=app.InstalledSystems(),
            words=words,
        )
        told = capfd.readouterr()
        return Ran(code=code, out=told.out, err=told.err)

    yield run
    # A command sends the log to the standard error of its test, which is closed after it.
    structlog.reset_defaults()


@pytest.fixture
def run(run_bare: Run, database: Dsns, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands on an installation that was begun."""
    opened: list[System] = []
    open_system = app.open_system

    def remember(settings: Settings) -> System:
        system = open_system(settings)
        opened.append(system)
        return system

    monkeypatch.setattr(app, "_dsns", lambda _settings: database)
    monkeypatch.setattr(app, "open_system", remember)
    monkeypatch.setenv("TIELINE_NEW_PASSWORD", PASSWORD)
    monkeypatch.setenv("TIELINE_PASSWORD", PASSWORD)

    def run(*words: str) -> Ran:
        try:
            return run_bare(*words)
        finally:
            # A process that ends gives its connections back.
            while opened:
                system = opened.pop()
                for each in (system.database, system.web_database, system.judge_database):
                    each.close()

    firm = Path(__file__).parents[3] / "examples" / "firm.toml"
    begun = run("init", "--firm", str(firm), "--ask-passwords", "--json")
    assert begun.code == 0, begun.err
    return run

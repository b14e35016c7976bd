"""A whole system on a test's own database, as the composition root makes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from tieline import app
from tieline.runtime.migrate import Dsns
from tieline.services.system import System
from tieline.settings import read_settings


@contextmanager
def opened_system(
    dsns: Dsns,
    *,
    home: Path,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    **environment: str,
) -> Iterator[System]:
    """Open what the product would open, with business time from an instant on; close it afterwards."""
    monkeypatch.setattr(app, "_dsns", lambda _settings: dsns)
    settings = read_settings(
        environment={
            "TIELINE_HOME": str(home),
            "TIELINE_ENVIRONMENT": "test",
            "TIELINE_BUSINESS_NOW": now.isoformat(),
            "TIELINE_LOG_LEVEL": "error",
            **environment,
        }
    )
    system = app.open_system(settings, pool_max=4)
    yield system
    for each in (system.database, system.web_database, system.judge_database):
        each.close()
    structlog.reset_defaults()

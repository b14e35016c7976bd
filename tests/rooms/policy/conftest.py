"""Write scenes as the owner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns


@pytest.fixture
def owner_database(database: Dsns) -> Iterator[Database]:
    """Give transactions of the owner's role on this test's database."""
    opened = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield opened
    opened.close()

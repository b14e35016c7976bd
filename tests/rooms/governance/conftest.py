"""The worker's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from tieline.runtime.database import Database


@pytest.fixture
def worker_connection(worker_database: Database) -> Iterator[Connection[dict[str, Any]]]:
    """Lend one transaction of the worker's role."""
    with worker_database.transaction() as connection:
        yield connection

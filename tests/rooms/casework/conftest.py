"""A firm made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from tieline.runtime.database import Database

from .hand_made_firm import Firm


@pytest.fixture
def worker_connection(worker_database: Database) -> Iterator[Connection[dict[str, Any]]]:
    """Lend one transaction of the worker's role."""
    with worker_database.transaction() as connection:
        yield connection


@pytest.fixture
def firm(worker_connection: Connection[dict[str, Any]]) -> Firm:
    """Found the firm as the worker would have left it."""
    return Firm(worker_connection).found()

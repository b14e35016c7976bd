"""A firm made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from .hand_made_firm import Firm


@pytest.fixture
def firm(owner_connection: Connection[dict[str, Any]]) -> Firm:
    """Found the firm as the worker would have left it."""
    return Firm(owner_connection).found()

"""How long a write whose answer was lost may still commit."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from tieline.posting import states
from tieline.sdk import Strategy
from tieline.sdk.directory import Connectors

# The target itself refuses a second one of these, so a late commit cannot make two.
SAFE_TO_RESEND = {Strategy.NATIVE_KEY, Strategy.UPSERT, Strategy.UNIQUE_FIELD}
_SAFE_SECONDS = 1


def settle_seconds(
    connection: Connection[dict[str, Any]],
    *,
    connectors: Connectors,
    connection_key: str,
    noun: str,
) -> int:
    """Return the seconds to wait before a target is asked about a write of this noun."""
    capabilities = connectors.capabilities(connection_key=connection_key)
    if capabilities.write_of(noun).strategy in SAFE_TO_RESEND:
        return _SAFE_SECONDS
    return states.settle_seconds(
        connection, connection_key=connection_key, declared=capabilities.settle_seconds
    )

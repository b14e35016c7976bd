"""How rooms reach connectors without knowing any: the composition root fulfils this."""

from __future__ import annotations

from typing import Any, Protocol

from tieline.sdk.capabilities import Capabilities


class Connectors(Protocol):
    """Give the connector object and the manifest of a configured connection."""

    def get(self, *, connection_key: str) -> Any:
        """Return the connector; cast it to the protocol its manifest declares.

        :raises LookupError: no such connection.
        """
        ...

    def capabilities(self, *, connection_key: str) -> Capabilities:
        """Return the manifest of the connection's system.

        :raises LookupError: no such connection.
        """
        ...

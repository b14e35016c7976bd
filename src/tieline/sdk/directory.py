"""How rooms reach connectors without knowing any: the composition root fulfils this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class Systems(Protocol):
    """Give what is installed: a connector for a connection that is not saved yet, and manifests."""

    def names(self) -> Sequence[str]:
        """Return the systems that Tieline can connect, in order."""
        ...

    def manifest(self, *, system: str) -> Capabilities:
        """Return what a system's connector declares.

        :raises LookupError: no such system is installed.
        """
        ...

    def build(
        self,
        *,
        system: str,
        connection_key: str,
        config: Mapping[str, Any],
        secrets: Mapping[str, str],
    ) -> Any:
        """Make a connector to be checked before anything is saved.

        :raises LookupError: no such system is installed.
        """
        ...

"""What is rehearsed: a connector's package, its fixtures, and a connection that leads nowhere."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from types import ModuleType
from typing import Any

from tieline.canonical import Command
from tieline.sdk.capabilities import Capabilities, load_manifest
from tieline.sdk.protocols import Connection, Notice, RawRecord

CANARY = "canary-5e7d21c0-"  # Stands in every secret; must never be seen in an error.
TIMEOUT_SECONDS = 10  # No misbehavior is silence: only a starved machine takes so long.


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a connector's ``rehearsal.py`` says of itself under the name ``REHEARSAL``.

    ``commands`` holds one command of every noun it writes, ``notices`` messages that it brings to
    people; ``is_http`` is False where no call is made. ``secrets`` are shapes with ``{canary}`` where a secret needs one. ``questions`` are what
    a write asks first where asking is a POST too: words of the question and the vendor's answer,
    so that the write itself is what meets the bad day.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] | None = None
    commands: tuple[Command, ...] = ()
    notices: tuple[Notice, ...] = ()
    is_http: bool = True
    questions: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A connector's package, ready to be asked."""

    package: str
    manifest: Capabilities
    connector_module: ModuleType
    rehearsal: Rehearsal | None

    @property
    def folder(self) -> Traversable:
        """Return the folder of the package."""
        return resources.files(self.package)

    def build(self, *, base_url: str) -> Any:
        """Make the connector on a connection whose secrets are canaries."""
        return self.connector_module.build(self.connection(base_url=base_url))

    def connection(self, *, base_url: str) -> Connection:
        """Return that connection."""
        rehearsal = self.rehearsal or Rehearsal()
        shapes = rehearsal.secrets or dict.fromkeys(self.manifest.secret_names, "{canary}")
        return Connection(
            connection_key=f"{self.manifest.system}_rehearsal",
            base_url=base_url,
            config={**rehearsal.config, "base_url": base_url},
            secrets={
                name: shape.replace("{canary}", CANARY + name) for name, shape in shapes.items()
            },
            allowed_hosts=frozenset({base_url.removeprefix("http://")}),
            timeout_seconds=TIMEOUT_SECONDS,
        )

    def fixtures(self, *, stream: str) -> dict[str, RawRecord]:
        """Return the stream's fixtures by file name: ``<stream>.json`` or ``<stream>.<case>.json``."""
        folder = self.folder.joinpath("fixtures")
        if not folder.is_dir():
            return {}
        return {
            entry.name: RawRecord(
                object=stream,
                source_ref="1",
                body=entry.read_bytes(),
                source_at=None,
                line_number=2,
            )
            for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
            if entry.name.split(".")[0] == stream
        }


def load_subject(package: str) -> Subject:
    """Load a connector's package.

    :raises ImportError: it, or its connector.py, cannot be imported.
    """
    has_rehearsal = importlib.util.find_spec(f"{package}.rehearsal") is not None
    rehearsal = importlib.import_module(f"{package}.rehearsal").REHEARSAL if has_rehearsal else None
    return Subject(
        package=package,
        manifest=load_manifest(package),
        connector_module=importlib.import_module(f"{package}.connector"),
        rehearsal=rehearsal,
    )

"""Where a person can look at a record in its own system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from psycopg import Connection

from tieline.sdk import Capabilities
from tieline.sdk.directory import Systems

# What we write, in the words under which targets show it; the first that a manifest knows.
_SHOWN_AS: Mapping[str, tuple[str, ...]] = {
    "assignment": ("user_assignments",),
    "client": ("parties", "clients", "companies"),
    "contract": ("contracts", "sales"),
    "employee": ("employees",),
    "invoice": ("invoices",),
    "project": ("projects",),
    "status": ("deals",),
    "task": ("tasks", "projects"),
    "time_line": ("time_lines",),
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Links:
    """Address records of configured connections by the URL templates of their manifests."""

    _configured: Mapping[str, tuple[Capabilities, Mapping[str, Any]]]

    def record(self, *, connection_key: str, object: str, source_ref: str) -> str | None:
        """Return the address of a source's record, None where its system has none to give."""
        if connection_key not in self._configured:
            return None
        manifest, config = self._configured[connection_key]
        template = manifest.record_urls.get(object)
        if template is None:
            return None
        words = {name: word for name, word in config.items() if isinstance(word, str)}
        try:
            return template.format_map({**words, "source_ref": quote(source_ref, safe="")})
        except KeyError:
            return None

    def written(self, *, connection_key: str, noun: str, target_code: str | None) -> str | None:
        """Return the address of what was written to a target."""
        if target_code is None or connection_key not in self._configured:
            return None
        manifest = self._configured[connection_key][0]
        for object_name in _SHOWN_AS.get(noun, ()):
            if object_name in manifest.record_urls:
                return self.record(
                    connection_key=connection_key, object=object_name, source_ref=target_code
                )
        return None


def read_links(connection: Connection[Row], *, systems: Systems) -> Links:
    """Return the links of every configured connection whose system is installed."""
    rows = connection.execute("SELECT connection_key, system, config FROM connection").fetchall()
    installed = set(systems.names())
    return Links(
        {
            row["connection_key"]: (systems.manifest(system=row["system"]), row["config"])
            for row in rows
            if row["system"] in installed
        }
    )

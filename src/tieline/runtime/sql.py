"""Named SQL files, each kept in the room that owns its tables."""

from __future__ import annotations

from importlib.resources import files
from typing import Any


def load(package: str, name: str) -> Any:
    """Return the text of ``name``.sql of a package: our own text, so psycopg may take it as is."""
    return files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")

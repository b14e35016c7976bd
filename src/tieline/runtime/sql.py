"""Named SQL files, each kept in the room that owns its tables."""

from __future__ import annotations

from importlib.resources import files
from typing import LiteralString, cast


def load(package: str, name: str) -> LiteralString:
    """Return the text of ``name``.sql of a package; it is our own text, never input."""
    text = files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return cast(LiteralString, text)

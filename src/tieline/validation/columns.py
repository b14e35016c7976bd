"""What each column of the context means, for people who write rules."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextColumn:
    """One thing that a rule may look at."""

    name: str
    type: str
    says: str
    area: str


def documented_columns() -> Sequence[ContextColumn]:
    """Return the columns of the context, area by area."""
    text = resources.files("tieline.validation.context").joinpath("columns.toml").read_text("utf-8")
    return [
        ContextColumn(name=name, type=kind, says=says, area=area)
        for area, columns in tomllib.loads(text).items()
        for name, (kind, says) in columns.items()
    ]

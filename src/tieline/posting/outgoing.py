"""What lines have in common before they go out, over the wire or in a file: one gate, one form."""

from __future__ import annotations

from typing import Any

from tieline.canonical import TimeLineCommand
from tieline.runtime.sql import load

Row = dict[str, Any]
_GATE = load("tieline.posting", "line_gate")
OPEN_LINES = load("tieline.posting", "open_lines").strip()


def load_gated(name: str) -> Any:
    """Return a statement of this room with the gate that holds lines back, and what is open, in their places."""
    text = load("tieline.posting", name).replace("{gate}", _GATE.strip())
    return text.replace("{open_lines}", OPEN_LINES)


def command_of(row: Row) -> TimeLineCommand:
    """Return what the row of a line asks a target for."""
    return TimeLineCommand(
        business_key=row["business_key"],
        entity_code=row["entity_code"],
        person_code=row["person_code"],
        task_code=row["task_code"],
        work_date=row["work_date"],
        seconds=row["seconds"],
        narrative=row["narrative"],
    )

"""A vendor's committed records: in memory, and first in an append-only journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tieline.sandbox.wire import decode_json, encode_json

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record's new content; None when it is gone. ``by`` says who changed it."""

    table: str
    record_id: int
    record: Record | None
    at: datetime
    by: str
    operation: str


class RecordStore:
    """Keep tables of records; what commit() returned from survives the end of the process."""

    def __init__(self, *, journal: Path) -> None:
        self._path = journal
        self._tables: dict[str, dict[int, Record]] = {}
        self._lines: list[Mapping[str, Any]] = []
        self._last_ids: dict[str, int] = {}
        self._indexes: dict[str, dict[tuple[str, ...], dict[tuple[Any, ...], Record]]] = {}
        self._replay()

    def table(self, name: str) -> dict[int, Record]:
        """Return the present records of a table by id; not to be changed by the caller."""
        return self._tables.setdefault(name, {})

    def index(self, name: str, *columns: str) -> Mapping[tuple[Any, ...], Record]:
        """Return the first record of a table by the values of some columns; kept until the table changes."""
        kept = self._indexes.setdefault(name, {})
        if columns not in kept:
            found: dict[tuple[Any, ...], Record] = {}
            for record in self.table(name).values():
                found.setdefault(tuple(record[column] for column in columns), record)
            kept[columns] = found
        return kept[columns]

    def next_id(self, name: str, *, first: int) -> int:
        """Return an id that was never used in this table."""
        self._last_ids[name] = max(self._last_ids.get(name, first - 1) + 1, first)
        return self._last_ids[name]

    def commit(self, changes: Sequence[Change]) -> None:
        """Write all changes in one piece, then let readers see them."""
        first = len(self._lines) + 1
        lines = [_line(change, no=first + index) for index, change in enumerate(changes)]
        with self._path.open("ab") as file:
            file.write("".join(encode_json(line) + "\n" for line in lines).encode())
        for line in lines:
            self._apply(line)

    def journal(self, *, table: str | None = None, after: int = 0) -> list[Mapping[str, Any]]:
        """Return the commits after a number, in order."""
        return [line for line in self._lines[after:] if table in (None, line["table"])]

    def _apply(self, line: Mapping[str, Any]) -> None:
        self._lines.append(line)
        self._indexes.pop(line["table"], None)
        table = self.table(line["table"])
        identity = int(line["id"])
        self._last_ids[line["table"]] = max(self._last_ids.get(line["table"], 0), identity)
        if line["record"] is None:
            table.pop(identity, None)
        else:
            table[identity] = line["record"]

    def _replay(self) -> None:
        if not self._path.exists():
            return
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            # The process died inside a write: that commit was never answered.
            self._path.write_bytes(whole)
        for text in whole.splitlines():
            self._apply(decode_json(text))


def _line(change: Change, *, no: int) -> Mapping[str, Any]:
    return {
        "no": no,
        "at": change.at.isoformat(),
        "recorded_at": datetime.now(UTC).isoformat(),
        "by": change.by,
        "operation": change.operation,
        "table": change.table,
        "id": change.record_id,
        "record": change.record,
    }


def newest_first(records: Iterable[Record]) -> list[Record]:
    """Order by creation, the most recent first."""
    return sorted(records, key=lambda record: (record["created_at"], record["id"]), reverse=True)

"""What a target's own import takes, for the file that a person loads while the target is down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from tieline.canonical import TimeLineCommand
from tieline.sdk.protocols import StoredLine, Untranslatable


class ColumnKind(StrEnum):
    """Name what a column holds.

    A ``WORD`` is how the import finds a record, and must arrive letter by letter; a ``TEXT`` is read
    by people; a ``NUMBER`` is a date, a duration or a count in the target's own form.
    """

    WORD = "word"
    NUMBER = "number"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportColumn:
    """One column under the name that the import knows; one at most carries our key."""

    name: str
    kind: ColumnKind
    carries_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLayout:
    """The file that an import reads: comma-separated UTF-8 with a first line of column names.

    ``steps`` say to a person how it is loaded; ``dates`` and ``durations`` how they are written.
    """

    columns: tuple[ImportColumn, ...]
    dates: str
    durations: str
    lines_max: int
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLine:
    """One line to be loaded, with what is known of its records without asking the target.

    ``employee_code`` and ``work_code`` are codes as they were last read from the target, and None
    where a record has none of its own; ``task_key`` is the key under which we created the task there.
    """

    command: TimeLineCommand
    employee_code: str | None
    work_code: str | None
    task_key: UUID | None


class LoadsFiles(Protocol):
    """A target whose people can load time lines from a file."""

    def import_layout(self) -> ImportLayout:
        """Return the layout of the target's own import."""
        ...

    def import_row(self, *, line: ImportLine) -> tuple[str, ...] | Untranslatable:
        """Return the values of a line in the order of the columns; pure: the target may be down."""
        ...

    def find_loaded(
        self, *, entity_code: str, lines: Sequence[TimeLineCommand], since: datetime
    ) -> list[StoredLine]:
        """Return what stands of lines that were given out in a file.

        Under our key, wherever the import put it; and, stored since an instant, without any key but
        with the content of one of the lines: ``business_key`` is None then.
        """
        ...

    def adopt_lines(self, *, entity_code: str, lines: Sequence[StoredLine]) -> None:
        """Put our key where ``read_lines`` looks for it; a line that has it there is fine.

        :raises Refused: the target does not let a line be changed.
        :raises OutcomeUnknown: nobody can say without asking.
        """
        ...

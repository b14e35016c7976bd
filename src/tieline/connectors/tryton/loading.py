"""The file for Tryton's own import of time lines: its columns, and what was loaded from it.

The client sends the rows as they stand in the file to ``import_data`` and offers only fields that a
person may change, so our key cannot go into ``uuid``: it leads the description until the line is
found and gets its ``uuid``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from tieline.canonical import TimeLineCommand
from tieline.connectors.tryton import translate
from tieline.connectors.tryton.transport import Session, before_the_write
from tieline.kernel.keys import key_as_base32
from tieline.sdk import (
    ColumnKind,
    ImportColumn,
    ImportLayout,
    ImportLine,
    StoredLine,
    Untranslatable,
)

LAYOUT = ImportLayout(
    columns=(
        ImportColumn(name="company", kind=ColumnKind.WORD),
        ImportColumn(name="employee", kind=ColumnKind.WORD),
        ImportColumn(name="work", kind=ColumnKind.WORD),
        ImportColumn(name="date", kind=ColumnKind.NUMBER),
        ImportColumn(name="duration", kind=ColumnKind.NUMBER),
        ImportColumn(name="description", kind=ColumnKind.TEXT, carries_key=True),
    ),
    dates="YYYY-MM-DD",
    durations="H:MM:SS",
    lines_max=2000,
    steps=(
        "Log in to Tryton as a person of this company who may write other people's time.",
        "Open Timesheets, Lines, and in the menu of the list choose Import Data.",
        "Choose the file, press Auto-Detect: six fields appear, one line is skipped.",
        "Encoding UTF-8, delimiter comma; do not tick the format of your language.",
        "Press OK once. Tryton stores all lines or, with a message, none of them.",
    ),
)
_MARK = "TL-"
_READ_KEYS_MAX = 500
# The clocks of two machines are not one.
_CLOCKS_APART = timedelta(minutes=10)
_MINUTE = 60
_HOUR = 3600


def row(line: ImportLine) -> tuple[str, ...] | Untranslatable:
    """Return a line's values as ``import_data`` reads them: records by code, never by name."""
    command = line.command
    work = line.work_code or (None if line.task_key is None else key_as_base32(line.task_key))
    if line.employee_code is None:
        return _unknown("employee", command.person_code)
    if work is None:
        return _unknown("task", command.task_code)
    hours, rest = divmod(command.seconds, _HOUR)
    return (
        command.entity_code,
        line.employee_code,
        work,
        command.work_date.isoformat(),
        f"{hours}:{rest // _MINUTE:02}:{rest % _MINUTE:02}",
        f"{_reference(command.business_key)} {translate.one_line(command.narrative or '')}".strip(),
    )


def find(
    *,
    session: Session,
    company_id: int,
    entity_code: str,
    lines: Sequence[TimeLineCommand],
    since: datetime,
) -> list[StoredLine]:
    """Return what stands of the lines: by uuid, by the mark in the description, or by content."""
    rows: dict[int, dict[str, Any]] = {}
    for domain in (*_by_uuid(lines), _without_uuid(company_id, lines, since)):
        found = session.search("timesheet.line", domain, [*translate.LINE_FIELDS, "description"])
        rows |= {each["id"]: each for each in found}
    references = {_reference(line.business_key): line.business_key for line in lines}
    contents = [line.content() for line in lines]
    known = [
        (_key_of(each, references), translate.stored_line(row=each, entity_code=entity_code))
        for _, each in sorted(rows.items())
    ]
    return [
        replace(stored, business_key=key)
        for key, stored in known
        if key is not None or dict(stored.content()) in contents
    ]


def adopt(*, session: Session, company_id: int, lines: Sequence[StoredLine]) -> None:
    """Give lines their uuid and take the mark out of their descriptions, in one call."""
    wanted = {int(line.target_code): str(line.business_key) for line in lines}
    with before_the_write():
        rows = session.search(
            "timesheet.line", [["id", "in", sorted(wanted)], ["uuid", "=", None]], ["description"]
        )
    changes = [
        ([each["id"]], {"uuid": wanted[each["id"]], "description": _without_mark(each)})
        for each in rows
    ]
    if changes:
        session.write(
            "model.timesheet.line.write",
            *chain.from_iterable(changes),
            context={"company": company_id},
        )


def _by_uuid(lines: Sequence[TimeLineCommand]) -> list[list[Any]]:
    keys = [str(line.business_key) for line in lines]
    return [
        [["uuid", "in", keys[start : start + _READ_KEYS_MAX]]]
        for start in range(0, len(keys), _READ_KEYS_MAX)
    ]


def _without_uuid(company_id: int, lines: Sequence[TimeLineCommand], since: datetime) -> list[Any]:
    days = sorted({line.work_date for line in lines})
    people = sorted({int(line.person_code) for line in lines})
    # Tryton keeps its instants in UTC and without a zone.
    stored_from = (since - _CLOCKS_APART).astimezone(UTC).replace(tzinfo=None)
    return [
        ["company", "=", company_id],
        ["uuid", "=", None],
        ["create_date", ">=", stored_from],
        [
            "OR",
            ["description", "like", f"{_MARK}%"],
            [["date", ">=", days[0]], ["date", "<=", days[-1]], ["employee", "in", people]],
        ],
    ]


def _key_of(found: Mapping[str, Any], references: Mapping[str, UUID]) -> UUID | None:
    if found["uuid"]:
        return UUID(found["uuid"])
    return references.get((found["description"] or "").partition(" ")[0])


def _without_mark(found: Mapping[str, Any]) -> str | None:
    description = found["description"] or ""
    mark, _, words = description.partition(" ")
    return (words if mark.startswith(_MARK) else description) or None


def _reference(key: UUID) -> str:
    return f"{_MARK}{key_as_base32(key)}"


def _unknown(what: str, code: str) -> Untranslatable:
    return Untranslatable(
        reason="file.word_unknown",
        message=f"no code is known by which Tryton's import finds {what} {code} alone",
        field=what,
    )

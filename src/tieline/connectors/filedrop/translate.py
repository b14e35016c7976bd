"""Rows in canonical words; pure, and a cell that cannot be read is said with its line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from tieline.canonical import Approval, Person, StaffingFact, TimeEntry
from tieline.connectors.filedrop.mapping import FileMapping
from tieline.connectors.filedrop.rows import SEPARATOR, parse_document
from tieline.kernel.money import seconds_from_hours
from tieline.sdk import RawRecord, Translated, Untranslatable

CELL_CHARACTERS_MAX = 4_000
# A spreadsheet would run these; as a code they are never meant, as a narrative they are text.
_FORMULA = ("=", "@", "\t", "\r")
_FREE_TEXT = frozenset({"narrative", "name", "person_name"})
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Unreadable(ValueError):
    """A cell is not what its field needs."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def translate(*, record: RawRecord, mapping: FileMapping) -> Translated | Untranslatable:
    """Return the canonical form of a row, or why it cannot be understood."""
    try:
        cells = _Cells(read_cells(record.body, mapping=mapping), mapping)
        return Translated(noun=_READERS[mapping.stream](cells))
    except Unreadable as error:
        return _unclear(record, str(error), field=error.field)
    except UnicodeDecodeError:
        return _unclear(record, f"it is not {mapping.encoding}")
    except ValueError as error:
        return _unclear(record, str(error))


def read_cells(body: bytes, *, mapping: FileMapping) -> dict[str, str]:
    """Return the cells of a row and of what was joined to it, by column.

    :raises ValueError: the row is not a row of its header.
    """
    cells: dict[str, str] = {}
    own, *joined = body.split(SEPARATOR)
    for part in [*reversed(joined), own]:
        cells.update(parse_document(part, encoding=mapping.encoding, delimiter=mapping.delimiter))
    return cells


def seconds_of(cells: Mapping[str, str], *, mapping: FileMapping) -> int:
    """Return the time a row tells.

    :raises ValueError: it tells none.
    """
    return _seconds(_Cells(cells, mapping))


def _unclear(record: RawRecord, sentence: str, *, field: str = "") -> Untranslatable:
    return Untranslatable(
        reason="file.row_unreadable",
        message=f"line {record.line_number}: {sentence}",
        field=field,
    )


def _time_entry(cells: _Cells) -> TimeEntry:
    approval, word = cells.approval()
    approved_on = cells.day("approved_on")
    return TimeEntry(
        person_ref=cells.required("person_ref"),
        project_ref=cells.text("project_ref"),
        task_ref=cells.text("task_ref"),
        labor_category=cells.text("labor_category"),
        work_date=cells.day("work_date"),
        zone=cells.zone(),
        seconds=_seconds(cells),
        quantum_seconds=int(cells.mapping.constants["quantum_seconds"]),
        started_at=None,
        ended_at=None,
        billable=cells.yes_or_no("billable"),
        approval=approval,
        approval_word=word,
        approver_ref=cells.text("approver_ref"),
        approved_at=(
            None
            if approved_on is None
            else datetime.combine(approved_on, datetime.min.time(), tzinfo=UTC)
        ),
        created_at=None,
        narrative=cells.text("narrative"),
        extras=cells.extras(),
    )


def _staffing_fact(cells: _Cells) -> StaffingFact:
    return StaffingFact(
        fact=cells.required("fact"),
        person_email=cells.text("person_email"),
        person_name=cells.text("person_name"),
        employee_code=cells.text("employee_code"),
        entity_code=cells.text("entity_code"),
        project_code=cells.text("project_code"),
        labor_category=cells.text("labor_category"),
        starts_on=cells.day("starts_on"),
        ends_on=cells.day("ends_on"),
        approver_email=cells.text("approver_email"),
        deputy_email=cells.text("deputy_email"),
        manages_project=cells.yes_or_no("manages_project"),
        extras=cells.extras(),
    )


def _person(cells: _Cells) -> Person:
    is_active = cells.yes_or_no("is_active")
    return Person(
        name=cells.required("name"),
        email=cells.text("email"),
        employee_code=cells.text("employee_code"),
        entity_code=cells.text("entity_code"),
        is_active=True if is_active is None else is_active,
        employed_from=cells.day("employed_from"),
        employed_to=cells.day("employed_to"),
        cost_rate=cells.number("cost_rate"),
        extras=cells.extras(),
    )


def _seconds(cells: _Cells) -> int:
    name = "hours" if "hours" in cells.mapping.fields else "minutes"
    amount = cells.number(name)
    if amount is None:
        raise Unreadable(name, f"{name} is empty")
    return seconds_from_hours(amount if name == "hours" else amount / 60)


class _Cells:
    """Read cells by canonical name: the first column that is not empty, else the constant."""

    __slots__ = ("_cells", "mapping")

    def __init__(self, cells: Mapping[str, str], mapping: FileMapping) -> None:
        self._cells = cells
        self.mapping = mapping

    def word(self, name: str) -> str | None:
        """Return the cell's own word, before any table of values."""
        for column in self.mapping.fields.get(name, ()):
            cell = self._cells.get(column, "")
            if len(cell) > CELL_CHARACTERS_MAX:
                raise Unreadable(name, f"{column} is longer than {CELL_CHARACTERS_MAX} characters")
            if cell:
                return cell
        constant = self.mapping.constants.get(name)
        if constant is None:
            return None
        return str(constant).lower() if isinstance(constant, bool) else str(constant)

    def text(self, name: str) -> str | None:
        """Return a text; a code that looks like a formula is not one."""
        word = self.word(name)
        if word is None:
            return None
        if name not in _FREE_TEXT and word.startswith(_FORMULA):
            raise Unreadable(name, f"{name} begins like a formula")
        table = self.mapping.values.get(name)
        if table is None:
            return word
        if word not in table:
            raise Unreadable(name, f"{name} has a word that its table of values does not know")
        return table[word]

    def required(self, name: str) -> str:
        """Return a text that must be there."""
        text = self.text(name)
        if text is None:
            raise Unreadable(name, f"{name} is empty")
        return text

    def approval(self) -> tuple[Approval, str]:
        """Return what the table of values says about approval; an unknown word says nothing."""
        word = self.word("approval") or ""
        if "approval" not in self.mapping.fields:
            return Approval(word), word
        table = self.mapping.values.get("approval", {})
        return Approval(table.get(word, Approval.UNKNOWN)), word

    def number(self, name: str) -> Decimal | None:
        """Return an exact number."""
        text = self.word(name)
        if text is None:
            return None
        plain = text.replace(",", ".") if self.mapping.decimal_mark == "," else text
        try:
            number = Decimal(plain)
        except InvalidOperation:
            raise Unreadable(name, f"{name} is not a number") from None
        if not number.is_finite() or abs(number.adjusted()) > 12:
            raise Unreadable(name, f"{name} is not a number that can be meant")
        return number

    def day(self, name: str) -> date | None:
        """Return a civil date in the declared format, ISO where none is declared."""
        text = self.word(name)
        if text is None:
            return None
        form = self.mapping.formats.get(name)
        try:
            if form is None:
                return date.fromisoformat(text)
            return datetime.strptime(text, form).date()  # noqa: DTZ007 (a civil date has no zone)
        except ValueError:
            raise Unreadable(name, f"{name} is not a date such as the mapping says") from None

    def yes_or_no(self, name: str) -> bool | None:
        """Return a yes or no; another word is not guessed at."""
        text = self.text(name)
        if text is None:
            return None
        if text.lower() not in _YES:
            raise Unreadable(name, f"{name} is neither yes nor no")
        return _YES[text.lower()]

    def zone(self) -> str | None:
        """Return the name of a time zone that exists."""
        text = self.text("zone")
        if text is None:
            return None
        try:
            return ZoneInfo(text).key
        except (KeyError, ValueError, OSError):
            raise Unreadable("zone", "zone is not the name of a time zone") from None

    def extras(self) -> dict[str, str]:
        """Return the named extras that carry a value."""
        values = {name: self._cells.get(column) for name, column in self.mapping.extras.items()}
        return {name: value for name, value in values.items() if value}


_READERS: Mapping[str, Callable[[_Cells], Any]] = {
    "time_entries": _time_entry,
    "staffing": _staffing_fact,
    "people": _person,
}

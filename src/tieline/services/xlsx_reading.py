"""Read one sheet of an XLSX file that a person sent back: text as it stands, nothing computed, within limits."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree

from tieline.kernel.errors import UserMistake

FILE_BYTES_MAX = 64 * 1024 * 1024
_PART_BYTES_MAX = 512 * 1024 * 1024
_RATIO_MAX = 200
_ROWS_MAX = 200_000
_COLUMNS_MAX = 64
_NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_PLACE = re.compile(r"([A-Z]{1,3})(\d{1,7})")


def read_sheet(content: bytes, *, name: str) -> list[list[str]]:
    """Return the rows of a sheet, each cell as text.

    :raises UserMistake: it is no XLSX, has no such sheet, or is larger than a list should be.
    """
    if len(content) > FILE_BYTES_MAX:
        raise UserMistake(f"the file is larger than {FILE_BYTES_MAX} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            shared = _shared(book)
            return list(_rows(_part(book, _sheet_path(book, name)), shared))
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, NotImplementedError) as error:
        raise UserMistake(f"this is no XLSX file ({type(error).__name__})") from error


def _part(book: zipfile.ZipFile, name: str) -> bytes:
    found = book.getinfo(name)
    if found.file_size > _PART_BYTES_MAX or found.file_size > _RATIO_MAX * max(
        found.compress_size, 4096
    ):
        raise UserMistake(f"{name} unpacks to more than a list should hold")
    with book.open(found) as part:
        # What the directory of the archive says is not believed.
        content = part.read(found.file_size + 1)
    if len(content) > found.file_size or b"<!DOCTYPE" in content:
        raise UserMistake(f"{name} is no sheet that a program for tables wrote")
    return content


def _parsed(content: bytes) -> ElementTree.Element:
    # A DOCTYPE was refused before, so there are no entities to grow.
    return ElementTree.fromstring(content)  # noqa: S314


def _sheet_path(book: zipfile.ZipFile, name: str) -> str:
    workbook = _parsed(_part(book, "xl/workbook.xml"))
    relations = _parsed(_part(book, "xl/_rels/workbook.xml.rels"))
    targets = {each.get("Id"): each.get("Target", "") for each in relations}
    for sheet in workbook.iter(f"{_NAMESPACE}sheet"):
        if sheet.get("name") == name:
            target = targets.get(sheet.get(_RELATION), "")
            return target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    raise UserMistake(f"the file has no sheet {name}")


def _shared(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    table = _parsed(_part(book, "xl/sharedStrings.xml"))
    return [_text(each) for each in table.iter(f"{_NAMESPACE}si")]


def _rows(content: bytes, shared: list[str]) -> Iterator[list[str]]:
    count = 0
    for _, row in ElementTree.iterparse(io.BytesIO(content)):  # noqa: S314 - as above
        if row.tag != f"{_NAMESPACE}row":
            continue
        count += 1
        if count > _ROWS_MAX:
            raise UserMistake(f"the sheet has more than {_ROWS_MAX} rows")
        cells: list[str] = []
        for cell in row:
            column = _column(cell.get("r", ""), after=len(cells))
            cells += [""] * (column - len(cells)) + [_value(cell, shared)]
        yield cells
        row.clear()


def _column(place: str, *, after: int) -> int:
    found = _PLACE.fullmatch(place)
    if found is None:
        return after
    number = 0
    for letter in found[1]:
        number = number * 26 + ord(letter) - ord("A") + 1
    if not after < number <= _COLUMNS_MAX:
        raise UserMistake(f"cell {place} stands where none should")
    return number - 1


def _value(cell: ElementTree.Element, shared: list[str]) -> str:
    if cell.get("t") == "inlineStr":
        return _text(cell)
    value = cell.findtext(f"{_NAMESPACE}v") or ""
    if cell.get("t") != "s":
        return value
    if not value.isascii() or not value.isdigit() or int(value[:9]) >= len(shared):
        raise UserMistake("a cell names a text that the file does not have")
    return shared[int(value)]


def _text(element: ElementTree.Element) -> str:
    return "".join(each.text or "" for each in element.iter(f"{_NAMESPACE}t"))

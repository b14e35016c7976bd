"""Read one sheet of an XLSX file that a person sent back: text as it stands, nothing computed, within limits."""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree

from tieline.kernel.errors import UserMistake

FILE_BYTES_MAX = 64 * 1024 * 1024
_PART_BYTES_MAX = 256 * 1024 * 1024
# What says which sheets there are names a few.
_INDEX_BYTES_MAX = 4 * 1024 * 1024
_RATIO_MAX = 200
# So many elements stand outside of rows and texts, or within one, at most.
_ELEMENTS_MAX = 200_000
_TEXTS_MAX = 2_000_000
# A cell of a program for tables holds no more, and all cells of a list less than this.
_CELL_CHARACTERS_MAX = 32_767
_CHARACTERS_MAX = 64 * 1024 * 1024
_INDEX_DIGITS_MAX = 9
_ROWS_MAX = 200_000
_COLUMNS_MAX = 64
_NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_COUNTED = {"row": "rows", "si": "texts"}
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# No archive, none that is whole, one that is locked, or packed in a way that nobody here unpacks; no XML in it.
_NO_BOOK = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, LookupError, ElementTree.ParseError, ValueError),
)
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
    except _NO_BOOK as error:
        raise UserMistake(f"this is no XLSX file ({type(error).__name__})") from error


def _part(book: zipfile.ZipFile, name: str, *, bytes_max: int = _PART_BYTES_MAX) -> bytes:
    found = book.getinfo(name)
    if found.file_size > bytes_max or found.file_size > _RATIO_MAX * max(found.compress_size, 4096):
        raise UserMistake(f"{name} unpacks to more than a list should hold")
    with book.open(found) as part:
        # What the directory of the archive says is not believed.
        content = part.read(found.file_size + 1)
    # Two bytes for each letter would hide a DOCTYPE.
    if len(content) > found.file_size or b"<!DOCTYPE" in content or b"\0" in content:
        raise UserMistake(f"{name} is no sheet that a program for tables wrote")
    return content


def _parsed(content: bytes) -> ElementTree.Element:
    # A DOCTYPE was refused before, so there are no entities to grow.
    return ElementTree.fromstring(content)  # noqa: S314


def _sheet_path(book: zipfile.ZipFile, name: str) -> str:
    workbook = _parsed(_part(book, "xl/workbook.xml", bytes_max=_INDEX_BYTES_MAX))
    relations = _parsed(_part(book, "xl/_rels/workbook.xml.rels", bytes_max=_INDEX_BYTES_MAX))
    targets = {each.get("Id"): each.get("Target", "") for each in relations}
    for sheet in workbook.iter(f"{_NAMESPACE}sheet"):
        if sheet.get("name") == name:
            target = targets.get(sheet.get(_RELATION), "")
            return target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    raise UserMistake(f"the file has no sheet {name}")


def _shared(book: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    table = _part(book, "xl/sharedStrings.xml")
    return [_text(each) for each in _each(table, "si", count_max=_TEXTS_MAX)]


def _each(content: bytes, tag: str, *, count_max: int) -> Iterator[ElementTree.Element]:
    """Yield every element of a kind once it is whole, and let go of it then."""
    count = beside = 0
    for _, element in ElementTree.iterparse(io.BytesIO(content)):  # noqa: S314 - as above
        beside += 1
        if beside > _ELEMENTS_MAX:
            raise UserMistake(f"the file holds more than {_ELEMENTS_MAX} elements that are no list")
        if element.tag == f"{_NAMESPACE}{tag}":
            count, beside = count + 1, 0
            if count > count_max:
                raise UserMistake(f"the sheet has more than {count_max} {_COUNTED[tag]}")
            yield element
            element.clear()


def _rows(content: bytes, shared: list[str]) -> Iterator[list[str]]:
    characters = 0
    for row in _each(content, "row", count_max=_ROWS_MAX):
        cells: list[str] = []
        for cell in row:
            column = _column(cell.get("r", ""), after=len(cells))
            cells += [""] * (column - len(cells)) + [_value(cell, shared)]
        characters += sum(map(len, cells))
        if characters > _CHARACTERS_MAX:
            raise UserMistake("the cells of the sheet hold more than a list should")
        yield cells


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
        return _as_text(value)
    is_index = value.isascii() and value.isdigit() and len(value) <= _INDEX_DIGITS_MAX
    if not is_index or int(value) >= len(shared):
        raise UserMistake("a cell names a text that the file does not have")
    return shared[int(value)]


def _text(element: ElementTree.Element) -> str:
    return _as_text("".join(each.text or "" for each in element.iter(f"{_NAMESPACE}t")))


def _as_text(text: str) -> str:
    if len(text) > _CELL_CHARACTERS_MAX:
        raise UserMistake(f"a cell holds more than {_CELL_CHARACTERS_MAX} characters")
    return text

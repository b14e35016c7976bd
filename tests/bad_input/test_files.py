"""Whatever of the corpus a file holds, who reads it says what is wrong in a sentence, in time, and with an end."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.bad_input.corpus import Item, read_corpus
from tieline.app import InstalledSystems
from tieline.cli.tools import read_bytes, read_text
from tieline.connectors.filedrop.rows import parse_document, read_header, read_rows
from tieline.governance import verify_export
from tieline.kernel.errors import AskPerson, TielineError, UserMistake
from tieline.register import NOUNS
from tieline.register.reference_cells import read_cells
from tieline.services.beginning import read_firm
from tieline.services.client_dedupe import dedupe
from tieline.services.configuration import read_config_file
from tieline.services.connecting import read_written
from tieline.services.hours_file import read_context, read_hours
from tieline.services.policy_files import read_policy_file
from tieline.services.xlsx_reading import read_sheet

_SECONDS_MAX = 10
_SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PARTS = {
    "WORKBOOK": f'<workbook xmlns="{_SPREADSHEET}" xmlns:r="http://schemas.openxmlformats.org/'
    'officeDocument/2006/relationships"><sheets><sheet name="Links" r:id="r1"/></sheets></workbook>',
    "RELATIONS": '<r><R Id="r1" Target="worksheets/sheet1.xml"/></r>',
    "TEXTS": f'<sst xmlns="{_SPREADSHEET}"><si><t>a</t></si></sst>',
    "LONG": f'<sst xmlns="{_SPREADSHEET}"><si><t>%s</t></si></sst>',
    "CELL": f'<worksheet xmlns="{_SPREADSHEET}"><sheetData><row><c t="s"><v>%s</v></c></row></sheetData></worksheet>',
    "SHEET": f'<worksheet xmlns="{_SPREADSHEET}"><sheetData>%s</sheetData></worksheet>',
}
Reader = Callable[[bytes, Path], Any]


def _text(read: Callable[[str], Any]) -> Reader:
    def reader(_body: bytes, path: Path) -> Any:
        return read(read_text(path))

    return reader


def _read_dropped(path: Path) -> None:
    # As a delivery is read: its header first, then row after row, in each way a mapping may name.
    for encoding, delimiter in (("utf-8", ","), ("cp1252", ";")):
        read_header(path, encoding=encoding, delimiter=delimiter)
        for _ in read_rows(path, encoding=encoding, delimiter=delimiter):
            pass


def _read_one_row(body: bytes) -> None:
    # One row that cannot be read is that row's failure: the delivery goes on without it.
    with suppress(ValueError):
        parse_document(body, encoding="utf-8", delimiter=",")


_READERS: dict[str, Reader] = {
    "hours as CSV": lambda body, _: read_hours(body, name="hours.csv"),
    "hours as JSON": lambda body, _: read_hours(body, name="hours.json"),
    "the firm of hours": lambda body, _: read_context(body, name="firm.json"),
    "links as XLSX": lambda body, _: read_sheet(body, name="Links"),
    "clients as CSV": lambda _, path: dedupe(path, labels=0, say=lambda _: None),
    "a policy": _text(lambda text: read_policy_file(text, is_json=False)),
    "a policy as JSON": _text(lambda text: read_policy_file(text, is_json=True)),
    "a configuration": _text(read_config_file),
    "a firm": _text(read_firm),
    "a dropped file": lambda _, path: _read_dropped(path),
    "a row of a dropped file": lambda body, _: _read_one_row(body),
    "an export of the audit": lambda body, _: verify_export(io.BytesIO(body), anchors=()),
    **{
        f"a connection of {system}": _text(
            lambda text, system=system: read_written(  # type: ignore[misc]
                text, system=system, systems=InstalledSystems()
            )
        )
        for system in InstalledSystems().names()
    },
    **{
        f"reference data: {name}": lambda body, _, noun=noun: read_cells(body, noun=noun)  # type: ignore[misc]
        for name, noun in NOUNS.items()
    },
}
_LONG = 1_000_000


def test_bad_files_are_refused_in_a_sentence(tmp_path: Path, thorough: bool) -> None:
    wrong, read, slowest = [], 0, (0.0, "")
    path = tmp_path / "given"

    for item in read_corpus("files"):
        for body in _bodies(item):
            if len(body) > _LONG and not thorough:
                continue
            path.write_bytes(body)
            for name, reader in _READERS.items():
                began = time.monotonic()
                try:
                    reader(body, path)
                except TielineError as error:
                    if not 0 < len(str(error)) < 2000:
                        wrong.append((name, item.name, f"a sentence of {len(str(error))}"))
                except Exception as error:  # noqa: BLE001 - what is no sentence is what is looked for
                    wrong.append((name, item.name, repr(error)[:200]))
                read += 1
                slowest = max(slowest, (time.monotonic() - began, f"{name}: {item.name}"))

    assert wrong == []
    assert read > 500
    assert not thorough or slowest[0] < _SECONDS_MAX, slowest
    print(f"{read} files read; the slowest took {slowest[0]:.2f} s: {slowest[1]}")


def test_a_book_is_read_as_its_cells_stand_and_nothing_of_it_runs() -> None:
    cells = (
        '<c r="A1" t="str"><f>[1]Other!A1</f><v>told</v></c><c r="B1"><f>1/0</f></c>'
        '<c r="C1" t="inlineStr"><is><t>=1+1</t></is></c><c r="D1" t="s"><v>0</v></c>'
    )
    sheet = f'<dimension ref="A1:XFD1048576"/><sheetData><row r="1">{cells}</row></sheetData>'
    parts = {
        "xl/workbook.xml": _PARTS["WORKBOOK"],
        "xl/_rels/workbook.xml.rels": _PARTS["RELATIONS"],
        "xl/sharedStrings.xml": _PARTS["TEXTS"],
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{_SPREADSHEET}">{sheet}</worksheet>',
        "xl/externalLinks/externalLink1.xml": "<a/>",
        "xl/vbaProject.bin": "Sub Auto_Open",
    }
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as book:
        for name, content in parts.items():
            book.writestr(name, content)

    rows = read_sheet(held.getvalue(), name="Links")

    assert rows == [["told", "", "=1+1", "a"]]


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/proc/self/mem", "/"])
def test_a_file_without_an_end_is_refused(device: str) -> None:
    for read in (read_bytes, read_text):
        with pytest.raises(UserMistake):
            read(Path(device))
    with pytest.raises(UserMistake):
        dedupe(Path(device), labels=0, say=lambda _: None)


def _bodies(item: Item) -> Iterator[bytes]:
    if "zip" in item.facts or "members" in item.facts:
        yield _zipped(item)
        return
    body = item.document
    if b"HEADER" not in body and not item.facts.get("under_header"):
        yield body
        return
    # The same under a header that fits each reader.
    for noun in NOUNS.values():
        header = ",".join((*noun.key, "starts_on", *noun.values())).encode()
        yield body.replace(b"HEADER", header) if b"HEADER" in body else header + b"\n" + body
    yield body.replace(b"HEADER", b"record_id,name") if b"HEADER" in body else b"name\n" + body


def _zipped(item: Item) -> bytes:
    held = io.BytesIO()
    packed = zipfile.ZIP_LZMA if item.facts.get("is_broken") else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(held, "w", packed) as book:
        for number in range(item.facts.get("members", 0)):
            book.writestr(f"xl/{number}.xml", "<a/>")
        for name, content in item.facts.get("zip", ()):
            book.writestr(name, _part(content))
    body = bytearray(held.getvalue())
    if item.facts.get("is_locked"):
        for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = body.find(sign)
            while place >= 0:
                body[place + flags] |= 1
                place = body.find(sign, place + 4)
    if item.facts.get("is_broken"):
        body[60:80] = b"\xff" * 20
    return bytes(body)


def _part(content: Any) -> str | bytes:
    if isinstance(content, str):
        return _PARTS.get(content, content)
    if "encoded" in content:
        encoding, text = content["encoded"]
        return str(text).encode(encoding)
    unit, times = content["repeat"]
    around = _PARTS[content["around"]] if "around" in content else "%s"
    return around % (unit * times)


def test_a_dropped_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("login,password\nann,secret\n")
    link, pipe = tmp_path / "link.csv", tmp_path / "pipe.csv"
    link.symlink_to(tmp_path / "private")
    os.mkfifo(pipe)

    for path, why in ((link, "it is a link"), (pipe, "it is no file"), (tmp_path, "it is no file")):
        with pytest.raises(AskPerson, match=f"{path.name} cannot be read: {why}"):
            read_header(path, encoding="utf-8", delimiter=",")

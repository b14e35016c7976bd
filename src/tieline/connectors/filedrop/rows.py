"""Rows of a CSV file, one at a time, each with the exact bytes it was read from."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from tieline.kernel.errors import AskPerson, StreamBroken

LINE_BYTES_MAX = 1_048_576
ROW_LINES_MAX = 1_000
FIELD_CHARACTERS_MAX = 131_072
SEPARATOR = b"\x1d"  # Between the documents of one record: our row, then what was joined to it.


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record of a file: its cells, the line it begins on, and its bytes."""

    cells: tuple[str, ...]
    line_number: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first row of a file."""

    names: tuple[str, ...]
    body: bytes


def read_header(path: Path, *, encoding: str, delimiter: str) -> Header:
    """Return the header of a file.

    :raises AskPerson: the file cannot be read, there is none, or a column stands in it twice.
    """
    for row in _rows(path, encoding=encoding, delimiter=delimiter):
        names = tuple(name.strip().removeprefix("\ufeff") for name in row.cells)
        if len(set(names)) < len(names):
            raise AskPerson(f"{name_of(path)} has a column twice in its header")
        return Header(names=names, body=_ended(row.body))
    raise AskPerson(f"{name_of(path)} is empty: not even a header")


def read_rows(path: Path, *, encoding: str, delimiter: str) -> Iterator[Row]:
    """Yield every row after the header; blank lines are no rows."""
    rows = _rows(path, encoding=encoding, delimiter=delimiter)
    next(rows, None)
    for row in rows:
        if row.cells and any(row.cells):
            yield row


def spelled(text: str) -> str:
    """Return text as it can be told and stored: a byte of it that is no character is spelled."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def name_of(path: Path) -> str:
    """Return the name of a file as it can be told and stored."""
    return spelled(path.name)


def content_hash(path: Path) -> str:
    """Return SHA-256 over the bytes of a file.

    :raises AskPerson: it cannot be read.
    """
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def document(header: Header, body: bytes) -> bytes:
    """Put a row under its header, byte for byte, so that it can be read by itself."""
    return header.body + _ended(body)


def parse_document(body: bytes, *, encoding: str, delimiter: str) -> dict[str, str]:
    """Read a row under its header again.

    :raises ValueError: it is not one row of as many cells as the header has.
    """
    if b"\0" in body:
        raise ValueError("it holds a NUL byte")
    text = body.decode(encoding)
    try:
        rows = list(csv.reader(_lines(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    if len(rows) != 2:
        raise ValueError(f"it is {len(rows) - 1} rows")
    names, cells = ([cell.strip() for cell in row] for row in rows)
    if len(names) != len(cells):
        raise ValueError(f"it has {len(cells)} cells where the header has {len(names)}")
    return dict(zip((name.removeprefix("\ufeff") for name in names), cells, strict=True))


class ScratchIndex:
    """Keys of a file on disk, so that memory stays flat as files grow."""

    def __init__(self) -> None:
        # An empty name is a private temporary file that vanishes when closed.
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE k (key BLOB PRIMARY KEY, value BLOB, n INTEGER)")

    def close(self) -> None:
        """Give the space back."""
        self._database.close()

    def count(self, key: Sequence[str]) -> int:
        """Return how often the key was counted before, and count it."""
        packed = pack(key)
        row = self._database.execute(
            "INSERT INTO k VALUES (?, NULL, 1) ON CONFLICT (key) DO UPDATE SET n = n + 1"
            " RETURNING n - 1",
            (packed,),
        ).fetchone()
        return int(row[0])

    def put(self, key: Sequence[str], value: bytes) -> bool:
        """Keep a value; return False when another one stands under the key."""
        packed = pack(key)
        self._database.execute("INSERT OR IGNORE INTO k VALUES (?, ?, 1)", (packed, value))
        return self.get(key) == value

    def get(self, key: Sequence[str]) -> bytes | None:
        """Return the value under a key."""
        row = self._database.execute("SELECT value FROM k WHERE key = ?", (pack(key),)).fetchone()
        return None if row is None else bytes(row[0])


def pack(key: Sequence[str]) -> bytes:
    """Join the parts of a key so that no two keys look the same."""
    parts = [part.encode("utf-8", "surrogateescape") for part in key]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _rows(path: Path, *, encoding: str, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(FIELD_CHARACTERS_MAX)
    with _opened(path) as file:
        source = _Source(file, encoding=encoding, name=name_of(path))
        reader = csv.reader(source, delimiter=delimiter)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise AskPerson(f"{name_of(path)} line {source.first_line}: {error}") from error
            body, line_number = source.take()
            yield Row(cells=tuple(cells), line_number=line_number, body=body)


def _opened(path: Path) -> BufferedReader:
    # Whoever may drop a file may drop a link to one that they may not read, or a pipe that never ends.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise StreamBroken(f"{name_of(path)} was taken away while it was read") from error
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise AskPerson(f"{name_of(path)} cannot be read: {why}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AskPerson(f"{name_of(path)} cannot be read: it is no file")
    return os.fdopen(descriptor, "rb")


class _Source:
    """Hand lines to the CSV reader and remember the bytes of the row it is at."""

    def __init__(self, file: BinaryIO, *, encoding: str, name: str) -> None:
        self._file = file
        # A byte that is no character is told by the row that holds it, not by the whole file.
        self._encoding = "utf-8" if encoding == "utf-8-sig" else encoding
        self._name = name
        self._taken: list[bytes] = []
        self._line = 0
        self.first_line = 1

    def __iter__(self) -> _Source:
        return self

    def __next__(self) -> str:
        line = self._file.readline(LINE_BYTES_MAX + 1)
        if not line:
            raise StopIteration
        self._line += 1
        self._taken.append(line)
        if len(line) > LINE_BYTES_MAX or len(self._taken) > ROW_LINES_MAX:
            raise AskPerson(
                f"{self._name} line {self.first_line}: the row does not end; is a quote open?"
            )
        return line.decode(self._encoding, "surrogateescape")

    def take(self) -> tuple[bytes, int]:
        """Return the bytes of the row that was just read, and its first line."""
        body, first = b"".join(self._taken), self.first_line
        self._taken = []
        self.first_line = self._line + 1
        return body, first


def _ended(body: bytes) -> bytes:
    return body if body.endswith((b"\n", b"\r")) else body + b"\n"


def _lines(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n") if line]

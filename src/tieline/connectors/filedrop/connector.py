"""Files of a directory as pages: which are complete, which are new, and what they must add up to."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tieline.connectors.filedrop import rows as files
from tieline.connectors.filedrop import translate as words
from tieline.connectors.filedrop.mapping import (
    FileMapping,
    Join,
    mapping_mistakes,
    parse_mapping,
)
from tieline.connectors.filedrop.rows import Header, Row, ScratchIndex, name_of, spelled
from tieline.kernel.errors import AskPerson, StreamBroken, UserMistake
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    Connection,
    Page,
    RawRecord,
    Translated,
    Untranslatable,
    load_manifest,
)

MANIFEST: Capabilities = load_manifest(__package__)
PAGE_ROWS_MAX = 20_000
FILES_MAX = 10_000
FILE_BYTES_MAX = 4 * 1024**3
REMEMBERED_FILES_MAX = 2_000
_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload", ".done")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger("tieline.connectors.filedrop")


def build(connection: Connection) -> FileDropConnector:
    """Make the connector of one directory."""
    return FileDropConnector(connection=connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a file must add up to: told with every page, the same on each."""

    name: str
    hash: str
    rows: int
    seconds: int
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A complete file with its stand when it was found."""

    path: Path
    size: int
    modified_ns: int

    @property
    def modified_at(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.modified_ns // 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDropConnector:
    """Read the files that people drop into one directory."""

    connection: Connection

    def check(self) -> CheckReport:
        """Try the directory, the mappings, and the columns of what lies there."""
        items = [
            CheckItem(name="mapping", is_good=False, fix=mistake)
            for stream, table in self._tables().items()
            for mistake in mapping_mistakes(stream=stream, table=table)
        ]
        if not self._tables():
            items.append(CheckItem(name="mapping", is_good=False, fix="Declare a [files] mapping."))
        if items:
            return CheckReport(items=tuple(items))
        items.append(CheckItem(name="mapping", is_good=True))
        for stream in self._tables():
            items += self._check_columns(self._mapping(stream))
        return CheckReport(items=tuple(items))

    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        """Yield every new file as pages of one batch; a file that was read before is left out.

        The cursor tells of each file its name, hash and control totals.
        """
        done = [] if is_full else _remembered(cursor)
        if stream not in self._tables():
            yield Page(records=(), cursor=cursor or "", total=0, is_last=True)
            return
        mapping = self._mapping(stream)
        found = self._complete_files(mapping)
        repeated = 0
        for number, file in enumerate(found, start=1):
            with _JoinedFiles(self._directory(), mapping) as joined:
                content = _hash_of(file, joined)
                if any(one["hash"] == content for one in done):
                    repeated += 1
                    _log.info("file.repeated", extra={"file_name": name_of(file.path)})
                    continue
                control = _control(file, mapping, joined, content)
                before = _cursor(done, repeated)
                done = [*done, _as_json(control)][-REMEMBERED_FILES_MAX:]
                yield from _file_pages(
                    file, mapping, joined, control, before=before, after=_cursor(done, repeated)
                )
                _unchanged(file)
                _log.info(
                    "file.read", extra={"file_name": name_of(file.path), "file_number": number}
                )
        yield Page(records=(), cursor=_cursor(done, repeated), total=None, is_last=True)

    def translate(self, *, record: RawRecord) -> Translated | Untranslatable:
        """Return the canonical form; pure."""
        return words.translate(record=record, mapping=self._mapping(record.object))

    def _tables(self) -> Mapping[str, Mapping[str, Any]]:
        tables: Mapping[str, Mapping[str, Any]] = self.connection.config.get("files", {})
        return tables

    def _mapping(self, stream: str) -> FileMapping:
        return parse_mapping(stream=stream, table=self._tables()[stream])

    def _directory(self) -> Path:
        directory = Path(str(self.connection.config.get("directory", "")))
        if not directory.is_absolute() or not directory.is_dir():
            raise AskPerson(f"{directory} is not a directory that can be read")
        return directory

    def _check_columns(self, mapping: FileMapping) -> list[CheckItem]:
        try:
            paths = [one.path for one in _matching(self._directory(), mapping.pattern)]
            joined = [
                one.path
                for join in mapping.joins
                for one in _matching(self._directory(), join.pattern)[-1:]
            ]
            headers = [
                files.read_header(path, encoding=mapping.encoding, delimiter=mapping.delimiter)
                for path in [*paths[-1:], *joined]
            ]
        except (AskPerson, OSError) as error:
            return [CheckItem(name="directory", is_good=False, fix=str(error))]
        if not paths:
            return [CheckItem(name="directory", is_good=True)]
        known = {name for header in headers for name in header.names}
        return [CheckItem(name="directory", is_good=True)] + [
            CheckItem(
                name="column", is_good=False, fix=f"{name_of(paths[-1])} has no column {column}"
            )
            # An extra is a column that a file may have.
            for column in sorted(mapping.columns() - set(mapping.extras.values()) - known)
        ]

    def _complete_files(self, mapping: FileMapping) -> list[_File]:
        """Return files that nobody is still writing, the oldest first."""
        first = _matching(self._directory(), mapping.pattern)
        if mapping.has_done_marker:
            complete = [one for one in first if _marker(one.path).exists()]
        elif first and mapping.stable_seconds > 0:
            threading.Event().wait(mapping.stable_seconds)
            complete = [one for one in first if _find_stand(one.path) == one]
        else:
            complete = first
        for one in first:
            if one not in complete:
                _log.info("file.unfinished", extra={"file_name": name_of(one.path)})
            if one.size > FILE_BYTES_MAX:
                raise AskPerson(f"{name_of(one.path)} is larger than {FILE_BYTES_MAX} bytes")
        return complete


class _JoinedFiles:
    """The second files of a mapping, indexed on disk by their key."""

    def __init__(self, directory: Path, mapping: FileMapping) -> None:
        self._mapping = mapping
        self._loaded: list[tuple[Join, Header, ScratchIndex]] = []
        self._directory = directory
        self.hashes: list[str] = []

    def __enter__(self) -> _JoinedFiles:
        try:
            for join in self._mapping.joins:
                self._load(join)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for _join, _header, index in self._loaded:
            index.close()

    def documents(self, cells: Mapping[str, str]) -> list[bytes]:
        """Return what stands under the row's keys in the second files."""
        found = []
        for join, header, index in self._loaded:
            body = index.get([cells.get(column, "") for column in join.our_columns])
            if body is not None:
                found.append(files.document(header, body))
        return found

    def _load(self, join: Join) -> None:
        found = _matching(self._directory, join.pattern)
        if len(found) != 1:
            raise AskPerson(f"{len(found)} files are named {join.pattern}; one is to be joined")
        path, index = found[0].path, ScratchIndex()
        encoding, delimiter = self._mapping.encoding, self._mapping.delimiter
        header = files.read_header(path, encoding=encoding, delimiter=delimiter)
        self._loaded.append((join, header, index))
        places = _places(path, header, join.columns)
        for row in files.read_rows(path, encoding=encoding, delimiter=delimiter):
            key = _key(row, places)
            if key is None:
                raise AskPerson(
                    f"{name_of(path)} line {row.line_number} is shorter than its header"
                )
            if not index.put(key, row.body.rstrip(b"\r\n")):
                raise AskPerson(
                    f"{name_of(path)} line {row.line_number}: another row stands under the same key"
                    " and says something else"
                )
        self.hashes.append(files.content_hash(path))


def _control(file: _File, mapping: FileMapping, joined: _JoinedFiles, content: str) -> Control:
    """Count a file before any of it is handed on; equal keys are an error of the whole file."""
    count, seconds, unreadable = 0, 0, 0
    for _row, record in _records(file, mapping, joined):
        count += 1
        if mapping.stream != "time_entries":
            continue
        try:
            cells = words.read_cells(record.body, mapping=mapping)
            seconds += words.seconds_of(cells, mapping=mapping)
        except ValueError:
            unreadable += 1
    return Control(
        name=name_of(file.path), hash=content, rows=count, seconds=seconds, unreadable=unreadable
    )


def _file_pages(
    file: _File,
    mapping: FileMapping,
    joined: _JoinedFiles,
    control: Control,
    *,
    before: str,
    after: str,
) -> Iterator[Page]:
    page: list[RawRecord] = []
    count = 0
    for _row, record in _records(file, mapping, joined):
        if len(page) == PAGE_ROWS_MAX:
            yield Page(records=tuple(page), cursor=before, total=control.rows, is_last=False)
            page = []
        page.append(record)
        count += 1
    if count != control.rows:
        raise StreamBroken(f"{name_of(file.path)} had {control.rows} rows and now has {count}")
    yield Page(records=tuple(page), cursor=after, total=control.rows, is_last=False)


def _records(
    file: _File, mapping: FileMapping, joined: _JoinedFiles
) -> Iterator[tuple[Row, RawRecord]]:
    path, encoding, delimiter = file.path, mapping.encoding, mapping.delimiter
    header = files.read_header(path, encoding=encoding, delimiter=delimiter)
    places = _places(path, header, mapping.key)
    seen = ScratchIndex()
    try:
        for row in files.read_rows(path, encoding=encoding, delimiter=delimiter):
            yield (
                row,
                RawRecord(
                    object=mapping.stream,
                    source_ref=_source_ref(file, mapping, row, places, seen),
                    body=_body(header, row, joined),
                    source_at=file.modified_at,
                    line_number=row.line_number,
                ),
            )
    finally:
        seen.close()


def _source_ref(
    file: _File, mapping: FileMapping, row: Row, places: list[int], seen: ScratchIndex
) -> str:
    key = _key(row, places)
    if key is None or not any(key):
        # Its key cannot be read: the row keeps its place in this file, and becomes a case.
        return f"line {row.line_number} of {name_of(file.path)}"
    before = seen.count(key)
    reference = "/".join(part.replace("\\", "\\\\").replace("/", "\\/") for part in key)
    reference = spelled(reference).replace("\0", "\\0")
    if before == 0:
        return reference
    if mapping.repeats != "ordinal":
        raise AskPerson(
            f"{name_of(file.path)} line {row.line_number}: its key stands in the file already;"
            ' say repeats = "ordinal" if that is meant'
        )
    return f"{reference}#{before + 1}"


def _body(header: Header, row: Row, joined: _JoinedFiles) -> bytes:
    cells = dict(zip(header.names, (cell.strip() for cell in row.cells), strict=False))
    parts = [files.document(header, row.body), *joined.documents(cells)]
    return files.SEPARATOR.join(parts)


def _places(path: Path, header: Header, columns: tuple[str, ...]) -> list[int]:
    missing = [column for column in columns if column not in header.names]
    if missing:
        raise AskPerson(f"{name_of(path)} has no column {', '.join(missing)}")
    return [header.names.index(column) for column in columns]


def _key(row: Row, places: list[int]) -> tuple[str, ...] | None:
    if max(places) >= len(row.cells):
        return None
    return tuple(row.cells[place].strip() for place in places)


def _matching(directory: Path, pattern: str) -> list[_File]:
    """Return the files of a pattern that lie there, the oldest first."""
    found = []
    for path in directory.iterdir():
        is_meant = fnmatch.fnmatchcase(path.name, pattern) and not path.name.startswith(".")
        if is_meant and not path.name.endswith(_UNFINISHED) and path.is_file():
            stand = _find_stand(path)
            found += [stand] if stand else []
        if len(found) > FILES_MAX:
            raise AskPerson(f"more than {FILES_MAX} files are named {pattern}; archive some")
    return sorted(found, key=lambda one: (one.modified_ns, one.path.name))


def _find_stand(path: Path) -> _File | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        # Taken away by somebody at this moment.
        return None
    return _File(path=path, size=stat.st_size, modified_ns=stat.st_mtime_ns)


def _unchanged(file: _File) -> None:
    if _find_stand(file.path) != file:
        raise StreamBroken(f"{name_of(file.path)} was changed while it was read")


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.done")


def _hash_of(file: _File, joined: _JoinedFiles) -> str:
    parts = [files.content_hash(file.path), *joined.hashes]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def _as_json(control: Control) -> dict[str, Any]:
    return {
        "name": control.name,
        "hash": control.hash,
        "rows": control.rows,
        "seconds": control.seconds,
        "unreadable": control.unreadable,
    }


def _cursor(done: list[dict[str, Any]], repeated: int) -> str:
    return json.dumps({"files": done, "repeated": repeated}, sort_keys=True)


def _remembered(cursor: str | None) -> list[dict[str, Any]]:
    if not cursor:
        return []
    try:
        remembered: list[dict[str, Any]] = json.loads(cursor)["files"]
    except (ValueError, KeyError) as error:
        raise UserMistake("the cursor of this stream is not one of a file drop") from error
    return remembered

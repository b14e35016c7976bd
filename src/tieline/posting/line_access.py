"""The lines of one target, sent, found and taken back in the ways that its manifest names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast
from uuid import UUID

from tieline.canonical import TimeLineCommand
from tieline.canonical.commands import content_hash
from tieline.runtime.database import Database
from tieline.sdk import (
    CounterDocument,
    CountersLines,
    ImportsLines,
    LineAnswer,
    NounWrite,
    StoredCounter,
    StoredLine,
    Strategy,
    Undo,
    WritesTimeLines,
)
from tieline.sdk.directory import Connectors


@dataclass(frozen=True, slots=True, kw_only=True)
class LineAccess:
    """What may be asked of a target about its lines; nothing here decides what came of it."""

    database: Database
    connector: Any
    write: NounWrite
    entity_code: str

    @property
    def can_be_asked(self) -> bool:
        """Say whether the target finds a line again."""
        return self.write.strategy is not Strategy.ONCE_THEN_CASE

    @property
    def refuses_twice(self) -> bool:
        """Say whether the target itself refuses or replaces a second line of a key."""
        return self.write.strategy in (Strategy.NATIVE_KEY, Strategy.UPSERT, Strategy.UNIQUE_FIELD)

    def send(self, commands: Sequence[TimeLineCommand]) -> Sequence[LineAnswer]:
        """Send a batch once; the errors of the connector pass through."""
        if self.write.strategy is not Strategy.IMPORT_BATCH:
            writer = cast(WritesTimeLines, self.connector)
            return writer.write_lines(entity_code=self.entity_code, lines=commands)
        number = document_number(commands)
        self._note(number, [command.business_key for command in commands])
        importer = cast(ImportsLines, self.connector)
        return importer.import_lines(entity_code=self.entity_code, number=number, lines=commands)

    def read(self, keys: Sequence[UUID]) -> list[StoredLine]:
        """Return what stands under the keys, in whatever documents they ever travelled."""
        if self.write.strategy is not Strategy.IMPORT_BATCH:
            writer = cast(WritesTimeLines, self.connector)
            return writer.read_lines(entity_code=self.entity_code, keys=keys)
        importer = cast(ImportsLines, self.connector)
        asked = set(keys)
        return [
            line
            for number in self._documents(keys)
            for line in importer.read_import(entity_code=self.entity_code, number=number)
            if line.business_key in asked
        ]

    def void(self, keys: Sequence[UUID]) -> None:
        """Take lines back by their keys."""
        writer = cast(WritesTimeLines, self.connector)
        writer.void_lines(entity_code=self.entity_code, keys=keys)

    def undo_of(self, *, books_on: date | None) -> Undo:
        """Say how a line is taken back: in a closed period only by what may carry another day."""
        return self.write.undo if books_on is None else self.write.undo_in_closed_period

    def counter(self, documents: Sequence[CounterDocument], *, undo: Undo) -> None:
        """Take lines back by lines or documents of their own, each under its own key."""
        if undo is Undo.COUNTER_LINE:
            self.send([_counter_line(each) for each in documents])
            return
        writer = cast(CountersLines, self.connector)
        writer.write_counters(entity_code=self.entity_code, counters=documents)

    def read_counters(self, keys: Sequence[UUID], *, undo: Undo) -> Sequence[StoredCounter]:
        """Return what stands under the keys of what takes back."""
        if undo is not Undo.COUNTER_LINE:
            writer = cast(CountersLines, self.connector)
            return writer.read_counters(entity_code=self.entity_code, keys=keys)
        return [
            StoredCounter(
                business_key=line.business_key,
                target_code=line.target_code,
                seconds=line.seconds,
            )
            for line in self.read(keys)
            if line.business_key is not None
        ]

    def _note(self, number: UUID, keys: Sequence[UUID]) -> None:
        # Committed before the first byte leaves: whoever comes after us asks by this number.
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO line_document (business_key, document_key)"
                " SELECT k, %s FROM unnest(%s::uuid[]) k ON CONFLICT DO NOTHING",
                (number, list(keys)),
            )

    def _documents(self, keys: Sequence[UUID]) -> list[UUID]:
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT DISTINCT document_key FROM line_document WHERE business_key = ANY (%s)",
                (list(keys),),
            ).fetchall()
        return [row["document_key"] for row in rows]


def open_lines(
    *, database: Database, connectors: Connectors, target_connection: str, entity_code: str
) -> LineAccess:
    """Return the access to a target's lines.

    :raises LookupError: the target takes no time lines.
    """
    capabilities = connectors.capabilities(connection_key=target_connection)
    return LineAccess(
        database=database,
        connector=connectors.get(connection_key=target_connection),
        write=capabilities.write_of(TimeLineCommand.noun),
        entity_code=entity_code,
    )


def document_number(commands: Sequence[TimeLineCommand]) -> UUID:
    """Return the number of a document: the same lines with the same content have the same."""
    digest = hashlib.sha256()
    for command in sorted(commands, key=lambda each: each.business_key):
        digest.update(command.business_key.bytes)
        digest.update(bytes.fromhex(content_hash(command.content())))
    return UUID(bytes=digest.digest()[:16])


def _counter_line(document: CounterDocument) -> TimeLineCommand:
    line = document.undoes
    return TimeLineCommand(
        business_key=document.business_key,
        entity_code=line.entity_code,
        person_code=line.person_code,
        task_code=line.task_code,
        work_date=document.books_on or line.work_date,
        seconds=-line.seconds,
        narrative=None,
    )

"""A file in Tryton's own import layout is loaded by Tryton itself, and every line comes out as sent."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.rooms.sandbox_erp.conftest import connection_to, new_key
from tests.rooms.sandbox_erp.test_connector import ENTITY, Job, job

from tieline.canonical import TimeLineCommand
from tieline.connectors.tryton.transport import Sessions
from tieline.kernel.errors import AlreadyExists, Refused
from tieline.posting.import_file import write_rows
from tieline.sdk import ImportLine, StoredLine, Untranslatable

__all__ = ["job"]
pytestmark = pytest.mark.erp


class Desk:
    """Somebody of finance at Tryton's client, which sends the words of a file as they stand in it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        sessions = Sessions(connection=connection_to(job.erp.running), transport=None)
        self.session = sessions.get(entity_code=ENTITY)
        self.since = datetime.now(UTC)

    def file(self, lines: Sequence[TimeLineCommand]) -> bytes:
        connector = self.job.erp.connector
        rows = [connector.import_row(line=self.line(each)) for each in lines]
        assert not any(isinstance(row, Untranslatable) for row in rows)
        return write_rows(layout=connector.import_layout(), rows=rows)  # type: ignore[arg-type]

    def line(self, command: TimeLineCommand) -> ImportLine:
        tasks = {
            self.job.old_rate_code: self.job.old_rate.business_key,
            self.job.new_rate_code: self.job.new_rate.business_key,
        }
        return ImportLine(
            command=command,
            employee_code="E-1",
            work_code=None,
            task_key=tasks[command.task_code],
        )

    def load(self, content: bytes) -> int:
        header, *rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        found: int = self.session.write("model.timesheet.line.import_data", header, rows)
        return found

    def found(self, lines: Sequence[TimeLineCommand]) -> list[StoredLine]:
        return self.job.erp.connector.find_loaded(entity_code=ENTITY, lines=lines, since=self.since)

    def descriptions(self, found: Sequence[StoredLine]) -> set[Any]:
        rows = self.session.search(
            "timesheet.line",
            [["id", "in", [int(line.target_code) for line in found]]],
            ["description", "uuid"],
        )
        return {(row["description"], row["uuid"]) for row in rows}


class TestAFile:
    def test_is_loaded_by_tryton_as_sent_and_found_by_its_key(self, job: Job) -> None:
        desk = Desk(job)
        lines = [
            *(replace(line, narrative='=2+3;"quoted", \n@next') for line in job.october(1, 5400)),
            *(replace(line, narrative=None) for line in job.november(86399)),
        ]

        assert desk.load(desk.file(lines)) == 3
        loaded = desk.found(lines)

        assert {line.business_key: line.content() for line in loaded} == {
            line.business_key: line.content() for line in lines
        }
        job.erp.connector.adopt_lines(entity_code=ENTITY, lines=loaded)
        job.erp.connector.adopt_lines(entity_code=ENTITY, lines=loaded)
        keys = [line.business_key for line in lines]
        stored = job.erp.connector.read_lines(entity_code=ENTITY, keys=keys)
        assert {line.business_key: line.content() for line in stored} == {
            line.business_key: line.content() for line in lines
        }
        words = {
            (line.narrative and '=2+3;"quoted",  @next', str(line.business_key)) for line in lines
        }
        assert desk.descriptions(stored) == words
        with pytest.raises(AlreadyExists):
            job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)

    def test_that_is_loaded_twice_shows_every_line_twice(self, job: Job) -> None:
        desk = Desk(job)
        lines = job.october(3600, 1800)
        desk.load(desk.file(lines))
        job.erp.connector.adopt_lines(entity_code=ENTITY, lines=desk.found(lines))

        desk.load(desk.file(lines))

        keys = [line.business_key for line in desk.found(lines)]
        assert sorted(keys, key=str) == sorted([line.business_key for line in lines] * 2, key=str)

    def test_with_one_line_that_tryton_refuses_stores_nothing(self, job: Job) -> None:
        desk = Desk(job)
        lines = job.october(3600, 1800)
        first, _, second = desk.file(lines).rpartition(b",E-1,")

        with pytest.raises(Refused):
            desk.load(first + b",E-99," + second)

        assert desk.found(lines) == []

    def test_whose_key_was_taken_out_is_found_by_content_and_not_what_stood_before(
        self, job: Job
    ) -> None:
        desk = Desk(job)
        (line,) = job.october(4321)
        desk.load(desk.file([line]).replace(b"TL-", b"by hand "))

        (found,) = desk.found([line])
        desk.since += timedelta(hours=1)

        assert (found.business_key, found.content()) == (None, line.content())
        assert desk.found([line]) == []

    def test_leaves_out_whom_nobody_read(self, job: Job) -> None:
        desk = Desk(job)
        (command,) = job.october(60)
        known = desk.line(command)
        connector = job.erp.connector

        nobody = connector.import_row(line=replace(known, employee_code=None))
        nowhere = connector.import_row(line=replace(known, task_key=None))
        coded = connector.import_row(line=replace(known, task_key=new_key(), work_code="T-1"))

        assert isinstance(nobody, Untranslatable)
        assert isinstance(nowhere, Untranslatable)
        assert coded[2] == "T-1"  # type: ignore[index]

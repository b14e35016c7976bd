"""The file drop: complete files only, each once, with its totals; bad rows with their line."""

from __future__ import annotations

import json
import os
import threading
import time
import tomllib
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tieline.canonical import Approval, StaffingFact, TimeEntry
from tieline.connectors import filedrop
from tieline.kernel.errors import AskPerson, UserMistake
from tieline.sdk import Connection, Page, RawRecord, Translated, Untranslatable

EXAMPLES = Path(__file__).parents[3] / "examples"
HEADER = "id,who,project,task,day,hours,state,note\n"
ROW = "{id},P-1,EW-001,Build,2026-10-01,7.50,APPROVED,Review\n"
MAPPING: dict[str, Any] = {
    "pattern": "time*.csv",
    "key": ["id"],
    "stable_seconds": 0,
    "fields": {
        "person_ref": "who",
        "project_ref": "project",
        "task_ref": "task",
        "work_date": "day",
        "hours": "hours",
        "approval": "state",
        "narrative": "note",
    },
    "values": {"approval": {"approved": ["APPROVED"], "not_approved": ["OPEN"]}},
    "constants": {"quantum_seconds": 36},
}


def _connector(directory: Path, **changes: Any) -> filedrop.FileDropConnector:
    config = {"directory": str(directory), "files": {"time_entries": {**MAPPING, **changes}}}
    return filedrop.build(
        Connection(
            connection_key="drop",
            base_url="",
            config=config,
            secrets={},
            allowed_hosts=frozenset(),
        )
    )


def _pages(connector: filedrop.FileDropConnector, cursor: str | None = None) -> list[Page]:
    return list(connector.pages(stream="time_entries", cursor=cursor, is_full=False))


def _records(connector: filedrop.FileDropConnector) -> list[RawRecord]:
    return [record for page in _pages(connector) for record in page.records]


class TestAFile:
    def test_is_read_once_with_its_control_totals(self, tmp_path: Path) -> None:
        (tmp_path / "time-1.csv").write_text(HEADER + ROW.format(id=1) + ROW.format(id=2))
        connector = _connector(tmp_path)

        first = _pages(connector)
        cursor = json.loads(first[-1].cursor)
        (tmp_path / "time-2.csv").write_bytes((tmp_path / "time-1.csv").read_bytes())
        again = _pages(connector, first[-1].cursor)

        assert [record.source_ref for page in first for record in page.records] == ["1", "2"]
        (told,) = cursor["files"]
        assert (told["rows"], told["seconds"], told["unreadable"]) == (2, 54_000, 0)
        assert [page.records for page in again] == [()]
        assert json.loads(again[-1].cursor)["repeated"] == 2

    @pytest.mark.parametrize("name", ["time.csv.part", ".time.csv", "time.csv.tmp", "other.csv"])
    def test_of_another_name_is_left_alone(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text(HEADER + ROW.format(id=1))

        assert _records(_connector(tmp_path)) == []

    def test_that_still_grows_is_left_for_later(self, tmp_path: Path) -> None:
        path = tmp_path / "time.csv"
        path.write_text(HEADER + ROW.format(id=1))
        connector = _connector(tmp_path, stable_seconds=1)
        writer = threading.Timer(0.3, lambda: path.write_text(path.read_text() + ROW.format(id=2)))
        writer.start()

        first = _records(connector)
        writer.join()

        assert first == []
        assert len(_records(_connector(tmp_path))) == 2

    def test_waits_for_its_marker_where_one_is_declared(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text(HEADER + ROW.format(id=1))
        connector = _connector(tmp_path, done_marker=True)

        before = _records(connector)
        (tmp_path / "time.csv.done").touch()

        assert before == []
        assert len(_records(connector)) == 1

    def test_with_equal_keys_is_refused_whole(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text(HEADER + ROW.format(id=1) * 2)

        with pytest.raises(AskPerson, match="line 3"):
            _records(_connector(tmp_path))

    def test_counts_equal_keys_where_that_is_declared(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text(HEADER + ROW.format(id=1) * 3)

        records = _records(_connector(tmp_path, repeats="ordinal"))

        assert [record.source_ref for record in records] == ["1", "1#2", "1#3"]

    def test_without_the_key_column_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text("a,b\n1,2\n")

        with pytest.raises(AskPerson, match="no column id"):
            _records(_connector(tmp_path))

    def test_with_a_quote_that_never_ends_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text(HEADER + '1,"' + "x,\n" * 2_000)

        with pytest.raises(AskPerson, match="quote"):
            _records(_connector(tmp_path))

    def test_is_told_by_a_name_that_can_be_stored(self, tmp_path: Path) -> None:
        # Windows' encoding in a name on a share: no text of a database holds such a byte.
        name = os.path.join(os.fsencode(tmp_path), b"time-b\xfcro.csv")
        with open(name, "w", encoding="utf-8") as file:
            file.write(HEADER + ",P-1\n")

        (record,) = _records(_connector(tmp_path))

        assert record.source_ref == "line 2 of time-b\\xfcro.csv"

    def test_that_may_not_be_read_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "time.csv").write_text(HEADER)

        def deny(*_words: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", deny)

        with pytest.raises(AskPerson, match=r"time.csv cannot be read: Permission denied"):
            _records(_connector(tmp_path))

    def test_keeps_memory_flat_as_it_grows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filedrop.connector, "PAGE_ROWS_MAX", 1_000)
        peaks = []
        for rows in (2_000, 10_000):
            with (tmp_path / "time.csv").open("w") as file:
                file.write(HEADER)
                file.writelines(ROW.format(id=number) for number in range(rows))
            tracemalloc.start()
            for _page in _connector(tmp_path).pages(
                stream="time_entries", cursor=None, is_full=True
            ):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

        assert peaks[1] < peaks[0] * 1.2


class TestARow:
    def test_keeps_its_bytes_under_its_header(self, tmp_path: Path) -> None:
        body = '7,P-1,EW-001,Build,2026-10-01,0.33,APPROVED,"two\r\nlines, ""quoted"""\r\n'
        (tmp_path / "time.csv").write_bytes(HEADER.encode() + body.encode() + b"\r\n")
        connector = _connector(tmp_path)

        (record,) = _records(connector)
        hour = _hour(connector.translate(record=record))

        assert record.body == HEADER.encode() + body.encode()
        assert hour.narrative == 'two\r\nlines, "quoted"'
        assert (hour.seconds, hour.approval) == (1188, Approval.APPROVED)
        assert hour.work_date == date(2026, 10, 1)

    @pytest.mark.parametrize(
        ("row", "field"),
        [
            (b"1,P-1,EW-001,Build,01.10.2026,7.5,APPROVED,\n", "work_date"),
            (b"1,P-1,EW-001,Build,2026-10-01,seven,APPROVED,\n", "hours"),
            (b"1,P-1,EW-001,Build,2026-10-01,NaN,APPROVED,\n", "hours"),
            (b"1,P-1,EW-001,Build,2026-10-01,1e99,APPROVED,\n", "hours"),
            (b"1,P-1,EW-001,Build,2026-10-01,,APPROVED,\n", "hours"),
            (b"1,,EW-001,Build,2026-10-01,7.5,APPROVED,\n", "person_ref"),
            (b"1,=cmd(),EW-001,Build,2026-10-01,7.5,APPROVED,\n", "person_ref"),
            (b"1,P-1,EW-001,Build,2026-10-01,7.5,APPROVED," + b"x" * 5_000 + b"\n", "narrative"),
            (b"1,P-1\n", ""),
            (b"1,P-1,EW-001,Build,2026-10-01,7.5,APPROVED,a\0b\n", ""),
            (b"1,P-1,EW-001,Build,2026-10-01,7.5,APPROVED,\xff\xfe\n", ""),
        ],
    )
    def test_that_cannot_be_read_is_told_with_its_line(
        self, tmp_path: Path, row: bytes, field: str
    ) -> None:
        (tmp_path / "time.csv").write_bytes(HEADER.encode() + ROW.format(id=9).encode() + row)
        connector = _connector(tmp_path)

        good, bad = _records(connector)
        result = connector.translate(record=bad)

        assert isinstance(connector.translate(record=good), Translated)
        assert isinstance(result, Untranslatable)
        assert (bad.line_number, result.field) == (3, field)
        assert result.message.startswith("line 3: ")

    def test_with_an_unknown_word_of_approval_is_not_guessed_at(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text(HEADER + ROW.format(id=1).replace("APPROVED", "PERHAPS"))
        connector = _connector(tmp_path)

        (record,) = _records(connector)

        hour = _hour(connector.translate(record=record))
        assert (hour.approval, hour.approval_word) == (Approval.UNKNOWN, "PERHAPS")


class TestASecondFile:
    JOIN: ClassVar[dict[str, object]] = {
        "dates": {"pattern": "dates*.csv", "key": {"task": "code"}}
    }

    def test_is_joined_by_key_and_equal_rows_collapse(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text(HEADER + ROW.format(id=1))
        (tmp_path / "dates.csv").write_text("code,done\nBuild,2026-10-09\nBuild,2026-10-09\n")
        fields = {**MAPPING["fields"], "work_date": ["done", "day"]}
        connector = _connector(tmp_path, join=self.JOIN, fields=fields)

        (record,) = _records(connector)

        assert _hour(connector.translate(record=record)).work_date == date(2026, 10, 9)

    def test_that_says_two_things_of_one_key_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text(HEADER + ROW.format(id=1))
        (tmp_path / "dates.csv").write_text("code,done\nBuild,2026-10-09\nBuild,2026-10-10\n")

        with pytest.raises(AskPerson, match="line 3"):
            _records(_connector(tmp_path, join=self.JOIN))


class TestAMapping:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"key": []}, "has no key"),
            ({"fields": {**MAPPING["fields"], "mood": "note"}}, "mood is not a canonical field"),
            ({"encoding": "utf-16"}, "encoding"),
            ({"repeats": "ignore"}, "repeats"),
            ({"colour": "red"}, "colour is not a word"),
            ({"values": {"approval": {"perhaps": ["X"]}}}, "perhaps is not an approval"),
            ({"constants": {}}, "quantum_seconds"),
        ],
    )
    def test_that_cannot_be_meant_is_refused(
        self, tmp_path: Path, changes: dict[str, Any], sentence: str
    ) -> None:
        connector = _connector(tmp_path, **changes)

        assert any(sentence in item.fix for item in connector.check().items)
        with pytest.raises(UserMistake, match=sentence):
            _pages(connector)

    def test_that_names_a_missing_column_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "time.csv").write_text(HEADER.replace("note", "remark") + ROW.format(id=1))

        fixes = [item.fix for item in _connector(tmp_path).check().items if not item.is_good]

        assert fixes == ["time.csv has no column note"]


class TestTheExamples:
    @pytest.mark.parametrize("name", ["sip", "staffing"])
    def test_can_be_used_as_they_stand(self, name: str, tmp_path: Path) -> None:
        config = tomllib.loads((EXAMPLES / f"{name}.toml").read_text())
        connection = Connection(
            connection_key=name,
            base_url="",
            config={**config, "directory": str(tmp_path)},
            secrets={},
            allowed_hosts=frozenset(),
        )

        assert filedrop.build(connection).check().is_good

    def test_real_work_records_add_up(self) -> None:
        folder = Path(os.environ.get("TIELINE_SHARED", "../shared")).resolve() / "data" / "sip"
        if not folder.is_dir():
            pytest.skip("the real work records are not here; set TIELINE_SHARED to read them")
        config = tomllib.loads((EXAMPLES / "sip.toml").read_text())
        connection = Connection(
            connection_key="sip",
            base_url="",
            config={**config, "directory": str(folder)},
            secrets={},
            allowed_hosts=frozenset(),
        )
        connector = filedrop.build(connection)

        started = time.monotonic()
        records = _records(connector)
        hours = [_hour(connector.translate(record=record)) for record in records]

        approved = [hour for hour in hours if hour.approval is Approval.APPROVED]
        assert len({record.source_ref for record in records}) == 12_299
        assert (len(approved), len(hours) - len(approved)) == (12_014, 285)
        assert sum(hour.work_date is None for hour in approved) == 74
        assert sum(hour.seconds for hour in hours) == 342_007_128
        assert time.monotonic() - started < 60

    def test_a_staffing_file_is_facts(self, tmp_path: Path) -> None:
        columns = (
            "fact,person_email,person_name,employee_code,legal_entity,employed_from,employed_to,"
            "project_code,labor_category,assigned_from,assigned_to,approver_email,deputy_email,"
            "leave_from,leave_to,manages"
        )
        rows = (
            "employment,a@example.com,Ann Lee,E-1,EW-DE,2024-01-01,,,,,,,,,,\n"
            "leave,a@example.com,,,,,,,,,,,,2026-10-05,2026-10-10,\n"
            "assignment,a@example.com,,,,,,P-1,,2026-10-01,,,,,,yes\n"
        )
        (tmp_path / "staffing.csv").write_text(f"{columns}\n{rows}")
        config = tomllib.loads((EXAMPLES / "staffing.toml").read_text())
        config["files"]["staffing"]["stable_seconds"] = 0
        config["files"]["staffing"]["fields"]["manages_project"] = "manages"
        connection = Connection(
            connection_key="staffing",
            base_url="",
            config={**config, "directory": str(tmp_path)},
            secrets={},
            allowed_hosts=frozenset(),
        )
        connector = filedrop.build(connection)

        pages = connector.pages(stream="staffing", cursor=None, is_full=False)
        facts = [connector.translate(record=record) for page in pages for record in page.records]

        nouns = [result.noun for result in facts if isinstance(result, Translated)]
        assert all(isinstance(noun, StaffingFact) for noun in nouns)
        assert [
            (n.fact, n.starts_on, n.ends_on, n.manages_project)
            for n in nouns
            if isinstance(n, StaffingFact)
        ] == [
            ("employment", date(2024, 1, 1), None, None),
            ("leave", date(2026, 10, 5), date(2026, 10, 10), None),
            ("assignment", date(2026, 10, 1), None, True),
        ]


def _hour(result: object) -> TimeEntry:
    assert isinstance(result, Translated), result
    assert isinstance(result.noun, TimeEntry)
    return result.noun

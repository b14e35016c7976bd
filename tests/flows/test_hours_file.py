"""A file of hours is judged by the one engine, and whatever is wrong with it is said with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.scene import NOW
from tests.support.target import FixedClock

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.file_judging import JudgedFile, judge_file, sources_of
from tieline.services.firm_file import load_firm
from tieline.services.hours_file import ENTRIES_MAX, FILE_BYTES_MAX, HoursFile, read_hours
from tieline.validation import judge

EXAMPLE = Path(__file__).parents[2] / "examples" / "hours.json"
GOOD = {"ref": "7", "person": "ana", "work_date": "2026-10-05", "hours": 1, "approved": True}


def _read(entries: Any, **members: Any) -> HoursFile:
    return read_hours(json.dumps({"entries": entries, **members}).encode(), name="e.json")


class TestAFileThatIsNone:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", "e.json is empty"),
            (b" \n ", "e.json is empty"),
            (b"[]", "no entry"),
            (b'{"entries": [}', "line 1, column 14"),
            (b'{"entries": [1,\n', "line 2"),
            (b"[1] 2", "Extra data"),
            (b"nothing", "holds a list of entries"),
            (b"\xff\xfe", "byte 1"),
            (b'{"a": 1', "a is no member"),
            (b'{"entriez": []}', "entries may be meant"),
            (b'{"entries": 1}', "entries is a list"),
            (b'{"entries": [], "entries": []}', "stands twice"),
            (b'{"format": 2, "entries": [1]}', "format is 1"),
            (b'{"entries": [1], "as_of": "soon"}', "as_of"),
            (b'{"entries": [1], "context": 7}', "context is an object"),
            (b"[" * 100_000, "nested too deeply"),
            (b" " * (FILE_BYTES_MAX + 1), "cut it into parts"),
        ],
        ids=range(17),
    )
    def test_is_one_sentence(self, body: bytes, said: str) -> None:
        with pytest.raises(UserMistake, match=said):
            read_hours(body, name="e.json")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("ref,ref\n1,2", "stands twice"),
            ("ref\n1,2", "line 2 has 2 cells"),
            ('ref\n"1', "cannot be cut"),
            ("ref", "no entry"),
        ],
    )
    def test_is_one_sentence_as_csv_too(self, text: str, said: str) -> None:
        with pytest.raises(UserMistake, match=said):
            read_hours(text.encode(), name="e.csv")

    @pytest.mark.parametrize(
        ("name", "head", "entry", "tail"),
        [("e.json", "[", "{},", "{}]"), ("e.csv", "ref\n", "1\n", "1")],
    )
    def test_has_no_more_entries_than_are_judged_at_once(
        self, name: str, head: str, entry: str, tail: str
    ) -> None:
        with pytest.raises(UserMistake, match="more than 50,000 entries: cut it into parts"):
            read_hours((head + entry * ENTRIES_MAX + tail).encode(), name=name)


_WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"hours": float("nan")}, "e.hours: NaN is no number"),
    ({"hours": float("inf")}, "e.hours: Infinity is no number"),
    ({"hours": "7,5"}, "e.hours: 7,5 is no number"),
    ({"hours": True}, "e.hours: true is no number"),
    ({"hours": [1]}, 'e.hours: ["1"] is no number'),
    ({"hours": 1e300}, "e.hours: 1e+300 is too large to be meant"),
    ({"hours": None}, "e.hours: give either hours or seconds, and not both"),
    ({"seconds": 1}, "e.hours: give either hours or seconds, and not both"),
    ({"hours": None, "seconds": 1.5}, "e.seconds: 1.5 is no whole number"),
    ({"work_date": "9999-12-31"}, "e.work_date: 9999-12-31 is no day that can be meant"),
    ({"work_date": "2026-02-30"}, "e.work_date: 2026-02-30 is no day such as"),
    ({"work_date": 20261005}, "e.work_date: 20261005 is no day such as"),
    ({"started_at": "2026-10-05T09:00"}, "e.started_at: 2026-10-05T09:00 needs a zone"),
    ({"started_at": "9999-12-31T23:00:00-09:00"}, "e.started_at: 9999-12-31T23:00:00-09:00 is no"),
    ({"ref": None}, "e.ref: it is missing"),
    ({"ref": 7}, "e.ref: 7 is no text in quotes"),
    ({"ref": "a\x00"}, "e.ref: it has a NUL in it"),
    ({"ref": "\ud800"}, "e.ref: it has half a character in it"),
    ({"narrative": "e\u0301" * 600_000}, "e.narrative: it has 1200000 characters"),
    ({"approved": "yes"}, "e.approved: yes is neither true nor false"),
    ({"persn": "ana"}, "e.persn: an entry has no such field: person may be meant"),
)  # fmt: skip


class TestARecordThatIsWrong:
    @pytest.mark.parametrize(("changed", "said"), _WRONG, ids=range(len(_WRONG)))
    def test_is_said_with_its_place_and_hides_no_other(
        self, changed: dict[str, Any], said: str
    ) -> None:
        read = _read([{**GOOD, "ref": "6"}, {**GOOD, **changed}, {**GOOD, "ref": "8"}])

        first = str(read.records[1].problems[0])
        assert first.replace("entries[1].", "e.").replace(" (line 1)", "").startswith(said)
        assert [record.problems for record in (read.records[0], read.records[2])] == [(), ()]

    def test_tells_a_number_of_ten_thousand_digits_in_short(self) -> None:
        text = json.dumps([GOOD]).replace('"hours": 1', '"hours": ' + "9" * 10_000)

        (problem,) = read_hours(text.encode(), name="e.json").records[0].problems

        assert "(10000 characters) is too large" in str(problem)
        assert len(str(problem)) < 120

    def test_names_both_places_of_a_ref_that_stands_twice_and_the_line_of_each(self) -> None:
        text = json.dumps([GOOD, {**GOOD, "connection": "other"}, GOOD], indent=1)

        one, other, again = read_hours(text.encode(), name="e.json").records

        assert "entries[2] (line 17), too" in str(one.problems[0])
        assert "entries[0] (line 2), too" in str(again.problems[0])
        assert other.problems == ()

    def test_is_all_that_is_wrong_with_it_at_once(self) -> None:
        (record,) = _read([{"ref": "", "hours": "x", "day": 1}]).records

        assert len(record.problems) == 4

    def test_is_read_from_csv_by_the_same_words(self) -> None:
        text = (
            "ref;person;hours;work_date;approved\n1;ana;7.5;2026-10-05;yes\n2;ana;x;2026-10-05;no\n"
        )

        good, bad = read_hours(text.encode(), name="e.csv").records

        assert (good.values["seconds"], good.values["approved"]) == (27_000, True)
        assert str(bad.problems[0]) == "row 2.hours (line 3): x is no number"


@pytest.fixture
def judged_by_its_context(database: Dsns, worker_database: Database) -> Callable[..., JudgedFile]:
    """Judge a file by the firm in it."""

    def run(file: HoursFile) -> JudgedFile:
        assert file.context is not None
        assert file.as_of is not None
        with worker_database.transaction() as connection:
            loaded = load_firm(
                connection, context=file.context, sources=sources_of(file), now=file.as_of
            )
            assert loaded.problems == ()
        judges = Database(database.judge, pool_max=1, application_name="test-judge").open()
        try:
            return judge_file(judges, file=file, context="file", material_key=b"k", now=file.as_of)
        finally:
            judges.close()

    return run


class TestAFileWithItsFirm:
    def test_is_judged_as_the_example_says(
        self, judged_by_its_context: Callable[..., JudgedFile]
    ) -> None:
        file = json.loads(EXAMPLE.read_text(encoding="utf-8"))
        file["context"]["client-guidelines"] = [
            {"client": "Brunnen AG", "narrative_words_min": 4, "starts_on": "2026-01-01"}
        ]
        file["context"]["values"] = [{"name": "late_entry_days", "value": 90}]
        file["entries"] += [
            {**file["entries"][0], "ref": f"more-{n}", "work_date": f"2026-10-{1 + n % 25:02}",
             "seconds": 60 + n, "hours": None} for n in range(120)
        ]  # fmt: skip
        file["entries"].append({"ref": 1})

        found = judged_by_its_context(read_hours(json.dumps(file).encode(), name="hours.json"))

        told = {
            entry.ref: (entry.verdict, entry.is_early, sorted(r.code for r in entry.reasons))
            for entry in found.entries
        }
        assert told["1"] == ("cleared", False, [])
        assert told["2"] == ("cleared", False, ["time.narrative_vague"])
        assert told["3"] == ("held", False, ["time.period_closed"])
        assert told["4"] == ("held", True, ["time.day_over_maximum"])
        assert told["5"] == ("held", False, ["time.person_unknown"])
        assert told[None] == ("not_judged", False, ["file.unreadable"] * 3)
        assert found.entries[0].amount == 1125
        assert (found.is_whole, found.is_clear) == (False, False)
        assert found.summary.by_verdict == {"cleared": 122, "held": 3, "not_judged": 1}

    def test_answers_as_the_same_hours_do_when_they_are_stored(
        self, judged_by_its_context: Callable[..., JudgedFile], worker_database: Database
    ) -> None:
        file = read_hours(EXAMPLE.read_bytes(), name="hours.json")

        found = judged_by_its_context(file)

        assert file.as_of is not None
        with worker_database.transaction() as connection:
            batch_id = _store(connection, file)
            judge(
                connection,
                clock=FixedClock(file.as_of),
                correlation_id="c",
                batch_id=batch_id,
            )
            stored = connection.execute(
                "SELECT t.source_ref AS ref, v.outcome, v.amount, ARRAY(SELECT code FROM verdict_reason r"
                " WHERE r.verdict_id = v.verdict_id ORDER BY code) AS reasons"
                " FROM time_entry t JOIN verdict v USING (verdict_id) ORDER BY 1"
            ).fetchall()
        assert [
            (entry.ref, entry.verdict, entry.amount, sorted(r.code for r in entry.reasons))
            for entry in found.entries
        ] == [(row["ref"], row["outcome"], row["amount"], row["reasons"]) for row in stored]

    def test_says_everything_that_is_wrong_with_its_context(
        self, worker_database: Database
    ) -> None:
        file = json.loads(EXAMPLE.read_text(encoding="utf-8"))
        context = copy.deepcopy(file["context"])
        context |= {"peple": [], "leave": {}, "fx-rates": [{"from_currency": "EUR"}]}
        context["entities"].append({"entity": "Z", "currency": "EUR", "zone": "Mars/X"})
        context["people"] += [
            7,
            {"person": "a\x00", "entity": "HR-DE"},
            {"person": "b", "entity": "X"},
        ]
        context["work-patterns"] = [{"person": "ana", "week_hours": "8 8", "place": "QQ"}]
        context["contract-lines"].append(context["contract-lines"][0])
        context["values"] = [{"name": "day_seconds", "value": 3}]
        read = read_hours(json.dumps({**file, "context": context}).encode(), name="hours.json")
        assert read.context is not None

        with worker_database.transaction() as connection:
            loaded = load_firm(
                connection, context=read.context, sources=["file"], now=FixedClock(NOW).now()
            )

        told = "\n".join(map(str, loaded.problems))
        for said in (
            "context.peple: a firm has no such list: people may be meant",
            "context.leave: it is no list",
            "context.fx-rates[0].to_currency: it is empty",
            'context.entities[1]: time zone "Mars/X" not recognized',
            "context.people[2]: it is no object",
            "context.people[3].person: it has a NUL",
            "context.people[4].entity: no legal entity is known as X",
            "context.work-patterns[0].place: QQ has no known holidays",
            "context.contract-lines[2]: it holds at the same time as another row",
            "context.values[0]: no value is called day_seconds: day_seconds_max may be meant",
        ):
            assert said in told


def _store(connection: Any, file: HoursFile) -> int:
    """Keep the hours of a file as a source would have brought them."""
    batch = connection.execute(
        "INSERT INTO intake_batch (connection_key, stream, kind, correlation_id, recorded_at)"
        " VALUES ('file', 'time_entries', 'poll', 'c', %s) RETURNING batch_id",
        (file.as_of,),
    ).fetchone()
    for record in file.records:
        told = record.values
        entry = connection.execute(
            "INSERT INTO time_entry (connection_key, source_epoch, object, source_ref, newest_version)"
            " VALUES ('file', 0, 'time_entries', %s, 1) RETURNING entry_id",
            (told["ref"],),
        ).fetchone()
        connection.execute(
            "INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref,"
            " project_ref, task_ref, work_date, seconds, quantum_seconds, approval, approval_word,"
            " created_at, narrative_length, material_hash, material_version, recorded_at, raw_id, batch_id,"
            " correlation_id) VALUES (%s, 1, true, false, %s, %s, %s, %s, %s, 36, 'approved', 'x', %s, %s,"
            " 'x', 1, %s, 1, %s, 'c')",
            (entry["entry_id"], told["person"], told["project"], told["task"], told["work_date"],
             told["seconds"], file.as_of, len(told["narrative"]), file.as_of, batch["batch_id"]),
        )  # fmt: skip
    batch_id: int = batch["batch_id"]
    return batch_id

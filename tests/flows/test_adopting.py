"""What connected systems already hold: proposed with a reason, corrected in a sheet, linked in sets."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW, Firm
from tests.support.target import FixedClock

from tieline.console.workbook import About, Column, Sheet, make_workbook
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.work import AtOnce
from tieline.services.adopting import (
    HEADER,
    SHEET,
    Adopted,
    Decisions,
    adopt,
    as_cells,
    decide,
    decide_sure,
    propose_again,
    read_decisions,
    read_ours,
    read_stages,
    shown_sure,
)
from tieline.services.erasing import erase
from tieline.services.proposing_links import (
    EVERYTHING,
    Adoptable,
    Filters,
    Proposing,
    Record,
    list_proposals,
    propose_links,
    read_look,
    tally,
)
from tieline.services.xlsx_reading import read_sheet

_RECORD = """
    INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version, is_newest, noun,
        data, is_deleted, material_hash, material_version, recorded_at, raw_id, correlation_id)
    VALUES (%s, 0, %s, %s, 1, true, %s, %s, false, '', 1, %s, 1, 'c')
"""


class _Records:
    def __init__(self, connection: Connection[dict[str, Any]]) -> None:
        self.connection = connection

    def item(self, ref: str, name: str, *, kind: str = "project", **words: Any) -> None:
        data = {"kind": kind, "name": name, "code": None, "parent_ref": None, "client_ref": None}
        self.add("clock", f"{kind}s", ref, "WorkItem", {**data, **words})

    def add(self, key: str, object: str, ref: str, noun: str, data: dict[str, Any]) -> None:
        self.connection.execute(_RECORD, (key, object, ref, noun, Jsonb(data), NOW))


@pytest.fixture
def firm(worker_database: Database) -> Firm:
    with worker_database.transaction() as connection:
        firm = Firm(connection).found()
        for code in ("P-1", "P-2", "P-3", "P-4"):
            firm.last = firm.project(code)
        connection.execute("UPDATE project_version SET name = 'Twin' WHERE name LIKE '%%P-3'")
        connection.execute(
            "INSERT INTO subject VALUES (%s, 'person', 'Anna Berg', 'anna@f.example', %s)",
            (firm.person_id, NOW),
        )
        records = _Records(connection)
        records.item("11", "Whatever", code="p-1")
        records.item("12", "Twin")
        records.item("13", "One", code="P-4")
        records.item("14", "Other", code="P-4")
        records.item("15", "Unheard of", code="X-9")
        (task,) = connection.execute(
            "SELECT task_name FROM task JOIN project USING (project_id) WHERE project_code = 'P-1'"
        ).fetchall()
        records.item("7", task["task_name"], kind="task_name")
        records.item("701", task["task_name"], kind="task", parent_ref="11")
        records.item("702", "Gardening", kind="task", parent_ref="11")
        person = {"name": "A. Berg", "email": "Anna@F.example"}
        records.add("clock", "users", "21", "Person", person)
        records.add("sales", "owners", "22", "Person", {"name": "anna berg", "email": None})
        records.add("sales", "companies", "31", "Client", {"name": "Nordwind"})
        # Of an ERP's parties an employee and a company of the firm are nobody's client.
        party = {"name": "A. Berg", "city": "Bremen", "extras": {"code": "E-1"}}
        records.add("books", "parties", "41", "Client", party)
        employee = {"name": "A. Berg", "email": None, "extras": {"party_code": "41"}}
        records.add("books", "employees", "51", "Person", employee)
    return firm


def _states(database: Database) -> dict[str, str]:
    with database.transaction() as connection:
        return {each.source_ref: each.state for each in _proposed(connection)}


def _proposed(connection: Connection[dict[str, Any]]) -> tuple[Adoptable, ...]:
    propose_links(connection, by="ada", now=NOW, progress=lambda done, total: None)
    return list_proposals(connection)


def _sheet(rows: list[list[str]]) -> bytes:
    about = About(title="t", as_of=NOW, by="ada", filters={})
    columns = [Column(title=title) for title in HEADER]
    return make_workbook(about=about, sheets=[Sheet(name=SHEET, columns=columns, rows=rows)])


def _apply(database: Database, content: bytes) -> Adopted:
    with database.transaction() as connection:
        return adopt(
            connection,
            decisions=read_decisions(read_ours(connection), rows=read_sheet(content, name=SHEET)),
            by="ada",
            reason="go-live",
            now=NOW,
            progress=lambda done, total: None,
        )


def test_what_is_there_is_proposed_with_a_reason_and_linked_as_confirmed(
    worker_database: Database, firm: Firm
) -> None:
    assert _states(worker_database) == {
        "11": "strong",
        "12": "weak",
        "13": "rivals",
        "14": "rivals",
        "15": "nothing",
        "11/701": "strong",
        "11/702": "nothing",
        "21": "strong",
        "22": "weak",
        "31": "client",
    }
    with worker_database.transaction() as connection:
        rows = [list(row) for row in as_cells(_proposed(connection))]
    by_ref = {row[2]: row for row in rows}
    assert by_ref["11"][7:11] == ["same code", "P-1", by_ref["11"][9], "link"]
    # A person overrules: 13 is P-4, and 12 is not its namesake but P-2.
    by_ref["13"][8], by_ref["13"][10] = "p-4", "Link"
    by_ref["12"][8], by_ref["12"][10] = "P-2", "link"
    by_ref["21"][10] = "leave"

    done = _apply(worker_database, _sheet(rows))

    assert (done.linked, done.left, done.refused) == (4, 1, ())
    with worker_database.transaction() as connection:
        links = connection.execute(
            "SELECT x.noun, x.source_ref, p.project_code FROM crosswalk x"
            " LEFT JOIN project p ON p.project_id = x.our_id"
            " WHERE x.connection_key = 'clock' ORDER BY x.source_ref"
        ).fetchall()
    assert [tuple(row.values()) for row in links] == [
        ("project", "11", "P-1"),
        ("task", "11/701", None),
        ("project", "12", "P-2"),
        ("project", "13", "P-4"),
    ]
    states = _states(worker_database)
    assert (states["14"], states["21"]) == ("taken", "left")
    again = _apply(worker_database, _sheet(rows))
    assert (again.linked, again.left, len(again.refused)) == (0, 0, 4)


def test_what_was_left_is_proposed_again_and_what_was_shown_is_what_is_linked(
    worker_database: Database, firm: Firm
) -> None:
    words: dict[str, Any] = {"by": "ada", "reason": "looked at", "now": NOW}
    quiet = {**words, "progress": lambda done, total: None}
    anna = Record(connection_key="clock", noun="person", source_ref="21")

    with worker_database.transaction() as connection:
        adopt(connection, decisions=Decisions(links=(), left=(anna,)), **quiet)
    with worker_database.transaction() as connection:
        _proposed(connection)
        found = tally(connection)
        (left,) = list_proposals(connection, filters=Filters(state="left"))
        open_ones = list_proposals(connection, filters=Filters())
        stages = read_stages(connection, found=found)
        as_shown = shown_sure(connection, found=found)
        assert propose_again(connection, records=[anna], **words) == 1
        assert propose_again(connection, records=[anna], **words) == 0
        with pytest.raises(UserMistake, match="look again"):
            decide_sure(connection, filters=EVERYTHING, shown=as_shown)
        client = Record(connection_key="sales", noun="client", source_ref="31")
        with pytest.raises(UserMistake, match="client 31 of sales"):
            decide(connection, links=(), left=[client])
        with pytest.raises(UserMistake, match="person 21 of clock"):
            decide(connection, links=[(anna, firm.last["project_id"])], left=())
        as_shown = shown_sure(connection, found=tally(connection))
        decisions = decide_sure(connection, filters=EVERYTHING, shown=as_shown)
        garden = list_proposals(connection, filters=Filters(words="GARDEN", noun="task"))
        done = adopt(connection, decisions=decisions, **quiet)

    assert (left.why, left.decision) == ("ada left it: looked at", "leave")
    assert left not in open_ones
    (people,) = (each for each in stages if (each.connection_key, each.noun) == ("clock", "person"))
    assert (people.linked, people.left, people.open, people.total) == (0, 1, 0, 1)
    assert done.linked == 3
    assert [each.source_ref for each in garden] == ["11/702"]


# What is kept is as of an instant; each is a change since then of what one link was proposed by.
_SINCE: tuple[tuple[str, str, str], ...] = (
    ("project", "11", "UPDATE source_version SET data = data || '{\"code\": \"P-2\"}' WHERE source_ref = '11'"),
    ("project", "11", "UPDATE source_version SET is_deleted = true WHERE source_ref = '11'"),
    ("project", "11", "UPDATE source_version SET data = data || '{\"code\": \"P-1\"}' WHERE source_ref = '15'"),
    ("task", "11/701", "UPDATE source_version SET data = data || '{\"code\": \"P-2\"}' WHERE source_ref = '11'"),
    ("task", "11/701", "UPDATE source_version SET data = data || '{\"name\": \"Other\"}' WHERE source_ref = '701'"),
    ("task", "11/701", ("INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
     " SELECT 'clock', 'project', '11', project_id, 'by hand', now() FROM project WHERE project_code = 'P-2'")),
    ("person", "21", "UPDATE subject SET email = 'berg@f.example' WHERE email = 'anna@f.example'"),
    ("person", "21", ("UPDATE source_version SET data = data || '{\"email\": \"anna@f.example\"}', noun = 'Person',"
     " connection_key = 'clock' WHERE source_ref = '22'")),
)  # fmt: skip


@pytest.mark.parametrize(("noun", "source_ref", "change"), _SINCE)
def test_what_was_proposed_before_something_changed_is_not_linked(
    worker_database: Database, firm: Firm, noun: str, source_ref: str, change: str
) -> None:
    with worker_database.transaction() as connection:
        _proposed(connection)
        kept = {each.source_ref: each for each in list_proposals(connection)}[source_ref]
        shown = shown_sure(connection, found=tally(connection))
        picked = [(Record(connection_key="clock", noun=noun, source_ref=source_ref), kept.our_id)]
        assert kept.our_id is not None
        links = [(record, our_id) for record, our_id in picked if our_id is not None]
        assert [link.our_id for link in decide(connection, links=links, left=()).links] == [
            kept.our_id
        ]
    with worker_database.transaction() as connection:
        connection.execute(change)

    with worker_database.transaction() as connection:
        with pytest.raises(UserMistake, match="look again"):
            decide(connection, links=links, left=())
        with pytest.raises(UserMistake, match="look again"):
            decide_sure(connection, filters=Filters(noun=noun), shown=shown)


class TestProposingAgain:
    def test_is_done_when_something_changed_and_says_of_when_it_is(
        self, worker_database: Database, firm: Firm
    ) -> None:
        proposing = Proposing(database=worker_database, clock=FixedClock(NOW))
        looks = []

        def look() -> None:
            with worker_database.transaction() as connection:
                looks.append(read_look(connection))

        look()
        for change in ("", "", "UPDATE source_version SET raw_id = 2 WHERE source_ref = '15'"):
            with worker_database.transaction() as connection:
                connection.execute("UPDATE work_item SET state = 'done'")
                connection.execute(change or "SELECT 1")
            proposing.schedule_changed()
            look()
            if looks[-1].state == "waiting":
                proposing.propose(AtOnce(), "all")
                look()

        assert [(each.state, each.look_no) for each in looks] == [
            ("done", 0), ("waiting", 0), ("done", 1), ("done", 1), ("waiting", 1), ("done", 2),
        ]  # fmt: skip
        assert (looks[0].known_at, looks[-1].known_at) == (None, NOW)

    def test_keeps_no_name_of_somebody_who_is_erased(
        self, worker_database: Database, firm: Firm
    ) -> None:
        with worker_database.transaction() as connection:
            _proposed(connection)
            erase(connection, who="anna@f.example", by="ada", reason="asked to", now=NOW)
            assert list_proposals(connection) == ()
            assert read_look(connection).known_at is None


@pytest.mark.parametrize(
    ("place", "word", "named"),
    [
        (8, "NO-SUCH", "row 2: NO-SUCH is no project of ours"),
        (10, "perhaps", "row 2: Decision is link or leave"),
    ],
)
def test_a_row_that_cannot_be_meant_is_named(
    worker_database: Database, firm: Firm, place: int, word: str, named: str
) -> None:
    row = ["clock", "project", "11", "n", "", "", "strong", "w", "P-1", "", "link", ""]
    row[place] = word

    with pytest.raises(UserMistake, match=named):
        _apply(worker_database, _sheet([row]))


@pytest.mark.parametrize(("place", "word"), [(2, "12"), (8, "P-2")])
def test_two_rows_for_one_record_or_one_of_ours_are_named(
    worker_database: Database, firm: Firm, place: int, word: str
) -> None:
    rows = [["clock", "project", "11", "n", "", "", "strong", "w", "P-1", "", "link", ""]] * 2
    rows[1] = [*rows[1][:place], word, *rows[1][place + 1 :]]

    with pytest.raises(UserMistake, match="row 3: it, or ours, is linked by row 2"):
        _apply(worker_database, _sheet(rows))


def _archive(**parts: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(f"xl/{name.replace('_', '.')}", content)
    return target.getvalue()


class TestASheetThatIsNone:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"PK\x03\x04 and no more",
            _archive(workbook_xml=b"<workbook/>"),
            _archive(workbook_xml=b"<!DOCTYPE a [<!ENTITY b 'c'>]><workbook>&b;</workbook>"),
            _archive(workbook_xml=b" " * 50_000_000),
            _sheet([])[:-200],
        ],
    )
    def test_is_refused(self, content: bytes) -> None:
        with pytest.raises(UserMistake):
            read_sheet(content, name=SHEET)

    def test_has_another_header(self, worker_database: Database) -> None:
        with (
            worker_database.transaction() as connection,
            pytest.raises(UserMistake, match="header"),
        ):
            read_decisions(read_ours(connection), rows=[["System"]])

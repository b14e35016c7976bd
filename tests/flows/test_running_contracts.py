"""Contracts that run: told from a file by two people, then found in the systems that hold them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW, Firm

from tieline.governance import approve
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.services.adopting import (
    HEADER,
    Adopted,
    adopt,
    as_cells,
    read_decisions,
    read_ours,
)
from tieline.services.proposing_links import list_proposals, propose_links
from tieline.services.running_contracts import (
    carry_out_contracts,
    preview_contracts,
    propose_contracts,
)

_HEADER = (
    "contract,name,client,entity,billing_method,currency,contract_starts_on,contract_ends_on,project,task,"
    "labor_category,rate_amount,sold_hours,starts_on"
)
_SAME = "Northwind grid,{client},{entity},time_and_materials,EUR,2026-01-01,2027-01-01,NW-GRID"
_RECORD = """
    INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version, is_newest, noun,
        data, is_deleted, material_hash, material_version, recorded_at, raw_id, correlation_id)
    VALUES (%s, 0, %s, %s, 1, true, 'WorkItem', %s, false, '', 1, %s, 1, 'c')
"""


@pytest.fixture
def firm(worker_database: Database) -> Firm:
    with worker_database.transaction() as connection:
        firm = Firm(connection).found()
        firm.project("P-1")
        return firm


def _file(database: Database, *rows: str) -> bytes:
    with database.transaction() as connection:
        found = connection.execute(
            "SELECT entity_code FROM contract ORDER BY contract_code LIMIT 1"
        ).fetchone()
    assert found is not None
    # A tax number is typed in many ways, also without its country.
    same = _SAME.format(client="136-695.976", entity=found["entity_code"])
    return "\n".join([_HEADER, *(f"NW-7,{same},{row}" for row in rows)]).encode()


def _told(database: Database, body: bytes) -> int:
    with database.transaction() as connection:
        proposal = propose_contracts(
            connection, name="c.csv", body=body, by="ada", reason="go-live", now=NOW
        )
    with database.transaction() as connection:
        agreed = approve(
            connection, proposal_id=proposal.proposal_id, by="ben", reason="seen", now=NOW
        )
        return carry_out_contracts(connection, agreed, NOW)


def _item(connection: Connection[Any], key: str, ref: str, name: str, **words: Any) -> None:
    data = {"kind": "task", "name": name, "code": None, "parent_ref": None, "client_ref": None}
    connection.execute(_RECORD, (key, "projects", ref, Jsonb({**data, **words}), NOW))


def test_two_people_tell_and_every_task_of_the_erp_is_found_by_name_and_rate(
    worker_database: Database, firm: Firm
) -> None:
    body = _file(
        worker_database,
        "Model,Senior,150,100,2026-01-01",
        "Model,Senior,160,50,2026-10-16",
        "Rollout,Consultant,120.00,80,2026-01-01",
    )

    assert _told(worker_database, body) == 1

    with worker_database.transaction() as connection:
        lines = connection.execute(
            "SELECT rate_amount, l.starts_on, l.ends_on, value_amount, accepts_time FROM contract_line l"
            " JOIN contract k USING (contract_id) JOIN contract_version USING (contract_id)"
            " JOIN project USING (contract_id) JOIN project_version USING (project_id)"
            " WHERE k.contract_code = 'NW-7' ORDER BY rate_amount"
        ).fetchall()
        project = {"kind": "project", "code": "nw-grid"}
        _item(connection, "books", "81", "Grid", **project)
        for ref, name, rate in (
            ("82", "Model | Senior", "150.0000"),
            ("83", "Model | Senior | from 2026-10-16", "160"),
            ("84", "rollout", "120"),
            ("85", "Rollout | Consultant", "125"),
        ):
            _item(connection, "books", ref, name, parent_ref="81", extras={"list_price": rate})
        propose_links(connection, by="ada", now=NOW, progress=lambda _done, _all: None)
        plan = list_proposals(connection)
        found = {
            each.source_ref: (each.noun, each.state, each.ours)
            for each in plan
            if each.connection_key == "books"
        }
    worth = Decimal(100 * 150 + 50 * 160 + 80 * 120)
    assert [tuple(row.values()) for row in lines] == [
        (Decimal("120.00"), date(2026, 1, 1), None, worth, True),
        (Decimal(150), date(2026, 1, 1), date(2026, 10, 16), worth, True),
        (Decimal(160), date(2026, 10, 16), None, worth, True),
    ]
    assert found == {
        "81": ("project", "strong", "NW-GRID"),
        "82": ("erp_task", "strong", "NW-GRID / Model / Senior"),
        "83": ("erp_task", "strong", "NW-GRID / Model / Senior"),
        "84": ("erp_task", "strong", "NW-GRID / Rollout / Consultant"),
        "85": ("erp_task", "nothing", ""),
    }

    # The sheet comes back: 85 is the roll-out, and 84 is not, and then it is after all.
    cells = {row[2]: list(row) for row in as_cells(plan) if row[0] == "books"}
    cells["85"][8], cells["85"][10], cells["84"][10] = cells["84"][8], "link", ""
    first = _adopt(worker_database, cells)
    cells["84"][10], cells["85"][10] = "link", ""
    again = _adopt(worker_database, cells)

    assert (first.linked, first.refused) == (4, ())
    assert again.linked == 0
    assert "erp_task 84 of books: ours is 85 there already" in again.refused
    assert "erp_task 82 of books: it is linked already" in again.refused


def _adopt(database: Database, cells: dict[str, list[str]]) -> Adopted:
    with database.transaction() as connection:
        return adopt(
            connection,
            decisions=read_decisions(read_ours(connection), rows=[HEADER, *cells.values()]),
            by="ada",
            reason="go-live",
            now=NOW,
            progress=lambda _done, _all: None,
        )


def test_a_file_that_contradicts_itself_or_what_stands_is_refused_with_its_lines(
    worker_database: Database, firm: Firm
) -> None:
    body = _file(worker_database, "Model,Senior,150,1,2026-01-01", "Model,Senior,151,1,2026-01-01")
    other = body.replace(b"Northwind grid", b"Another name", 1)

    with worker_database.transaction() as connection:
        said = [
            (each.line, each.column, each.sentence)
            for each in preview_contracts(connection, body=other).mistakes
        ]
    assert said == [
        (3, "", "line 2 has a rate of this from the same day on"),
        (3, "name", "line 2 says another of contract NW-7"),
    ]
    good = _file(worker_database, "Model,Senior,150,1,2026-01-01")
    with worker_database.transaction() as connection:
        first = propose_contracts(
            connection, name="c.csv", body=good, by="ada", reason="go-live", now=NOW
        )
        with pytest.raises(UserMistake, match="ada has proposed it already"):
            propose_contracts(connection, name="c.csv", body=good, by="ben", reason="too", now=NOW)
    _told(worker_database, good.replace(b"NW-7", b"NW-8").replace(b",150,", b",140,"))
    with worker_database.transaction() as connection:
        agreed = approve(
            connection, proposal_id=first.proposal_id, by="ben", reason="seen", now=NOW
        )
        with pytest.raises(UserMistake, match="NW-GRID is a project already"):
            carry_out_contracts(connection, agreed, NOW)


def test_a_contract_that_bills_costs_names_its_markup_and_no_other_does(
    worker_database: Database, firm: Firm
) -> None:
    plain = _file(
        worker_database,
        "Build,Consultant,150,1000,2026-01-01,",
        "Build,Partner,250,100,2026-01-01,12.5",
    ).replace(_HEADER.encode(), f"{_HEADER},markup_percent".encode())
    costs = plain.replace(b"time_and_materials", b"cost_plus")

    with worker_database.transaction() as connection:
        mistakes = [
            (each.line, each.column, each.sentence)
            for body in (plain, costs)
            for each in preview_contracts(connection, body=body).mistakes
        ]
    assert mistakes == [
        (3, "markup_percent", "only a contract of the method cost_plus has a markup"),
        (
            2,
            "markup_percent",
            "the contract bills costs: name the markup, 0 where costs alone are paid",
        ),
    ]

    assert _told(worker_database, costs.replace(b"2026-01-01,\n", b"2026-01-01,0\n")) == 1
    with worker_database.transaction() as connection:
        held = connection.execute(
            "SELECT markup_percent FROM contract_line JOIN contract USING (contract_id)"
            " WHERE contract_code = 'NW-7' ORDER BY labor_category"
        ).fetchall()
    assert [row["markup_percent"] for row in held] == [Decimal(0), Decimal("12.5")]

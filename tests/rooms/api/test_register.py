"""Clients, assignments and revenue: true, with their records, and only in the caller's sight."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW

from .conftest import House


@pytest.fixture
def client_id(house: House) -> UUID:
    """Give the firm's one client records in two systems, and a parent nobody has a contract with."""
    found: UUID = house.rows("SELECT client_id FROM client")[0]["client_id"]
    parent = uuid4()
    with house.worker.transaction() as connection:
        connection.execute(
            "INSERT INTO client (client_id, recorded_at) VALUES (%s, %s)", (parent, NOW)
        )
        connection.execute(
            "INSERT INTO client_version (client_id, name, name_key, is_active, recorded_at)"
            " VALUES (%s, 'Nordwind Holding SE', 'nordwind holding', true, %s)",
            (parent, NOW),
        )
        connection.execute(
            "UPDATE client_version SET parent_client_id = %s WHERE client_id = %s", (parent, found)
        )
        for key, ref, because in (("sales", "c-9", "created"), ("books", "77", "vat_number")):
            connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                " VALUES (%s, 'client', %s, %s, %s, %s)",
                (key, ref, found, because, NOW),
            )
        connection.execute(
            "UPDATE connection SET config = %s WHERE connection_key = 'books'",
            (Jsonb({"base_url": "https://erp.example", "database": "firm"}),),
        )
    return found


def assign(house: House, *, project: str, starts_on: str, ends_on: str | None) -> None:
    with house.worker.transaction() as connection:
        connection.execute(
            "INSERT INTO assignment (person_id, project_id, labor_category, starts_on, ends_on,"
            " recorded_at) SELECT p.person_id, j.project_id, 'Consultant', %s, %s, %s"
            " FROM person p CROSS JOIN project j WHERE j.project_code = %s",
            (starts_on, ends_on, NOW, project),
        )


def ask_about(house: House, thing_key: str, *, candidates: str = "", entity: Any = None) -> str:
    """Open a case that asks which client a record is."""
    rows = house.rows(
        "INSERT INTO case_file (reason, owner_queue, thing_kind, thing_key, entity_code, opened_at,"
        " correlation_id, details) VALUES ('client.same_client_unclear', 'client_steward', 'client',"
        " %s, %s, %s, 'c', %s) RETURNING case_id",
        thing_key, entity, NOW, Jsonb({"candidates": candidates}),
    )  # fmt: skip
    return str(rows[0]["case_id"])


class TestClients:
    def test_are_listed_with_their_records_and_why(self, house: House, client_id: UUID) -> None:
        (found,) = house.get("/v1/clients", name="wind ag").json()["clients"]

        assert found["client_id"] == str(client_id)
        assert (found["name"], found["parent_name"]) == ("Nordwind AG", "Nordwind Holding SE")
        assert [(r["connection_key"], r["source_ref"], r["because"]) for r in found["records"]] == [
            ("books", "77", "vat_number"),
            ("sales", "c-9", "created"),
        ]
        assert found["records"][0]["url"] == "https://erp.example/#firm/model/party.party/77"

    def test_show_only_the_legal_entities_in_sight(self, house: House, client_id: UUID) -> None:
        shown = {
            key: house.get(f"/v1/clients/{client_id}", key=key).json()["entities"]
            for key in ("de", "uk", "all")
        }

        assert shown == {"de": ["DE"], "uk": ["UK"], "all": ["DE", "UK"]}

    def test_of_another_entity_do_not_exist(self, house: House, client_id: UUID) -> None:
        with house.worker.transaction() as connection:
            connection.execute(
                "UPDATE contract SET entity_code = 'UK' WHERE client_id = %s", (client_id,)
            )

        names = [each["name"] for each in house.get("/v1/clients").json()["clients"]]

        assert names == ["Nordwind Holding SE"]
        assert house.get(f"/v1/clients/{client_id}").status_code == 404
        assert house.get(f"/v1/clients/{client_id}", key="uk").status_code == 200

    def test_that_were_merged_answer_as_what_they_became(
        self, house: House, client_id: UUID
    ) -> None:
        old = uuid4()
        with house.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO client (client_id, redirect_to, recorded_at) VALUES (%s, %s, %s)",
                (old, client_id, NOW),
            )

        assert house.get(f"/v1/clients/{old}").json()["client_id"] == str(client_id)

    def test_are_narrowed_by_entity(self, house: House, client_id: UUID) -> None:
        found = house.get("/v1/clients", entity_code="UK").json()["clients"]

        assert found == []
        assert len(house.get("/v1/clients", entity_code="UK", key="uk").json()["clients"]) == 1

    def test_are_nobodys_without_sight(self, house: House, client_id: UUID) -> None:
        assert house.get("/v1/clients", key="blind").json()["clients"] == []
        assert house.get(f"/v1/clients/{client_id}", key="blind").status_code == 404

    def test_are_unclear_while_a_case_asks_about_them(self, house: House, client_id: UUID) -> None:
        named = ask_about(house, "sales:31", candidates=f"{uuid4()} (80), {client_id} (92)")
        linked = ask_about(house, "books:77")
        ask_about(house, "sales:32", candidates=str(uuid4()))

        found = house.get(f"/v1/clients/{client_id}").json()

        assert found["link_state"] == "unclear"
        assert {each["case_id"] for each in found["cases"]} == {named, linked}
        assert {each["reason"] for each in found["cases"]} == {"client.same_client_unclear"}
        assert found["open_cases"] == 2

    def test_do_not_show_the_cases_of_another_entity(self, house: House, client_id: UUID) -> None:
        case_id = ask_about(house, "books:77", entity="UK")

        shown = {key: house.get(f"/v1/clients/{client_id}", key=key).json() for key in ("de", "uk")}

        assert (shown["de"]["link_state"], shown["de"]["cases"]) == ("linked", [])
        assert [each["case_id"] for each in shown["uk"]["cases"]] == [case_id]

    @pytest.mark.parametrize(
        ("link_state", "names"),
        [("linked", ["Nordwind AG"]), ("partial", ["Nordwind Holding SE"]), ("unclear", [])],
    )
    def test_are_narrowed_by_how_far_they_are_linked(
        self, house: House, client_id: UUID, link_state: str, names: list[str]
    ) -> None:
        found = house.get("/v1/clients", link_state=link_state).json()["clients"]

        assert [each["name"] for each in found] == names

    def test_come_in_pages(self, house: House, client_id: UUID) -> None:
        pages = [
            [each["name"] for each in house.get("/v1/clients", limit=1, offset=n).json()["clients"]]
            for n in range(3)
        ]

        assert pages == [["Nordwind AG"], ["Nordwind Holding SE"], []]

    @pytest.mark.parametrize("words", [{"link_state": "torn"}, {"limit": "501"}, {"name": ""}])
    def test_are_not_guessed_at(self, house: House, words: dict[str, str]) -> None:
        answer = house.get("/v1/clients", **words)

        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"

    def test_that_nobody_knows_are_told_so(self, house: House) -> None:
        assert house.get(f"/v1/clients/{uuid4()}").json()["code"] == "client.unknown"


class TestAssignments:
    def test_are_listed_by_the_day_on_which_they_hold(self, house: House) -> None:
        assign(house, project="P-DE", starts_on="2026-09-01", ends_on="2026-10-01")
        assign(house, project="P-DE", starts_on="2026-10-01", ends_on=None)

        on = {
            day: [
                each["starts_on"]
                for each in house.get("/v1/assignments", on=day).json()["assignments"]
            ]
            for day in ("2026-08-31", "2026-09-30", "2026-10-01")
        }

        assert on == {
            "2026-08-31": [],
            "2026-09-30": ["2026-09-01"],
            "2026-10-01": ["2026-10-01"],
        }

    def test_tell_who_as_what_and_where_it_stands(self, house: House) -> None:
        assign(house, project="P-DE", starts_on="2026-10-01", ends_on=None)
        with house.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because,"
                " recorded_at) SELECT 'books', 'employee', '5', person_id, 'DE', 'created', %s"
                " FROM person ON CONFLICT DO NOTHING",
                (NOW,),
            )

        (found,) = house.get("/v1/assignments", project_code="P-DE").json()["assignments"]

        assert (found["entity_code"], found["labor_category"], found["ends_on"]) == (
            "DE",
            "Consultant",
            None,
        )
        assert found["employee_code"] == "e1"
        assert [(s["connection_key"], s["noun"], s["state"]) for s in found["standing"]] == [
            ("books", "employee", "CONFIRMED")
        ]

    def test_of_another_entity_are_not_shown(self, house: House) -> None:
        assign(house, project="P-UK", starts_on="2026-10-01", ends_on=None)
        person_id = str(house.rows("SELECT person_id FROM person")[0]["person_id"])

        for words in (
            {},
            {"project_code": "P-UK"},
            {"person_id": person_id},
            {"entity_code": "UK"},
        ):
            assert house.get("/v1/assignments", **words).json()["assignments"] == []
            found = house.get("/v1/assignments", key="uk", **words).json()["assignments"]
            assert [each["project_code"] for each in found] == ["P-UK"]

    def test_that_stand_nowhere_say_so(self, house: House) -> None:
        assign(house, project="P-DE", starts_on="2026-10-01", ends_on=None)
        house.rows("DELETE FROM crosswalk WHERE noun = 'employee' RETURNING 1")

        (found,) = house.get("/v1/assignments").json()["assignments"]

        standing = {each["connection_key"]: each for each in found["standing"]}
        assert standing["books"]["state"] == "MISSING"
        assert standing["books"]["source_ref"] is None
        assert found["told_by"] is None
        assert found["cases"] == []

    def test_are_narrowed_by_person(self, house: House) -> None:
        assign(house, project="P-DE", starts_on="2026-10-01", ends_on=None)
        person_id = str(house.rows("SELECT person_id FROM person")[0]["person_id"])

        own = house.get("/v1/assignments", person_id=person_id).json()["assignments"]
        others = house.get("/v1/assignments", person_id=str(uuid4())).json()["assignments"]

        assert ([each["person_id"] for each in own], others) == ([person_id], [])

    @pytest.mark.parametrize("words", [{"on": "yesterday"}, {"person_id": "7"}, {"limit": "0"}])
    def test_are_not_guessed_at(self, house: House, words: dict[str, str]) -> None:
        answer = house.get("/v1/assignments", **words)

        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


class TestRevenueStatus:
    def test_tells_the_figures_in_sight_and_as_of_when(self, house: House) -> None:
        for project, entity_code, earned in (
            (house.project, "DE", "1500.00"),
            (house.other_project, "UK", "90.00"),
        ):
            house.rows(
                "INSERT INTO revenue_status (project_id, changed_at, as_of, entity_code, contract_id,"
                " currency, earned_amount, wip_amount, billed_amount, deferred_amount,"
                " posted_seconds, is_newest) VALUES (%s, %s, %s, %s, %s, 'EUR', %s, %s, 0, 0, 36000,"
                " true) RETURNING 1",
                project["project_id"], NOW, NOW, entity_code, project["contract_id"], earned, earned,
            )  # fmt: skip

        shown = {
            key: [
                (each["project_code"], each["earned_amount"], each["billed_amount"], each["as_of"])
                for each in house.get("/v1/revenue-status", key=key).json()["projects"]
            ]
            for key in ("de", "uk", "blind")
        }

        as_of = "2026-11-03T09:00:00Z"
        assert shown == {
            "de": [("P-DE", "1500.00", "0", as_of)],
            "uk": [("P-UK", "90.00", "0", as_of)],
            "blind": [],
        }
        assert house.get("/v1/revenue-status", entity_code="UK").json()["projects"] == []

"""Clients and assignments from a shell: a table for people, one object for machines."""

from __future__ import annotations

from uuid import uuid4

import pytest
from tests.rooms.casework.hand_made_firm import NOW

from tieline.runtime.database import Database

from .conftest import Run


@pytest.fixture
def known(run: Run, worker_database: Database) -> None:
    """Let the register hold two clients, and one person on a project of one of them."""
    with worker_database.transaction() as connection:
        for key, kind in (("sales", "crm"), ("books", "erp")):
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode)"
                " VALUES (%s, %s, %s, 'act')",
                (key, {"crm": "hubspot", "erp": "tryton"}[kind], kind),
            )
        for name, refs in (
            ("Nordwind AG", {"sales": "c1", "books": "7"}),
            ("Halden", {"sales": "c2"}),
        ):
            client_id = uuid4()
            connection.execute(
                "INSERT INTO client (client_id, recorded_at) VALUES (%s, %s)", (client_id, NOW)
            )
            connection.execute(
                "INSERT INTO client_version (client_id, name, name_key, is_active, recorded_at)"
                " VALUES (%s, %s, %s, true, %s)",
                (client_id, name, name.lower(), NOW),
            )
            for key, ref in refs.items():
                connection.execute(
                    "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because,"
                    " recorded_at) VALUES (%s, 'client', %s, %s, 'identifier', %s)",
                    (key, ref, client_id, NOW),
                )
        connection.execute(
            """
            WITH k AS (INSERT INTO contract (client_id, entity_code, contract_code, recorded_at)
                       SELECT client_id, 'HR-DE', 'DP-1', %(now)s FROM client_version
                       WHERE name = 'Nordwind AG' RETURNING contract_id),
            j AS (INSERT INTO project (contract_id, entity_code, project_code, recorded_at)
                  SELECT contract_id, 'HR-DE', 'DP-1', %(now)s FROM k RETURNING project_id),
            p AS (INSERT INTO person (recorded_at) VALUES (%(now)s) RETURNING person_id),
            s AS (INSERT INTO subject (subject_id, kind, name, email, recorded_at)
                  SELECT person_id, 'person', 'Anna', 'anna@f.example', %(now)s FROM p)
            INSERT INTO assignment (person_id, project_id, labor_category, starts_on, ends_on,
                                    recorded_at)
            SELECT person_id, project_id, 'Consultant', '2026-10-01', '2027-01-01', %(now)s FROM p, j
            """,
            {"now": NOW},
        )


@pytest.mark.usefixtures("known")
class TestClients:
    def test_are_found_by_name_entity_and_links(self, run: Run) -> None:
        told = {
            words: [each["name"] for each in run("clients", *words, "--json").json["clients"]]
            for words in (
                ("WIND",),
                ("--entity", "HR-DE"),
                ("--entity", "HR-UK"),
                ("--links", "partial"),
                ("--links", "unclear"),
            )
        }

        assert list(told.values()) == [["Nordwind AG"], ["Nordwind AG"], [], ["Halden"], []]

    def test_are_a_table_for_people(self, run: Run) -> None:
        ran = run("clients")

        assert ran.code == 0
        assert all(word in ran.out for word in ("Nordwind AG", "linked", "books:7", "partial"))

    def test_are_not_narrowed_by_a_word_nobody_knows(self, run: Run) -> None:
        assert run("clients", "--links", "torn").code == 2


@pytest.mark.usefixtures("known")
class TestAssignments:
    def test_hold_until_the_day_before_their_end(self, run: Run) -> None:
        on = {
            day: len(run("assignments", "--on", day, "--json").json["assignments"])
            for day in ("2026-09-30", "2026-10-01", "2026-12-31", "2027-01-01")
        }

        assert list(on.values()) == [0, 1, 1, 0]

    def test_tell_who_and_as_what(self, run: Run) -> None:
        (found,) = run("assignments", "--project", "DP-1", "--json").json["assignments"]

        assert (found["person_name"], found["labor_category"]) == ("Anna", "Consultant")
        assert (found["starts_on"], found["ends_on"]) == ("2026-10-01", "2027-01-01")
        own = run("assignments", "--person", found["person_id"], "--json").json["assignments"]
        assert own == [found]
        assert run("assignments", "--project", "DP-2", "--json").json == {"assignments": []}
        assert run("assignments", "--entity", "HR-UK", "--json").json == {"assignments": []}

    @pytest.mark.parametrize("words", [("--on", "yesterday"), ("--person", "anna")])
    def test_are_not_guessed_at(self, run: Run, words: tuple[str, str]) -> None:
        ran = run("assignments", *words)

        assert (ran.code, ran.out) == (2, "")
        assert words[1] in ran.err

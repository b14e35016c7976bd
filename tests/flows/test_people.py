"""Who is who in every system, from when to when, and what is asked instead of guessed."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.support.deal import (
    BOOKS,
    CLOCK,
    ENDS_ON,
    NOW,
    STAFF,
    STARTS_ON,
    found_firm,
    land_as_read,
    person,
    staffing_fact,
)

from tieline.canonical import CostRate, Person
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.resource_assignment import sync_people

_MIDDLE = date(2027, 1, 1)


class Firm:
    """The people of two companies, as HR, an ERP and a time tool tell them."""

    def __init__(self, worker: Database) -> None:
        self.worker = worker
        self._minute = 0
        self.project_id = self.rows(
            """
            WITH c AS (INSERT INTO client (recorded_at) VALUES (%(now)s) RETURNING client_id),
            k AS (INSERT INTO contract (client_id, entity_code, contract_code, recorded_at)
                  SELECT client_id, 'HR-DE', 'DP-1', %(now)s FROM c RETURNING contract_id)
            INSERT INTO project (contract_id, entity_code, project_code, recorded_at)
            SELECT contract_id, 'HR-DE', 'DP-1', %(now)s FROM k RETURNING project_id
            """,
            {"now": NOW},
        )[0]["project_id"]

    def tell(self, key: str, stream: str, **nouns: Any) -> None:
        """Let a system say what it holds now."""
        self._minute += 1
        land_as_read(self.worker, key, stream, nouns, minute=self._minute)

    def hire(self, who: str, *, entity_code: str, employee_code: str, **more: Any) -> None:
        fact = staffing_fact(
            "employment", who, entity_code=entity_code, employee_code=employee_code, **more
        )
        self.tell(STAFF, "staffing", **{f"e-{who}": fact})

    def sync(self) -> set[str]:
        """Bring people up to date; return the reasons of what is asked."""
        now = NOW + timedelta(minutes=self._minute)
        return {case.reason for case in sync_people(self.worker, now=now).cases}

    def rows(self, statement: str, values: Any = ()) -> list[dict[str, Any]]:
        with self.worker.transaction() as connection:
            return connection.execute(statement, values).fetchall()

    def people(self) -> int:
        return len(self.rows("SELECT 1 FROM person WHERE redirect_to IS NULL"))

    def links(self) -> list[tuple[str, str]]:
        """Return under which references the one person is known."""
        rows = self.rows(
            "SELECT connection_key, source_ref FROM crosswalk WHERE superseded_at IS NULL"
            " AND noun IN ('person', 'employee') ORDER BY 1, 2"
        )
        return [(row["connection_key"], row["source_ref"]) for row in rows]

    def employments(self) -> list[tuple[str, bool, date, date | None]]:
        rows = self.rows(
            "SELECT entity_code, is_home, starts_on, ends_on FROM employment"
            " WHERE superseded_at IS NULL ORDER BY entity_code"
        )
        return [tuple(row.values()) for row in rows]

    def costs(self) -> list[tuple[Any, ...]]:
        """Return what is known of what an hour costs, from when until when."""
        rows = self.rows(
            "SELECT cost_rate, starts_on, ends_on FROM employment WHERE superseded_at IS NULL ORDER BY starts_on"
        )
        return [tuple(row.values()) for row in rows]

    def assignments(self, *, at: int | None = None) -> list[tuple[str, date, date | None]]:
        """Return who works when, as known at a minute or now."""
        known_at = NOW + timedelta(minutes=self._minute if at is None else at)
        rows = self.rows(
            "SELECT labor_category, starts_on, ends_on FROM assignment WHERE recorded_at <= %(at)s"
            " AND (superseded_at IS NULL OR superseded_at > %(at)s) ORDER BY starts_on",
            {"at": known_at},
        )
        return [tuple(row.values()) for row in rows]


@pytest.fixture
def firm(database: Dsns, worker_database: Database) -> Firm:
    owner = Database(database.owner, pool_max=1, application_name="test-owner").open()
    with owner.transaction() as connection:
        found_firm(connection)
    owner.close()
    return Firm(worker_database)


@pytest.mark.sql
class TestWhoIsWho:
    def test_is_found_by_e_mail_whatever_the_name(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        firm.tell(CLOCK, "users", u1=person("A. Schmidt-Roe", "ANNA@f.example"))

        assert firm.sync() == set()

        assert firm.people() == 1
        assert firm.links() == [(CLOCK, "u1")]

    def test_is_found_by_employee_code_where_an_e_mail_is_missing(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        firm.sync()
        firm.tell(
            BOOKS,
            "employees",
            **{"77": person("Anna", "", employee_code="A1", entity_code="HR-DE")},
        )

        assert firm.sync() == set()

        assert firm.people() == 1
        assert firm.links() == [(BOOKS, "77")]

    def test_is_never_found_by_the_name_alone(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        firm.tell(CLOCK, "users", u1=person("Anna", ""))

        assert firm.sync() == {"person.unknown"}

        assert firm.links() == []

    def test_is_asked_where_e_mail_and_code_disagree(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        firm.hire("ben", entity_code="HR-DE", employee_code="B1")
        firm.sync()
        stranger = person("Anna", "anna@f.example", employee_code="B1", entity_code="HR-DE")
        firm.tell(BOOKS, "employees", **{"77": stranger})

        assert firm.sync() == {"person.match_ambiguous"}

        assert firm.people() == 2
        assert firm.links() == []

    def test_is_asked_where_a_system_knows_somebody_twice(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        anna = person("Anna", "anna@f.example")
        firm.tell(CLOCK, "users", u1=anna, u2=anna)

        assert firm.sync() == {"person.duplicate_in_source"}

        assert firm.links() == [(CLOCK, "u1")]


@pytest.mark.sql
class TestDates:
    def test_lend_somebody_to_another_company_for_a_time(self, firm: Firm) -> None:
        firm.hire("ben", entity_code="HR-UK", employee_code="B1", ends_on=None)
        lent = staffing_fact("intercompany", "ben", entity_code="HR-DE", employee_code="B9")
        firm.tell(STAFF, "staffing", i1=lent)

        assert firm.sync() == set()

        assert firm.employments() == [
            ("HR-DE", False, STARTS_ON, ENDS_ON),
            ("HR-UK", True, STARTS_ON, None),
        ]
        assert firm.rows(
            "SELECT home_entity_code, project_entity_code, starts_on, ends_on"
            " FROM intercompany_agreement WHERE superseded_at IS NULL"
        ) == [
            {
                "home_entity_code": "HR-UK",
                "project_entity_code": "HR-DE",
                "starts_on": STARTS_ON,
                "ends_on": ENDS_ON,
            }
        ]

    def test_make_no_second_record_without_an_agreement(self, firm: Firm) -> None:
        firm.hire("ben", entity_code="HR-UK", employee_code="B1")
        firm.tell(STAFF, "staffing", a1=staffing_fact("assignment", "ben", project_code="DP-1"))

        assert firm.sync() == set()

        assert [entity for entity, *_ in firm.employments()] == ["HR-UK"]
        assert len(firm.assignments()) == 1

    def test_move_and_what_was_known_before_stays_known(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        words = {"project_code": "DP-1", "labor_category": "Consultant"}
        firm.tell(STAFF, "staffing", a1=staffing_fact("assignment", "anna", **words))
        firm.sync()
        firm.tell(
            STAFF, "staffing", a1=staffing_fact("assignment", "anna", **words, ends_on=_MIDDLE)
        )
        firm.sync()

        assert firm.assignments() == [("Consultant", STARTS_ON, _MIDDLE)]
        assert firm.assignments(at=2) == [("Consultant", STARTS_ON, ENDS_ON)]

    def test_follow_one_another_in_two_labor_categories(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        one = {"project_code": "DP-1", "labor_category": "Consultant", "ends_on": _MIDDLE}
        two = {"project_code": "DP-1", "labor_category": "Manager", "starts_on": _MIDDLE}
        firm.tell(
            STAFF, "staffing",
            a1=staffing_fact("assignment", "anna", **one), a2=staffing_fact("assignment", "anna", **two),
        )  # fmt: skip

        assert firm.sync() == set()

        assert firm.assignments() == [
            ("Consultant", STARTS_ON, _MIDDLE),
            ("Manager", _MIDDLE, ENDS_ON),
        ]

    def test_are_asked_where_two_rows_hold_for_the_same_day(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        one = {"project_code": "DP-1", "labor_category": "Consultant"}
        two = {"project_code": "DP-1", "labor_category": "Manager", "starts_on": _MIDDLE}
        firm.tell(
            STAFF, "staffing",
            a1=staffing_fact("assignment", "anna", **one), a2=staffing_fact("assignment", "anna", **two),
        )  # fmt: skip

        assert firm.sync() == {"person.dates_overlap"}

        assert firm.assignments() == [("Consultant", STARTS_ON, ENDS_ON)]

    @pytest.mark.parametrize(
        "wrong", [{"ends_on": STARTS_ON - timedelta(days=1)}, {"starts_on": None}]
    )
    def test_are_asked_where_they_cannot_be(self, firm: Firm, wrong: dict[str, Any]) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        fact = staffing_fact("assignment", "anna", project_code="DP-1", **wrong)
        firm.tell(STAFF, "staffing", a1=fact)

        assert firm.sync() == {"person.fact_incomplete"}

        assert firm.assignments() == []

    def test_join_where_leave_overlaps(self, firm: Firm) -> None:
        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        firm.tell(
            STAFF, "staffing",
            l1=staffing_fact("leave", "anna", starts_on=date(2026, 12, 1), ends_on=date(2026, 12, 10)),
            l2=staffing_fact("leave", "anna", starts_on=date(2026, 12, 8), ends_on=date(2026, 12, 15)),
        )  # fmt: skip

        assert firm.sync() == set()

        assert firm.rows("SELECT starts_on, ends_on FROM leave WHERE superseded_at IS NULL") == [
            {"starts_on": date(2026, 12, 1), "ends_on": date(2026, 12, 15)}
        ]


@pytest.mark.sql
class TestACostRate:
    def test_holds_from_its_day_and_is_unknown_before_the_first_and_where_a_day_has_two(
        self, firm: Firm
    ) -> None:
        def in_books(*rates: tuple[date, str]) -> Person:
            return person(
                "Anna", "anna@f.example", employee_code="A1", entity_code="HR-DE",
                cost_rate=Decimal(80),
                cost_rates=tuple(
                    CostRate(starts_on=day, amount=Decimal(amount)) for day, amount in rates
                ),
            )  # fmt: skip

        firm.hire("anna", entity_code="HR-DE", employee_code="A1")
        firm.tell(BOOKS, "employees", e1=in_books())
        assert firm.sync() == set()
        assert firm.costs() == [(80, STARTS_ON, ENDS_ON)]

        later = _MIDDLE + timedelta(days=31)
        firm.tell(BOOKS, "employees", e1=in_books((_MIDDLE, "80"), (later, "85"), (ENDS_ON, "99")))
        assert firm.sync() == set()
        assert firm.costs() == [
            (None, STARTS_ON, _MIDDLE), (80, _MIDDLE, later), (85, later, ENDS_ON),
        ]  # fmt: skip

        firm.tell(BOOKS, "employees", e1=in_books((STARTS_ON, "80"), (later, "85"), (later, "86")))
        assert firm.sync() == set()
        assert firm.costs() == [(80, STARTS_ON, later), (None, later, ENDS_ON)]

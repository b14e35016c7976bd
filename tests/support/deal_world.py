"""A firm that wins a deal, with a CRM and a time tool over HTTP and books that outlive a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.promises.connectors.vendors import Vendor, running_harvest, running_hubspot
from tests.support.deal import (
    NOW,
    Flow,
    Systems,
    deal_refs,
    found_firm,
    land_deal,
    land_nouns,
    lend_ben,
    open_flow,
    open_systems,
    staff,
    user_refs,
)
from tieline.casework import CaseSummary, list_cases, sync_time_cases
from tieline.runtime.migrate import Dsns
from tieline.services.deals import ask_for_project

IN_BOOKS = ["client", "contract", "project", "task", "employee"]
IN_CLOCK = ["clients", "projects", "task_assignments", "user_assignments", "user_assignments"]


class World:
    """A deal, the three systems and a firm that has just won it."""

    def __init__(self, dsns: Dsns, crm: Vendor, clock: Vendor, folder: Path) -> None:
        self.dsns, self.crm, self.clock = dsns, crm, clock
        self.systems: Systems = open_systems(crm, clock, folder=folder)
        self.flow: Flow = open_flow(dsns, self.systems)
        self.deal, self.second_deal = deal_refs(crm)
        with self.flow.owner.transaction() as connection:
            found_firm(connection)

    def win(self, **changed: Any) -> None:
        """Let everything be read once the deal was won."""
        land_nouns(self.flow.database, deal=self.deal, users=user_refs(self.clock), **changed)

    def win_another(self) -> None:
        """Win a second deal of the same client, with the same person lent to it."""
        land_deal(self.flow.database, deal=self.second_deal, project_code="DP-2", minute=1)
        lend_ben(self.flow.database, project_code="DP-2")

    def start(self) -> None:
        """Win a deal whose project nobody is assigned to yet, and let it become active."""
        self.win(staffed=())
        self.flow.run()
        assert self.plan["state"] == "active"

    def assign(self, who: str, minute: int = 0) -> None:
        """Put somebody on the list of that project."""
        staff(self.flow.database, who, project_code="DP-1", minute=minute)

    def take_off(self, who: str, minute: int) -> None:
        """Take somebody off the list of that project."""
        staff(self.flow.database, who, project_code="DP-1", minute=minute, is_deleted=True)

    def assigned(self) -> int:
        """Return how many assignments stand in the time tool."""
        return self.in_clock().count("user_assignments")

    def effects(self) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT noun, part, effect_no, state, attempt FROM effect ORDER BY planned_at, noun, effect_no"
        )

    def change(self, minute: int, **changed: Any) -> None:
        """Let the deal be read again after somebody changed it."""
        land_deal(self.flow.database, deal=self.deal, minute=minute, **changed)

    def refuse(self, step: str, *, keep: str = "") -> None:
        """Let a system refuse a step for good, and one to take back what is kept."""
        system, _, noun = step.partition(".")
        kept_by, _, kept = keep.partition(".")
        with self.systems.books.changed() as books:
            books.refuses = {noun} if system == "erp" else set()
            books.keeps = {kept} if kept_by == "erp" else set()
        # Of two assignments the second is refused, so that the first must be taken back.
        refused = f"assignment:{user_refs(self.clock)[1]}" if noun == "assignment" else noun
        systems = replace(
            self.systems,
            crm_refuses=frozenset({noun} if system == "crm" else ()),
            clock_refuses=frozenset({refused} if system == "time" else ()),
            clock_keeps=frozenset({kept} if kept_by == "time" else ()),
        )
        self.flow = replace(self.flow, directory=systems.directory())

    def try_again(self) -> None:
        """Ask for the project once more, as a person does when a system was repaired."""
        with self.flow.database.transaction() as connection:
            ask_for_project(connection, plan_id=self.plan["plan_id"], correlation_id="again")
        self.flow.run()

    @property
    def plan(self) -> dict[str, Any]:
        (row,) = self.rows("SELECT * FROM provisioning_plan")
        return row

    def project(self) -> tuple[str, bool]:
        (row,) = self.rows(
            "SELECT status, accepts_time FROM project_version WHERE superseded_at IS NULL"
        )
        return row["status"], row["accepts_time"]

    def in_books(self) -> list[str]:
        with self.systems.books.changed() as books:
            return list(books.standing())

    def in_clock(self) -> list[str]:
        """Return what people could book on: what is there and not archived."""
        standing: dict[tuple[str, int], bool] = {}
        for line in self.clock.journal():
            record = line["record"]
            standing[line["table"], line["id"]] = bool(record) and record["is_active"]
        return [table for (table, _), stands in standing.items() if stands and table in IN_CLOCK]

    def told(self) -> dict[str, str]:
        """Return what the CRM shows of the project."""
        last = [line for line in self.crm.journal() if line["table"] == "deals"][-1]
        properties: dict[str, str] = last["record"]["properties"]
        return {
            name: word for name, word in properties.items() if name.startswith("tieline_project_")
        }

    def links(self) -> list[str]:
        rows = self.rows(
            "SELECT connection_key, noun FROM crosswalk WHERE superseded_at IS NULL"
            " AND because LIKE 'plan:%' ORDER BY 1, 2"
        )
        return [f"{row['connection_key']}.{row['noun']}" for row in rows]

    def open_effects(self) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT noun, state FROM effect WHERE state IN ('INTENT', 'UNKNOWN', 'PROBING', 'ABSENT')"
        )

    def events(self) -> list[str]:
        return [row["type"] for row in self.rows("SELECT type FROM event ORDER BY event_id")]

    def case(self, reason: str) -> CaseSummary:
        self.flow.keep_register()
        with self.flow.database.transaction() as connection:
            (found,) = list_cases(connection, reason=reason)
        return found

    def reasons(self) -> set[str]:
        self.flow.keep_register()
        with self.flow.database.transaction() as connection:
            sync_time_cases(connection, now=NOW, correlation_id="c")
            return {case.reason for case in list_cases(connection)}

    def rows(self, statement: str) -> list[dict[str, Any]]:
        with self.flow.owner.transaction() as connection:
            return connection.execute(statement).fetchall()


@contextmanager
def opened_world(database: Dsns, folder: Path) -> Iterator[World]:
    """Open the firm on a database of its own, and close it."""
    with running_hubspot(folder) as crm, running_harvest(folder) as clock:
        made = World(database, crm, clock, folder)
        yield made
        made.flow.database.close()
        made.flow.owner.close()
        assert crm.exchanges

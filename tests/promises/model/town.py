"""Hours that go all the way, from a page that lands to books that fail, and may die anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.support.books import FailingBooks
from tests.support.scene import NOW, approve_shipped_rules, build_scene, complete_scene
from tests.support.target import FixedClock, OpenBudgets
from tieline.canonical import Approval, TimeEntry
from tieline.intake import LandingPage, abandon, land
from tieline.kernel.errors import TielineError
from tieline.posting.lines import LinePoster
from tieline.reconciliation.model import Hour, Judgment, Place, Standing
from tieline.runtime.database import Database
from tieline.runtime.work import AtOnce
from tieline.sdk import RawRecord, Translated
from tieline.services.time_validation import (
    JUDGE_BATCH,
    JUDGE_WAITING,
    POST_LINES,
    TimeValidation,
)

RATE, CURRENCY = Decimal(150), "EUR"
_ROUNDS_MAX = 40
_NOBODY = "nobody"
_STANDING = """
    SELECT t.source_ref AS ref, p.place, coalesce(l.seconds, 0)::int AS seconds,
           coalesce(l.amount, 0) AS amount, (l.keys IS NULL) AS has_none
    FROM time_entry t
    JOIN entry_place p USING (entry_id)
    LEFT JOIN (SELECT entry_id, sum(seconds) AS seconds, sum(amount) AS amount, array_agg(business_key) AS keys
               FROM ledger_line GROUP BY 1) l USING (entry_id)
"""


class DiedError(BaseException):
    """The process ended here; nothing of it cleans up."""


@dataclass(slots=True)
class Town:
    """Everything between a source and its target, with a place to die in."""

    worker: Database
    owner: Database
    books: FailingBooks
    flow: TimeValidation
    dies_at: str | None = None
    deaths: int = 0
    minutes: int = 0
    days: dict[str, date] = field(default_factory=dict)

    @classmethod
    def build(cls, worker: Database, owner: Database, books: FailingBooks) -> Town:
        """Declare the firm and its rules."""
        with owner.transaction() as connection:
            complete_scene(connection, build_scene(connection))
            connection.execute("UPDATE release SET state = 'superseded'")
        with owner.transaction() as connection:
            approve_shipped_rules(connection)
        poster = LinePoster(
            database=worker,
            connectors=books,
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=FixedClock(NOW),
            batch_lines_max=3,
        )
        flow = TimeValidation(database=worker, line_poster=poster, clock=FixedClock(NOW))
        return cls(worker=worker, owner=owner, books=books, flow=flow)

    @contextmanager
    def mortal(self) -> Iterator[None]:
        """Let the poster die at the failpoint that was named, once."""

        def failpoint(name: str) -> None:
            if name == self.dies_at:
                self.dies_at = None
                self.deaths += 1
                raise DiedError(name)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tieline.posting.lines.failpoint", failpoint)
            yield

    def land(self, hours: Mapping[str, Hour], *, minutes_ago: int = 0) -> None:
        """Let the source tell of these hours, as they are or as they were."""
        self.minutes += 1
        told_at = NOW + timedelta(minutes=self.minutes - minutes_ago)
        abandon(self.worker, connection_key="harvest", stream="time_entries")
        landed = land(
            self.worker,
            page=LandingPage(
                connection_key="harvest",
                source_epoch=0,
                stream="time_entries",
                kind="poll",
                records=[
                    RawRecord(
                        object="time_entries",
                        source_ref=ref,
                        body=f"{hour} {self.minutes}".encode(),
                        source_at=told_at,
                    )
                    for ref, hour in hours.items()
                ],
                cursor="c",
                correlation_id="x",
            ),
            translate=lambda record: Translated(
                noun=self._entry(record.source_ref, hours[record.source_ref]),
                is_deleted=hours[record.source_ref].is_deleted,
            ),
            material_key=b"key",
            now=NOW,
        )
        with self.worker.transaction() as connection:
            self.flow.batch_landed(connection, landed.batch_id, "x")

    def drain(self) -> None:
        """Work until nothing waits, as workers do one after another when one dies."""
        handlers = {
            JUDGE_BATCH: self.flow.judge_batch,
            JUDGE_WAITING: self.flow.judge_waiting,
            POST_LINES: self.flow.post_lines,
        }
        with self.mortal():
            for _ in range(_ROUNDS_MAX):
                self.flow.plan_left_out()
                self.flow.schedule_waiting()
                items = self._rows("DELETE FROM work_item RETURNING kind, subject")
                if not items:
                    return
                for item in items:
                    try:
                        handlers[item["kind"]](AtOnce(), item["subject"])
                    except (DiedError, TielineError):
                        # The item is lost with who had it; what it was about is in the tables.
                        continue
                self._let_settle()
        raise AssertionError("the hours did not come to an end")

    def standing(self) -> Mapping[str, Standing]:
        """Return what the database and the books hold of each hour."""
        in_books = self._in_books()
        return {
            row["ref"]: Standing(
                place=Place(row["place"]),
                seconds=row["seconds"],
                amount=Decimal(row["amount"]).quantize(Decimal("0.01")),
                target_seconds=in_books.get(self.day_of(row["ref"]).isoformat(), 0),
            )
            for row in self._rows(_STANDING)
        }

    def states(self) -> set[str]:
        """Return the states in which effects rest."""
        return {row["state"] for row in self._rows("SELECT DISTINCT state FROM effect")}

    def steps(self) -> Mapping[str, frozenset[str]]:
        """Return the steps that the database itself allows."""
        rows = self._rows(
            "SELECT from_state, array_agg(to_state) AS ends FROM effect_transition GROUP BY 1"
        )
        return {row["from_state"]: frozenset(row["ends"]) for row in rows}

    def day_of(self, ref: str) -> date:
        """Give each hour a day of its own, by which the books tell it apart."""
        if ref not in self.days:
            day = date(2026, 10, 1) + timedelta(days=len(self.days) % 31)
            self.days[ref] = day
        return self.days[ref]

    def _in_books(self) -> Mapping[str, int]:
        sums: dict[str, int] = {}
        for line in self.books.books.lines.values():
            sums[line["date"]] = sums.get(line["date"], 0) + line["seconds"]
        return sums

    def _let_settle(self) -> None:
        httpx.get(f"{self.books.url}/settled")
        with self.owner.transaction() as connection:
            connection.execute(
                "UPDATE effect SET due_at = NULL, sent_at = sent_at - interval '1 hour'"
                " WHERE state NOT IN ('CONFIRMED', 'WITHDRAWN')"
            )

    def _entry(self, ref: str, hour: Hour) -> TimeEntry:
        approval = Approval.APPROVED if hour.is_approved else Approval.NOT_APPROVED
        return TimeEntry(
            person_ref=_NOBODY if hour.judgment is Judgment.HELD else "u1",
            project_ref="p1",
            task_ref="t1",
            labor_category=None,
            work_date=self.day_of(ref),
            zone="Europe/Berlin",
            seconds=hour.seconds,
            quantum_seconds=36,
            started_at=None,
            ended_at=None,
            billable=True,
            approval=approval,
            approval_word=approval.value,
            approver_ref=None,
            approved_at=None,
            created_at=NOW - timedelta(days=20),
            narrative="work on the plan of the second phase",
        )

    def _rows(self, statement: str) -> list[dict[str, Any]]:
        with self.owner.transaction() as connection:
            return connection.execute(statement).fetchall()

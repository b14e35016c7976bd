"""A firm writes rules of its own: tried on what was, drafted by one, approved by another, and then they hold."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tests.flows.test_time_validation import World
from tests.support.scene import DAY

from tieline.console import words
from tieline.kernel.errors import UserMistake
from tieline.policy import approve_release, reject_release
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import AtOnce
from tieline.services.policy_files import (
    Drafted,
    PolicyFile,
    draft_policy,
    export_policy,
    read_policy_file,
    understand_policy,
    write_toml,
)
from tieline.services.what_if import Question, WhatIf, answer
from tieline.validation import always_held, judge

SHORT_DAYS = {
    "code": "firm.short_days",
    "applies_when": "lower(task_name) LIKE 'bui%' AND extract(isodow FROM work_date) BETWEEN 1 AND 5",
    "predicate": "coalesce(seconds, 0) / 3600 <= 4",
    "severity": "error",
    "owner": "delivery",
    "thing": "entry",
    "message": "Nobody builds for more than four hours at a stretch.",
    "fix": "Split the hour where the break was.",
}
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "says already"),
    ({"value": [{"name": "day_seconds_max", "value": "1", "reason": "x"}]}, "twice"),
    ({"value": [{"name": "day_secs", "value": "1", "reason": "x"}]}, "no value is called"),
    ({"value": [{"name": "day_lines_max", "entity": "HR-DE", "value": "many", "reason": "x"}]}, "whole number"),
    ({"value": [{"name": "change_of_invoiced", "entity": "HR-DE", "value": "x", "reason": "x"}]}, "none of"),
    ({"value": [{"name": "day_lines_max", "entity": "XX", "value": "1", "reason": "x"}]}, "no legal entity"),
    ({"severity": [{"rule": "time.nothing", "severity": "warn", "starts_on": "2026-01-01", "reason": "x"}]}, "no rule"),
    ({"severity": 2 * [{"rule": "time.overlap", "severity": "warn", "starts_on": "2026-01-01", "reason": "x"}]}, "two severities"),
    ({"severity": [{"rule": "time.overlap", "severity": "warn", "contract": "C9", "starts_on": "2026-01-01", "reason": "x"}]}, "no contract"),
    ({"severity": [{"rule": "time.overlap", "severity": "warn", "client": "Nobody", "starts_on": "2026-01-01", "reason": "x"}]}, "no client"),
    ({"rule": [SHORT_DAYS | {"predicate": "secs > 1"}]}, "no column"),
    ({"rule": [SHORT_DAYS | {"owner": "nobody"}]}, "owner is one of"),
    ({"rule": 2 * [SHORT_DAYS]}, "twice"),
)  # fmt: skip
WHOLE = (date(2026, 1, 1), date(2027, 1, 1))


class Firm(World):
    """A world in which policy is drafted, compared and approved."""

    def wait(self, source_ref: str, hours: int, **changed: Any) -> None:
        """Land and judge hours; nothing of them is sent."""
        batch_id = self.land(source_ref, hours * 3600, **changed)
        with self.worker.transaction() as connection:
            self.flow.batch_landed(connection, batch_id, "x")
        self.flow.judge_batch(AtOnce(), str(batch_id))

    def policy(self, **changed: Any) -> PolicyFile:
        """Return what is said now, with something else in it."""
        with self.worker.transaction() as connection:
            told = export_policy(connection).model_dump(mode="json")
        for table, items in changed.items():
            told[table] = [*told[table], *items] if isinstance(items, list) else items
        return understand_policy(told)

    def draft(self, file: PolicyFile, by: str = "ann") -> Drafted:
        with self.worker.transaction() as connection:
            return draft_policy(connection, file=file, by=by, reason="a test", now=self.clock.now())

    def approve(self, release_id: int, by: str = "bob") -> None:
        with self.worker.transaction() as connection:
            approve_release(connection, release_id=release_id, approved_by=by, now=self.clock.now())

    def look(self, judges: Database, release_id: int, *, chunk_hours: int = 2) -> WhatIf:
        return self.ask(
            judges,
            Question(new_release_id=release_id, starts_on=WHOLE[0], ends_on=WHOLE[1]),
            chunk_hours=chunk_hours,
        )

    def ask(self, database: Database, question: Question, *, chunk_hours: int = 2) -> WhatIf:
        seen: list[tuple[int, int]] = []
        found = answer(
            database,
            question=question,
            now=self.clock.now(),
            sample=1000,
            progress=lambda done, total: seen.append((done, total)),
            chunk_hours=chunk_hours,
        )
        assert seen == sorted(seen)
        assert seen[-1] == (found.hours_read, found.hours_read)
        return found

    def verdicts(self) -> dict[UUID, tuple[Any, ...]]:
        """Return what is decided of every hour: outcome, amount and each reason with its weight."""
        rows = self.say(
            """
            SELECT t.entry_id, v.outcome, v.amount,
                   (SELECT coalesce(array_agg(code || '=' || severity ORDER BY code), '{}') FROM verdict_reason r
                    WHERE r.verdict_id = v.verdict_id) AS reasons
            FROM time_entry t JOIN verdict v USING (verdict_id)
            """
        )
        return {row["entry_id"]: (row["outcome"], row["amount"], row["reasons"]) for row in rows}

    def judge_again(self) -> None:
        while self.flow.judge_waiting(AtOnce(), "all") != _done():
            pass


def _done() -> Any:
    from tieline.runtime.work import Done

    return Done()


@pytest.fixture
def firm(database: Dsns, worker_database: Database) -> Any:
    owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
    yield Firm(owner, worker_database)
    owner.close()


@pytest.fixture
def judges(database: Dsns) -> Any:
    opened = Database(database.judge, pool_max=2, application_name="test-judge").open()
    yield opened
    opened.close()


class TestAPolicyOfTheFirm:
    def test_does_what_its_difference_said_and_nothing_else(
        self, firm: Firm, judges: Database
    ) -> None:
        firm.book("posted-short", 3600)
        firm.book("posted-long", 6 * 3600, work_date=DAY + timedelta(days=1))
        firm.close()
        firm.reopen()
        for number, length in enumerate((1, 5, 9, 4, 3)):
            firm.wait(f"w{number}", length, work_date=DAY + timedelta(days=2 + number))
        firm.wait("quiet", 2, work_date=DAY + timedelta(days=8), narrative="")
        file = firm.policy(
            rule=[SHORT_DAYS],
            severity=[
                {
                    "rule": "firm.short_days",
                    "severity": "warn",
                    "contract": "C1",
                    "starts_on": DAY + timedelta(days=4),
                    "ends_on": DAY + timedelta(days=5),
                    "reason": "a night of release",
                },
                {
                    "rule": "time.narrative_missing",
                    "severity": "warn",
                    "entity": "HR-DE",
                    "starts_on": "2026-01-01",
                    "reason": "nobody reads them",
                },
            ],
        )

        drafted = firm.draft(read_policy_file(write_toml(file), is_json=False))
        told = firm.look(judges, drafted.release_id)
        in_one = firm.look(judges, drafted.release_id, chunk_hours=1000)

        assert [line.split(":")[0] for line in drafted.changes] == [
            "rule firm.short_days",
            "severity firm.short_days C1 from 2026-10-09 until 2026-10-10",
            "severity time.narrative_missing HR-DE from 2026-01-01",
        ]
        assert told == in_one
        before = firm.verdicts()
        with pytest.raises(UserMistake, match="somebody else approves"):
            firm.approve(drafted.release_id, by="ann")
        firm.approve(drafted.release_id)
        firm.judge_again()
        after = firm.verdicts()
        changed = {entry_id for entry_id in after if after[entry_id] != before[entry_id]}
        standing = {row["entry_id"] for row in firm.say("SELECT entry_id FROM standing_effect")}
        assert len(changed) == 3
        assert set(told.sample) - standing == changed
        assert len(set(told.sample) & standing) == 1
        assert told.entries == len(told.sample) == 4
        by_place = {
            (each.place, each.was, each.becomes): (each.entries, each.seconds, each.amount)
            for each in told.contracts
        }
        assert by_place[("posted", "cleared", "held")] == (1, 6 * 3600, Decimal(900))
        assert by_place[("waiting", "cleared", "held")][:2] == (1, 5 * 3600)
        assert by_place[("waiting", "cleared", "cleared")][:2] == (1, 9 * 3600)
        assert by_place[("waiting", "held", "cleared")][:2] == (1, 2 * 3600)
        assert {each.currency for each in told.contracts} == {"EUR"}

    def test_names_the_case_in_the_firms_own_words(self, firm: Firm) -> None:
        firm.approve(firm.draft(firm.policy(rule=[SHORT_DAYS])).release_id)

        firm.book("long", 5 * 3600)
        firm.book("short", 3600, work_date=DAY + timedelta(days=1))

        held = firm.case("firm.short_days")
        assert firm.posted() == [3600]
        assert (held.owner_queue, held.seconds) == ("delivery", 5 * 3600)
        assert words.reason(held.reason, held.details) == SHORT_DAYS["message"]
        firm.approve(firm.draft(firm.policy(rule=())).release_id)
        firm.post()
        assert firm.posted() == [3600, 5 * 3600]
        assert firm.reasons() == set()

    def test_tells_of_closed_periods(self, firm: Firm, judges: Database) -> None:
        firm.book("long", 6 * 3600)
        firm.close()

        told = firm.look(judges, firm.draft(firm.policy(rule=[SHORT_DAYS])).release_id)

        (period,) = told.closed_periods
        assert (period.period_code, period.entries, period.seconds) == ("2026-10", 1, 6 * 3600)
        assert [(each.code, each.gained, each.lost) for each in told.rules] == [
            ("firm.short_days", 1, 0)
        ]

    def test_is_not_approved_over_one_that_came_between(self, firm: Firm) -> None:
        first = firm.draft(firm.policy(rule=[SHORT_DAYS]))
        second = firm.draft(firm.policy(rule=[SHORT_DAYS | {"code": "firm.other"}]))
        firm.approve(first.release_id)

        with pytest.raises(UserMistake, match="draft it anew"):
            firm.approve(second.release_id)

        with firm.worker.transaction() as connection:
            reject_release(
                connection, release_id=second.release_id, rejected_by="ann", reason="x",
                now=firm.clock.now(),
            )  # fmt: skip

    def test_is_refused_with_what_is_wrong(self, firm: Firm) -> None:
        weakened = [
            ({"severity": [{"rule": code, "severity": "ignore", "starts_on": "2026-01-01", "reason": "x"}]}, f"{code} always holds")
            for code in sorted(always_held())
        ]  # fmt: skip
        for changed, told in (*REFUSED, *weakened):
            with pytest.raises(UserMistake, match=told):
                firm.draft(firm.policy(**changed))
        assert firm.say("SELECT 1 FROM release WHERE state = 'draft'") == []
        assert len(weakened) > 30


class TestARuleThatFails:
    def test_holds_its_hours_and_nobody_elses(
        self, firm: Firm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        firm.approve(firm.draft(firm.policy(rule=[_hours("4.5")])).release_id)
        # As if what may be written could still fail for an hour.
        monkeypatch.setattr(
            "tieline.validation.statement.write_predicate",
            lambda text: "1 / (seconds - 7200) IS NOT NULL" if "3600" in text else "true",
        )
        for number, length in enumerate((1, 2, 3, 2, 1, 1, 1)):
            firm.land(f"w{number}", length * 3600, work_date=DAY + timedelta(days=number))
        batches = [row["batch_id"] for row in firm.say("SELECT batch_id FROM intake_batch")]
        keys = [f"entry:{row['entry_id']}" for row in firm.say("SELECT entry_id FROM time_entry")]

        with firm.worker.transaction() as connection:
            judged = judge(connection, clock=firm.clock, correlation_id="x", neighbor_keys=keys)

        assert len(batches) >= 7
        assert judged.failed_rules == ("firm.short_days",)
        assert judged.by_outcome == {"held": 2, "cleared": 5}
        assert firm.reasons() == {"time.rule_failed"}
        assert firm.case("time.rule_failed").seconds == 4 * 3600

    def test_is_refused_in_a_draft(self, firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
        firm.book("1", 3600)
        monkeypatch.setattr(
            "tieline.validation.statement.write_predicate",
            lambda text: "1 / (seconds - 3600) > 0" if "3600" in text else "true",
        )

        with pytest.raises(UserMistake, match=r"firm.short_days cannot be answered: division"):
            firm.draft(firm.policy(rule=[_hours("4.25")]))


def _hours(most: str) -> dict[str, str]:
    # A text that no other test asked before: what was put together once is not put together anew.
    return SHORT_DAYS | {"predicate": f"coalesce(seconds, 0) / 3600 <= {most}"}

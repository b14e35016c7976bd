"""An explanation is the judgement asked again: it says what the verdict said, also after the hour was posted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.promises.rules.comparing import change_some, load_firm, load_hours, post_some
from tests.promises.rules.firm import NOW, make_firm, make_hours
from tests.support.target import FixedClock
from tieline.runtime.database import Database
from tieline.validation import explain_verdict, judge

_ASKED_EVERY = 4


class TestExplain:
    def test_tells_of_each_verdict_what_each_rule_answered_then(
        self, owner_database: Database, worker_database: Database
    ) -> None:
        maker = make_firm(11, people=8, projects=8)
        make_hours(maker, 120)
        load_firm(owner_database, maker.firm)
        with owner_database.transaction() as connection:
            connection.execute(
                "INSERT INTO severity_override (release_id, code, entity_code, starts_on, severity, reason)"
                " SELECT release_id, c, 'DE', '2026-01-01', w, 'agreed with DE' FROM release,"
                " (VALUES ('time.late_entry', 'ignore'), ('time.assignment_missing', 'warn')) AS o (c, w)"
            )
        batch_id = load_hours(owner_database, maker.firm.hours.values())
        _judge(worker_database, batch_id, seconds=0)
        post_some(maker, owner=owner_database, share=0.6)
        _judge(
            worker_database, load_hours(owner_database, change_some(maker), version=2), seconds=9
        )

        with worker_database.transaction() as connection:
            verdicts = connection.execute(
                "SELECT verdict_id, outcome FROM verdict ORDER BY verdict_id"
            ).fetchall()
            told = [
                explain_verdict(connection, verdict_id=each["verdict_id"])
                for each in verdicts[::_ASKED_EVERY] + verdicts[-20:] + _one_of_each(verdicts)
            ]
        assert {each.outcome for each in told} >= {"cleared", "held", "correct", "outside"}
        assert {each.verdict_id: each.differs for each in told if each.differs} == {}
        rules = [rule for each in told for rule in each.rules]
        assert {rule.answer for rule in rules} == {
            "holds", "violated", "ignored", "not_applicable", "not_asked",
        }  # fmt: skip
        ignored = [rule for rule in rules if rule.answer == "ignored"]
        late = [rule for rule in ignored if rule.override is not None]
        assert {(rule.code, rule.override and rule.override.reason) for rule in late} == {
            ("time.late_entry", "agreed with DE")
        }
        assert {rule.severity for rule in ignored if rule.override is None} == {"ignore"}
        assert "policy_late_entry_days" in late[0].columns
        weakened = [
            rule for rule in rules if rule.code == "time.assignment_missing" and rule.weight
        ]
        assert {(rule.weight, rule.override is None) for rule in weakened} <= {
            ("error", True),
            ("warn", False),
        }


def _one_of_each(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({each["outcome"]: each for each in verdicts}.values())


def _judge(worker: Database, batch_id: int, *, seconds: int) -> None:
    with worker.transaction() as connection:
        at = NOW + timedelta(seconds=seconds)
        judge(connection, clock=FixedClock(at), correlation_id="c", batch_id=batch_id)

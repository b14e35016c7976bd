"""The product and the reference agree on every hour of a firm; the first that they do not is told in words."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.promises.rules.comparing import (
    SEVERITIES,
    agreed_zones,
    change_some,
    close_some_periods,
    differences,
    judge_batch,
    load_firm,
    load_hours,
    post_some,
    verdicts,
)
from tests.promises.rules.firm import make_firm, make_hours
from tests.promises.rules.reference import NOT_COVERED, RULES
from tieline.runtime.database import Database


class TestTheReference:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_agrees_on_every_hour_before_and_after_posting(
        self, seed: int, owner_database: Database, worker_database: Database
    ) -> None:
        seen = compare(owner_database, worker_database, seed=seed, entries=3000)

        assert len(agreed_zones(owner_database)) > 580
        assert set(seen) >= {"cleared", "held", "parked", "outside", "excluded", "correct"}
        assert set(seen) >= {
            "capped_seconds",
            "time.capped_line_missing",
            "time.capped_link_missing",
        }

    def test_has_a_function_for_every_shipped_rule(self) -> None:
        assert set(SEVERITIES) <= set(RULES) | set(NOT_COVERED)
        assert not set(RULES) & set(NOT_COVERED)


def compare(owner: Database, worker: Database, *, seed: int, entries: int) -> Counter[str]:
    """Judge a firm twice, before and after hours of it were posted; return what was seen how often.

    :raises AssertionError: the two disagree; the message tells the first hour.
    """
    maker = make_firm(seed, zones=agreed_zones(owner))
    make_hours(maker, entries)
    load_firm(owner, maker.firm)
    judge_batch(worker, load_hours(owner, maker.firm.hours.values()))
    found = verdicts(worker)
    _must_agree(seed, differences(maker.firm, found))
    post_some(maker, owner=owner, share=0.5)
    close_some_periods(maker, owner=owner)
    changed = change_some(maker)
    judge_batch(worker, load_hours(owner, changed, version=2))
    _judge_all(owner, worker)
    again = verdicts(worker)
    _must_agree(seed, differences(maker.firm, again))
    every = [*found.values(), *again.values()]
    return Counter(
        word
        for outcome, reasons in every
        for word in (outcome, *(reason.partition("=")[0] for reason in reasons))
    )


def _must_agree(seed: int, told: list[str]) -> None:
    assert not told, f"seed {seed}: {len(told)} hours differ; the first: {told[0]}"


def _judge_all(owner: Database, worker: Database) -> None:
    """Judge every hour as if all of them had come at once."""
    with owner.transaction() as connection:
        connection.execute(
            "UPDATE time_entry_version SET batch_id = (SELECT max(batch_id) FROM intake_batch)"
        )
        row = connection.execute("SELECT max(batch_id) AS batch_id FROM intake_batch").fetchone()
    assert row is not None
    judge_batch(worker, row["batch_id"])

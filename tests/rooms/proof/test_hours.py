"""A small slice of the scenarios whose large runs have a command: the figures are in docs/benchmarks.md."""

from __future__ import annotations

from tieline.proof.proving.scenarios import backlog, outage, storm
from tieline.runtime.database import Database


class TestABacklog:
    def test_lets_what_is_due_overtake_it_and_keeps_its_tenth(
        self, worker_database: Database
    ) -> None:
        figures = backlog(worker_database, low_items=2000, due_items=600, calls_per_second=40)

        assert figures["broken"] == []
        assert figures["low_percent_meanwhile"] < 50


class TestAStorm:
    def test_costs_few_calls_more_and_honors_every_wait(self, worker_database: Database) -> None:
        figures = storm(worker_database, minutes=2, calls_per_second=2)

        assert figures["broken"] == []
        assert figures["succeeded"] > 100


class TestAnOutage:
    def test_is_probed_seldom_and_drained_gently(self, worker_database: Database) -> None:
        figures = outage(worker_database, minutes=15, lines_per_minute=12)

        assert figures["broken"] == []
        assert figures["calls_while_away"] >= 10

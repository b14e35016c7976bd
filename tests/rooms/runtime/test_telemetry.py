"""Logs keep secrets to themselves; metrics are read from the tables."""

from __future__ import annotations

import json

import psycopg
import pytest
import structlog

from tieline.runtime.database import Database
from tieline.runtime.outcomes import count_outcome
from tieline.runtime.telemetry import Metrics, configure_logging, correlated
from tieline.runtime.work import BILLING, schedule


class TestLogging:
    def test_hides_what_is_secret(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        structlog.get_logger().info(
            "call.made",
            api_key="k-1",
            headers={"Authorization": "Bearer b-1"},
            url="postgresql://worker:p-1@/tieline",
            text="sent Bearer b-2 along",
            seconds=3,
        )

        line = capsys.readouterr().err
        told = json.loads(line)
        assert not any(word in line for word in ("k-1", "b-1", "p-1", "b-2"))
        assert told["seconds"] == 3
        assert told["url"] == "postgresql://worker:[hidden]@/tieline"

    def test_carries_the_story(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        with correlated("deal-7"):
            structlog.get_logger().info("inside")
        structlog.get_logger().info("outside")

        inside, outside = (json.loads(line) for line in capsys.readouterr().err.splitlines())
        assert inside["correlation_id"] == "deal-7"
        assert "correlation_id" not in outside


class TestAnError:
    @pytest.mark.parametrize("row", [b"7\tZoe is ill\n", b"Zoe is ill\t7\t8\t9\n"])
    def test_of_the_database_tells_no_row(self, worker_database: Database, row: bytes) -> None:
        with (
            pytest.raises(psycopg.Error) as refused,
            worker_database.transaction() as connection,
            connection.cursor().copy("COPY narrative (text, narrative_id) FROM STDIN") as rows,
        ):
            rows.write(row)

        assert "Zoe" not in str(refused.value) + repr(refused.value)
        assert str(refused.value) in str(refused.value.diag.message_primary)

    def test_in_a_statement_of_its_own_tells_no_row(self, worker_database: Database) -> None:
        with (
            pytest.raises(psycopg.errors.CheckViolation) as refused,
            worker_database.statement() as connection,
        ):
            connection.execute(
                "INSERT INTO reach VALUES ('nobody', 'x', 'zoe@firm.example', false)"
            )

        assert "zoe" not in str(refused.value)


class TestMetrics:
    def test_tell_queue_lag_and_outcomes(self, worker_database: Database) -> None:
        with worker_database.transaction() as connection:
            for subject in ("a", "b"):
                schedule(
                    connection, kind="k", subject=subject, work_class=BILLING, correlation_id="c"
                )
            connection.execute("UPDATE work_item SET due_at = due_at - interval '90 seconds'")
            for _ in range(3):
                count_outcome(
                    connection, connection_key="tryton", operation="call", outcome="answered"
                )

        text = Metrics(database=worker_database).render().decode()

        assert 'tieline_queue_depth{state="waiting",work_class="billing"} 2.0' in text
        assert 'tieline_queue_lag_seconds{work_class="billing"} 90.0' in text
        assert (
            'tieline_outcomes_total{connection="tryton",operation="call",outcome="answered"} 3.0'
            in text
        )

"""Hold every line that stands in a target against the line that was booked, and freed hours with them.

Pattern: scheduled, durable per target, and whenever somebody asks. Target: once a day, and again a minute
after something was found. Vendor calls: one per page of lines of a legal entity and fiscal period, the
newest ``_SCOPES_MAX`` of them, and one about invoices where hours of the period were billed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from psycopg import Connection

from tieline.canonical import TimeLineCommand
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TielineError
from tieline.reconciliation import (
    NOT_CHECKED,
    Found,
    LineScope,
    ask_what_bills,
    can_list,
    keep_lines,
    keep_result,
    list_invoices_of,
    list_lasting_lines,
    read_standing,
)
from tieline.runtime.database import Database
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import REFERENCE, Done, Outcome, Steps, schedule
from tieline.sdk import Undo
from tieline.sdk.directory import Connectors
from tieline.services.standing_checks import keep_found

ASK_LINES = "ask_lines"
LINES_DIFFER = "reconciliation.lines_differ"
HOURS_FREED = "reconciliation.hours_freed"
_FREED = "hours were freed from an invoice that still bills them"
_DAY_SECONDS = 86_400
_AGAIN_SECONDS = 60
_SCOPES_MAX = 48
_LASTING_CHECKS = 2
_FIX = (
    "Nothing is sent for it: somebody changed, removed or added the lines below in the target. Put them"
    " right there; they are held against each other again a minute later and then once a day."
)
_FIX_FREED = (
    "Nothing is sent or drafted for it: the hours below would be billed a second time. Tie them to their"
    " invoice again in the target, or credit the invoice there."
)

_log = structlog.get_logger("tieline.checks")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChecks:
    """The schedule of the readings and their durable handler."""

    database: Database
    connectors: Connectors
    clock: Clock

    def schedule_due(self) -> None:
        """Ask for a reading of every target that was not read for longer than it may be."""
        with self.database.transaction() as connection:
            for row in _due(connection, now=self.clock.now()):
                schedule(
                    connection,
                    kind=ASK_LINES,
                    subject=row["connection_key"],
                    work_class=REFERENCE,
                    correlation_id=new_correlation_id(),
                )

    def ask(self, steps: Steps, subject: str) -> Outcome:
        """Read a target scope by scope, then say what lasts."""
        steps.run("lines", lambda: self.look(target=subject))
        return Done()

    def look_now(self) -> int:
        """Read every target now; return how many could be read to the end."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT DISTINCT erp_connection_key AS key FROM legal_entity ORDER BY 1"
            ).fetchall()
        return sum(self.look(target=row["key"]) for row in rows)

    def look(self, *, target: str) -> bool:
        """Read one target; say whether it could be read to the end."""
        began = time.monotonic()
        if not can_list(self.connectors, target_connection=target):
            self._not_made(target, "its connector does not show lines one by one")
            return False
        with self.database.transaction() as connection:
            scopes = _scopes(connection, target)
        try:
            for scope in scopes:
                self._compare(scope)
        except TielineError as error:
            self._not_made(target, str(error))
            return False
        self._keep(target, took=int((time.monotonic() - began) * 1000))
        return True

    def _compare(self, scope: LineScope) -> None:
        with self.database.transaction() as connection:
            row = connection.execute("SELECT clock_timestamp() AS at").fetchone()
            invoices = list_invoices_of(connection, scope=scope)
        assert row is not None
        write = self.connectors.capabilities(connection_key=scope.target_connection).write_of(
            TimeLineCommand.noun
        )
        standing = read_standing(self.connectors, scope=scope)
        billing = ask_what_bills(self.connectors, scope=scope, invoice_codes=invoices)
        with self.database.transaction() as connection:
            keep_lines(
                connection,
                scope=scope,
                standing=standing,
                billing=billing,
                is_voided=write.undo is Undo.VOID_BY_KEY,
                began_at=row["at"],
                asked_at=self.clock.now(),
            )

    def _keep(self, target: str, *, took: int) -> None:
        with self.database.transaction() as connection:
            found = _lasting(connection, target)
            others = [
                each
                for key in _other_targets(connection, target)
                for each in _lasting(connection, key)
            ]
            for check, fix in ((LINES_DIFFER, _FIX), (HOURS_FREED, _FIX_FREED)):
                keep_found(
                    connection,
                    check=check,
                    subject=target,
                    found=_of(check, found),
                    elsewhere=_of(check, others),
                    fix=fix,
                    took_milliseconds=took,
                    now=self.clock.now(),
                )

    def _not_made(self, target: str, why: str) -> None:
        with self.database.transaction() as connection:
            for check in (LINES_DIFFER, HOURS_FREED):
                keep_result(
                    connection,
                    check=check,
                    subject=target,
                    state=NOT_CHECKED,
                    why=why,
                    now=self.clock.now(),
                )
        _log.info("check.not_answered", connection_key=target, why=why)


def _of(check: str, found: Sequence[Found]) -> list[Found]:
    return [each for each in found if (each.said == _FREED) == (check == HOURS_FREED)]


def _lasting(connection: Connection[Row], target: str) -> tuple[Found, ...]:
    return list_lasting_lines(connection, target_connection=target, checks_min=_LASTING_CHECKS)


def _other_targets(connection: Connection[Row], target: str) -> list[str]:
    rows = connection.execute(
        "SELECT DISTINCT target_connection AS key FROM line_check WHERE target_connection <> %s",
        (target,),
    ).fetchall()
    return [row["key"] for row in rows]


def _scopes(connection: Connection[Row], target: str) -> list[LineScope]:
    rows = connection.execute(
        """
        SELECT DISTINCT %(target)s AS target_connection, p.entity_code, p.period_id, p.starts_on, p.ends_on
        FROM fiscal_period p
        JOIN (SELECT DISTINCT entity_code, work_date FROM ledger_line WHERE target_connection = %(target)s) w
            ON w.entity_code = p.entity_code AND w.work_date >= p.starts_on AND w.work_date < p.ends_on
        ORDER BY p.starts_on DESC, p.entity_code LIMIT %(limit)s
        """,
        {"target": target, "limit": _SCOPES_MAX},
    ).fetchall()
    return [LineScope(**row) for row in rows]


def _due(connection: Connection[Row], *, now: datetime) -> list[Row]:
    # The first reading comes a day after the connection: there is nothing older to look for.
    return connection.execute(
        """
        SELECT c.connection_key FROM connection c
        LEFT JOIN LATERAL (SELECT max(k.asked_at) AS asked_at FROM line_check k
                           WHERE k.target_connection = c.connection_key) k ON true
        WHERE NOT c.paused
          AND EXISTS (SELECT FROM legal_entity e WHERE e.erp_connection_key = c.connection_key)
          AND coalesce(k.asked_at, c.created_at) + make_interval(secs =>
              CASE WHEN EXISTS (SELECT FROM line_difference d
                                WHERE d.target_connection = c.connection_key AND d.checks < %(lasting)s)
                   THEN %(again)s ELSE coalesce((c.config ->> 'check_lines_seconds')::int, %(day)s) END) <= %(now)s
          AND NOT EXISTS (SELECT FROM work_item i WHERE i.kind = %(kind)s AND i.subject = c.connection_key
                          AND i.state IN ('waiting', 'running'))
        ORDER BY c.connection_key
        """,
        {
            "lasting": _LASTING_CHECKS,
            "again": _AGAIN_SECONDS,
            "day": _DAY_SECONDS,
            "now": now,
            "kind": ASK_LINES,
        },
    ).fetchall()

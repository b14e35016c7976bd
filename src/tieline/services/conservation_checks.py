"""Ask each source and each target what it counts, and open an incident where a difference lasts.

Pattern: scheduled, durable per connection. Target: once an hour, or after a whole read. Vendor calls:
none for a source that is read whole anyway; for files one read of them; for a target its own totals,
per legal entity and fiscal period, at most ``_SCOPES_MAX`` of them, the newest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from psycopg import Connection

from tieline.casework import keep_cases
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import AskPerson
from tieline.posting import Breach, StopScope, states
from tieline.posting.twins import Twin, TwinFinder, list_twins
from tieline.reconciliation import (
    GREEN,
    NOT_CHECKED,
    RED,
    SOURCE,
    TARGET,
    AskedHours,
    LastingScope,
    Standing,
    TargetScope,
    ask_streams,
    ask_target,
    count_lasting,
    keep_result,
    keep_source_check,
    keep_target_check,
    list_differences,
    list_lasting,
    note_target_asked,
    read_booked,
)
from tieline.runtime.database import Database
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import REFERENCE, Done, Outcome, Steps, schedule
from tieline.sdk.directory import Connectors
from tieline.services.standing_checks import stop_scopes

ASK_SOURCE, ASK_TARGET = "ask_source", "ask_target"
SOURCE_DIFFERS = "reconciliation.source_differs"
STANDS_TWICE = "posted.twice"
TARGET_DIFFERS = "reconciliation.target_differs"
_CHECK_SECONDS = 3600
_SCOPES_MAX = 24
_LASTING_CHECKS = 2
_MEMBERS_MAX = 200
_TWINS_MAX = 1000
_SECONDS_PER_HOUR = 3600

_log = structlog.get_logger("tieline.reconciliation")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConservationChecks:
    """The schedule of the checks and their durable handlers."""

    database: Database
    connectors: Connectors
    clock: Clock

    def schedule_due(self) -> None:
        """Ask for a check of every connection that was not asked for longer than it may be."""
        with self.database.transaction() as connection:
            # After a restore a target holds more than we know, until it was asked.
            is_shut = states.is_shut(connection)
            for row in self._due(connection):
                if is_shut and row["kind"] == ASK_TARGET:
                    continue
                schedule(
                    connection,
                    kind=row["kind"],
                    subject=row["connection_key"],
                    work_class=REFERENCE,
                    correlation_id=new_correlation_id(),
                )

    def find_twins(self) -> None:
        """Ask once more about lines that were sent again, and let an incident stand for each twin."""
        TwinFinder(database=self.database, connectors=self.connectors, clock=self.clock).look()
        with self.database.transaction() as connection:
            keep_cases(
                connection,
                requests=_twin_incidents(list_twins(connection)),
                reasons=(STANDS_TWICE,),
                now=self.clock.now(),
                correlation_id="twins",
            )

    def source_was_read(
        self,
        *,
        connection_key: str,
        asked: AskedHours,
        batch_ids: Sequence[int],
        began_at: datetime,
    ) -> None:
        """Keep what a source told in a whole read that came to its end."""
        with self.database.transaction() as connection:
            keep_source_check(
                connection,
                connection_key=connection_key,
                asked=asked,
                batch_ids=batch_ids,
                began_at=began_at,
            )
            keep_incidents(connection, now=self.clock.now())
            keep_side_stops(
                connection, side=SOURCE, connection_key=connection_key, now=self.clock.now()
            )

    def ask_source(self, steps: Steps, subject: str) -> Outcome:
        """Ask a source that is not read whole otherwise, such as a folder of files."""
        steps.run("ask", lambda: self._ask_source(subject))
        return Done()

    def ask_target(self, steps: Steps, subject: str) -> Outcome:
        """Ask a target for its totals, scope by scope."""
        scopes = steps.run("scopes", lambda: self._scopes(subject))
        is_whole = all(
            self._ask_step(steps, number, subject, words) for number, words in enumerate(scopes)
        )
        steps.run("incidents", lambda: self._keep_incidents(subject, is_whole=is_whole))
        return Done()

    def _ask_step(self, steps: Steps, number: int, target: str, words: Sequence[str]) -> bool:
        entity_code, starts_on, ends_on = words
        scope = TargetScope(
            target_connection=target,
            entity_code=entity_code,
            starts_on=date.fromisoformat(starts_on),
            ends_on=date.fromisoformat(ends_on),
        )
        return steps.run(f"ask-{number}", lambda: self._ask_target(scope))

    def _ask_source(self, connection_key: str) -> bool:
        began_at = self.clock.now()
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT config FROM connection WHERE connection_key = %s", (connection_key,)
            ).fetchone()
        if row is None:
            return False
        try:
            asked = ask_streams(
                connectors=self.connectors,
                connection_key=connection_key,
                streams=row["config"].get("streams", ()),
            )
        except AskPerson as error:
            # Reading itself opens the case; the check stays as old as it is.
            self._not_answered(SOURCE_DIFFERS, connection_key, error)
            return False
        self.source_was_read(
            connection_key=connection_key, asked=asked, batch_ids=(), began_at=began_at
        )
        return True

    def _scopes(self, target: str) -> list[tuple[str, str, str]]:
        with self.database.transaction() as connection:
            note_target_asked(connection, target_connection=target, asked_at=self.clock.now())
            rows = connection.execute(
                """
                WITH worked AS (
                    SELECT DISTINCT entity_code, work_date FROM ledger_line
                    WHERE target_connection = %(target)s
                )
                SELECT DISTINCT p.entity_code, p.starts_on, p.ends_on FROM fiscal_period p
                JOIN worked w ON w.entity_code = p.entity_code
                     AND w.work_date >= p.starts_on AND w.work_date < p.ends_on
                ORDER BY p.starts_on DESC, p.entity_code LIMIT %(limit)s
                """,
                {"target": target, "limit": _SCOPES_MAX},
            ).fetchall()
        return [
            (row["entity_code"], row["starts_on"].isoformat(), row["ends_on"].isoformat())
            for row in rows
        ]

    def _ask_target(self, scope: TargetScope) -> bool:
        with self.database.transaction() as connection:
            before = read_booked(connection, scope=scope)
        asked_at = self.clock.now()
        try:
            theirs = ask_target(connectors=self.connectors, scope=scope)
        except AskPerson as error:
            self._not_answered(TARGET_DIFFERS, scope.target_connection, error)
            return False
        with self.database.transaction() as connection:
            keep_target_check(
                connection, scope=scope, before=before, theirs=theirs, asked_at=asked_at
            )
        return True

    def _not_answered(self, check: str, connection_key: str, error: AskPerson) -> None:
        with self.database.transaction() as connection:
            keep_result(
                connection,
                check=check,
                subject=connection_key,
                state=NOT_CHECKED,
                why=str(error),
                now=self.clock.now(),
            )
        _log.info("check.not_answered", connection_key=connection_key, why=str(error))

    def _keep_incidents(self, target: str, *, is_whole: bool) -> int:
        now = self.clock.now()
        with self.database.transaction() as connection:
            # Who was asked for a part says nothing of the rest: what stands still goes on standing.
            if is_whole:
                keep_side_stops(connection, side=TARGET, connection_key=target, now=now)
            return keep_incidents(connection, now=now)

    def _due(self, connection: Connection[Row]) -> list[Row]:
        return connection.execute(
            """
            SELECT w.kind, c.connection_key FROM connection c
            CROSS JOIN LATERAL (
                SELECT %(ask_source)s AS kind, 'source' AS side
                WHERE c.kind = 'time' AND c.system = 'filedrop'
                UNION ALL SELECT %(ask_target)s, 'target'
                WHERE EXISTS (SELECT FROM legal_entity e WHERE e.erp_connection_key = c.connection_key)
            ) w
            LEFT JOIN conservation_check k ON k.side = w.side AND k.connection_key = c.connection_key
            WHERE NOT c.paused
              AND (k.asked_at IS NULL OR k.asked_at + make_interval(secs =>
                   coalesce((c.config ->> 'check_seconds')::int, %(seconds)s)) <= %(now)s)
              AND NOT EXISTS (SELECT FROM work_item i WHERE i.kind = w.kind
                              AND i.subject = c.connection_key AND i.state IN ('waiting', 'running'))
            ORDER BY c.connection_key
            """,
            {
                "ask_source": ASK_SOURCE,
                "ask_target": ASK_TARGET,
                "seconds": _CHECK_SECONDS,
                "now": self.clock.now(),
            },
        ).fetchall()


def keep_incidents(connection: Connection[Row], *, now: datetime) -> int:
    """Let an incident stand for each connection and legal entity that lastingly differs."""
    lasting: dict[tuple[str, str, str], list[Standing]] = {}
    for each in list_differences(connection):
        if each.checks >= _LASTING_CHECKS:
            key = (each.side, each.connection_key, each.entity_code)
            lasting.setdefault(key, []).append(each)
    keep_cases(
        connection,
        requests=[_incident(key, found) for key, found in sorted(lasting.items())],
        reasons=(SOURCE_DIFFERS, TARGET_DIFFERS),
        now=now,
        correlation_id="conservation",
    )
    return len(lasting)


def keep_side_stops(
    connection: Connection[Row], *, side: str, connection_key: str, now: datetime
) -> None:
    """Stop the projects and periods in which one side differs lastingly; only after it was asked."""
    lasting = list_lasting(
        connection, side=side, connection_key=connection_key, checks_min=_LASTING_CHECKS
    )
    differing = count_lasting(
        connection, side=side, connection_key=connection_key, checks_min=_LASTING_CHECKS
    )
    check = SOURCE_DIFFERS if side == SOURCE else TARGET_DIFFERS
    stop_scopes(
        connection,
        check=check,
        subject=connection_key,
        breaches=[_breach(side, connection_key, each) for each in lasting],
        now=now,
    )
    keep_result(
        connection,
        check=check,
        subject=connection_key,
        state=RED if differing else GREEN,
        things=differing,
        why=f"{differing} projects and months differ" if differing else "",
        now=now,
    )


def _breach(side: str, connection_key: str, each: LastingScope) -> Breach:
    return Breach(
        scope=StopScope(
            source_connection=connection_key if side == SOURCE else None,
            target_connection=connection_key if side == TARGET else None,
            entity_code=each.entity_code,
            period_id=each.period_id,
            project_id=each.project_id,
        ),
        because=f"{connection_key} counts {_hours(each.theirs_seconds)} h of {each.project_code} in"
        f" {each.period_code}, we count {_hours(each.ours_seconds)} h",
        measure=str(each.theirs_seconds - each.ours_seconds),
    )


def _incident(key: tuple[str, str, str], found: Sequence[Standing]) -> CaseRequest:
    side, connection_key, entity_code = key
    theirs = sum(each.theirs_seconds for each in found)
    ours = sum(each.ours_seconds for each in found)
    return CaseRequest(
        reason=SOURCE_DIFFERS if side == SOURCE else TARGET_DIFFERS,
        owner_queue="integration",
        thing_kind="connection",
        thing_key=f"{connection_key}:{entity_code}",
        entity_code=entity_code or None,
        members=tuple(
            CaseMember(
                kind="difference",
                key=f"{each.project_ref or '-'} {each.month_on:%Y-%m}",
                seconds=abs(each.theirs_seconds - each.ours_seconds),
            )
            for each in found[:_MEMBERS_MAX]
        ),
        details={
            "problem": f"{connection_key} counts {_hours(theirs)} h, we count {_hours(ours)} h"
            f" in {len(found)} projects and months",
            "fix": "Compare the projects and months below in both systems, and mend the one that"
            " is wrong there: nothing is repaired by itself.",
        },
        is_incident=True,
    )


def _twin_incidents(twins: Sequence[Twin]) -> list[CaseRequest]:
    by_place: dict[tuple[str, str, bool], list[Twin]] = {}
    for twin in twins:
        place = (twin.target_connection, twin.entity_code, twin.is_from_file)
        by_place.setdefault(place, []).append(twin)
    return [
        CaseRequest(
            reason=STANDS_TWICE,
            owner_queue="integration",
            thing_kind="target",
            thing_key=f"{target}:{entity_code}" + (":file" if is_from_file else ""),
            entity_code=entity_code,
            members=tuple(
                CaseMember(
                    kind="line",
                    key=f"{twin.business_key}: {', '.join(twin.target_codes)}",
                    seconds=twin.seconds,
                )
                for twin in found[:_TWINS_MAX]
            ),
            details=_told_of_twins(target, len(found), is_from_file=is_from_file),
            is_incident=True,
        )
        for (target, entity_code, is_from_file), found in sorted(by_place.items())
    ]


def _told_of_twins(target: str, lines: int, *, is_from_file: bool) -> dict[str, str]:
    if is_from_file:
        return {
            "problem": f"{lines} lines stand more than once in {target}: a file was loaded twice, or"
            " after its lines had been given free",
            "fix": "Delete one of the named documents of each line there; nothing of them is sent or"
            " believed until one stands.",
        }
    return {
        "problem": f"{lines} lines stand more than once in {target}: it stored the first try"
        " later than its connection declares",
        "fix": "Delete one of the named documents of each line there, and raise the connection's"
        " settle_seconds.",
    }


def _hours(seconds: int) -> str:
    return f"{Decimal(seconds) / _SECONDS_PER_HOUR:.2f}"

"""Ask once more about lines that were sent again, where the target itself refuses no second one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import TimeLineCommand
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TielineError
from tieline.posting.line_access import open_lines
from tieline.posting.settling import SAFE_TO_RESEND, settle_seconds
from tieline.runtime.database import Database
from tieline.sdk import StoredLine, Strategy
from tieline.sdk.directory import Connectors

_LINES_MAX = 200
# So many declared times after it was confirmed: whoever is later than that is told by the target's own sums.
_PATIENCE = 4

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """A line that stands more than once in its target, with the codes of all of them.

    ``is_from_file`` where people had loaded it from a file.
    """

    business_key: UUID
    target_connection: str
    entity_code: str
    target_codes: tuple[str, ...]
    seconds: int
    found_at: datetime
    is_from_file: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinFinder:
    """Look for what was stored later than its target declares."""

    database: Database
    connectors: Connectors
    clock: Clock

    def look(self) -> int:
        """Ask about what is due, and again about what stood twice; return how many lines were asked for."""
        with self.database.transaction() as connection:
            targets = connection.execute(
                "SELECT DISTINCT erp_connection_key AS key FROM legal_entity ORDER BY 1"
            ).fetchall()
        return sum(self._look_at(row["key"]) for row in targets if self._may_twin(row["key"]))

    def _may_twin(self, target: str) -> bool:
        try:
            write = self.connectors.capabilities(connection_key=target).write_of(
                TimeLineCommand.noun
            )
        except LookupError:
            return False
        return write.strategy not in (*SAFE_TO_RESEND, Strategy.ONCE_THEN_CASE)

    def _look_at(self, target: str) -> int:
        with self.database.transaction() as connection:
            patience = _PATIENCE * settle_seconds(
                connection,
                connectors=self.connectors,
                connection_key=target,
                noun=TimeLineCommand.noun,
            )
            due = _due(connection, target, patience)
        by_entity: dict[str, list[UUID]] = {}
        for row in due:
            by_entity.setdefault(row["entity_code"], []).append(row["business_key"])
        return sum(self._ask(target, entity, keys) for entity, keys in by_entity.items())

    def _ask(self, target: str, entity_code: str, keys: Sequence[UUID]) -> int:
        try:
            found = open_lines(
                database=self.database,
                connectors=self.connectors,
                target_connection=target,
                entity_code=entity_code,
            ).read(keys)
        except TielineError:
            # It is asked the next time round.
            return 0
        standing: dict[UUID, list[StoredLine]] = {}
        for line in found:
            if line.business_key is not None:
                standing.setdefault(line.business_key, []).append(line)
        twins = {key: lines for key, lines in standing.items() if len(lines) > 1}
        with self.database.transaction() as connection:
            _record(connection, target, entity_code, keys, twins, now=self.clock.now())
        return len(keys)


def list_twins(connection: Connection[Row]) -> tuple[Twin, ...]:
    """Return the lines that stand more than once."""
    rows = connection.execute(
        "SELECT business_key, target_connection, entity_code, target_codes, seconds, found_at, is_from_file"
        " FROM late_twin WHERE gone_at IS NULL ORDER BY target_connection, entity_code, business_key"
    ).fetchall()
    return tuple(Twin(**{**row, "target_codes": tuple(row["target_codes"])}) for row in rows)


def _due(connection: Connection[Row], target: str, patience_seconds: int) -> list[Row]:
    return connection.execute(
        """
        (SELECT business_key, entity_code FROM open_effect
         WHERE target_connection = %(target)s AND noun = 'time_line' AND kind = 'book'
           AND state = 'CONFIRMED' AND attempt > 1 AND asked_again_at IS NULL
           AND settled_at < clock_timestamp() - make_interval(secs => %(patience)s)
         ORDER BY settled_at LIMIT %(limit)s)
        UNION ALL
        (SELECT business_key, entity_code FROM late_twin
         WHERE target_connection = %(target)s AND gone_at IS NULL AND NOT is_from_file LIMIT %(limit)s)
        """,
        {"target": target, "patience": patience_seconds, "limit": _LINES_MAX},
    ).fetchall()


def _record(
    connection: Connection[Row],
    target: str,
    entity_code: str,
    asked: Sequence[UUID],
    twins: Mapping[UUID, Sequence[StoredLine]],
    *,
    now: datetime,
) -> None:
    connection.execute(
        "UPDATE effect SET asked_again_at = clock_timestamp()"
        " WHERE business_key = ANY (%s) AND asked_again_at IS NULL",
        (list(asked),),
    )
    connection.execute(
        "UPDATE late_twin SET gone_at = %s WHERE business_key = ANY (%s) AND gone_at IS NULL"
        " AND NOT is_from_file AND NOT business_key = ANY (%s)",
        (now, list(asked), list(twins)),
    )
    for key, lines in twins.items():
        connection.execute(
            """
            INSERT INTO late_twin (business_key, target_connection, entity_code, target_codes, seconds, found_at)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (business_key) DO UPDATE
                SET target_codes = excluded.target_codes, seconds = excluded.seconds, gone_at = NULL
            """,
            (
                key,
                target,
                entity_code,
                sorted(line.target_code for line in lines),
                sum(line.seconds for line in lines) - lines[0].seconds,
                now,
            ),
        )

"""What a change of reference data would do to hours, unposted, posted and invoiced: tried, and rolled back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg import ClientCursor, Connection, sql
from psycopg.rows import dict_row

from tieline.kernel.errors import UserMistake
from tieline.policy import Rule, current_release
from tieline.runtime.database import Row
from tieline.runtime.sql import load
from tieline.validation.answering import STORED_COLUMNS, ask_hashed
from tieline.validation.context import untold
from tieline.validation.statement import STORED_SUBJECT, judging_statement, load_rules
from tieline.validation.weighing import WEIGHED

HOURS_MAX = 500_000
# What an hour is drawn from is no part of a verdict.
_ORDER = "purchase_order"
_TRIAL = load("tieline.validation", "trial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What would become of a contract's hours of one place and currency.

    ``place`` is unposted, posted, drafted (on an invoice that is a draft) or invoiced. What stands in
    the ERP keeps its amount until a correction is decided: ``after_amount`` is what it would be worth.
    """

    contract_code: str
    entity_code: str
    place: str
    currency: str | None
    hours: int
    seconds: int
    before_amount: Decimal
    after_amount: Decimal
    newly_held: int
    newly_free: int
    repriced: int
    other_order: int


def try_change(
    connection: Connection[Row], *, change: Callable[[], object], now: datetime
) -> tuple[Effect, ...]:
    """Make a change of reference data, judge every hour it concerns, and take all of it back.

    :raises UserMistake: it concerns too many hours to be tried at once.
    """
    with connection.transaction(force_rollback=True):
        last = connection.execute("SELECT max(rejudge_id) AS last FROM rejudge").fetchone()
        with connection.transaction(force_rollback=True):
            change()
            keys = connection.execute(
                "SELECT DISTINCT neighbor_key FROM rejudge WHERE rejudge_id > %s",
                ((last or {}).get("last") or 0,),
            ).fetchall()
        with ClientCursor(connection, row_factory=dict_row) as cursor:
            _find(cursor, [row["neighbor_key"] for row in keys])
            release_id = current_release(connection).release_id
            rules = load_rules(connection, release_id=release_id)
            values = {"known_at": now, "now": now, "release_id": release_id}
            cursor.execute("DROP TABLE IF EXISTS trial_before, judged, weighed")
            _answer(connection, cursor, "trial_before", (), ("entry_id", _ORDER), values)
            change()
            _answer(connection, cursor, "judged", rules, (*STORED_COLUMNS, _ORDER), values)
            cursor.execute(WEIGHED, values)
            return tuple(Effect(**row) for row in cursor.execute(_TRIAL).fetchall())


def _answer(
    connection: Connection[Row],
    cursor: ClientCursor[Row],
    table: str,
    rules: Sequence[Rule],
    columns: Sequence[str],
    values: Row,
) -> None:
    statement = judging_statement(
        subject=STORED_SUBJECT, rules=rules, empty=untold(connection), columns=columns
    )
    made = sql.SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS {}")
    ask_hashed(cursor, made.format(sql.Identifier(table), statement), values)


def _find(cursor: ClientCursor[Row], keys: list[str]) -> None:
    cursor.execute("DROP TABLE IF EXISTS judge_subject")
    cursor.execute(
        """
        CREATE TEMP TABLE judge_subject ON COMMIT DROP AS
        SELECT DISTINCT t.entry_id FROM unnest(%s::text[]) AS k (neighbor_key)
        CROSS JOIN LATERAL (SELECT v.verdict_id, v.entry_id FROM verdict v
                            WHERE v.neighbor_keys @> ARRAY[k.neighbor_key] OFFSET 0) v
        JOIN time_entry t ON t.entry_id = v.entry_id AND t.verdict_id = v.verdict_id
        LIMIT %s
        """,
        (keys, HOURS_MAX + 1),
    )
    if cursor.rowcount > HOURS_MAX:
        raise UserMistake(f"it concerns more than {HOURS_MAX} hours: load it in parts")

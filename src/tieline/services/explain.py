"""The whole way of one deal, hour, case or invoice line: systems, rules, release and ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row

KINDS = ("deal", "hour", "case", "invoice-line")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened on the way."""

    at: datetime | None
    system: str
    what: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One thing and its steps in order."""

    kind: str
    ref: str
    steps: tuple[Step, ...]


def explain(connection: Connection[Row], *, kind: str, ref: str) -> Explanation:
    """Return the way of one thing; ``ref`` is connection:source_ref or our id.

    :raises UserMistake: nothing is known under the reference.
    """
    tell: Mapping[str, Callable[[Connection[Row], str], list[Step]]] = {
        "deal": _deal,
        "hour": _hour,
        "case": _case,
        "invoice-line": _invoice_line,
    }
    if kind not in tell:
        raise UserMistake(f"{kind} is none of {', '.join(KINDS)}")
    steps = tell[kind](connection, ref)
    if not steps:
        raise UserMistake(f"no {kind} is known as {ref}")
    return Explanation(kind=kind, ref=ref, steps=tuple(steps))


def _hour(connection: Connection[Row], ref: str) -> list[Step]:
    entry = _find_entry(connection, ref)
    if entry is None:
        return []
    return [
        *_steps(
            connection,
            entry["connection_key"],
            "received",
            "SELECT recorded_at AS at, version, work_date, seconds, approval_word, is_deleted, batch_id,"
            " raw_id, correlation_id FROM time_entry_version WHERE entry_id = %s ORDER BY version",
            entry["entry_id"],
        ),
        *_steps(
            connection,
            "tieline",
            "judged",
            "SELECT v.judged_at AS at, v.verdict_id, v.version, v.outcome, v.release_id, v.rate_amount,"
            " v.currency, v.amount, v.contract_line_id, array_agg(r.code || ' (' || r.severity || ')')"
            " FILTER (WHERE r.code IS NOT NULL) AS reasons FROM verdict v LEFT JOIN verdict_reason r"
            " USING (verdict_id) WHERE v.entry_id = %s GROUP BY v.verdict_id ORDER BY v.verdict_id",
            entry["entry_id"],
        ),
        *_steps(
            connection,
            "target",
            "written",
            "SELECT planned_at AS at, target_connection, kind, effect_no, state, attempt, business_key,"
            " target_code, reason FROM effect WHERE entry_id = %s ORDER BY effect_no",
            entry["entry_id"],
        ),
        *_steps(
            connection,
            "tieline",
            "booked",
            "SELECT booked_at AS at, line_id, seconds, amount, currency, reverses_line_id"
            " FROM ledger_line WHERE entry_id = %s ORDER BY line_id",
            entry["entry_id"],
        ),
        *_steps(
            connection,
            "target",
            "invoiced",
            "SELECT i.recorded_at AS at, i.target_connection, i.number, i.target_code, i.state FROM"
            " ledger_line l JOIN invoice_ledger_line k USING (business_key) JOIN invoice_record i"
            " USING (invoice_id) WHERE l.entry_id = %s ORDER BY 1",
            entry["entry_id"],
        ),
    ]


def _deal(connection: Connection[Row], ref: str) -> list[Step]:
    connection_key, _, deal_ref = ref.partition(":")
    plan = connection.execute(
        "SELECT plan_id, project_id, contract_id FROM provisioning_plan"
        " WHERE (connection_key = %s AND deal_ref = %s) OR plan_id::text = %s",
        (connection_key, deal_ref, ref),
    ).fetchone()
    if plan is None:
        return []
    return [
        *_steps(
            connection,
            "tieline",
            "planned",
            "SELECT planned_at AS at, state, won_at, active_at, entity_code, project_id, contract_id,"
            " jsonb_path_query_array(blockers, '$[*].code') AS blockers, correlation_id"
            " FROM provisioning_plan WHERE plan_id = %s",
            plan["plan_id"],
        ),
        *_steps(
            connection,
            "target",
            "written",
            "SELECT e.planned_at AS at, e.target_connection, e.noun, e.part, e.kind, e.state, e.attempt,"
            " e.target_code, e.reason FROM effect e JOIN provisioning_plan p ON p.connection_key ="
            " e.connection_key AND p.deal_ref = e.source_ref WHERE p.plan_id = %s"
            " ORDER BY e.planned_at, e.effect_no",
            plan["plan_id"],
        ),
    ]


def _case(connection: Connection[Row], ref: str) -> list[Step]:
    return [
        *_steps(
            connection,
            "tieline",
            "opened",
            "SELECT opened_at AS at, reason, owner_queue, thing_kind, thing_key, state, assigned_to, due_at,"
            " closed_because, details FROM case_file WHERE case_id::text = %s",
            ref,
        ),
        *_steps(
            connection,
            "tieline",
            "holds",
            "SELECT joined_at AS at, member_kind, member_key, seconds, amount, currency, left_at"
            " FROM case_member WHERE case_id::text = %s ORDER BY joined_at, member_key",
            ref,
        ),
    ]


def _invoice_line(connection: Connection[Row], ref: str) -> list[Step]:
    line_code = ref.rpartition(":")[2]
    return [
        *_steps(
            connection,
            "target",
            "stands on",
            "SELECT i.recorded_at AS at, i.target_connection, i.number, i.target_code, n.description,"
            " n.quantity, n.unit_price, n.amount, n.ledger_amount, n.rounding_amount, n.task_codes"
            " FROM invoice_line_record n JOIN invoice_record i USING (invoice_id) WHERE n.line_code = %s",
            line_code,
        ),
        *_steps(
            connection,
            "tieline",
            "made of",
            "SELECT l.booked_at AS at, l.work_date, l.seconds, l.amount, l.currency, t.connection_key,"
            " t.source_ref, t.entry_id FROM invoice_line_record n JOIN invoice_record i USING (invoice_id)"
            " JOIN invoice_ledger_line k USING (invoice_id) JOIN ledger_line l USING (business_key)"
            " JOIN crosswalk x ON x.our_id = l.contract_line_id AND x.noun = 'erp_task'"
            " AND x.source_ref = ANY (n.task_codes) JOIN time_entry t ON t.entry_id = l.entry_id"
            " WHERE n.line_code = %s ORDER BY l.work_date, t.source_ref",
            line_code,
        ),
    ]


def _find_entry(connection: Connection[Row], ref: str) -> Row | None:
    connection_key, _, source_ref = ref.partition(":")
    return connection.execute(
        "SELECT entry_id, connection_key FROM time_entry"
        " WHERE (connection_key = %s AND source_ref = %s) OR entry_id::text = %s",
        (connection_key, source_ref, ref),
    ).fetchone()


def _steps(
    connection: Connection[Row], system: str, what: str, statement: str, value: UUID | str
) -> list[Step]:
    rows = connection.execute(statement, (value,)).fetchall()
    return [Step(at=row.pop("at"), system=system, what=what, facts=row) for row in rows]

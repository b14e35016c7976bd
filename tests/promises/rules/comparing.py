"""Load a firm, let the product judge it in sets, and hold each verdict against the reference."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import Connection, sql

from tests.promises.rules.firm import (
    ABBREVIATIONS,
    BEFORE,
    NOW,
    Firm,
    Maker,
    Row,
    all_zones,
    make_firm,
    make_hours,
)
from tests.promises.rules.hour import Books
from tests.promises.rules.reference import RULES
from tests.promises.rules.reference import judge as judge_one
from tests.support.scene import approve_shipped_rules
from tests.support.target import FixedClock
from tieline.ledger import plan
from tieline.runtime.database import Database
from tieline.validation import judge
from tieline.validation.books import builtin_rules, builtin_values

SEVERITIES = {rule.code: rule.severity for rule in builtin_rules()}
_ORDER = (
    "connection", "reference_load", "legal_entity", "fiscal_period", "connection_go_live",
    "intercompany_agreement", "fx_rate", "person", "employment", "leave", "client", "client_version",
    "client_rate", "rate_bound", "contract", "contract_version", "contract_line", "project",
    "project_version", "task", "billing_terms", "over_cap", "assignment", "person_rate", "crosswalk",
)  # fmt: skip
_VERSION = (
    "entry_id", "version", "is_newest", "is_deleted", "person_ref", "project_ref", "task_ref",
    "labor_category", "work_date", "zone", "seconds", "quantum_seconds", "started_at", "ended_at",
    "is_billable", "approval", "approval_word", "approver_ref", "created_at", "narrative_length",
    "narrative_hash", "material_hash", "material_version", "recorded_at", "raw_id", "batch_id",
    "correlation_id",
)  # fmt: skip
_SPLIT = "capped_seconds"
Verdict = tuple[str, frozenset[str]]
Found = dict[uuid.UUID, Verdict]
Owner = Connection[dict[str, Any]]


def reference_values() -> dict[str, int]:
    """Return the numbers of the shipped release that rules compare with."""
    return {v.name: int(v.value) for v in builtin_values() if v.value.lstrip("-").isdigit()}


def load_firm(owner: Database, firm: Firm) -> None:
    """Write reference data, and the release as it ships."""
    with owner.transaction() as connection:
        _allow_doubles(connection)
        for table in _ORDER:
            _copy(connection, table, firm.rows.get(table, []))
        approve_shipped_rules(connection, now=BEFORE)
        connection.execute("DELETE FROM rejudge")


def agreed_zones(owner: Database) -> tuple[str, ...]:
    """Return the zones whose clocks both tables of zones tell alike: one may be newer than the other."""
    weeks = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(weeks=week) for week in range(60)]
    with owner.transaction() as connection:
        rows = connection.execute(
            "SELECT n.name, array_agg(w.at AT TIME ZONE n.name ORDER BY w.at) AS told"
            " FROM unnest(%s::text[]) AS n (name) CROSS JOIN unnest(%s::timestamptz[]) AS w (at)"
            " WHERE n.name IN (SELECT name FROM pg_timezone_names) GROUP BY n.name ORDER BY n.name",
            (list(all_zones()), weeks),
        ).fetchall()
    # What is an abbreviation, too, is told differently on purpose: the product must not fall for it.
    return tuple(
        row["name"]
        for row in rows
        if row["name"] in ABBREVIATIONS
        or row["told"]
        == [at.astimezone(ZoneInfo(row["name"])).replace(tzinfo=None) for at in weeks]
    )


def _allow_doubles(connection: Owner) -> None:
    """Take away what keeps a word from meaning two things: the rules must see it nevertheless."""
    rows = connection.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'crosswalk'::regclass AND contype = 'x'"
    ).fetchall()
    for row in rows:
        connection.execute(
            sql.SQL("ALTER TABLE crosswalk DROP CONSTRAINT {}").format(
                sql.Identifier(row["conname"])
            )
        )


def _copy(connection: Owner, table: str, rows: Iterable[Row]) -> None:
    by_names: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_names.setdefault(tuple(row), []).append(row)
    for names, alike in by_names.items():
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        into = sql.Identifier(table)
        # Rows of a table whose rows are guarded cannot be copied into it.
        connection.execute(
            sql.SQL("CREATE TEMP TABLE copied ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0").format(
                columns, into
            )
        )
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            for row in alike:
                copy.write_row([row[name] for name in names])
        connection.execute(
            sql.SQL("INSERT INTO {} ({}) SELECT * FROM copied").format(into, columns)
        )
        connection.execute("DROP TABLE copied")


def load_hours(owner: Database, hours: Iterable[Row], *, version: int = 1) -> int:
    """Write hours, or newer versions of them, as one batch; return its number."""
    rows = list(hours)
    with owner.transaction() as connection:
        batch = connection.execute(
            "INSERT INTO intake_batch (connection_key, stream, kind, correlation_id, recorded_at)"
            " VALUES ('harvest', 'time_entries', 'poll', 'c', %s) RETURNING batch_id",
            (NOW,),
        ).fetchone()
        assert batch is not None
        if version == 1:
            _copy(connection, "time_entry", [_entry(row) for row in rows])
        else:
            ids = [row["entry_id"] for row in rows]
            connection.execute(
                "UPDATE time_entry_version SET is_newest = false WHERE entry_id = ANY (%s)", (ids,)
            )
            connection.execute(
                "UPDATE time_entry SET newest_version = %s WHERE entry_id = ANY (%s)",
                (version, ids),
            )
        batch_id = int(batch["batch_id"])
        _copy(
            connection,
            "time_entry_version",
            [_version(row, version=version, batch_id=batch_id) for row in rows],
        )
        _copy(
            connection,
            "exclusion",
            [
                {
                    "entry_id": row["entry_id"],
                    "reason": "a test",
                    "proposed_by": "ann",
                    "approved_by": "bob",
                    "recorded_at": BEFORE,
                }
                for row in rows
                if row["is_excluded"] and version == 1
            ],
        )
    return batch_id


def _entry(row: Row) -> Row:
    return {
        "entry_id": row["entry_id"],
        "connection_key": row["connection_key"],
        "source_epoch": 0,
        "object": "time_entries",
        "source_ref": row["source_ref"],
        "newest_version": 1,
    }


def _version(row: Row, *, version: int, batch_id: int) -> Row:
    narrative: str | None = row["narrative"]
    told = {
        **row,
        "version": version,
        "is_newest": True,
        "quantum_seconds": 1,
        "approval_word": "",
        "narrative_length": len(narrative or ""),
        "narrative_hash": narrative and hashlib.sha256(narrative.encode()).digest(),
        "material_hash": str(version).encode(),
        "material_version": 1,
        "raw_id": 1,
        "batch_id": batch_id,
        "correlation_id": "c",
    }
    return {name: told[name] for name in _VERSION}


def judge_batch(worker: Database, batch_id: int) -> None:
    """Let the product judge a batch."""
    with worker.transaction() as connection:
        judge(connection, clock=FixedClock(NOW), correlation_id="c", batch_id=batch_id)


def verdicts(worker: Database) -> Found:
    """Return what stands for every hour: its outcome and its reasons with their weights."""
    with worker.transaction() as connection:
        rows = connection.execute(
            "SELECT t.entry_id, v.outcome, ARRAY(SELECT r.code || '=' || r.severity FROM verdict_reason r"
            " WHERE r.verdict_id = v.verdict_id)"
            " || CASE WHEN v.capped_seconds IS NOT NULL THEN ARRAY[%s || v.capped_seconds] END AS reasons"
            " FROM time_entry t LEFT JOIN verdict v USING (verdict_id)",
            (f"{_SPLIT}=",),
        ).fetchall()
    return {row["entry_id"]: (row["outcome"], frozenset(row["reasons"])) for row in rows}


def differences(firm: Firm, found: Found) -> list[str]:
    """Return a sentence for each hour on which the two do not agree."""
    books = Books(firm, values=reference_values())
    told = []
    for entry_id, hour in books.hours.items():
        outcome, reasons = judge_one(hour, severities=SEVERITIES)
        if hour.is_posted_unchanged:
            # What is posted stays split as it was.
            reasons |= {reason for reason in found[entry_id][1] if reason.startswith(_SPLIT)}
        elif hour.capped_seconds:
            reasons |= {f"{_SPLIT}={hour.capped_seconds}"}
        expected = (outcome, reasons)
        if not _is_same(found[entry_id], expected):
            told.append(_in_words(hour.row, found[entry_id], expected))
    return told


def _is_same(found: Verdict, expected: Verdict) -> bool:
    """Compare what both sides can tell: a reason that has no function here says nothing."""
    known = frozenset(reason for reason in found[1] if reason.partition("=")[0] in (*RULES, _SPLIT))
    return known == expected[1] and (found[0] == expected[0] or known != found[1])


def _in_words(row: Row, found: Verdict, expected: Verdict) -> str:
    more, less = sorted(found[1] - expected[1]), sorted(expected[1] - found[1])
    facts = {name: str(value) for name, value in row.items() if value is not None}
    return (
        f"hour {row['connection_key']}:{row['source_ref']} is {found[0]} by the product and"
        f" {expected[0]} by what the rules mean;"
        f" the product alone says {', '.join(more) or 'nothing'},"
        f" the reference alone {', '.join(less) or 'nothing'}; the hour: {json.dumps(facts)}"
    )


def make_small_firm(*, owner: Database, worker: Database, hours: int) -> None:
    """Load a firm of eight people, judge its hours, and let some of them be posted."""
    maker = make_firm(5, people=8, projects=8)
    make_hours(maker, hours)
    load_firm(owner, maker.firm)
    judge_batch(worker, load_hours(owner, maker.firm.hours.values()))
    post_some(maker, owner=owner, share=0.3)


def post_some(maker: Maker, *, owner: Database, share: float) -> None:
    """Let some of what was cleared stand in the target, and some of that on an invoice."""
    with owner.transaction() as connection:
        plan(connection, entry_ids=None, now=NOW)
        rows = connection.execute(
            "SELECT e.business_key, e.entry_id, e.amount, e.period_id, e.project_id, v.contract_id,"
            " coalesce(v.billed_seconds, v.seconds) AS billed_seconds"
            " FROM effect e JOIN verdict v USING (verdict_id)"
            " WHERE e.state = 'PLANNED' ORDER BY e.source_ref, e.connection_key"
        ).fetchall()
        hours = dict.fromkeys(row["entry_id"] for row in rows)
        taken = {entry_id for entry_id in hours if maker.often(share)}
        chosen = [row for row in rows if row["entry_id"] in taken]
        keys = [row["business_key"] for row in chosen]
        for state in ("INTENT", "CONFIRMED"):
            connection.execute(
                "UPDATE effect SET state = %s, payload_hash = 'x', target_code = business_key::text"
                " WHERE business_key = ANY (%s)",
                (state, keys),
            )
        invoiced = [key for key in keys if maker.often(0.3)]
        invoice(connection, invoiced, at=NOW - timedelta(minutes=1))
    periods = {row["period_id"]: row for row in maker.firm.rows["fiscal_period"]}
    books = Books(maker.firm, values=reference_values())
    posted = {row["entry_id"]: books.hours[row["entry_id"]].posted_as for row in chosen}
    for row in chosen:
        other = maker.firm.hours[row["entry_id"]]["standing"]
        maker.firm.hours[row["entry_id"]]["standing"] = {
            "posted_as": posted[row["entry_id"]],
            # Of a split hour the line above the cap is worth nothing.
            "amount": max(row["amount"], other["amount"]) if other else row["amount"],
            "contract_id": row["contract_id"],
            "billed_seconds": row["billed_seconds"],
            "period": periods[row["period_id"]],
            "is_invoiced": row["business_key"] in invoiced or bool(other and other["is_invoiced"]),
        }


def invoice(connection: Owner, keys: list[uuid.UUID], *, at: datetime) -> None:
    """Put what stands under these keys on invoices."""
    connection.execute(
        """
        WITH made AS (
            INSERT INTO invoice_record (contract_id, period_id, project_id, entity_code, business_key,
                target_connection, target_code, number, state, currency, untaxed_amount, total_amount,
                expected_amount, ledger_amount, recorded_at, correlation_id)
            SELECT v.contract_id, e.period_id, e.project_id, e.entity_code, e.business_key,
                   e.target_connection, e.business_key::text, '1', 'posted', 'EUR', 1, 1, 1, 1, %s, 'c'
            FROM effect e JOIN verdict v USING (verdict_id) WHERE e.business_key = ANY (%s)
            RETURNING invoice_id, business_key)
        INSERT INTO invoice_ledger_line (business_key, invoice_id) SELECT business_key, invoice_id FROM made
        """,
        (at, keys),
    )


def close_some_periods(maker: Maker, *, owner: Database) -> None:
    """Close some periods after hours were posted in them."""
    for period in maker.firm.rows["fiscal_period"]:
        if period["state"] == "open" and maker.often(0.25):
            period["state"] = "closed"
            with owner.transaction() as connection:
                connection.execute(
                    "INSERT INTO fiscal_period_state (period_id, state, recorded_at, changed_by)"
                    " VALUES (%s, 'closed', %s, 'ann')",
                    (period["period_id"], NOW),
                )


def change_some(maker: Maker) -> list[Row]:
    """Change what stands, and some of what does not, in every way that a source can."""
    changed = []
    for row in maker.firm.hours.values():
        if not maker.often(0.6 if row["standing"] else 0.02):
            continue
        kind = maker.random.choice(["seconds", "delete", "revoke", "move", "text", "nothing"])
        match kind:
            case "seconds":
                row["seconds"] += 900
            case "delete":
                row["is_deleted"] = True
            case "revoke":
                row["approval"] = "not_approved"
            case "move":
                row["project_ref"] = f"p{maker.random.randrange(len(maker.projects))}"
            case "text":
                row["narrative"] = "other words"
        changed.append(row)
    return changed

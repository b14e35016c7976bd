"""Whatever a firm ignores: what is cleared has everything by which it is posted, once."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import pytest

from tests.promises.rules.comparing import agreed_zones, judge_batch, load_firm, load_hours
from tests.promises.rules.firm import make_firm, make_hours
from tests.support.scene import NOW
from tieline.ledger import plan
from tieline.policy import approve_release
from tieline.runtime.database import Database
from tieline.services.policy_files import FileSeverity, draft_policy, export_policy
from tieline.validation import always_held, builtin_rules

HOURS = 1500
# What whoever reserves a line joins: none of it drops a line, and none of it doubles one.
_CLEARED = """
    SELECT v.outcome, v.entity_code, v.period_id, v.is_billable, v.amount, v.currency, count(e.entry_id) AS planned,
           (SELECT count(*) FROM crosswalk x WHERE x.connection_key = l.erp_connection_key AND x.noun = 'employee'
            AND x.our_id = v.person_id AND x.scope = v.entity_code AND x.superseded_at IS NULL
            AND daterange(x.starts_on, x.ends_on) @> v.work_date) AS employees,
           (SELECT count(*) FROM crosswalk x WHERE x.connection_key = l.erp_connection_key AND x.noun = 'erp_task'
            AND x.our_id = v.contract_line_id AND x.scope IN ('', v.project_id::text) AND x.superseded_at IS NULL
            AND daterange(x.starts_on, x.ends_on) @> v.work_date) AS tasks
    FROM time_entry t
    JOIN verdict v USING (verdict_id)
    LEFT JOIN legal_entity l ON l.entity_code = v.entity_code
    LEFT JOIN effect e ON e.entry_id = t.entry_id
    WHERE v.outcome = 'cleared'
    GROUP BY v.verdict_id, l.erp_connection_key
"""


class TestWhatAlwaysHolds:
    @pytest.mark.parametrize("seed", [3])
    def test_is_enough_for_planning_to_be_safe(
        self, seed: int, owner_database: Database, worker_database: Database
    ) -> None:
        maker = make_firm(seed, zones=agreed_zones(owner_database))
        make_hours(maker, HOURS)
        load_firm(owner_database, maker.firm)
        ignore(worker_database, {rule.code for rule in builtin_rules()} - always_held())

        judge_batch(worker_database, load_hours(owner_database, maker.firm.hours.values()))
        with worker_database.transaction() as connection:
            plan(connection, entry_ids=None, now=NOW)
            rows = connection.execute(_CLEARED).fetchall()

        told = Counter(wrong for row in rows if (wrong := lacking(row)))
        assert not told, f"seed {seed}: {dict(told)} of {len(rows)} cleared hours"
        assert len(rows) > HOURS // 4


def ignore(worker: Database, codes: set[str]) -> None:
    """Let a firm ignore rules, as two of its people would."""
    with worker.transaction() as connection:
        told = export_policy(connection)
        severity = [
            FileSeverity(rule=code, severity="ignore", starts_on=date(2020, 1, 1), reason="a test")
            for code in sorted(codes)
        ]
        drafted = draft_policy(
            connection,
            file=told.model_copy(update={"severity": severity}),
            by="ann",
            reason="a test",
            now=NOW,
        )
        approve_release(connection, release_id=drafted.release_id, approved_by="bob", now=NOW)


def lacking(row: dict[str, Any]) -> str:
    """Return what a cleared hour lacks, or nothing."""
    if row["planned"] != 1:
        return f"planned {row['planned']} times"
    if row["is_billable"] is None or (row["is_billable"] and row["amount"] is None):
        return "no amount"
    if row["amount"] is not None and row["currency"] is None:
        return "no currency"
    if (row["employees"], row["tasks"]) != (1, 1):
        return f"{row['employees']} employees and {row['tasks']} tasks in the ERP"
    return ""

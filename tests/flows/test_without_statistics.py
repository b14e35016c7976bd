"""What is read of all while tables grow: the server has no statistics yet and takes thousands for one."""

from __future__ import annotations

from datetime import date

import pytest
from tests.rooms.casework.hand_made_firm import NOW, Firm

from tieline.runtime.database import Database
from tieline.services.invoice_readiness import load_facts
from tieline.services.missing_time import read_missing_time
from tieline.services.readiness_pricing import load_sums

CONTRACTS = 600
HOURS = 6_000
_POSTED = 20
_SECONDS_MAX = 20
PEOPLE = 120
HOURS_A_DAY = 10

# One hour of each of some contracts stands; these are made like it, as the rooms above would leave them.
_MORE = (
    (
        "CREATE TEMP TABLE made ON COMMIT DROP AS SELECT gen_random_uuid() AS entry_id, m.entry_id AS like_id,"
        " 'more-' || i || '-' || m.entry_id AS source_ref FROM (SELECT entry_id FROM time_entry) m,"
        f" generate_series(1, {HOURS // (2 * _POSTED)}) i"
    ),
    (
        "INSERT INTO time_entry (entry_id, connection_key, source_epoch, object, source_ref, newest_version)"
        " SELECT m.entry_id, 'clock', 0, 'time_entry', m.source_ref, 1 FROM made m"
    ),
    (
        "INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref, project_ref, task_ref,"
        " work_date, seconds, quantum_seconds, is_billable, approval, approval_word, narrative_length, material_hash,"
        " material_version, recorded_at, raw_id, batch_id, correlation_id)"
        " SELECT m.entry_id, 1, true, false, w.person_ref, w.project_ref, w.task_ref, w.work_date, w.seconds,"
        " w.quantum_seconds, w.is_billable, w.approval, w.approval_word, 0, '', 1, w.recorded_at, 1, w.batch_id, 'c-1'"
        " FROM made m JOIN time_entry_version w ON w.entry_id = m.like_id"
    ),
    (
        "INSERT INTO verdict (entry_id, version, outcome, release_id, known_at, judged_at, person_id, project_id, task_id,"
        " contract_id, contract_line_id, client_id, entity_code, period_id, work_date, seconds, is_billable, rate_amount,"
        " currency, amount, neighbor_keys, correlation_id)"
        " SELECT m.entry_id, 1, v.outcome, v.release_id, v.known_at, v.judged_at, v.person_id, v.project_id, v.task_id,"
        " v.contract_id, v.contract_line_id, v.client_id, v.entity_code, v.period_id, v.work_date, v.seconds,"
        " v.is_billable, v.rate_amount, v.currency, v.amount, ARRAY['entry:' || m.entry_id], 'c-1'"
        " FROM made m JOIN verdict v ON v.entry_id = m.like_id"
    ),
    (
        "UPDATE time_entry t SET verdict_id = v.verdict_id FROM verdict v, made m"
        " WHERE v.entry_id = t.entry_id AND m.entry_id = t.entry_id"
    ),
    (
        "INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref, target_connection, noun,"
        " part, effect_no, kind, verdict_id, entry_id, entry_version, verdict_outcome, entity_code, period_id,"
        " project_id, seconds, amount, currency, work_class, release_id, correlation_id, planned_at)"
        " SELECT gen_random_uuid(), t.connection_key, 0, t.object, t.source_ref, 'books', 'time_line', 'main', 1, 'book',"
        " v.verdict_id, t.entry_id, 1, v.outcome, v.entity_code, v.period_id, v.project_id, v.seconds, v.amount,"
        " v.currency, 1, v.release_id, 'c-1', v.judged_at FROM made m JOIN time_entry t USING (entry_id)"
        " JOIN verdict v USING (verdict_id) JOIN effect e ON e.entry_id = m.like_id"
    ),
    *(
        f"UPDATE effect e SET state = '{state}', payload_hash = 'x', target_code = e.entry_id::text FROM made m"
        " WHERE m.entry_id = e.entry_id"
        for state in ("INTENT", "CONFIRMED")
    ),
    (
        "INSERT INTO ledger_line (booked_month, booked_at, business_key, entry_id, entry_version, target_connection,"
        " target_code, entity_code, period_id, client_id, contract_id, contract_line_id, project_id, task_id, person_id,"
        " labor_category, work_date, is_billable, seconds, target_seconds, rate_amount, amount, currency, correlation_id)"
        " SELECT '2026-10-01', v.judged_at, e.business_key, e.entry_id, 1, e.target_connection, e.target_code,"
        " e.entity_code, e.period_id, v.client_id, v.contract_id, v.contract_line_id, v.project_id, v.task_id,"
        " v.person_id, '', v.work_date, true, e.seconds, e.seconds, v.rate_amount, v.amount, v.currency, 'c-1'"
        " FROM made m JOIN effect e USING (entry_id) JOIN verdict v USING (verdict_id)"
    ),
)


# Everybody of a firm, their assignments, and ten hours of each on every day of a month.
_STAFF = (
    (
        "CREATE TEMP TABLE staff ON COMMIT DROP AS SELECT gen_random_uuid() AS person_id, i"
        f" FROM generate_series(1, {PEOPLE}) i"
    ),
    "INSERT INTO person (person_id, recorded_at) SELECT person_id, %(at)s FROM staff",
    (
        "INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate, starts_on, recorded_at)"
        " SELECT person_id, 'DE', 'more-' || i, true, 60, '2020-01-01', %(at)s FROM staff"
    ),
    (
        "INSERT INTO work_pattern (person_id, weekday_seconds, starts_on, recorded_at)"
        " SELECT person_id, '{28800,28800,28800,28800,28800,0,0}', '2026-01-01', %(at)s FROM staff"
    ),
    (
        "INSERT INTO work_place (person_id, place, starts_on, recorded_at)"
        " SELECT person_id, 'DE', '2026-01-01', %(at)s FROM staff"
    ),
    "INSERT INTO holiday_year VALUES ('DE', 2026, 'a test', %(at)s)",
    (
        "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
        " SELECT 'clock', 'person', 'w' || i, person_id, 'a test', %(at)s FROM staff"
        " UNION ALL SELECT 'clock', 'project', project_code, project_id, 'a test', %(at)s FROM project"
    ),
    (
        "INSERT INTO assignment (person_id, project_id, labor_category, approver_id, starts_on, recorded_at)"
        " SELECT s.person_id, p.project_id, 'Consultant', (SELECT person_id FROM staff WHERE i = 1), '2026-01-01',"
        " %(at)s FROM staff s JOIN project p ON p.project_code = 'P-' || s.i %% 5"
    ),
    (
        "CREATE TEMP TABLE made ON COMMIT DROP AS SELECT gen_random_uuid() AS entry_id, s.i, n"
        f" FROM staff s, generate_series(0, 30) n, generate_series(1, {HOURS_A_DAY})"
    ),
    (
        "INSERT INTO time_entry (entry_id, connection_key, source_epoch, object, source_ref, newest_version)"
        " SELECT entry_id, 'clock', 0, 'time_entry', entry_id::text, 1 FROM made"
    ),
    (
        "INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref, project_ref, task_ref,"
        " work_date, seconds, quantum_seconds, is_billable, approval, approval_word, narrative_length, material_hash,"
        " material_version, recorded_at, raw_id, batch_id, correlation_id)"
        " SELECT entry_id, 1, true, false, 'w' || i, 'P-' || i %% 5, 't1', date '2026-10-01' + n, 3600, 36, true,"
        " 'not_approved', 'open', 0, '', 1, %(at)s, 1, %(batch_id)s, 'c-1' FROM made"
    ),
)


@pytest.fixture
def grown(worker_database: Database) -> Database:
    """Give a firm of which the server never took statistics: hours posted, and as many that wait."""
    with worker_database.transaction() as connection:
        firm = Firm(connection).found()
        for month in range(2, 10):
            firm.period("DE", f"2026-{month:02}", date(2026, month, 1), date(2026, month + 1, 1))
        for number in range(CONTRACTS):
            project = firm.project(f"P-{number}")
            connection.execute(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                " VALUES ('clock', 'project', %s, %s, 'test', %s)",
                (f"p{number}", project["project_id"], NOW),
            )
            if number < _POSTED:
                firm.hour(f"p{number}", project=project)
            elif number < 2 * _POSTED:
                firm.judge(firm.entry(f"p{number}"), "held", project=project)
        connection.execute(
            "UPDATE time_entry_version w SET project_ref = t.source_ref FROM time_entry t"
            " WHERE t.entry_id = w.entry_id"
        )
    with worker_database.transaction() as connection:
        for statement in _MORE:
            connection.execute(statement)
    return worker_database


def test_every_contract_is_answered_in_seconds_before_statistics_are_taken(
    grown: Database,
) -> None:
    with grown.transaction() as connection:
        connection.execute(f"SET LOCAL statement_timeout = '{_SECONDS_MAX}s'")
        facts = load_facts(connection, contract_ids=None, now=NOW)
        sums = load_sums(connection, contract_ids=None, period_id=None)

    assert {row["contract_code"] for row in facts} == {f"C-P-{n}" for n in range(CONTRACTS)}
    assert len({contract_id for contract_id, _ in sums}) == _POSTED
    assert sum(row["seconds"] for row in facts) == 3600 * (HOURS // 2 + _POSTED)
    assert sum(row["held_seconds"] for row in facts) == 3600 * (HOURS // 2 + _POSTED)


def test_what_everybody_owes_is_told_in_seconds_before_statistics_are_taken(
    worker_database: Database,
) -> None:
    with worker_database.transaction() as connection:
        firm = Firm(connection).found()
        for number in range(5):
            firm.project(f"P-{number}")
        for statement in _STAFF:
            connection.execute(statement, {"at": NOW, "batch_id": firm.batch_id})

    with worker_database.transaction() as connection:
        connection.execute(f"SET LOCAL statement_timeout = '{_SECONDS_MAX}s'")
        found = read_missing_time(connection, now=NOW, period_code="2026-10")

    assert sum(each.entered_seconds for each in found.people) == PEOPLE * 31 * HOURS_A_DAY * 3600

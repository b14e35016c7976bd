"""A firm of any size and its hours as Harvest would send them; the same seed gives the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from psycopg import Connection

from tieline.policy import approve_release, draft_release
from tieline.sdk import RawRecord
from tieline.validation import builtin_rules, builtin_values

NOW = datetime(2026, 11, 3, 13, 56, tzinfo=UTC)
LAST_DAY = date(2026, 10, 30)
DAYS = 62
ENTRIES_PER_DAY = 4
APPROVED_WORD = "Item Approved and Locked for this Time Period"
TARGET = "tryton"
SOURCE = "harvest"

_SATURDAY = 5
_QUARTERS_MAX = 8
_PROJECTS_OF_A_PERSON = 3
_PROJECTS_MIN = 20
_MISTAKE_EVERY = 50
_UNASSIGNED, _NOT_APPROVED, _DUPLICATE = 49, 24, 10
_DUPLICATE_EVERY = 200

_MASTER_DATA = """
CREATE TEMP TABLE b_entity ON COMMIT DROP AS
    SELECT n, 'E' || n AS entity_code FROM generate_series(0, 1) n;
CREATE TEMP TABLE b_person ON COMMIT DROP AS
    SELECT n, md5('person' || n)::uuid AS id, 'E' || n % 2 AS entity_code,
           CASE WHEN n % 4 < 2 THEN 'Consultant' ELSE 'Senior' END AS labor_category
    FROM generate_series(0, {people} - 1) n;
CREATE TEMP TABLE b_project ON COMMIT DROP AS
    SELECT n, md5('project' || n)::uuid AS id, md5('contract' || n)::uuid AS contract_id,
           md5('client' || n / 4)::uuid AS client_id, 'E' || n % 2 AS entity_code
    FROM generate_series(0, {projects} - 1) n;
CREATE TEMP TABLE b_task ON COMMIT DROP AS
    SELECT p.n, k, md5('task' || p.n || '/' || k)::uuid AS id, p.id AS project_id, p.contract_id,
           'Task ' || k AS task_name
    FROM b_project p CROSS JOIN generate_series(0, 2) k;

INSERT INTO connection (connection_key, system, kind, mode, settle_seconds)
    VALUES ('harvest', 'harvest', 'time', 'act', 2), ('tryton', 'tryton', 'erp', 'act', 2);
INSERT INTO legal_entity
    SELECT entity_code, 'Entity ' || n, 'EUR', 'Europe/Berlin', 'tryton', '{now}' FROM b_entity;
INSERT INTO connection_go_live SELECT 'harvest', entity_code, '2026-01-01' FROM b_entity;
INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)
    SELECT entity_code, to_char(m, 'YYYY-MM'), m::date, (m + interval '1 month')::date, 'open', '{now}'
    FROM b_entity CROSS JOIN generate_series('2026-01-01'::timestamp, '2026-12-01', '1 month') m;
INSERT INTO person (person_id, recorded_at) SELECT id, '{early}' FROM b_person;
INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate, starts_on, recorded_at)
    SELECT id, entity_code, n::text, true, 80, '2026-01-01', '{early}' FROM b_person;
INSERT INTO client (client_id, recorded_at) SELECT DISTINCT client_id, '{early}'::timestamptz FROM b_project;
INSERT INTO client_version (client_id, name, name_key, is_active, recorded_at)
    SELECT client_id, 'Client', 'client', true, recorded_at FROM client;
INSERT INTO contract (contract_id, client_id, entity_code, contract_code, recorded_at)
    SELECT contract_id, client_id, entity_code, 'C' || n, '{early}' FROM b_project;
INSERT INTO contract_version (contract_id, name, billing_method, currency, cap_amount,
        is_purchase_order_required, allows_unassigned_time, is_active, starts_on, recorded_at)
    SELECT contract_id, 'Contract ' || n,
           CASE WHEN n % 20 = 0 THEN 'capped_time_and_materials' ELSE 'time_and_materials' END, 'EUR',
           CASE WHEN n % 20 = 0 THEN 100000000 END, false, false, true, '2026-01-01', '{early}'
    FROM b_project;
INSERT INTO project (project_id, contract_id, entity_code, project_code, recorded_at)
    SELECT id, contract_id, entity_code, 'P' || n, '{early}' FROM b_project;
INSERT INTO project_version (project_id, name, status, accepts_time, starts_on, recorded_at)
    SELECT id, 'Project ' || n, 'active', true, '2026-01-01', '{early}' FROM b_project;
INSERT INTO task (task_id, project_id, task_name, is_billable, starts_on, recorded_at)
    SELECT id, project_id, task_name, true, '2026-01-01', '{early}' FROM b_task;
INSERT INTO contract_line (contract_id, task_name, labor_category, rate_amount, currency, starts_on, recorded_at)
    SELECT contract_id, task_name, c, 150, 'EUR', '2026-01-01', '{early}'
    FROM b_task CROSS JOIN unnest(ARRAY['Consultant', 'Senior']) c;
INSERT INTO assignment (person_id, project_id, labor_category, starts_on, recorded_at)
    SELECT b.id, p.id, b.labor_category, '2026-01-01', '{early}'
    FROM b_person b CROSS JOIN generate_series(0, {own} - 1) j
    JOIN b_project p ON p.n = ((b.n / 2 + 7 * j) % ({projects} / 2)) * 2 + b.n % 2;
INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)
    SELECT 'harvest', 'person', n::text, id, '', 'benchmark', '{early}'::timestamptz FROM b_person
    UNION ALL SELECT 'tryton', 'employee', n::text, id, entity_code, 'benchmark', '{early}' FROM b_person
    UNION ALL SELECT 'harvest', 'project', n::text, id, '', 'benchmark', '{early}' FROM b_project
    UNION ALL SELECT 'harvest', 'task', n || '/' || k, id, '', 'benchmark', '{early}' FROM b_task
    UNION ALL SELECT 'tryton', 'erp_task', row_number() OVER ()::text, contract_line_id, '', 'benchmark',
                     '{early}' FROM contract_line;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One hour of the generator, before it becomes a vendor's record."""

    number: int
    person: int
    project: int
    task: int
    work_date: date
    hundredths: int
    is_approved: bool
    is_held: bool
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Firm:
    """How large the firm is that books so many entries in about three months."""

    entries: int
    seed: int

    @property
    def people(self) -> int:
        return max(8, -(-self.entries // (DAYS * ENTRIES_PER_DAY)))

    @property
    def projects(self) -> int:
        # Even halves per entity, and never a multiple of what a person's projects are apart.
        return max(_PROJECTS_MIN, self.people // 120 * 20)

    def settle(self, connection: Connection[dict[str, Any]]) -> None:
        """Insert master data as the owner and approve the shipped rules."""
        connection.execute(
            _MASTER_DATA.format(
                people=self.people,
                projects=self.projects,
                own=_PROJECTS_OF_A_PERSON,
                now=NOW.isoformat(),
                early="2026-01-01T00:00:00Z",
            )
        )
        release_id = draft_release(
            connection,
            title="the shipped rules",
            rules=builtin_rules(),
            values=builtin_values(),
            overrides=(),
            proposed_by="ann",
            reason="a benchmark",
            now=NOW,
        )
        approve_release(connection, release_id=release_id, approved_by="bob", now=NOW)

    def pages(self, *, rows: int) -> Iterator[Sequence[Hour]]:
        """Yield the hours day after day, as a time tool is read, a page at a time."""
        page: list[Hour] = []
        for hour in self._hours():
            page.append(hour)
            if len(page) == rows:
                yield page
                page = []
        if page:
            yield page

    def _hours(self) -> Iterator[Hour]:
        chance = random.Random(self.seed)
        number = 0
        previous: Hour | None = None
        for day in _work_days():
            for person in range(self.people):
                for _ in range(ENTRIES_PER_DAY):
                    if number == self.entries:
                        return
                    previous = self._hour(number, person, day, chance, previous)
                    yield previous
                    number += 1

    def _hour(
        self, number: int, person: int, day: date, chance: random.Random, previous: Hour | None
    ) -> Hour:
        mistake = number % _MISTAKE_EVERY
        is_duplicate = number % _DUPLICATE_EVERY == _DUPLICATE and previous is not None
        if is_duplicate and previous is not None and previous.person == person:
            return Hour(
                number=number,
                person=person,
                project=previous.project,
                task=previous.task,
                work_date=day,
                hundredths=previous.hundredths,
                is_approved=True,
                is_held=True,
                notes=previous.notes,
            )
        is_unassigned = mistake == _UNASSIGNED
        turn = _PROJECTS_OF_A_PERSON if is_unassigned else chance.randrange(_PROJECTS_OF_A_PERSON)
        project = ((person // 2 + 7 * turn) % (self.projects // 2)) * 2 + person % 2
        return Hour(
            number=number,
            person=person,
            project=project,
            task=chance.randrange(3),
            work_date=day,
            hundredths=25 * chance.randint(1, _QUARTERS_MAX),
            is_approved=mistake != _NOT_APPROVED,
            is_held=is_unassigned,
            notes=f"Review of interface {number} with the client's team, notes filed",
        )


def as_record(hour: Hour) -> RawRecord:
    """Return the hour as Harvest's API writes it, byte for byte the same every time."""
    changed_at = datetime.combine(hour.work_date, time(17, 30), tzinfo=UTC)
    stamp = changed_at.isoformat().replace("+00:00", "Z")
    assignment = f"{hour.task}"
    body = (
        f'{{"id":{hour.number},"spent_date":"{hour.work_date}",'
        f'"user":{{"id":{hour.person},"name":"Person {hour.person}"}},'
        f'"client":{{"id":{hour.project // 4},"name":"Client {hour.project // 4}"}},'
        f'"project":{{"id":{hour.project},"name":"Project {hour.project}","code":"P{hour.project}"}},'
        f'"task":{{"id":{hour.task},"name":"Task {hour.task}"}},'
        f'"user_assignment":{{"id":{hour.person},"is_active":true,"is_project_manager":false,'
        f'"use_default_rates":true,"hourly_rate":null,"budget":null,"created_at":"{stamp}",'
        f'"updated_at":"{stamp}"}},'
        f'"task_assignment":{{"id":{assignment},"is_active":true,"billable":true,"hourly_rate":150.0,'
        f'"budget":null,"created_at":"{stamp}","updated_at":"{stamp}"}},'
        f'"hours":{hour.hundredths / 100:.2f},"hours_without_timer":{hour.hundredths / 100:.2f},'
        f'"rounded_hours":{hour.hundredths / 100:.2f},"notes":{json.dumps(hour.notes)},'
        f'"created_at":"{stamp}","updated_at":"{stamp}",'
        f'"is_locked":{"true" if hour.is_approved else "false"},'
        f'"locked_reason":{json.dumps(APPROVED_WORD) if hour.is_approved else "null"},'
        '"is_closed":false,"is_billed":false,"timer_started_at":null,"started_time":null,'
        '"ended_time":null,"is_running":false,"invoice":null,"external_reference":null,'
        '"billable":true,"budgeted":false,"billable_rate":150.0,"cost_rate":null}'
    )
    return RawRecord(
        object="time_entries",
        source_ref=str(hour.number),
        body=body.encode(),
        source_at=changed_at,
    )


def _work_days() -> list[date]:
    days: list[date] = []
    day = LAST_DAY
    while len(days) < DAYS:
        if day.weekday() < _SATURDAY:
            days.append(day)
        day -= timedelta(days=1)
    return days[::-1]

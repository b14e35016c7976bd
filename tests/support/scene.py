"""A small firm in the database: one entity, one contract, one project, hours that are cleared."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.policy import Override, approve_release, draft_release
from tieline.validation import builtin_rules, builtin_values

NOW = datetime(2026, 11, 3, 13, 56, tzinfo=UTC)
DAY = date(2026, 10, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The ids that a test needs to add hours."""

    entity_code: str
    period_id: UUID
    person_id: UUID
    client_id: UUID
    contract_id: UUID
    contract_line_id: UUID
    project_id: UUID
    task_id: UUID
    release_id: int
    batch_id: int


def build_scene(connection: Connection[dict[str, Any]]) -> Scene:
    """Insert master data as the owner."""
    one = _inserter(connection)
    for key in ("harvest", "tryton"):
        connection.execute(
            "INSERT INTO connection (connection_key, system, kind, mode, settle_seconds)"
            " VALUES (%s, %s, 'x', 'act', 2)",
            (key, key),
        )
    connection.execute(
        "INSERT INTO legal_entity VALUES ('HR-DE', 'Halden Roe GmbH', 'EUR', 'Europe/Berlin', 'tryton', %s)",
        (NOW,),
    )
    period_id = one(
        "INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)"
        " VALUES ('HR-DE', '2026-10', '2026-10-01', '2026-11-01', 'open', %s) RETURNING period_id",
        (NOW,),
    )
    release_id = one(
        "INSERT INTO release (title, state, proposed_by, proposed_at, approved_by, approved_at, reason)"
        " VALUES ('first', 'current', 'ann', %s, 'bob', %s, 'a test') RETURNING release_id",
        (NOW, NOW),
    )
    person_id = one("INSERT INTO person (recorded_at) VALUES (%s) RETURNING person_id", (NOW,))
    client_id = one("INSERT INTO client (recorded_at) VALUES (%s) RETURNING client_id", (NOW,))
    contract_id = one(
        "INSERT INTO contract (client_id, entity_code, contract_code, recorded_at)"
        " VALUES (%s, 'HR-DE', 'C1', %s) RETURNING contract_id",
        (client_id, NOW),
    )
    line_id = one(
        "INSERT INTO contract_line (contract_id, task_name, labor_category, rate_amount, currency,"
        " starts_on, recorded_at) VALUES (%s, 'Build', 'Consultant', 150, 'EUR', '2026-01-01', %s)"
        " RETURNING contract_line_id",
        (contract_id, NOW),
    )
    project_id = one(
        "INSERT INTO project (contract_id, entity_code, project_code, recorded_at)"
        " VALUES (%s, 'HR-DE', 'P1', %s) RETURNING project_id",
        (contract_id, NOW),
    )
    task_id = one(
        "INSERT INTO task (project_id, task_name, is_billable, starts_on, recorded_at)"
        " VALUES (%s, 'Build', true, '2026-01-01', %s) RETURNING task_id",
        (project_id, NOW),
    )
    batch_id = one(
        "INSERT INTO intake_batch (connection_key, stream, kind, correlation_id, recorded_at)"
        " VALUES ('harvest', 'time_entries', 'poll', 'c', %s) RETURNING batch_id",
        (NOW,),
    )
    for noun, our_id, ref, scope in (
        ("employee", person_id, "77", "HR-DE"),
        ("erp_task", line_id, "501", ""),
        ("project", project_id, "400", ""),
    ):
        connection.execute(
            "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, scope, because, recorded_at)"
            " VALUES ('tryton', %s, %s, %s, %s, 'a test', %s)",
            (noun, ref, our_id, scope, NOW),
        )
    return Scene(
        entity_code="HR-DE",
        period_id=period_id,
        person_id=person_id,
        client_id=client_id,
        contract_id=contract_id,
        contract_line_id=line_id,
        project_id=project_id,
        task_id=task_id,
        release_id=release_id,
        batch_id=batch_id,
    )


def add_hours(
    connection: Connection[dict[str, Any]], scene: Scene, *, seconds: Sequence[int]
) -> list[UUID]:
    """Insert approved entries of version 1 with cleared verdicts; return their ids."""
    entry_ids = []
    for number, length in enumerate(seconds):
        ref = f"{uuid.uuid4().hex[:8]}-{number}"
        entry_id = _inserter(connection)(
            "INSERT INTO time_entry (connection_key, source_epoch, object, source_ref, newest_version)"
            " VALUES ('harvest', 0, 'time_entries', %s, 0) RETURNING entry_id",
            (ref,),
        )
        add_version(connection, scene, entry_id=entry_id, version=1, seconds=length)
        entry_ids.append(entry_id)
    return entry_ids


def add_version(
    connection: Connection[dict[str, Any]],
    scene: Scene,
    *,
    entry_id: UUID,
    version: int,
    seconds: int,
    outcome: str = "cleared",
) -> int:
    """Store a newer version of an entry and its verdict; return the verdict's id."""
    connection.execute(
        "UPDATE time_entry_version SET is_newest = false WHERE entry_id = %s", (entry_id,)
    )
    connection.execute(
        "INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref, project_ref,"
        " task_ref, work_date, seconds, quantum_seconds, is_billable, approval, approval_word,"
        " narrative_length, material_hash, material_version, recorded_at, raw_id, batch_id, correlation_id)"
        " VALUES (%s, %s, true, false, 'u1', 'p1', 't1', %s, %s, 36, true, 'approved', 'locked', 5,"
        " %s, 1, %s, 1, %s, 'c')",
        (entry_id, version, DAY, seconds, str(seconds).encode(), NOW, scene.batch_id),
    )
    verdict_id: int = _inserter(connection)(
        "INSERT INTO verdict (entry_id, version, outcome, release_id, known_at, judged_at, person_id,"
        " project_id, task_id, contract_id, contract_line_id, client_id, entity_code, period_id,"
        " labor_category, work_date, seconds, is_billable, rate_amount, currency, amount, posting_hash,"
        " neighbor_keys, correlation_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'HR-DE',"
        " %s, 'Consultant', %s, %s, true, 150, 'EUR', %s * 150 / 3600.0, %s, %s, 'c') RETURNING verdict_id",
        (entry_id, version, outcome, scene.release_id, NOW, NOW, scene.person_id, scene.project_id,
         scene.task_id, scene.contract_id, scene.contract_line_id, scene.client_id, scene.period_id,
         DAY, seconds, seconds, f"hash-{seconds}".encode(), [f"entry:{entry_id}"]),
    )  # fmt: skip
    connection.execute(
        "UPDATE time_entry SET newest_version = %s, verdict_id = %s WHERE entry_id = %s",
        (version, verdict_id, entry_id),
    )
    return verdict_id


def _inserter(connection: Connection[dict[str, Any]]) -> Any:
    def insert(statement: str, values: Any) -> Any:
        row = connection.execute(statement, values).fetchone()
        assert row is not None
        return next(iter(row.values()))

    return insert


def complete_scene(connection: Connection[dict[str, Any]], scene: Scene) -> None:
    """Add everything a rule looks at, so that a plain hour is cleared."""
    first = date(2026, 1, 1)
    for noun, our_id, ref in (
        ("person", scene.person_id, "u1"),
        ("project", scene.project_id, "p1"),
        ("task", scene.task_id, "p1/t1"),
    ):
        connection.execute(
            "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
            " VALUES ('harvest', %s, %s, %s, 'a test', %s)",
            (noun, ref, our_id, NOW),
        )
    connection.execute("INSERT INTO connection_go_live VALUES ('harvest', 'HR-DE', '2026-09-01')")
    connection.execute(
        "INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate, starts_on,"
        " recorded_at) VALUES (%s, 'HR-DE', '77', true, 80, %s, %s)",
        (scene.person_id, first, NOW),
    )
    connection.execute(
        "INSERT INTO assignment (person_id, project_id, labor_category, starts_on, recorded_at)"
        " VALUES (%s, %s, 'Consultant', %s, %s)",
        (scene.person_id, scene.project_id, first, NOW),
    )
    connection.execute(
        "INSERT INTO project_version (project_id, name, status, accepts_time, starts_on, recorded_at)"
        " VALUES (%s, 'P1', 'active', true, %s, %s)",
        (scene.project_id, first, NOW),
    )
    connection.execute(
        "INSERT INTO contract_version (contract_id, name, billing_method, currency,"
        " is_purchase_order_required, allows_unassigned_time, is_active, starts_on, recorded_at)"
        " VALUES (%s, 'C1', 'time_and_materials', 'EUR', false, false, true, %s, %s)",
        (scene.contract_id, first, NOW),
    )
    connection.execute(
        "INSERT INTO client_version (client_id, name, name_key, is_active, recorded_at)"
        " VALUES (%s, 'Client', 'client', true, %s)",
        (scene.client_id, NOW),
    )


def approve_shipped_rules(
    connection: Connection[dict[str, Any]],
    *,
    overrides: Sequence[Override] = (),
    now: datetime = NOW,
) -> int:
    """Make the rules as they ship the release that decides; return its number."""
    release_id = draft_release(
        connection,
        title="rules",
        rules=builtin_rules(),
        values=builtin_values(),
        overrides=overrides,
        proposed_by="ann",
        reason="a test",
        now=now,
    )
    approve_release(connection, release_id=release_id, approved_by="bob", now=now)
    return release_id

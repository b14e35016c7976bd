"""The first peer: a careful service that takes one hour at a time, as a good engineer would write it.

Each hour is validated by pydantic, held against the questions that the shipped rules ask, and written row
by row with its bytes, version, verdict and intent; what the target confirmed gains a ledger line.
Reference data is in dictionaries, statements go out pipelined, and what must be asked of the database is
asked for a chunk at once. It keeps no second time axis and no rules as data, looks at no neighbor that
comes later, has no fence between workers, and cannot ask a target after a lost answer.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID, uuid4

import psycopg
from plane_firm import APPROVED_WORD, NOW, Firm, as_record
from plane_master import make_master_data
from psycopg.rows import namedtuple_row
from pydantic import BaseModel

from tieline.canonical import TimeLineCommand
from tieline.sdk import Receipt, StoredLine

_CHUNK = 200
_DAY_SECONDS_MAX = 86_400
_ENTRY_SECONDS_MAX = 57_600
_LATE_DAYS = 14
_CENT = Decimal("0.01")

_TABLES = """
CREATE TABLE raw (raw_id uuid PRIMARY KEY, source_ref text NOT NULL, raw_hash bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE entry (source_ref text PRIMARY KEY, newest_version integer NOT NULL);
CREATE TABLE entry_version (source_ref text NOT NULL REFERENCES entry, version integer NOT NULL,
    raw_id uuid NOT NULL REFERENCES raw, material_hash bytea NOT NULL, person integer, project integer,
    task integer, work_date date, seconds integer, is_billable boolean, is_approved boolean, notes text,
    created_at timestamptz, PRIMARY KEY (source_ref, version));
CREATE INDEX entry_version_day ON entry_version (person, work_date);
CREATE TABLE verdict (source_ref text NOT NULL, version integer NOT NULL, outcome text NOT NULL,
    reasons text[] NOT NULL, amount numeric, judged_at timestamptz NOT NULL, PRIMARY KEY (source_ref, version),
    FOREIGN KEY (source_ref, version) REFERENCES entry_version);
CREATE TABLE effect (business_key uuid PRIMARY KEY, source_ref text NOT NULL, version integer NOT NULL,
    state text NOT NULL, payload_hash text NOT NULL, target_code text,
    FOREIGN KEY (source_ref, version) REFERENCES verdict);
CREATE INDEX effect_open ON effect (state) WHERE state <> 'CONFIRMED';
CREATE TABLE ledger (business_key uuid PRIMARY KEY REFERENCES effect, source_ref text NOT NULL,
    project integer, work_date date, seconds integer NOT NULL, rate_amount numeric, amount numeric,
    currency text, booked_at timestamptz NOT NULL);
"""


class Target(Protocol):
    """What the peer asks of a target; the product's own target in this process keeps it."""

    def write_lines(
        self, *, entity_code: str, lines: Sequence[TimeLineCommand]
    ) -> list[Receipt]: ...

    def read_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> list[StoredLine]: ...


class Named(BaseModel):
    id: int


class Record(BaseModel):
    """An hour as Harvest sends it; what is not named here is left alone."""

    id: int
    spent_date: date
    user: Named
    project: Named
    task: Named
    hours: Decimal
    notes: str | None
    is_locked: bool
    locked_reason: str | None
    billable: bool
    created_at: datetime


@dataclass(slots=True)
class Context:
    """Everything the rules look at for one hour."""

    record: Record
    seconds: int
    is_approved: bool
    person: Any
    project: Any
    task: Any
    rate: Any
    period: Any
    assignments: Sequence[Any]
    day_seconds: int
    is_duplicate: bool
    cap_used: Decimal
    amount: Decimal | None


def _covers(row: Any, day: date) -> bool:
    return bool(row.starts_on <= day and (row.ends_on is None or day < row.ends_on))


# In order of precedence; a rule is asked only where what it looks at is known.
RULES: tuple[tuple[str, str, Callable[[Context], bool]], ...] = (
    ("approval_unknown", "error", lambda c: c.is_approved or not c.record.is_locked),
    ("person_unknown", "error", lambda c: c.person is not None),
    ("project_unknown", "error", lambda c: c.project is not None),
    ("person_not_employed", "error", lambda c: c.person is None or c.person.employed_on <= c.record.spent_date),
    ("employee_record_missing", "error", lambda c: c.person is None or c.project is None or c.person.entity == c.project.entity),
    ("cost_rate_missing", "warn", lambda c: c.person is None or c.person.cost_rate is not None),
    ("on_leave", "warn", lambda c: c.person is None or c.person.leave is None or c.record.spent_date not in c.person.leave),
    ("labor_category_missing", "error", lambda c: c.person is None or c.person.labor_category is not None),
    ("project_provisioning", "park", lambda c: c.project is None or c.project.status != "provisioning"),
    ("project_not_active", "error", lambda c: c.project is None or (c.project.status == "active" and c.project.accepts_time)),
    ("outside_project_dates", "error", lambda c: c.project is None or _covers(c.project, c.record.spent_date)),
    ("client_inactive", "error", lambda c: c.project is None or c.project.client_is_active),
    ("contract_not_active", "error", lambda c: c.project is None or c.project.contract_is_active),
    ("outside_contract_dates", "error", lambda c: c.project is None or (c.project.contract_starts_on <= c.record.spent_date
        and (c.project.contract_ends_on is None or c.record.spent_date < c.project.contract_ends_on))),
    ("purchase_order_missing", "error", lambda c: c.project is None or not c.project.is_purchase_order_required or bool(c.project.purchase_order)),
    ("task_unknown", "error", lambda c: c.task is not None),
    ("task_not_chargeable", "error", lambda c: c.task is None or c.task.is_leaf),
    ("outside_task_dates", "error", lambda c: c.task is None or _covers(c.task, c.record.spent_date)),
    ("billable_unknown", "error", lambda c: c.record.billable is not None),
    ("assignment_missing", "error", lambda c: c.project is None or c.project.allows_unassigned_time or bool(c.assignments)),
    ("after_assignment_end", "error", lambda c: not c.assignments or any(_covers(a, c.record.spent_date) for a in c.assignments)),
    ("rate_missing", "error", lambda c: c.task is None or not c.assignments or c.rate is not None),
    ("rate_zero", "error", lambda c: c.rate is None or c.rate.rate_amount > 0),
    ("currency_differs", "error", lambda c: c.rate is None or c.rate.currency == c.project.currency),
    ("erp_link_missing", "park", lambda c: c.rate is None or bool(c.rate.erp_code and c.person.erp_code)),
    ("period_unknown", "error", lambda c: c.project is None or c.period is not None),
    ("period_closed", "error", lambda c: c.period is None or c.period.is_open),
    ("work_date_in_future", "error", lambda c: c.record.spent_date <= NOW.date()),
    ("late_entry", "warn", lambda c: c.record.created_at.date() - c.record.spent_date <= timedelta(days=_LATE_DAYS)),
    ("duration_not_positive", "error", lambda c: c.seconds > 0),
    ("entry_over_maximum", "warn", lambda c: c.seconds <= _ENTRY_SECONDS_MAX),
    ("day_over_maximum", "error", lambda c: c.day_seconds <= _DAY_SECONDS_MAX),
    ("duplicate_content", "error", lambda c: not c.is_duplicate),
    ("narrative_missing", "error", lambda c: bool(c.record.notes)),
    ("cap_exceeded", "error", lambda c: c.project is None or c.project.cap_amount is None or c.amount is None
        or c.cap_used + c.amount <= c.project.cap_amount),
)  # fmt: skip


@dataclass(slots=True)
class Judgement:
    """One hour with its verdict, ready to be written."""

    record: Record
    body: bytes
    seconds: int
    is_approved: bool
    outcome: str
    reasons: list[str]
    rate: Any
    project: Any
    person: Any
    amount: Decimal | None
    key: UUID
    raw_id: UUID = field(default_factory=uuid4)


class RowService:
    """Take hours one by one; look-ups are cached and members of a day are kept as they come."""

    def __init__(self, connection: psycopg.Connection[Any], target: Target) -> None:
        self._connection = connection
        self._target = target
        self.outcomes: dict[str, int] = defaultdict(int)
        self._people = {row.person: row for row in self._all("person")}
        self._projects = {row.project: row for row in self._all("project")}
        self._tasks = {(row.project, row.task): row for row in self._all("task")}
        self._rates = {
            (row.project, row.task, row.labor_category): row for row in self._all("rate")
        }
        self._periods: dict[str, list[Any]] = defaultdict(list)
        for row in self._all("period"):
            self._periods[row.entity].append(row)
        self._assignments: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for row in self._all("assignment"):
            self._assignments[(row.person, row.project)].append(row)
        self._cap_used: dict[int, Decimal] = defaultdict(Decimal)

    def take(self, bodies: Sequence[bytes]) -> None:
        """Judge a chunk hour by hour, commit the intents, send, and commit what was confirmed."""
        records = [(Record.model_validate_json(body), body) for body in bodies]
        known, days = self._stored([record for record, _ in records])
        judged = [
            self._judge(record, body, days)
            for record, body in records
            if str(record.id) not in known
        ]
        self._write(judged)
        cleared = [each for each in judged if each.outcome == "cleared"]
        for entity in sorted({each.project.entity for each in cleared}):
            self._send(entity, [each for each in cleared if each.project.entity == entity])

    def _all(self, table: str) -> list[Any]:
        with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(f"SELECT * FROM {table}").fetchall()

    def _stored(
        self, records: Sequence[Record]
    ) -> tuple[set[str], dict[tuple[int, date], list[tuple[Any, ...]]]]:
        refs = [str(record.id) for record in records]
        rows = self._connection.execute(
            "SELECT source_ref FROM entry WHERE source_ref = ANY (%s)", (refs,)
        ).fetchall()
        members: dict[tuple[int, date], list[tuple[Any, ...]]] = defaultdict(list)
        for row in self._connection.execute(
            "SELECT v.person, v.work_date, v.project, v.task, v.seconds, v.notes FROM entry_version v"
            " JOIN entry e ON e.source_ref = v.source_ref AND e.newest_version = v.version"
            " WHERE (v.person, v.work_date) IN (SELECT * FROM unnest(%s::int[], %s::date[]))"
            " AND v.is_approved",
            ([record.user.id for record in records], [record.spent_date for record in records]),
        ):
            members[(row[0], row[1])].append(row[2:])
        self._connection.commit()
        return {row[0] for row in rows}, members

    def _judge(
        self, record: Record, body: bytes, days: dict[tuple[int, date], list[tuple[Any, ...]]]
    ) -> Judgement:
        seconds = int(record.hours * 3600)
        is_approved = record.is_locked and record.locked_reason == APPROVED_WORD
        person = self._people.get(record.user.id)
        project = self._projects.get(record.project.id)
        rate = self._rates.get(
            (record.project.id, record.task.id, person.labor_category if person else "")
        )
        amount = (rate.rate_amount * seconds / 3600).quantize(_CENT) if rate else None
        outcome, reasons = "outside", list[str]()
        if record.is_locked:
            day = days[(record.user.id, record.spent_date)]
            content = (record.project.id, record.task.id, seconds, record.notes)
            context = Context(
                record=record,
                seconds=seconds,
                is_approved=is_approved,
                person=person,
                project=project,
                task=self._tasks.get((record.project.id, record.task.id)),
                rate=rate,
                period=self._period(project, record.spent_date),
                assignments=self._assignments.get((record.user.id, record.project.id), ()),
                day_seconds=seconds + sum(member[2] for member in day),
                is_duplicate=content in day,
                cap_used=self._cap_used[record.project.id],
                amount=amount,
            )
            broken = [(code, severity) for code, severity, holds in RULES if not holds(context)]
            day.append(content)
            severities = {severity for _, severity in broken}
            reasons = [f"time.{code}={severity}" for code, severity in broken]
            outcome = (
                "held" if "error" in severities else "parked" if "park" in severities else "cleared"
            )
        if outcome == "cleared" and amount is not None:
            self._cap_used[record.project.id] += amount
        self.outcomes[outcome] += 1
        return Judgement(
            record=record,
            body=body,
            seconds=seconds,
            is_approved=is_approved,
            outcome=outcome,
            reasons=reasons,
            rate=rate,
            project=project,
            person=person,
            amount=amount,
            key=_key(record),
        )

    def _period(self, project: Any, day: date) -> Any:
        periods = self._periods[project.entity] if project else ()
        return next((each for each in periods if each.starts_on <= day < each.ends_on), None)

    def _write(self, judged: Sequence[Judgement]) -> None:
        with self._connection.transaction(), self._connection.pipeline():
            run = self._connection.execute
            for each in judged:
                record, ref = each.record, str(each.record.id)
                run(
                    "INSERT INTO raw VALUES (%s, %s, %s, %s)",
                    (each.raw_id, ref, hashlib.sha256(each.body).digest(), each.body),
                )
                run("INSERT INTO entry VALUES (%s, 1) ON CONFLICT DO NOTHING", (ref,))
                run(
                    "INSERT INTO entry_version VALUES (%s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (ref, each.raw_id, _material(each), record.user.id, record.project.id,
                     record.task.id, record.spent_date, each.seconds, record.billable,
                     each.is_approved, record.notes, record.created_at),
                )  # fmt: skip
                run(
                    "INSERT INTO verdict VALUES (%s, 1, %s, %s, %s, %s)",
                    (ref, each.outcome, each.reasons, each.amount, NOW),
                )
                if each.outcome == "cleared":
                    run(
                        "INSERT INTO effect VALUES (%s, %s, 1, 'INTENT', %s, NULL)",
                        (each.key, ref, _material(each).hex()),
                    )

    def _send(self, entity: str, cleared: Sequence[Judgement]) -> None:
        lines = [
            TimeLineCommand(
                business_key=each.key,
                entity_code=entity,
                person_code=each.person.erp_code,
                task_code=each.rate.erp_code,
                work_date=each.record.spent_date,
                seconds=each.seconds,
                narrative=each.record.notes or "",
            )
            for each in cleared
        ]
        self._target.write_lines(entity_code=entity, lines=lines)
        stored = {
            line.business_key: line
            for line in self._target.read_lines(
                entity_code=entity, keys=[line.business_key for line in lines]
            )
        }
        with self._connection.transaction(), self._connection.pipeline():
            run = self._connection.execute
            for each in cleared:
                if stored[each.key].seconds != each.seconds:
                    raise ValueError(f"the target altered {each.key}")
                run(
                    "UPDATE effect SET state = 'CONFIRMED', target_code = %s"
                    " WHERE business_key = %s AND state = 'INTENT'",
                    (stored[each.key].target_code, each.key),
                )
                run(
                    "INSERT INTO ledger VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
                    " ON CONFLICT DO NOTHING",
                    (each.key, str(each.record.id), each.record.project.id, each.record.spent_date,
                     each.seconds, each.rate.rate_amount, each.amount, each.rate.currency, NOW),
                )  # fmt: skip


def measure_rows(dsn: str, *, firm: Firm, target: Target, page_rows: int) -> dict[str, Any]:
    """Run the service in a database of its own and return its figures."""
    seconds = 0.0
    with psycopg.connect(dsn) as connection:
        make_master_data(connection, firm=firm)
        connection.execute(_TABLES)
        connection.commit()
        service = RowService(connection, target)
        for page in firm.pages(rows=page_rows):
            bodies = [as_record(hour).body for hour in page]
            started = time.perf_counter()
            for first in range(0, len(bodies), _CHUNK):
                service.take(bodies[first : first + _CHUNK])
            seconds += time.perf_counter() - started
        row = connection.execute("SELECT count(*) FROM ledger").fetchone()
        assert row is not None
    return {
        "seconds_total": round(seconds, 3),
        "entries_per_second": round(firm.entries / seconds),
        "rules": len(RULES),
        "outcomes": dict(sorted(service.outcomes.items())),
        "ledger_lines": row[0],
    }


def _key(record: Record) -> UUID:
    return UUID(bytes=hashlib.sha256(f"harvest/0/time_entries/{record.id}".encode()).digest()[:16])


def _material(each: Judgement) -> bytes:
    record = each.record
    words = (record.user.id, record.project.id, record.task.id, record.spent_date, each.seconds,
             record.billable, each.is_approved, record.notes)  # fmt: skip
    return hashlib.sha256("\x1f".join(str(word) for word in words).encode()).digest()

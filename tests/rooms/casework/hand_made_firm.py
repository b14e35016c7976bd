"""A tiny firm, row by row: one client, two legal entities, one contract each, hours and verdicts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.types.json import Jsonb

Row = dict[str, Any]
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
OCTOBER = (date(2026, 10, 1), date(2026, 11, 1))


class Firm:
    """Insert rows as the rooms above would leave them."""

    def __init__(self, connection: Connection[Row]) -> None:
        self.connection = connection
        self.release_id = 0
        self.batch_id = 0
        self.client_id = uuid4()
        self.person_id = uuid4()
        self.periods: dict[tuple[str, str], UUID] = {}
        self.last: Row = {}

    def found(self) -> Firm:
        """Lay down connections, release, entities, periods, a client and a person."""
        for key, system, kind in (
            ("clock", "harvest", "time"),
            ("books", "tryton", "erp"),
            ("sales", "hubspot", "crm"),
        ):
            self.connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode, config, created_at)"
                " VALUES (%s, %s, %s, 'act', '{}', %s)",
                (key, system, kind, NOW),
            )
        self.release_id = self._one(
            "INSERT INTO release (title, state, proposed_by, proposed_at, approved_by, approved_at,"
            " reason) VALUES ('first', 'current', 'ada', %s, 'ben', %s, 'begin') RETURNING release_id",
            (NOW, NOW),
        )
        self.batch_id = self._one(
            "INSERT INTO intake_batch (connection_key, stream, kind, correlation_id, recorded_at)"
            " VALUES ('clock', 'time_entries', 'poll', 'c-1', %s) RETURNING batch_id",
            (NOW,),
        )
        for entity_code, currency in (("DE", "EUR"), ("UK", "GBP")):
            self.connection.execute(
                "INSERT INTO legal_entity (entity_code, name, currency, zone, erp_connection_key,"
                " recorded_at) VALUES (%s, %s, %s, 'Europe/Berlin', 'books', %s)",
                (entity_code, f"Firm {entity_code}", currency, NOW),
            )
            self.period(entity_code, "2026-10", *OCTOBER)
        self.connection.execute(
            "INSERT INTO client (client_id, recorded_at) VALUES (%s, %s)", (self.client_id, NOW)
        )
        self.connection.execute(
            "INSERT INTO client_version (client_id, name, name_key, vat_number, street, postal_code,"
            " city, country_code, is_active, recorded_at) VALUES (%s, 'Nordwind AG', 'nordwind',"
            " 'DE136695976', 'Hafenstr. 1', '20457', 'Hamburg', 'DE', true, %s)",
            (self.client_id, NOW),
        )
        self.connection.execute(
            "INSERT INTO person (person_id, recorded_at) VALUES (%s, %s)", (self.person_id, NOW)
        )
        self.connection.execute(
            "INSERT INTO employment (person_id, entity_code, employee_code, is_home, cost_rate,"
            " starts_on, recorded_at) VALUES (%s, 'DE', 'e1', true, 60, '2020-01-01', %s)",
            (self.person_id, NOW),
        )
        return self

    def period(self, entity_code: str, code: str, starts_on: date, ends_on: date) -> UUID:
        """Add an open fiscal period with its cut-off on the fourth day after."""
        period_id: UUID = self._one(
            "INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at)"
            " VALUES (%s, %s, %s, %s, 'open', %s) RETURNING period_id",
            (
                entity_code,
                code,
                starts_on,
                ends_on,
                datetime(ends_on.year, ends_on.month, ends_on.day, tzinfo=UTC) + timedelta(days=4),
            ),
        )
        self.periods[entity_code, code] = period_id
        return period_id

    def rule(self, code: str, *, thing: str, owner_queue: str = "delivery") -> None:
        """Add a time rule of the current release."""
        self.connection.execute(
            "INSERT INTO rule (release_id, book, code, position, scope, applies_when, predicate,"
            " severity, owner_queue, thing, message, fix_hint, source)"
            " VALUES (%s, 'time', %s, 1, 'row', 'true', 'true', 'error', %s, %s, 'It is wrong.',"
            " 'Put it right.', 'test')",
            (self.release_id, code, owner_queue, thing),
        )

    def deal(self, source_ref: str, *, entity_code: str = "DE") -> str:
        """Read a won deal of a CRM, with hardly anything filled in."""
        names = (
            "closed_on", "client_ref", "owner_ref", "practice", "billing_method", "purchase_order",
            "is_purchase_order_required", "rate_card", "tax_treatment", "starts_on", "ends_on",
            "project_code", "cap_amount",
        )  # fmt: skip
        data: dict[str, Any] = {
            **dict.fromkeys(names), "name": f"Deal {source_ref}", "stage": "closedwon", "is_won": True,
            "amount": "1500", "currency": "EUR", "entity_code": entity_code, "lines": [], "extras": {},
        }  # fmt: skip
        self.connection.execute(
            "INSERT INTO connection (connection_key, system, kind, mode)"
            " VALUES ('sales', 'hubspot', 'crm', 'act') ON CONFLICT DO NOTHING"
        )
        self.connection.execute(
            "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version,"
            " is_newest, noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id,"
            " correlation_id) VALUES ('sales', 0, 'deals', %s, 1, true, 'Opportunity', %s, false, 'h', 1,"
            " %s, 1, 'c')",
            (source_ref, Jsonb(data), NOW),
        )
        return f"sales:{source_ref}"

    def project(
        self,
        code: str,
        *,
        entity_code: str = "DE",
        billing_method: str = "time_and_materials",
        currency: str | None = None,
        rate: Decimal = Decimal(150),
        value_amount: Decimal | None = None,
        cap_amount: Decimal | None = None,
        purchase_order: str | None = "PO-1",
    ) -> Row:
        """Add a contract with one line, its project and task, linked in the ERP."""
        currency = currency or {"DE": "EUR", "UK": "GBP"}[entity_code]
        ids: Row = {
            "code": code,
            "entity_code": entity_code,
            "currency": currency,
            "rate": rate,
            "contract_id": uuid4(),
            "contract_line_id": uuid4(),
            "project_id": uuid4(),
            "task_id": uuid4(),
        }
        run = self.connection.execute
        run(
            "INSERT INTO contract (contract_id, client_id, entity_code, contract_code, recorded_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            (ids["contract_id"], self.client_id, entity_code, f"C-{code}", NOW),
        )
        run(
            "INSERT INTO contract_version (contract_id, name, billing_method, currency, value_amount,"
            " cap_amount, purchase_order, is_purchase_order_required, allows_unassigned_time, is_active,"
            " starts_on, recorded_at) VALUES (%s, %s, %s, %s, %s, %s, %s, true, false, true,"
            " '2026-01-01', %s)",
            (
                ids["contract_id"],
                f"Contract {code}",
                billing_method,
                currency,
                value_amount,
                cap_amount,
                purchase_order,
                NOW,
            ),
        )
        run(
            "INSERT INTO contract_line (contract_line_id, contract_id, task_name, labor_category,"
            " rate_amount, currency, starts_on, recorded_at)"
            " VALUES (%s, %s, 'Build', '', %s, %s, '2026-01-01', %s)",
            (ids["contract_line_id"], ids["contract_id"], rate, currency, NOW),
        )
        run(
            "INSERT INTO project (project_id, contract_id, entity_code, project_code, recorded_at)"
            " VALUES (%s, %s, %s, %s, %s)",
            (ids["project_id"], ids["contract_id"], entity_code, code, NOW),
        )
        run(
            "INSERT INTO project_version (project_id, name, status, accepts_time, starts_on, recorded_at)"
            " VALUES (%s, %s, 'active', true, '2026-01-01', %s)",
            (ids["project_id"], f"Project {code}", NOW),
        )
        run(
            "INSERT INTO task (task_id, project_id, task_name, is_billable, starts_on, recorded_at)"
            " VALUES (%s, %s, 'Build', true, '2026-01-01', %s)",
            (ids["task_id"], ids["project_id"], NOW),
        )
        for noun, source_ref, our_id in (
            ("contract", f"sale-{code}", ids["contract_id"]),
            ("project", f"work-{code}", ids["project_id"]),
            ("erp_task", f"task-{code}", ids["contract_line_id"]),
        ):
            run(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                " VALUES ('books', %s, %s, %s, 'test', %s)",
                (noun, source_ref, our_id, NOW),
            )
        self.last = ids
        return ids

    def entry(
        self,
        source_ref: str,
        *,
        seconds: int = 3600,
        project_ref: str | None = "p1",
        person_ref: str = "anna",
        work_date: date | None = date(2026, 10, 7),
        approval: str = "approved",
    ) -> UUID:
        """Add an hour with its first version."""
        entry_id: UUID = self._one(
            "INSERT INTO time_entry (connection_key, source_epoch, object, source_ref, newest_version)"
            " VALUES ('clock', 0, 'time_entry', %s, 1) RETURNING entry_id",
            (source_ref,),
        )
        self.connection.execute(
            "INSERT INTO time_entry_version (entry_id, version, is_newest, is_deleted, person_ref,"
            " project_ref, task_ref, work_date, seconds, quantum_seconds, is_billable, approval,"
            " approval_word, narrative_length, material_hash, material_version, recorded_at, raw_id,"
            " batch_id, correlation_id) VALUES (%s, 1, true, false, %s, %s, 't1', %s, %s, 36, true, %s,"
            " 'locked', 0, '', 1, %s, 1, %s, 'c-1')",
            (entry_id, person_ref, project_ref, work_date, seconds, approval, NOW, self.batch_id),
        )
        return entry_id

    def judge(
        self,
        entry_id: UUID,
        outcome: str,
        *reasons: str,
        project: Row | None = None,
        seconds: int = 3600,
        work_date: date | None = date(2026, 10, 7),
        amount: Decimal | None = None,
        currency: str | None = None,
        with_person: bool = True,
    ) -> int:
        """Give an hour its newest verdict."""
        entity_code = project["entity_code"] if project else None
        if project and amount is None:
            amount = (seconds * project["rate"] / 3600).quantize(Decimal("0.01"))
            currency = project["currency"]
        verdict_id: int = self._one(
            "INSERT INTO verdict (entry_id, version, outcome, release_id, known_at, judged_at, person_id,"
            " project_id, task_id, contract_id, contract_line_id, client_id, entity_code, period_id,"
            " work_date, seconds, is_billable, rate_amount, currency, amount, neighbor_keys, correlation_id)"
            " VALUES (%s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, true, %s, %s, %s,"
            " ARRAY[%s], 'c-1') RETURNING verdict_id",
            (
                entry_id,
                outcome,
                self.release_id,
                NOW,
                NOW,
                self.person_id if with_person else None,
                project["project_id"] if project else None,
                project["task_id"] if project else None,
                project["contract_id"] if project else None,
                project["contract_line_id"] if project else None,
                self.client_id if project else None,
                entity_code,
                self.periods.get((entity_code, "2026-10")) if entity_code else None,
                work_date,
                seconds,
                project["rate"] if project else None,
                currency,
                amount,
                f"entry:{entry_id}",
            ),
        )
        for reason in reasons:
            self.connection.execute(
                "INSERT INTO verdict_reason (verdict_id, code, severity) VALUES (%s, %s, 'error')",
                (verdict_id, reason),
            )
        self.connection.execute(
            "UPDATE time_entry SET verdict_id = %s WHERE entry_id = %s", (verdict_id, entry_id)
        )
        return verdict_id

    def post(self, entry_id: UUID, *, until: str = "CONFIRMED") -> UUID:
        """Plan the cleared hour's effect and walk it along its edges, booking it when confirmed."""
        key: UUID = self._one(
            "INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref,"
            " target_connection, noun, part, effect_no, kind, verdict_id, entry_id, entry_version,"
            " verdict_outcome, entity_code, period_id, project_id, seconds, amount, currency, work_class,"
            " release_id, correlation_id, planned_at)"
            " SELECT tieline.business_key(t.connection_key, t.source_epoch, t.object, t.source_ref, 'books',"
            " 'time_line', 'main', 1), t.connection_key, t.source_epoch, t.object, t.source_ref, 'books',"
            " 'time_line', 'main', 1, 'book', v.verdict_id, t.entry_id, v.version, v.outcome, v.entity_code,"
            " v.period_id, v.project_id, v.seconds, v.amount, v.currency, 1, v.release_id, 'c-1', %s"
            " FROM time_entry t JOIN verdict v USING (verdict_id) WHERE t.entry_id = %s"
            " RETURNING business_key",
            (NOW, entry_id),
        )
        walk = {
            "PLANNED": (),
            "INTENT": ("INTENT",),
            "UNKNOWN": ("INTENT", "UNKNOWN"),
            "REJECTED": ("INTENT", "REJECTED"),
            "CONFIRMED": ("INTENT", "CONFIRMED"),
        }[until]
        for state in walk:
            self.connection.execute(
                "UPDATE effect SET state = %s, payload_hash = 'x', target_code = %s, reason = %s"
                " WHERE business_key = %s",
                (state, f"line-{entry_id}", "erp.refused" if state == "REJECTED" else None, key),
            )
        if until == "CONFIRMED":
            self._book(key)
        return key

    def hour(
        self,
        source_ref: str,
        *,
        project: Row,
        seconds: int = 3600,
        work_date: date = date(2026, 10, 7),
    ) -> UUID:
        """Add an hour that was judged, posted and booked."""
        entry_id = self.entry(source_ref, seconds=seconds, work_date=work_date)
        self.judge(entry_id, "cleared", project=project, seconds=seconds, work_date=work_date)
        self.post(entry_id)
        return entry_id

    def _book(self, key: UUID) -> None:
        self.connection.execute(
            "INSERT INTO ledger_line (booked_month, booked_at, business_key, entry_id, entry_version,"
            " target_connection, target_code, entity_code, period_id, client_id, contract_id,"
            " contract_line_id, project_id, task_id, person_id, labor_category, work_date, is_billable,"
            " seconds, target_seconds, rate_amount, amount, currency, correlation_id)"
            " SELECT '2026-10-01', %s, e.business_key, e.entry_id, e.entry_version, e.target_connection,"
            " e.target_code, e.entity_code, e.period_id, v.client_id, v.contract_id, v.contract_line_id,"
            " v.project_id, v.task_id, v.person_id, '', v.work_date, true, e.seconds, e.seconds,"
            " v.rate_amount, v.amount, v.currency, e.correlation_id"
            " FROM effect e JOIN verdict v USING (verdict_id) WHERE e.business_key = %s",
            (NOW, key),
        )

    def _one(self, statement: Any, values: tuple[Any, ...]) -> Any:
        row = self.connection.execute(statement, values).fetchone()
        assert row is not None
        return next(iter(row.values()))

"""Declare master data that no system tells: one client, one contract, projects and tasks as booked on.

For firms whose old records come as files. A person writes the declaration; what the records name is
created in the ERP through the posting protocol and linked, so that the hours can be judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import Command, ContractCommand, ProjectCommand, TaskCommand
from tieline.canonical.commands import ContractLine
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TryAgain, UserMistake
from tieline.kernel.keys import SourceIdentity
from tieline.posting import Confirmed, EffectRequest, Poster, PostResult, Waiting
from tieline.register import (
    CONTRACT,
    CONTRACT_LINE,
    PROJECT,
    Link,
    LinkTaken,
    find_ours,
    find_theirs,
    link,
    name_key,
    upsert,
)
from tieline.runtime.database import Database
from tieline.runtime.work import REFERENCE, Again, Done, Failed, Outcome, Steps

DECLARE = "declare"
_BECAUSE = "declared by the firm"
_OBJECT = "declaration"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a firm declares about the records of one connection."""

    connection_key: str
    entity_code: str
    client_name: str
    contract_code: str
    contract_name: str
    billing_method: str
    currency: str
    rate_amount: Decimal
    starts_on: date


def parse_declaration(connection_key: str, table: Mapping[str, Any]) -> Declaration:
    """Read the ``declare`` table of a mapping.

    :raises UserMistake: a word is missing.
    """
    try:
        return Declaration(
            connection_key=connection_key,
            entity_code=table["entity"]["code"],
            client_name=table["client"]["name"],
            contract_code=table["contract"]["code"],
            contract_name=table["contract"]["name"],
            billing_method=table["contract"]["billing_method"],
            currency=table["contract"]["currency"],
            rate_amount=Decimal(str(table["contract"]["rate_amount"])),
            starts_on=date.fromisoformat(str(table["contract"]["starts_on"])),
        )
    except KeyError as error:
        raise UserMistake(f"the mapping declares no {error.args[0]}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaring:
    """Bring a declaration about: durable, repeatable, one effect a record."""

    database: Database
    poster: Poster
    clock: Clock
    declaration: Declaration

    def declare(self, steps: Steps, _subject: str) -> Outcome:
        """Create what the landed records name and link it."""
        try:
            steps.run("contract", self._contract)
            for code in steps.run("projects", self._project_refs):
                steps.run(f"project {code}", partial(self._project, code))
            steps.run("people", self._people)
        except TryAgain as error:
            return Again(due_in_seconds=error.retry_after_seconds or 1)
        except UserMistake as mistake:
            return Failed(str(mistake))
        return Done()

    # -- contract ----------------------------------------------------------------------------------

    def _contract(self) -> str:
        declared = self.declaration
        with self.database.transaction() as connection:
            target = _target(connection, declared.entity_code)
            client_id = _client(connection, declared)
            client_code = find_theirs(
                connection, connection_key=target, noun="client", our_id=client_id
            )
            if client_code is None:
                raise TryAgain(f"the ERP's client {declared.client_name} is not linked yet")
            contract_id = _ensure_contract(
                connection, declared, client_id=client_id, now=self.clock.now()
            )
        code = self._post(
            noun="contract",
            part=declared.contract_code,
            target=target,
            build=lambda key: ContractCommand(
                business_key=key,
                entity_code=declared.entity_code,
                client_code=client_code,
                name=declared.contract_name,
                currency=declared.currency,
                billing_method=declared.billing_method,
                signed_on=declared.starts_on,
                purchase_order=None,
                lines=(
                    ContractLine(
                        task_name=declared.contract_name,
                        labor_category="",
                        hours=Decimal(1),
                        rate_amount=declared.rate_amount,
                    ),
                ),
            ),
        )
        self._link(target, "contract", code, contract_id)
        return code

    # -- projects and tasks --------------------------------------------------------------------------

    def _project_refs(self) -> list[str]:
        with self.database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT v.project_ref FROM time_entry_version v JOIN time_entry t USING (entry_id)
                WHERE t.connection_key = %s AND v.is_newest AND v.project_ref IS NOT NULL ORDER BY 1
                """,
                (self.declaration.connection_key,),
            ).fetchall()
        return [row["project_ref"] for row in rows]

    def _project(self, project_ref: str) -> int:
        declared = self.declaration
        now = self.clock.now()
        with self.database.transaction() as connection:
            target = _target(connection, declared.entity_code)
            client_code, contract_code = _codes(connection, declared, target)
            project_id = _ensure_project(connection, declared, project_ref, now)
            tasks = _ensure_tasks(connection, declared, project_ref, project_id, now)
        code = self._post(
            noun="project",
            part=project_ref,
            target=target,
            build=lambda key: ProjectCommand(
                business_key=key,
                entity_code=declared.entity_code,
                client_code=client_code,
                contract_code=contract_code,
                code=project_ref,
                name=project_ref,
                billing_method=declared.billing_method,
                is_split=False,
                starts_on=declared.starts_on,
                ends_on=None,
            ),
        )
        self._link(target, "project", code, project_id)
        for task in tasks:
            self._task(task, target=target, project_code=code, project_id=project_id)
        self._link(declared.connection_key, "project", project_ref, project_id)
        return len(tasks)

    def _task(self, task: Row, *, target: str, project_code: str, project_id: UUID) -> None:
        declared = self.declaration

        def build(key: UUID) -> Command:
            return TaskCommand(
                business_key=key,
                entity_code=declared.entity_code,
                project_code=project_code,
                name=task["task_name"],
                labor_category=None,
                rate_amount=declared.rate_amount,
                currency=declared.currency,
                is_billable=True,
                starts_on=declared.starts_on,
                ends_on=None,
                budget_hours=None,
            )

        code = self._post(
            noun="task", part=f"{project_code}|{task['task_name']}", target=target, build=build
        )
        self._link(target, "erp_task", code, task["contract_line_id"], scope=str(project_id))
        self._link(
            declared.connection_key,
            "task",
            f"{task['project_ref']}/{task['task_name']}",
            task["task_id"],
        )

    # -- people --------------------------------------------------------------------------------------

    def _people(self) -> int:
        """Link the records' people to the employees who carry their code."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT v.person_ref, e.person_id
                FROM time_entry_version v JOIN time_entry t USING (entry_id)
                JOIN employment e ON e.employee_code = v.person_ref AND e.entity_code = %s
                    AND e.superseded_at IS NULL
                WHERE t.connection_key = %s AND v.is_newest
                """,
                (self.declaration.entity_code, self.declaration.connection_key),
            ).fetchall()
            for row in rows:
                _link(
                    connection,
                    Link(
                        connection_key=self.declaration.connection_key,
                        noun="person",
                        source_ref=row["person_ref"],
                        our_id=row["person_id"],
                    ),
                    self.clock.now(),
                )
        return len(rows)

    # -- common --------------------------------------------------------------------------------------

    def _post(self, *, noun: str, part: str, target: str, build: Any) -> str:
        result: PostResult = self.poster.post(
            request=EffectRequest(
                source=SourceIdentity(
                    connection_key=self.declaration.connection_key,
                    source_epoch=0,
                    object=_OBJECT,
                    source_ref=self.declaration.contract_code,
                ),
                target_connection=target,
                noun=noun,
                part=part,
                entity_code=self.declaration.entity_code,
                work_class=REFERENCE,
                deadline_at=None,
                release_id=None,
                correlation_id=f"declaration:{self.declaration.contract_code}",
            ),
            build=build,
        )
        match result:
            case Confirmed():
                return result.target_code
            case Waiting():
                raise TryAgain(
                    f"{noun} {part} waits", retry_after_seconds=max(1, result.due_in_seconds)
                )
            case _:
                raise UserMistake(f"{noun} {part} was not created: {result.message}")

    def _link(
        self, connection_key: str, noun: str, source_ref: str, our_id: UUID, *, scope: str = ""
    ) -> None:
        with self.database.transaction() as connection:
            _link(
                connection,
                Link(
                    connection_key=connection_key,
                    noun=noun,
                    source_ref=source_ref,
                    our_id=our_id,
                    scope=scope,
                ),
                self.clock.now(),
            )


def _link(connection: Connection[Row], wanted: Link, now: datetime) -> None:
    answer = link(connection, wanted=wanted, because=_BECAUSE, now=now)
    if isinstance(answer, LinkTaken):
        raise UserMistake(f"{wanted.noun} {wanted.source_ref} is linked to something else already")


def _target(connection: Connection[Row], entity_code: str) -> str:
    row = connection.execute(
        "SELECT erp_connection_key FROM legal_entity WHERE entity_code = %s", (entity_code,)
    ).fetchone()
    if row is None or row["erp_connection_key"] is None:
        raise UserMistake(f"legal entity {entity_code} has no ERP")
    return str(row["erp_connection_key"])


def _client(connection: Connection[Row], declared: Declaration) -> UUID:
    row = connection.execute(
        "SELECT client_id FROM client_version WHERE name_key = %s AND superseded_at IS NULL",
        (name_key(declared.client_name),),
    ).fetchone()
    if row is None:
        raise TryAgain(f"client {declared.client_name} has not been read from the ERP yet")
    client_id: UUID = row["client_id"]
    return client_id


def _ensure_contract(
    connection: Connection[Row], declared: Declaration, *, client_id: UUID, now: datetime
) -> UUID:
    row = connection.execute(
        """
        INSERT INTO contract (client_id, entity_code, contract_code, recorded_at)
        VALUES (%s, %s, %s, %s)
        ON CONFLICT (contract_code) DO UPDATE SET contract_code = excluded.contract_code
        RETURNING contract_id
        """,
        (client_id, declared.entity_code, declared.contract_code, now),
    ).fetchone()
    assert row is not None
    contract_id: UUID = row["contract_id"]
    upsert(
        connection,
        table=CONTRACT,
        key={"contract_id": contract_id},
        values={
            "name": declared.contract_name,
            "billing_method": declared.billing_method,
            "currency": declared.currency,
            "value_amount": None,
            "cap_amount": None,
            "purchase_order": None,
            "is_purchase_order_required": False,
            "practice": None,
            "tax_treatment": None,
            "rate_card": None,
            "allows_unassigned_time": True,
            "is_active": True,
            "starts_on": declared.starts_on,
            "ends_on": None,
        },
        now=now,
    )
    return contract_id


def _codes(
    connection: Connection[Row], declared: Declaration, target: str
) -> tuple[str, str | None]:
    row = connection.execute(
        "SELECT contract_id, client_id FROM contract WHERE contract_code = %s",
        (declared.contract_code,),
    ).fetchone()
    assert row is not None
    client_code = find_theirs(
        connection, connection_key=target, noun="client", our_id=row["client_id"]
    )
    assert client_code is not None
    return client_code, find_theirs(
        connection, connection_key=target, noun="contract", our_id=row["contract_id"]
    )


def _ensure_project(
    connection: Connection[Row], declared: Declaration, project_ref: str, now: datetime
) -> UUID:
    standing = find_ours(
        connection,
        connection_key=declared.connection_key,
        noun="project",
        source_ref=project_ref,
    )
    if standing is not None:
        return standing
    row = connection.execute(
        """
        INSERT INTO project (contract_id, entity_code, project_code, recorded_at)
        SELECT contract_id, entity_code, %s, %s FROM contract WHERE contract_code = %s
        ON CONFLICT (project_code) DO UPDATE SET project_code = excluded.project_code
        RETURNING project_id
        """,
        (project_ref, now, declared.contract_code),
    ).fetchone()
    assert row is not None
    project_id: UUID = row["project_id"]
    upsert(
        connection,
        table=PROJECT,
        key={"project_id": project_id},
        values={
            "name": project_ref,
            "status": "active",
            "accepts_time": True,
            "starts_on": declared.starts_on,
            "ends_on": None,
        },
        now=now,
    )
    return project_id


def _ensure_tasks(
    connection: Connection[Row],
    declared: Declaration,
    project_ref: str,
    project_id: UUID,
    now: datetime,
) -> Sequence[Row]:
    names = connection.execute(
        """
        SELECT DISTINCT v.task_ref FROM time_entry_version v JOIN time_entry t USING (entry_id)
        WHERE t.connection_key = %s AND v.is_newest AND v.project_ref = %s AND v.task_ref IS NOT NULL
        ORDER BY 1
        """,
        (declared.connection_key, project_ref),
    ).fetchall()
    contract = connection.execute(
        "SELECT contract_id FROM contract WHERE contract_code = %s", (declared.contract_code,)
    ).fetchone()
    assert contract is not None
    for name in names:
        connection.execute(
            """
            INSERT INTO task (project_id, task_name, is_billable, starts_on, recorded_at)
            VALUES (%s, %s, true, %s, %s) ON CONFLICT DO NOTHING
            """,
            (project_id, name["task_ref"], declared.starts_on, now),
        )
        upsert(
            connection,
            table=CONTRACT_LINE,
            key={
                "contract_id": contract["contract_id"],
                "task_name": name["task_ref"],
                "labor_category": "",
                "starts_on": declared.starts_on,
            },
            values={
                "rate_amount": declared.rate_amount,
                "currency": declared.currency,
                "sold_seconds": None,
                "ends_on": None,
            },
            now=now,
        )
    return connection.execute(
        """
        SELECT k.task_id, k.task_name, l.contract_line_id, %s AS project_ref
        FROM task k JOIN project p USING (project_id)
        JOIN contract_line l ON l.contract_id = p.contract_id AND l.task_name = k.task_name
            AND l.superseded_at IS NULL
        WHERE p.project_id = %s ORDER BY k.task_name
        """,
        (project_ref, project_id),
    ).fetchall()

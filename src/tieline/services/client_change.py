"""The client of a running contract changes from a day on: what becomes of our rows, and of the plan's steps.

Hours before the day stay on the first contract and bill its client; from the day on, the same records of the
time tool are the project of the next one. The ERP gets a contract and a project for each client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.canonical import BILLED_BY_SCHEDULE
from tieline.kernel.errors import UserMistake
from tieline.register import (
    ASSIGNMENT,
    CONTRACT,
    CONTRACT_LINE,
    PROJECT,
    Link,
    amend,
    close,
    find_theirs,
    hand_on,
    upsert,
)
from tieline.runtime.database import Row
from tieline.services.novation import Novation, from_day, read_novation, role_of
from tieline.services.provisioning_facts import DealFacts, PricedLine, priced_lines
from tieline.services.provisioning_plan import (
    OF_CLIENT,
    Plan,
    erp_of,
    kind_of,
    steps_of,
    template_of,
    terms_of,
)
from tieline.services.provisioning_register import (
    find_task_id,
    lines_of,
    set_project,
    store_contract,
)
from tieline.validation import mark_reference_change

_NOTHING = Decimal(0)
_OF_TIME = ("time.project", "time.task")
_ASSIGNED_AS = ("labor_category", "approver_id", "deputy_id", "planned_seconds")


def refuse_wrong_day(
    *, facts: DealFacts, row: Row | None, changes: Sequence[str], is_at_risk: bool, on: date
) -> None:
    """Let nobody give a contract to another client that cannot be cut on the day.

    :raises UserMistake: the deal is no running contract of another client, or it cannot be cut there.
    """
    if row is None or row["state"] != "active" or not facts.is_won or is_at_risk:
        raise UserMistake(f"{facts.key} is no running contract: it has no client to be changed")
    if "client" not in changes:
        raise UserMistake(f"{facts.key} has the client in the CRM that it was made for")
    others = [name for name in changes if name != "client"]
    if others:
        raise UserMistake(
            f"{facts.key} differs in more than its client, in {', '.join(others)}:"
            " take that back in the CRM, and agree it as a change order afterwards"
        )
    starts_on, ends_on = facts.deal.starts_on, facts.deal.ends_on
    if starts_on is None or on <= starts_on or (ends_on is not None and on >= ends_on):
        raise UserMistake(
            f"{on.isoformat()} is not within the contract of {facts.key}, after its first day"
        )
    if on > facts.today:
        raise UserMistake(
            f"{on.isoformat()} has not come: what is booked until then is not known, ask on that day"
        )
    if facts.deal.billing_method in BILLED_BY_SCHEDULE:
        raise UserMistake(
            f"{facts.key} is billed by its parts, and nobody can tell whose the rest is:"
            " close it, and hand over another deal"
        )
    if facts.shares:
        raise UserMistake(
            f"{facts.key} is paid by several clients: tell their shares anew from that day on"
            " (`billing-splits`), or close it and hand over another deal"
        )


def novation_of(
    row: Row, *, on: date, seconds: Mapping[str, int], cap_used: Decimal = _NOTHING
) -> Novation:
    """Return the next novation of a plan, after what was booked, and taken of a cap, before the day."""
    plan: Plan = row["plan"]
    last = read_novation(plan.get("novation"))
    number = last.number + 1 if last else 2
    return Novation(
        on=on,
        number=number,
        code=f"{plan['project_code']}/{number}",
        seconds=seconds,
        cap_used=cap_used + (last.cap_used if last else _NOTHING),
    )


def facts_from(facts: DealFacts, novation: Novation) -> DealFacts:
    """Return what of a deal's project is the next client's."""
    deal = from_day(facts.told, novation)
    lines = priced_lines(deal)
    names = facts.names
    return replace(
        facts,
        deal=deal,
        lines=lines,
        novation=novation,
        names=replace(
            names,
            categories=_by_new_parts(names.categories, lines),
            products=_by_new_parts(names.products, lines),
        ),
    )


def _by_new_parts(named: Mapping[str, str], lines: Sequence[PricedLine]) -> dict[str, str]:
    """Return what is called so by the part of a line, by the part that the line has from a later day on."""
    called = {part.rpartition("|")[0]: name for part, name in named.items()}
    roles = {line.part: role_of(line.task_name, line.labor_category) for line in lines}
    return {part: called[role] for part, role in roles.items() if role in called}


def plan_from(row: Row, after: DealFacts) -> Plan:
    """Return a plan whose ERP steps are to be done anew, for the next client."""
    assert after.novation is not None
    assert after.client is not None
    plan: Plan = row["plan"]
    return {
        **plan,
        **terms_of(after),
        **template_of(after),
        **erp_of(after.names),
        "client_id": str(after.client.client_id),
        "client_ref": after.deal.client_ref,
        "version": after.source.version,
        "novation": after.novation.told,
        "steps": [
            *(step for step in steps_of(after) if kind_of(step) in OF_CLIENT),
            *(step for step in plan["steps"] if kind_of(step) not in OF_CLIENT),
        ],
        **{name: _without_erp(plan.get(name, {})) for name in ("done", "refused")},
    }


def _without_erp(notes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: note for name, note in notes.items() if name.partition(":")[0] not in OF_CLIENT}


def hand_to_client(
    connection: Connection[Row],
    *,
    facts: DealFacts,
    row: Row,
    on: date,
    proposed_by: str,
    approved_by: str,
    now: datetime,
) -> None:
    """Cut the contract on the day, and let the next client's part of it be provisioned.

    :raises UserMistake: a contract of another deal has the code already, or nothing is left of the cap.
    """
    booked = _booked_before(connection, contract_id=row["contract_id"], on=on)
    seconds = _by_role(connection, row, booked, on)
    cap_used = _NOTHING
    if facts.deal.cap_amount is not None:
        cap_used = _cleared_before(connection, contract_id=row["contract_id"], on=on)
        if cap_used >= facts.deal.cap_amount:
            raise UserMistake(
                f"hours before {on.isoformat()} take all of the cap of {facts.key}:"
                " agree a higher one as a change order first"
            )
    novation = novation_of(row, on=on, seconds=seconds, cap_used=cap_used)
    after = facts_from(facts, novation)
    plan = plan_from(row, after)
    _refuse_taken(connection, code=plan["novation"]["code"])
    _end_first(connection, facts=facts, after=after, row=row, on=on, booked=booked, now=now)
    contract_id, project_id = store_contract(
        connection,
        plan_row={"plan": plan, "contract_id": None, "project_id": None},
        deal=after.deal,
        now=now,
    )
    set_project(
        connection, project_id=project_id, status="active", accepts_time=True, now=now,
        more={"at_risk_until": None},
    )  # fmt: skip
    done = _handed_on(connection, plan, row=row, project_id=project_id, on=on, now=now)
    _assign(connection, first_id=row["project_id"], next_id=project_id, on=on, now=now)
    _look_again(connection, row=row, on=on, now=now)
    connection.execute(
        "UPDATE provisioning_plan SET contract_id = %s, project_id = %s, plan = %s WHERE plan_id = %s",
        (contract_id, project_id, Jsonb({**plan, "done": done}), row["plan_id"]),
    )
    connection.execute(
        """
        INSERT INTO novation (plan_id, entity_code, client_id, contract_id, project_id, to_client_id, to_project_id,
            begins_on, proposed_by, approved_by, recorded_at)
        SELECT %(plan_id)s, c.entity_code, c.client_id, c.contract_id, %(project_id)s, n.client_id, %(to_project_id)s,
               %(on)s, %(proposed_by)s, %(approved_by)s, %(now)s
        FROM contract c, contract n WHERE c.contract_id = %(contract_id)s AND n.contract_id = %(to_contract_id)s
        """,
        {
            "plan_id": row["plan_id"],
            "contract_id": row["contract_id"],
            "project_id": row["project_id"],
            "to_contract_id": contract_id,
            "to_project_id": project_id,
            "on": on,
            "proposed_by": proposed_by,
            "approved_by": approved_by,
            "now": now,
        },
    )


def end_former(connection: Connection[Row], *, plan_id: UUID, now: datetime) -> None:
    """Close the projects that a plan's contract had with its former clients."""
    rows = connection.execute(
        "SELECT project_id FROM novation WHERE plan_id = %s", (plan_id,)
    ).fetchall()
    for row in rows:
        set_project(
            connection, project_id=row["project_id"], status="closed", accepts_time=False, now=now
        )


def _booked_before(connection: Connection[Row], *, contract_id: UUID, on: date) -> dict[UUID, int]:
    """Return what the books hold of each line of a contract before a day, in seconds."""
    rows = connection.execute(
        """
        SELECT contract_line_id, sum(seconds)::bigint AS seconds FROM ledger_line
        WHERE contract_id = %s AND work_date < %s AND contract_line_id IS NOT NULL GROUP BY 1
        """,
        (contract_id, on),
    ).fetchall()
    return {row["contract_line_id"]: row["seconds"] for row in rows}


def _cleared_before(connection: Connection[Row], *, contract_id: UUID, on: date) -> Decimal:
    """Return what the hours of a contract before a day are worth that nothing holds, posted or not."""
    row = connection.execute(
        """
        SELECT coalesce(sum(v.amount), 0) AS amount FROM verdict v JOIN time_entry t USING (verdict_id)
        WHERE v.contract_id = %s AND v.work_date < %s AND v.is_billable AND v.outcome IN ('cleared', 'correct')
        """,
        (contract_id, on),
    ).fetchone()
    return _NOTHING if row is None else Decimal(row["amount"])


def _by_role(
    connection: Connection[Row], row: Row, booked: Mapping[UUID, int], on: date
) -> dict[str, int]:
    """Return what was booked of the lines that go on, with what was booked of them for clients before."""
    last = read_novation(row["plan"].get("novation"))
    found: dict[str, int] = {}
    for line in lines_of(connection, contract_id=row["contract_id"]):
        role = role_of(line["task_name"], line["labor_category"])
        if line["starts_on"] < on and (line["ends_on"] is None or line["ends_on"] > on):
            is_older = last is not None and line["starts_on"] == last.on
            before = last.seconds.get(role, 0) if last and is_older else 0
            found[role] = before + booked.get(line["contract_line_id"], 0)
    return found


def _refuse_taken(connection: Connection[Row], *, code: str) -> None:
    taken = connection.execute(
        "SELECT 1 AS one FROM project WHERE project_code = %(code)s"
        " UNION SELECT 1 FROM contract WHERE contract_code = %(code)s",
        {"code": code},
    ).fetchone()
    if taken is not None:
        raise UserMistake(f"{code}, as the next client's project would be called, is another one's")


def _end_first(
    connection: Connection[Row],
    *,
    facts: DealFacts,
    after: DealFacts,
    row: Row,
    on: date,
    booked: Mapping[UUID, int],
    now: datetime,
) -> None:
    """Let the first client's contract end on the day, worth what was booked on it."""
    worth, rest = facts.deal.amount, after.deal.amount
    cap, cap_left = facts.deal.cap_amount, after.deal.cap_amount
    values = {
        "ends_on": on,
        "value_amount": worth - rest if worth and rest is not None else worth,
        "cap_amount": None if cap is None or cap_left is None else cap - cap_left,
    }
    upsert(
        connection, table=CONTRACT, key={"contract_id": row["contract_id"]}, values=values, now=now
    )
    upsert(
        connection, table=PROJECT, key={"project_id": row["project_id"]}, values={"ends_on": on},
        now=now,
    )  # fmt: skip
    for line in lines_of(connection, contract_id=row["contract_id"]):
        if line["starts_on"] >= on:
            key = {"contract_line_id": line["contract_line_id"]}
            close(connection, table=CONTRACT_LINE, key=key, now=now)
        elif line["ends_on"] is None or line["ends_on"] > on:
            sold = {"sold_seconds": booked.get(line["contract_line_id"], 0), "ends_on": on}
            amend(
                connection, table=CONTRACT_LINE, own_id=line["contract_line_id"], values=sold,
                now=now,
            )  # fmt: skip


def _handed_on(
    connection: Connection[Row], plan: Plan, *, row: Row, project_id: UUID, on: date, now: datetime
) -> dict[str, Any]:
    """Let what people book on be the next client's from the day; return what is done, as it is linked since."""
    done: dict[str, Any] = dict(plan["done"])
    steps = {step["id"]: step for step in plan["steps"]}
    wanted = {line["task_name"] for line in plan["lines"]}
    wanted |= {task["task_name"] for task in (plan.get("template") or {"tasks": ()})["tasks"]}
    for name, note in plan["done"].items():
        step = steps.get(name)
        if step is None or kind_of(step) not in _OF_TIME or note.get("our_id") is None:
            continue
        if kind_of(step) == "time.task" and step["part"] not in wanted:
            # Its last rate ended before: nothing of it goes on.
            continue
        next_id = (
            project_id
            if kind_of(step) == "time.project"
            else find_task_id(connection, project_id=project_id, task_name=step["part"])
        )
        _hand_on(connection, note, next_id=next_id, row=row, on=on, now=now)
        done[name] = {**note, "our_id": str(next_id)}
    return done


def _hand_on(
    connection: Connection[Row],
    note: Mapping[str, Any],
    *,
    next_id: UUID,
    row: Row,
    on: date,
    now: datetime,
) -> None:
    our_id = UUID(note["our_id"])
    theirs = find_theirs(
        connection, connection_key=note["target"], noun=note["noun"], our_id=our_id
    )
    if theirs is None:
        return
    hand_on(
        connection,
        wanted=Link(
            connection_key=note["target"], noun=note["noun"], source_ref=theirs, our_id=our_id
        ),
        to_id=next_id,
        on=on,
        because=f"plan:{row['plan_id']}",
        now=now,
    )


def _look_again(connection: Connection[Row], *, row: Row, on: date, now: datetime) -> None:
    """Have every hour since the day judged again that the books hold: it is the next client's."""
    rows = connection.execute(
        "SELECT DISTINCT 'entry:' || entry_id AS key FROM ledger_line"
        " WHERE project_id = %s AND work_date >= %s",
        (row["project_id"], on),
    ).fetchall()
    mark_reference_change(
        connection,
        keys=[each["key"] for each in rows],
        because="novation",
        correlation_id=row["correlation_id"],
        now=now,
    )


def _assign(
    connection: Connection[Row], *, first_id: UUID, next_id: UUID, on: date, now: datetime
) -> None:
    """Let everybody who is on the project that day and later go on for the next client."""
    rows = connection.execute(
        """
        SELECT * FROM assignment WHERE project_id = %s AND superseded_at IS NULL
          AND (ends_on IS NULL OR ends_on > %s)
        """,
        (first_id, on),
    ).fetchall()
    for row in rows:
        key = {
            "person_id": row["person_id"],
            "project_id": next_id,
            "starts_on": max(row["starts_on"], on),
        }
        values = {name: row[name] for name in (*_ASSIGNED_AS, "ends_on")}
        upsert(connection, table=ASSIGNMENT, key=key, values=values, now=now)

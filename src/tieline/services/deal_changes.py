"""What a change of a deal makes of the project that stands: its lines, its last day, and what is done by hand.

A line is the same while task, labor category, first day, rate and markup are: the CRM's number of it says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.register import CONTRACT_LINE, PROJECT, amend, close, upsert
from tieline.runtime.database import Row
from tieline.services.provisioning_commands import day_of, rows_of_lines
from tieline.services.provisioning_facts import DealFacts
from tieline.services.provisioning_plan import Plan, Step, kind_of, steps_of, wanted_of
from tieline.services.provisioning_register import lines_of, store_tasks, store_value

# What a change order may change from here; the rest is another contract, or is done by hand.
CARRIED_OUT = frozenset({"amount", "cap_amount", "rate_card", "starts_on", "ends_on", "lines"})
_ANOTHER = "It is another contract: close this project, and hand over another deal."
BY_HAND: Mapping[str, str] = {
    "entity_code": "Its hours are in the books of the first legal entity. " + _ANOTHER,
    "client": "Say from which day: tieline provision DEAL --plan --client-from DAY."
    " Hours until then stay with the first client.",
    "currency": _ANOTHER,
    "billing_method": _ANOTHER,
    "project_code": "People book on the agreed code: take the change back in the CRM.",
}
_TASKS = ("erp.task", "time.task")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedLine:
    """One line of the contract that is otherwise from now on; ``values`` are those that change.

    ``moved_to`` is what it is called afterwards: by another first day, it is another name.
    """

    part: str
    moved_to: str
    contract_line_id: UUID
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChanges:
    """What lines become: new ones, changed or ended ones, such as never began, and what nobody can tell."""

    added: tuple[Row, ...] = ()
    changed: tuple[ChangedLine, ...] = ()
    dropped: tuple[ChangedLine, ...] = ()
    troubles: tuple[str, ...] = ()


def draw_lines(connection: Connection[Row], *, facts: DealFacts, row: Row) -> LineChanges:
    """Compare the lines of a deal with those that its contract has."""
    agreed_on, starts_on = day_of(row["plan"]["starts_on"]), facts.deal.starts_on
    return compare_lines(
        standing=lines_of(connection, contract_id=row["contract_id"]),
        wanted=rows_of_lines(wanted_of(facts)),
        moved=(agreed_on, starts_on) if agreed_on and starts_on else None,
        # From the day on which the CRM says so: it stays the same however long people think about it.
        on_day=(facts.source.source_at or facts.source.recorded_at).date(),
    )


def compare_lines(
    *,
    standing: Sequence[Row],
    wanted: Sequence[Row],
    moved: tuple[date, date] | None,
    on_day: date,
) -> LineChanges:
    """Say what lines become; one that is not wanted any more ends on the day.

    ``moved`` is the first day of the contract as it was agreed, and as it is now: lines that begin with the
    contract move with it.
    """
    told = {part_of(row): row for row in wanted}
    held = {_now_called(row, told, moved): row for row in standing}
    gone = [row for part, row in held.items() if part not in told]
    leaving = [row for row in gone if row["ends_on"] is None or row["ends_on"] > on_day]
    ended = [row for row in leaving if row["starts_on"] < on_day]
    changed = [_changed(held[part], row) for part, row in told.items() if part in held]
    return LineChanges(
        added=tuple(row for part, row in told.items() if part not in held),
        changed=(
            *(_line(row, {"ends_on": on_day}) for row in ended),
            *(each for each in changed if each.values),
        ),
        dropped=tuple(_line(row, {}) for row in leaving if row["starts_on"] >= on_day),
        troubles=(
            *(
                f"{part}: another rate has a day from which it holds: add a line with it"
                for part, row in told.items()
                if part in held and _price(held[part]) != _price(row)
            ),
            *(
                f"{part}: begins before the line ends that it replaces"
                for part, row in told.items()
                if any(_overlap(row, each) for each in _remaining(gone, leaving, on_day))
            ),
        ),
    )


def renamed(plan: Plan, lines: LineChanges) -> Plan:
    """Return a plan whose steps are called as the lines are that moved."""
    names = {f"erp.task:{each.part}": f"erp.task:{each.moved_to}" for each in lines.changed}
    parts = {each.part: each.moved_to for each in lines.changed}
    return {
        **plan,
        "steps": [
            {**step, "id": names[step["id"]], "part": parts[step["part"]]}
            if step["id"] in names
            else step
            for step in plan["steps"]
        ],
        "done": {names.get(name, name): done for name, done in plan.get("done", {}).items()},
    }


def reopening_troubles(
    connection: Connection[Row], *, facts: DealFacts, row: Row | None
) -> tuple[str, ...]:
    """Say what of a deal that was won again does not fit the contract whose project it would open again."""
    if row is None or not row["plan"].get("closings"):
        return ()
    contract = connection.execute(
        """
        SELECT c.client_id::text AS client_id, c.entity_code, v.currency, v.billing_method, v.starts_on
        FROM contract c JOIN contract_version v USING (contract_id)
        WHERE c.contract_id = %s AND v.superseded_at IS NULL
        """,
        (row["contract_id"],),
    ).fetchone()
    assert contract is not None
    names = ("entity_code", "currency", "billing_method", "starts_on")
    lines = compare_lines(
        standing=lines_of(connection, contract_id=row["contract_id"]),
        wanted=rows_of_lines(wanted_of(facts)),
        moved=None,
        on_day=facts.today,
    )
    return (
        *(name for name in names if contract[name] != getattr(facts.deal, name)),
        *(("client",) if is_of_another_client(facts, contract["client_id"]) else ()),
        *lines.troubles,
    )


def is_of_another_client(facts: DealFacts, agreed_id: str | None) -> bool:
    """Say whether a deal is surely another client's now; one that was merged is the same."""
    client = facts.client
    return (
        client is not None
        and agreed_id is not None
        and agreed_id != str(client.client_id)
        and agreed_id not in client.merged_ids
    )


def new_steps(facts: DealFacts, plan: Plan) -> list[Step]:
    """Return the tasks that systems get for lines that a plan has not yet."""
    names = {step["id"] for step in plan["steps"]}
    targets = {step["target"] for step in plan["steps"]}
    return [
        step
        for step in steps_of(facts)
        if kind_of(step) in _TASKS and step["id"] not in names and step["target"] in targets
    ]


def left_tasks(facts: DealFacts, plan: Plan) -> list[Step]:
    """Return the steps of a plan whose tasks no line of the deal has any more."""
    wanted = {step["id"] for step in steps_of(facts)}
    done = plan.get("done", {})
    return [
        step
        for step in plan["steps"]
        if kind_of(step) == "time.task" and step["id"] in done and step["id"] not in wanted
    ]


def store_change(
    connection: Connection[Row],
    *,
    facts: DealFacts,
    row: Row,
    lines: LineChanges,
    plan: Plan,
    now: datetime,
) -> None:
    """Write down what a change order agrees to: the contract, its lines, tasks and days."""
    contract_id: UUID = row["contract_id"]
    store_value(connection, contract_id=contract_id, deal=facts.deal, now=now)
    for each in lines.dropped:
        key = {"contract_line_id": each.contract_line_id}
        close(connection, table=CONTRACT_LINE, key=key, now=now)
    for each in lines.changed:
        amend(
            connection, table=CONTRACT_LINE, own_id=each.contract_line_id, values=each.values, now=now
        )  # fmt: skip
    for line in lines.added:
        key = {name: line[name] for name in ("task_name", "labor_category", "starts_on")}
        values = {name: value for name, value in line.items() if name not in key}
        upsert(
            connection, table=CONTRACT_LINE, key={"contract_id": contract_id, **key},
            values=values, now=now,
        )  # fmt: skip
    upsert(
        connection, table=PROJECT, key={"project_id": row["project_id"]},
        values={"starts_on": facts.deal.starts_on, "ends_on": facts.deal.ends_on}, now=now,
    )  # fmt: skip
    store_tasks(connection, row["project_id"], plan, now)


def part_of(line: Mapping[str, Any]) -> str:
    """Return what a plan calls a line: task, labor category, first day."""
    return f"{line['task_name']}|{line['labor_category']}|{line['starts_on'].isoformat()}"


def _now_called(row: Row, told: Mapping[str, Row], moved: tuple[date, date] | None) -> str:
    """Return what a standing line is called now: one that began with the contract still does."""
    part = part_of(row)
    if part in told or moved is None or row["starts_on"] != moved[0]:
        return part
    shifted = part_of({**row, "starts_on": moved[1]})
    return shifted if shifted in told else part


def _remaining(gone: Sequence[Row], leaving: Sequence[Row], on_day: date) -> list[Row]:
    """Return what stays of lines that are not wanted any more."""
    ids = {row["contract_line_id"] for row in leaving}
    kept = [{**row, "ends_on": on_day} if row["contract_line_id"] in ids else row for row in gone]
    return [row for row in kept if row["starts_on"] < row["ends_on"]]


def _changed(standing: Row, wanted: Row) -> ChangedLine:
    names = ("sold_seconds", "starts_on", "ends_on")
    return _line(standing, {name: wanted[name] for name in names if standing[name] != wanted[name]})


def _line(row: Row, values: Mapping[str, Any]) -> ChangedLine:
    return ChangedLine(
        part=part_of(row),
        moved_to=part_of({**row, **values}),
        contract_line_id=row["contract_line_id"],
        values=values,
    )


def _price(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["rate_amount"], line["currency"], line["markup_percent"]


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    names = ("task_name", "labor_category")
    return (
        all(one[name] == other[name] for name in names)
        and one["starts_on"] < (other["ends_on"] or date.max)
        and other["starts_on"] < (one["ends_on"] or date.max)
    )

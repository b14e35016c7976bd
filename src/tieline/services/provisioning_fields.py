"""What each system would receive of a plan, field by field, before anything is sent.

The commands are those of the run itself; a code that only an earlier step of the plan will bring is
shown as waiting for that step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from psycopg import Connection

from tieline.canonical import Command, Opportunity
from tieline.canonical.commands import ContractLine
from tieline.register import CLIENT, find_current, find_theirs
from tieline.runtime.database import Row
from tieline.services import provisioning_commands as commands
from tieline.services.provisioning_facts import DealFacts
from tieline.services.provisioning_plan import ACTIVATE, Plan, Step, kind_of
from tieline.services.provisioning_steps import find_home_record, find_lent

_NO_KEY = UUID(int=0)
_DEAL, _REGISTER = "deal", "register"
_OF_CLIENT = ("name", "vat_number", "street", "postal_code", "city", "country_code")
# Where the fields of a command come from that are not the deal's own.
_COMES_FROM: Mapping[tuple[str, str], str] = {
    **{("client", name): _REGISTER for name in _OF_CLIENT},
    ("employee", "employee_code"): "staffing",
    ("employee", "starts_on"): "staffing",
    ("employee", "ends_on"): "staffing",
    ("task", "budget_hours"): "template",
}
_CODES = frozenset(
    {"client_code", "parent_code", "contract_code", "project_code", "person_code", "party_code"}
)
_TASK_OF_LINE = frozenset({"name", "labor_category", "rate_amount", "product_code"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value that a system would receive; ``waits_for`` names the step or fact that is missing."""

    name: str
    value: str | None
    comes_from: str
    waits_for: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What one step does in one system: create, link what stands, or nothing because it is done."""

    step: str
    target: str | None
    noun: str
    part: str
    action: str
    target_code: str | None
    fields: tuple[Field, ...]


class _NotYet(str):
    """Stand for a value that only an earlier step, or a person, will bring."""

    __slots__ = ()


def writes_of(
    connection: Connection[Row], *, facts: DealFacts, plan: Plan, row: Row | None
) -> tuple[Write, ...]:
    """Return what every step of a plan would send, in order; ``row`` is the plan as it is stored."""
    shown = _Shown(
        connection=connection,
        facts=facts,
        plan=plan,
        row=row,
        agreed=_agreed(plan, facts.deal),
        lines=commands.rows_of_lines(plan),
    )
    return tuple(shown.write(step) for step in plan["steps"])


def writes_of_template(plan: Plan) -> tuple[Write, ...]:
    """Show by which template a project is made: its tasks by phase, and what each may take."""
    told = plan.get("template")
    if told is None:
        return ()
    return (
        Write(
            step="template",
            target=None,
            noun="template",
            part=told["code"],
            action="template",
            target_code=None,
            fields=tuple(
                Field(
                    name=each["task_name"],
                    value=_task_words(each),
                    comes_from=each["phase"] or "no phase",
                    waits_for=None,
                )
                for each in told["tasks"]
            ),
        ),
    )


def writes_of_markups(plan: Plan) -> tuple[Write, ...]:
    """Show of a cost-plus contract by how much each of its lines is more than what a person costs."""
    told = [
        Field(
            name=commands.part_of_line(row),
            value=f"cost plus {format(row['markup_percent'].normalize(), 'f')} %",
            comes_from="deal line",
            waits_for=None,
        )
        for row in commands.rows_of_lines(plan)
        if row["markup_percent"] is not None
    ]
    if not told:
        return ()
    return (
        Write(
            step="markup",
            target=None,
            noun="contract_line",
            part="",
            action="markup",
            target_code=None,
            fields=tuple(told),
        ),
    )


def writes_of_shares(connection: Connection[Row], plan: Plan) -> tuple[Write, ...]:
    """Show who pays what of a contract that is split, and from which day on."""
    told = plan.get("shares", ())
    if not told:
        return ()
    return (
        Write(
            step="shares",
            target=None,
            noun="contract",
            part="",
            action="shares",
            target_code=None,
            fields=tuple(_share(connection, each) for each in told),
        ),
    )


def _share(connection: Connection[Row], share: Mapping[str, Any]) -> Field:
    client = find_current(connection, table=CLIENT, key={"client_id": UUID(share["client_id"])})
    rounding = ", takes what rounding leaves" if share["takes_rounding"] else ""
    until = f" until {share['ends_on']}" if share["ends_on"] else ""
    return Field(
        name=client["name"] if client else share["client_id"],
        value=f"{share['percent']} % from {share['starts_on']}{until}{rounding}",
        comes_from="billing-splits",
        waits_for=None,
    )


def _task_words(task: Mapping[str, Any]) -> str:
    budget = task["budget_hours"]
    sold = "sold" if task["is_sold"] else "nobody pays for it"
    return f"{budget} h, {sold}" if budget is not None else sold


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    connection: Connection[Row]
    facts: DealFacts
    plan: Plan
    row: Row | None
    agreed: commands.Agreed
    lines: Sequence[Row]

    def write(self, step: Step) -> Write:
        done = ((self.row or {}).get("plan") or {}).get("done", {})
        if step["id"] in done:
            return _write(step, "done", target_code=done[step["id"]]["target_code"])
        if step["id"] == ACTIVATE:
            told = {"status": "active", "accepts_time": "true"}
            return _write(step, "activate", told=[_field(step, *pair) for pair in told.items()])
        standing = self._standing(step)
        if standing is not None:
            return _write(step, "link", target_code=standing)
        command = self._command(step)
        action = "report" if step["noun"] == "status" else "create"
        return _write(step, action, told=[_field(step, *pair) for pair in _values(command)])

    def _standing(self, step: Step) -> str | None:
        """Return the code of what the target has already, by somebody else's step."""
        match step["noun"]:
            case "client" if step.get("client_id") or self.plan["client_id"]:
                client_id = step.get("client_id") or self.plan["client_id"]
                return self._theirs(step, "client", client_id)
            case "employee":
                return find_theirs(
                    self.connection,
                    connection_key=step["target"],
                    noun="employee",
                    our_id=UUID(step["person_id"]),
                    scope=self.plan["entity_code"],
                )
            case _:
                return None

    def _command(self, step: Step) -> Command:
        agreed, lines = self.agreed, self.lines
        match kind_of(step):
            case "erp.client" | "time.client":
                client = self._client(step.get("client_id") or self.plan["client_id"])
                parent = client.get("parent_client_id")
                return commands.client_command(
                    key=_NO_KEY, agreed=agreed, client=client,
                    parent_code=None if parent is None else self._theirs(step, "client", parent),
                )  # fmt: skip
            case "erp.contract":
                return commands.contract_command(
                    key=_NO_KEY, agreed=agreed, client_code=self._code(step, "client"),
                    lines=lines, plan=self.plan,
                )  # fmt: skip
            case "erp.project" | "time.project":
                is_erp = step["system"] == "erp"
                return commands.project_command(
                    key=_NO_KEY, agreed=agreed, client_code=self._code(step, "client"),
                    contract_code=self._code(step, "contract") if is_erp else None,
                    **commands.of_project(self.plan, is_erp=is_erp),
                )  # fmt: skip
            case "erp.task":
                line = next(each for each in lines if commands.part_of_line(each) == step["part"])
                return commands.erp_task_command(
                    key=_NO_KEY, agreed=agreed, project_code=self._code(step, "project"),
                    line=line, lines=lines, plan=self.plan,
                )  # fmt: skip
            case "time.task":
                return commands.time_task_command(
                    key=_NO_KEY, agreed=agreed, project_code=self._code(step, "project"),
                    task_name=step["part"], lines=lines,
                )  # fmt: skip
            case "erp.employee":
                home = find_home_record(self.connection, step=step) or {}
                return commands.employee_command(
                    key=_NO_KEY, entity_code=agreed.entity_code,
                    party_code=home.get("party_code") or _NotYet(_REGISTER),
                    lent=find_lent(self.connection, step=step, entity_code=agreed.entity_code),
                )  # fmt: skip
            case "time.assignment":
                person = self._theirs(step, "person", step["person_id"])
                return commands.assignment_command(
                    key=_NO_KEY, entity_code=agreed.entity_code,
                    project_code=self._code(step, "project"), person_code=person or _NotYet(_REGISTER),
                )  # fmt: skip
            case "crm.status":
                return commands.status_command(
                    key=_NO_KEY, entity_code=agreed.entity_code, deal_ref=self.facts.source.source_ref,
                    project_code=agreed.project_code, part=step["part"],
                )  # fmt: skip
            case kind:
                raise LookupError(f"no plan has a step {kind}")

    def _client(self, client_id: str | None) -> Row:
        if client_id is not None:
            key = {"client_id": UUID(client_id)}
            client = find_current(self.connection, table=CLIENT, key=key)
            if client is not None:
                return client
        return dict.fromkeys(_OF_CLIENT, _NotYet(_REGISTER))

    def _code(self, step: Step, noun: str) -> str:
        """Return how the step's system calls what the step stands on, or that it will be made first."""
        our_id = self.plan["client_id"] if noun == "client" else (self.row or {}).get(f"{noun}_id")
        standing = None if our_id is None else self._theirs(step, noun, our_id)
        return standing or _NotYet(f"{step['system']}.{noun}")

    def _theirs(self, step: Step, noun: str, our_id: Any) -> str | None:
        return find_theirs(
            self.connection, connection_key=step["target"], noun=noun, our_id=UUID(str(our_id))
        )


def _agreed(plan: Plan, deal: Opportunity) -> commands.Agreed:
    """Return what was agreed; what nobody has said yet waits for the deal."""
    names = ("entity_code", "currency", "billing_method", "project_code", "starts_on")
    if all(plan[name] for name in names):
        return commands.agreed_of(plan, deal)
    missing: Any = _NotYet(_DEAL)
    return commands.Agreed(
        entity_code=plan["entity_code"] or missing,
        name=deal.name,
        currency=plan["currency"] or missing,
        billing_method=plan["billing_method"] or missing,
        project_code=plan["project_code"] or missing,
        signed_on=deal.closed_on or deal.starts_on or missing,
        purchase_order=deal.purchase_order,
        is_split=commands.is_split(plan),
        starts_on=deal.starts_on or missing,
        ends_on=deal.ends_on,
    )


def _values(command: Command) -> Iterator[tuple[str, Any]]:
    for each in fields(cast(Any, command)):
        value = getattr(command, each.name)
        match value:
            case UUID():
                continue
            case Mapping():
                yield from value.items()
            case tuple():
                yield from _values_of_lines(value)
            case _:
                yield each.name, value


def _values_of_lines(lines: tuple[ContractLine, ...]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(lines, start=1):
        for each in fields(line):
            yield f"lines.{number}.{each.name}", getattr(line, each.name)


def _write(
    step: Step, action: str, *, target_code: str | None = None, told: list[Field] | None = None
) -> Write:
    return Write(
        step=step["id"],
        target=step["target"],
        noun=step["noun"],
        part=step["part"],
        action=action,
        target_code=target_code,
        fields=tuple(told or ()),
    )


def _field(step: Step, name: str, value: Any) -> Field:
    waits_for = str(value) if isinstance(value, _NotYet) else None
    return Field(
        name=name,
        value=None if waits_for else _as_text(value),
        comes_from=_origin(step, name),
        waits_for=waits_for,
    )


def _origin(step: Step, name: str) -> str:
    if step["id"] == ACTIVATE:
        return "plan"
    if name in _CODES:
        return "links"
    if name.startswith("lines.") or (step["noun"] == "task" and name in _TASK_OF_LINE):
        return "deal line"
    return _COMES_FROM.get((step["noun"], name), _DEAL)


def _as_text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case Decimal():
            return format(value.normalize(), "f")
        case date():
            return value.isoformat()
        case _:
            return str(value)

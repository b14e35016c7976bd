"""What each system will get of a won deal, as plain JSON: ids, codes and numbers, no names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from tieline.services.deal_codes import ErpNames
from tieline.services.provisioning_checks import Blocker, Judged
from tieline.services.provisioning_commands import part_of_line, rows_of_template
from tieline.services.provisioning_facts import DealFacts, Payer, PricedLine, Staffed

ERP, TIME, CRM, OURS = "erp", "time", "crm", "ours"
ACTIVATE, AT_RISK = "activate", "at_risk"
CRM_STATUS = "crm.status"
EMPLOYEE, ASSIGNMENT = "erp.employee", "time.assignment"
TIME_PROJECT = "time.project"
PEOPLE_STEPS = (EMPLOYEE, ASSIGNMENT)
# What the ERP holds of a client's contract, each standing on those before it.
OF_CLIENT = ("erp.client", "erp.contract", "erp.project", "erp.task")

Plan = dict[str, Any]
Step = dict[str, Any]


def build_plan(facts: DealFacts, judged: Judged) -> Plan:
    """Return the plan of a deal; a blocked one lists the steps as far as they can be known."""
    plan: Plan = {
        "client_id": None if facts.client is None else str(facts.client.client_id),
        "client_ref": facts.deal.client_ref,
        **terms_of(facts),
        **facts.group.told,
        **template_of(facts),
        **shares_of(facts),
        **({"novation": facts.novation.told} if facts.novation else {}),
        **erp_of(facts.names),
        "version": facts.source.version,
        "steps": steps_of(facts),
        "warnings": [as_row(found) for found in judged.warnings],
        "not_checked": list(judged.not_checked),
    }
    plan["inputs"] = _fingerprint(plan, [as_row(found) for found in judged.blockers])
    return plan


def at_risk_plan(plan: Plan) -> Plan:
    """Return a plan that tells the CRM of a project at risk."""
    steps = [
        {**step, "part": AT_RISK} if step["id"] == CRM_STATUS else step for step in plan["steps"]
    ]
    return {**plan, "steps": steps}


def terms_of(facts: DealFacts) -> Plan:
    """Return what was agreed with the client: what of it changes later is a change order."""
    deal = facts.deal
    return {
        "entity_code": deal.entity_code,
        "currency": deal.currency,
        "billing_method": deal.billing_method,
        "project_code": deal.project_code,
        "amount": None if deal.amount is None else format(deal.amount, "f"),
        "rate_card": deal.rate_card,
        "cap_amount": None if deal.cap_amount is None else format(deal.cap_amount, "f"),
        "starts_on": _day(deal.starts_on),
        "ends_on": _day(deal.ends_on),
        "lines": [_line(line) for line in facts.lines],
    }


def template_of(facts: DealFacts) -> Plan:
    """Return what a plan keeps of the template that its project is made by; nothing without one."""
    if facts.template is None:
        return {}
    return {"template": facts.template.told(sold={line.task_name for line in facts.lines})}


def shares_of(facts: DealFacts) -> Plan:
    """Return what a plan keeps of who pays what; nothing where one client pays."""
    if not facts.shares:
        return {}
    return {
        "shares": [
            {
                "client_id": str(share.client_id),
                "percent": format(share.percent, "f"),
                "takes_rounding": share.takes_rounding,
                "starts_on": share.starts_on.isoformat(),
                "ends_on": _day(share.ends_on),
            }
            for share in facts.shares
        ]
    }


def erp_of(names: ErpNames) -> Plan:
    """Return what a plan keeps of what its ERP calls things."""
    return {
        "erp_categories": dict(names.categories),
        **({"erp_products": dict(names.products)} if names.products else {}),
        **{f"erp_{kind}": code for kind, code in names.codes.items()},
    }


def wanted_of(facts: DealFacts) -> Plan:
    """Return what a contract's lines come of: what was agreed, and what its template adds."""
    return {**terms_of(facts), **template_of(facts)}


def with_terms(plan: Plan, facts: DealFacts, names: Collection[str]) -> Plan:
    """Return a plan that follows its deal in these terms, with what the ERP calls its lines."""
    terms = {name: value for name, value in terms_of(facts).items() if name in names}
    products = {**plan.get("erp_products", {}), **facts.names.products}
    return {
        **plan,
        **terms,
        **template_of(facts),
        "erp_categories": {**plan["erp_categories"], **facts.names.categories},
        **({"erp_products": products} if products else {}),
    }


def agreed_amount(plan: Mapping[str, Any]) -> Decimal | None:
    """Return what a plan's whole deal is worth, as far as anybody said."""
    told = (plan.get("grouping") or {"deal_amount": plan.get("amount")})["deal_amount"]
    return None if told is None else Decimal(told)


def steps_of(facts: DealFacts) -> list[Step]:
    """Return every step in order: all of the ERP is read back before the time tool hears of it."""
    erp = facts.entity.erp_connection_key if facts.entity else None
    time_tool = facts.time_connections[0][0] if len(facts.time_connections) == 1 else None
    steps: list[Step] = []
    if erp is not None:
        steps.append(_step(ERP, erp, "client"))
        steps += [_payer(erp, one) for one in facts.payers]
        steps += [_step(ERP, erp, noun) for noun in ("contract", "project")]
        steps += [_step(ERP, erp, "task", part=line.part) for line in facts.lines]
        steps += [
            _step(ERP, erp, "task", part=part_of_line(row))
            for row in rows_of_template(wanted_of(facts))
        ]
        steps += [_employee(erp, one) for one in facts.staff if _is_lent(one)]
    if time_tool is not None:
        steps += [_step(TIME, time_tool, noun) for noun in ("client", "project")]
        names = dict.fromkeys(line.task_name for line in facts.lines)
        names |= dict.fromkeys(row["task_name"] for row in rows_of_template(wanted_of(facts)))
        steps += [_step(TIME, time_tool, "task", part=name) for name in names]
        steps += [_assignment(time_tool, one) for one in facts.staff if _may_book(one)]
    steps.append({"id": ACTIVATE, "system": OURS, "target": None, "noun": "project", "part": ""})
    steps.append(_step(CRM, facts.source.connection_key, "status", part="active"))
    return _distinct(steps)


def people_steps(facts: DealFacts, one: Staffed) -> list[Step]:
    """Return what one assigned person needs, the employee record first."""
    alone = replace(facts, staff=(one,))
    return [step for step in steps_of(alone) if kind_of(step) in PEOPLE_STEPS]


def open_steps(plan: Plan, *, refused: Collection[str]) -> list[Step]:
    """Return what an active plan still has to do, given the keys of the writes that stand refused.

    What was refused waits for a person; nobody is assigned before their employee record stands.
    """
    done = plan.get("done", {})
    standing_refusals = {
        step_id
        for step_id, note in plan.get("refused", {}).items()
        if note["business_key"] in refused
    }
    without_record = {
        step["person_id"]
        for step in plan.get("steps", [])
        if kind_of(step) == EMPLOYEE and step["id"] not in done
    }
    return [
        step
        for step in plan.get("steps", [])
        if (step["id"] not in done or is_leaving(step))
        and step["id"] not in standing_refusals
        and not (kind_of(step) == ASSIGNMENT and step["person_id"] in without_record)
        and not _lacks_ground(step, plan)
    ]


def _lacks_ground(step: Step, plan: Plan) -> bool:
    """Say whether what an ERP's record stands on is refused there, as far as the plan makes it itself."""
    kind = kind_of(step)
    if kind not in OF_CLIENT:
        return False
    before = OF_CLIENT[: OF_CLIENT.index(kind)]
    done, refused = plan.get("done", {}), plan.get("refused", {})
    return any(name in refused and name not in done for name in before)


def closing_steps(plan: Plan) -> list[str]:
    """Return what closing a project takes back, in order: who is booked, then what is booked on."""
    done = plan.get("done", {})
    kinds = (ASSIGNMENT, TIME_PROJECT)
    found = [name for name in done if name.partition(":")[0] in kinds]
    return sorted(found, key=lambda name: (kinds.index(name.partition(":")[0]), name))


def closed_step(row: Mapping[str, Any]) -> Step:
    """Return the step that tells the CRM, once for each time that a project is closed."""
    number = int(row["plan"].get("closings", 0))
    part = f"closed:{number}" if number else "closed"
    return {**_step(CRM, row["connection_key"], "status", part=part), "id": f"{CRM_STATUS}.{part}"}


def is_leaving(step: Mapping[str, Any]) -> bool:
    """Say whether the step is to be taken back, because the person was taken off the project."""
    return bool(step.get("is_leaving"))


def as_row(blocker: Blocker) -> dict[str, Any]:
    """Return a blocker as JSON."""
    row = asdict(blocker)
    row.pop("opens_case")
    row["things"] = list(blocker.things)
    return row


def kind_of(step: Mapping[str, Any]) -> str:
    """Return the step's kind, such as ``erp.task``."""
    return str(step["id"]).partition(":")[0]


def _step(system: str, target: str, noun: str, *, part: str = "") -> Step:
    kind = f"{system}.{noun}"
    return {
        "id": f"{kind}:{part}" if part and noun != "status" else kind,
        "system": system,
        "target": target,
        "noun": noun,
        "part": part,
    }


def payer_step(client_id: UUID) -> str:
    """Return what the step is called that makes a client who pays a share."""
    return f"erp.client:{client_id}"


def _payer(erp: str, one: Payer) -> Step:
    return {
        **_step(ERP, erp, "client", part=str(one.client_id)),
        "id": payer_step(one.client_id),
        "client_id": str(one.client_id),
        "client_ref": one.client_ref,
    }


def _employee(erp: str, one: Staffed) -> Step:
    step = _step(ERP, erp, "employee", part=one.part)
    return {
        **step,
        "person_id": str(one.person_id),
        "home_entity_code": one.home_entity_code,
        "starts_on": _day(one.starts_on),
        "ends_on": _day(one.ends_on),
    }


def _assignment(time_tool: str, one: Staffed) -> Step:
    return {**_step(TIME, time_tool, "assignment", part=one.part), "person_id": str(one.person_id)}


def _is_lent(one: Staffed) -> bool:
    return one.is_agreed and not one.has_record_here and one.home_record_ref is not None


def _may_book(one: Staffed) -> bool:
    return one.person_id is not None and one.is_time_user


def _distinct(steps: list[Step]) -> list[Step]:
    # One person may be assigned twice, with different dates or categories.
    return list({step["id"]: step for step in steps}.values())


def _line(line: PricedLine) -> dict[str, Any]:
    return {
        "task_name": line.task_name,
        "labor_category": line.labor_category,
        "hours": format(line.hours, "f"),
        "rate_amount": format(line.rate_amount, "f"),
        **_markup(line),
        "starts_on": line.starts_on.isoformat(),
        "ends_on": _day(line.ends_on),
    }


def _markup(line: PricedLine) -> dict[str, str]:
    return (
        {} if line.markup_percent is None else {"markup_percent": format(line.markup_percent, "f")}
    )


def _fingerprint(plan: Mapping[str, Any], blockers: list[dict[str, Any]]) -> str:
    text = json.dumps([plan, blockers], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _day(day: Any) -> str | None:
    return None if day is None else day.isoformat()

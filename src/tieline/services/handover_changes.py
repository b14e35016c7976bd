"""What a plan shows of a project that stands already: what changes, what is taken back, what is done by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from psycopg import Connection

from tieline.kernel.wording import hours
from tieline.runtime.database import Row
from tieline.services.client_change import plan_from
from tieline.services.deal_changes import BY_HAND, LineChanges, left_tasks, part_of
from tieline.services.provisioning_facts import DealFacts
from tieline.services.provisioning_fields import Field, Write, writes_of
from tieline.services.provisioning_plan import OF_CLIENT, Plan, kind_of, terms_of
from tieline.services.unbilled import Unbilled

_CHANGE, _HAND = "change", "by_hand"
_BOOKED = "what is booked until then"


def writes_of_lines(lines: LineChanges) -> list[Write]:
    """Show what becomes of the contract's lines."""
    told: list[tuple[str, str, Mapping[str, str | None]]] = [
        *(
            (part_of(each), _CHANGE, {"rate_amount": str(each["rate_amount"]), **_markup_words(each),
             **_line_words({name: each[name] for name in ("sold_seconds", "ends_on")})})
            for each in lines.added
        ),
        *((each.part, _CHANGE, _line_words(each.values)) for each in lines.changed),
        *((each.part, "take_back", {}) for each in lines.dropped),
    ]  # fmt: skip
    return [
        Write(
            step=f"line:{part}",
            target=None,
            noun="contract_line",
            part=part,
            action=action,
            target_code=None,
            fields=fields_of(values),
        )
        for part, action, values in told
    ]


def _markup_words(line: Row) -> dict[str, str]:
    percent = line["markup_percent"]
    return {} if percent is None else {"markup_percent": str(percent)}


def _line_words(values: Mapping[str, Any]) -> dict[str, str | None]:
    words: dict[str, str | None] = {}
    for name, value in values.items():
        if name == "sold_seconds":
            words["hours"] = None if value is None else hours(value)
        else:
            words[name] = None if value is None else str(value)
    return words


def writes_elsewhere(facts: DealFacts, plan: Plan, changes: Collection[str]) -> list[Write]:
    """Name what other systems keep of a change and take from nobody but a person."""
    done = plan.get("done", {})
    terms = terms_of(facts)
    stale: list[tuple[str, Mapping[str, str | None]]] = []
    if {"lines", "amount"} & set(changes):
        stale.append(("erp.contract", {"amount": terms["amount"]}))
    days = {name: terms[name] for name in ("starts_on", "ends_on") if name in changes}
    if days:
        stale += [(name, days) for name in ("erp.project", "time.project")]
    stale += [(step["id"], {"is_active": "false"}) for step in left_tasks(facts, plan)]
    steps = {step["id"]: step for step in plan["steps"]}
    return [
        Write(
            step=name,
            target=steps[name]["target"],
            noun=steps[name]["noun"],
            part=steps[name]["part"],
            action=_HAND,
            target_code=done[name]["target_code"],
            fields=fields_of(values),
        )
        for name, values in stale
        if name in steps and name in done
    ]


def writes_by_hand(
    facts: DealFacts, row: Row | None, changes: Collection[str], lines: LineChanges | None
) -> list[Write]:
    """Say of what a change order cannot carry out how it is settled."""
    if row is None or lines is None:
        return []
    now_said = {**terms_of(facts), "client": facts.client and str(facts.client.client_id)}
    agreed = {**row["plan"], "client": row["plan"].get("client_id")}
    told: dict[str, Mapping[str, str | None]] = {
        name: {"agreed": agreed[name], "deal": now_said[name], "how": BY_HAND[name]}
        for name in changes
        if name in BY_HAND
    }
    if lines.troubles:
        told["lines"] = {str(n): each for n, each in enumerate(lines.troubles, start=1)}
    return [
        Write(
            step=f"change:{name}",
            target=None,
            noun="contract",
            part=name,
            action=_HAND,
            target_code=None,
            fields=fields_of(values),
        )
        for name, values in told.items()
    ]


def writes_of_novation(connection: Connection[Row], *, facts: DealFacts, row: Row) -> list[Write]:
    """Show what the ERP gets for the next client, and what others take from nobody but a person."""
    plan: Plan = row["plan"]
    after = plan_from(row, facts)
    anew = {**after, "steps": [step for step in after["steps"] if kind_of(step) in OF_CLIENT]}
    # Contract and project of the next client are not there yet.
    none_yet = {**row, "plan": anew, "contract_id": None, "project_id": None}
    done = plan.get("done", {})
    steps = {step["id"]: step for step in plan["steps"]}
    client_id, on = after["client_id"], after["novation"]["on"]
    code = plan["project_code"]
    by_hand: list[tuple[str, Mapping[str, str | None]]] = [
        ("erp.project", {"ends_on": on}),
        ("time.project", {"client_id": client_id, "from": on}),
    ]
    return [
        *(
            _rest_is_open(each)
            for each in writes_of(connection, facts=facts, plan=anew, row=none_yet)
        ),
        *(
            Write(
                step=f"by hand {name}",
                target=steps[name]["target"],
                noun=steps[name]["noun"],
                part=steps[name]["part"],
                action=_HAND,
                target_code=done[name]["target_code"],
                fields=fields_of(values),
            )
            for name, values in by_hand
            if name in steps and name in done
        ),
        Write(
            step="files",
            target=None,
            noun="contract",
            part=after["novation"]["code"],
            action=_HAND,
            target_code=None,
            fields=fields_of(
                {
                    "how": f"What files say of {code}, such as rates of people and orders, they say of it anew."
                }
            ),
        ),
    ]


def _rest_is_open(write: Write) -> Write:
    """Let the sold hours of a contract wait for what is booked until the day: others book meanwhile."""
    fields = tuple(
        replace(each, value=None, waits_for=_BOOKED) if each.name.endswith(".hours") else each
        for each in write.fields
    )
    return replace(write, fields=fields)


def writes_of_unbilled(facts: DealFacts, unbilled: Unbilled | None) -> list[Write]:
    """Show what is taken back from the ERP, and what is left out before it is sent there."""
    erp = facts.entity.erp_connection_key if facts.entity else None
    return [
        Write(
            step=each.name,
            target=erp if each.action == "reverse" else None,
            noun="time_line",
            part=each.period_code,
            action=each.action,
            target_code=None,
            fields=fields_of(each.told),
        )
        for each in (unbilled.sums if unbilled else ())
    ]


def fields_of(values: Mapping[str, str | None]) -> tuple[Field, ...]:
    """Return what a plan says of itself as fields."""
    return tuple(
        Field(name=name, value=value, comes_from="plan", waits_for=None)
        for name, value in values.items()
    )

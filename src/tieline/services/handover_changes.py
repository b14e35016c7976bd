"""What a plan shows of a project that stands already: what changes, what is taken back, what is done by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tieline.kernel.wording import hours
from tieline.runtime.database import Row
from tieline.services.deal_changes import BY_HAND, LineChanges, left_tasks, part_of
from tieline.services.provisioning_facts import DealFacts
from tieline.services.provisioning_fields import Field, Write
from tieline.services.provisioning_plan import Plan, terms_of
from tieline.services.unbilled import Unbilled

_CHANGE, _HAND = "change", "by_hand"


def writes_of_lines(lines: LineChanges) -> list[Write]:
    """Show what becomes of the contract's lines."""
    told: list[tuple[str, str, Mapping[str, str | None]]] = [
        *(
            (part_of(each), _CHANGE, {"rate_amount": str(each["rate_amount"]),
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

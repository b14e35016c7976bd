"""One step of a story as a page shows it: in the words of people, and without the words of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieline.console import words
from tieline.kernel import wording
from tieline.services.explain import Step
from tieline.services.explain_rules import in_numbers

_TITLES: Mapping[str, str] = {
    "received": "Received",
    "belongs to the deal": "Sold with a deal",
    "judged": "Checked",
    "priced": "Priced",
    "in a case": "Needed attention",
    "written": "Sent",
    "booked": "In our books",
    "invoiced": "On an invoice",
    "planned": "Hand-over planned",
    "became known as an event": "Told to other systems",
    "opened": "Exception opened",
    "holds": "Waits for it",
    "made of": "Made of this hour",
}
_LABELS: Mapping[str, str] = {
    "seconds": "Hours",
    "in_words": "How it stands",
    "why": "Why",
    "release_id": "Rules, release",
    "approval_word": "Approval as the time tool says it",
    "effect_no": "Number of the entry",
    "business_key": "Key",
    "target_code": "Number there",
    "target_connection": "Connection",
    "correlation_id": "Story",
    "raw_id": "Original record",
    "batch_id": "Delivery",
    "contract_line_id": "Contract line",
    "reverses_line_id": "Takes back line",
    "via_file": "Loaded from file",
    "line_id": "Line",
    "owner_queue": "Owner",
    "thing_kind": "Thing to fix",
    "thing_key": "Which one",
    "is_deleted": "Deleted in the source",
    "verdict_id": "Check result",
    "member_kind": "Record",
    "member_key": "Which one",
    "left_at": "Solved",
    "noun": "What",
    "quantity": "Quantity",
    "task_codes": "Tasks in the ERP",
    "source_ref": "Number there",
    "entity_code": "Legal entity",
    "entry_version": "Version",
    "period_code": "Period",
    "contract_code": "Contract",
    "project_code": "Project",
    "release_title": "Rules",
    "rate_amount": "Rate per hour",
    "ledger_amount": "Amount in our books",
    "rounding_amount": "Rounding of the ERP",
    "up_to_on": "Hours up to",
    "person_ref": "Person there",
    "project_ref": "Project there",
    "task_ref": "Task there",
    "labor_category": "Labor category",
    "entry_id": "Time entry",
}
_HIDDEN = frozenset(
    {
        "context",
        "rules",
        "kind",
        "state",
        "outcome",
        "currency",
        "details",
        "object",
        "approval",
        "undoes_key",
        "predicate",
    }
    | {
        "connection_key",
        "target_connection",
        "business_key",
        "raw_id",
        "batch_id",
        "type",
        "action",
    }
    | {
        "person_id",
        "client_id",
        "task_id",
        "project_id",
        "contract_id",
        "contract_line_id",
        "plan_id",
    }
    | {"entry_id", "invoice_id", "lock_id", "case_id", "event_uuid", "data", "residue", "warnings"}
    # What a price is made of: its sentence says it, in the right currency.
    | {"rate_ref", "fx_rate_id", "billing_terms_id", "told_amount", "told_currency", "card_code"}
    | {"markup_percent", "line_category", "line_from", "known_since"}
    | {"rate_from", "file_name", "loaded_by", "fx_factor", "fx_source", "fx_from"}
    | {
        "increment_seconds",
        "rounding",
        "rounds_per",
        "minimum_seconds",
        "billed_seconds",
        "rate_level",
    }
    | {"failure", "known_at", "planned_at", "narrative_length", "message", "fix_hint", "severity"}
)

# What a violation does.
_WEIGHTS: Mapping[str, str] = {
    "error": "Holds it",
    "warn": "Is told",
    "park": "Lets it wait",
    "ignore": "Is ignored",
}
# What support asks for first.
_IDS = ("business_key", "entry_id", "contract_line_id", "raw_id", "batch_id", "correlation_id")
# Facts that are words of ours; the rest is what people and systems called things.
_SAID = frozenset(
    {"closed_because", "noun", "part", "member_kind", "basis", "release_title", "unit"}
)
_SCHEMES = ("https://", "http://")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRule:
    """What one rule answered, by what, and which part of the policy gave it its weight."""

    code: str
    title: str
    answer: str
    weight: str
    looked_at: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownStep:
    """One step as a page shows it; ``ids`` are what support asks for."""

    at: datetime | None
    title: str
    state: str
    system: str
    facts: tuple[tuple[str, str], ...]
    ids: tuple[tuple[str, str], ...]
    link: str | None
    guide: str
    hour: str
    case: str
    rules: tuple[ShownRule, ...]
    rules_said: str
    context: tuple[tuple[str, str], ...]


def show_step(step: Step, names: Mapping[str, str]) -> ShownStep:
    facts = step.facts
    name = names.get(step.system, "Tieline")
    return ShownStep(
        at=step.at,
        title=_title(step),
        state=_state(step, system=name),
        system=name,
        facts=tuple(_facts(facts)),
        ids=tuple(_ids(facts)),
        link=step.link if step.link and step.link.startswith(_SCHEMES) else None,
        guide=f"/guide/operate/states#{str(facts['state']).lower()}"
        if step.what == "written"
        else "",
        hour=str(facts["entry_id"])
        if step.what in ("made of", "holds") and "entry_id" in facts
        else "",
        case=str(facts["case_id"]) if step.what == "in a case" else "",
        rules=tuple(_rule(rule) for rule in facts.get("rules", ())),
        rules_said=in_numbers(facts["rules"]) if "rules" in facts else "",
        context=tuple((name, _plainly(value)) for name, value in facts.get("context", {}).items()),
    )


def _rule(rule: Mapping[str, Any]) -> ShownRule:
    override = rule["override"]
    return ShownRule(
        code=str(rule["rule"]),
        title=words.reason(str(rule["rule"]), rule),
        answer=words.said(str(rule["answer"]).replace("_", " ")),
        weight="" if rule["weight"] is None else words.spoken(rule["weight"], _WEIGHTS),
        looked_at=", ".join(
            f"{name}: {_plainly(value)}" for name, value in rule["looked_at"].items()
        ),
        policy="" if override is None else words.said(override["reason"]),
    )


def _plainly(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, datetime):
        return wording.when(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _title(step: Step) -> str:
    if step.what == "decided":
        return words.said(
            str(step.facts["action"]).partition(".")[2].replace("_", " ").capitalize()
        )
    if step.what == "written":
        sent = words.WRITE_KINDS.get(str(step.facts["kind"]), "Sent")
        noun = str(step.facts["noun"])
        return sent if noun == "time_line" else f"{sent}: {words.said(noun.replace('_', ' '))}"
    return _TITLES.get(step.what) or words.said(step.what.capitalize())


def _state(step: Step, *, system: str) -> str:
    facts = step.facts
    if step.what == "judged":
        return words.spoken(str(facts["outcome"]), words.OUTCOMES)
    if step.what == "written":
        return words.write_state(str(facts["state"]), system=system, kind=str(facts["kind"]))
    if step.what in ("planned", "belongs to the deal"):
        return words.spoken(str(facts["state"]), words.PLANS)
    if step.what in ("opened", "in a case"):
        return "Needs attention" if facts["state"] == "open" else "Solved"
    state = facts.get("state")
    return words.said(str(state).replace("_", " ").capitalize()) if state else ""


def _ids(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (_LABELS.get(name) or words.said(name.replace("_", " ").capitalize()), str(facts[name]))
        for name in _IDS
        if facts.get(name) not in (None, "")
    ]


def _facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    shown = []
    for name, value in facts.items():
        if name in _HIDDEN or name in _IDS or value in (None, "", [], {}, False):
            continue
        label = _LABELS.get(name) or words.said(name.replace("_", " ").capitalize())
        shown.append((label, _value(name, value, facts)))
    details = facts.get("details") or {}
    told = [(name, details[name]) for name in ("message", "fix") if details.get(name)]
    return [*shown, *((name.capitalize(), words.said(text)) for name, text in told)]


def _value(name: str, value: Any, facts: Mapping[str, Any]) -> str:
    if name == "seconds":
        return f"{wording.hours(value)} h"
    if name.endswith("amount") or name == "unit_price":
        return wording.money(value, facts.get("currency"))
    if name in ("reasons", "blockers"):
        return "; ".join(_code(each) for each in value)
    if name == "reason":
        return words.reason(str(value))
    if name == "thing_kind":
        return words.spoken(str(value), words.THINGS)
    if name == "owner_queue":
        return words.spoken(str(value), words.QUEUES)
    if isinstance(value, datetime):
        return wording.when(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "; ".join(_code(each) for each in value)
    return words.said(value) if name in _SAID else str(value)


def _code(found: Any) -> str:
    # A rule that was broken, or a check that failed: its stable code, with its own sentence.
    if not isinstance(found, Mapping):
        return words.said(found)
    return words.reason(str(found.get("rule") or found.get("code") or ""), found)

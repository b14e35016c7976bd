"""What each rule answered about an hour, and the context it was judged in, as facts of a verdict's step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.validation import RuleAnswer, explain_verdict

# An hour that was judged more often than this tells only what the newest verdicts answered.
VERDICTS_MAX = 20
# What only those see who have the right to costs.
_COSTS = frozenset({"cost_rate"})
# In this order a person wants to read them.
ANSWERS = ("violated", "ignored", "holds", "not_applicable", "not_asked")


def answered(connection: Connection[Row], *, verdicts: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return, for the newest of these verdicts, what each rule said and what it looked at."""
    newest = sorted(verdicts)[-VERDICTS_MAX:]
    hidden = frozenset() if _sees_costs(connection) else _COSTS
    return {verdict_id: _facts(connection, verdict_id, hidden) for verdict_id in newest}


def in_numbers(rules: Sequence[Mapping[str, Any]]) -> str:
    """Return how many rules gave which answer."""
    counts = [(answer, sum(rule["answer"] == answer for rule in rules)) for answer in ANSWERS]
    return ", ".join(f"{count} {answer.replace('_', ' ')}" for answer, count in counts if count)


def _sees_costs(connection: Connection[Row]) -> bool:
    row = connection.execute("SELECT sees_costs() AS sees").fetchone()
    return bool(row and row["sees"])


def _facts(connection: Connection[Row], verdict_id: int, hidden: frozenset[str]) -> dict[str, Any]:
    found = explain_verdict(connection, verdict_id=verdict_id)
    rules = sorted(found.rules, key=lambda rule: ANSWERS.index(rule.answer))
    facts: dict[str, Any] = {
        "context": _plain(found.context, hidden),
        "rules": [_rule(rule, hidden) for rule in rules],
    }
    if found.differs:
        # Rebuilt from what is known of that time; what is not dated may have changed since.
        facts["differs"] = list(found.differs)
    return facts


def _rule(rule: RuleAnswer, hidden: frozenset[str]) -> dict[str, Any]:
    return {
        "rule": rule.code,
        "answer": rule.answer,
        "severity": rule.severity,
        "weight": rule.weight,
        "override": None if rule.override is None else asdict(rule.override),
        "message": rule.message,
        "fix": rule.fix_hint,
        "owner_queue": rule.owner_queue,
        "applies_when": rule.applies_when,
        "predicate": rule.predicate,
        "looked_at": _plain(rule.columns, hidden),
    }


def _plain(columns: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    # A digest is told as people write one; that a cost is not known is no secret.
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in columns.items()
        if value is None or name not in hidden
    }

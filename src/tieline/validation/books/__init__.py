"""The rules that ship with Tieline: data files, loaded as a draft release that the firm approves."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tieline.policy import PolicyValue, Rule
from tieline.validation.predicates import check_predicate

FILES = (
    "approval",
    "person",
    "project",
    "contract",
    "dates",
    "integrity",
    "quantity",
    "narrative",
    "intercompany",
)
"""The files of the time book, in the order of its rules."""

_SHIPPED = "shipped with Tieline"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedRule:
    """A rule with the context in which it must fail; the common context is where all hold."""

    rule: Rule
    fails: Mapping[str, Any]


def builtin_rules() -> tuple[Rule, ...]:
    """Return the shipped rules in the order of the book."""
    return tuple(shipped.rule for shipped in shipped_rules())


def shipped_rules() -> tuple[ShippedRule, ...]:
    """Return the shipped rules with their examples.

    :raises UserMistake: a predicate uses something that is not allowed.
    """
    tables = [table for name in FILES for table in _book(f"time/{name}")["rule"]]
    return tuple(_shipped(position, table) for position, table in enumerate(tables, start=1))


def common_context() -> Mapping[str, Any]:
    """Return the context in which every shipped rule holds."""
    context: Mapping[str, Any] = _book("time")["common"]
    return context


def builtin_values() -> tuple[PolicyValue, ...]:
    """Return the shipped values that rules compare with."""
    return tuple(
        PolicyValue(name=name, entity_code="", value=str(value), reason=_SHIPPED)
        for name, value in _book("time")["values"].items()
    )


def _shipped(position: int, table: Mapping[str, Any]) -> ShippedRule:
    rule = Rule(
        book="time",
        code=table["code"],
        position=position,
        scope=table.get("scope", "row"),
        applies_when=check_predicate(table.get("applies_when", "true")),
        predicate=check_predicate(table["predicate"]),
        severity=table.get("severity", "error"),
        owner_queue=table["owner"],
        thing=table["thing"],
        message=table["message"],
        fix_hint=table["fix"],
        source=table["source"],
        neighbors=tuple(table.get("neighbors", ())),
    )
    return ShippedRule(rule=rule, fails=table["fails"])


def _book(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)

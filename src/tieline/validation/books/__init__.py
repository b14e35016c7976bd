"""The rules that ship with Tieline: data files, loaded as a draft release that the firm approves."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from tieline.policy import PolicyValue, Rule
from tieline.validation.predicates import check_predicate, read_columns

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
UNKNOWN = "null"
"""How a book writes what nobody knows: that is no value of TOML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedRule:
    """A rule with its examples: what of the common context must differ where it holds, and where it fails.

    ``passes`` is empty where it holds in the common context itself. ``told`` says what the firm must have
    told before the rule decides anything; '' for a rule that always does. ``is_always`` is a rule that no firm
    may weaken: what it asks for is what an hour is posted by.
    """

    rule: Rule
    title: str
    told: str
    is_always: bool
    passes: Mapping[str, Any]
    fails: Mapping[str, Any]

    def pass_example(self) -> dict[str, Any]:
        """Return the columns that the rule reads, as they are where it holds."""
        return self._example(self.passes)

    def fail_example(self) -> dict[str, Any]:
        """Return the columns that the rule reads, as they are where it fails."""
        return self._example(self.fails)

    def _example(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        row = {**common_context(), **changed}
        names = {
            *read_columns(self.rule.applies_when),
            *read_columns(self.rule.predicate),
            *changed,
        }
        values = ((name, row.get(name, UNKNOWN)) for name in sorted(names))
        return {name: None if value == UNKNOWN else value for name, value in values}


def builtin_rules() -> tuple[Rule, ...]:
    """Return the shipped rules in the order of the book."""
    return tuple(shipped.rule for shipped in shipped_rules())


def shipped_rules() -> tuple[ShippedRule, ...]:
    """Return the shipped rules with their examples.

    :raises UserMistake: a predicate uses something that is not allowed.
    """
    tables = [table for name in FILES for table in read_book(f"time/{name}")["rule"]]
    return tuple(_shipped(position, table) for position, table in enumerate(tables, start=1))


def codes_about(question: str) -> tuple[str, ...]:
    """Return the codes of the rules about hours that one file of the book holds."""
    return tuple(table["code"] for table in read_book(f"time/{question}")["rule"])


@cache
def always_held() -> frozenset[str]:
    """Return the codes of the rules that no firm may weaken: nothing is posted safely without what they ask for."""
    return frozenset(shipped.rule.code for shipped in shipped_rules() if shipped.is_always)


def common_context() -> Mapping[str, Any]:
    """Return the context in which every shipped rule holds."""
    context: Mapping[str, Any] = read_book("time")["common"]
    return context


def builtin_values() -> tuple[PolicyValue, ...]:
    """Return the shipped values that rules compare with."""
    return tuple(
        PolicyValue(name=name, entity_code="", value=str(value), reason=_SHIPPED)
        for book in ("time", "provisioning", "readiness")
        for name, value in read_book(book)["values"].items()
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
    return ShippedRule(
        rule=rule,
        title=table.get("title", rule.message.rstrip(".")),
        told=table.get("told", ""),
        is_always=table.get("always", False),
        passes=table.get("passes", {}),
        fails=table["fails"],
    )


@cache
def read_book(name: str) -> Mapping[str, Any]:
    """Return a file of a book; it is read once."""
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)

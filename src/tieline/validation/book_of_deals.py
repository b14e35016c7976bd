"""The rules about won deals: data files, asked of many deals at once.

A deal has one row of its own and one for each line and each assigned person; a rule says whose rows it is
asked of. The answer is which rows violate it, or that nobody can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.validation.asking import Answer, BookRule, ask, book_columns, common_row, read_rule
from tieline.validation.books import read_book

BOOK = "provisioning"
SCOPES = ("deal", "line", "person")
FILES = (
    "deal",
    "client",
    "organization",
    "contract",
    "money",
    "names",
    "resources",
    "time_tools",
    "governance",
    "execution",
)
"""The files of the provisioning book, in the order of its rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DealRule(BookRule):
    """A rule about a deal, its lines or its people; not all of them are worth a case."""

    opens_case: bool


@cache
def deal_rules() -> tuple[DealRule, ...]:
    """Return the rules of the provisioning book in their order.

    :raises UserMistake: a predicate uses something that is not allowed.
    """
    return tuple(_rule(table) for name in FILES for table in read_book(f"{BOOK}/{name}")["rule"])


def deal_columns(scope: str) -> Mapping[str, tuple[str, str]]:
    """Return type and meaning of every column that rules of a scope may look at."""
    return book_columns(BOOK, scope)


def common_deal_row(scope: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row in which every rule of a scope holds, with what differs."""
    return common_row(BOOK, scope, changed)


def ask_rules(
    connection: Connection[Row],
    *,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    rules: Sequence[DealRule],
) -> Mapping[int, Mapping[str, Answer]]:
    """Ask rules of the rows of many deals, by their scope.

    :raises KeyError: a row has not exactly the columns of its scope.
    """
    found: dict[int, dict[str, Answer]] = {}
    for scope in SCOPES:
        of_scope = [rule for rule in rules if rule.scope == scope]
        for number, answers in ask(connection, rules=of_scope, rows=rows.get(scope, ())).items():
            found.setdefault(number, {}).update(answers)
    return found


def _rule(table: Mapping[str, Any]) -> DealRule:
    said = read_rule(table, book=BOOK, scope=table.get("scope", "deal"))
    return DealRule(**said, opens_case=table.get("opens_case", True))

"""Predicates of rules: parsed, and held to documented columns and a short list of functions."""

from __future__ import annotations

import re
from functools import cache

import sqlglot
from sqlglot import exp

from tieline.kernel.errors import UserMistake
from tieline.validation.context import context_answer

LENGTH_MAX = 500
_NODES_MAX = 80
_ALLOWED = (
    exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is,
    exp.In, exp.Between, exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Neg, exp.Column, exp.Identifier,
    exp.Literal, exp.Boolean, exp.Null, exp.Coalesce,
)  # fmt: skip


def check_predicate(text: str) -> str:
    """Return the predicate when it only uses what is allowed.

    :raises UserMistake: it cannot be read, is too long, or uses anything else.
    """
    if len(text) > LENGTH_MAX:
        raise UserMistake(f"a predicate has at most {LENGTH_MAX} characters")
    try:
        tree = sqlglot.parse_one(text, dialect="postgres")
    except sqlglot.errors.SqlglotError as error:
        raise UserMistake(f"the predicate {text!r} cannot be read") from error
    for number, node in enumerate(tree.walk()):
        if number > _NODES_MAX:
            raise UserMistake(f"the predicate {text!r} is too long")
        if not isinstance(node, _ALLOWED):
            raise UserMistake(
                f"the predicate {text!r} uses {type(node).__name__.lower()}, which is not allowed"
            )
        if isinstance(node, exp.Column) and (node.table or node.name not in context_columns()):
            raise UserMistake(f"{node.sql()} is no column of the context")
    return text


@cache
def read_columns(text: str) -> frozenset[str]:
    """Return the columns of the context that a predicate reads."""
    tree = sqlglot.parse_one(text, dialect="postgres")
    return frozenset(column.name for column in tree.find_all(exp.Column))


@cache
def context_columns() -> frozenset[str]:
    """Return the names of the context's columns, read from the statement itself."""
    answer = context_answer()
    selected = answer[answer.index("SELECT") + 6 : answer.index("FROM counted c")]
    without_calls = re.sub(r"--[^\n]*", "", selected)
    names = []
    for part in _top_level_parts(without_calls):
        named = re.search(r"(?:\bAS\s+|\.|^\s*)(\w+)\s*$", part.strip())
        if named:
            names.append(named.group(1))
    return frozenset(names)


def _top_level_parts(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]

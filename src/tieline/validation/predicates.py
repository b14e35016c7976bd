"""Predicates of rules: parsed, and held to documented columns and a short list of functions."""

from __future__ import annotations

import re
from functools import cache

import sqlglot
from sqlglot import exp

from tieline.kernel.errors import UserMistake
from tieline.validation.context import context_answer

LENGTH_MAX = 500
DEPTH_MAX = 20
NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?")
"""A number that no product of a few of them can carry out of what the database computes exactly."""

_NODES_MAX = 80
_SHOWN_MAX = 100
_REFUSED_SIGNS = ("--", "/*", "*/", ";", "\\", "$", "`", '"', "{", "}", "@", "::")
_ALLOWED = (
    exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is,
    exp.In, exp.Between, exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Neg, exp.Column, exp.Identifier,
    exp.Literal, exp.Boolean, exp.Null, exp.Coalesce,
)  # fmt: skip


def check_predicate(text: str, *, columns: frozenset[str] | None = None) -> str:
    """Return the predicate when it only uses what is allowed; ``columns`` are those of another book.

    :raises UserMistake: it cannot be read, is too long, or uses anything else.
    """
    tree = parse_predicate(text, length_max=LENGTH_MAX)
    for number, node in enumerate(tree.walk()):
        if number > _NODES_MAX:
            raise UserMistake(f"the predicate {text!r} is too long")
        if not isinstance(node, _ALLOWED):
            raise UserMistake(
                f"the predicate {text!r} uses {type(node).__name__.lower()}, which is not allowed"
            )
        known = context_columns() if columns is None else columns
        if isinstance(node, exp.Column) and (node.table or node.name not in known):
            raise UserMistake(f"{node.sql()} is no column of the context")
        if isinstance(node, exp.Literal) and not (node.is_string or NUMBER.fullmatch(node.this)):
            raise UserMistake(f"the predicate {shorten(text)} has a number of more than 15 digits")
    return text


def parse_predicate(text: str, *, length_max: int) -> exp.Expression:
    """Return the tree of one expression, of a text without comments that no parser runs out of room on.

    :raises UserMistake: it is too long, too deep, has a sign that is not allowed, or is not one expression.
    """
    _check_text(text, length_max=length_max)
    try:
        trees = sqlglot.parse(text, dialect="postgres")
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise UserMistake(f"the predicate {shorten(text)} cannot be read") from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Expression):
        raise UserMistake(f"the predicate {shorten(text)} is not one expression")
    return trees[0]


def shorten(text: str) -> str:
    """Return a text as it is quoted in a sentence."""
    return repr(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "...")


def _check_text(text: str, *, length_max: int) -> None:
    if not text.strip():
        raise UserMistake("a predicate is missing")
    if len(text) > length_max:
        raise UserMistake(f"a predicate has at most {length_max} characters")
    for sign in _REFUSED_SIGNS:
        if sign in text:
            raise UserMistake(f"the predicate {shorten(text)} uses {sign}, which is not allowed")
    if any(not mark.isprintable() and mark not in "\n\t" for mark in text):
        raise UserMistake(f"the predicate {shorten(text)} has a character that cannot be printed")
    # A parser that calls itself for each bracket or NOT would run out of room on the deepest of them.
    deepest = level = 0
    for mark in text:
        level += (mark == "(") - (mark == ")")
        deepest = max(deepest, level)
    if deepest > DEPTH_MAX:
        raise UserMistake(f"the predicate {shorten(text)} is nested deeper than {DEPTH_MAX}")


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

"""Rules that a firm writes of its own about won deals, their lines and their people: rows of a release.

They are asked beside the shipped ones. One that the database cannot answer is violated by every deal: what nobody can
answer clears nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.policy import Rule
from tieline.runtime.database import Row
from tieline.validation.asking import Answer
from tieline.validation.book_of_deals import BOOK, DealRule, ask_rules, common_deal_row
from tieline.validation.own_predicates import HOUR, write_predicate

# One that is broken by numbers alone, such as one too large to be told.
_CANNOT_BE_ANSWERED = (psycopg.DataError, psycopg.ProgrammingError)


def is_of_deals(rule: Rule) -> bool:
    """Say whether a rule of a firm looks at deals."""
    return rule.book == BOOK


def looks_at(rule: Rule) -> str:
    """Return what a rule of a firm looks at: an hour, or of deals what its ``thing`` says."""
    return rule.thing if is_of_deals(rule) else HOUR


def own_deal_rules(connection: Connection[Row]) -> tuple[DealRule, ...]:
    """Return the firm's own rules of deals that the current release says, in their order."""
    rows = connection.execute(
        """
        SELECT u.book, u.code, u.position, u.scope, u.applies_when, u.predicate, u.severity, u.owner_queue, u.thing,
               u.message, u.fix_hint, u.source, u.neighbors
        FROM rule u JOIN release r USING (release_id)
        WHERE r.state = 'current' AND u.book = %s AND starts_with(u.code, 'firm.') ORDER BY u.position
        """,
        (BOOK,),
    ).fetchall()
    return tuple(_written(Rule(**{**row, "neighbors": tuple(row["neighbors"])})) for row in rows)


def own_deal_codes(connection: Connection[Row]) -> frozenset[str]:
    """Return the codes of every rule of deals that the firm ever wrote: a case of an old one closes."""
    rows = connection.execute(
        "SELECT DISTINCT code FROM rule WHERE book = %s AND starts_with(code, 'firm.')", (BOOK,)
    ).fetchall()
    return frozenset(row["code"] for row in rows)


def ask_own_deal_rules(
    connection: Connection[Row],
    *,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    rules: Sequence[DealRule],
) -> Mapping[int, Mapping[str, Answer]]:
    """Ask the firm's own rules of the rows of many deals."""
    if not rules:
        return {}
    try:
        with connection.transaction():
            return ask_rules(connection, rows=rows, rules=rules)
    except _CANNOT_BE_ANSWERED:
        if len(rules) == 1:
            return _violated(rows, rules[0])
    found: dict[int, dict[str, Answer]] = {}
    for rule in rules:
        for number, answers in ask_own_deal_rules(connection, rows=rows, rules=[rule]).items():
            found.setdefault(number, {}).update(answers)
    return found


def check_own_deal_rules(connection: Connection[Row], *, rules: Sequence[Rule]) -> None:
    """Answer a firm's rules of deals for a deal in which every shipped rule holds.

    :raises UserMistake: one of them cannot be read, or the database cannot answer it.
    """
    for rule in rules:
        try:
            written = _written(rule)
            row = {"subject_no": 0, "thing": "", **common_deal_row(written.scope, {})}
            with connection.transaction():
                ask_rules(connection, rows={written.scope: [row]}, rules=[written])
        except UserMistake as error:
            raise UserMistake(f"{rule.code}: {error}") from error
        except _CANNOT_BE_ANSWERED as error:
            told = str(error).splitlines()[0]
            raise UserMistake(f"{rule.code} cannot be answered: {told}") from error


def _violated(
    rows: Mapping[str, Sequence[Mapping[str, Any]]], rule: DealRule
) -> dict[int, dict[str, Answer]]:
    answer = Answer(things=("it cannot be answered",), is_unknown=False)
    return {row["subject_no"]: {rule.code: answer} for row in rows.get(rule.scope, ())}


def _written(rule: Rule) -> DealRule:
    return DealRule(
        book=BOOK,
        scope=rule.thing,
        code=rule.code,
        known_when="true",
        applies_when=write_predicate(rule.applies_when, of=rule.thing),
        predicate=write_predicate(rule.predicate, of=rule.thing),
        severity=rule.severity,
        owner_queue=rule.owner_queue,
        thing="",
        message=rule.message,
        fix_hint=rule.fix_hint,
        source=rule.source,
        fails={},
        opens_case=True,
    )

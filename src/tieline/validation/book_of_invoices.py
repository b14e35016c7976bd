"""The rules about what is billed: data files, asked of many contracts and periods at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from psycopg import Connection

from tieline.kernel.errors import MendTieline
from tieline.runtime.database import Row
from tieline.validation.asking import Answer, BookRule, ask, book_columns, common_row, read_rule
from tieline.validation.books import read_book

BOOK = "readiness"
SCOPE = "period"
FILES = (
    "contract",
    "client",
    "hours",
    "writes",
    "price",
    "systems",
    "accounting",
    "schedule",
    "tax",
    "content",
)
"""The files of the readiness book, in the order of its rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceRule(BookRule):
    """A rule about a contract's period; its severity says what becomes of the invoice.

    ``amount`` and ``seconds`` are the columns with what it holds up; '' for nothing. ``unknown`` is what is told
    where nobody knows, and ``lacks`` names in a word or two what would have to be told. ``may_be_carried``: what it
    found is merely not on this invoice, and a person may say that it comes with the next one. What would make the
    invoice itself wrong is mended first.
    """

    unknown: str
    lacks: str
    amount: str
    seconds: str
    may_be_carried: bool


@cache
def invoice_rules() -> tuple[InvoiceRule, ...]:
    """Return the rules of the readiness book in their order.

    :raises UserMistake: a predicate uses something that is not allowed.
    :raises MendTieline: a rule that may be unknown does not say what is told then.
    """
    return tuple(_rule(table) for name in FILES for table in read_book(f"{BOOK}/{name}")["rule"])


def invoice_columns() -> Mapping[str, tuple[str, str]]:
    """Return type and meaning of every column that rules may look at."""
    return book_columns(BOOK, SCOPE)


def common_invoice_row(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row in which every rule holds, with what differs."""
    return common_row(BOOK, SCOPE, changed)


def ask_about_invoices(
    connection: Connection[Row], *, facts: Iterable[Mapping[str, Any]]
) -> Mapping[int, Mapping[str, Answer]]:
    """Ask every rule of many contracts and periods at once; they are numbered as they come.

    :raises KeyError: the facts lack a column of the book.
    """
    names = tuple(invoice_columns())
    return ask(
        connection,
        rules=invoice_rules(),
        rows=(
            {"subject_no": number, "thing": "", **{name: each[name] for name in names}}
            for number, each in enumerate(facts)
        ),
    )


def _rule(table: Mapping[str, Any]) -> InvoiceRule:
    rule = InvoiceRule(
        **read_rule(table, book=BOOK, scope=SCOPE),
        unknown=table.get("unknown", ""),
        lacks=table.get("lacks", ""),
        amount=table.get("amount", ""),
        seconds=table.get("seconds", ""),
        may_be_carried=table.get("may_be_carried", False),
    )
    if {rule.known_when != "true"} != {bool(rule.unknown), bool(rule.lacks)}:
        raise MendTieline(f"{rule.code}: what may be unknown says so, and nothing else does")
    return rule

"""What commands print: tables for people, one JSON object for machines, the rest on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_NUMBERS = frozenset({"Entries", "Hours", "Amount", "Cases"})
_ID_CHARACTERS = 36


def hours(seconds: int) -> str:
    """Return seconds as hours with two digits."""
    return f"{Decimal(seconds) / 3600:.2f}"


def show_table(*, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table for people, or that there is nothing; its cells are text, never markup."""
    if not rows:
        click.echo(f"{title}: none")
        return
    table = Table(title=title)
    for place, column in enumerate(columns):
        # What another command asks for is shown whole; whatever else is too long goes on in the next line.
        is_asked_for = all(_is_id(row[place]) for row in rows)
        table.add_column(
            column,
            justify="right" if column in _NUMBERS else "left",
            overflow="fold",
            no_wrap=is_asked_for,
        )
    for row in rows:
        table.add_row(*(_cell(text) for text in row))
    Console(file=sys.stdout, width=_width()).print(table)


def _is_id(text: str) -> bool:
    return len(text) == _ID_CHARACTERS and text.count("-") == 4


def show_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print named facts: one JSON object, or a line each."""
    if as_json:
        show_json(facts)
        return
    for name, value in plain(facts).items():
        click.echo(f"{name}: {json.dumps(value, default=str, ensure_ascii=False)}")


def show_json(facts: Mapping[str, Any]) -> None:
    """Print exactly one JSON object; money and instants are text."""
    click.echo(json.dumps(plain(facts), default=str, ensure_ascii=False))


def tell(sentence: str) -> None:
    """Say something to whoever watches, on standard error."""
    click.echo(sentence, err=True)


def plain(value: Any) -> Any:
    """Return dataclasses and containers as plain JSON containers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value


def as_text(value: Any) -> str:
    """Return a value as one line of text without control marks."""
    if isinstance(value, (bool, dict, list)) or value is None:
        return _printable(json.dumps(value, default=str, ensure_ascii=False))
    return _printable(str(value))


def _printable(text: str) -> str:
    return "".join(mark if mark.isprintable() else " " for mark in text)


def _cell(text: str) -> str:
    return escape(_printable(text))


def _width() -> int:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdigit() and int(given) > 0 else 120

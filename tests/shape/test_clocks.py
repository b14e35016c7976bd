"""Time is an argument, and waiting blocks: what a review would have to look for in every change."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .source_words import SOURCE

_PRESENT = re.compile(
    r"\b(now|statement_timestamp|transaction_timestamp)\s*\(\s*\)"
    r"|\b(current_timestamp|current_date|current_time|localtimestamp|localtime)\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"--[^\n]*")
# The clock itself, the day a demo is asked for, and a proof beside a journal of real time.
_READS_THE_CLOCK = {"runtime/clock.py", "cli/operating.py", "proof/proving/load.py"}
_NOT_OURS = frozenset({"sandbox"})
# Where a web framework calls us.
_MAY_BE_ASYNC = ("api", "console")


class TestBusinessTime:
    def test_is_never_asked_of_the_database(self) -> None:
        statements = [
            *((path, path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.sql")),
            *((path, text) for path, tree in _modules() for text in _statements(tree)),
        ]

        assert [
            f"{_name(path)}: {found[0]}"
            for path, text in statements
            if (found := _PRESENT.search(_COMMENT.sub("", text)))
        ] == []

    def test_is_read_in_one_place(self) -> None:
        readers = {_name(path) for path, tree in _modules() if _reads_the_clock(tree)}

        assert readers == _READS_THE_CLOCK

    def test_is_found_where_it_is_asked(self) -> None:
        assert _PRESENT.search("UPDATE effect SET due_at = now()")
        assert _PRESENT.search("WHERE starts_on <= CURRENT_DATE")
        assert not _PRESENT.search("WHERE due_at <= clock_timestamp() AND at <= %(now)s")


class TestWaiting:
    def test_blocks_except_where_the_web_framework_asks_otherwise(self) -> None:
        waiting = {_name(path) for path, tree in _modules() if _is_async(tree)}

        assert {name for name in waiting if not name.startswith(_MAY_BE_ASYNC)} == set()


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if not _NOT_OURS & set(path.parts):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def _statements(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if re.search(
                r"\b(SELECT|INSERT|UPDATE|DELETE)\b", text
            ):
                yield text


def _reads_the_clock(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in ("now", "today", "utcnow")
        and isinstance(node.value, ast.Name)
        and node.value.id in ("datetime", "date")
        for node in ast.walk(tree)
    )


def _is_async(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))

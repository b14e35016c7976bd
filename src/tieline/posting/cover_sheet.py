"""The sheet that goes with an import file; pure, and the same page for the same file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from tieline.posting.handing_over import ImportFile

_SECONDS_PER_HOUR = 3600
_STYLE = (
    "body{font:14px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;"
    "padding:.3em .8em .3em 0;border-bottom:1px solid #ccc}code{word-break:break-all}"
)
_ONCE = (
    "Its lines are not sent by Tieline until it has asked what was loaded. After the time below, or once"
    " the file is withdrawn, it must not be loaded any more: its lines are then sent."
)


def write_cover(file: ImportFile) -> str:
    """Return the cover sheet as one page of HTML that needs nothing else."""
    cover = file.cover
    left_out: Sequence[Any] = cover["left_out"]
    money = [f"{amount} {currency}" for currency, amount in cover["amounts"].items()]
    if cover["unpriced_seconds"]:
        money.append(f"{_hours(cover['unpriced_seconds'])} h without a price")
    facts = (
        ("File", file.file_name),
        ("For", f"{file.target_connection}, {file.entity_code}, {', '.join(cover['periods'])}"),
        ("Lines", str(file.lines)),
        ("Hours", _hours(file.seconds)),
        ("Money", "; ".join(money)),
        ("Made by", f"{file.made_by}, approved by {file.approved_by}"),
        ("Because", file.reason),
        ("Made", _instant(file.made_at)),
        ("May be loaded until", _instant(file.valid_until)),
        ("Checksum (SHA-256)", file.checksum),
        ("Dates and durations", f"{cover['dates']}; {cover['durations']}"),
    )
    return "\n".join(
        (
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(file.file_name)}</title>',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>Hours to be loaded into {escape(file.target_connection)} by hand</h1>",
            f"<p><strong>Load this file once.</strong> {_ONCE}</p>",
            _table(facts),
            "<h2>How it is loaded</h2>",
            "<ol>" + "".join(f"<li>{escape(step)}</li>" for step in cover["steps"]) + "</ol>",
            "<p>Do not open the file in a spreadsheet and save it: compare its checksum instead.</p>",
            "<h2>Not in this file</h2>",
            "".join(_left_out(each) for each in left_out) or "<p>Nothing.</p>",
            "</body></html>\n",
        )
    )


def _left_out(each: Any) -> str:
    named: Sequence[str] = each["named"]
    told = f"{each['lines']} lines, {_hours(each['seconds'])} h: not in this file, {each['why']}"
    items = "".join(f"<li><code>{escape(name)}</code></li>" for name in named)
    beyond = each["lines"] - len(named)
    more = f"<li>and {beyond} more</li>" if beyond > 0 else ""
    return f"<h3>{escape(told)}</h3><ul>{items}{more}</ul>"


def _table(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts
    )
    return f"<table>{rows}</table>"


def _instant(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _hours(seconds: int) -> str:
    return f"{Decimal(seconds) / _SECONDS_PER_HOUR:.2f}"

"""The page for who must decide: what was broken, how often, what was found, where and with which seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1c2430; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td { border-bottom: 1px solid #d9dee5; padding: .35rem 0; }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
.held { color: #0b6b3a; } .broken { color: #a4161a; }
"""
_BROKEN = (
    ("kills", "Workers killed (kill -9) at random moments"),
    ("zombies", "Workers put to sleep, replaced, and woken after their lease"),
    ("database_crashes", "Crashes of the database"),
)
_FAULTS = {
    "answer_lost": "Writes that were done and whose answer was dropped",
    "late_commit": "Writes that were done after the connection was dropped",
    "refuse_503_before": "Calls refused with 503",
    "rate_limit_429": "Calls refused with 429",
    "truncated_body": "Answers cut short",
}
_HELD = "Nothing was lost and nothing stands twice."
_HELD_LATE = "Nothing was lost, and an incident names every line that the target stored later than it declares."
_FOUND = (
    ("acknowledged", "Entries the source holds"),
    ("posted", "Posted exactly once"),
    ("waiting_for_a_person", "Waiting for a person, neither lost nor posted"),
    ("lost", "Lost"),
    ("duplicated", "Posted twice"),
    ("told_as_incident", "Of these told by an incident that names both documents"),
    ("money_difference", "Difference in EUR"),
    ("longest_wait_seconds", "Longest wait of a line, in seconds"),
    ("longest_stuck_seconds", "Longest wait of a line after the last break, in seconds"),
    ("calls_per_success", "Calls per batch that succeeded"),
)


def write_page(figures: Mapping[str, Any]) -> str:
    """Return the page; it loads nothing from anywhere."""
    is_held = figures["is_held"]
    verdict = (
        _HELD_LATE
        if is_held and figures["duplicated"]
        else _HELD
        if is_held
        else "The promise did not hold: " + "; ".join(figures["broken"]) + "."
    )
    faults = [
        (_FAULTS.get(name.rpartition(".")[2], name), count)
        for name, count in figures["faults_injected"].items()
    ]
    sabotage = figures["sabotage"]
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>Proof with seed {figures['seed']}</title><style>{_STYLE}</style></head><body>",
            "<h1>Is every hour posted exactly once?</h1>",
            f'<p class="{"held" if is_held else "broken"}"><strong>{escape(verdict)}</strong></p>',
            ""
            if sabotage is None
            else f"<p>One safety was switched off on purpose: {escape(sabotage)}.</p>",
            "<h2>What was broken</h2>",
            _table([*((title, figures[name]) for name, title in _BROKEN), *faults]),
            "<h2>What was found</h2>",
            "<p>Compared with the source's own files and the target's own journal, line by line.</p>",
            _table([(title, figures[name]) for name, title in _FOUND]),
            "<h2>Where</h2>",
            _table(
                [
                    ("Seed: the same one breaks the same things again", figures["seed"]),
                    ("Target, and what it forbids", f"{figures['erp']}, {figures['profile']}"),
                    ("Version", figures["version"]),
                    ("Machine", figures["machine"]),
                    ("Seconds in all", figures["seconds_total"]),
                ]
            ),
            "</body></html>\n",
        )
    )


def _table(rows: Sequence[tuple[str, object]]) -> str:
    cells = "".join(f"<tr><td>{escape(n)}</td><td>{escape(str(v))}</td></tr>" for n, v in rows)
    return f"<table>{cells}</table>"

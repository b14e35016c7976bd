"""The steps of one thing as sheets: what happened, what each step says, and what each rule answered."""

from __future__ import annotations

from collections.abc import Sequence

from tieline.console.trace_steps import ShownStep
from tieline.console.workbook import Column, Kind, Sheet


def trace_sheets(steps: Sequence[ShownStep]) -> tuple[Sheet, ...]:
    """Return the steps, and by the number of a step its facts and rules."""
    numbered = list(enumerate(steps, start=1))
    return (
        Sheet(
            name="Steps",
            columns=(
                Column(title="Step", kind=Kind.COUNT),
                Column(title="At (UTC)", kind=Kind.INSTANT),
                Column(title="What", width=28),
                Column(title="How it stands", width=36),
                Column(title="System"),
                Column(title="Open it there", width=60),
            ),
            rows=[
                (number, step.at, step.title, step.state, step.system, step.link)
                for number, step in numbered
            ],
        ),
        Sheet(
            name="What each says",
            columns=(
                Column(title="Step", kind=Kind.COUNT),
                Column(title="What", width=28),
                Column(title="Says", width=60),
            ),
            rows=[
                (number, name, value)
                for number, step in numbered
                for name, value in (*step.facts, *step.context, *step.ids)
            ],
        ),
        Sheet(
            name="What each rule answered",
            columns=(
                Column(title="Step", kind=Kind.COUNT),
                Column(title="Rule", width=44),
                Column(title="Answer"),
                Column(title="Weight"),
                Column(title="By the policy", width=36),
                Column(title="What it looked at", width=60),
            ),
            rows=[
                (number, rule.title, rule.answer, rule.weight, rule.policy, rule.looked_at)
                for number, step in numbered
                for rule in step.rules
            ],
        ),
    )

"""What the projects of a kind have beside what was sold: phases, tasks and budgets that the firm decided.

A project keeps the template that it was made by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import Connection

from tieline.canonical import Opportunity
from tieline.runtime.database import Row

# The columns of a choice that narrow it, those that say more about a deal first.
_NARROWED_BY = ("practice", "billing_method", "entity_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateTask:
    """A task of a template; ``budget_hours`` is None where nobody set one."""

    phase: str
    name: str
    budget_hours: Decimal | None

    @property
    def booked_as(self) -> str:
        """Return what people book on where the task is not sold by its name."""
        return f"{self.phase}: {self.name}" if self.phase else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template as it stands; one that nobody described has no tasks."""

    code: str
    tasks: tuple[TemplateTask, ...]

    def told(self, *, sold: Iterable[str]) -> dict[str, Any]:
        """Return what a plan keeps of it, given the tasks that are sold: those are not added once more."""
        names = frozenset(sold)
        return {
            "code": self.code,
            "tasks": [
                {
                    "phase": each.phase,
                    "name": each.name,
                    "task_name": each.name if each.name in names else each.booked_as,
                    "budget_hours": None if each.budget_hours is None else str(each.budget_hours),
                    "is_sold": each.name in names,
                }
                for each in self.tasks
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The templates of a day, and which deals are made by which."""

    tasks: Mapping[str, Sequence[TemplateTask]]
    choices: Sequence[Row]

    def chosen(self, deal: Opportunity) -> Template | None:
        """Return the template of a deal's project: by the choice that says most of it, if there is one."""
        fitting = [
            choice
            for choice in self.choices
            if all(choice[name] in ("", getattr(deal, name)) for name in _NARROWED_BY)
        ]
        if not fitting:
            return None
        code = max(fitting, key=_narrowness)["template_code"]
        return Template(code=code, tasks=tuple(self.tasks.get(code, ())))


def load_templates(connection: Connection[Row], *, on: date) -> Templates:
    """Read what holds on a day."""
    tasks: dict[str, list[TemplateTask]] = {}
    for row in connection.execute(
        """
        SELECT template_code, phase, task_name, budget_hours FROM project_template
        WHERE superseded_at IS NULL AND daterange(starts_on, ends_on) @> %s
        ORDER BY template_code, load_id, line_number
        """,
        (on,),
    ).fetchall():
        tasks.setdefault(row["template_code"], []).append(
            TemplateTask(
                phase=row["phase"], name=row["task_name"], budget_hours=row["budget_hours"]
            )
        )
    choices = connection.execute(
        "SELECT entity_code, practice, billing_method, template_code FROM template_choice"
        " WHERE superseded_at IS NULL AND daterange(starts_on, ends_on) @> %s",
        (on,),
    ).fetchall()
    return Templates(tasks=tasks, choices=choices)


def read_template(told: Mapping[str, Any] | None) -> Template | None:
    """Return the template that a plan was made by."""
    if told is None:
        return None
    return Template(
        code=told["code"],
        tasks=tuple(
            TemplateTask(
                phase=each["phase"],
                name=each["name"],
                budget_hours=None
                if each["budget_hours"] is None
                else Decimal(each["budget_hours"]),
            )
            for each in told["tasks"]
        ),
    )


def unsold_tasks(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tasks that a plan has by its template alone: nobody pays for their hours."""
    told = plan.get("template")
    return [each for each in told["tasks"] if not each["is_sold"]] if told else []


def budget_of(plan: Mapping[str, Any], *, task_name: str) -> Decimal | None:
    """Return how many hours a task may take by its template; None where nobody says."""
    told = plan.get("template")
    budgets = [
        each["budget_hours"]
        for each in (told["tasks"] if told else ())
        if each["task_name"] == task_name and each["budget_hours"] is not None
    ]
    return Decimal(budgets[0]) if budgets else None


def _narrowness(choice: Row) -> tuple[int, tuple[bool, ...]]:
    filled = tuple(choice[name] != "" for name in _NARROWED_BY)
    return sum(filled), filled

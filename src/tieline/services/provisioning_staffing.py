"""Who joined or left the project of an active plan: the steps it gains, and those to take back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.runtime.database import Row
from tieline.services.provisioning_checks import CHECKS, Blocker, judge_deals
from tieline.services.provisioning_facts import DealFacts, Staffed
from tieline.services.provisioning_plan import (
    ASSIGNMENT,
    PEOPLE_STEPS,
    Plan,
    Step,
    is_leaving,
    kind_of,
    people_steps,
)

# The checks that speak of one assigned person, and so can hold back that person alone.
_PEOPLE_CHECKS = frozenset(rule.code for rule in CHECKS if rule.scope == "person")


def restaff(
    connection: Connection[Row],
    *,
    active: Sequence[tuple[DealFacts, Row]],
    severities: Sequence[Mapping[str, str]],
) -> list[tuple[Blocker, ...]]:
    """Let active plans follow the staffing of their projects; return of each what holds newcomers back."""
    newcomers = [_newcomers(facts, row["plan"]) for facts, row in active]
    held = _held(connection, active, newcomers, severities)
    for (facts, row), theirs, found in zip(active, newcomers, held, strict=True):
        if _is_listed_for(facts, row["plan"]):
            _follow(connection, facts, row, newcomers=theirs, held=found)
    return held


def _is_listed_for(facts: DealFacts, plan: Plan) -> bool:
    # The list of another project says nothing of this one.
    return all(
        plan.get(name) == getattr(facts.deal, name) for name in ("project_code", "entity_code")
    )


def _newcomers(facts: DealFacts, plan: Plan) -> tuple[Staffed, ...]:
    if not _is_listed_for(facts, plan):
        return ()
    return tuple(one for one in facts.staff if _is_newcomer(facts, plan, one))


def _held(
    connection: Connection[Row],
    active: Sequence[tuple[DealFacts, Row]],
    newcomers: Sequence[tuple[Staffed, ...]],
    severities: Sequence[Mapping[str, str]],
) -> list[tuple[Blocker, ...]]:
    """Ask of all newcomers at once; return what was found plan by plan."""
    asked = [number for number, theirs in enumerate(newcomers) if theirs]
    verdicts = judge_deals(
        connection,
        deals=[replace(active[number][0], staff=newcomers[number]) for number in asked],
        severities=[severities[number] for number in asked],
        asked=_PEOPLE_CHECKS,
    )
    found = {number: judged.blockers for number, judged in zip(asked, verdicts, strict=True)}
    return [found.get(number, ()) for number in range(len(active))]


def _follow(
    connection: Connection[Row],
    facts: DealFacts,
    row: Row,
    *,
    newcomers: Sequence[Staffed],
    held: Sequence[Blocker],
) -> None:
    names_held = {thing for found in held for thing in found.things}
    joining = [
        step
        for one in newcomers
        if one.part not in names_held
        for step in _missing(facts, row["plan"], one)
    ]
    leaving = _leaving(connection, facts, row)
    if joining or leaving:
        _store_steps(connection, row, joining=joining, leaving=leaving)


def _is_newcomer(facts: DealFacts, plan: Plan, one: Staffed) -> bool:
    is_assigned = (ASSIGNMENT, str(one.person_id)) in _people_of(plan)
    return not is_assigned or bool(_missing(facts, plan, one))


def _missing(facts: DealFacts, plan: Plan, one: Staffed) -> list[Step]:
    """Return a person's steps that the plan has not, in systems that know its project."""
    standing = _people_of(plan)
    targets = {step["target"] for step in plan["steps"]}
    names = {step["id"] for step in plan["steps"]}
    return [
        step
        for step in people_steps(facts, one)
        if (kind_of(step), step["person_id"]) not in standing
        and step["target"] in targets
        and step["id"] not in names
    ]


def _people_of(plan: Plan) -> set[tuple[str, str]]:
    # By person: somebody's code, which names the steps, may have come later than the plan.
    return {
        (kind_of(step), step["person_id"])
        for step in plan["steps"]
        if kind_of(step) in PEOPLE_STEPS
    }


def _leaving(connection: Connection[Row], facts: DealFacts, row: Row) -> set[str]:
    """Return the assignments whose people are surely off the list."""
    if any(one.person_id is None for one in facts.staff):
        # While somebody on it cannot be told, nobody is known to be missing.
        return set()
    listed = {name for one in facts.staff for name in (str(one.person_id), one.part)}
    done = row["plan"].get("done", {})
    missing = [
        step
        for step in row["plan"]["steps"]
        if kind_of(step) == ASSIGNMENT and not {step["person_id"], step["part"]} & listed
        and step["id"] in done and not is_leaving(step)
    ]  # fmt: skip
    if not missing:
        return set()
    # A list that is not read any more leaves its last word standing in our table.
    rows = connection.execute(
        "SELECT person_id FROM assignment WHERE project_id = %s AND superseded_at IS NULL",
        (row["project_id"],),
    ).fetchall()
    assigned = {str(found["person_id"]) for found in rows}
    return {step["id"] for step in missing if step["person_id"] not in assigned}


def _store_steps(
    connection: Connection[Row], row: Row, *, joining: Sequence[Step], leaving: Collection[str]
) -> None:
    standing: list[dict[str, Any]] = row["plan"]["steps"]
    kept = [{**step, "is_leaving": True} if step["id"] in leaving else step for step in standing]
    added = list({step["id"]: step for step in joining}.values())
    # Somebody else may have changed the steps since they were read: then the next run looks again.
    connection.execute(
        """
        UPDATE provisioning_plan SET plan = jsonb_set(plan, '{steps}', %s)
        WHERE plan_id = %s AND state = 'active' AND plan -> 'steps' = %s
        """,
        (Jsonb([*kept, *added]), row["plan_id"], Jsonb(standing)),
    )

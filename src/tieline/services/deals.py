"""Look at the plan of a deal with everything that stands in its way, and ask that it be carried out.

Pattern: one transaction; the saga itself is durable work. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.runtime.work import PROVISIONING, schedule
from tieline.services.handover_drawing import Handover, draw_handover
from tieline.services.handover_policy import read_handover_policy
from tieline.services.project_provisioning import PROVISION, UNDER_WAY, as_json, find_plan_row
from tieline.services.provisioning_plan import agreed_amount

PLANS_PAGE_MAX = 500
NOT_PLANNED = "not_planned"
_COLUMNS = (
    "plan_id, deal_key, connection_key, deal_ref, project_group, state, entity_code, contract_id, project_id,"
    " won_at, planned_at, active_at, correlation_id, blockers, plan ->> 'project_code' AS project_code,"
    " (plan ->> 'amount')::numeric AS amount, plan ->> 'currency' AS currency"
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DealPlan:
    """Where one deal stands on its way to a project; every blocker at once."""

    plan_id: UUID
    deal_key: str
    connection_key: str
    deal_ref: str
    project_group: str
    state: str
    entity_code: str | None
    contract_id: UUID | None
    project_id: UUID | None
    won_at: datetime | None
    planned_at: datetime
    active_at: datetime | None
    correlation_id: str
    blockers: tuple[Mapping[str, Any], ...]
    project_code: str | None
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DealPlanDetail:
    """A deal's plan field by field; ``plan_id`` is None before it was stored.

    ``plan`` holds what each system will get, what is done, warnings, and what nobody could check.
    """

    plan_id: UUID | None
    deal_key: str
    connection_key: str
    deal_ref: str
    project_group: str
    state: str
    is_won: bool
    entity_code: str | None
    blockers: tuple[Mapping[str, Any], ...]
    plan: Mapping[str, Any]


def list_deal_plans(
    connection: Connection[Row],
    *,
    states: Sequence[str] | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[DealPlan, ...]:
    """List the plans in sight, the newest first."""
    rows = connection.execute(
        "SELECT " + _COLUMNS + " FROM provisioning_plan"
        " WHERE (%(states)s::text[] IS NULL OR state = ANY (%(states)s))"
        " ORDER BY planned_at DESC, plan_id LIMIT %(limit)s OFFSET %(offset)s",
        {
            "states": None if states is None else list(states),
            "limit": min(limit, PLANS_PAGE_MAX),
            "offset": offset,
        },
    ).fetchall()
    return _plans(rows)


def list_set_up(connection: Connection[Row], *, limit: int) -> tuple[DealPlan, ...]:
    """List the deals in sight that became projects last."""
    rows = connection.execute(
        "SELECT " + _COLUMNS + " FROM provisioning_plan WHERE state = 'active'"
        " ORDER BY active_at DESC, plan_id LIMIT %s",
        (min(limit, PLANS_PAGE_MAX),),
    ).fetchall()
    return _plans(rows)


def _plans(rows: Sequence[Row]) -> tuple[DealPlan, ...]:
    return tuple(DealPlan(**{**row, "blockers": tuple(row["blockers"])}) for row in rows)


def count_deal_plans(connection: Connection[Row]) -> dict[str, int]:
    """Return how many plans in sight are in each state."""
    rows = connection.execute(
        "SELECT state, count(*) AS plans FROM provisioning_plan GROUP BY state"
    ).fetchall()
    return {row["state"]: int(row["plans"]) for row in rows}


def get_deal_plan(connection: Connection[Row], *, plan_id: UUID) -> DealPlanDetail:
    """Return one stored plan.

    :raises LookupError: there is none in sight.
    """
    row = connection.execute(
        "SELECT * FROM provisioning_plan WHERE plan_id = %s", (plan_id,)
    ).fetchone()
    if row is None:
        raise LookupError(f"there is no plan {plan_id}")
    return DealPlanDetail(
        plan_id=row["plan_id"],
        deal_key=row["deal_key"],
        connection_key=row["connection_key"],
        deal_ref=row["deal_ref"],
        project_group=row["project_group"],
        state=row["state"],
        is_won=True,
        entity_code=row["entity_code"],
        blockers=tuple(row["blockers"]),
        plan=row["plan"],
    )


def preview_deal(connection: Connection[Row], *, ref: str, now: datetime) -> DealPlanDetail:
    """Plan a deal as it stands now without storing anything; it need not be won yet.

    What is already under way is told as it is stored.

    :raises UserMistake: no deal is known under the reference.
    """
    row = find_plan_row(connection, ref=ref)
    if row is not None and row["state"] in UNDER_WAY:
        return get_deal_plan(connection, plan_id=row["plan_id"])
    return describe_handover(connection, drawn=draw_handover(connection, ref=ref, now=now))


def describe_handover(connection: Connection[Row], *, drawn: Handover) -> DealPlanDetail:
    """Tell a drawn plan as a stored one is told; one under way is told as it is stored."""
    row = drawn.row
    if row is not None and row["state"] in UNDER_WAY:
        return get_deal_plan(connection, plan_id=row["plan_id"])
    return DealPlanDetail(
        plan_id=None if row is None else row["plan_id"],
        deal_key=drawn.subject,
        connection_key=drawn.facts.source.connection_key,
        deal_ref=drawn.facts.source.source_ref,
        project_group=drawn.facts.group.name,
        state="blocked" if drawn.judged.blockers else (row["state"] if row else NOT_PLANNED),
        is_won=drawn.facts.deal.is_won,
        entity_code=drawn.entity_code,
        blockers=tuple(as_json(found) for found in drawn.judged.blockers),
        plan=drawn.plan,
    )


def ask_for_project(
    connection: Connection[Row], *, plan_id: UUID, correlation_id: str
) -> DealPlanDetail:
    """Have a plan carried out; one that was taken back is tried again from the beginning.

    :raises LookupError: there is none in sight.
    :raises UserMistake: something stands in its way; the sentence names it.
    """
    connection.execute("SELECT 1 FROM provisioning_plan WHERE plan_id = %s FOR UPDATE", (plan_id,))
    found = get_deal_plan(connection, plan_id=plan_id)
    policy = read_handover_policy(connection, entity_code=found.entity_code)
    amount = agreed_amount(found.plan)
    match found.state:
        case "active" | "running":
            return found
        case "blocked":
            codes = ", ".join(str(blocker["code"]) for blocker in found.blockers)
            raise UserMistake(f"{found.deal_ref} cannot become a project yet: {codes}")
        case "closing" | "closed":
            raise UserMistake(
                f"{found.deal_ref} is {found.state}: once it is won again, its plan opens it again"
            )
        case _ if policy.takes_two(amount=amount):
            raise UserMistake(
                f"{found.deal_ref} takes two people: show its plan and apply it, then somebody agrees"
            )
        case "compensating":
            raise UserMistake(f"{found.deal_ref} is being taken back: ask again afterwards")
        case "compensated" | "stuck":
            connection.execute(
                "UPDATE provisioning_plan SET state = 'ready' WHERE plan_id = %s", (plan_id,)
            )
        case _:
            # It is ready.
            pass
    # Deals share clients and tasks by name, so one goes at a time; the workers take the next.
    others = connection.execute(
        "SELECT 1 AS one FROM provisioning_plan WHERE state IN ('running', 'compensating') LIMIT 1"
    ).fetchone()
    # Where the firm begins nothing by itself, nobody else would take this one up.
    if others is None or policy.waits_for_person(amount=amount):
        schedule(
            connection,
            kind=PROVISION,
            subject=str(plan_id),
            work_class=PROVISIONING,
            correlation_id=correlation_id,
        )
    return get_deal_plan(connection, plan_id=plan_id)

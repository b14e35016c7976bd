"""What would be held of the hours that nobody has approved yet."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from tieline.api.answers import EarlyHour, EarlyHours, RuleBroken
from tieline.api.callers import Doors
from tieline.api.describing import problems
from tieline.governance import ApiCaller
from tieline.services.early_look import ALL, HELD, read_early_look
from tieline.services.installation import entity_codes
from tieline.validation import EarlyVerdict

_WORD_MAX = 50


def early_routes(doors: Doors) -> APIRouter:
    """Return what can be asked about hours before they are approved."""
    routes = APIRouter(tags=["time"])
    system = doors.system

    @routes.get("/v1/early-look", responses=problems(401, 403))
    def early(
        caller: Annotated[ApiCaller, Depends(doors.may("time:read"))],
        entity_code: Annotated[str, Query(max_length=_WORD_MAX)] = "",
        project_code: Annotated[str, Query(max_length=_WORD_MAX)] = "",
        person_id: UUID | None = None,
        approver_id: UUID | None = None,
        manager_id: UUID | None = None,
        with_cleared: bool = False,
    ) -> EarlyHours:
        """Judge what is not approved yet as if it were; nothing is stored, and nothing of it is posted."""
        with system.judge_database.transaction() as connection:
            found = read_early_look(
                connection,
                now=system.clock.now(),
                entities=caller.entities,
                all_entities=entity_codes(connection),
            )
        found = found.of(
            entity_code=entity_code,
            project_code=project_code,
            person_id=person_id,
            approver_id=approver_id,
            manager_id=manager_id,
        )
        shown = found.of(state=ALL if with_cleared else HELD)
        return EarlyHours(
            entries=len(found.hours),
            seconds=found.seconds,
            held_entries=len(found.held),
            held_seconds=found.held_seconds,
            held_amounts={currency: str(worth) for currency, worth in found.held_amounts.items()},
            by_reason=found.by_reason,
            hours=[_shown(each) for each in shown.hours],
        )

    return routes


def _shown(each: EarlyVerdict) -> EarlyHour:
    return EarlyHour(
        entry_id=each.entry_id,
        connection_key=each.connection_key,
        source_ref=each.source_ref,
        person_id=each.person_id,
        project_code=each.project_code,
        entity_code=each.entity_code,
        approver_id=each.approver_id,
        manager_ids=sorted(each.managers),
        work_date=each.work_date,
        seconds=each.seconds,
        amount=None if each.amount is None else str(each.amount),
        currency=each.currency,
        outcome=each.outcome,
        is_early=True,
        reasons=[RuleBroken.of(broken) for broken in each.reasons],
    )

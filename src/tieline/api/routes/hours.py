"""Hours that are not stored yet, judged by the engine that judges a million."""

from typing import Annotated

from fastapi import APIRouter, Depends

from tieline.api.answers import RuleBroken, VerdictOnEntry, Verdicts
from tieline.api.bodies import EntriesToValidate
from tieline.api.callers import Doors
from tieline.api.describing import problems
from tieline.governance import ApiCaller
from tieline.validation import Candidate, PreviewVerdict, preview


def hours_routes(doors: Doors) -> APIRouter:
    """Return what can be asked about hours."""
    routes = APIRouter(tags=["time"])
    system = doors.system

    @routes.post("/v1/time-entries:validate", responses=problems(401, 403))
    def validate(
        body: EntriesToValidate, caller: Annotated[ApiCaller, Depends(doors.may("time:read"))]
    ) -> Verdicts:
        """Judge hours that are not stored; nothing is written."""
        candidates = [Candidate(**entry.model_dump()) for entry in body.entries]
        with system.judge_database.transaction() as connection:
            verdicts = preview(connection, entries=candidates, now=system.clock.now())
        return Verdicts(verdicts=[_shown(verdict, caller) for verdict in verdicts])

    return routes


def _shown(verdict: PreviewVerdict, caller: ApiCaller) -> VerdictOnEntry:
    if verdict.entity_code is not None and verdict.entity_code not in caller.entities:
        return VerdictOnEntry(source_ref=verdict.source_ref, outcome="not_visible", reasons=[])
    return VerdictOnEntry(
        source_ref=verdict.source_ref,
        outcome=verdict.outcome,
        amount=None if verdict.amount is None else str(verdict.amount),
        currency=verdict.currency,
        reasons=[RuleBroken.of(broken) for broken in verdict.reasons],
    )

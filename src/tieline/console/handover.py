"""Which won deals cannot be booked on yet, and why? And one deal's plan, field by field, to be applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import RedirectResponse, Response
from psycopg import Connection

from tieline.console.fields import FormDigest, FormReason, FormWord, QueryPage, QueryWord
from tieline.console.names import DEAL, Thing, read_names
from tieline.console.problems import not_found
from tieline.console.rendering import ROWS_PER_PAGE, Paging, Renderer, back_to
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.console.words import HANDOVERS, reason, spoken
from tieline.console.workbook import Column, Kind, Sheet, all_pages
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.services.at_risk import NO_WISH, Risk, Wish, list_risks
from tieline.services.deals import (
    PLANS_PAGE_MAX,
    DealPlan,
    count_deal_plans,
    list_deal_plans,
    list_set_up,
)
from tieline.services.handing_over import apply_handover, get_in_sight, show_handover
from tieline.services.handover_drawing import Handover, SeveralProjects, by_system
from tieline.services.handover_forecast import forecast_handover
from tieline.services.shown_plans import Chosen
from tieline.services.system import System

_SET_UP_SHOWN_MAX = 10
_OF_A_DEAL = (
    Column(title="Deal", width=28),
    Column(title="Called", width=36),
    Column(title="Project"),
    Column(title="Legal entity"),
    Column(title="Worth", kind=Kind.AMOUNT),
    Column(title="Currency"),
)
_NOT_YET = ("blocked", "ready", "running", "compensating", "compensated", "stuck", "closing")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingDeal:
    """A deal on its way, what it is worth, and for how long nobody can book on it."""

    deal: str
    name: str | None
    project_code: str | None
    amount: Decimal | None
    currency: str | None
    state: str
    entity_code: str | None
    won_at: datetime | None
    waits_seconds: int | None
    blockers: tuple[str, ...]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add the list, the plan of one deal, and applying it."""
    _add_list(pages, system=system, door=door, renderer=renderer)
    _add_plan(pages, system=system, door=door, renderer=renderer)


def _add_list(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.get("/handover")
    def handover(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        page: QueryPage = 1,
    ) -> Response:
        with door.sight_of(visitor) as connection:
            counts = count_deal_plans(connection)
            found = list_deal_plans(
                connection, states=_NOT_YET, limit=ROWS_PER_PAGE, offset=(page - 1) * ROWS_PER_PAGE
            )
            set_up = list_set_up(connection, limit=_SET_UP_SHOWN_MAX)
            names = _names(connection, (*found, *set_up))
        with system.database.transaction() as connection:
            risks = [
                each for each in list_risks(connection) if each.entity_code in visitor.entities
            ]
            forecast = forecast_handover(connection, states=counts, now=renderer.now)
        total = sum(counts.get(state, 0) for state in _NOT_YET)
        return renderer.page(
            request,
            visitor,
            "handover.html",
            active=counts.get("active", 0),
            risks=risks,
            forecast=forecast,
            waiting=[_waiting(each, names=names, now=renderer.now) for each in found],
            set_up=[
                (each, names.get((DEAL, each.deal_key)), _seconds_to_active(each))
                for each in set_up
            ],
            paging=Paging(page=page, total=total, path="/handover", filters={}),
        )

    @pages.get("/handover.xlsx")
    def file(visitor: Annotated[Visitor, Depends(door.visitor)]) -> Response:
        with door.sight_of(visitor) as connection:
            found = all_pages(
                lambda offset: list_deal_plans(
                    connection, states=_NOT_YET, limit=PLANS_PAGE_MAX, offset=offset
                ),
                size=PLANS_PAGE_MAX,
            )
            set_up = list_set_up(connection, limit=PLANS_PAGE_MAX)
            names = _names(connection, (*found, *set_up))
        return renderer.file(
            visitor,
            name="hand-over",
            title="Which won deals cannot be booked on yet, and why",
            filters={},
            sheets=(
                _sheet([_waiting(each, names=names, now=renderer.now) for each in found]),
                _set_up_sheet(set_up, names=names),
            ),
        )


def _names(connection: Connection[Row], plans: Sequence[DealPlan]) -> Mapping[Thing, str]:
    return read_names(connection, things=((DEAL, each.deal_key) for each in plans))


def _waiting(plan: DealPlan, *, names: Mapping[Thing, str], now: datetime) -> WaitingDeal:
    return WaitingDeal(
        deal=plan.deal_key,
        name=names.get((DEAL, plan.deal_key)),
        project_code=plan.project_code,
        # What nobody gave a currency is no amount of money.
        amount=plan.amount if plan.currency else None,
        currency=plan.currency,
        state=plan.state,
        entity_code=plan.entity_code,
        won_at=plan.won_at,
        waits_seconds=None
        if plan.won_at is None
        else max(0, int((now - plan.won_at).total_seconds())),
        blockers=tuple(str(found["code"]) for found in plan.blockers),
    )


def _set_up_sheet(plans: Sequence[DealPlan], *, names: Mapping[Thing, str]) -> Sheet:
    return Sheet(
        name="Set up last",
        columns=(
            *_OF_A_DEAL,
            Column(title="Won (UTC)", kind=Kind.INSTANT),
            Column(title="Set up (UTC)", kind=Kind.INSTANT),
            Column(title="Seconds between", kind=Kind.COUNT),
        ),
        rows=[
            (
                each.deal_key,
                names.get((DEAL, each.deal_key)),
                each.project_code,
                each.entity_code,
                each.amount if each.currency else None,
                each.currency,
                each.won_at,
                each.active_at,
                _seconds_to_active(each),
            )
            for each in plans
        ],
    )


def _seconds_to_active(plan: DealPlan) -> int | None:
    if plan.won_at is None or plan.active_at is None:
        return None
    return max(0, int((plan.active_at - plan.won_at).total_seconds()))


def _sheet(deals: Sequence[WaitingDeal]) -> Sheet:
    return Sheet(
        name="On their way",
        columns=(
            *_OF_A_DEAL,
            Column(title="State", width=20),
            Column(title="Won (UTC)", kind=Kind.INSTANT),
            Column(title="Hours since", kind=Kind.HOURS),
            Column(title="Stands in its way", width=60),
        ),
        rows=[
            (
                each.deal,
                each.name,
                each.project_code,
                each.entity_code,
                each.amount,
                each.currency,
                spoken(each.state, HANDOVERS),
                each.won_at,
                each.waits_seconds,
                "; ".join(reason(code) for code in each.blockers),
            )
            for each in deals
        ],
    )


def _add_plan(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    @pages.get("/handover/plan")
    def plan(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        deal: QueryWord,
        sponsor: QueryWord = "",
        limit: QueryWord = "",
        until: QueryWord = "",
        lost: QueryWord = "",
        client_from: QueryWord = "",
    ) -> Response:
        wish = _wish(sponsor, limit, until, client_from, is_lost=lost == "yes")
        with system.database.transaction() as connection:
            try:
                drawn = _in_sight(connection, visitor, deal, wish)
            except SeveralProjects as several:
                # Each shows the others.
                first = urlencode({"deal": next(iter(several.projects))})
                return RedirectResponse(f"/handover/plan?{first}", status_code=303)
            shown = show_handover(connection, drawn=drawn, to=visitor.login, now=renderer.now)
        return renderer.page(
            request,
            visitor,
            "handover_plan.html",
            drawn=drawn,
            digest=shown.digest,
            systems=by_system(drawn.writes),
            state=_state_of(drawn),
            may_apply=visitor.may(ROLES_THAT_APPROVE),
        )

    @pages.post("/handover/apply")
    def apply(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        deal: FormWord,
        digest: FormDigest,
        reason: FormReason,
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "apply hand-overs")
        with system.database.transaction() as connection:
            _in_sight(connection, visitor, deal)
            applied = apply_handover(
                connection,
                ref=deal,
                chosen=Chosen(digest=digest),
                by=visitor.login,
                reason=reason,
                now=renderer.now,
            )
        return back_to("/handover", done="proposed" if applied.proposal_id else "handed_over")

    def _in_sight(
        connection: Connection[Row], visitor: Visitor, deal: str, wish: Wish = NO_WISH
    ) -> Handover:
        try:
            return get_in_sight(
                connection, ref=deal, entities=visitor.entities, now=renderer.now, wish=wish
            )
        except LookupError as error:
            raise not_found("There is no such deal, or it is not yours to see.") from error


def _state_of(drawn: Handover) -> str:
    state = str(drawn.row["state"]) if drawn.row else "not_planned"
    # The row is of the last look at it; what is drawn is of now.
    return "blocked" if state == "ready" and drawn.judged.blockers else state


def _wish(sponsor: str, limit: str, until: str, client_from: str, *, is_lost: bool) -> Wish:
    """Return what a form asks of a deal that is not won, or of a running contract.

    :raises UserMistake: it asks for work at risk and does not say by whom, up to how much, until when; or its
        day is none.
    """
    if client_from:
        try:
            return Wish(client_from=date.fromisoformat(client_from))
        except ValueError as error:
            raise UserMistake("a client changes from a day on, such as 2027-01-01") from error
    if not (sponsor or limit or until):
        return Wish(is_lost=is_lost)
    try:
        risk = Risk(sponsor=sponsor, limit_amount=Decimal(limit), ends_on=date.fromisoformat(until))
    except (InvalidOperation, ValueError) as error:
        raise UserMistake("work at risk has a sponsor, an amount and a last day") from error
    return Wish(risk=risk, is_lost=is_lost)

"""A won deal on its way to a project."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import click
from psycopg import Connection

from tieline.cli.showing import as_text, show_json, show_table, tell
from tieline.cli.tools import (
    CONTROLLER,
    GOAL_MISSED,
    Tools,
    decider,
    json_option,
    pass_tools,
    shell_user,
    signed,
)
from tieline.kernel.errors import UserMistake
from tieline.kernel.wording import money
from tieline.runtime.database import Row
from tieline.runtime.telemetry import new_correlation_id
from tieline.services.at_risk import NO_WISH, OpenRisk, Risk, Wish
from tieline.services.deals import (
    DealPlanDetail,
    ask_for_project,
    count_deal_plans,
    describe_handover,
    get_deal_plan,
    preview_deal,
)
from tieline.services.handing_over import (
    Applied,
    apply_handover,
    needs_second_person,
    show_handover,
)
from tieline.services.handover_drawing import Handover, by_system, draw_handover, projects_of
from tieline.services.handover_forecast import forecast_handover
from tieline.services.provisioning_fields import Write
from tieline.services.shown_plans import DIGEST_CHARACTERS_MIN, Chosen, ShownPlan
from tieline.services.system import System

_LOOK_SECONDS = 1
_WAIT_SECONDS_MAX = 3600
_SHOWN_APART = frozenset({"steps", "lines", "warnings", "inputs", "done", "template"})
_SETTLED = frozenset({"active", "blocked", "compensated", "stuck", "closed"})


@click.command()
@click.argument("deal", required=False)
@click.option(
    "--plan", "only_plan", is_flag=True, help="Show what each system would receive; start nothing."
)
@click.option("--apply", "is_applied", is_flag=True, help="Carry out the very plan that was shown.")
@click.option("--digest", help="With --apply: that plan, by its digest; else the last one shown.")
@click.option(
    "--plan-id", "shown_id", type=click.UUID, help="The same, by the id it was shown under."
)
@click.option(
    "--by", "login", metavar="LOGIN", help="Who applies it; needed where two people agree."
)
@click.option("--reason", default="", help="Why; it is kept with --apply.")
@click.option(
    "--sponsor",
    metavar="LOGIN",
    help="With --plan, of a deal that is not won: open its project at risk; who answers for it.",
)
@click.option(
    "--limit", metavar="AMOUNT", help="With --sponsor: up to what worth, in its currency."
)
@click.option(
    "--until",
    "ends_on",
    type=click.DateTime(["%Y-%m-%d"]),
    help="With --sponsor: the first day on which nothing may wait any more.",
)
@click.option(
    "--lost", "is_lost", is_flag=True, help="With --plan: end a project that is open at risk."
)
@click.option(
    "--client-from",
    "client_from",
    type=click.DateTime(["%Y-%m-%d"]),
    help="With --plan: the client that the deal names now has its running contract from this day on.",
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, _WAIT_SECONDS_MAX),
    default=0,
    help="Wait up to so many seconds; then exit 0 means that the project is active.",
)
@json_option
@pass_tools
def provision(
    tools: Tools,
    deal: str | None,
    only_plan: bool,
    is_applied: bool,
    digest: str | None,
    shown_id: UUID | None,
    login: str | None,
    reason: str,
    sponsor: str | None,
    limit: str | None,
    ends_on: datetime | None,
    is_lost: bool,
    client_from: datetime | None,
    wait_seconds: int,
    as_json: bool,
) -> int:
    """Make a won deal a project. DEAL is connection:deal, or the id of its plan.

    Without DEAL it says what is on its way, and when the last of it will be active.
    A deal of several projects is shown and applied with all of them; one is named connection:deal:GROUP.
    The plan shows what each system will get, field by field, and every blocker at once. Exit 1 while
    one stands. What is applied is the plan that was shown; where it would be another now, exit 2.
    """
    if only_plan and is_applied:
        raise UserMistake("--plan shows and --apply carries out: one at a time")
    if not is_applied and (digest or shown_id):
        raise UserMistake("--digest and --plan-id say which plan to --apply")
    wish = _wish(sponsor, limit, ends_on, is_lost=is_lost, client_from=client_from)
    if not only_plan and wish != NO_WISH:
        raise UserMistake("what a deal is to become is said with --plan, and then applied")
    system = tools.system()
    if deal is None:
        if only_plan or is_applied:
            raise UserMistake("say which deal: connection:deal, or the id of its plan")
        return _on_their_way(system, as_json=as_json)
    if only_plan:
        return _plan(system, deal, wish, as_json=as_json)
    if is_applied:
        chosen = Chosen(digest=digest, shown_id=shown_id)
        return _apply(
            system, deal, chosen, login, reason, wait_seconds=wait_seconds, as_json=as_json
        )
    return _ask(system, deal, wait_seconds=wait_seconds, as_json=as_json)


def _wish(
    sponsor: str | None,
    limit: str | None,
    ends_on: datetime | None,
    *,
    is_lost: bool,
    client_from: datetime | None,
) -> Wish:
    told = (sponsor, limit, ends_on)
    if client_from is not None:
        if is_lost or any(told):
            raise UserMistake("--client-from is of a running contract: no --lost, nothing at risk")
        return Wish(client_from=client_from.date())
    if not any(told):
        return Wish(is_lost=is_lost)
    if sponsor is None or limit is None or ends_on is None or is_lost:
        raise UserMistake("a project at risk has --sponsor, --limit and --until, and no --lost")
    try:
        amount = Decimal(limit)
    except InvalidOperation as error:
        raise UserMistake(f"--limit is an amount such as 20000, not {limit}") from error
    return Wish(risk=Risk(sponsor=sponsor, limit_amount=amount, ends_on=ends_on.date()))


def _plan(system: System, deal: str, wish: Wish, *, as_json: bool) -> int:
    now = system.clock.now()
    with system.database.transaction() as connection:
        plans = [
            _draw(connection, key, wish, now) for key in projects_of(connection, ref=deal, now=now)
        ]
    if as_json:
        told = [_told(each) for each in plans]
        show_json(told[0] if len(told) == 1 else {"deal": deal, "projects": told})
    else:
        for each in plans:
            _show_plan(each)
    return GOAL_MISSED if any(each.found.blockers for each in plans) else 0


def _on_their_way(system: System, *, as_json: bool) -> int:
    with system.database.transaction() as connection:
        states = count_deal_plans(connection)
        forecast = forecast_handover(connection, states=states, now=system.clock.now())
    if as_json:
        show_json({"states": states, "forecast": forecast})
        return 0
    show_table(
        title="Won deals",
        columns=("State", "Projects"),
        rows=[(state, str(plans)) for state, plans in sorted(states.items())],
    )
    if not forecast.deals:
        tell(forecast.because)
        return 0
    at = forecast.through_at
    when = (
        "nobody can say when" if at is None else f"the last is active at {at:%Y-%m-%d %H:%M:%S} UTC"
    )
    tell(f"{forecast.deals} on their way, {forecast.calls} calls yet; {when}: {forecast.because}")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """The plan of one project of a deal, as it is shown."""

    drawn: Handover
    shown: ShownPlan
    found: DealPlanDetail


def _draw(connection: Connection[Row], key: str, wish: Wish, now: datetime) -> _Drawn:
    drawn = draw_handover(connection, ref=key, now=now, wish=wish)
    return _Drawn(
        drawn=drawn,
        shown=show_handover(connection, drawn=drawn, to=shell_user(), now=now),
        found=describe_handover(connection, drawn=drawn),
    )


def _told(plan: _Drawn) -> dict[str, Any]:
    return {
        "deal": plan.found,
        "kind": plan.drawn.kind,
        "changes": plan.drawn.changes,
        "digest": plan.shown.digest,
        "plan_id": plan.shown.shown_id,
        "systems": [
            {"system": key, "writes": writes}
            for key, writes in by_system(plan.drawn.writes).items()
        ],
        "checks": plan.drawn.checks,
        "risk": plan.drawn.risk,
    }


def _show_plan(plan: _Drawn) -> None:
    _show(plan.found, writes=plan.drawn.writes)
    if plan.drawn.risk is not None:
        _show_risk(plan.drawn.risk)
    digest = plan.shown.digest[:DIGEST_CHARACTERS_MIN]
    if not plan.found.blockers:
        tell(f"plan {digest} of {plan.drawn.subject}; carry it out with --apply")


def _apply(
    system: System,
    deal: str,
    chosen: Chosen,
    login: str | None,
    reason: str,
    *,
    wait_seconds: int,
    as_json: bool,
) -> int:
    by, now = shell_user(), system.clock.now()
    with system.database.transaction() as connection:
        projects = projects_of(connection, ref=deal, now=now)
        if len(projects) > 1 and chosen != Chosen():
            raise UserMistake(f"a plan is of one project of {deal}: {', '.join(projects)}")
        takes_two = any(
            needs_second_person(connection, ref=key, chosen=chosen, now=now) for key in projects
        )
    if login is not None or takes_two:
        if login is None:
            raise UserMistake(f"two people agree to {deal}: say who you are with --by LOGIN")
        by = decider(signed(system, login), role=CONTROLLER).login
    # All projects of a deal are begun together, or none is.
    with system.database.transaction() as connection:
        begun = [
            apply_handover(
                connection, ref=key, chosen=chosen, by=by, reason=reason, now=system.clock.now()
            )
            for key in projects
        ]
    results = [_followed(system, each, wait_seconds) for each in begun]
    if as_json:
        told = [{"applied": applied, "deal": found} for applied, found in results]
        show_json(told[0] if len(told) == 1 else {"deal": deal, "projects": told})
    else:
        for applied, found in results:
            _show_applied(applied, found)
    is_open = any(found is None or found.state not in ("active", "closed") for _, found in results)
    return GOAL_MISSED if wait_seconds and is_open else 0


def _followed(
    system: System, applied: Applied, wait_seconds: int
) -> tuple[Applied, DealPlanDetail | None]:
    if applied.plan_id is None:
        return applied, None
    with system.database.transaction() as connection:
        found = get_deal_plan(connection, plan_id=applied.plan_id)
    return applied, _await(system, found, seconds=wait_seconds) if wait_seconds else found


def _show_applied(applied: Applied, found: DealPlanDetail | None) -> None:
    if found is None:
        tell(f"proposal {applied.proposal_id} waits for a second person")
    else:
        _show(found)


def _ask(system: System, deal: str, *, wait_seconds: int, as_json: bool) -> int:
    with system.database.transaction() as connection:
        projects = projects_of(connection, ref=deal, now=system.clock.now())
    found = [_asked(system, key, wait_seconds=wait_seconds) for key in projects]
    if as_json:
        told = [{"deal": each} for each in found]
        show_json(told[0] if len(told) == 1 else {"deal": deal, "projects": told})
    else:
        for each in found:
            _show(each)
    is_open = any(each.state != "active" for each in found)
    return GOAL_MISSED if any(each.blockers for each in found) or (wait_seconds and is_open) else 0


def _asked(system: System, deal: str, *, wait_seconds: int) -> DealPlanDetail:
    with system.database.transaction() as connection:
        found = preview_deal(connection, ref=deal, now=system.clock.now())
    if found.blockers:
        return found
    if found.plan_id is None:
        raise UserMistake(
            f"{deal} is planned by the workers once it is won: is one running, is it read?"
        )
    with system.database.transaction() as connection:
        found = ask_for_project(
            connection, plan_id=found.plan_id, correlation_id=new_correlation_id()
        )
    return _await(system, found, seconds=wait_seconds) if wait_seconds else found


def _await(system: System, found: DealPlanDetail, *, seconds: int) -> DealPlanDetail:
    plan_id = found.plan_id
    assert isinstance(plan_id, UUID)
    deadline = time.monotonic() + seconds
    while found.state not in _SETTLED and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        with system.database.transaction() as connection:
            found = get_deal_plan(connection, plan_id=plan_id)
    return found


def _show(found: DealPlanDetail, *, writes: Sequence[Write] = ()) -> None:
    facts: Mapping[str, Any] = {
        "deal": found.deal_key,
        "state": found.state,
        "won": found.is_won,
        **{name: value for name, value in found.plan.items() if name not in _SHOWN_APART},
    }
    show_table(
        title="Plan",
        columns=("Field", "Value"),
        rows=[(name, as_text(value)) for name, value in facts.items()],
    )
    done = found.plan.get("done", {})
    show_table(
        title="What each system gets",
        columns=("System", "What", "Which", "Done"),
        rows=[
            (
                step["target"] or "tieline",
                step["noun"],
                step["part"],
                str(done[step["id"]].get("target_code") or "yes") if step["id"] in done else "",
            )
            for step in found.plan.get("steps", ())
        ],
    )
    if writes:
        _show_fields(writes)
    show_table(
        title="Sold",
        columns=("Task", "Category", "Hours", "Rate", "Markup %", "From"),
        rows=[
            (
                line["task_name"],
                line["labor_category"],
                line["hours"],
                line["rate_amount"],
                line.get("markup_percent", ""),
                line["starts_on"],
            )
            for line in found.plan.get("lines", ())
        ],
    )
    _show_template(found.plan.get("template"))
    _show_findings("Blockers", found.blockers)
    _show_findings("Warnings", found.plan.get("warnings", ()))
    if not found.blockers:
        tell("nothing stands in its way")


def _show_fields(writes: Sequence[Write]) -> None:
    show_table(
        title="Field by field",
        columns=("System", "What", "Which", "How", "Field", "Value", "From"),
        rows=[
            (
                write.target or "tieline",
                write.noun,
                write.part,
                write.action,
                field.name,
                f"<{field.waits_for}>" if field.waits_for else as_text(field.value or ""),
                field.comes_from,
            )
            for write in writes
            for field in write.fields
        ],
    )


def _show_template(template: Mapping[str, Any] | None) -> None:
    if template is not None:
        show_table(
            title=f"Laid out by {template['code']}",
            columns=("Phase", "Task", "Budget hours", "Sold"),
            rows=[
                (
                    each["phase"],
                    each["task_name"],
                    each["budget_hours"] or "",
                    "yes" if each["is_sold"] else "no",
                )
                for each in template["tasks"]
            ],
        )


def _show_risk(risk: OpenRisk) -> None:
    tell(
        f"at risk: {risk.sponsor} answers for it until {risk.ends_on}; {money(risk.amount, risk.currency)}"
        f" of {money(risk.limit_amount, risk.currency)} wait, {risk.percent} %"
    )


def _show_findings(title: str, findings: Any) -> None:
    if not findings:
        return
    show_table(
        title=title,
        columns=("Code", "Queue", "Message", "Fix", "Things"),
        rows=[
            (
                found["code"],
                found["owner_queue"],
                found["message"],
                found.get("fix_hint") or found.get("fix", ""),
                ", ".join(found["things"]),
            )
            for found in findings
        ],
    )


COMMANDS: tuple[click.Command, ...] = (provision,)

"""Show what a won deal would become in every system, and carry out exactly what was shown.

Pattern: one transaction to show, one to apply; the saga that follows is durable work. Two deals of one
client are applied one after the other. From an amount that the firm names, a second person agrees.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from psycopg import Connection

from tieline.governance import Proposal, list_proposals, propose, record_audit
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import PROVISIONING, schedule
from tieline.services.at_risk import NO_WISH, Wish, open_risk, read_wish
from tieline.services.handover_drawing import (
    CHANGE,
    CLOSE,
    NOVATION,
    Handover,
    SeveralProjects,
    draw_handover,
)
from tieline.services.handover_policy import read_handover_policy
from tieline.services.project_provisioning import (
    PROVISION,
    UNDER_WAY,
    begin_close,
    begin_plan,
    change_terms,
    find_plan_row,
    novate,
    store_plan,
)
from tieline.services.provisioning_plan import AT_RISK
from tieline.services.shown_plans import (
    Chosen,
    ShownPlan,
    get_shown,
    keep_shown,
    note_applied,
    refuse_stale,
)
from tieline.services.unbilled import leave_out_unbilled, refuse_while_released

APPLY = "handover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What came of applying: the plan that is carried out, or the proposal that waits."""

    plan_id: UUID | None
    state: str
    digest: str
    proposal_id: UUID | None


def show_handover(
    connection: Connection[Row], *, drawn: Handover, to: str, now: datetime
) -> ShownPlan:
    """Keep what is shown of a drawn plan, so that it can be applied."""
    return keep_shown(
        connection,
        kind=APPLY,
        subject=drawn.subject,
        entity_code=drawn.entity_code,
        content=drawn.content,
        to=to,
        now=now,
    )


def apply_handover(
    connection: Connection[Row],
    *,
    ref: str,
    chosen: Chosen,
    by: str,
    reason: str,
    now: datetime,
    through: str = "",
) -> Applied:
    """Carry out the very plan that was shown, or ask a second person where the firm wants one.

    :raises UserMistake: it is stale, blocked, not won, under way already, or was never shown.
    """
    drawn, shown = _shown_and_now(connection, ref=ref, chosen=chosen, now=now)
    if shown.applied_at is not None:
        return _again(drawn, shown)
    _refuse_what_cannot_begin(connection, drawn, shown)
    if _takes_two(connection, drawn):
        proposal = _propose(
            connection, drawn, shown, by=by, reason=reason, now=now, through=through
        )
        return Applied(
            plan_id=None, state="proposed", digest=shown.digest, proposal_id=proposal.proposal_id
        )
    return _begin(connection, drawn, shown, by=by, reason=reason, now=now)


def _again(drawn: Handover, shown: ShownPlan) -> Applied:
    """Answer what is asked a second time as the first time: nothing begins again.

    :raises UserMistake: what came of the plan is over.
    """
    row = drawn.row
    is_closed = shown.content["kind"] == CLOSE and row is not None and row["state"] == "closed"
    if row is None or not (row["state"] in UNDER_WAY or is_closed):
        raise UserMistake(f"this plan of {drawn.subject} was applied and is over: look again")
    return Applied(
        plan_id=row["plan_id"], state=row["state"], digest=shown.digest, proposal_id=None
    )


def get_in_sight(
    connection: Connection[Row],
    *,
    ref: str,
    entities: Collection[str],
    now: datetime,
    wish: Wish = NO_WISH,
) -> Handover:
    """Draw a deal's plan for somebody who sees these legal entities.

    :raises LookupError: no deal is known under the reference, or it is another legal entity's.
    :raises UserMistake: the wish is not for such a deal, or it becomes several projects.
    """
    try:
        drawn = draw_handover(connection, ref=ref, now=now)
    except SeveralProjects as several:
        seen = _seen(several.projects, entities)
        if not seen:
            raise LookupError(f"{ref} is a deal of another legal entity") from several
        raise SeveralProjects(deal=several.deal, projects=seen) from several
    except UserMistake as error:
        raise LookupError(str(error)) from error
    if not _seen({drawn.subject: drawn.entity_code}, entities):
        raise LookupError(f"{ref} is a deal of another legal entity")
    # Only now: why a wish is refused tells of the deal.
    wished = drawn if wish == NO_WISH else draw_handover(connection, ref=ref, now=now, wish=wish)
    return replace(wished, projects=_seen(wished.projects, entities))


def _seen(projects: Mapping[str, str | None], entities: Collection[str]) -> dict[str, str | None]:
    return {
        key: code
        for key, code in projects.items()
        if (bool(entities) if code is None else code in entities)
    }


def needs_second_person(
    connection: Connection[Row], *, ref: str, chosen: Chosen, now: datetime
) -> bool:
    """Say whether the firm wants two people to agree to this deal's plan.

    :raises UserMistake: no deal is known under the reference, or no such plan of it was shown.
    """
    shown = get_shown(connection, kind=APPLY, subject=_subject(connection, ref), chosen=chosen)
    return _takes_two(
        connection, draw_handover(connection, ref=ref, now=now, wish=_still_wanted(shown))
    )


def _still_wanted(shown: ShownPlan) -> Wish:
    """Return what a plan was shown for; a client that took over already is not to take over once more."""
    wish = read_wish(shown.content)
    return wish if shown.applied_at is None else replace(wish, client_from=None)


def _takes_two(connection: Connection[Row], drawn: Handover) -> bool:
    # Closing alone lets nothing be billed that was not; what may be billed, or is taken back, takes two.
    if drawn.kind in (CHANGE, CLOSE, AT_RISK, NOVATION):
        return drawn.kind != CLOSE or drawn.unbilled is not None
    policy = read_handover_policy(connection, entity_code=drawn.entity_code)
    return policy.takes_two(amount=drawn.facts.group.deal_amount)


def carry_out_apply(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Begin the hand-over that two people agreed to; as the worker.

    :raises UserMistake: the plan is stale, or cannot begin any more.
    """
    drawn, shown = _shown_and_now(
        connection,
        ref=proposal.payload["deal"],
        chosen=Chosen(digest=proposal.payload["digest"]),
        now=now,
    )
    _refuse_what_cannot_begin(connection, drawn, shown)
    _begin(
        connection,
        drawn,
        shown,
        by=proposal.approved_by or "",
        reason=proposal.reason,
        now=now,
        proposed_by=proposal.proposed_by,
    )
    return len(drawn.writes)


def _shown_and_now(
    connection: Connection[Row], *, ref: str, chosen: Chosen, now: datetime
) -> tuple[Handover, ShownPlan]:
    shown = get_shown(connection, kind=APPLY, subject=_subject(connection, ref), chosen=chosen)
    wish = _still_wanted(shown)
    drawn = draw_handover(connection, ref=ref, now=now, wish=wish)
    # Whoever applies a deal of the same client waits here until this one is begun or refused.
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 6028))",
        (drawn.plan["client_id"] or drawn.subject,),
    )
    drawn = draw_handover(connection, ref=ref, now=now, wish=wish)
    return drawn, get_shown(connection, kind=APPLY, subject=drawn.subject, chosen=chosen)


def _subject(connection: Connection[Row], ref: str) -> str:
    row = find_plan_row(connection, ref=ref)
    return row["deal_key"] if row else ref


def _refuse_what_cannot_begin(
    connection: Connection[Row], drawn: Handover, shown: ShownPlan
) -> None:
    deal = drawn.facts.deal
    is_open_at_risk = drawn.kind == AT_RISK and drawn.risk is not None
    if drawn.kind in (CLOSE, CHANGE, NOVATION) or is_open_at_risk:
        refuse_stale(shown, content=drawn.content)
        _refuse_blocked(drawn, "changed")
        takes_back = drawn.unbilled is not None or drawn.kind == NOVATION
        if takes_back and drawn.row is not None:
            refuse_while_released(connection, contract_id=drawn.row["contract_id"])
        return
    if drawn.row is not None and drawn.row["state"] in UNDER_WAY:
        also = ", ".join(drawn.changes)
        how = " ".join(
            told.value or ""
            for each in drawn.writes
            for told in each.fields
            if each.step.startswith("change:") and told.name not in ("agreed", "deal")
        )
        raise UserMistake(
            f"{drawn.subject} is a project already ({drawn.row['state']}): it is not made twice"
            + (f"; {also} changed since and is a change order by hand. {how}" if also else "")
        )
    if drawn.facts.source.is_deleted:
        raise UserMistake(f"{drawn.subject} is deleted in its system: nothing becomes of it")
    if not deal.is_won and drawn.kind != AT_RISK:
        raise UserMistake(
            f"{drawn.subject} is not won, it stands at {deal.stage}: nothing was begun"
        )
    refuse_stale(shown, content=drawn.content)
    _refuse_blocked(drawn, "made a project yet")
    other = connection.execute(
        """
        SELECT deal_key AS deal FROM provisioning_plan
        WHERE plan ->> 'client_id' = %s AND state IN ('running', 'compensating')
          AND (connection_key, deal_ref) <> (%s, %s) LIMIT 1
        """,
        (
            drawn.plan["client_id"],
            drawn.facts.source.connection_key,
            drawn.facts.source.source_ref,
        ),
    ).fetchone()
    if other is not None:
        raise UserMistake(
            f"{other['deal']} of the same client is being handed over: apply {drawn.subject} afterwards"
        )


def _refuse_blocked(drawn: Handover, what: str) -> None:
    if drawn.judged.blockers:
        codes = ", ".join(found.code for found in drawn.judged.blockers)
        raise UserMistake(f"{drawn.subject} cannot be {what}: {codes}")


def _begin(
    connection: Connection[Row],
    drawn: Handover,
    shown: ShownPlan,
    *,
    by: str,
    reason: str,
    now: datetime,
    proposed_by: str = "",
) -> Applied:
    row, state = _moved(connection, drawn, now, proposed_by=proposed_by, approved_by=by)
    if drawn.unbilled is not None:
        leave_out_unbilled(
            connection,
            unbilled=drawn.unbilled,
            because=f"deal.closed:{row['plan_id']}",
            reason=reason,
            proposed_by=proposed_by,
            approved_by=by,
            correlation_id=row["correlation_id"] or new_correlation_id(),
            now=now,
        )
    if drawn.wish.risk is not None:
        open_risk(
            connection,
            plan=row,
            risk=drawn.wish.risk,
            proposed_by=proposed_by,
            approved_by=by,
            now=now,
        )
    note_applied(connection, shown=shown, by=by, now=now)
    record_audit(
        connection,
        now=now,
        actor=by,
        action="deal.closed"
        if drawn.kind == CLOSE
        else "deal.change_applied"
        if drawn.kind == CHANGE
        else "deal.novated"
        if drawn.kind == NOVATION
        else "deal.opened_at_risk"
        if drawn.kind == AT_RISK
        else "deal.applied",
        object=f"deal:{drawn.subject}",
        entity_code=drawn.entity_code,
        reason=reason,
        data={"digest": shown.digest, "plan_id": str(row["plan_id"])}
        | ({"proposed_by": proposed_by} if proposed_by else {}),
    )
    schedule(
        connection,
        kind=PROVISION,
        subject=str(row["plan_id"]),
        work_class=PROVISIONING,
        correlation_id=row["correlation_id"] or new_correlation_id(),
    )
    return Applied(plan_id=row["plan_id"], state=state, digest=shown.digest, proposal_id=None)


def _moved(
    connection: Connection[Row],
    drawn: Handover,
    now: datetime,
    *,
    proposed_by: str,
    approved_by: str,
) -> tuple[Row, str]:
    """Bring the stored plan to where its run begins.

    :raises UserMistake: somebody else moved it meanwhile.
    """
    if drawn.kind == CLOSE:
        assert drawn.row is not None
        row, wanted = drawn.row, "closing"
        state = begin_close(connection, plan_id=row["plan_id"])
    elif drawn.kind == CHANGE:
        assert drawn.row is not None
        row, wanted = drawn.row, "active"
        state = change_terms(connection, facts=drawn.facts, names=drawn.changes, row=row, now=now)
    elif drawn.kind == NOVATION:
        assert drawn.row is not None
        assert drawn.wish.client_from is not None
        row, wanted = drawn.row, "active"
        state = novate(
            connection,
            facts=drawn.facts,
            row=row,
            on=drawn.wish.client_from,
            proposed_by=proposed_by,
            approved_by=approved_by,
            now=now,
        )
    elif drawn.risk is not None and drawn.row is not None:
        # Other terms of what is open: nothing is sent.
        row, state, wanted = drawn.row, drawn.row["state"], "active"
    else:
        store_plan(connection, drawn.facts, drawn.judged, drawn.row, now=now)
        found = find_plan_row(connection, ref=drawn.subject)
        assert found is not None
        row, wanted = found, "running"
        # One that was taken back or closed begins anew, though nothing of it changed.
        connection.execute(
            "UPDATE provisioning_plan SET state = 'ready' WHERE plan_id = %s"
            " AND state IN ('compensated', 'stuck', 'closed')",
            (row["plan_id"],),
        )
        state = begin_plan(connection, plan_id=row["plan_id"], now=now)
    if state != wanted:
        raise UserMistake(f"{drawn.subject} cannot begin, it is {state}: look again")
    return row, state


def _propose(
    connection: Connection[Row],
    drawn: Handover,
    shown: ShownPlan,
    *,
    by: str,
    reason: str,
    now: datetime,
    through: str,
) -> Proposal:
    subject = f"deal:{drawn.subject}"
    for waiting in list_proposals(connection, kind=APPLY, object=subject):
        if waiting.payload["digest"] == shown.digest:
            raise UserMistake(
                f"{waiting.proposed_by} has proposed it already: somebody else agrees"
            )
    return propose(
        connection,
        kind=APPLY,
        object=subject,
        entity_code=drawn.entity_code,
        payload={
            "deal": drawn.subject,
            "digest": shown.digest,
            "content": shown.digest,
            "told": _told_of(drawn),
        },
        by=by,
        reason=reason,
        now=now,
        through=through,
    )


def _told_of(drawn: Handover) -> str:
    deal, risk = drawn.facts.deal, drawn.wish.risk
    steps = f"{len(drawn.writes)} steps"
    if drawn.wish.client_from is not None:
        return f"{steps}, another client from {drawn.wish.client_from.isoformat()} on"
    if drawn.unbilled is not None:
        return f"{steps}, writes off {drawn.unbilled.told}"
    if risk is None:
        return f"{steps}, {deal.amount} {deal.currency}"
    return (
        f"{steps}, at risk up to {risk.limit_amount} {deal.currency} until {risk.ends_on},"
        f" {risk.sponsor} answers for it"
    )

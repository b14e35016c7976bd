"""Show what a won deal would become in every system, and carry out exactly what was shown.

Pattern: one transaction to show, one to apply; the saga that follows is durable work. Two deals of one
client are applied one after the other. From an amount that the firm names, a second person agrees.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import Proposal, list_proposals, propose, record_audit
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import PROVISIONING, schedule
from tieline.services.at_risk import (
    ASKED_WHEN_WON,
    NO_WISH,
    OpenRisk,
    Wish,
    find_risk,
    open_risk,
    read_wish,
    refuse_wrong_wish,
)
from tieline.services.deal_changes import CARRIED_OUT, LineChanges, draw_lines, new_steps, renamed
from tieline.services.handover_changes import (
    fields_of,
    writes_by_hand,
    writes_elsewhere,
    writes_of_lines,
    writes_of_unbilled,
)
from tieline.services.handover_policy import read_handover_policy
from tieline.services.project_provisioning import (
    PROVISION,
    UNDER_WAY,
    begin_close,
    begin_plan,
    change_terms,
    changed_terms,
    find_plan_row,
    judge_reopening,
    read_severities,
    severities_of,
    store_plan,
)
from tieline.services.provisioning_checks import CHECKS, Judged, judge_deals
from tieline.services.provisioning_facts import DealFacts, load_deals
from tieline.services.provisioning_fields import Write, writes_of
from tieline.services.provisioning_plan import (
    AT_RISK,
    Plan,
    at_risk_plan,
    build_plan,
    closed_step,
    closing_steps,
    terms_of,
    with_terms,
)
from tieline.services.shown_plans import (
    Chosen,
    ShownPlan,
    digest_of,
    get_shown,
    keep_shown,
    note_applied,
    refuse_stale,
)
from tieline.services.unbilled import (
    Unbilled,
    find_unbilled,
    leave_out_unbilled,
    refuse_while_released,
)

APPLY = "handover"
PROVISIONED, CHANGE, CLOSE, STANDS = "provision", "change", "close", "stands"
_CHECKS_OF_A_CHANGE = frozenset(
    {
        *(rule.code for rule in CHECKS if rule.scope == "line"),
        "deal.lines_missing",
        "deal.code_unknown",
        "deal.category_unnamed",
        "deal.ends_before_start",
        "deal.schedule_outside_contract",
        "deal.amount_differs_from_lines",
        "deal.amount_not_positive",
        "deal.cap_missing",
        "deal.cap_over_value",
        "deal.schedule_differs_from_amount",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAnswer:
    """What one check said: it holds, blocks, warns, is ignored, or had nothing to go by."""

    code: str
    outcome: str
    owner_queue: str
    message: str
    fix: str
    things: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A deal as it would be handed over now: every check's answer and every field for every system.

    ``kind`` is provision, at_risk (before it is won), change (the contract of a project that is made),
    close (it was lost after its project was made) or stands (its project is made); ``changes`` are the terms
    that differ from those the project was made by; ``unbilled`` is what closing it takes back, where the firm
    wants that or it was at risk.
    """

    kind: str
    changes: tuple[str, ...]
    facts: DealFacts
    row: Row | None
    plan: Plan
    judged: Judged
    writes: tuple[Write, ...]
    checks: tuple[CheckAnswer, ...]
    unbilled: Unbilled | None = None
    wish: Wish = NO_WISH
    risk: OpenRisk | None = None

    @property
    def subject(self) -> str:
        return self.facts.key

    @property
    def entity_code(self) -> str | None:
        return self.facts.deal.entity_code

    @property
    def content(self) -> dict[str, Any]:
        """Return what a person agrees to: by system and step what it receives, and what was found."""
        return {
            "deal": self.subject,
            "kind": self.kind,
            "client_id": self.plan["client_id"],
            "findings": {
                found.code: {"severity": found.severity, "things": list(found.things)}
                for found in (*self.judged.blockers, *self.judged.warnings)
            },
            "writes": {each.step: _told(each) for each in self.writes},
            **({"unbilled": self.unbilled.digest} if self.unbilled else {}),
            **self.wish.told,
        }

    @property
    def digest(self) -> str:
        return digest_of(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What came of applying: the plan that is carried out, or the proposal that waits."""

    plan_id: UUID | None
    state: str
    digest: str
    proposal_id: UUID | None


def draw_handover(
    connection: Connection[Row], *, ref: str, now: datetime, wish: Wish = NO_WISH
) -> Handover:
    """Plan a deal as everything stands now, whatever was planned before; as the worker.

    :raises UserMistake: no deal is known under the reference, or the wish is not for such a deal.
    """
    row = find_plan_row(connection, ref=ref)
    name = f"{row['connection_key']}:{row['deal_ref']}" if row else ref
    deals = load_deals(connection, now=now)
    found = [facts for facts in deals if facts.key == name]
    if len(found) != 1:
        raise UserMistake(f"no deal is known as {ref}: write connection:deal, or the plan's id")
    (facts,) = found
    risk = find_risk(connection, plan_id=row["plan_id"]) if row else None
    state = row["state"] if row is not None else None
    refuse_wrong_wish(
        connection, wish=wish, facts=facts, risk=risk, is_made=state in UNDER_WAY, now=now
    )
    if row is not None and row["state"] == "active" and not facts.is_won:
        if risk is None or wish.is_lost or facts.source.is_deleted:
            return replace(_draw_close(connection, facts, row, risk), wish=wish, risk=risk)
        if wish.risk is not None:
            return _draw_other_risk(facts, row, wish, risk)
    severities = severities_of(read_severities(connection), facts)
    if wish.risk is not None:
        return _draw_at_risk(connection, facts, row, severities, deals, wish)
    (found_now,) = judge_deals(connection, deals=[facts], severities=[severities], among=deals)
    judged = judge_reopening(connection, facts=facts, row=row, judged=found_now)
    plan = build_plan(facts, judged)
    is_made = row is not None and row["state"] in UNDER_WAY
    changes = changed_terms(facts, row["plan"]) if row is not None and is_made else ()
    lines = None
    if row is not None and row["state"] == "active" and changes:
        lines = draw_lines(connection, facts=facts, row=row)
        if CARRIED_OUT.issuperset(changes) and not lines.troubles:
            return _draw_change(connection, facts, row, changes, lines, severities)
    return Handover(
        kind=STANDS if is_made else PROVISIONED,
        changes=changes,
        facts=facts,
        row=row,
        plan=plan,
        judged=judged,
        writes=(
            *writes_of(connection, facts=facts, plan=plan, row=row),
            *writes_by_hand(facts, row, changes, lines),
        ),
        checks=_answers(judged, severities),
        risk=risk,
    )


def _draw_at_risk(
    connection: Connection[Row],
    facts: DealFacts,
    row: Row | None,
    severities: Mapping[str, str],
    among: Sequence[DealFacts],
    wish: Wish,
) -> Handover:
    """Plan the project of a deal that is not won: as if it were, but for what only a signed deal has."""
    assert wish.risk is not None
    severities = {**severities, **dict.fromkeys(ASKED_WHEN_WON, "ignore")}
    (judged,) = judge_deals(connection, deals=[facts], severities=[severities], among=among)
    plan = at_risk_plan(build_plan(facts, judged))
    return Handover(
        kind=AT_RISK,
        changes=(),
        facts=facts,
        row=row,
        plan=plan,
        judged=judged,
        writes=(
            *writes_of(connection, facts=facts, plan=plan, row=row),
            _said("risk", None, AT_RISK, wish.risk.told()),
        ),
        checks=_answers(judged, severities),
        wish=wish,
    )


def _draw_other_risk(facts: DealFacts, row: Row, wish: Wish, standing: OpenRisk | None) -> Handover:
    """Plan other terms of a project that is open at risk."""
    assert wish.risk is not None
    return Handover(
        kind=AT_RISK,
        changes=(),
        facts=facts,
        row=row,
        plan=row["plan"],
        judged=Judged(blockers=(), warnings=(), not_checked=()),
        writes=(_said("risk", None, AT_RISK, wish.risk.told()),),
        checks=(),
        wish=wish,
        risk=standing,
    )


def _draw_change(
    connection: Connection[Row],
    facts: DealFacts,
    row: Row,
    changes: tuple[str, ...],
    lines: LineChanges,
    severities: Mapping[str, str],
) -> Handover:
    """Plan what a change order changes: the contract as we keep it, and tasks that systems lack for it."""
    (judged,) = judge_deals(
        connection, deals=[facts], severities=[severities], asked=_CHECKS_OF_A_CHANGE
    )
    terms = terms_of(facts)
    plan = with_terms(renamed(row["plan"], lines), facts, changes)
    added = {**plan, "steps": new_steps(facts, plan)}
    ours = {name: terms[name] for name in changes if name != "lines"}
    return Handover(
        kind=CHANGE,
        changes=changes,
        facts=facts,
        row=row,
        plan=row["plan"],
        judged=judged,
        writes=(
            *((_said("contract", None, CHANGE, ours),) if ours else ()),
            *writes_of_lines(lines),
            *writes_of(connection, facts=facts, plan=added, row=row),
            *writes_elsewhere(facts, row["plan"], changes),
        ),
        checks=_answers(judged, severities, asked=_CHECKS_OF_A_CHANGE),
    )


def _draw_close(
    connection: Connection[Row], facts: DealFacts, row: Row, risk: OpenRisk | None
) -> Handover:
    """Plan what closes the project of a deal that was lost, and what of its hours is taken back."""
    unbilled = _unbilled_to_reverse(connection, row, risk)
    plan: Plan = row["plan"]
    steps = {step["id"]: step for step in plan["steps"]}
    taken_back = [
        Write(
            step=f"undo {name}",
            target=plan["done"][name].get("target"),
            noun=name.partition(":")[0].partition(".")[2],
            part=steps[name]["part"] if name in steps else "",
            action="take_back",
            target_code=plan["done"][name]["target_code"],
            fields=(),
        )
        for name in closing_steps(plan)
    ]
    told = closed_step(row)
    return Handover(
        kind=CLOSE,
        changes=(),
        facts=facts,
        row=row,
        plan=plan,
        judged=Judged(blockers=(), warnings=(), not_checked=()),
        writes=(
            *taken_back,
            *writes_of_unbilled(facts, unbilled),
            _said(told["id"], told["target"], "report", {"project_status": "closed"}),
            _said(CLOSE, None, "close", {"status": "closed", "accepts_time": "false"}),
        ),
        checks=(),
        unbilled=unbilled,
    )


def _unbilled_to_reverse(
    connection: Connection[Row], row: Row, risk: OpenRisk | None
) -> Unbilled | None:
    """Return what is taken back; None where the firm keeps it, or there is nothing."""
    policy = read_handover_policy(connection, entity_code=row["entity_code"])
    # What was worked at risk waits for a deal that does not come: there is nobody to bill it to.
    if risk is None and not policy.reverses_unbilled:
        return None
    found = find_unbilled(connection, project_id=row["project_id"])
    return found if found.entries else None


def _said(step: str, target: str | None, action: str, values: Mapping[str, str | None]) -> Write:
    nouns = {CHANGE: "contract", CLOSE: "project", AT_RISK: "project"}
    return Write(
        step=step,
        target=target,
        noun=nouns.get(action, "status"),
        part="",
        action=action,
        target_code=None,
        fields=fields_of(values),
    )


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
) -> Handover:
    """Draw a deal's plan for somebody who sees these legal entities.

    :raises LookupError: it is another legal entity's.
    :raises UserMistake: no deal is known under the reference.
    """
    drawn = draw_handover(connection, ref=ref, now=now)
    is_seen = bool(entities) if drawn.entity_code is None else drawn.entity_code in entities
    if not is_seen:
        raise LookupError(f"{ref} is a deal of another legal entity")
    return drawn


def needs_second_person(
    connection: Connection[Row], *, ref: str, chosen: Chosen, now: datetime
) -> bool:
    """Say whether the firm wants two people to agree to this deal's plan.

    :raises UserMistake: no deal is known under the reference, or no such plan of it was shown.
    """
    shown = get_shown(connection, kind=APPLY, subject=_subject(connection, ref), chosen=chosen)
    return _takes_two(
        connection, draw_handover(connection, ref=ref, now=now, wish=read_wish(shown.content))
    )


def _takes_two(connection: Connection[Row], drawn: Handover) -> bool:
    # Closing alone lets nothing be billed that was not; what may be billed, or is taken back, takes two.
    if drawn.kind in (CHANGE, CLOSE, AT_RISK):
        return drawn.kind != CLOSE or drawn.unbilled is not None
    policy = read_handover_policy(connection, entity_code=drawn.entity_code)
    return policy.takes_two(amount=drawn.facts.deal.amount)


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
    wish = read_wish(shown.content)
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
    return f"{row['connection_key']}:{row['deal_ref']}" if row else ref


def _refuse_what_cannot_begin(
    connection: Connection[Row], drawn: Handover, shown: ShownPlan
) -> None:
    deal = drawn.facts.deal
    is_open_at_risk = drawn.kind == AT_RISK and drawn.risk is not None
    if drawn.kind in (CLOSE, CHANGE) or is_open_at_risk:
        refuse_stale(shown, content=drawn.content)
        _refuse_blocked(drawn, "changed")
        if drawn.unbilled is not None and drawn.row is not None:
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
        SELECT connection_key || ':' || deal_ref AS deal FROM provisioning_plan
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
    row, state = _moved(connection, drawn, now)
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


def _moved(connection: Connection[Row], drawn: Handover, now: datetime) -> tuple[Row, str]:
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
    if drawn.unbilled is not None:
        return f"{steps}, writes off {drawn.unbilled.told}"
    if risk is None:
        return f"{steps}, {deal.amount} {deal.currency}"
    return (
        f"{steps}, at risk up to {risk.limit_amount} {deal.currency} until {risk.ends_on},"
        f" {risk.sponsor} answers for it"
    )


def _answers(
    judged: Judged, severities: Mapping[str, str], *, asked: Collection[str] | None = None
) -> tuple[CheckAnswer, ...]:
    found = {each.code: ("blocks", each.things) for each in judged.blockers}
    found |= {each.code: ("warns", each.things) for each in judged.warnings}
    found |= dict.fromkeys(judged.not_checked, ("not_checked", ()))
    answers: list[CheckAnswer] = []
    for check in CHECKS:
        if asked is not None and check.code not in asked:
            continue
        is_ignored = severities.get(check.code, check.severity) == "ignore"
        outcome, things = found.get(check.code, ("ignored" if is_ignored else "holds", ()))
        answers.append(
            CheckAnswer(
                code=check.code,
                outcome=outcome,
                owner_queue=check.owner_queue,
                message=check.message,
                fix=check.fix_hint,
                things=things,
            )
        )
    return tuple(answers)


def _told(write: Write) -> dict[str, Any]:
    return {
        "target": write.target,
        "action": write.action,
        "target_code": write.target_code,
        **{each.name: each.value or each.waits_for for each in write.fields},
    }


def by_system(writes: Sequence[Write]) -> Mapping[str, tuple[Write, ...]]:
    """Return what each system receives, in the order in which they are first asked."""
    systems: dict[str, tuple[Write, ...]] = {}
    for write in writes:
        key = write.target or "tieline"
        systems[key] = (*systems.get(key, ()), write)
    return systems

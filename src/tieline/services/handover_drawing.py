"""Draw what a deal would become now in every system: made, opened at risk, changed, closed, or as it stands.

Pattern: inside the transaction of who asks, as the worker. Vendor calls: none; nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.services.at_risk import (
    ASKED_WHEN_WON,
    NO_WISH,
    OpenRisk,
    Wish,
    find_risk,
    refuse_wrong_wish,
)
from tieline.services.client_change import facts_from, novation_of, refuse_wrong_day
from tieline.services.deal_changes import CARRIED_OUT, LineChanges, draw_lines, new_steps, renamed
from tieline.services.handover_changes import (
    fields_of,
    writes_by_hand,
    writes_elsewhere,
    writes_of_lines,
    writes_of_novation,
    writes_of_unbilled,
)
from tieline.services.handover_policy import read_handover_policy
from tieline.services.project_provisioning import (
    UNDER_WAY,
    changed_terms,
    find_plan_row,
    judge_later_life,
    read_severities,
    severities_of,
)
from tieline.services.provisioning_checks import CHECKS, Judged, judge_deals
from tieline.services.provisioning_facts import DealFacts, load_deals
from tieline.services.provisioning_fields import (
    Write,
    writes_of,
    writes_of_markups,
    writes_of_shares,
    writes_of_template,
)
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
    digest_of,
)
from tieline.services.unbilled import (
    Unbilled,
    find_unbilled,
)

PROVISIONED, CHANGE, CLOSE, STANDS = "provision", "change", "close", "stands"
NOVATION = "novation"
_KEPT = "what is booked on it until then"
_REST = "what is left of amount and hours"
_CAP_KEPT = {"cap_amount": "what hours before that day take of it, as far as nothing holds them"}
_CAP_LEFT = {"cap_amount": "what is left of it"}
_CHECKS_OF_A_CHANGE = frozenset(
    {
        *(rule.code for rule in CHECKS if rule.scope == "line"),
        "deal.lines_missing",
        "deal.code_unknown",
        "deal.category_unnamed",
        "deal.code_unnamed",
        "deal.ends_before_start",
        "deal.schedule_outside_contract",
        "deal.amount_differs_from_lines",
        "deal.amount_not_positive",
        "deal.cap_missing",
        "deal.cap_not_divided",
        "deal.cap_over_value",
        "deal.schedule_differs_from_amount",
    }
)


# What is asked of the client that takes a contract over.
_ABOUT_CLIENT = ("client_", "vat_", "tax_", "purchase_order_")
_CHECKS_OF_A_CLIENT = frozenset(
    {
        *(r.code for r in CHECKS if r.code.partition(".")[2].startswith(_ABOUT_CLIENT)),
        "deal.code_unnamed",
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
    """A project of a deal as it would be handed over now: every check's answer and every field for every system.

    ``kind`` is provision, at_risk (before it is won), change (the contract of a project that is made),
    novation (the contract of a project is another client's from a day on), close (it was lost after its
    project was made) or stands (its project is made); ``changes`` are the terms that differ from those the
    project was made by; ``projects`` are all that the deal becomes, each with its legal entity; ``unbilled``
    is what closing it takes back, where the firm wants that or it was at risk.
    """

    kind: str
    changes: tuple[str, ...]
    facts: DealFacts
    row: Row | None
    plan: Plan
    judged: Judged
    writes: tuple[Write, ...]
    checks: tuple[CheckAnswer, ...]
    projects: Mapping[str, str | None] = field(default_factory=dict)
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


class SeveralProjects(UserMistake):
    """Name the projects that a deal becomes, by legal entity: each has a plan of its own."""

    def __init__(self, *, deal: str, projects: Mapping[str, str | None]) -> None:
        names = ", ".join(projects)
        super().__init__(f"{deal} becomes {len(projects)} projects, each with its plan: {names}")
        self.deal = deal
        self.projects = projects


def projects_of(connection: Connection[Row], *, ref: str, now: datetime) -> tuple[str, ...]:
    """Return the projects that a deal becomes, to be planned one by one; one alone is named as it was asked for."""
    try:
        _find_facts(connection, load_deals(connection, now=now), ref)
    except SeveralProjects as several:
        return tuple(several.projects)
    except UserMistake:
        # Whoever draws its plan says so.
        return (ref,)
    return (ref,)


def _find_facts(
    connection: Connection[Row], deals: Sequence[DealFacts], ref: str
) -> tuple[DealFacts, Row | None]:
    """Return a deal's one project, by its key or the id of its plan, with the plan as it is stored."""
    row = find_plan_row(connection, ref=ref)
    name = row["deal_key"] if row else ref
    found = [facts for facts in deals if facts.key == name]
    if len(found) == 1:
        return found[0], row
    several = [facts for facts in deals if facts.deal_key == name]
    if several:
        raise SeveralProjects(deal=name, projects=_entities_of(several))
    raise UserMistake(f"no deal is known as {ref}: write connection:deal, or the plan's id")


def draw_handover(
    connection: Connection[Row], *, ref: str, now: datetime, wish: Wish = NO_WISH
) -> Handover:
    """Plan a project of a deal as everything stands now, whatever was planned before; as the worker.

    :raises SeveralProjects: the deal becomes several.
    :raises UserMistake: no deal is known under the reference, or the wish is not for such a deal.
    """
    deals = load_deals(connection, now=now)
    facts, row = _find_facts(connection, deals, ref)
    drawn = _draw(connection, facts, row, deals, wish, now)
    together = [each for each in deals if each.deal_key == facts.deal_key]
    return replace(drawn, projects=_entities_of(together))


def _entities_of(projects: Sequence[DealFacts]) -> dict[str, str | None]:
    return {facts.key: facts.deal.entity_code for facts in projects}


def _draw(
    connection: Connection[Row],
    facts: DealFacts,
    row: Row | None,
    deals: Sequence[DealFacts],
    wish: Wish,
    now: datetime,
) -> Handover:
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
    judged = judge_later_life(connection, facts=facts, row=row, judged=found_now)
    plan = build_plan(facts, judged)
    is_made = row is not None and row["state"] in UNDER_WAY
    changes = changed_terms(facts, row["plan"]) if row is not None and is_made else ()
    if wish.client_from is not None:
        refuse_wrong_day(
            facts=facts, row=row, changes=changes, is_at_risk=risk is not None, on=wish.client_from
        )
        assert row is not None
        return replace(
            _draw_novation(connection, facts, row, severities, wish.client_from), wish=wish
        )
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
            *writes_of_template(plan),
            *writes_of_markups(plan),
            *writes_of_shares(connection, plan),
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
    (found,) = judge_deals(connection, deals=[facts], severities=[severities], among=among)
    judged = judge_later_life(connection, facts=facts, row=None, judged=found)
    plan = at_risk_plan(build_plan(facts, judged))
    return Handover(
        kind=AT_RISK,
        changes=(),
        facts=facts,
        row=row,
        plan=plan,
        judged=judged,
        writes=(
            *writes_of_template(plan),
            *writes_of_markups(plan),
            *writes_of_shares(connection, plan),
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
        checks=_answers(judged, severities),
    )


def _draw_novation(
    connection: Connection[Row],
    facts: DealFacts,
    row: Row,
    severities: Mapping[str, str],
    on: date,
) -> Handover:
    """Plan the next client of a running contract: what ends on the day, and what its ERP gets for the rest."""
    (judged,) = judge_deals(
        connection, deals=[facts], severities=[severities], asked=_CHECKS_OF_A_CLIENT
    )
    novation = novation_of(row, on=on, seconds={})
    after = facts_from(facts, novation)
    is_capped = facts.deal.cap_amount is not None
    return Handover(
        kind=NOVATION,
        changes=("client",),
        facts=facts,
        row=row,
        plan=row["plan"],
        judged=judged,
        writes=(
            _said(
                "contract until", None, CHANGE,
                {"ends_on": on.isoformat(), "keeps": _KEPT, **(_CAP_KEPT if is_capped else {})},
            ),
            _said(
                "contract from", None, CHANGE,
                {"contract_code": novation.code, "starts_on": on.isoformat(), "gets": _REST,
                 **(_CAP_LEFT if is_capped else {})},
            ),
            *writes_of_novation(connection, facts=after, row=row),
        ),
        checks=_answers(judged, severities),
    )  # fmt: skip


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


def _answers(judged: Judged, severities: Mapping[str, str]) -> tuple[CheckAnswer, ...]:
    found = {each.code: ("blocks", each.things) for each in judged.blockers}
    found |= {each.code: ("warns", each.things) for each in judged.warnings}
    found |= dict.fromkeys(judged.not_checked, ("not_checked", ()))
    answers: list[CheckAnswer] = []
    for check in judged.rules:
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

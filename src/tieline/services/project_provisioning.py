"""Business service: a won deal becomes a contract, a project and tasks in every system, or a case.

Pattern: planned as a set after every read of deals; each ready plan is one durable saga. Target:
active within minutes of the win. Vendor calls: one write and one read-back per step of the plan.

    deals -> plan (every blocker at once) -> ERP, read back -> time tool -> active -> CRM
                  \\-> cases                 \\-> refused: taken back in reverse order

An active project follows its staffing: who is added to the list later gets the same steps (a second
employee record first, where lent), alone and once; what is refused then is a case, and people go on
booking. Who is taken off the list is taken off in the time tool too. An assignment whose last day
passed stays there, so that its last hours can still be entered; an employee record in the ERP stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.canonical import Opportunity
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import LeaseLost, TryAgain
from tieline.kernel.failpoints import failpoint
from tieline.kernel.keys import SourceIdentity
from tieline.posting import states
from tieline.register import as_opportunity, find_newest, find_version
from tieline.runtime.database import Database, Row
from tieline.runtime.outbox import publish
from tieline.runtime.work import PROVISIONING, Again, Claim, Done, Outcome, Steps, schedule
from tieline.services.at_risk import (
    ASKED_WHEN_WON,
    TAKEN_BACK,
    end_risk,
    find_risk,
    let_flow,
    plans_at_risk,
)
from tieline.services.at_risk import (
    LOST as LOST_AT_RISK,
)
from tieline.services.client_change import end_former, hand_to_client
from tieline.services.deal_changes import (
    draw_lines,
    is_of_another_client,
    new_steps,
    renamed,
    reopening_troubles,
    store_change,
)
from tieline.services.deal_codes import in_our_codes
from tieline.services.deal_groups import AS_ONE, part_of_deal
from tieline.services.handover_forecast import note_steps
from tieline.services.handover_policy import read_handover_policy
from tieline.services.novation import from_day, read_novation
from tieline.services.provisioning_checks import CHECKS, Blocker, Judged, judge_deals
from tieline.services.provisioning_facts import DealFacts, Record, load_deals
from tieline.services.provisioning_plan import (
    ACTIVATE,
    CRM_STATUS,
    Plan,
    agreed_amount,
    at_risk_plan,
    build_plan,
    closed_step,
    closing_steps,
    is_leaving,
    open_steps,
    terms_of,
    with_terms,
)
from tieline.services.provisioning_register import (
    CodeTakenError,
    end_contract,
    set_project,
    store_contract,
    take_over_papers,
)
from tieline.services.provisioning_staffing import restaff
from tieline.services.provisioning_steps import (
    DONE,
    FAILED,
    LINK_TAKEN,
    WAITING,
    Job,
    Posts,
    drop_step,
    note_done,
    note_refused,
    refused_keys,
    run_step,
    undo_step,
)

PROVISION = "provision"
STUCK = "project.provisioning.stuck"
COMPENSATED = "project.provisioning.compensated"
LOST = "deal.lost_after_provisioning"
CHANGED = "deal.changed_after_provisioning"
CODE_UNKNOWN = "deal.code_unknown"
PLAN_REASONS = (*(check.code for check in CHECKS), STUCK, COMPENSATED, LOST, CHANGED, LINK_TAKEN)
UNDER_WAY = ("running", "active", "compensating", "closing")
DEAL_OBJECT = "deals"
_RETRY_SECONDS = 2


def schedule_plans(connection: Connection[Row], *, ready: Mapping[UUID, str]) -> None:
    """Ask that plans be carried out, in the caller's transaction."""
    # A deal keeps the id under which it was read, down to what it becomes in the ERP.
    for plan_id, read_as in ready.items():
        schedule(
            connection,
            kind=PROVISION,
            subject=str(plan_id),
            work_class=PROVISIONING,
            correlation_id=read_as,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansResult:
    """Plans that may run now, with the id each was read under, and what holds up the others."""

    ready: Mapping[UUID, str]
    blocked: int
    cases: tuple[CaseRequest, ...]


def plan_deals(database: Database, *, now: datetime) -> PlansResult:
    """Plan every won deal anew that is not under way, listing every blocker at once."""
    with database.transaction() as connection:
        severities = read_severities(connection)
        standing = _standing(connection)
        cases: list[CaseRequest] = []
        deals = load_deals(connection, now=now)
        _drop_regrouped(connection, deals)
        to_plan: list[tuple[DealFacts, Row | None]] = []
        unclear: list[DealFacts] = []
        active: list[tuple[DealFacts, Row]] = []
        at_risk = plans_at_risk(connection)
        papers: dict[UUID, Opportunity] = {}
        for facts in deals:
            row = standing.get(facts.key)
            if row is not None and row["state"] in UNDER_WAY:
                is_at_risk = row["plan_id"] in at_risk
                cases += _later_life(facts, row, is_at_risk=is_at_risk, papers=papers)
                if (facts.is_won or is_at_risk) and row["state"] == "active":
                    active.append((facts, row))
            elif facts.is_won or (row is not None and row["state"] == "ready"):
                to_plan.append((facts, row))
            elif facts.unknown_stage is not None:
                unclear.append(facts)
        take_over_papers(connection, deals=papers, now=now)
        cases += _unclear_stages(unclear)
        held = restaff(
            connection,
            active=active,
            severities=[severities_of(severities, facts) for facts, _ in active],
        )
        for (facts, _), blockers in zip(active, held, strict=True):
            cases += [_case(facts, found) for found in blockers if found.opens_case]
        won = [pair for pair in active if pair[0].is_won and pair[1]["plan_id"] in at_risk]
        cases += _win_at_risk(connection, won, severities, now=now)
        verdicts = judge_deals(
            connection,
            deals=[facts for facts, _ in to_plan],
            severities=[severities_of(severities, facts) for facts, _ in to_plan],
            among=deals,
        )
        for (facts, row), found in zip(to_plan, verdicts, strict=True):
            judged = judge_later_life(connection, facts=facts, row=row, judged=found)
            store_plan(connection, facts, judged, row, now=now)
            if facts.is_won:
                cases += [_case(facts, found) for found in judged.blockers if found.opens_case]
        cases += [*_stuck(connection), *_not_linked(connection)]
        rows = connection.execute(
            "SELECT plan_id, state, entity_code, plan, correlation_id FROM provisioning_plan"
            " ORDER BY planned_at, plan_id"
        ).fetchall()
        refused = refused_keys(connection, (row["plan"] for row in rows))
        waiting = _waiting_for_person(connection, rows)
    return PlansResult(
        ready={
            row["plan_id"]: row["correlation_id"]
            for row in rows
            if _is_open(row, refused) and row["plan_id"] not in waiting
        },
        blocked=sum(row["state"] == "blocked" for row in rows),
        cases=tuple(cases),
    )


def plan_new_deals(
    database: Database, *, deals: Collection[Record], now: datetime
) -> Mapping[UUID, str] | None:
    """Plan deals that were just read as the look at all of them would; return those that may run, with their ids.

    What is read while many deals come need not wait for a look at everything that stands. A deal whose project stands
    as it says is read whenever its CRM was told of the project. None where a deal asks for that look: it was planned
    otherwise before, or something stands in its way, which is a case.
    """
    with database.transaction() as connection:
        found = load_deals(connection, now=now, only=deals)
        own = [
            facts
            for facts in found
            if (facts.source.connection_key, facts.source.source_ref) in deals
        ]
        standing = _standing(connection, deal_refs=[ref for _, ref in deals])
        at_risk = plans_at_risk(connection)
        fresh = [
            facts
            for facts in own
            if not _stands_as_told(facts, standing.get(facts.key), at_risk=at_risk)
        ]
        if any(facts.key in standing or facts.unknown_stage is not None for facts in fresh):
            return None
        won = [facts for facts in fresh if facts.is_won]
        severities = read_severities(connection)
        verdicts = judge_deals(
            connection,
            deals=won,
            severities=[severities_of(severities, facts) for facts in won],
            among=found,
        )
        judged = [
            judge_later_life(connection, facts=facts, row=None, judged=verdict)
            for facts, verdict in zip(won, verdicts, strict=True)
        ]
        if any(each.blockers for each in judged):
            return None
        for facts, verdict in zip(won, judged, strict=True):
            store_plan(connection, facts, verdict, None, now=now)
        rows = connection.execute(
            "SELECT plan_id, state, entity_code, plan, correlation_id FROM provisioning_plan"
            " WHERE deal_key = ANY (%s)",
            ([facts.key for facts in won],),
        ).fetchall()
        waiting = _waiting_for_person(connection, rows)
    return {
        row["plan_id"]: row["correlation_id"]
        for row in rows
        if row["state"] == "ready" and row["plan_id"] not in waiting
    }


def _stands_as_told(facts: DealFacts, row: Row | None, *, at_risk: Collection[UUID]) -> bool:
    """Say whether a project is made, on its way or about to be, by what its deal says."""
    if row is None or row["plan_id"] in at_risk or not facts.is_won:
        return False
    if row["state"] == "ready":
        return bool(row["plan"].get("version") == facts.source.version)
    return row["state"] in UNDER_WAY and not changed_terms(facts, row["plan"])


def _win_at_risk(
    connection: Connection[Row],
    won: Sequence[tuple[DealFacts, Row]],
    overrides: Sequence[Row],
    *,
    now: datetime,
) -> list[CaseRequest]:
    """Let the hours of projects flow that were opened at risk and whose deals are won as they were planned."""
    verdicts = judge_deals(
        connection,
        deals=[facts for facts, _ in won],
        severities=[severities_of(overrides, facts) for facts, _ in won],
        asked=ASKED_WHEN_WON,
    )
    cases: list[CaseRequest] = []
    for (facts, row), judged in zip(won, verdicts, strict=True):
        cases += [_case(facts, found) for found in judged.blockers if found.opens_case]
        # What was changed meanwhile is a change order first: hours are priced as agreed.
        if not judged.blockers and not changed_terms(facts, row["plan"]):
            let_flow(connection, plan=row, now=now)
            _tell_active(connection, facts, row, now=now)
            _publish_won(connection, facts, now=now)
    return cases


def _tell_active(connection: Connection[Row], facts: DealFacts, row: Row, *, now: datetime) -> None:
    """Let the CRM be told that the project is no longer at risk."""
    closings = row["plan"].get("closings")
    part = f"active:{closings}" if closings else "active"
    steps = [
        {**step, "part": part} if step["id"] == CRM_STATUS else step
        for step in row["plan"]["steps"]
    ]
    connection.execute(
        "UPDATE provisioning_plan SET won_at = coalesce(won_at, %s),"
        " plan = jsonb_set(plan #- ARRAY['done', %s], '{steps}', %s) WHERE plan_id = %s",
        (facts.source.source_at or now, CRM_STATUS, Jsonb(steps), row["plan_id"]),
    )


def _waiting_for_person(connection: Connection[Row], rows: Sequence[Row]) -> set[UUID]:
    """Return the ready plans that the firm lets nobody begin but a person."""
    ready = [row for row in rows if row["state"] == "ready"]
    policies = {
        entity_code: read_handover_policy(connection, entity_code=entity_code)
        for entity_code in {row["entity_code"] for row in ready}
    }
    return {
        row["plan_id"]
        for row in ready
        if policies[row["entity_code"]].waits_for_person(amount=agreed_amount(row["plan"]))
    }


def _is_open(row: Row, refused: Collection[str]) -> bool:
    match row["state"]:
        case "ready" | "running" | "compensating" | "closing":
            return True
        case "active":
            # The report to the CRM and whoever joins or leaves follow the activation.
            return bool(open_steps(row["plan"], refused=refused))
        case _:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioning:
    """The saga of a plan: forward step by step, or back in reverse order."""

    database: Database
    poster: Posts
    clock: Clock

    def provision(self, steps: Steps, subject: str) -> Outcome:
        """Bring a plan about; a lost run is continued from its row."""
        plan_id = UUID(subject)
        state = steps.run("begin", lambda: self._begin(plan_id))
        try:
            if state == "compensating":
                return self._take_back(steps, plan_id)
            if state == "closing":
                return self._close(steps, plan_id)
            if state in ("running", "active"):
                # What follows an activation, such as the report to the CRM, may still be open.
                return self._go_forward(steps, plan_id)
        except TryAgain as error:
            return Again(due_in_seconds=error.retry_after_seconds or _RETRY_SECONDS)
        return Done()

    def _go_forward(self, steps: Steps, plan_id: UUID) -> Outcome:
        took: list[dict[str, Any]] = []
        outcome = self._step_by_step(steps, plan_id, took)
        if took:
            with self.database.transaction() as connection:
                note_steps(connection, took=took)
        return outcome

    def _step_by_step(self, steps: Steps, plan_id: UUID, took: list[dict[str, Any]]) -> Outcome:
        job = self._job(plan_id)
        for step in job.plan["steps"]:
            failpoint(f"provision.{step['id'].partition(':')[0]}")
            if is_leaving(step) or step["id"] == ACTIVATE:
                answer = steps.run(step["id"], partial(self._by_ourselves, job, step))
            else:
                answer = self._post(job, step, claim=steps.claim)
            if "took" in answer:
                took.append(answer["took"])
            if answer["state"] == WAITING:
                return Again(due_in_seconds=answer["due_in_seconds"])
            if answer["state"] == FAILED and ACTIVATE in self._job(plan_id).done:
                # People book on an active project; what was refused afterwards is its own case.
                steps.run(f"note {step['id']}", partial(self._note, plan_id, step, answer))
                continue
            if answer["state"] == FAILED:
                steps.run("give up", partial(self._give_up, plan_id, answer))
                return self._take_back(steps, plan_id)
        return Done()

    def _by_ourselves(self, known: Job, step: dict[str, Any]) -> dict[str, Any]:
        if is_leaving(step):
            job = self._job(known.plan_id)
            if ACTIVATE in job.done and not self._is_still_open(job, step):
                return {"state": "done"}
            return self._let_go(job, step)
        if ACTIVATE not in known.done:
            self._activate(self._job(known.plan_id))
        return {"state": "done"}

    def _post(self, known: Job, step: dict[str, Any], *, claim: Claim | None) -> dict[str, Any]:
        def read(connection: Connection[Row]) -> Job | None:
            job = _job(connection, _read(connection, known.plan_id, claim=claim), known=known)
            if step["id"] in job.done:
                return None
            if ACTIVATE in job.done and not _is_open_in(connection, job, step):
                return None
            return job

        return run_step(
            database=self.database, poster=self.poster, read=read, step=step, now=self.clock.now()
        )

    def _is_still_open(self, job: Job, step: dict[str, Any]) -> bool:
        with self.database.transaction() as connection:
            return _is_open_in(connection, job, step)

    def _let_go(self, job: Job, step: dict[str, Any]) -> dict[str, Any]:
        """Take back the assignment of somebody who was taken off the project."""
        answer: dict[str, Any] = {"state": "done"}
        if step["id"] in job.done:
            answer = undo_step(
                database=self.database,
                poster=self.poster,
                job=job,
                step_id=step["id"],
                now=self.clock.now(),
            )
        if answer["state"] == DONE:
            with self.database.transaction() as connection:
                drop_step(connection, job, step)
        return answer

    def _note(self, plan_id: UUID, step: dict[str, Any], answer: dict[str, Any]) -> str:
        job = self._job(plan_id)
        with self.database.transaction() as connection:
            note_refused(connection, job, step, answer)
        return FAILED

    def _take_back(self, steps: Steps, plan_id: UUID) -> Outcome:
        done = self._job(plan_id).done
        residue: list[str] = []
        for step_id in sorted(done, key=lambda name: int(done[name]["order"]), reverse=True):
            failpoint("provision.undo")
            answer = steps.run(f"undo {step_id}", partial(self._undo_one, plan_id, step_id))
            if answer["state"] == WAITING:
                return Again(due_in_seconds=answer["due_in_seconds"])
            if answer["state"] == FAILED:
                residue.append(f"{step_id} {done[step_id]['target_code']}: {answer['reason']}")
        steps.run("taken back", lambda: self._taken_back(plan_id, residue))
        return Done()

    def _close(self, steps: Steps, plan_id: UUID) -> Outcome:
        """Release who is booked, archive what people book on, and leave the books as they are."""
        job = self._job(plan_id)
        residue: list[str] = []
        for step_id in closing_steps(job.plan):
            answer = steps.run(f"undo {step_id}", partial(self._undo_one, plan_id, step_id))
            if answer["state"] == WAITING:
                return Again(due_in_seconds=answer["due_in_seconds"])
            if answer["state"] == FAILED:
                residue.append(f"{step_id}: {answer['reason']}")
        told = steps.run("tell", partial(self._tell_closed, plan_id))
        if told["state"] == WAITING:
            return Again(due_in_seconds=told["due_in_seconds"])
        steps.run("closed", lambda: self._closed(plan_id, residue))
        return Done()

    def _tell_closed(self, plan_id: UUID) -> dict[str, Any]:
        """Tell the CRM, as far as it takes it: a deal that is deleted there hears nothing."""
        job = self._job(plan_id)
        return run_step(
            database=self.database, poster=self.poster, read=lambda _connection: job,
            step=closed_step(job.row), now=self.clock.now(),
        )  # fmt: skip

    def _undo_one(self, plan_id: UUID, step_id: str) -> dict[str, Any]:
        job = self._job(plan_id)
        if step_id not in job.done:
            return {"state": "done"}
        return undo_step(
            database=self.database,
            poster=self.poster,
            job=job,
            step_id=step_id,
            now=self.clock.now(),
        )

    # -- one transaction each ------------------------------------------------------------------------

    def _begin(self, plan_id: UUID) -> str:
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM provisioning_plan WHERE plan_id = %s FOR UPDATE", (plan_id,)
            ).fetchone()
            if row is None:
                # Its deal became other projects before anything of it was begun.
                return "gone"
            now = self.clock.now()
            if row["state"] == "ready" and "failure" in row["plan"]:
                judge_once_more(connection, row=row, now=now)
            return begin_plan(connection, plan_id=plan_id, now=now)

    def _activate(self, job: Job) -> None:
        now = self.clock.now()
        with self.database.transaction() as connection:
            row = _lock(connection, job.plan_id)
            if row["state"] == "active":
                return
            risk = find_risk(connection, plan_id=job.plan_id)
            set_project(
                connection,
                project_id=row["project_id"],
                status="active",
                accepts_time=True,
                now=now,
                more={"at_risk_until": risk and risk.until_at},
            )
            connection.execute(
                "UPDATE provisioning_plan SET state = 'active', active_at = coalesce(active_at, %s)"
                " WHERE plan_id = %s",
                (now, job.plan_id),
            )
            note_done(connection, job, step_id=ACTIVATE)
            publish(
                connection,
                type="project.active",
                subject_kind="project",
                subject_id=str(row["project_id"]),
                entity_code=row["entity_code"],
                occurred_at=now,
                recorded_at=now,
                correlation_id=row["correlation_id"],
                data={"plan_id": row["plan_id"], "contract_id": row["contract_id"]},
            )

    def _give_up(self, plan_id: UUID, answer: dict[str, Any]) -> str:
        with self.database.transaction() as connection:
            connection.execute(
                """
                UPDATE provisioning_plan SET state = 'compensating',
                    plan = jsonb_set(plan, '{failure}', %s) WHERE plan_id = %s
                """,
                (Jsonb({"reason": answer["reason"], "message": answer["message"]}), plan_id),
            )
        return "compensating"

    def _taken_back(self, plan_id: UUID, residue: Sequence[str]) -> str:
        now = self.clock.now()
        state = "stuck" if residue else "compensated"
        with self.database.transaction() as connection:
            row = _lock(connection, plan_id)
            set_project(
                connection,
                project_id=row["project_id"],
                status="compensated",
                accepts_time=False,
                now=now,
            )
            end_risk(connection, plan_id=plan_id, because=TAKEN_BACK, now=now)
            end_contract(connection, contract_id=row["contract_id"], now=now)
            connection.execute(
                """
                UPDATE provisioning_plan SET state = %s, plan = jsonb_set(plan, '{residue}', %s)
                WHERE plan_id = %s
                """,
                (state, Jsonb(list(residue)), plan_id),
            )
        return state

    def _closed(self, plan_id: UUID, residue: Sequence[str]) -> str:
        now = self.clock.now()
        state = "stuck" if residue else "closed"
        with self.database.transaction() as connection:
            row = _lock(connection, plan_id)
            set_project(
                connection,
                project_id=row["project_id"],
                status="closed",
                accepts_time=False,
                now=now,
                more={"at_risk_until": None},
            )
            end_former(connection, plan_id=plan_id, now=now)
            end_risk(connection, plan_id=plan_id, because=LOST_AT_RISK, now=now)
            connection.execute(
                """
                UPDATE provisioning_plan SET state = %s, plan = jsonb_set(jsonb_set(
                    plan #- '{done,activate}' #- '{done,crm.status}', '{residue}', %s),
                    '{closings}', to_jsonb(coalesce((plan ->> 'closings')::integer, 0) + 1))
                WHERE plan_id = %s
                """,
                (state, Jsonb(list(residue)), plan_id),
            )
            publish(
                connection,
                type="project.closed",
                subject_kind="project",
                subject_id=str(row["project_id"]),
                entity_code=row["entity_code"],
                occurred_at=now,
                recorded_at=now,
                correlation_id=row["correlation_id"],
                data={"plan_id": row["plan_id"]},
            )
        return state

    def _job(self, plan_id: UUID) -> Job:
        with self.database.transaction() as connection:
            return _job(connection, _read(connection, plan_id))


def judge_once_more(connection: Connection[Row], *, row: Row, now: datetime) -> None:
    """Plan a deal anew that was taken back and is asked for again: what was true then need not be true now."""
    deals = load_deals(connection, now=now)
    facts = next((each for each in deals if each.key == row["deal_key"]), None)
    if facts is None:
        return
    severities = severities_of(read_severities(connection), facts)
    (found,) = judge_deals(connection, deals=[facts], severities=[severities], among=deals)
    judged = judge_later_life(connection, facts=facts, row=row, judged=found)
    store_plan(connection, facts, judged, row, now=now)


def begin_plan(connection: Connection[Row], *, plan_id: UUID, now: datetime) -> str:
    """Begin a plan that is ready, from now on unchanged; return the state that it is in."""
    row = _lock(connection, plan_id)
    if row["state"] != "ready":
        return str(row["state"])
    job = _job(connection, row, in_our_words=True)
    # What an earlier attempt could not take back is built upon now.
    states.withdraw_voids(connection, undoes_keys=job.keys_done())
    try:
        contract_id, project_id = store_contract(connection, plan_row=row, deal=job.deal, now=now)
    except CodeTakenError:
        # The next look says by which check; until then nobody begins it.
        connection.execute(
            "UPDATE provisioning_plan SET state = 'blocked', plan = plan - 'inputs' WHERE plan_id = %s",
            (plan_id,),
        )
        return "blocked"
    connection.execute(
        "UPDATE provisioning_plan SET state = 'running', contract_id = %s, project_id = %s"
        " WHERE plan_id = %s",
        (contract_id, project_id, plan_id),
    )
    return "running"


def begin_close(connection: Connection[Row], *, plan_id: UUID) -> str:
    """Begin to close the project of an active plan; return the state that it is in."""
    row = _lock(connection, plan_id)
    if row["state"] != "active":
        return str(row["state"])
    connection.execute(
        "UPDATE provisioning_plan SET state = 'closing' WHERE plan_id = %s", (plan_id,)
    )
    return "closing"


def change_terms(
    connection: Connection[Row],
    *,
    facts: DealFacts,
    names: Sequence[str],
    row: Row,
    now: datetime,
) -> str:
    """Agree to what a deal says now of these terms of an active plan; return the state that it is in."""
    standing = _lock(connection, row["plan_id"])
    if standing["state"] == "active":
        lines = draw_lines(connection, facts=facts, row=standing)
        plan = with_terms(renamed(standing["plan"], lines), facts, names)
        plan["steps"] = [*plan["steps"], *new_steps(facts, plan)]
        store_change(connection, facts=facts, row=standing, lines=lines, plan=plan, now=now)
        connection.execute(
            "UPDATE provisioning_plan SET plan = %s WHERE plan_id = %s",
            (Jsonb(plan), row["plan_id"]),
        )
    return str(standing["state"])


def novate(
    connection: Connection[Row],
    *,
    facts: DealFacts,
    row: Row,
    on: date,
    proposed_by: str,
    approved_by: str,
    now: datetime,
) -> str:
    """Give an active plan's project to the client that its deal names now; return the state that it is in."""
    standing = _lock(connection, row["plan_id"])
    if standing["state"] == "active":
        hand_to_client(
            connection, facts=facts, row=standing, on=on, proposed_by=proposed_by,
            approved_by=approved_by, now=now,
        )  # fmt: skip
    return str(standing["state"])


def find_plan_row(connection: Connection[Row], *, ref: str) -> Row | None:
    """Return the stored plan of a deal's project, by its key or our id; None where none is."""
    return connection.execute(
        "SELECT * FROM provisioning_plan WHERE deal_key = %(ref)s OR plan_id::text = %(ref)s"
        " ORDER BY source_epoch DESC, plan_id LIMIT 1",
        {"ref": ref},
    ).fetchone()


def _read(connection: Connection[Row], plan_id: UUID, *, claim: Claim | None = None) -> Row:
    """Read a plan.

    :raises LeaseLost: the run that has this claim is not the one of its item any more.
    """
    row = connection.execute(
        """
        SELECT p.*, %(work_id)s::bigint IS NULL OR EXISTS (
                   SELECT FROM work_item w WHERE w.work_id = %(work_id)s AND w.workflow_id = %(workflow_id)s
                     AND w.state = 'running') AS is_claimed
        FROM provisioning_plan p WHERE p.plan_id = %(plan_id)s
        """,
        {
            "plan_id": plan_id,
            "work_id": claim and claim.work_id,
            "workflow_id": claim and claim.workflow_id,
        },
    ).fetchone()
    assert row is not None
    if not row.pop("is_claimed"):
        raise LeaseLost(f"plan {plan_id} was taken over by another run")
    return row


def _is_open_in(connection: Connection[Row], job: Job, step: dict[str, Any]) -> bool:
    return step in open_steps(job.plan, refused=refused_keys(connection, (job.plan,)))


def _is_same_deal(row: Row, known: Job) -> bool:
    """Say whether a plan is still drawn from the version of its deal, and the part of it, that was read before."""
    plan, before = row["plan"], known.plan
    return bool(plan.get("version")) and all(
        plan.get(name) == before.get(name) for name in ("version", "grouping", "novation")
    )


def _job(
    connection: Connection[Row], row: Row, *, in_our_words: bool = False, known: Job | None = None
) -> Job:
    if known is not None and _is_same_deal(row, known):
        return replace(known, row=row)
    identity = SourceIdentity(
        connection_key=row["connection_key"],
        source_epoch=row["source_epoch"],
        object=DEAL_OBJECT,
        source_ref=row["deal_ref"],
    )
    # What is carried out is what was planned, also where the deal was changed meanwhile.
    version = row["plan"].get("version")
    source = version and find_version(
        connection, noun=Opportunity, identity=identity, version=version
    )
    source = source or find_newest(connection, noun=Opportunity, identity=identity)
    if source is None:
        raise LookupError(
            f"deal {row['deal_ref']} of {row['connection_key']} is not known any more"
        )
    deal, grouping = as_opportunity(source), row["plan"].get("grouping")
    novation = read_novation(row["plan"].get("novation"))
    if in_our_words or grouping:
        told, on = [(row["connection_key"], deal)], row["planned_at"].date()
        (coded,) = in_our_codes(connection, told=told, on=on)
        by = grouping["by"] if grouping else AS_ONE
        deal = part_of_deal(coded.deal, by=by, name=row["project_group"])
    deal = from_day(deal, novation)
    return Job(row=row, deal=deal, deal_object=source.identity.object)


def _lock(connection: Connection[Row], plan_id: UUID) -> Row:
    row = connection.execute(
        "SELECT * FROM provisioning_plan WHERE plan_id = %s FOR UPDATE", (plan_id,)
    ).fetchone()
    if row is None:
        raise LookupError(f"no plan has the id {plan_id}")
    return row


def read_severities(connection: Connection[Row]) -> list[Row]:
    """Return what the current release says about the severity of checks, the narrowest last."""
    return connection.execute(
        """
        SELECT o.code, o.severity, o.entity_code, o.client_id, o.starts_on, o.ends_on
        FROM severity_override o JOIN release r USING (release_id)
        WHERE r.state = 'current' AND o.contract_id IS NULL AND (o.code LIKE 'deal.%' OR o.code LIKE 'firm.%')
        ORDER BY o.client_id IS NOT NULL, o.entity_code IS NOT NULL, o.override_id
        """
    ).fetchall()


def severities_of(overrides: Sequence[Row], facts: DealFacts) -> dict[str, str]:
    """Return the severities that hold for one deal today."""
    client_id = None if facts.client is None else facts.client.client_id
    return {
        row["code"]: row["severity"]
        for row in overrides
        if row["entity_code"] in (None, facts.deal.entity_code)
        and row["client_id"] in (None, client_id)
        and row["starts_on"] <= facts.today
        and (row["ends_on"] is None or facts.today < row["ends_on"])
    }


def _later_life(
    facts: DealFacts, row: Row, *, is_at_risk: bool, papers: dict[UUID, Opportunity]
) -> list[CaseRequest]:
    """Add to ``papers`` what the CRM may still say of a provisioned deal; the rest is a change order."""
    if not facts.is_won and (facts.source.is_deleted or not is_at_risk):
        return [
            _about(
                facts, reason=LOST, owner_queue="sales_operations",
                message="The deal of a provisioned project is no longer won.",
                fix="Win it again, or close its project: tieline provision DEAL --plan shows how.",
            )
        ]  # fmt: skip
    changed = changed_terms(facts, row["plan"])
    # What another client ordered is not an order of the one that has the contract.
    if row["state"] == "active" and "client" not in changed:
        papers[row["contract_id"]] = facts.deal
    if not changed:
        return []
    return [
        _about(
            facts, reason=CHANGED, owner_queue="finance",
            message=f"The deal was changed after its project was made: {', '.join(changed)}.",
            fix="Take the change back in the CRM, or agree a change order: tieline provision DEAL --plan"
            " shows it. Until then hours are priced as agreed.",
        )
    ]  # fmt: skip


def changed_terms(facts: DealFacts, agreed: Plan) -> tuple[str, ...]:
    """Return which terms a deal has otherwise now than its project was made by."""
    changed = [name for name, value in terms_of(facts).items() if agreed.get(name, value) != value]
    is_of_another = is_of_another_client(facts, agreed.get("client_id"))
    return (*changed, *(("client",) if is_of_another else ()))


def judge_later_life(
    connection: Connection[Row], *, facts: DealFacts, row: Row | None, judged: Judged
) -> Judged:
    """Add what keeps a deal from opening its project again, or one more project than it was planned with."""
    if facts.group.is_further:
        return _held_as_changed(
            judged,
            message="The deal has lines of a group that it had not when its projects were begun.",
            fix_hint="Let them belong to one of its projects, or win another deal.",
            things=tuple(line.part for line in facts.lines),
        )
    is_closed = row is not None and row["state"] not in UNDER_WAY
    troubles = reopening_troubles(connection, facts=facts, row=row) if is_closed else ()
    if not troubles:
        return judged
    return _held_as_changed(
        judged,
        message="The deal was won again on other terms than its project was made by.",
        fix_hint="Win it as it was and agree a change order, or win another deal.",
        things=troubles,
    )


def _held_as_changed(
    judged: Judged, *, message: str, fix_hint: str, things: tuple[str, ...]
) -> Judged:
    found = Blocker(
        code=CHANGED,
        severity="error",
        owner_queue="finance",
        message=message,
        fix_hint=fix_hint,
        things=things,
        opens_case=True,
    )
    return replace(judged, blockers=(*judged.blockers, found))


def _about(
    facts: DealFacts, *, reason: str, owner_queue: str, message: str, fix: str
) -> CaseRequest:
    return CaseRequest(
        reason=reason,
        owner_queue=owner_queue,
        thing_kind="deal",
        thing_key=facts.key,
        entity_code=facts.deal.entity_code,
        members=(_member(facts.key, facts.deal.amount, facts.deal.currency),),
        details={"message": message, "fix": fix},
    )


def _standing(
    connection: Connection[Row], *, deal_refs: Collection[str] | None = None
) -> dict[str, Row]:
    rows = connection.execute(
        "SELECT * FROM provisioning_plan WHERE %(refs)s::text[] IS NULL OR deal_ref = ANY (%(refs)s)",
        {"refs": None if deal_refs is None else list(deal_refs)},
    ).fetchall()
    return {row["deal_key"]: row for row in rows}


def _drop_regrouped(connection: Connection[Row], deals: Sequence[DealFacts]) -> None:
    """Forget plans of which nothing was begun, where their deals become other projects by now."""
    connection.execute(
        """
        DELETE FROM provisioning_plan
        WHERE state IN ('blocked', 'ready') AND project_id IS NULL AND NOT deal_key = ANY (%(keys)s)
          AND connection_key || ':' || deal_ref = ANY (%(deals)s)
        """,
        {"keys": [facts.key for facts in deals], "deals": [facts.deal_key for facts in deals]},
    )


def store_plan(
    connection: Connection[Row],
    facts: DealFacts,
    judged: Judged,
    row: Row | None,
    *,
    now: datetime,
) -> None:
    """Keep a deal's plan as it is now, unless it is what stands."""
    plan = build_plan(facts, judged)
    # Only what is begun at risk is kept of a deal that is not won.
    plan = plan if facts.is_won else at_risk_plan(plan)
    if row is not None and row["plan"].get("inputs") == plan["inputs"]:
        return
    source = facts.source
    blockers = [as_json(found) for found in judged.blockers]
    state = "blocked" if judged.blockers else "ready"
    connection.execute(
        """
        INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, project_group, state,
            entity_code, plan, blockers, won_at, planned_at, known_at, correlation_id)
        VALUES (%(connection_key)s, %(source_epoch)s, %(deal_ref)s, %(project_group)s, %(state)s,
            %(entity_code)s, %(plan)s, %(blockers)s, %(won_at)s, %(now)s, %(now)s, %(correlation_id)s)
        ON CONFLICT (connection_key, source_epoch, deal_ref, project_group) DO UPDATE
        SET state = excluded.state, entity_code = excluded.entity_code, plan = excluded.plan,
            blockers = excluded.blockers, planned_at = excluded.planned_at, known_at = excluded.known_at
        -- Who planned it at the same moment may have begun it since.
        WHERE NOT provisioning_plan.state = ANY (%(under_way)s)
        """,
        {
            "under_way": list(UNDER_WAY),
            "connection_key": source.connection_key,
            "source_epoch": source.identity.source_epoch,
            "deal_ref": source.source_ref,
            "project_group": facts.group.name,
            "state": state,
            "entity_code": facts.deal.entity_code,
            "plan": Jsonb(_kept(plan, row)),
            "blockers": Jsonb(blockers),
            "won_at": (source.source_at or now) if facts.is_won else None,
            "now": now,
            "correlation_id": source.correlation_id,
        },
    )
    if row is None and facts.is_won:
        _publish_won(connection, facts, now=now)


def _publish_won(connection: Connection[Row], facts: DealFacts, *, now: datetime) -> None:
    # However many projects it becomes, and however often: a deal is won once.
    told = connection.execute(
        "SELECT 1 AS one FROM event WHERE subject_kind = 'deal' AND subject_id = %s"
        " AND type = 'deal.won' LIMIT 1",
        (facts.deal_key,),
    ).fetchone()
    if told is not None:
        return
    publish(
        connection,
        type="deal.won",
        subject_kind="deal",
        subject_id=facts.deal_key,
        entity_code=facts.deal.entity_code,
        occurred_at=facts.source.source_at or now,
        recorded_at=now,
        correlation_id=facts.source.correlation_id,
        data={"amount": facts.group.deal_amount, "currency": facts.deal.currency},
    )


def _kept(plan: Plan, row: Row | None) -> Plan:
    # What earlier attempts left standing stays known, so that it is found and not made again.
    if row is None or "done" not in row["plan"]:
        return plan
    kept = {**plan, "done": row["plan"]["done"]}
    closings = row["plan"].get("closings")
    if not closings:
        return kept
    # What was told once is not told again: a project that opens once more is news.
    steps = [
        {**step, "part": f"{step['part']}:{closings}"} if step["id"] == CRM_STATUS else step
        for step in kept["steps"]
    ]
    return {**kept, "steps": steps, "closings": closings}


def as_json(found: Blocker) -> dict[str, Any]:
    """Return a blocker as a plan keeps it."""
    return {
        "code": found.code,
        "owner_queue": found.owner_queue,
        "message": found.message,
        "fix": found.fix_hint,
        "things": list(found.things),
    }


def _case(facts: DealFacts, found: Blocker) -> CaseRequest:
    return CaseRequest(
        reason=found.code,
        owner_queue=found.owner_queue,
        thing_kind="deal",
        thing_key=facts.key,
        entity_code=facts.deal.entity_code,
        members=(_member(facts.key, facts.deal.amount, facts.deal.currency),),
        details={
            "message": found.message,
            "fix": found.fix_hint,
            "things": ", ".join(found.things),
        },
    )


def _unclear_stages(deals: Sequence[DealFacts]) -> list[CaseRequest]:
    """Return one case for each stage of a CRM of which nobody said whether it is won."""
    by_stage: dict[tuple[str, str], list[DealFacts]] = {}
    for facts in deals:
        stage = (facts.source.connection_key, facts.unknown_stage or "")
        by_stage.setdefault(stage, []).append(facts)
    rule = next(check for check in CHECKS if check.code == CODE_UNKNOWN)
    return [
        CaseRequest(
            reason=rule.code,
            owner_queue=rule.owner_queue,
            thing_kind="code",
            thing_key=f"{key} stage {stage}",
            entity_code=None,
            members=tuple(
                _member(facts.key, facts.deal.amount, facts.deal.currency) for facts in found
            ),
            details={"message": rule.message, "fix": rule.fix_hint, "things": f"stage {stage}"},
        )
        for (key, stage), found in sorted(by_stage.items(), key=lambda each: each[0])
    ]


def _member(key: str, amount: Decimal | None, currency: str | None) -> CaseMember:
    return CaseMember(kind="deal", key=key, amount=amount if currency else None, currency=currency)


def _stuck(connection: Connection[Row]) -> list[CaseRequest]:
    rows = connection.execute(
        "SELECT deal_key, entity_code, state, plan FROM provisioning_plan"
        " WHERE state IN ('stuck', 'compensated')"
    ).fetchall()
    return [
        CaseRequest(
            reason=STUCK if row["state"] == "stuck" else COMPENSATED,
            owner_queue="integration",
            thing_kind="deal",
            thing_key=row["deal_key"],
            entity_code=row["entity_code"],
            members=(_member(row["deal_key"], None, None),),
            details={
                "message": row["plan"].get("failure", {}).get("message", ""),
                "residue": "; ".join(row["plan"].get("residue", [])),
            },
        )
        for row in rows
    ]


def _not_linked(connection: Connection[Row]) -> list[CaseRequest]:
    """Tell what an active project's system made that belongs to somebody else by our crosswalk."""
    rows = connection.execute(
        """
        SELECT p.deal_key, p.entity_code,
               string_agg(n.value ->> 'message', '; ' ORDER BY n.key) AS message
        FROM provisioning_plan p, jsonb_each(p.plan -> 'refused') n
        WHERE p.state = 'active' AND n.value ->> 'reason' = %s
          AND NOT jsonb_exists(p.plan -> 'done', n.key)
        GROUP BY p.plan_id
        """,
        (LINK_TAKEN,),
    ).fetchall()
    return [
        CaseRequest(
            reason=LINK_TAKEN,
            owner_queue="integration",
            thing_kind="deal",
            thing_key=row["deal_key"],
            entity_code=row["entity_code"],
            members=(_member(row["deal_key"], None, None),),
            details={"message": row["message"], "fix": "Correct the link: it is tried again."},
        )
        for row in rows
    ]

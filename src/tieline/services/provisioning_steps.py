"""One step of a plan: build the command, post it, link what came of it, or take it back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.canonical import Command, Opportunity
from tieline.kernel.failpoints import failpoint
from tieline.kernel.keys import SourceIdentity
from tieline.posting import (
    Build,
    Confirmed,
    Conflicted,
    EffectRequest,
    PostResult,
    Rejected,
    Undone,
    Waiting,
    Wanted,
)
from tieline.register import CLIENT, Link, LinkTaken, find_current, find_theirs, link, unlink
from tieline.runtime.budget import counted_calls
from tieline.runtime.database import Database, Row
from tieline.runtime.work import PROVISIONING
from tieline.services import provisioning_commands as commands
from tieline.services.provisioning_plan import ERP, Plan, Step, payer_step
from tieline.services.provisioning_register import find_line, find_task_id, lines_of

DONE, WAITING, FAILED = "done", "waiting", "failed"
LINK_TAKEN = "register.link_taken"
_OTHERS_SECONDS = 2

Answer = dict[str, Any]
_Other = TypeVar("_Other")


class Posts(Protocol):
    """Post and undo single records, as the posting room does."""

    def post_decided(
        self,
        *,
        target_connection: str,
        noun: str,
        decide: Callable[[Connection[Row]], Wanted | _Other],
    ) -> PostResult | _Other: ...

    def undo(self, *, business_key: UUID) -> Undone | Waiting | Rejected: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A plan's row with its deal, read for one step."""

    row: Row
    deal: Opportunity
    deal_object: str

    @property
    def plan(self) -> Plan:
        plan: Plan = self.row["plan"]
        return plan

    @property
    def plan_id(self) -> UUID:
        plan_id: UUID = self.row["plan_id"]
        return plan_id

    @property
    def client_id(self) -> UUID:
        return UUID(self.plan["client_id"])

    @property
    def group(self) -> str:
        """Return what of several projects of its deal this is; empty where it is one."""
        group: str = self.row["project_group"]
        return group

    @property
    def agreed(self) -> commands.Agreed:
        return commands.agreed_of(self.plan, self.deal)

    @property
    def done(self) -> Mapping[str, Any]:
        done: Mapping[str, Any] = self.plan.get("done", {})
        return done

    def keys_done(self) -> list[UUID]:
        """Return the keys of the writes that stand."""
        keys = [done["business_key"] for done in self.done.values()]
        return [UUID(key) for key in keys if key is not None]


# Reads the plan that a step belongs to, None where nothing is left to do of it.
ReadJob = Callable[[Connection[Row]], Job | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A step that may be posted: what to ask, how to build it, what to link afterwards."""

    build: Build
    noun: str | None
    our_id: UUID | None
    scope: str = ""
    source: SourceIdentity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stands:
    """The target has it already, by somebody else's step."""

    target_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Others:
    """Another plan is about to make the same thing: look again in a moment."""


def run_step(
    *, database: Database, poster: Posts, read: ReadJob, step: Step, now: datetime
) -> Answer:
    """Bring one step about; safe to call again.

    What it is asked for by is read in the transaction that reserves it, and what came of it is linked and noted in the
    one that records it. ``took`` says what the target took, where it was called and has it now.
    """
    ending = _Ending(step=step, now=now)

    def decide(connection: Connection[Row]) -> Wanted | Answer:
        job = read(connection)
        if job is None:
            return {"state": DONE}
        match _prepare(connection, job, step):
            case _Others():
                return {"state": WAITING, "due_in_seconds": _OTHERS_SECONDS}
            case _Stands(target_code=code):
                _note_done(connection, job, step, {"target_code": code, "business_key": None})
                return {"state": DONE}
            case _Ready() as ready:
                ending.job, ending.ready = job, ready
                request = _request(job, step, ready)
                return Wanted(request=request, build=ready.build, keep=ending.keep)

    began = time.monotonic_ns()
    with counted_calls() as made:
        result = poster.post_decided(
            target_connection=step["target"], noun=step["noun"], decide=decide
        )
    if isinstance(result, dict):
        return result
    failpoint("provision.after_post")
    answer = _settle(database, ending, result)
    if answer["state"] == DONE and made[0]:
        answer["took"] = {
            "connection_key": step["target"],
            "noun": step["noun"],
            "calls": made[0],
            "milliseconds": (time.monotonic_ns() - began) // 1_000_000,
        }
    return answer


def undo_step(
    *, database: Database, poster: Posts, job: Job, step_id: str, now: datetime
) -> Answer:
    """Take one done step back, or say why it stays."""
    done = job.done[step_id]
    if done["business_key"] is None:
        with database.transaction() as connection:
            _forget(connection, job, step_id)
        return {"state": DONE}
    with database.transaction() as connection:
        if _is_shared(connection, job, step_id):
            _forget(connection, job, step_id)
            return {"state": DONE}
    result = poster.undo(business_key=UUID(done["business_key"]))
    failpoint("provision.after_undo")
    match result:
        case Waiting(due_in_seconds=seconds):
            return {"state": WAITING, "due_in_seconds": max(1, seconds)}
        case Rejected(business_key=key, reason=reason, message=message):
            return _failed(reason, message, key)
        case Undone():
            with database.transaction() as connection:
                _unlink(connection, done, now=now)
                _forget(connection, job, step_id)
            return {"state": DONE}


# -- before the call -------------------------------------------------------------------------------


def _prepare(connection: Connection[Row], job: Job, step: Step) -> _Ready | _Stands | _Others:
    match step["noun"]:
        case "client":
            return _client(connection, job, step)
        case "contract":
            return _contract(connection, job, step)
        case "project":
            return _project(connection, job, step)
        case "task":
            return _task(connection, job, step)
        case "employee":
            return _employee(connection, job, step)
        case "assignment":
            return _assignment(connection, job, step)
        case "status":
            return _status(connection, job, step)
        case noun:
            raise LookupError(f"no plan has a step for a {noun}")


def _client(connection: Connection[Row], job: Job, step: Step) -> _Ready | _Stands | _Others:
    # The contract's own, or one who pays a share of it.
    client_id = UUID(step["client_id"]) if "client_id" in step else job.client_id
    standing = _theirs(connection, step, "client", client_id)
    if _is_being_made(connection, job, step, client_id, is_linked=standing is not None):
        return _Others()
    if standing is not None:
        return _Stands(target_code=standing)
    client = find_current(connection, table=CLIENT, key={"client_id": client_id})
    if client is None:
        raise LookupError(f"client {client_id} has no present version")
    parent = client["parent_client_id"]
    parent_code = None if parent is None else _theirs(connection, step, "client", parent)

    def build(key: UUID) -> Command:
        return commands.client_command(
            key=key, agreed=job.agreed, client=client, parent_code=parent_code
        )

    # Two deals of one client ask for the same record: the company is the event, not the deal.
    source = SourceIdentity(
        connection_key=job.row["connection_key"],
        source_epoch=job.row["source_epoch"],
        object="companies",
        source_ref=step["client_ref"] if "client_ref" in step else job.plan["client_ref"],
    )
    return _Ready(build=build, noun="client", our_id=client_id, source=source)


def _is_being_made(
    connection: Connection[Row], job: Job, step: Step, client_id: UUID, *, is_linked: bool
) -> bool:
    """Say whether another plan makes, or takes back, the same client at this moment."""
    row = connection.execute(
        """
        SELECT 1 FROM provisioning_plan o
        CROSS JOIN LATERAL (
            SELECT %(own)s AS step_id WHERE o.plan ->> 'client_id' = %(client_id)s
            UNION ALL SELECT %(payer)s WHERE o.plan -> 'steps' @> %(pays)s) s
        WHERE o.plan_id <> %(plan_id)s AND o.state IN ('running', 'compensating')
          AND ((o.state = 'compensating' AND jsonb_exists(o.plan -> 'done', s.step_id))
               OR (NOT %(is_linked)s AND o.state = 'running'
                   AND (o.planned_at, o.plan_id) < (%(planned_at)s, %(plan_id)s)))
        LIMIT 1
        """,
        {
            "client_id": str(client_id),
            "plan_id": job.plan_id,
            "planned_at": job.row["planned_at"],
            "own": f"{step['system']}.client",
            "payer": payer_step(client_id),
            "pays": Jsonb([{"id": payer_step(client_id), "target": step["target"]}]),
            "is_linked": is_linked,
        },
    ).fetchone()
    return row is not None


def _contract(connection: Connection[Row], job: Job, step: Step) -> _Ready | _Stands:
    contract_id: UUID = job.row["contract_id"]
    client_code = _needed(connection, step, "client", job.client_id)
    lines = lines_of(connection, contract_id=contract_id)

    def build(key: UUID) -> Command:
        return commands.contract_command(
            key=key, agreed=job.agreed, client_code=client_code, lines=lines, plan=job.plan
        )

    return _Ready(build=build, noun="contract", our_id=contract_id)


def _project(connection: Connection[Row], job: Job, step: Step) -> _Ready | _Stands:
    project_id: UUID = job.row["project_id"]
    client_code = _needed(connection, step, "client", job.client_id)
    contract_code = _theirs(connection, step, "contract", job.row["contract_id"])
    told = commands.of_project(job.plan, is_erp=step["system"] == ERP)

    def build(key: UUID) -> Command:
        return commands.project_command(
            key=key, agreed=job.agreed, client_code=client_code, contract_code=contract_code,
            **told,
        )  # fmt: skip

    return _Ready(build=build, noun="project", our_id=project_id)


def _task(connection: Connection[Row], job: Job, step: Step) -> _Ready | _Stands:
    if step["system"] == "erp":
        return _erp_task(connection, job, step)
    project_id = job.row["project_id"]
    project_code = _needed(connection, step, "project", project_id)
    lines = lines_of(connection, contract_id=job.row["contract_id"])

    def build(key: UUID) -> Command:
        return commands.time_task_command(
            key=key,
            agreed=job.agreed,
            project_code=project_code,
            task_name=step["part"],
            lines=lines,
        )

    our_id = find_task_id(connection, project_id=project_id, task_name=step["part"])
    return _Ready(build=build, noun="task", our_id=our_id)


def _erp_task(connection: Connection[Row], job: Job, step: Step) -> _Ready:
    project_code = _needed(connection, step, "project", job.row["project_id"])
    line = find_line(connection, contract_id=job.row["contract_id"], part=step["part"])
    lines = lines_of(connection, contract_id=job.row["contract_id"])

    def build(key: UUID) -> Command:
        return commands.erp_task_command(
            key=key,
            agreed=job.agreed,
            project_code=project_code,
            line=line,
            lines=lines,
            plan=job.plan,
        )

    return _Ready(build=build, noun="erp_task", our_id=line["contract_line_id"])


def _employee(connection: Connection[Row], job: Job, step: Step) -> _Ready | _Stands:
    person_id, entity_code = UUID(step["person_id"]), job.row["entity_code"]
    standing = find_theirs(
        connection, connection_key=step["target"], noun="employee", our_id=person_id, scope=entity_code
    )  # fmt: skip
    if standing is not None:
        return _Stands(target_code=standing)
    home = find_home_record(connection, step=step)
    if home is None or home["party_code"] is None:
        raise LookupError(f"person {person_id} has no employee record at home")
    lent = find_lent(connection, step=step, entity_code=entity_code)

    def build(key: UUID) -> Command:
        return commands.employee_command(
            key=key, entity_code=entity_code, party_code=home["party_code"], lent=lent
        )

    # The person's record at home is the event: every project that borrows asks for the same one.
    source = SourceIdentity(
        connection_key=home["connection_key"],
        source_epoch=home["source_epoch"],
        object=home["object"],
        source_ref=home["source_ref"],
    )
    return _Ready(build=build, noun="employee", our_id=person_id, scope=entity_code, source=source)


def _assignment(connection: Connection[Row], job: Job, step: Step) -> _Ready | _Stands:
    project_code = _needed(connection, step, "project", job.row["project_id"])
    person_code = _needed(connection, step, "person", UUID(step["person_id"]))

    def build(key: UUID) -> Command:
        return commands.assignment_command(
            key=key,
            entity_code=job.row["entity_code"],
            project_code=project_code,
            person_code=person_code,
        )

    return _Ready(build=build, noun=None, our_id=None)


def _status(connection: Connection[Row], job: Job, step: Step) -> _Ready | _Others:
    if _is_told_by_another(connection, job):
        return _Others()
    codes = told_codes(connection, row=job.row, step=step)

    def build(key: UUID) -> Command:
        return commands.status_command(
            key=key,
            entity_code=job.row["entity_code"],
            deal_ref=job.row["deal_ref"],
            project_code=codes,
            part=step["part"],
        )

    return _Ready(build=build, noun=None, our_id=None)


def _is_told_by_another(connection: Connection[Row], job: Job) -> bool:
    """Say whether a project of the same deal is about to tell the CRM: the last one tells of all of them."""
    if not job.group:
        return False
    row = connection.execute(
        """
        SELECT 1 FROM provisioning_plan
        WHERE (connection_key, source_epoch, deal_ref)
            = (%(connection_key)s, %(source_epoch)s, %(deal_ref)s)
          AND state IN ('running', 'closing') AND project_group < %(project_group)s LIMIT 1
        """,
        job.row,
    ).fetchone()
    return row is not None


def told_codes(connection: Connection[Row], *, row: Mapping[str, Any], step: Step) -> str:
    """Return the code of a plan's project, with those of its deal's other ones that stand as it will."""
    own: str = row["plan"]["project_code"]
    if not row["project_group"]:
        return own
    state = "closed" if step["part"].startswith("closed") else "active"
    others = connection.execute(
        """
        SELECT plan ->> 'project_code' AS code FROM provisioning_plan
        WHERE (connection_key, source_epoch, deal_ref)
            = (%(connection_key)s, %(source_epoch)s, %(deal_ref)s)
          AND project_group <> %(project_group)s AND state = %(wanted)s
        """,
        {**row, "wanted": state},
    ).fetchall()
    return ", ".join(sorted({own, *(each["code"] for each in others)}))


# -- after the call --------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Ending:
    """Link and note, once, what came of a step."""

    step: Step
    now: datetime
    job: Job | None = None
    ready: _Ready | None = None
    answer: Answer | None = None

    def keep(self, connection: Connection[Row], business_key: UUID, target_code: str) -> None:
        """Keep in the caller's transaction that the target has it."""
        job, ready, step = self.job, self.ready, self.step
        assert job is not None
        assert ready is not None
        taken = _link(connection, step, ready, job, target_code, self.now)
        if taken is not None:
            holder = taken.standing.our_id
            message = f"{step['target']} {target_code} is already linked to {holder}"
            self.answer = _failed(LINK_TAKEN, message, None)
            return
        _note_done(
            connection, job, step,
            {
                "target_code": target_code,
                "business_key": str(business_key),
                "target": step["target"],
                "noun": ready.noun,
                "our_id": None if ready.our_id is None else str(ready.our_id),
                "scope": ready.scope,
            },
        )  # fmt: skip
        self.answer = {"state": DONE}


def _settle(database: Database, ending: _Ending, result: PostResult) -> Answer:
    match result:
        case Waiting(due_in_seconds=seconds):
            return {"state": WAITING, "due_in_seconds": max(1, seconds)}
        case Rejected(business_key=key, reason=reason, message=message):
            return _failed(reason, message, key)
        case Conflicted(business_key=key, message=message):
            return _failed("posted.conflict", message, key)
        case Confirmed(business_key=key, target_code=code):
            if ending.answer is None:
                # It was confirmed before, and we died before we kept it.
                with database.transaction() as connection:
                    ending.keep(connection, key, code)
            assert ending.answer is not None
            return ending.answer


def _link(
    connection: Connection[Row],
    step: Step,
    ready: _Ready,
    job: Job,
    target_code: str,
    now: datetime,
) -> LinkTaken | None:
    if ready.noun is None or ready.our_id is None:
        return None
    wanted = Link(
        connection_key=step["target"],
        noun=ready.noun,
        source_ref=_source_ref(connection, step, job, target_code),
        our_id=ready.our_id,
        scope=ready.scope,
    )
    done = link(connection, wanted=wanted, because=f"plan:{job.plan_id}", now=now)
    return done if isinstance(done, LinkTaken) else None


def _source_ref(connection: Connection[Row], step: Step, job: Job, target_code: str) -> str:
    if step["system"] != "time" or step["noun"] != "task" or "/" in target_code:
        return target_code
    # A time tool's task is bookable on one project only: hours name both.
    return f"{_needed(connection, step, 'project', job.row['project_id'])}/{target_code}"


def _failed(reason: str, message: str, key: UUID | None) -> Answer:
    return {
        "state": FAILED,
        "reason": reason,
        "message": message,
        "business_key": None if key is None else str(key),
    }


def note_refused(connection: Connection[Row], job: Job, step: Step, answer: Answer) -> None:
    """Note what an active project goes on without, until the refused write is replayed."""
    note = {name: answer[name] for name in ("business_key", "reason", "message")}
    connection.execute(
        """
        UPDATE provisioning_plan SET plan = jsonb_set(
            jsonb_set(plan, '{refused}', coalesce(plan -> 'refused', '{}')), %s, %s)
        WHERE plan_id = %s
        """,
        (["refused", step["id"]], Jsonb(note), job.plan_id),
    )


def drop_step(connection: Connection[Row], job: Job, step: Step) -> None:
    """Let a step that was taken back leave the plan, so that it may come again."""
    connection.execute(
        """
        UPDATE provisioning_plan SET plan = jsonb_set(plan #- %s, '{steps}', (
            SELECT jsonb_agg(one ORDER BY number)
            FROM jsonb_array_elements(plan -> 'steps') WITH ORDINALITY AS s (one, number)
            WHERE one ->> 'id' <> %s))
        WHERE plan_id = %s
        """,
        (["refused", step["id"]], step["id"], job.plan_id),
    )


def refused_keys(connection: Connection[Row], plans: Iterable[Plan]) -> set[str]:
    """Return which of the refusals that plans noted still stand."""
    keys = [
        note["business_key"]
        for plan in plans
        for note in plan.get("refused", {}).values()
        if note["business_key"] is not None
    ]
    rows = connection.execute(
        "SELECT business_key FROM effect WHERE business_key = ANY (%s::uuid[])"
        " AND state IN ('REJECTED', 'CONFLICT')",
        (keys,),
    ).fetchall()
    return {str(row["business_key"]) for row in rows}


def note_done(connection: Connection[Row], job: Job, *, step_id: str) -> None:
    """Note a step of ours, which no target holds."""
    _note_done(connection, job, {"id": step_id}, {"target_code": None, "business_key": None})


def _note_done(connection: Connection[Row], job: Job, step: Step, note: Mapping[str, Any]) -> None:
    connection.execute(
        """
        UPDATE provisioning_plan SET plan = jsonb_set(
            jsonb_set(plan, '{done}', coalesce(plan -> 'done', '{}')), %s, %s)
        WHERE plan_id = %s
        """,
        (["done", step["id"]], Jsonb({**note, "order": len(job.done)}), job.plan_id),
    )


def _forget(connection: Connection[Row], job: Job, step_id: str) -> None:
    connection.execute(
        "UPDATE provisioning_plan SET plan = plan #- %s WHERE plan_id = %s",
        (["done", step_id], job.plan_id),
    )


def _unlink(connection: Connection[Row], done: Mapping[str, Any], *, now: datetime) -> None:
    if done["noun"] is not None:
        unlink(
            connection,
            connection_key=done["target"],
            noun=done["noun"],
            our_id=UUID(done["our_id"]),
            scope=done["scope"],
            now=now,
        )


def _is_shared(connection: Connection[Row], job: Job, step_id: str) -> bool:
    """Say whether another deal builds on it, so that it is not ours alone to take back."""
    kind, _, client_id = step_id.partition(":")
    if kind.endswith(".client"):
        return _client_is_used(connection, job, client_id or job.plan["client_id"])
    return kind == "erp.employee" and _employee_is_used(connection, job, step_id)


def _employee_is_used(connection: Connection[Row], job: Job, step_id: str) -> bool:
    step = next((one for one in job.plan["steps"] if one["id"] == step_id), None)
    if step is None:
        return False
    same = [{"id": step_id, "target": step["target"], "person_id": step["person_id"]}]
    row = connection.execute(
        """
        SELECT 1 FROM provisioning_plan WHERE plan -> 'steps' @> %s AND plan_id <> %s
          AND entity_code = %s AND state IN ('running', 'active') LIMIT 1
        """,
        (Jsonb(same), job.plan_id, job.row["entity_code"]),
    ).fetchone()
    return row is not None


def _client_is_used(connection: Connection[Row], job: Job, client_id: str) -> bool:
    row = connection.execute(
        """
        SELECT 1 FROM provisioning_plan
        WHERE (plan ->> 'client_id' = %s OR plan -> 'shares' @> %s) AND plan_id <> %s
          AND state IN ('running', 'active') LIMIT 1
        """,
        (client_id, Jsonb([{"client_id": client_id}]), job.plan_id),
    ).fetchone()
    return row is not None


def _request(job: Job, step: Step, ready: _Ready) -> EffectRequest:
    own = SourceIdentity(
        connection_key=job.row["connection_key"],
        source_epoch=job.row["source_epoch"],
        object=job.deal_object,
        source_ref=job.row["deal_ref"],
    )
    is_shared = ready.source is not None
    novation = job.plan.get("novation")
    # The ERP has a contract of the former client under the part alone.
    since = f"client {novation['number']}" if novation else ""
    part = ":".join(word for word in (job.group, since, step["part"]) if word)
    return EffectRequest(
        source=ready.source or own,
        target_connection=step["target"],
        noun=step["noun"],
        part=ready.scope if is_shared else part,
        entity_code=job.row["entity_code"],
        work_class=PROVISIONING,
        deadline_at=None,
        release_id=job.row["release_id"],
        correlation_id=job.row["correlation_id"],
        project_id=None if is_shared else job.row["project_id"],
    )


# -- looking up ------------------------------------------------------------------------------------


def _theirs(connection: Connection[Row], step: Step, noun: str, our_id: UUID) -> str | None:
    return find_theirs(connection, connection_key=step["target"], noun=noun, our_id=our_id)


def _needed(connection: Connection[Row], step: Step, noun: str, our_id: UUID) -> str:
    code = _theirs(connection, step, noun, our_id)
    if code is None:
        raise LookupError(f"{step['target']} has no {noun} for {our_id} yet")
    return code


def find_home_record(connection: Connection[Row], *, step: Step) -> Row | None:
    """Return the record of a lent person in the company they come from, as the ERP told it."""
    return connection.execute(
        """
        SELECT s.connection_key, s.source_epoch, s.object, s.source_ref,
               s.data -> 'extras' ->> 'party_code' AS party_code
        FROM crosswalk x JOIN source_version s ON s.connection_key = x.connection_key
             AND s.source_ref = x.source_ref AND s.noun = 'Person' AND s.is_newest
        WHERE x.connection_key = %s AND x.noun = 'employee' AND x.our_id = %s AND x.scope = %s
          AND x.superseded_at IS NULL
        """,
        (step["target"], UUID(step["person_id"]), step["home_entity_code"]),
    ).fetchone()


def find_lent(connection: Connection[Row], *, step: Step, entity_code: str) -> Row:
    """Return the employment that a lent person gets: as HR told it, else as long as the assignment."""
    told = connection.execute(
        """
        SELECT employee_code, starts_on, ends_on FROM employment
        WHERE person_id = %s AND entity_code = %s AND superseded_at IS NULL
        ORDER BY starts_on LIMIT 1
        """,
        (UUID(step["person_id"]), entity_code),
    ).fetchone()
    return told or {
        "employee_code": step["part"],
        "starts_on": commands.day_of(step["starts_on"]),
        "ends_on": commands.day_of(step["ends_on"]),
    }

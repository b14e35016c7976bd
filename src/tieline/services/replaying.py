"""Send again: understand a slice of the inbox anew, judge it anew, and let follow what follows.

Pattern: planned and applied on demand. Target: seconds for the largest slice. Vendor calls: none; what
follows is posted as ever. A plan is the thing itself, done in a transaction that is rolled back. What is
right already does not change, in whatever order and however often it is done. What moves money, or
changes what a source told, is proposed by one person and carried out by the approval of another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from psycopg import Connection

from tieline.casework import close_absent, keep_cases
from tieline.governance import Proposal, get_proposal, list_proposals, propose, record_audit
from tieline.intake import Replayed, Slice, Understood, land_again, read_slice, translate_again
from tieline.kernel.cases import CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import UserMistake
from tieline.ledger import plan
from tieline.runtime.database import Database
from tieline.runtime.sql import load
from tieline.runtime.work import BILLING, Done, Outcome, Steps, schedule
from tieline.sdk import Translates
from tieline.sdk.directory import Connectors
from tieline.services.time_validation import TimeValidation
from tieline.validation import judge, mark_reference_change

REPLAY = "replay"
REPLAY_SLICE = "inbox.replay"
OVERTAKEN = "read.replay_overtaken"
RECORDS_MAX = 20_000
_PLANNED = load("tieline.services", "replay_planned")
_ENTITIES = load("tieline.services", "replay_entities")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Lines that would be sent, taken back or not sent any more, in one currency (None: unpriced)."""

    what: str
    currency: str | None
    lines: int
    seconds: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """Lines that wait to be sent; what a target refused waits, and is not on its way."""

    waiting: tuple[UUID, ...]
    on_their_way: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """What a replay would do. ``verdicts`` counts the new ones by outcome.

    ``kept_no_longer`` records lost their bytes to their age or an erasure; ``gone_at_source`` stay gone.
    """

    slice: Slice
    records: int
    unchanged: int
    newer_versions: int
    not_understood: int
    kept_no_longer: int
    gone_at_source: int
    rejudged: int
    verdicts: dict[str, int]
    moved: tuple[Moved, ...]
    entities: tuple[str, ...]

    @property
    def needs_second_person(self) -> bool:
        """Say whether a source would be understood otherwise, or anything be sent otherwise."""
        return bool(self.newer_versions or self.moved)

    @property
    def digest(self) -> str:
        """Tell two plans apart: what a second person agrees to is what the first one saw."""
        return hashlib.sha256(_as_json(asdict(self)).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaying:
    """Plan replays, and carry them out."""

    database: Database
    connectors: Connectors
    time_validation: TimeValidation
    material_key: bytes
    clock: Clock

    def plan(self, *, slice: Slice) -> ReplayPlan:
        """Say what a replay would do, by doing it and rolling it back.

        :raises UserMistake: nobody knows the connection, or the slice is too large or empty.
        """
        with (
            self.database.transaction() as connection,
            connection.transaction(force_rollback=True),
        ):
            return self._do(connection, slice, now=self.clock.now())

    def apply(
        self,
        *,
        plan: ReplayPlan,
        by: str,
        through: str,
        reason: str,
        agreed: Proposal | None = None,
    ) -> int:
        """Carry a plan out; return how many records were looked at again.

        :raises UserMistake: no reason is given, or it needs a second person.
        """
        if not reason.strip():
            raise UserMistake("a replay needs a reason")
        if plan.needs_second_person and agreed is None:
            raise UserMistake("this changes what is sent: propose it, a second person approves it")
        said = {"key": through} if through else {}
        if agreed is not None:
            said = {"proposal_id": str(agreed.proposal_id), "approved_by": agreed.approved_by or ""}
        now = self.clock.now()
        with self.database.transaction() as connection:
            understood, _ = self._understand(connection, plan.slice)
            replayed = self._land(connection, plan.slice, understood, now=now)
            for batch_id in replayed.batch_ids:
                self.time_validation.batch_landed(connection, batch_id, _word(batch_id))
            _mark(connection, replayed.entry_ids, now=now)
            record_audit(
                connection,
                now=now,
                actor=by,
                action="inbox.replayed",
                object=f"connection:{plan.slice.connection_key}",
                entity_code=plan.entities[0] if len(plan.entities) == 1 else None,
                reason=reason,
                data={**_figures(plan), **said},
            )
        return plan.records

    def run_approved(self, steps: Steps, subject: str) -> Outcome:
        """Carry out what two people agreed to, unless it would do something else by now."""
        steps.run("replay", lambda: self._run_approved(UUID(subject)))
        return Done()

    def _run_approved(self, proposal_id: UUID) -> bool:
        with self.database.transaction() as connection:
            proposal = get_proposal(connection, proposal_id=proposal_id)
            done = connection.execute(
                "SELECT 1 AS one FROM audit WHERE action = 'inbox.replayed' AND data ->> 'proposal_id' = %s",
                (str(proposal_id),),
            ).fetchone()
        if done is not None:
            return True
        planned = self.plan(slice=slice_of(proposal.payload["slice"]))
        is_same = bool(planned.digest == proposal.payload["digest"])
        if is_same:
            self.apply(
                plan=planned,
                by=proposal.proposed_by,
                through="",
                reason=proposal.reason,
                agreed=proposal,
            )
        self._keep_overtaken(proposal, None if is_same else planned)
        return is_same

    def _keep_overtaken(self, proposal: Proposal, planned: ReplayPlan | None) -> None:
        key = f"{proposal.object}:{proposal.proposal_id}"
        with self.database.transaction() as connection:
            if planned is None:
                close_absent(
                    connection, reason=OVERTAKEN, still_there=_others(connection, key),
                    now=self.clock.now(),
                )  # fmt: skip
                return
            keep_cases(
                connection,
                requests=[_overtaken(key, proposal, planned)],
                reasons=(),
                now=self.clock.now(),
                correlation_id=str(proposal.proposal_id),
            )

    # -- what is done, or rolled back ------------------------------------------------------------

    def _do(self, connection: Connection[Row], slice: Slice, *, now: datetime) -> ReplayPlan:
        understood, (kept_no_longer, gone) = self._understand(connection, slice)
        replayed = self._land(connection, slice, understood, now=now)
        before = _verdicts(connection, replayed.entry_ids)
        keys = self._neighbor_keys(connection, replayed, now=now)
        judged = judge(
            connection, neighbor_keys=keys, clock=self.clock, correlation_id=REPLAY_SLICE
        )
        entry_ids = list({*judged.entry_ids, *replayed.entry_ids})
        unsent = list_unsent(connection, entry_ids=entry_ids)
        plan(connection, entry_ids=entry_ids, now=now)
        records = len(understood) + kept_no_longer + gone
        return ReplayPlan(
            slice=slice,
            records=records,
            unchanged=len(understood) - replayed.versions - replayed.not_understood,
            newer_versions=replayed.versions,
            not_understood=replayed.not_understood,
            kept_no_longer=kept_no_longer,
            gone_at_source=gone,
            rejudged=len(judged.entry_ids),
            verdicts=judged.by_outcome,
            moved=list_moved(connection, entry_ids=entry_ids, unsent=unsent),
            entities=_entities(connection, entry_ids, before),
        )

    def _understand(
        self, connection: Connection[Row], slice: Slice
    ) -> tuple[tuple[Understood, ...], tuple[int, int]]:
        _must_exist(connection, slice.connection_key)
        kept = read_slice(connection, slice=slice, limit=RECORDS_MAX + 1)
        if len(kept) > RECORDS_MAX:
            raise UserMistake(f"more than {RECORDS_MAX} records: narrow it by days, object or refs")
        if not kept:
            raise UserMistake("nothing that was kept is meant by this")
        connector = cast(Translates, self.connectors.get(connection_key=slice.connection_key))
        understood = translate_again(
            kept, translate=lambda record: connector.translate(record=record)
        )
        kept_no_longer = sum(1 for each in kept if each.record is None)
        return understood, (kept_no_longer, len(kept) - kept_no_longer - len(understood))

    def _land(
        self,
        connection: Connection[Row],
        slice: Slice,
        understood: Sequence[Understood],
        *,
        now: datetime,
    ) -> Replayed:
        return land_again(
            connection,
            connection_key=slice.connection_key,
            understood=understood,
            translator=self.connectors.capabilities(connection_key=slice.connection_key).translator,
            material_key=self.material_key,
            now=now,
            correlation_id=REPLAY_SLICE,
        )

    def _neighbor_keys(
        self, connection: Connection[Row], replayed: Replayed, *, now: datetime
    ) -> list[str]:
        for batch_id in replayed.batch_ids:
            self.time_validation.batch_landed(connection, batch_id, _word(batch_id))
        rows = connection.execute(
            "SELECT DISTINCT neighbor_key FROM rejudge WHERE batch_id = ANY (%s)",
            (list(replayed.batch_ids),),
        ).fetchall()
        return [
            *(row["neighbor_key"] for row in rows),
            *(f"entry:{each}" for each in replayed.entry_ids),
        ]


# -- people ----------------------------------------------------------------------------------------


def propose_replay(
    connection: Connection[Row],
    *,
    plan: ReplayPlan,
    entities: Collection[str],
    by: str,
    through: str,
    reason: str,
    now: datetime,
) -> Proposal:
    """Ask that a replay be carried out that changes something; a second person decides.

    :raises LookupError: it concerns legal entities out of the person's sight.
    :raises UserMistake: it was proposed already, or no reason is given.
    """
    must_see(plan, entities)
    subject = f"replay:{hashlib.sha256(_as_json(asdict(plan.slice)).encode()).hexdigest()[:16]}"
    for waiting in list_proposals(connection, kind=REPLAY_SLICE, object=subject):
        raise UserMistake(f"{waiting.proposed_by} has proposed it already")
    return propose(
        connection,
        kind=REPLAY_SLICE,
        object=subject,
        entity_code=plan.entities[0] if len(plan.entities) == 1 else None,
        payload={
            "slice": json.loads(_as_json(asdict(plan.slice))),
            "digest": plan.digest,
            "figures": _figures(plan),
        },
        by=by,
        reason=reason,
        now=now,
        through=through,
    )


def carry_out_replay(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Have a worker carry out an approved replay; it looks first whether it still does the same."""
    schedule(
        connection,
        kind=REPLAY,
        subject=str(proposal.proposal_id),
        work_class=BILLING,
        correlation_id=str(proposal.proposal_id),
    )
    return int(proposal.payload["figures"]["records"])


def must_see(plan: ReplayPlan, entities: Collection[str]) -> None:
    """Refuse a replay that reaches beyond a person's sight.

    :raises LookupError: it does.
    """
    beyond = sorted(set(plan.entities) - set(entities))
    if beyond or not entities:
        raise LookupError("the replay reaches into legal entities out of sight")


def slice_of(words: Row) -> Slice:
    """Return a slice as it was kept with its proposal."""
    days = ("since", "until", "worked_since", "worked_until")
    return Slice(
        **{
            **words,
            **{day: date.fromisoformat(words[day]) if words[day] else None for day in days},
            "refs": tuple(words["refs"]),
        }
    )


# -- what is sent otherwise ------------------------------------------------------------------------


def list_unsent(connection: Connection[Row], *, entry_ids: Collection[UUID]) -> Unsent:
    """Return what waits to be sent of these hours, before anything is planned anew."""
    rows = connection.execute(
        "SELECT business_key, state = 'REJECTED' AS is_refused FROM effect"
        " WHERE entry_id = ANY (%s) AND noun = 'time_line'"
        " AND state IN ('PLANNED', 'ABSENT', 'REJECTED')",
        (list(entry_ids),),
    ).fetchall()
    return Unsent(
        waiting=tuple(row["business_key"] for row in rows),
        on_their_way=tuple(row["business_key"] for row in rows if not row["is_refused"]),
    )


def list_moved(
    connection: Connection[Row], *, entry_ids: Collection[UUID], unsent: Unsent
) -> tuple[Moved, ...]:
    """Sum up what a plan of these hours sends, takes back or does not send any more."""
    rows = connection.execute(
        _PLANNED,
        {
            "entry_ids": list(entry_ids),
            "waiting": list(unsent.waiting),
            "on_their_way": list(unsent.on_their_way),
        },
    ).fetchall()
    return tuple(Moved(**row) for row in rows)


# -- rows ------------------------------------------------------------------------------------------


def _must_exist(connection: Connection[Row], connection_key: str) -> None:
    row = connection.execute(
        "SELECT 1 AS one FROM connection WHERE connection_key = %s", (connection_key,)
    ).fetchone()
    if row is None:
        raise UserMistake(f"no connection is called {connection_key}")


def _mark(connection: Connection[Row], entry_ids: Sequence[UUID], *, now: datetime) -> None:
    mark_reference_change(
        connection,
        keys=[f"entry:{each}" for each in entry_ids],
        because=REPLAY_SLICE,
        correlation_id=REPLAY_SLICE,
        now=now,
    )


def _verdicts(connection: Connection[Row], entry_ids: Sequence[UUID]) -> list[int]:
    rows = connection.execute(
        "SELECT verdict_id FROM time_entry WHERE entry_id = ANY (%s) AND verdict_id IS NOT NULL",
        (list(entry_ids),),
    ).fetchall()
    return [row["verdict_id"] for row in rows]


def _entities(
    connection: Connection[Row], entry_ids: Sequence[UUID], verdict_ids: Sequence[int]
) -> tuple[str, ...]:
    rows = connection.execute(
        _ENTITIES, {"entry_ids": list(entry_ids), "verdict_ids": list(verdict_ids)}
    ).fetchall()
    return tuple(row["entity_code"] for row in rows)


def _others(connection: Connection[Row], key: str) -> list[str]:
    rows = connection.execute(
        "SELECT thing_key FROM case_file WHERE reason = %s AND state = 'open' AND thing_key <> %s",
        (OVERTAKEN, key),
    ).fetchall()
    return [row["thing_key"] for row in rows]


def _overtaken(key: str, proposal: Proposal, planned: ReplayPlan) -> CaseRequest:
    return CaseRequest(
        reason=OVERTAKEN,
        owner_queue="integration",
        thing_kind="replay",
        thing_key=key,
        entity_code=proposal.entity_code,
        members=(),
        details={
            "problem": "The replay was agreed to, and would do something else by now: nothing was done",
            "agreed": _as_json(proposal.payload["figures"]),
            "now": _as_json(_figures(planned)),
            "fix": "Look at the plan again, and propose it anew if it is still wanted.",
        },
    )


def _figures(plan: ReplayPlan) -> dict[str, Any]:
    figures = {name: value for name, value in asdict(plan).items() if name != "slice"}
    words: dict[str, Any] = json.loads(_as_json(figures))
    return words


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str, sort_keys=True)


def _word(batch_id: int) -> str:
    return f"{REPLAY_SLICE}:{batch_id}"

"""Send what waits for cases again: what it would do, shown before, and only that is done.

Pattern: planned and applied on demand. Target: seconds for 20,000 records. Vendor calls: none; what follows
is posted as ever. A preview is the thing itself, done in a transaction that is rolled back. Nothing is
decided here, and what is true by now is only looked at again: one person does it, for one case or for many.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection

from tieline.casework import CASES_PAGE_MAX, CaseSummary, fix_and_replay, list_cases, list_held
from tieline.kernel.clock import Clock
from tieline.kernel.errors import UserMistake
from tieline.ledger import plan
from tieline.runtime.database import Database, Row
from tieline.runtime.sql import load
from tieline.services.deciding import Decider, replay_case
from tieline.services.replaying import RECORDS_MAX, Moved, list_moved, list_unsent
from tieline.services.shown_plans import digest_of
from tieline.validation import judge

CASES_AGAIN_MAX = CASES_PAGE_MAX
_AGAIN = "cases.again"
_OUTCOME = load("tieline.services", "again_outcome")

# It is closed by now; nothing of it is judged, read or sent by us; what holds its hours is still there.
Refused = Literal["closed", "nothing", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAgain:
    """What sending one case again would do; ``refused`` says why it stays as it is.

    ``held_by`` are the reasons of hours that stay held; what comes of ``writes`` and ``records``, sent and
    read again, only their systems can say. ``dropped`` are writes that are not wanted any more.
    """

    case: CaseSummary
    hours: int
    still_held: int
    held_by: tuple[str, ...]
    writes: int
    dropped: int
    records: int
    refused: Refused | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What sending several cases again would do. An hour of two of them counts once in ``hours``."""

    cases: tuple[CaseAgain, ...]
    hours: int
    still_held: int
    moved: tuple[Moved, ...]

    @property
    def sent(self) -> tuple[CaseAgain, ...]:
        return tuple(each for each in self.cases if each.refused is None)

    @property
    def refused(self) -> tuple[CaseAgain, ...]:
        return tuple(each for each in self.cases if each.refused is not None)

    @property
    def asked(self) -> int:
        """Return how many writes and records are sent or read again."""
        return sum(each.writes + each.records for each in self.cases)

    @property
    def digest(self) -> str:
        """Tell two previews apart: what is done is what was shown."""
        return digest_of(
            {
                "cases": [_content(each) for each in self.cases],
                "moved": json.loads(json.dumps([asdict(each) for each in self.moved], default=str)),
            }
        )


def find_again(
    connection: Connection[Row],
    *,
    reason: str | None = None,
    owner_queue: str | None = None,
    entity_code: str | None = None,
    assigned_to: str | None = None,
    now: datetime,
) -> tuple[UUID, ...]:
    """Return the open cases in sight that fit, dearest and nearest first.

    :raises UserMistake: they are too many, or none.
    """
    found = list_cases(
        connection,
        reason=reason,
        owner_queue=owner_queue,
        entity_code=entity_code,
        assigned_to=assigned_to,
        now=now,
        limit=CASES_AGAIN_MAX,
    )
    if not found:
        raise UserMistake("no open case fits")
    beyond = list_cases(
        connection,
        reason=reason,
        owner_queue=owner_queue,
        entity_code=entity_code,
        assigned_to=assigned_to,
        now=now,
        limit=1,
        offset=CASES_AGAIN_MAX,
    )
    if beyond:
        raise UserMistake(f"more than {CASES_AGAIN_MAX} cases fit: narrow them down")
    return tuple(case.case_id for case in found)


def preview_again(
    connection: Connection[Row], *, database: Database, case_ids: Collection[UUID], clock: Clock
) -> Again:
    """Say what would become of these cases, by sending them again and rolling it back.

    ``connection`` is the sight of who asks; judging is only right when it sees every row, so it is done
    over ``database``, and only what became of these cases is told.

    :raises LookupError: one of them is not in sight.
    :raises UserMistake: none was named, or too much waits for them.
    """
    cases = _see(connection, case_ids)
    is_open = [case.case_id for case in cases if case.state == "open"]
    with database.transaction() as worker, worker.transaction(force_rollback=True):
        hours = list_held(worker, case_ids=is_open, limit=RECORDS_MAX + 1)
        if len(hours) > RECORDS_MAX:
            raise UserMistake(f"more than {RECORDS_MAX} records wait for them: choose fewer")
        now = clock.now()
        unsent = list_unsent(worker, entry_ids=hours)
        for case_id in is_open:
            fix_and_replay(worker, case_id=case_id, by="", reason="", now=now)
        if hours:
            judge(
                worker,
                neighbor_keys=[f"entry:{each}" for each in hours],
                clock=clock,
                correlation_id=_AGAIN,
            )
            # Their neighbors may be out of the sight of whoever asks: only the members are told of.
            plan(worker, entry_ids=hours, now=now)
        became = worker.execute(_OUTCOME, {"case_ids": is_open}).fetchall()
        return Again(
            cases=_outlooks(cases, {row.pop("case_id"): row for row in became}),
            **_counted(worker, is_open),
            moved=list_moved(worker, entry_ids=hours, unsent=unsent),
        )


def send_again(
    connection: Connection[Row],
    *,
    database: Database,
    case_ids: Collection[UUID],
    digest: str,
    reason: str,
    by: Decider,
    clock: Clock,
) -> Again:
    """Judge, read and send again what waits for these cases, as it was shown; all of them, or none.

    :raises LookupError: one of them is not in sight.
    :raises UserMistake: something else would happen by now, or nothing would.
    """
    shown = preview_again(connection, database=database, case_ids=case_ids, clock=clock)
    if shown.digest != digest:
        raise UserMistake("something else would happen by now than was shown: look again")
    if not shown.sent:
        raise UserMistake(
            "none of these cases would be sent again: put right what holds them first"
        )
    for each in shown.sent:
        replay_case(connection, case_id=each.case.case_id, reason=reason, by=by, now=clock.now())
    return shown


def _see(connection: Connection[Row], case_ids: Collection[UUID]) -> tuple[CaseSummary, ...]:
    wanted = tuple(dict.fromkeys(case_ids))
    if not wanted:
        raise UserMistake("choose at least one case")
    if len(wanted) > CASES_AGAIN_MAX:
        raise UserMistake(f"more than {CASES_AGAIN_MAX} cases: choose fewer")
    found = {
        case.case_id: case
        for case in list_cases(connection, state=None, case_ids=wanted, limit=len(wanted))
    }
    if missing := [case_id for case_id in wanted if case_id not in found]:
        raise LookupError(f"there is no case {missing[0]}")
    return tuple(found[case_id] for case_id in wanted)


def _outlooks(cases: Sequence[CaseSummary], became: Mapping[UUID, Row]) -> tuple[CaseAgain, ...]:
    nothing: Row = {
        "hours": 0,
        "still_held": 0,
        "held_by": (),
        "writes": 0,
        "dropped": 0,
        "records": 0,
    }
    return tuple(_outlook(case, became.get(case.case_id, nothing)) for case in cases)


def _outlook(case: CaseSummary, row: Row) -> CaseAgain:
    refused: Refused | None = None
    others = row["writes"] + row["dropped"] + row["records"]
    if case.state != "open":
        refused = "closed"
    elif not row["hours"] + others:
        refused = "nothing"
    elif row["hours"] == row["still_held"] and not others:
        refused = "held"
    return CaseAgain(case=case, **{**row, "held_by": tuple(row["held_by"])}, refused=refused)


def _counted(connection: Connection[Row], case_ids: Sequence[UUID]) -> dict[str, int]:
    row = connection.execute(
        """
        SELECT count(DISTINCT m.entry_id)::int AS hours,
               (count(DISTINCT m.entry_id) FILTER (WHERE v.outcome = 'held'))::int AS still_held
        FROM case_member m JOIN time_entry t USING (entry_id) LEFT JOIN verdict v USING (verdict_id)
        WHERE m.case_id = ANY (%s) AND m.left_at IS NULL AND m.member_kind = 'time_entry'
        """,
        (list(case_ids),),
    ).fetchone()
    assert row is not None
    return row


def _content(each: CaseAgain) -> Mapping[str, Any]:
    return {
        "case_id": str(each.case.case_id),
        "hours": each.hours,
        "still_held": each.still_held,
        "held_by": list(each.held_by),
        "writes": each.writes,
        "dropped": each.dropped,
        "records": each.records,
        "refused": each.refused,
    }

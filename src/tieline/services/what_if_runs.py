"""Questions about past days that a worker answers: asked on a page or by a machine, followed, stopped, kept.

Pattern: one durable step that only reads, beside short transactions that say how far it is. Whoever asks sees every
legal entity: rules, rates and calendars hold for all of them. Vendor calls: none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from tieline.kernel.clock import Clock
from tieline.kernel.errors import UserMistake
from tieline.register import DRAFT_NOUNS, Cells
from tieline.runtime.database import Database, Row
from tieline.runtime.work import REFERENCE, Again, Done, Outcome, Steps, schedule
from tieline.services.installation import entity_codes
from tieline.services.reference_files import File
from tieline.services.what_if import Question, WhatIf, answer, check_question

ANSWER_WHAT_IF = "answer_what_if"
WAITING_MAX = 10
LISTED_MAX = 50
ROWS_MAX = 5_000
_SAMPLE_MAX = 200
_KEPT = timedelta(days=90)
_TITLE_MAX = 200
_ANSWERS = TypeAdapter(WhatIf)
# Asked again it would fail again; that the database is gone or told to stop is another matter.
_CANNOT_BE_ANSWERED = (psycopg.DataError, psycopg.ProgrammingError, psycopg.errors.QueryCanceled)
# What a worker began and did not end is begun anew.
_BEGIN = """
    UPDATE what_if SET state = 'running', hours_done = 0
    WHERE what_if_id = (SELECT what_if_id FROM what_if WHERE state IN ('waiting', 'running')
                        ORDER BY asked_at, what_if_id LIMIT 1)
    RETURNING what_if_id, question
"""
_LINE = "what_if_id, title, state, hours_done, hours_total, problem, asked_by, asked_at, ended_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, and how far it is answered; ``state`` is waiting, running, done, failed or stopped."""

    what_if_id: UUID
    title: str
    state: str
    hours_done: int
    hours_total: int | None
    problem: str | None
    asked_by: str
    asked_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A question, which release it is about, and its answer once there is one."""

    asked: Asked
    new_release_id: int | None
    found: WhatIf | None


class _Stopped(Exception):
    """Somebody wants no answer any more."""


def ask(
    connection: Connection[Row],
    *,
    question: Question,
    title: str,
    by: str,
    entities: Collection[str],
    now: datetime,
) -> UUID:
    """Ask a question; a worker answers it.

    :raises UserMistake: too many wait already, or the question cannot be answered.
    """
    must_see_all(connection, entities)
    check_question(connection, question=question)
    if sum(len(file.rows) for file in question.files) > ROWS_MAX:
        raise UserMistake(f"a draft has {ROWS_MAX} rows at most here: use tieline policy diff")
    connection.execute("DELETE FROM what_if WHERE asked_at < %s", (now - _KEPT,))
    row = connection.execute(
        "SELECT count(*) AS waiting FROM what_if WHERE state IN ('waiting', 'running')"
    ).fetchone()
    if row and row["waiting"] >= WAITING_MAX:
        raise UserMistake(f"{WAITING_MAX} questions wait already: stop one, or ask later")
    made = connection.execute(
        "INSERT INTO what_if (title, question, asked_by, asked_at) VALUES (%s, %s, %s, %s)"
        " RETURNING what_if_id",
        (title[:_TITLE_MAX] or "What if", Jsonb(_written(question)), by, now),
    ).fetchone()
    assert made is not None
    what_if_id: UUID = made["what_if_id"]
    schedule(
        connection,
        kind=ANSWER_WHAT_IF,
        subject="next",
        work_class=REFERENCE,
        correlation_id=str(what_if_id),
    )
    return what_if_id


def list_asked(connection: Connection[Row], *, entities: Collection[str]) -> tuple[Asked, ...]:
    """List questions, the newest first.

    :raises UserMistake: the asker does not see every legal entity.
    """
    must_see_all(connection, entities)
    rows = connection.execute(
        f"SELECT {_LINE} FROM what_if ORDER BY asked_at DESC, what_if_id LIMIT %s", (LISTED_MAX,)
    ).fetchall()
    return tuple(Asked(**row) for row in rows)


def get_answer(
    connection: Connection[Row], *, what_if_id: UUID, entities: Collection[str]
) -> Answered:
    """Return a question with its answer, if it has one.

    :raises LookupError: there is none in sight.
    """
    row = connection.execute(
        f"SELECT {_LINE}, (question ->> 'new_release_id')::bigint AS new_release_id, answer"
        " FROM what_if WHERE what_if_id = %s",
        (what_if_id,),
    ).fetchone()
    if row is None or not sees_all(connection, entities):
        raise LookupError(f"there is no what-if {what_if_id}")
    new_release_id, found = row.pop("new_release_id"), row.pop("answer")
    return Answered(
        asked=Asked(**row),
        new_release_id=new_release_id,
        found=None if found is None else _ANSWERS.validate_python(found),
    )


def stop(
    connection: Connection[Row], *, what_if_id: UUID, entities: Collection[str], now: datetime
) -> None:
    """Want no answer any more; what runs ends within a few seconds.

    :raises LookupError: there is none in sight that waits or runs.
    """
    if not sees_all(connection, entities):
        raise LookupError(f"there is no what-if {what_if_id}")
    ended = connection.execute(
        "UPDATE what_if SET state = 'stopped', ended_at = %s"
        " WHERE what_if_id = %s AND state IN ('waiting', 'running')",
        (now, what_if_id),
    ).rowcount
    if not ended:
        raise LookupError(f"no what-if {what_if_id} waits or runs")


def sees_all(connection: Connection[Row], entities: Collection[str]) -> bool:
    """Say whether somebody sees every legal entity."""
    return set(entity_codes(connection)) <= set(entities)


def must_see_all(connection: Connection[Row], entities: Collection[str]) -> None:
    """Refuse who sees only some legal entities.

    :raises UserMistake: they do.
    """
    if not sees_all(connection, entities):
        raise UserMistake(
            "rules, rates and calendars hold for the whole firm: ask somebody who sees every legal entity"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfRuns:
    """Answer what was asked, as a worker."""

    database: Database
    clock: Clock

    def answer(self, steps: Steps, subject: str) -> Outcome:
        """Answer the oldest question; one at a time, so that pages and posting are not kept waiting."""
        is_answered = steps.run("answer", self._answer_next)
        return Again(due_in_seconds=0) if is_answered else Done()

    def _answer_next(self) -> bool:
        with self.database.transaction() as connection:
            row = connection.execute(_BEGIN).fetchone()
        if row is None:
            return False
        what_if_id, question = row["what_if_id"], _read(row["question"])
        try:
            found = answer(
                self.database,
                question=question,
                now=self.clock.now(),
                sample=_SAMPLE_MAX,
                progress=lambda done, total: self._tell(what_if_id, done, total),
            )
        except _Stopped:
            return True
        except UserMistake as error:
            self._end(what_if_id, state="failed", problem=str(error), found=None)
        except _CANNOT_BE_ANSWERED as error:
            told = f"it cannot be answered: {str(error).splitlines()[0]}"
            self._end(what_if_id, state="failed", problem=told, found=None)
        else:
            told_found = _ANSWERS.dump_python(found, mode="json")
            self._end(what_if_id, state="done", problem=None, found=told_found)
        return True

    def _tell(self, what_if_id: UUID, done: int, total: int) -> None:
        with self.database.transaction() as connection:
            told = connection.execute(
                "UPDATE what_if SET hours_done = %s, hours_total = %s"
                " WHERE what_if_id = %s AND state = 'running'",
                (done, total, what_if_id),
            ).rowcount
        if not told:
            raise _Stopped

    def _end(self, what_if_id: UUID, *, state: str, problem: str | None, found: Any) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE what_if SET state = %s, problem = %s, answer = %s, ended_at = %s"
                " WHERE what_if_id = %s AND state = 'running'",
                (
                    state,
                    problem,
                    None if found is None else Jsonb(found),
                    self.clock.now(),
                    what_if_id,
                ),
            )


def _written(question: Question) -> dict[str, Any]:
    return {
        "starts_on": question.starts_on.isoformat(),
        "ends_on": question.ends_on.isoformat(),
        "new_release_id": question.new_release_id,
        "old_release_id": question.old_release_id,
        "proposal_ids": [str(each) for each in question.proposal_ids],
        "files": [
            {
                "noun": file.noun.name,
                "name": file.name,
                "is_whole": file.is_whole,
                "rows": [[row.line, dict(row.cells)] for row in file.rows],
            }
            for file in question.files
        ],
    }


def _read(told: Mapping[str, Any]) -> Question:
    return Question(
        starts_on=date.fromisoformat(told["starts_on"]),
        ends_on=date.fromisoformat(told["ends_on"]),
        new_release_id=told["new_release_id"],
        old_release_id=told["old_release_id"],
        proposal_ids=tuple(UUID(each) for each in told["proposal_ids"]),
        files=tuple(
            File(
                noun=DRAFT_NOUNS[each["noun"]],
                name=each["name"],
                is_whole=each["is_whole"],
                rows=tuple(Cells(line=line, cells=cells) for line, cells in each["rows"]),
            )
            for each in told["files"]
        ),
    )

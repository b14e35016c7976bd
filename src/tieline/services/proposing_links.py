"""Propose a link for every record without one, and keep what was proposed, so that a page need not do it again.

Pattern: a durable step when somebody asks or something changed; a command does it at once. What is kept says as of
when; before anything of it is linked, the same statements look at that part anew. Vendor calls: none, it reads what
the connections brought.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.kernel.clock import Clock
from tieline.runtime.database import Database, Row
from tieline.runtime.sql import hashed, load
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import REFERENCE, Done, Outcome, Steps, schedule
from tieline.services.client_sync import find_strangers

PROPOSE_LINKS = "propose_links"
STRONG, LEFT, CLIENT = "strong", "left", "client"
# How sure a proposal is, the surest first; what was left and whose link two people decide come last.
STATES = (STRONG, "weak", "several", "rivals", "taken", "nothing", CLIENT, LEFT)
NOUNS = (CLIENT, "person", "project", "task", "erp_task")
_BY_ITSELF = "tieline"
_LOCK = 7_146_254_735
_AT_ONCE = 5_000
_CLIENTS, _PEOPLE, _PROJECTS, _TASKS = (
    load("tieline.services", f"adopt_{name}") for name in ("clients", "people", "projects", "tasks")
)
_KEEP = load("tieline.services", "adopt_keep")
_MADE_OF = load("tieline.services", "adopt_made_of")
_PROPOSED = """
    CREATE TEMPORARY TABLE adopt_proposed (connection_key text NOT NULL, noun text NOT NULL, source_ref text NOT NULL,
        own_ref text NOT NULL, name text NOT NULL, code text NOT NULL, parent text NOT NULL, fit_id uuid,
        fits bigint NOT NULL, rivals bigint NOT NULL, rank integer, ours text NOT NULL, our_name text NOT NULL, why text)
    ON COMMIT DROP
"""
_STANDING = """
    SELECT connection_key, noun, source_ref, name, code, parent, our_id, ours, our_name, state, why
    FROM adoption_standing
"""
_PICKED = """
    s JOIN unnest(%(connection_keys)s::text[], %(nouns)s::text[], %(source_refs)s::text[])
        AS k (connection_key, noun, source_ref) USING (connection_key, noun, source_ref)
"""
_LOOK = "look_no, known_at, proposed_by, state, steps_done, asked_by, asked_at FROM adoption_look"
# What is kept of a record, and of the project that it is a task of: by these words it was found.
_WORDS = """
    SELECT DISTINCT lower(w.word) AS word FROM adoption_proposal p
    JOIN unnest(%(connection_keys)s::text[], %(nouns)s::text[], %(source_refs)s::text[], %(parents)s::text[])
        AS k (connection_key, noun, source_ref, parent)
        ON p.connection_key = k.connection_key AND (p.noun = k.noun AND p.source_ref = k.source_ref
                                                   OR p.noun = 'project' AND p.source_ref = k.parent)
    CROSS JOIN LATERAL (VALUES (p.name), (p.code), (p.ours), (p.our_name)) AS w (word)
    WHERE w.word <> ''
"""
_HOLDING = """
    SELECT connection_key, noun, source_ref, fit_id FROM adopt_proposed
    WHERE fits = 1 AND rivals = 1 AND (rank < 3 OR NOT %s)
"""

Progress = Callable[[int, int], None]
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of another system."""

    connection_key: str
    noun: str
    source_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoptable(Record):
    """One record that is no link of ours yet; ``our_id`` is the one it most likely is, with a reason."""

    name: str
    code: str
    parent: str
    our_id: UUID | None
    ours: str
    our_name: str
    state: str
    why: str

    @property
    def decision(self) -> str:
        """Return what is proposed to a person: only a strong reason is filled in."""
        return {STRONG: "link", LEFT: "leave"}.get(self.state, "")

    @property
    def may_be_left(self) -> bool:
        """Tell whether a person may leave it: who a client is, is asked in its case."""
        return self.state not in (LEFT, CLIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which part of it somebody asks for; without a state what nobody has decided yet, or with ``has_left`` all."""

    connection_key: str = ""
    noun: str = ""
    state: str = ""
    words: str = ""
    has_left: bool = False

    def clause(self) -> tuple[str, dict[str, Any]]:
        """Return it as SQL over what stands, and its values."""
        words = "concat_ws(' ', source_ref, name, code, ours, our_name)"
        asked = {
            "connection_key = %(connection_key)s": self.connection_key,
            "noun = %(noun)s": self.noun,
            "state = %(state)s": self.state,
            f"position(lower(%(words)s) IN lower({words})) > 0": self.words,
            "state <> 'left'": not self.state and not self.has_left,
        }
        told = [condition for condition, is_asked in asked.items() if is_asked]
        values = {
            name: getattr(self, name) for name in ("connection_key", "noun", "state", "words")
        }
        return (f" WHERE {' AND '.join(told)}" if told else ""), values


EVERYTHING = Filters(has_left=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The proposals that are kept: as of when, whose they are, and how far the next ones are.

    ``known_at`` is None while nothing was ever proposed; ``state`` is waiting, running or done.
    """

    look_no: int
    known_at: datetime | None
    proposed_by: str | None
    state: str
    steps_done: int
    asked_by: str | None
    asked_at: datetime | None

    @property
    def steps_total(self) -> int:
        """Return how many steps a look has."""
        return len(NOUNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many proposals stand, by connection, noun and state."""

    counts: Mapping[Key, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Return how many there are."""
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Return how many nobody has decided yet."""
        return self.total - self._in(LEFT)

    @property
    def sure(self) -> int:
        """Return how many a strong reason links."""
        return self._in(STRONG)

    def of(self, connection: Connection[Row], *, filters: Filters) -> Tally:
        """Return the part that somebody asks for; only what has some words is counted anew."""
        if filters.words:
            return tally(connection, filters=filters)
        asked = (filters.connection_key, filters.noun, filters.state)
        has_left = filters.has_left or bool(filters.state)
        return Tally(
            counts={
                key: count
                for key, count in self.counts.items()
                if all(word in ("", part) for word, part in zip(asked, key, strict=True))
                and (has_left or key[2] != LEFT)
            }
        )

    def _in(self, state: str) -> int:
        return sum(count for (_, _, each), count in self.counts.items() if each == state)


def propose_links(
    connection: Connection[Row], *, by: str, now: datetime, progress: Progress
) -> None:
    """Propose a link for every record that has none, and keep it in place of what was proposed before."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    # Before it is read: what changes meanwhile is found the next time.
    marks = _made_of(connection)["marks"]
    with hashed(connection, is_so=True):
        # What was just read is in no statistics yet.
        _propose(connection, words=None, parents=None, progress=progress)
        connection.execute("DELETE FROM adoption_proposal")
        connection.execute(_KEEP)
    connection.execute("DROP TABLE adopt_proposed")
    connection.execute(
        """
        UPDATE adoption_look SET look_no = look_no + 1, known_at = %(now)s, proposed_by = %(by)s, marks = %(marks)s,
            state = 'done', steps_done = 0
        """,
        {"now": now, "by": by, "marks": marks},
    )
    progress(len(NOUNS), len(NOUNS))


def read_look(connection: Connection[Row]) -> Look:
    """Return as of when the proposals are that are kept."""
    row = connection.execute(f"SELECT {_LOOK}").fetchone()
    assert row is not None
    return Look(**row)


def tally(connection: Connection[Row], *, filters: Filters = EVERYTHING) -> Tally:
    """Count what is kept and stands."""
    clause, values = filters.clause()
    rows = connection.execute(
        f"SELECT connection_key, noun, state, count(*) AS found FROM adoption_standing{clause} GROUP BY 1, 2, 3",
        values,
    ).fetchall()
    counts = {(row["connection_key"], row["noun"], row["state"]): row["found"] for row in rows}
    return Tally(counts=counts)


def list_proposals(
    connection: Connection[Row],
    *,
    filters: Filters = EVERYTHING,
    limit: int | None = None,
    offset: int = 0,
) -> tuple[Adoptable, ...]:
    """List what is kept and stands, in the order in which a person goes through it."""
    clause, values = filters.clause()
    statement = f"{_STANDING}{clause} ORDER BY number LIMIT %(limit)s OFFSET %(offset)s"
    # Of hundreds of thousands some are taken at a time.
    with connection.cursor(name="adoptable") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(statement, values | {"limit": limit, "offset": offset})
        return tuple(Adoptable(**row) for row in cursor)


def find_proposals(
    connection: Connection[Row], *, records: Sequence[Record]
) -> Mapping[Key, Adoptable]:
    """Return what is kept of some records and stands."""
    rows = connection.execute(_STANDING + _PICKED, columns(records)).fetchall()
    return {key_of(each): each for each in (Adoptable(**row) for row in rows)}


def look_anew(connection: Connection[Row], *, of: Sequence[Adoptable] | None) -> Mapping[Key, UUID]:
    """Return what would be proposed now, of some records or (None) surely of any; nothing of it is kept."""
    if of is None:
        with hashed(connection, is_so=True):
            _propose(connection, words=None, parents=None, progress=_quiet)
    else:
        parents = [each.parent for each in of]
        rows = connection.execute(_WORDS, columns(of) | {"parents": parents}).fetchall()
        words = [row["word"] for row in rows]
        _propose(connection, words=words, parents=parents, progress=_quiet)
    found = connection.execute(_HOLDING, (of is None,)).fetchall()
    connection.execute("DROP TABLE adopt_proposed")
    return {(row["connection_key"], row["noun"], row["source_ref"]): row["fit_id"] for row in found}


def ask_again(connection: Connection[Row], *, by: str, now: datetime) -> None:
    """Ask a worker to propose again."""
    connection.execute(
        "UPDATE adoption_look SET state = 'waiting', steps_done = 0, asked_by = %s, asked_at = %s"
        " WHERE state <> 'running'",
        (by, now),
    )
    schedule(
        connection,
        kind=PROPOSE_LINKS,
        subject="all",
        work_class=REFERENCE,
        correlation_id=new_correlation_id(),
    )


def forget_proposals(connection: Connection[Row]) -> None:
    """Keep nothing of what was proposed: a name is in it that must not be."""
    connection.execute("DELETE FROM adoption_proposal")
    connection.execute(
        "UPDATE adoption_look SET look_no = 0, known_at = NULL, proposed_by = NULL, marks = NULL"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposing:
    """Propose again as a worker: when somebody asked, or something changed."""

    database: Database
    clock: Clock

    def propose(self, steps: Steps, _subject: str) -> Outcome:
        """Propose everything anew, and say how far it is."""
        steps.run("propose", self._propose)
        return Done()

    def schedule_changed(self) -> None:
        """Ask for it where what the proposals are made of is another than it was."""
        with self.database.transaction() as connection:
            row = connection.execute(
                """
                SELECT marks, EXISTS (SELECT FROM work_item WHERE kind = %s AND state IN ('waiting', 'running')) AS is_going
                FROM adoption_look
                """,
                (PROPOSE_LINKS,),
            ).fetchone()
            assert row is not None
            if row["is_going"]:
                return
            found = _made_of(connection)
            if found["is_anything"] and found["marks"] != row["marks"]:
                ask_again(connection, by=_BY_ITSELF, now=self.clock.now())

    def _propose(self) -> bool:
        with self.database.transaction() as connection:
            row = connection.execute(
                "UPDATE adoption_look SET state = 'running', steps_done = 0 RETURNING asked_by"
            ).fetchone()
            assert row is not None
        with self.database.transaction() as connection:
            propose_links(
                connection,
                by=row["asked_by"] or _BY_ITSELF,
                now=self.clock.now(),
                progress=self._tell,
            )
        return True

    def _tell(self, done: int, total: int) -> None:
        if done == total:
            return
        with self.database.transaction() as connection:
            connection.execute("UPDATE adoption_look SET steps_done = %s", (done,))


def key_of(record: Record) -> Key:
    """Return what a record is known by."""
    return (record.connection_key, record.noun, record.source_ref)


def columns(records: Collection[Record]) -> dict[str, list[str]]:
    """Return records as a statement takes them."""
    keys = [key_of(each) for each in records]
    names = ("connection_keys", "nouns", "source_refs")
    return {name: [key[place] for key in keys] for place, name in enumerate(names)}


def _propose(
    connection: Connection[Row],
    *,
    words: Sequence[str] | None,
    parents: Sequence[str] | None,
    progress: Progress,
) -> None:
    """Fill a table with what is proposed: of everything, or of what has one of some words and is in some projects."""
    connection.execute(_PROPOSED)
    asked = {"is_whole": words is None, "words": list(words or ()), "parents": list(parents or ())}
    for done, (statement, values) in enumerate(_steps(connection, asked)):
        progress(done, len(NOUNS))
        connection.execute(statement, values)
        connection.execute("ANALYZE adopt_proposed")


def _steps(
    connection: Connection[Row], asked: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if asked["is_whole"]:
        strangers = sorted(find_strangers(connection))
        yield (
            _CLIENTS,
            {
                "stranger_keys": [key for key, _ in strangers],
                "stranger_refs": [ref for _, ref in strangers],
            },
        )
    yield from ((statement, asked) for statement in (_PEOPLE, _PROJECTS, _TASKS))


def _made_of(connection: Connection[Row]) -> Row:
    row = connection.execute(_MADE_OF).fetchone()
    assert row is not None
    return row


def _quiet(done: int, total: int) -> None:
    """Tell nobody."""

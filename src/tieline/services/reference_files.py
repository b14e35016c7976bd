"""Load reference data from a file: first what it would change, then the change, by two where money moves.

Pattern: one transaction. Vendor calls: none. What a second person agrees to is the plan that the first
one saw: where the table moved meanwhile, it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.governance import Proposal, list_proposals, propose, record_audit
from tieline.kernel.errors import UserMistake
from tieline.register import (
    CODE_NOUNS,
    DRAFT_NOUNS,
    NOUNS,
    Cells,
    Mistake,
    Noun,
    Plan,
    as_csv,
    plan_cells,
    read_cells,
    rows_known_at,
    value_in_words,
    write_plan,
)
from tieline.services.code_impact import Impact, impact_of
from tieline.services.xlsx_reading import read_sheet
from tieline.validation import Effect, try_change

LOAD = "register.load"
SHEET = "Rows"
PROPOSED_ROWS_MAX = 20_000
MISTAKES_SHOWN_MAX = 100
CHANGES_SHOWN_MAX = 200

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of one noun, read; ``is_whole`` says that what it does not name is to go."""

    noun: Noun
    name: str
    rows: tuple[Cells, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeInWords:
    """One row that comes, changes or goes, as a file would hold it."""

    kind: str
    line: int
    key: Mapping[str, str]
    before: Mapping[str, str]
    after: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What loading a file would change, and every line that cannot be loaded."""

    noun: str
    file_name: str
    added: int
    changed: int
    ended: int
    same: int
    takes_two: bool
    mistakes: tuple[Mistake, ...]
    changes: tuple[ChangeInWords, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of a load: rows that changed, or the proposal that waits for a second person."""

    rows: int
    proposal_id: UUID | None


def get_noun(name: str) -> Noun:
    """Return a noun that files may hold.

    :raises UserMistake: there is none of this name.
    """
    if name not in NOUNS:
        raise UserMistake(f"{name} is none of {', '.join(NOUNS)}")
    return NOUNS[name]


def read_file(*, noun: str, name: str, body: bytes, is_whole: bool) -> File:
    """Read a file of a noun.

    :raises UserMistake: it is no such file.
    """
    return _read(get_noun(noun), name, body, is_whole)


def read_draft_file(*, noun: str, name: str, body: bytes, is_whole: bool) -> File:
    """Read a file that is only looked at: it may also hold what is never loaded from a file.

    :raises UserMistake: it is no such file.
    """
    if noun not in DRAFT_NOUNS:
        raise UserMistake(f"{noun} is none of {', '.join(DRAFT_NOUNS)}")
    return _read(DRAFT_NOUNS[noun], name, body, is_whole)


def plan_file(connection: Connection[Row], *, file: File) -> Plan:
    """Return what loading a file would change.

    :raises UserMistake: a line cannot be loaded.
    """
    plan = _plan(connection, file)
    _refuse_mistakes(plan)
    return plan


def preview_file(connection: Connection[Row], *, file: File) -> Preview:
    """Return what loading would change; it changes nothing."""
    plan = _plan(connection, file)
    kinds = [change.kind for change in plan.changes]
    return Preview(
        noun=file.noun.name,
        file_name=file.name,
        added=kinds.count("added"),
        changed=kinds.count("changed"),
        ended=kinds.count("ended"),
        same=plan.same,
        takes_two=file.noun.moves_money,
        mistakes=plan.mistakes[:MISTAKES_SHOWN_MAX],
        changes=_in_words(plan)[:CHANGES_SHOWN_MAX],
    )


def mistakes_of_file(connection: Connection[Row], *, file: File) -> tuple[Mistake, ...]:
    """Return every line that cannot be loaded; it changes nothing."""
    return _plan(connection, file).mistakes


def effect_of_file(connection: Connection[Row], *, file: File, now: datetime) -> tuple[Effect, ...]:
    """Return what loading would do to hours and money, by contract and place; it changes nothing.

    :raises UserMistake: a line cannot be loaded, or it concerns too many hours.
    """
    plan = _plan(connection, file)
    _refuse_mistakes(plan)
    return _effect(connection, file, plan, now)


def deals_of_file(connection: Connection[Row], *, file: File, now: datetime) -> Impact:
    """Return which deals would be read otherwise by what a file says of codes; it changes nothing."""
    if file.noun not in CODE_NOUNS:
        return Impact(is_asked=False)
    plan = _plan(connection, file)
    if plan.mistakes or not plan.changes:
        return Impact(is_asked=True)

    def change() -> None:
        _write(connection, file, plan, by="trial", approved_by=None, reason="trial", now=now)

    return impact_of(connection, change=change, now=now)


def export_file(connection: Connection[Row], *, noun: str, known_at: datetime) -> list[list[str]]:
    """Return what stands of a noun, or stood at an instant, as the rows of a file that may be loaded.

    :raises UserMistake: files hold no such noun.
    """
    return rows_known_at(connection, noun=get_noun(noun), known_at=known_at)


def load_file(
    connection: Connection[Row],
    *,
    file: File,
    by: str,
    reason: str,
    now: datetime,
    through: str = "",
) -> Loaded:
    """Load a file, or ask a second person to agree where it moves money; as the worker.

    :raises UserMistake: a line cannot be loaded, nothing changes, or it was proposed already.
    """
    plan = _plan(connection, file)
    _refuse_mistakes(plan)
    if not plan.changes:
        raise UserMistake(f"{file.name} changes nothing: every row of it stands already")
    if not file.noun.moves_money:
        rows = _write(connection, file, plan, by=by, approved_by=None, reason=reason, now=now)
        return Loaded(rows=rows, proposal_id=None)
    if len(file.rows) > PROPOSED_ROWS_MAX:
        raise UserMistake(f"a proposal holds {PROPOSED_ROWS_MAX} rows at most: cut the file in two")
    subject = f"register:{file.noun.name}"
    for waiting in list_proposals(connection, kind=LOAD, object=subject):
        if waiting.payload["content"] == plan.digest():
            raise UserMistake(f"{waiting.proposed_by} has proposed it already")
    proposal = propose(
        connection,
        kind=LOAD,
        object=subject,
        entity_code=None,
        payload={
            "noun": file.noun.name,
            "file_name": file.name,
            "is_whole": file.is_whole,
            "rows": [[row.line, dict(row.cells)] for row in file.rows],
            "content": plan.digest(),
            "effect": [_told(each) for each in _effect(connection, file, plan, now)],
        },
        by=by,
        reason=reason,
        now=now,
        through=through,
    )
    return Loaded(rows=0, proposal_id=proposal.proposal_id)


def carry_out_load(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Load what an approved proposal holds; as the worker.

    :raises UserMistake: it would change something else than when it was proposed, or it holds for
        legal entities that are not in the approver's sight.
    """
    _refuse_what_is_not_seen(connection)
    file = proposed_file(proposal)
    plan = _plan(connection, file)
    _refuse_mistakes(plan)
    if plan.digest() != proposal.payload["content"]:
        raise UserMistake(
            f"{file.noun.name} changed since {file.name} was proposed:"
            " turn it down, look again and propose it anew"
        )
    return _write(
        connection,
        file,
        plan,
        by=proposal.proposed_by,
        approved_by=proposal.approved_by,
        reason=proposal.reason,
        now=now,
    )


def proposed_file(proposal: Proposal) -> File:
    """Return the file that a proposal holds."""
    payload = proposal.payload
    return File(
        noun=get_noun(payload["noun"]),
        name=payload["file_name"],
        rows=tuple(Cells(line=line, cells=cells) for line, cells in payload["rows"]),
        is_whole=payload["is_whole"],
    )


def _read(noun: Noun, name: str, body: bytes, is_whole: bool) -> File:
    if name.casefold().endswith(".xlsx"):
        body = as_csv(read_sheet(body, name=SHEET))
    return File(noun=noun, name=name, rows=read_cells(body, noun=noun), is_whole=is_whole)


def _plan(connection: Connection[Row], file: File) -> Plan:
    return plan_cells(connection, noun=file.noun, rows=file.rows, is_whole=file.is_whole)


def _effect(
    connection: Connection[Row], file: File, plan: Plan, now: datetime
) -> tuple[Effect, ...]:
    def change() -> None:
        _write(connection, file, plan, by="trial", approved_by=None, reason="trial", now=now)

    return try_change(connection, change=change, now=now)


def _told(effect: Effect) -> dict[str, str | int | None]:
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in asdict(effect).items()
    }


def _refuse_what_is_not_seen(connection: Connection[Row]) -> None:
    # Terms hold for the whole firm: whoever agrees to them acts for all of it.
    unseen = connection.execute(
        "SELECT entity_code FROM legal_entity WHERE NOT visible_entity(entity_code) ORDER BY 1"
    ).fetchall()
    if unseen:
        names = ", ".join(row["entity_code"] for row in unseen)
        raise UserMistake(
            f"it holds for {names}, too, which are not in your sight: ask somebody else"
        )


def _refuse_mistakes(plan: Plan) -> None:
    if plan.mistakes:
        first = plan.mistakes[0]
        where = f"line {first.line}" + (f", {first.column}" if first.column else "")
        more = len(plan.mistakes) - 1
        raise UserMistake(
            f"{where}: {first.sentence}" + (f"; and {more} more mistakes" if more else "")
        )


def _write(
    connection: Connection[Row],
    file: File,
    plan: Plan,
    *,
    by: str,
    approved_by: str | None,
    reason: str,
    now: datetime,
) -> int:
    row = connection.execute(
        "INSERT INTO reference_load (noun, file_name, loaded_by, approved_by, reason, rows, recorded_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING load_id",
        (file.noun.name, file.name, by, approved_by, reason, len(plan.changes), now),
    ).fetchone()
    assert row is not None
    rows = write_plan(connection, plan=plan, load_id=row["load_id"], now=now)
    record_audit(
        connection,
        now=now,
        actor=approved_by or by,
        action="register.loaded",
        object=f"register:{file.noun.name}",
        entity_code=None,
        reason=reason,
        data={"file_name": file.name, "rows": rows, "load_id": str(row["load_id"])},
    )
    return rows


def _in_words(plan: Plan) -> tuple[ChangeInWords, ...]:
    names = ("starts_on", *plan.noun.values())
    told = []
    for change in plan.changes:
        row = change.after or change.before
        assert row is not None
        told.append(
            ChangeInWords(
                kind=change.kind,
                line=change.line,
                key={name: value_in_words(row[name]) for name in plan.noun.key},
                before=_row(change.before, names),
                after=_row(change.after, names),
            )
        )
    return tuple(told)


def _row(row: Mapping[str, Any] | None, names: Sequence[str]) -> dict[str, str]:
    return {} if row is None else {name: value_in_words(row[name]) for name in names}

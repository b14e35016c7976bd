"""Lines given to people as a file while their target is down: which, what is in the file, what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.canonical import TimeLineCommand
from tieline.canonical.commands import content_hash
from tieline.kernel.errors import UserMistake
from tieline.kernel.money import currency_digits, round_half_up
from tieline.posting.import_file import checksum_of, unsafe_words, write_rows
from tieline.posting.outgoing import command_of, load_gated
from tieline.runtime.sql import load
from tieline.sdk import ImportLayout, ImportLine, LoadsFiles, Untranslatable
from tieline.sdk.directory import Connectors

OPEN, SETTLED, WITHDRAWN = "open", "settled", "withdrawn"
HANDED_OVER = "posting.handed_over"
UNCONFIRMED = "unconfirmed"
FILES_PAGE_MAX = 200
_NAMED_MAX = 200
_CHECKSUM_CHARACTERS = 8
_CHOSEN = load_gated("lines_for_file")
_FOR_FILE = _CHOSEN.replace("{locked}", "FOR UPDATE OF e, t SKIP LOCKED")
_TO_SHOW = _CHOSEN.replace("{locked}", "")
_LEFT_OUT = load("tieline.posting", "lines_left_out")
_GIVE = load("tieline.posting", "give_lines")
_FILE_COLUMNS = (
    "file_id, file_name, target_connection, entity_code, reason, made_by, approved_by, made_at,"
    " valid_until, checksum, cover, lines, seconds, state, asked_at, closed_at"
)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScope:
    """Which lines are asked for: of a target and legal entity, of one period or of every open one.

    ``planned_by`` leaves out what was planned later.
    """

    target_connection: str
    entity_code: str
    period_code: str | None
    planned_by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Lines that are not in a file for one reason: how many, and some of them by name."""

    why: str
    lines: int
    seconds: int
    named: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDraft:
    """What a file would hold now."""

    scope: FileScope
    layout: ImportLayout
    commands: tuple[TimeLineCommand, ...]
    rows: tuple[tuple[str, ...], ...]
    periods: tuple[str, ...]
    amounts: Mapping[str, Decimal]
    unpriced_seconds: int
    due_at: datetime | None
    left_out: tuple[LeftOut, ...]

    @property
    def seconds(self) -> int:
        return sum(command.seconds for command in self.commands)

    def content(self) -> bytes:
        """Return the bytes of the file: the same for the same lines."""
        return write_rows(layout=self.layout, rows=self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWords:
    """Who makes a file and why, and until when it may be loaded."""

    proposal_id: UUID
    made_by: str
    approved_by: str
    reason: str
    valid_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFile:
    """A file that was given to people; ``cover`` is what its cover sheet says."""

    file_id: UUID
    file_name: str
    target_connection: str
    entity_code: str
    reason: str
    made_by: str
    approved_by: str
    made_at: datetime
    valid_until: datetime
    checksum: str
    cover: Mapping[str, Any]
    lines: int
    seconds: int
    state: str
    asked_at: datetime | None
    closed_at: datetime | None
    given: int
    matched: int
    released: int
    differs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenSum:
    """What of a file's lines nobody has found yet, by project and currency (None: unpriced)."""

    file_name: str
    project_code: str
    currency: str | None
    lines: int
    seconds: int
    amount: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenLine:
    """One line of a file, in the target's codes, as it was given out."""

    business_key: UUID
    line_number: int
    person_code: str
    task_code: str
    work_date: date
    seconds: int
    outcome: str
    effect_state: str

    def command(self, *, entity_code: str) -> TimeLineCommand:
        """Return what was to be loaded; what people wrote is in the file alone."""
        return TimeLineCommand(
            business_key=self.business_key,
            entity_code=entity_code,
            person_code=self.person_code,
            task_code=self.task_code,
            work_date=self.work_date,
            seconds=self.seconds,
            narrative=None,
        )


# -- making ----------------------------------------------------------------------------------------


def draft_file(
    connection: Connection[Row], *, scope: FileScope, connectors: Connectors, locks: bool = True
) -> FileDraft:
    """Choose the lines of a file and lock them until the transaction ends; nothing is changed yet.

    Who only looks takes no lock.

    :raises UserMistake: the target's people cannot load a file.
    """
    loader = loader_of(connectors, target_connection=scope.target_connection)
    layout = loader.import_layout()
    values = {
        "target": scope.target_connection,
        "entity_code": scope.entity_code,
        "period_code": scope.period_code,
    }
    if locks:
        # Shared with whoever sends: a check that stops this target waits, or was seen.
        connection.execute(
            "SELECT FROM connection WHERE connection_key = %s FOR SHARE", (scope.target_connection,)
        )
    chosen = connection.execute(
        _FOR_FILE if locks else _TO_SHOW,
        {**values, "planned_by": scope.planned_by, "limit": layout.lines_max},
    ).fetchall()
    good: list[tuple[Row, TimeLineCommand, tuple[str, ...]]] = []
    unwritable: list[tuple[Row, str]] = []
    for row in chosen:
        command = command_of(row)
        words = loader.import_row(
            line=ImportLine(
                command=command,
                employee_code=row["employee_code"],
                work_code=row["work_code"],
                task_key=row["task_key"],
            )
        )
        if isinstance(words, Untranslatable):
            unwritable.append((row, words.message))
        elif unsafe := unsafe_words(layout=layout, row=words):
            unwritable.append((row, f"{', '.join(unsafe)} would be read as a formula"))
        else:
            good.append((row, command, words))
    amounts, unpriced_seconds = _sums([row for row, _, _ in good])
    keys = [command.business_key for _, command, _ in good]
    return FileDraft(
        scope=scope,
        layout=layout,
        commands=tuple(command for _, command, _ in good),
        rows=tuple(words for _, _, words in good),
        periods=tuple(sorted({row["period_code"] for row, _, _ in good})),
        amounts=amounts,
        unpriced_seconds=unpriced_seconds,
        due_at=min((row["deadline_at"] for row, _, _ in good if row["deadline_at"]), default=None),
        left_out=_left_out(connection, values, keys, unwritable),
    )


def hand_over(
    connection: Connection[Row], *, draft: FileDraft, words: FileWords, now: datetime
) -> ImportFile:
    """Make the file of a draft and put its lines out of reach of sending, in one transaction.

    :raises UserMistake: no line is left for it.
    """
    scope = draft.scope
    if not draft.commands:
        told = "; ".join(f"{each.lines} {each.why}" for each in draft.left_out) or "none waits"
        raise UserMistake(
            f"no line of {scope.entity_code} may go into a file for {scope.target_connection}: {told}"
        )
    content = draft.content()
    checksum = checksum_of(content)
    row = connection.execute(
        """
        INSERT INTO import_file (file_name, target_connection, entity_code, proposal_id, reason, made_by,
            approved_by, made_at, valid_until, checksum, content, cover, lines, seconds)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING file_id
        """,
        (
            _file_name(scope, checksum, now),
            scope.target_connection,
            scope.entity_code,
            words.proposal_id,
            words.reason,
            words.made_by,
            words.approved_by,
            now,
            words.valid_until,
            checksum,
            content,
            Jsonb(_cover(draft)),
            len(draft.commands),
            draft.seconds,
        ),
    ).fetchone()
    assert row is not None
    commands = draft.commands
    keys = [command.business_key for command in commands]
    connection.execute(
        _GIVE,
        {
            "file_id": row["file_id"],
            "keys": keys,
            "people": [command.person_code for command in commands],
            "tasks": [command.task_code for command in commands],
            "days": [command.work_date for command in commands],
            "seconds": [command.seconds for command in commands],
        },
    )
    connection.execute(
        """
        UPDATE effect e SET state = 'HANDED_OVER', payload_hash = k.payload_hash, due_at = NULL,
            reason = %s
        FROM unnest(%s::uuid[], %s::text[]) AS k (business_key, payload_hash)
        WHERE e.business_key = k.business_key
        """,
        (HANDED_OVER, keys, [content_hash(command.content()) for command in commands]),
    )
    return get_file(connection, file_name=str(row["file_id"]))


def loader_of(connectors: Connectors, *, target_connection: str) -> LoadsFiles:
    """Return the connector of a target whose people load files.

    :raises UserMistake: its connector declares no import.
    """
    connector = connectors.get(connection_key=target_connection)
    if not hasattr(connector, "import_layout"):
        raise UserMistake(f"nobody can load a file into {target_connection}: it declares no import")
    return cast(LoadsFiles, connector)


# -- reading ---------------------------------------------------------------------------------------


def get_file(connection: Connection[Row], *, file_name: str) -> ImportFile:
    """Return one file, by its name or id.

    :raises LookupError: there is none in sight.
    """
    found = _files(connection, "f.file_name = %(word)s OR f.file_id::text = %(word)s", file_name, 1)
    if not found:
        raise LookupError(f"there is no file {file_name}")
    return found[0]


def list_files(
    connection: Connection[Row], *, state: str | None = None, limit: int = FILES_PAGE_MAX
) -> tuple[ImportFile, ...]:
    """List the files that were made, the newest first."""
    condition = "%(word)s::text IS NULL OR f.state = %(word)s"
    return _files(connection, condition, state, min(limit, FILES_PAGE_MAX))


def list_lines(connection: Connection[Row], *, file_id: UUID) -> tuple[GivenLine, ...]:
    """List the lines of a file in its order."""
    rows = connection.execute(
        """
        SELECT l.business_key, l.line_number, l.person_code, l.task_code, l.work_date, l.seconds,
               l.outcome, e.state AS effect_state
        FROM import_file_line l JOIN effect e USING (business_key)
        WHERE l.file_id = %s ORDER BY l.line_number
        """,
        (file_id,),
    ).fetchall()
    return tuple(GivenLine(**row) for row in rows)


def sum_given(connection: Connection[Row]) -> tuple[GivenSum, ...]:
    """Add up what was given out and is neither matched nor free."""
    rows = connection.execute(
        """
        SELECT f.file_name, j.project_code, e.currency, count(*)::int AS lines,
               sum(e.seconds)::bigint AS seconds, sum(e.amount) AS amount
        FROM import_file_line l
        JOIN import_file f USING (file_id)
        JOIN effect e USING (business_key)
        JOIN project j ON j.project_id = e.project_id
        WHERE l.outcome = 'given'
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """
    ).fetchall()
    return tuple(GivenSum(**row) for row in rows)


def find_content(connection: Connection[Row], *, file_id: UUID) -> bytes | None:
    """Return the bytes of a file, None once nobody needs them any more."""
    row = connection.execute(
        "SELECT content FROM import_file WHERE file_id = %s", (file_id,)
    ).fetchone()
    return None if row is None or row["content"] is None else bytes(row["content"])


def forget_content(connection: Connection[Row], *, person_id: UUID) -> int:
    """Drop the bytes of every file with a line of a person; its lines and sums stay."""
    return connection.execute(
        """
        UPDATE import_file f SET content = NULL
        WHERE f.content IS NOT NULL AND EXISTS (
            SELECT FROM import_file_line l
            JOIN effect e USING (business_key)
            JOIN verdict v USING (verdict_id)
            JOIN person p ON p.person_id = v.person_id
            WHERE l.file_id = f.file_id AND coalesce(p.redirect_to, p.person_id) = %s)
        """,
        (person_id,),
    ).rowcount


def _files(
    connection: Connection[Row], condition: str, word: str | None, limit: int
) -> tuple[ImportFile, ...]:
    columns = ", ".join(f"f.{name.strip()}" for name in _FILE_COLUMNS.split(","))
    rows = connection.execute(
        f"""
        SELECT {columns}, n.given, n.matched, n.released, n.differs
        FROM import_file f CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE l.outcome = 'given')::int AS given,
                   count(*) FILTER (WHERE l.outcome = 'matched')::int AS matched,
                   count(*) FILTER (WHERE l.outcome = 'released')::int AS released,
                   count(*) FILTER (WHERE l.outcome = 'differs')::int AS differs
            FROM import_file_line l WHERE l.file_id = f.file_id
        ) n
        WHERE {condition} ORDER BY f.made_at DESC, f.file_name LIMIT %(limit)s
        """,
        {"word": word, "limit": limit},
    ).fetchall()
    return tuple(ImportFile(**row) for row in rows)


def _file_name(scope: FileScope, checksum: str, now: datetime) -> str:
    made = f"{now:%Y%m%dT%H%M%SZ}-{checksum[:_CHECKSUM_CHARACTERS]}"
    return f"{scope.target_connection}-{scope.entity_code}-{made}.csv"


def _sums(rows: Sequence[Row]) -> tuple[dict[str, Decimal], int]:
    amounts: dict[str, Decimal] = {}
    unpriced = 0
    for row in rows:
        if row["amount"] is None or row["currency"] is None:
            unpriced += row["seconds"]
        else:
            amounts[row["currency"]] = amounts.get(row["currency"], Decimal(0)) + row["amount"]
    return {
        currency: round_half_up(amount, digits=currency_digits(currency))
        for currency, amount in sorted(amounts.items())
    }, unpriced


def _left_out(
    connection: Connection[Row],
    values: Row,
    given: Sequence[UUID],
    unwritable: Sequence[tuple[Row, str]],
) -> tuple[LeftOut, ...]:
    why = {row["business_key"]: message for row, message in unwritable}
    rows = connection.execute(
        _LEFT_OUT, {**values, "given": [*given, *why], "limit": _NAMED_MAX}
    ).fetchall()
    found = {
        row["why"]: LeftOut(
            why=row["why"], lines=row["lines"], seconds=row["seconds_in_all"], named=()
        )
        for row in rows
    }
    named: dict[str, list[str]] = {}
    for row in rows:
        named.setdefault(row["why"], []).append(_named(row))
    by_message = Counter(why.values())
    return (
        *(
            LeftOut(
                why=each.why, lines=each.lines, seconds=each.seconds, named=tuple(named[each.why])
            )
            for each in found.values()
        ),
        *(
            LeftOut(
                why=message,
                lines=lines,
                seconds=sum(r["seconds"] for r, m in unwritable if m == message),
                named=tuple(_named(r) for r, m in unwritable if m == message)[:_NAMED_MAX],
            )
            for message, lines in sorted(by_message.items())
        ),
    )


def _named(row: Row) -> str:
    return f"{row['business_key']} of {row['work_date']}, {row['seconds']} s"


def _cover(draft: FileDraft) -> dict[str, Any]:
    return {
        "periods": list(draft.periods),
        "amounts": {currency: str(amount) for currency, amount in draft.amounts.items()},
        "unpriced_seconds": draft.unpriced_seconds,
        "due_at": None if draft.due_at is None else draft.due_at.isoformat(),
        "dates": draft.layout.dates,
        "durations": draft.layout.durations,
        "steps": list(draft.layout.steps),
        "left_out": [
            {
                "why": each.why,
                "lines": each.lines,
                "seconds": each.seconds,
                "named": list(each.named),
            }
            for each in draft.left_out
        ],
    }

"""Hold each line that stands in a target against the line that was booked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from psycopg import Connection

from tieline.canonical.commands import content_hash
from tieline.kernel.errors import StreamBroken
from tieline.reconciliation.own_books import Found
from tieline.runtime.sql import load
from tieline.sdk import ListsTimeLines, StoredLine
from tieline.sdk.directory import Connectors

LINES_MAX = 1_000_000
_STAGE = load("tieline.reconciliation", "stage_standing")
_COMPARE = load("tieline.reconciliation", "compare_lines")
_KEEP = load("tieline.reconciliation", "keep_lines")
_LASTING = load("tieline.reconciliation", "lasting_lines")

Row = dict[str, Any]
# What is kept of a line until it is compared: as little as tells it.
Standing = tuple[UUID | None, str, str, int, str | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineScope:
    """The lines of one legal entity and fiscal period in a target."""

    target_connection: str
    entity_code: str
    period_id: UUID
    starts_on: date
    ends_on: date


def can_list(connectors: Connectors, *, target_connection: str) -> bool:
    """Say whether a target shows its lines one by one."""
    return hasattr(connectors.get(connection_key=target_connection), "standing_lines")


def read_standing(connectors: Connectors, *, scope: LineScope) -> list[Standing]:
    """Let a target show every line of a scope; nothing is held meanwhile.

    :raises StreamBroken: it does not show all of them.
    """
    lister = cast(ListsTimeLines, connectors.get(connection_key=scope.target_connection))
    pages = lister.standing_lines(
        entity_code=scope.entity_code, starts_on=scope.starts_on, ends_on=scope.ends_on
    )
    return [_standing(line) for line in _at_most(pages, LINES_MAX)]


def ask_what_bills(
    connectors: Connectors, *, scope: LineScope, invoice_codes: Collection[str]
) -> frozenset[str]:
    """Ask which invoices still bill what stands on them: neither canceled nor credited."""
    if not invoice_codes:
        return frozenset()
    lister = cast(ListsTimeLines, connectors.get(connection_key=scope.target_connection))
    return lister.billing_invoices(
        entity_code=scope.entity_code, invoice_codes=sorted(invoice_codes)
    )


def list_invoices_of(connection: Connection[Row], *, scope: LineScope) -> frozenset[str]:
    """Return the invoices on which hours of a scope were booked as billed."""
    rows = connection.execute(
        "SELECT DISTINCT r.target_code FROM invoice_record r"
        " JOIN invoice_ledger_line i ON i.invoice_id = r.invoice_id"
        " JOIN ledger_line l ON l.business_key = i.business_key"
        " WHERE r.target_connection = %s AND l.entity_code = %s AND l.work_date >= %s"
        " AND l.work_date < %s",
        (scope.target_connection, scope.entity_code, scope.starts_on, scope.ends_on),
    ).fetchall()
    return frozenset(row["target_code"] for row in rows)


def keep_lines(
    connection: Connection[Row],
    *,
    scope: LineScope,
    standing: Sequence[Standing],
    billing: Collection[str],
    is_voided: bool,
    began_at: datetime,
    asked_at: datetime,
) -> int:
    """Compare what stands with what was booked, and keep what differs; return how many lines do.

    ``is_voided`` says that what is taken back stands no longer, and is not countered by another
    document. ``began_at`` is the database's own clock, ``asked_at`` business time.
    """
    connection.execute(_STAGE)
    with connection.cursor().copy(
        "COPY standing_line (business_key, target_code, task_code, seconds, invoice_code,"
        " content_hash) FROM STDIN"
    ) as copy:
        for line in standing:
            copy.write_row(line)
    connection.execute("ANALYZE standing_line")
    values = {
        "target": scope.target_connection,
        "entity_code": scope.entity_code,
        "period_id": scope.period_id,
        "starts_on": scope.starts_on,
        "ends_on": scope.ends_on,
        "billing": sorted(billing),
        "is_voided": is_voided,
        "began_at": began_at,
        "asked_at": asked_at,
    }
    differing = connection.execute(_COMPARE, values).rowcount
    for statement in _KEEP.split("-- then\n"):
        connection.execute(statement, values)
    return differing


def list_lasting_lines(
    connection: Connection[Row], *, target_connection: str, checks_min: int
) -> tuple[Found, ...]:
    """Return, by scope, which lines a target has shown otherwise so many times in a row."""
    rows = connection.execute(
        _LASTING, {"target": target_connection, "checks": checks_min}
    ).fetchall()
    return tuple(Found(**{**row, "keys": tuple(row["keys"])}) for row in rows)


def _standing(line: StoredLine) -> Standing:
    return (
        line.business_key,
        line.target_code,
        line.task_code,
        line.seconds,
        line.invoice_code,
        content_hash(line.content()),
    )


def _at_most(pages: Iterator[Sequence[StoredLine]], limit: int) -> Iterator[StoredLine]:
    seen = 0
    for page in pages:
        seen += len(page)
        if seen > limit:
            raise StreamBroken(f"the target shows more than {limit} lines of one period")
        yield from page

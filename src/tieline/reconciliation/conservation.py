"""Law 1 as arithmetic: what the source says = the five places, what we booked = what the ERP says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from psycopg import Connection

from tieline.canonical import Approval, TimeEntry
from tieline.kernel.periods import month_of
from tieline.sdk import Reads, Translated, Translates, WritesTimeLines
from tieline.sdk.directory import Connectors

Row = dict[str, Any]
Bucket = tuple[str, date | None]
PLACES = ("pending", "held", "handed_over", "posted", "excluded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two systems that do not agree on one project and month: seconds here and there."""

    kind: str
    key: str
    ours_seconds: int
    theirs_seconds: int

    @property
    def gap_seconds(self) -> int:
        return abs(self.ours_seconds - self.theirs_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conservation:
    """Entries and seconds per place, and the differences found; gap 0 means nothing is lost."""

    entries: Mapping[str, int]
    seconds: Mapping[str, int]
    differences: tuple[Difference, ...]

    @property
    def gap_seconds(self) -> int:
        return sum(difference.gap_seconds for difference in self.differences)


def ask_source(*, connectors: Connectors, connection_key: str, stream: str) -> dict[Bucket, int]:
    """Sum approved seconds per project and month as the source itself tells them now."""
    connector = connectors.get(connection_key=connection_key)
    asked: dict[Bucket, int] = {}
    seen: dict[str, tuple[Bucket, int]] = {}
    for page in cast(Reads, connector).pages(stream=stream, cursor=None, is_full=True):
        for record in page.records:
            result = cast(Translates, connector).translate(record=record)
            if isinstance(result, Translated) and isinstance(result.noun, TimeEntry):
                seen[record.source_ref] = _share(result)
    for bucket, seconds in seen.values():
        asked[bucket] = asked.get(bucket, 0) + seconds
    return {bucket: seconds for bucket, seconds in asked.items() if seconds}


def _share(result: Translated) -> tuple[Bucket, int]:
    hour = result.noun
    assert isinstance(hour, TimeEntry)
    month = month_of(hour.work_date).starts_on if hour.work_date else None
    return (hour.project_ref or "", month), approved_seconds(hour, is_deleted=result.is_deleted)


def approved_seconds(hour: TimeEntry, *, is_deleted: bool) -> int:
    """Return what an hour counts: nothing, where it is not approved or is deleted."""
    return 0 if is_deleted or hour.approval == Approval.NOT_APPROVED else hour.seconds


def compare_source(
    connection: Connection[Row], *, connection_key: str, asked: Mapping[Bucket, int]
) -> list[Difference]:
    """Compare the source's own sums with the five places, per project and month."""
    rows = connection.execute(
        """
        SELECT coalesce(v.project_ref, '') AS project_ref,
               date_trunc('month', v.work_date)::date AS month, sum(p.seconds)::bigint AS seconds
        FROM entry_places p
        JOIN time_entry_version v ON v.entry_id = p.entry_id AND v.is_newest
        WHERE p.connection_key = %s AND p.place NOT IN ('outside', 'leaving')
        GROUP BY 1, 2
        """,
        (connection_key,),
    ).fetchall()
    ours = {(row["project_ref"], row["month"]): int(row["seconds"]) for row in rows}
    return [
        Difference(
            kind="source",
            key=f"{connection_key} {project or '-'} {month or '-'}",
            ours_seconds=ours.get((project, month), 0),
            theirs_seconds=asked.get((project, month), 0),
        )
        for project, month in sorted(set(ours) | set(asked), key=str)
        if ours.get((project, month), 0) != asked.get((project, month), 0)
    ]


def compare_target(
    connection: Connection[Row],
    *,
    connectors: Connectors,
    target_connection: str,
    entity_code: str,
    starts_on: date,
    ends_on: date,
) -> list[Difference]:
    """Compare net booked seconds with what the target answers, per project."""
    rows = connection.execute(
        """
        SELECT x.source_ref AS project_code, sum(l.target_seconds)::bigint AS seconds
        FROM ledger_line l
        JOIN crosswalk x ON x.connection_key = l.target_connection AND x.noun = 'project'
            AND x.our_id = l.project_id AND x.superseded_at IS NULL
        WHERE l.target_connection = %s AND l.entity_code = %s AND l.work_date >= %s AND l.work_date < %s
        GROUP BY 1
        """,
        (target_connection, entity_code, starts_on, ends_on),
    ).fetchall()
    ours = {row["project_code"]: int(row["seconds"]) for row in rows if row["seconds"]}
    writer = cast(WritesTimeLines, connectors.get(connection_key=target_connection))
    theirs = {
        total.project_code: total.seconds
        for total in writer.line_totals(
            entity_code=entity_code, starts_on=starts_on, ends_on=ends_on
        )
        if total.seconds
    }
    return [
        Difference(
            kind="target",
            key=f"{target_connection} {entity_code} {code}",
            ours_seconds=ours.get(code, 0),
            theirs_seconds=theirs.get(code, 0),
        )
        for code in sorted(set(ours) | set(theirs))
        if ours.get(code, 0) != theirs.get(code, 0)
    ]


def read_places(connection: Connection[Row]) -> tuple[dict[str, int], dict[str, int]]:
    """Return entries and seconds per place; ``outside`` (not approved, before go-live) apart."""
    rows = connection.execute(
        "SELECT place, count(*) AS entries, sum(seconds)::bigint AS seconds FROM entry_places GROUP BY 1"
    ).fetchall()
    entries = {row["place"]: int(row["entries"]) for row in rows}
    seconds = {row["place"]: int(row["seconds"] or 0) for row in rows}
    return entries, seconds

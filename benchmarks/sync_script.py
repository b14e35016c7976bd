"""The plain script: read over HTTP, COPY, one statement that checks and prices, post, insert. No safety at all.

No versions, no raw rows, no intents, no keys that are checked, no read-back, nothing to explain; killed between
a batch that the ERP took and the note of it, it posts that batch twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import httpx
import psycopg
from plane_firm import APPROVED_WORD, Firm
from plane_limit import BOOK, JUDGE, TABLES
from psycopg import sql
from sync_source import STREAM

_POSTED = "CREATE TABLE posted (source_ref text PRIMARY KEY, target_code text NOT NULL)"
_LINES = (
    "SELECT source_ref, person, project, task, work_date, seconds FROM ledger ORDER BY source_ref"
)


def run_script(
    dsn: str, *, firm: Firm, source_url: str, erp_url: str, token: str, batch_lines: int
) -> dict[str, Any]:
    """Do the whole job once, and return its figures."""
    with psycopg.connect(dsn) as connection, httpx.Client() as client:
        connection.execute(
            sql.SQL(TABLES).format(
                people=sql.Literal(firm.people), projects=sql.Literal(firm.projects)
            )
        )
        connection.execute(_POSTED)
        connection.commit()
        marks = [time.perf_counter()]
        for page in _pages(client, source_url):
            _copy(connection, page)
        connection.commit()
        marks.append(time.perf_counter())
        connection.execute(JUDGE)
        lines = connection.execute(BOOK).rowcount
        connection.commit()
        marks.append(time.perf_counter())
        rows = connection.execute(_LINES).fetchall()
        for first in range(0, len(rows), batch_lines):
            batch = rows[first : first + batch_lines]
            _note(connection, batch, _post(client, erp_url, token, batch))
        marks.append(time.perf_counter())
    read, judged, posted = (after - before for before, after in pairwise(marks))
    total = marks[-1] - marks[0]
    return {
        "read_seconds": round(read, 3),
        "judge_and_book_seconds": round(judged, 3),
        "post_seconds": round(posted, 3),
        "seconds_total": round(total, 3),
        "entries_per_second": round(firm.entries / total),
        "ledger_lines": lines,
    }


def _pages(client: httpx.Client, source_url: str) -> Iterator[list[dict[str, Any]]]:
    number: int | None = 1
    while number is not None:
        answer = client.get(f"{source_url}/v2/{STREAM}", params={"page": number})
        page = json.loads(answer.raise_for_status().content, parse_float=Decimal)
        yield page[STREAM]
        number = page["next_page"]


def _copy(connection: psycopg.Connection[Any], page: Sequence[dict[str, Any]]) -> None:
    with connection.cursor().copy("COPY entry FROM STDIN") as copy:
        for hour in page:
            copy.write_row(
                (
                    str(hour["id"]),
                    hour["user"]["id"],
                    hour["project"]["id"],
                    hour["task"]["id"],
                    hour["spent_date"],
                    int(hour["hours"] * 3600),
                    hour["billable"],
                    hour["locked_reason"] == APPROVED_WORD,
                    hour["created_at"],
                    hour["notes"],
                )
            )


def _post(
    client: httpx.Client, erp_url: str, token: str, batch: Sequence[tuple[Any, ...]]
) -> list[int]:
    lines = [
        {
            "reference": source_ref,
            "person": str(person),
            "task": f"{project}/{task}",
            "date": work_date.isoformat(),
            "seconds": seconds,
        }
        for source_ref, person, project, task, work_date, seconds in batch
    ]
    answer = client.post(
        f"{erp_url}/v1/lines", json={"lines": lines}, headers={"Authorization": f"Bearer {token}"}
    )
    ids: list[int] = answer.raise_for_status().json()["ids"]
    return ids


def _note(
    connection: psycopg.Connection[Any], batch: Sequence[tuple[Any, ...]], ids: Sequence[int]
) -> None:
    with connection.cursor().copy("COPY posted FROM STDIN") as copy:
        for line, number in zip(batch, ids, strict=True):
            copy.write_row((line[0], str(number)))
    connection.commit()

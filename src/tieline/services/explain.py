"""Explain one deal, hour, case or invoice line: its whole way, with systems, rules, release and links.

Pattern: read on request. Vendor calls: none; links lead a person into the systems themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Row
from tieline.services import explain_chapters
from tieline.services.explain_chapters import JUDGED, Chapter
from tieline.services.explain_rules import answered
from tieline.services.links import Links
from tieline.services.pricing_words import PRICED, priced_in_words
from tieline.services.unconfirmed import OPEN, in_words

_REF_SHOWN_MAX = 200
KINDS = ("deal", "hour", "case", "invoice-line")
TIELINE = "tieline"
_STEPS_MAX = 2000
_ONLY_FOR_WORDS = frozenset({"asked", "due_at", "zone", "system", "deadline_at", "sent_at"})
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened on the way; ``system`` is the connection in which it shows."""

    at: datetime | None
    system: str
    what: str
    facts: Mapping[str, Any]
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One thing and its steps in order; ``entities`` are the legal entities it concerns."""

    kind: str
    ref: str
    entities: frozenset[str]
    steps: tuple[Step, ...]


def explain(
    connection: Connection[Row], *, kind: str, ref: str, links: Links, now: datetime
) -> Explanation:
    """Return the way of one thing; ``ref`` is connection:source_ref or our id.

    :raises UserMistake: nothing is known under the reference.
    """
    if kind not in _WAYS:
        raise UserMistake(f"{kind} is none of {', '.join(KINDS)}")
    found = _WAYS[kind].find(connection, ref)
    if found is None:
        raise UserMistake(f"no {kind} is known as {ref[:_REF_SHOWN_MAX]}")
    rows = [
        (chapter, row)
        for chapter in _WAYS[kind].chapters
        for row in connection.execute(chapter.statement, {**found, "limit": _STEPS_MAX}).fetchall()
    ]
    entities = {row["entity_code"] for _, row in rows if row.get("entity_code")}
    answers = answered(
        connection, verdicts=[row["verdict_id"] for chapter, row in rows if chapter.what == JUDGED]
    )
    steps = [
        _step(chapter, {**_told(chapter, row, now), **_answers(chapter, row, answers)}, links)
        for chapter, row in rows
    ]
    return Explanation(
        kind=kind,
        ref=ref,
        entities=frozenset(entities),
        steps=tuple(sorted(steps, key=lambda step: step.at or _LONG_AGO)),
    )


def _told(chapter: Chapter, row: Row, now: datetime) -> Row:
    """Add to an amount, and to a write that is not confirmed, why it is so in words."""
    if chapter.what == PRICED:
        return {**row, "why": priced_in_words(row)}
    if chapter.what != "written":
        return row
    kept = {name: value for name, value in row.items() if name not in _ONLY_FOR_WORDS}
    if row["state"] not in OPEN:
        return kept
    return {**kept, "in_words": in_words({**row, "zone": row["zone"] or "UTC"}, now=now)}


def _answers(chapter: Chapter, row: Row, answers: Mapping[int, Row]) -> Row:
    return answers.get(row["verdict_id"], {}) if chapter.what == JUDGED else {}


def _step(chapter: Chapter, row: Row, links: Links) -> Step:
    link = None
    if chapter.source is not None:
        key, object_name, source_ref = (row[column] for column in chapter.source)
        if key is not None and source_ref is not None:
            link = links.record(connection_key=key, object=object_name, source_ref=str(source_ref))
    if chapter.target is not None:
        key, noun, target_code = (row[column] for column in chapter.target)
        link = links.written(connection_key=key, noun=noun, target_code=target_code)
    return Step(
        at=row["at"],
        system=row[chapter.system] if chapter.system else TIELINE,
        what=chapter.what,
        facts={name: value for name, value in row.items() if name != "at" and value is not None},
        link=link,
    )


# -- finding what is meant -------------------------------------------------------------------------


def _hour(connection: Connection[Row], ref: str) -> Mapping[str, Any] | None:
    connection_key, _, source_ref = ref.partition(":")
    return connection.execute(
        # After a reset of the source the same words may stand for another hour: the newest counts.
        "SELECT entry_id FROM time_entry WHERE (connection_key, source_ref) = (%s, %s)"
        " OR entry_id::text = %s ORDER BY source_epoch DESC LIMIT 1",
        (connection_key, source_ref, ref),
    ).fetchone()


def _deal(connection: Connection[Row], ref: str) -> Mapping[str, Any] | None:
    connection_key, _, deal_ref = ref.partition(":")
    return connection.execute(
        """
        SELECT connection_key, source_epoch, deal_ref FROM provisioning_plan
        WHERE (connection_key, deal_ref) = (%(key)s, %(deal)s) OR plan_id::text = %(ref)s
           OR deal_key = %(ref)s
        UNION ALL
        SELECT connection_key, source_epoch, source_ref FROM source_version
        WHERE (connection_key, source_ref, noun) = (%(key)s, %(deal)s, 'Opportunity')
        ORDER BY source_epoch DESC LIMIT 1
        """,
        {"key": connection_key, "deal": deal_ref, "ref": ref},
    ).fetchone()


def _case(connection: Connection[Row], ref: str) -> Mapping[str, Any] | None:
    kind, _, key = ref.partition(":")
    return connection.execute(
        "SELECT case_id FROM case_file WHERE case_id::text = %(ref)s"
        " OR (thing_kind, thing_key) = (%(kind)s, %(key)s) OR thing_key = %(ref)s"
        " ORDER BY state = 'open' DESC, opened_at DESC LIMIT 1",
        {"ref": ref, "kind": kind, "key": key},
    ).fetchone()


def _invoice_line(connection: Connection[Row], ref: str) -> Mapping[str, Any] | None:
    place, _, line_code = ref.rpartition(":")
    return connection.execute(
        "SELECT n.invoice_id, n.line_code FROM invoice_line_record n"
        " JOIN invoice_record i USING (invoice_id) WHERE n.line_code = %(line)s"
        " AND %(place)s IN ('', i.target_connection, i.invoice_id::text)"
        " ORDER BY i.recorded_at DESC LIMIT 1",
        {"place": place, "line": line_code},
    ).fetchone()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    find: Callable[[Connection[Row], str], Mapping[str, Any] | None]
    chapters: Sequence[Chapter]


_WAYS: Mapping[str, _Way] = {
    "deal": _Way(find=_deal, chapters=explain_chapters.DEAL),
    "hour": _Way(find=_hour, chapters=explain_chapters.HOUR),
    "case": _Way(find=_case, chapters=explain_chapters.CASE),
    "invoice-line": _Way(find=_invoice_line, chapters=explain_chapters.INVOICE_LINE),
}

"""Find what went wrong by asking the product as people do: its cases, deals, changes, invoices and missing time.

Nothing here knows where a thing was planted. What is asked for is a kind of trouble, and whatever more of that
kind is found makes the hours or the money differ.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection
from rich.console import Console
from rich.table import Table

from tieline.casework import CaseSummary, list_cases
from tieline.kernel.money import SECONDS_PER_HOUR
from tieline.runtime.database import Row
from tieline.sandbox.firm_incidents import INCIDENTS, Incident, Measure
from tieline.services.changes import PostedChange, list_changes
from tieline.services.deals import get_deal_plan, list_deal_plans
from tieline.services.missing_time import read_missing_time
from tieline.services.system import System

AGENCY = "agency"
# How the product tells what two deeds of the board do: kind, and what becomes of it.
EDITED_ON_THE_BOARD, DELETED_ON_THE_BOARD = ("edited", "adjust"), ("deleted", "rebook")
_CHANGES_MAX = 500
_HUNDREDTH = Decimal("0.01")
_NOTHING = Measure()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """An incident beside what the product tells of its kind."""

    incident: Incident
    found: Measure

    @property
    def is_found(self) -> bool:
        """Tell whether it was found with its hours, its money and its counts."""
        return self.found == self.incident.planted

    def as_json(self) -> dict[str, Any]:
        """Return the number, the title, what was planted and what was found."""
        return {
            "number": self.incident.number,
            "title": self.incident.title,
            "planted": _as_json(self.incident.planted),
            "found": _as_json(self.found),
        }


def change_ids(system: System) -> frozenset[UUID]:
    """Return the changes that the product knows of by now."""
    return frozenset(change.change_id for change in _changes(system))


def count_changes(
    system: System, *, but: Collection[UUID] = frozenset()
) -> Counter[tuple[str, str]]:
    """Count the changes that the product knows of by kind and by what becomes of them, without these."""
    return Counter((each.kind, each.way) for each in _changes(system) if each.change_id not in but)


def _changes(system: System) -> Sequence[PostedChange]:
    with system.database.transaction() as connection:
        changes, _ = list_changes(connection, limit=_CHANGES_MAX)
    return changes


def find_incidents(
    system: System, *, known_changes: Collection[UUID], with_played: bool
) -> tuple[Compared, ...]:
    """Compare each incident with what is found; ``known_changes`` had been there before the board was used."""
    with system.database.transaction() as connection:
        changes, _ = list_changes(connection, limit=_CHANGES_MAX)
        asked = _Asked(
            connection=connection,
            now=system.clock.now(),
            changes=tuple(each for each in changes if each.change_id not in known_changes),
        )
        return tuple(
            Compared(incident=incident, found=_FINDERS[incident.number](asked))
            for incident in INCIDENTS
            if with_played or not incident.is_played
        )


def show_incidents(compared: Iterable[Compared], *, console: Console) -> None:
    """Print what was planted and what was found as a table."""
    table = Table("", "Incident", "Planted", "Found", "")
    for each in compared:
        table.add_row(
            str(each.incident.number),
            each.incident.title,
            _in_words(each.incident.planted),
            _in_words(each.found),
            "found" if each.is_found else "not found",
        )
    console.print(table)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is asked, when, and which changes are new."""

    connection: Connection[Row]
    now: datetime
    changes: tuple[PostedChange, ...]

    def cases(self, reason: str) -> tuple[CaseSummary, ...]:
        return list_cases(self.connection, reason=reason)


def _deals(code: str) -> Callable[[_Asked], Measure]:
    """Find the deals that a blocker stops."""

    def find(asked: _Asked) -> Measure:
        plans = [
            get_deal_plan(asked.connection, plan_id=plan.plan_id).plan
            for plan in list_deal_plans(asked.connection, states=["blocked"])
            if any(blocker["code"] == code for blocker in plan.blockers)
        ]
        if not plans:
            return _NOTHING
        return Measure(
            amount=sum((Decimal(plan["amount"]) for plan in plans), Decimal(0)),
            currency=_one(plan["currency"] for plan in plans),
            counts={"deals": len(plans)},
        )

    return find


def _held(reason: str) -> Callable[[_Asked], Measure]:
    """Find the hours that wait for one reason, and what they are worth."""

    def find(asked: _Asked) -> Measure:
        return _worth(asked.cases(reason))

    return find


def _typed(asked: _Asked) -> Measure:
    """Find single entries that are longer than a day; a day of many entries is another mistake."""
    return _worth(case for case in asked.cases("time.day_over_maximum") if case.members == 1)


def _unpriced(asked: _Asked) -> Measure:
    cases = asked.cases("time.rate_missing")
    if not cases:
        return _NOTHING
    return Measure(hours=_hours(case.seconds for case in cases), counts={"cases": len(cases)})


def _worth(cases: Iterable[CaseSummary]) -> Measure:
    found = list(cases)
    amounts = [amount for case in found for amount in case.amounts]
    if not amounts:
        return _NOTHING
    return Measure(
        hours=_hours(case.seconds for case in found),
        amount=sum((each.amount for each in amounts), Decimal(0)),
        currency=_one(each.currency for each in amounts),
    )


def _changed(kind: str, way: str) -> Callable[[_Asked], Measure]:
    """Find what changed after posting since the board was used: the net of hours and money."""

    def find(asked: _Asked) -> Measure:
        changes = [each for each in asked.changes if (each.kind, each.way) == (kind, way)]
        if not changes:
            return _NOTHING
        return Measure(
            hours=_hours(each.new_seconds - each.old_seconds for each in changes),
            amount=sum(
                (
                    (each.new_amount or Decimal(0)) - (each.old_amount or Decimal(0))
                    for each in changes
                ),
                Decimal(0),
            ).quantize(_HUNDREDTH),
            currency=_one(each.old_currency or "" for each in changes),
        )

    return find


def _rate_changes(asked: _Asked) -> Measure:
    """Find the lines of drafted invoices on which one thing stands at two prices."""
    rows = asked.connection.execute(
        """
        SELECT i.currency, sum(l.quantity) AS hours, sum(l.amount) AS amount, count(*)::int AS lines
        FROM invoice_line_record l JOIN invoice_record i USING (invoice_id) WHERE l.unit = 'h'
        GROUP BY i.invoice_id, i.currency, split_part(l.description, ' | from ', 1)
        HAVING count(DISTINCT l.unit_price) > 1
        """
    ).fetchall()
    if not rows:
        return _NOTHING
    return Measure(
        hours=sum((row["hours"] for row in rows), Decimal(0)).quantize(_HUNDREDTH),
        amount=sum((row["amount"] for row in rows), Decimal(0)),
        currency=_one(row["currency"] for row in rows),
        counts={"lines": sum(row["lines"] for row in rows)},
    )


def _missing(asked: _Asked) -> Measure:
    found = read_missing_time(asked.connection, now=asked.now)
    away = {each.person.person_id for each in found.approvers if each.away_until is not None}
    return Measure(
        hours=_hours([found.missing_seconds]),
        counts={
            "people": len(found.missing),
            "whose approver is away": sum(
                any(approver.person_id in away for approver in each.approvers)
                for each in found.missing
            ),
        },
    )


def _unreadable(asked: _Asked) -> Measure:
    """Find the lines that cannot be read, each with its number, and the files that came again."""
    row = asked.connection.execute(
        """
        SELECT (SELECT count(DISTINCT line_number)::int FROM untranslated
                WHERE connection_key = %(key)s AND healed_at IS NULL) AS lines,
               (SELECT cursor FROM stream_cursor
                WHERE connection_key = %(key)s AND stream = 'time_entries') AS cursor
        """,
        {"key": AGENCY},
    ).fetchone()
    if row is None or not row["cursor"]:
        return _NOTHING
    read = json.loads(row["cursor"])
    # Each look into the folder meets the file that was read, too.
    again = int(read["repeated"]) - len(read["files"])
    return Measure(counts={"lines": row["lines"], "files recognized": again})


_FINDERS: Mapping[int, Callable[[_Asked], Measure]] = {
    1: _deals("deal.client_unclear"),
    2: _deals("deal.purchase_order_missing"),
    3: _unpriced,
    4: _held("time.after_assignment_end"),
    5: _held("time.cap_exceeded"),
    6: _changed(*EDITED_ON_THE_BOARD),
    7: _changed(*DELETED_ON_THE_BOARD),
    8: _held("time.intercompany_not_agreed"),
    9: _typed,
    10: _rate_changes,
    11: _missing,
    12: _unreadable,
}


def _hours(seconds: Iterable[int]) -> Decimal:
    return (Decimal(sum(seconds)) / SECONDS_PER_HOUR).quantize(_HUNDREDTH)


def _one(words: Iterable[str]) -> str:
    """Return the one word, or all of them: amounts of several currencies are no amount of one."""
    return " and ".join(sorted(set(words)))


def _as_json(measure: Measure) -> dict[str, Any]:
    told = {
        "hours": measure.hours,
        "amount": measure.amount,
        "currency": measure.currency or None,
        **measure.counts,
    }
    return {name: value for name, value in told.items() if value is not None}


def _in_words(measure: Measure) -> str:
    words = [f"{measure.hours} h"] if measure.hours is not None else []
    if measure.amount is not None:
        words.append(f"{measure.currency} {measure.amount:,}")
    words += [f"{name}: {count}" for name, count in measure.counts.items()]
    return ", ".join(words) or "nothing"

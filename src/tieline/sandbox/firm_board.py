"""What the generated firm has planned for the board."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_calendar import months_after
from tieline.sandbox.firm_model import Entry

_HOURS_LESS = Decimal("1.50")
_DEAL_NOTES = {
    "client_near_duplicate": "the ERP has a client of nearly this name. Clients created: 0.",
    "purchase_order_missing": "a purchase order is required, and there is none.",
    "currency_not_billable": "its company does not bill in this currency.",
}


def plan_board(firm: Firm) -> dict[str, Any]:
    """Return the occasions of the board: who may change which hour, and which months there are."""
    (edited, deleted), first = _untouched(firm), firm.entities[0]
    hours = edited.hours - _HOURS_LESS
    return {
        "zone": first.zone,
        "city": first.city,
        "deals": [
            {"deal": deal.key, "note": _DEAL_NOTES[deal.blocker]}
            for deal in firm.deals
            if deal.blocker in _DEAL_NOTES
        ],
        "edits": [
            {
                "entry": edited.key,
                "hours": str(hours),
                "note": f"{_described(firm, edited)} becomes {hours} h",
            }
        ],
        "deletes": [{"entry": deleted.key, "note": _described(firm, deleted)}],
        "months": [month.isoformat() for month in (firm.month, months_after(firm.month, 1))],
    }


def _untouched(firm: Firm) -> tuple[Entry, Entry]:
    """Return an hour of each of the first two companies in which nothing is or becomes wrong."""
    touched = {mistake.ref for mistake in firm.mistakes}
    touched |= {change.entry_key for change in firm.later_changes}

    def of(entity_code: str) -> Iterator[Entry]:
        return (
            entry
            for entry in firm.entries
            if entry.key not in touched
            and entry.is_locked
            and entry.hours > _HOURS_LESS
            and firm.entity_of_project[entry.project_code] == entity_code
        )

    return next(of(firm.entities[0].code)), next(of(firm.entities[1].code))


def _described(firm: Firm, entry: Entry) -> str:
    person = next(person for person in firm.people if person.key == entry.person_key)
    return f"{person.name}, {entry.work_date.isoformat()}, {entry.project_code}: {entry.hours} h"

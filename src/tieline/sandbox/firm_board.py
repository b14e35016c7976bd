"""What the generated firm has planned for the board."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_agency import FILE_NAME, ROWS
from tieline.sandbox.firm_calendar import month_before, months_after
from tieline.sandbox.firm_model import Entry

_HOURS_LESS = Decimal("1.50")
_DEAL_NOTES = {
    "client_near_duplicate": "the ERP has a client of nearly this name. Clients created: 0.",
    "purchase_order_missing": "a purchase order is required, and there is none.",
    "currency_not_billable": "its company does not bill in this currency.",
}


def plan_board(firm: Firm, *, agency_directory: Path) -> dict[str, Any]:
    """Return the occasions of the board: which hours change, which months there are, what the agency sends."""
    entries, first = {entry.key: entry for entry in firm.entries}, firm.entities[0]
    edited, deleted = entries[firm.edited], entries[firm.deleted]
    hours = edited.hours - _HOURS_LESS
    months = (month_before(firm.month), firm.month, months_after(firm.month, 1))
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
        "months": [month.isoformat() for month in months],
        "file": {
            "directory": str(agency_directory),
            "name": FILE_NAME,
            "content": firm.agency_file.content,
            "note": f"{ROWS} lines, {len(firm.agency_file.bad_lines)} of which cannot be read",
        },
    }


def _described(firm: Firm, entry: Entry) -> str:
    person = next(person for person in firm.people if person.key == entry.person_key)
    return f"{person.name}, {entry.work_date.isoformat()}, {entry.project_code}: {entry.hours} h"

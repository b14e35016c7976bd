"""Hold both legs of work between companies of the firm against each other, and ask both controllers where one is alone.

Pattern: scheduled, one worker at a time; one statement over all periods. Vendor calls: none. It stops nothing:
an hour in the ledger stays what it is, and finance books the other leg.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from tieline.casework import keep_cases
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.wording import hours, money
from tieline.runtime.database import Database
from tieline.services.terms_lists import ONE_LEG, Leg, list_legs

ALONE = "reconciliation.one_leg"
_FIX = (
    "Book the leg in the books of the company that has not, then say so:"
    " tieline register load intercompany-bookings. Where its period is closed, book it in the next one"
    " or open the period again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegChecks:
    """Look whether each leg has its other one."""

    database: Database
    clock: Clock

    def look(self) -> int:
        """Let a case stand at both companies for each leg that is alone; return how many legs are."""
        now = self.clock.now()
        with self.database.transaction() as connection:
            alone = [
                leg
                for leg in list_legs(connection, period_code=None, now=now)
                if leg.state == ONE_LEG
            ]
            keep_cases(
                connection,
                requests=[request for leg in alone for request in _cases(leg)],
                reasons=(ALONE,),
                now=now,
                correlation_id=ALONE,
            )
        return len(alone)


def _cases(leg: Leg) -> Iterator[CaseRequest]:
    pair = f"{leg.home_entity_code}>{leg.project_entity_code}"
    what = " ".join(filter(None, (pair, leg.home_period_code or "no period", leg.currency)))
    for entity_code in (leg.home_entity_code, leg.project_entity_code):
        yield CaseRequest(
            reason=ALONE,
            owner_queue="finance",
            thing_kind="legs",
            # Each company's controller has a case of their own: neither sees the other's.
            thing_key=f"{what} ({entity_code})",
            entity_code=entity_code,
            members=(CaseMember(kind="leg", key=what),),
            details={"problem": _problem(leg), "fix": _FIX},
        )


def _problem(leg: Leg) -> str:
    worth = (
        "an amount that nobody can price"
        if leg.unpriced
        else money(leg.amount or Decimal(0), leg.currency)
    )
    booked = (
        "has booked nothing"
        if leg.booked_amount is None
        else f"has booked {money(leg.booked_amount, leg.currency)} ({leg.document_code})"
    )
    home = leg.home_period_state or "none"
    return (
        f"{leg.project_entity_code} has {hours(leg.seconds)} h of people of {leg.home_entity_code}"
        f" in its books ({leg.project_period_code or 'no period'}: {leg.project_period_state}), worth {worth};"
        f" {leg.home_entity_code} {booked} ({leg.home_period_code or 'no period'}: {home})"
    )

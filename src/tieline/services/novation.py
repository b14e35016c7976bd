"""A running contract that another client takes over from a day on: what is left of its deal from then.

The first contract keeps what was booked until the day, the next one gets the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from tieline.canonical import Opportunity, OpportunityLine
from tieline.kernel.money import SECONDS_PER_HOUR, currency_digits, round_half_up

_SOLD = Decimal("0.000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Novation:
    """From when a deal's contract is another client's; ``seconds`` were booked before, by task and category.

    ``code`` is what contract and project are called since, ``number`` how many clients there were by then, and
    ``cap_used`` what hours before took of the deal's cap, where it has one.
    """

    on: date
    number: int
    code: str
    seconds: Mapping[str, int]
    cap_used: Decimal = Decimal(0)

    @property
    def told(self) -> dict[str, Any]:
        """Return what a plan keeps of it."""
        return {
            "on": self.on.isoformat(),
            "number": self.number,
            "code": self.code,
            "seconds": dict(self.seconds),
            **({"cap_used": format(self.cap_used, "f")} if self.cap_used else {}),
        }


def read_novation(told: Mapping[str, Any] | None) -> Novation | None:
    """Return the last novation that a plan knows of."""
    if told is None:
        return None
    return Novation(
        on=date.fromisoformat(told["on"]),
        number=told["number"],
        code=told["code"],
        seconds=told["seconds"],
        cap_used=Decimal(told.get("cap_used", 0)),
    )


def role_of(task_name: str | None, labor_category: str | None) -> str:
    """Return by what hours that were booked before are told apart."""
    return f"{task_name or ''}|{labor_category or ''}"


def from_day(deal: Opportunity, novation: Novation | None) -> Opportunity:
    """Return what a deal says of the contract that its present client has: what ended before is not of it."""
    if novation is None or deal.starts_on is None or deal.starts_on > novation.on:
        return deal
    digits = currency_digits(deal.currency or "")
    lines = tuple(
        _rest(line, novation, digits) for line in deal.lines if _goes_on(line, deal, novation.on)
    )
    gone = _worth(deal.lines) - _worth(lines)
    return replace(
        deal,
        starts_on=novation.on,
        amount=None if deal.amount is None else deal.amount - gone,
        cap_amount=None if deal.cap_amount is None else deal.cap_amount - novation.cap_used,
        lines=lines,
    )


def _goes_on(line: OpportunityLine, deal: Opportunity, on: date) -> bool:
    """Say whether no later rate of the same role has replaced it by the day."""
    begins = line.rate_starts_on or deal.starts_on
    return not any(
        begins is not None and begins < (other.rate_starts_on or deal.starts_on or begins) <= on
        for other in deal.lines
        if (other.task_name, other.labor_category) == (line.task_name, line.labor_category)
    )


def _rest(line: OpportunityLine, novation: Novation, digits: int) -> OpportunityLine:
    seconds = novation.seconds.get(role_of(line.task_name, line.labor_category), 0)
    is_begun = line.rate_starts_on is None or line.rate_starts_on <= novation.on
    starts_on = None if is_begun else line.rate_starts_on
    if line.hours is None or line.rate_amount is None or not is_begun:
        return replace(line, rate_starts_on=starts_on)
    booked = min(Decimal(seconds) / SECONDS_PER_HOUR, line.hours)
    hours = (line.hours - booked).quantize(_SOLD)
    # What the line says beyond hours by rate stays with it.
    more = (
        None
        if line.amount is None
        else line.amount - _product(line.hours, line.rate_amount, digits)
    )
    return replace(
        line,
        rate_starts_on=starts_on,
        hours=hours,
        amount=None if more is None else _product(hours, line.rate_amount, digits) + more,
    )


def _product(hours: Decimal, rate_amount: Decimal, digits: int) -> Decimal:
    return round_half_up(hours * rate_amount, digits=digits)


def _worth(lines: Sequence[OpportunityLine]) -> Decimal:
    return sum((line.amount or Decimal(0) for line in lines), Decimal(0))

"""Figures and instants as people read them, the same on a page and in a message."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

_SECONDS_PER_HOUR = 3600
_CENT = Decimal("0.01")


def hours(seconds: int) -> str:
    """Return seconds as hours with two digits: 12,345.67."""
    return f"{(Decimal(seconds) / _SECONDS_PER_HOUR).quantize(_CENT):,}"


def hours_and_minutes(seconds: int) -> str:
    """Return seconds as hours and whole minutes, half up: 1:23; what is taken back, as -1:23."""
    all_hours, minutes = divmod((abs(seconds) + 30) // 60, 60)
    return f"{'-' if seconds < 0 else ''}{all_hours}:{minutes:02}"


def money(amount: Decimal | str, currency: str | None) -> str:
    """Return an amount with its currency: EUR 12,400.00."""
    return f"{currency or ''} {Decimal(amount).quantize(_CENT):,}".strip()


def when(instant: datetime | None, zone: str = "UTC") -> str:
    """Return an instant as people of a zone write it."""
    if instant is None:
        return "never"
    local = instant.astimezone(ZoneInfo(zone))
    return (
        f"{local:%a} {local.day} {local:%b %Y, %H:%M} {zone.rpartition('/')[2].replace('_', ' ')}"
    )


def span(seconds: int) -> str:
    """Return a length of time as two units at most: 2 h 04 min."""
    minutes, rest = divmod(abs(seconds), 60)
    all_hours, minutes = divmod(minutes, 60)
    days, some_hours = divmod(all_hours, 24)
    if days:
        return f"{days} d {some_hours} h"
    if all_hours:
        return f"{all_hours} h {minutes:02d} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def until(instant: datetime | None, now: datetime) -> str:
    """Say how far away an instant is, or how long it has passed."""
    if instant is None:
        return "no deadline"
    seconds = int((instant - now).total_seconds())
    return f"in {span(seconds)}" if seconds >= 0 else f"{span(seconds)} ago"

"""Say in words how a write stands that was sent and is not confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Connection

from tieline.runtime.database import Row

_LIMIT = 50
_CENT = Decimal("0.01")
_SECONDS_PER_HOUR = 3600
_TIMES = (
    "not yet",
    "first time",
    "second time",
    "third time",
    "fourth time",
    "fifth time",
    "sixth time",
)
OPEN = frozenset({"INTENT", "UNKNOWN", "PROBING", "CONFLICT"})
SYSTEMS: Mapping[str, str] = {
    "hubspot": "HubSpot",
    "harvest": "Harvest",
    "tryton": "Tryton",
    "filedrop": "Files",
    "webhook": "Webhook",
    "mail": "Mail",
    "jira_service": "Jira Service Management",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """Writes of one legal entity into one target that stand alike; ``text`` says how, in its zone."""

    entity_code: str
    target_connection: str
    noun: str
    state: str
    writes: int
    seconds: int | None
    amount: Decimal | None
    currency: str | None
    deadline_at: datetime | None
    business_key: UUID
    text: str


def list_unconfirmed(
    connection: Connection[Row],
    *,
    now: datetime,
    entity_code: str | None = None,
    period_code: str | None = None,
    case_id: UUID | None = None,
    limit: int = _LIMIT,
) -> tuple[Unconfirmed, ...]:
    """Return what is sent and not confirmed, the nearest deadline first."""
    rows = connection.execute(
        "SELECT * FROM page_unconfirmed(%(entity_code)s, %(period_code)s, %(case_id)s, %(limit)s)",
        {
            "entity_code": entity_code,
            "period_code": period_code,
            "case_id": case_id,
            "limit": limit,
        },
    ).fetchall()
    return tuple(
        Unconfirmed(
            **{
                name: row[name]
                for name in Unconfirmed.__dataclass_fields__
                if name not in ("text", "reason")
            },
            text=in_words(row, now=now),
        )
        for row in rows
    )


def system_name(system: str) -> str:
    """Return what a system is called by the people who use it."""
    return SYSTEMS.get(system, system.capitalize())


def in_words(write: Mapping[str, Any], *, now: datetime) -> str:
    """Return sentences such as: Sent 16:41, no answer. Asking Tryton, third time, next 16:44.

    Instants are told in the zone of the legal entity, with the day where it is not today's.
    """
    zone = ZoneInfo(write["zone"])
    target = system_name(write["system"])

    def at(instant: datetime) -> str:
        local = instant.astimezone(zone)
        is_today = local.date() == now.astimezone(zone).date()
        return f"{local:%H:%M}" if is_today else f"{local.day} {local:%b %H:%M}"

    parts = [_sent(write, at), *_next(write, target, at), *_worth(write, at)]
    return " ".join(part for part in parts if part)


def _sent(write: Mapping[str, Any], at: Any) -> str:
    many = f"{write['writes']} writes sent" if write.get("writes", 1) > 1 else "Sent"
    if write["sent_at"] is None:
        return "It may have been sent, and nobody knows."
    first, last = at(write["sent_at"]), at(write.get("last_sent_at") or write["sent_at"])
    when = first if first == last else f"{first} to {last}"
    if write["state"] == "INTENT":
        return f"{many} {when}, the answer is to come."
    if write["state"] == "CONFLICT" and write["reason"] != "posting.unconfirmed":
        return f"{many} {when}."
    return f"{many} {when}, no answer."


def _next(write: Mapping[str, Any], target: str, at: Any) -> list[str]:
    asked, due = int(write["asked"]), write["due_at"]
    match write["state"]:
        case "CONFLICT" if write["reason"] == "posting.unconfirmed":
            return [f"{target} cannot be asked for it: a person looks there."]
        case "CONFLICT":
            return [f"{target} holds something else under its key: a person decides."]
        case "PROBING":
            return [f"Asking {target}, {_times(asked)}."]
        case "UNKNOWN" if asked == 0:
            return [f"{target} is asked {'now' if due is None else at(due)}."]
        case "UNKNOWN":
            following = "" if due is None else f", next {at(due)}"
            return [f"Asking {target}, {_times(asked)}{following}."]
        case _:
            return []


def _worth(write: Mapping[str, Any], at: Any) -> list[str]:
    facts = []
    if write.get("amount") is not None and write.get("currency"):
        facts.append(f"{write['currency']} {abs(Decimal(write['amount'])).quantize(_CENT):,}")
    elif write.get("seconds"):
        hours = abs(Decimal(write["seconds"])) / _SECONDS_PER_HOUR
        facts.append(f"{hours.quantize(_CENT):,} h")
    if write.get("deadline_at") is not None:
        facts.append(f"due {at(write['deadline_at'])}")
    return [f"{', '.join(facts)}."] if facts else []


def _times(asked: int) -> str:
    return _TIMES[asked] if asked < len(_TIMES) else f"{asked} times so far"

"""What a message says: sums, hours, deadlines and links, in the words of the pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from tieline.casework import OwedCase, Worth
from tieline.kernel.money import Money
from tieline.kernel.wording import hours, money, span, until, when
from tieline.notices import person_owner, queue_owner
from tieline.posting.unconfirmed import Unconfirmed
from tieline.services.at_risk import OpenRisk
from tieline.services.period_close import MOVING, InFlight

CAUSES_SHOWN_MAX = 10
_TIMES = ("first", "second", "third", "fourth", "fifth")


class SayReason(Protocol):
    def __call__(self, code: str, details: Mapping[str, object] | None = None) -> str: ...


class SaySystem(Protocol):
    def __call__(self, system: str) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """How a message names things, and where its links lead: nowhere without ``web_url``."""

    say_reason: SayReason
    say_system: SaySystem
    web_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The next cut-off of one legal entity, on its own clock."""

    period_id: UUID
    entity_code: str
    name: str
    zone: str
    period_code: str
    cut_off_at: datetime

    def left_seconds(self, now: datetime) -> int:
        """Return how long it is until the cut-off."""
        return int((self.cut_off_at - now).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pile:
    """Cases of one owner that are due together."""

    due_at: datetime | None
    entity_code: str | None
    zone: str
    cases: Sequence[OwedCase]
    worth: Worth


def say_worth(worth: Worth) -> str:
    """Return hours and money in one line, currencies apart, what has no price by its hours."""
    parts = [f"{hours(worth.seconds)} h"] if worth.seconds else []
    parts += _amounts(worth.amounts)
    if worth.unpriced_seconds:
        parts.append(f"{hours(worth.unpriced_seconds)} h without a price")
    return ", ".join(parts)


def say_unconfirmed(found: Unconfirmed, *, deadline: Deadline, speech: Speech) -> str:
    """Say how writes without an answer stand: sent when, asked how often, worth what, due when."""
    first = f"{found.writes} writes, the first sent" if found.writes > 1 else "Sent"
    asked = f"Asking {speech.say_system(found.system)}"
    if found.asked_times:
        asked += f", {_ordinal(found.asked_times)} time"
    if found.due_at is not None:
        asked += f", next {_clock(found.due_at, deadline.zone)}"
    facts = [*_amounts(found.amounts), f"due {_clock(deadline.cut_off_at, deadline.zone)}"]
    return (
        f"{first} {_clock(found.sent_at, deadline.zone)}, no answer. {asked}. {', '.join(facts)}."
    )


def write_escalation(
    *,
    owner: str,
    deadline: Deadline,
    pile: Pile,
    waiting: Sequence[InFlight],
    seen: int,
    now: datetime,
    speech: Speech,
) -> tuple[str, str]:
    """Return subject and text of one step before a cut-off."""
    worth = say_worth(pile.worth)
    left = span(deadline.left_seconds(now))
    # What waits alone is worth a message; it has no case of its own.
    facts = [_counted(pile.cases), worth] if pile.cases else ["hours still wait"]
    subject = _joined(
        f"{deadline.entity_code} {deadline.period_code}: {left} to the cut-off", *facts
    )
    at = when(deadline.cut_off_at, deadline.zone)
    closes = f"{deadline.name} closes {deadline.period_code} on {at}"
    lines = [_for(owner), "", f"{closes}: {until(deadline.cut_off_at, now)}."]
    if pile.cases:
        lines += ["", f"In the way: {_joined(_counted(pile.cases), worth)}."]
        shown, left_out = _causes(pile.cases, owner=owner, room=CAUSES_SHOWN_MAX, speech=speech)
        lines += [*shown, *_more(left_out, owner=owner, speech=speech)]
    if waiting:
        lines += ["", "Still under way:"]
        lines += [f"- {_moving(each)}" for each in waiting]
    if seen:
        lines += ["", f"Beside them {seen} that you have said you know of."]
    lines += _guide("operate/alarms#escalation", speech)
    return subject, "\n".join([*lines, ""])


def write_page(
    *, deadline: Deadline, found: Unconfirmed, now: datetime, speech: Speech
) -> tuple[str, str]:
    """Return subject and text of the message about writes that are not confirmed for long."""
    system = speech.say_system(found.system)
    what = "1 write" if found.writes == 1 else f"{found.writes} writes"
    subject = _joined(
        f"{deadline.entity_code} {deadline.period_code}: {what} to {system} not confirmed for an hour",
        *_amounts(found.amounts),
    )
    lines = [
        say_unconfirmed(found, deadline=deadline, speech=speech),
        "",
        f"{deadline.name} closes {deadline.period_code} {until(deadline.cut_off_at, now)}.",
        f"Nothing is sent twice meanwhile: {system} is asked until it answers. See whether it runs.",
    ]
    if speech.web_url:
        lines.append(f"{speech.web_url}/connections")
    lines += _guide("operate/alarms#unconfirmed", speech)
    return subject, "\n".join([*lines, ""])


def write_risk(*, risk: OpenRisk, step: int, now: datetime, speech: Speech) -> tuple[str, str]:
    """Return subject and text of the message that work at risk came up to a share of its limit."""
    worth = money(risk.amount, risk.currency)
    limit = money(risk.limit_amount, risk.currency)
    subject = f"{risk.project_code}: {step} % of what may be worked at risk, {worth} of {limit}"
    lines = [
        f"You answer for what is worked on {risk.project_code} before {risk.deal} is won.",
        "",
        f"{hours(risk.seconds)} h wait, worth {worth} of {limit}.",
        f"They wait until {when(risk.until_at, risk.zone)} ({until(risk.until_at, now)}).",
    ]
    if risk.unpriced_seconds:
        lines.append(f"{hours(risk.unpriced_seconds)} h of them have no price and are not counted.")
    lines += ["", "Have the deal won, agree other terms, or end the project and write it off."]
    if speech.web_url:
        lines.append(f"{speech.web_url}/handover/plan?{urlencode({'deal': risk.deal})}")
    lines += _guide("operate/alarms#at-risk", speech)
    return subject, "\n".join([*lines, ""])


def write_digest(
    *, owner: str, piles: Sequence[Pile], worth: Worth, now: datetime, speech: Speech
) -> tuple[str, str]:
    """Return subject and text of everything that waits for one owner, by deadline."""
    cases = [case for pile in piles for case in pile.cases]
    told = _joined(_counted(cases), say_worth(worth))
    lines = [_for(owner), "", f"Waits for you: {told}."]
    room, more = CAUSES_SHOWN_MAX, 0
    for pile in piles:
        head = when(pile.due_at, pile.zone) if pile.due_at else "Without a deadline"
        if pile.due_at:
            head = f"Due {head} ({until(pile.due_at, now)})"
        where = f", {pile.entity_code}" if pile.entity_code else ""
        lines += ["", f"{head}{where}: {_joined(_counted(pile.cases), say_worth(pile.worth))}"]
        shown, left_out = _causes(pile.cases, owner=owner, room=room, speech=speech)
        lines += shown
        room = max(0, room - len(_by_reason(pile.cases)))
        more += left_out
    lines += _more(more, owner=owner, speech=speech)
    lines += _guide("how-to/work-a-case", speech)
    return f"Waits for you: {told}", "\n".join([*lines, ""])


def _causes(
    cases: Sequence[OwedCase], *, owner: str, room: int, speech: Speech
) -> tuple[list[str], int]:
    """Return what cases are about, alike ones together, and how many cases found no room."""
    groups = _by_reason(cases)
    lines = [line for alike in groups[:room] for line in _cause(alike, owner, speech)]
    return lines, sum(len(alike) for alike in groups[room:])


def _by_reason(cases: Sequence[OwedCase]) -> list[list[OwedCase]]:
    groups: dict[str, list[OwedCase]] = {}
    for case in cases:
        groups.setdefault(case.reason, []).append(case)
    return list(groups.values())


def _cause(alike: Sequence[OwedCase], owner: str, speech: Speech) -> list[str]:
    first = alike[0]
    name = speech.say_reason(first.reason, first.details).rstrip(".")
    count = _counted(alike) if len(alike) > 1 else ""
    line = f"- {_joined(name, count, say_worth(_together(alike)))}"
    if not speech.web_url:
        return [line]
    if len(alike) == 1:
        return [line, f"  {speech.web_url}/exceptions/{first.case_id}"]
    words = {"reason": first.reason, **_mine(owner)}
    if first.entity_code is not None:
        words["entity"] = first.entity_code
    return [line, f"  {speech.web_url}/exceptions?{urlencode(words)}"]


def _together(alike: Sequence[OwedCase]) -> Worth:
    # An hour waits for one cause once, so that alike cases can be added.
    amounts: dict[str, Decimal] = {}
    for each in (amount for case in alike for amount in case.amounts):
        amounts[each.currency] = amounts.get(each.currency, Decimal(0)) + each.amount
    return Worth(
        seconds=sum(case.seconds for case in alike),
        unpriced_seconds=sum(case.unpriced_seconds for case in alike),
        amounts=tuple(Money(amount=amounts[name], currency=name) for name in sorted(amounts)),
    )


def _more(cases: int, *, owner: str, speech: Speech) -> list[str]:
    if not cases:
        return []
    where = f": {speech.web_url}/exceptions?{urlencode(_mine(owner))}" if speech.web_url else "."
    return [f"And {cases} more{where}"]


def _guide(place: str, speech: Speech) -> list[str]:
    """Lead to the place of the operators' guide that says what to do."""
    return ["", f"What to do: {speech.web_url}/guide/{place}"] if speech.web_url else []


def _mine(owner: str) -> dict[str, str]:
    kind, _, name = owner.partition(":")
    return {"owner" if kind == "person" else "queue": name}


def _for(owner: str) -> str:
    kind, _, name = owner.partition(":")
    assert owner in (person_owner(name), queue_owner(name))
    return f"For {name}." if kind == "person" else f"For the team {name.replace('_', ' ')}."


def _counted(cases: Sequence[OwedCase]) -> str:
    return "1 case" if len(cases) == 1 else f"{len(cases)} cases"


def _moving(each: InFlight) -> str:
    worth = "" if each.amount is None else money(each.amount, each.currency)
    return _joined(f"{each.items} {MOVING[each.what]}", f"{hours(each.seconds)} h", worth)


def _amounts(amounts: Sequence[Money]) -> list[str]:
    return [money(each.amount, each.currency) for each in amounts]


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _ordinal(number: int) -> str:
    return _TIMES[number - 1] if number <= len(_TIMES) else f"{number}th"


def _clock(instant: datetime, zone: str) -> str:
    return f"{instant.astimezone(ZoneInfo(zone)):%H:%M}"

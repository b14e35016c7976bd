"""What a release of codes would do to deals: tried, read anew, and taken back.

Pattern: on request, one transaction. Vendor calls: none. A project that is under way keeps what it was agreed
by; what its deal would read otherwise becomes a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from psycopg import Connection

from tieline.register import COST_CENTER, CURRENCY, PRACTICE, TAX_TREATMENT, UNIT
from tieline.runtime.database import Row
from tieline.services.provisioning_facts import DealFacts, load_deals

OPEN_DEAL, WON_DEAL, PROJECT = "open deal", "won deal", "project"
DEALS_SHOWN_MAX = 200
_WON, _UNKNOWN = "won", "without a code"
# How a reading is called of what an ERP calls the whole of a deal.
_IN_THE_ERP = {
    COST_CENTER: "cost center in the ERP",
    PRACTICE: "practice in the ERP",
    CURRENCY: "currency in the ERP",
    TAX_TREATMENT: "tax in the ERP",
    UNIT: "unit in the ERP",
}
_TERMS = ("practice", "cost_center", "billing_method", "tax_treatment", "currency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One thing that a deal would say otherwise."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DealImpact:
    """A deal that would be read otherwise; ``place`` is open deal, won deal or project, as it is now."""

    deal: str
    place: str
    project_code: str | None
    amount: Decimal | None
    currency: str | None
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactSum:
    """How many deals of one place and currency would be read otherwise, and what they are worth."""

    place: str
    currency: str | None
    deals: int
    amount: Decimal
    newly_held: int
    newly_won: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What a file would do to deals; ``is_asked`` is false where it says nothing that a deal is read by."""

    is_asked: bool
    sums: tuple[ImpactSum, ...] = ()
    deals: tuple[DealImpact, ...] = ()


def impact_of(
    connection: Connection[Row], *, change: Callable[[], object], now: datetime
) -> Impact:
    """Return every deal that a change of codes would let be read otherwise; it changes nothing."""
    read = load_deals(connection, now=now)
    before = {facts.key: facts for facts in read}
    # By other codes of practices a deal may become other projects.
    whole = {facts.deal_key: facts for facts in read}
    with connection.transaction(force_rollback=True):
        change()
        after = load_deals(connection, now=now)
    under_way = {
        row["deal_key"]
        for row in connection.execute(
            "SELECT deal_key FROM provisioning_plan WHERE project_id IS NOT NULL"
        ).fetchall()
    }
    found = []
    for facts in after:
        stood = before.get(facts.key) or whole[facts.deal_key]
        readings = tuple(_readings(stood, facts))
        if readings:
            found.append(_impact(stood, readings, is_project=facts.key in under_way))
    return Impact(is_asked=True, sums=_sums(found), deals=tuple(found[:DEALS_SHOWN_MAX]))


def _sums(impacts: Sequence[DealImpact]) -> tuple[ImpactSum, ...]:
    groups: dict[tuple[str, str], list[DealImpact]] = {}
    for each in impacts:
        groups.setdefault((each.place, each.currency or ""), []).append(each)
    return tuple(
        ImpactSum(
            place=place,
            currency=currency or None,
            deals=len(found),
            amount=sum((each.amount or Decimal(0) for each in found), Decimal(0)),
            newly_held=sum(_is_newly_held(each) for each in found),
            newly_won=sum(_is_newly_won(each) for each in found),
        )
        for (place, currency), found in sorted(groups.items())
    )


def _impact(facts: DealFacts, readings: tuple[Reading, ...], *, is_project: bool) -> DealImpact:
    place = WON_DEAL if facts.is_won else OPEN_DEAL
    return DealImpact(
        deal=facts.key,
        place=PROJECT if is_project else place,
        project_code=facts.deal.project_code,
        amount=facts.deal.amount,
        currency=facts.deal.currency,
        readings=readings,
    )


def _readings(before: DealFacts, after: DealFacts) -> Iterable[Reading]:
    for name, was, becomes in zip(_names(), _values(before), _values(after), strict=True):
        if was != becomes:
            yield Reading(name=name, before=was, after=becomes)


def _names() -> tuple[str, ...]:
    return (
        _WON,
        *_TERMS,
        "labor categories",
        "categories in the ERP",
        "products in the ERP",
        *_IN_THE_ERP.values(),
        _UNKNOWN,
    )


def _values(facts: DealFacts) -> tuple[str, ...]:
    """Return what a deal says, in the order of the names."""
    deal, names = facts.deal, facts.names
    return (
        "yes" if facts.is_won else "no",
        *(getattr(deal, name) or "" for name in _TERMS),
        _listed(line.labor_category or "" for line in deal.lines),
        _listed(names.categories.values()),
        _listed(names.products.values()),
        *(names.codes.get(kind, "") for kind in _IN_THE_ERP),
        _listed(
            (*facts.unknown_codes, *(code for each in names.unnamed.values() for code in each))
        ),
    )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))


def _is_newly_held(impact: DealImpact) -> bool:
    return any(each.name == _UNKNOWN and not each.before for each in impact.readings)


def _is_newly_won(impact: DealImpact) -> bool:
    return any(each.name == _WON and each.after == "yes" for each in impact.readings)

"""Which projects a deal becomes: one, or one for each practice, legal entity or product of its lines.

A group is named by what its lines say, never by their numbers, and keeps its name for good: what the deal
says later is said of the projects that were made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from tieline.canonical import Opportunity, OpportunityLine

AS_ONE, BY_PRACTICE, BY_ENTITY, BY_PRODUCT = "deal", "practice", "entity", "product"
GROUPED_BY = "handover_projects_by"
GROUPINGS = (AS_ONE, BY_PRACTICE, BY_ENTITY, BY_PRODUCT)
WHOLE, OTHER = "", "OTHER"
# What a connection may map as extras of a line.
LINE_PRACTICE, LINE_PRODUCT = "practice", "product"
_ENTITY, _CAP = "entity_code", "cap_amount"
_EXPONENT_MAX = 12
_NOT_IN_A_CODE = re.compile(r"[^A-Z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One project of a deal: by what its lines are grouped, what it is called, and all that were planned.

    ``is_further`` says that the deal got it after its projects were begun; ``deal_amount`` is what the
    whole deal is worth. ``deal_cap`` is what a deal that is several projects is capped at, and ``line_caps`` what its
    lines say of it together, None where one says nothing.
    """

    by: str
    name: str
    names: tuple[str, ...]
    deal_amount: Decimal | None
    deal_cap: Decimal | None = None
    line_caps: Decimal | None = None
    is_further: bool = False

    @property
    def is_whole(self) -> bool:
        """Say whether it is all of the deal."""
        return self.name == WHOLE

    @property
    def told(self) -> dict[str, Any]:
        """Return what a plan keeps of it; nothing of a deal that is one project."""
        if self.is_whole:
            return {}
        amount = None if self.deal_amount is None else format(self.deal_amount, "f")
        return {"grouping": {"by": self.by, "groups": list(self.names), "deal_amount": amount}}


def groups_of(
    deal: Opportunity, *, by: str, made: Sequence[tuple[str, Mapping[str, Any] | None]]
) -> tuple[Group, ...]:
    """Return what a deal becomes; ``made`` are the groups that are projects, as their plans tell it.

    Lines of one value, or of none, are one project of the deal's own name.
    """
    if made:
        return _as_made(deal, made)
    names = _names(deal, by)
    if by == AS_ONE or len(names) < 2:
        by, names = AS_ONE, (WHOLE,)
    return tuple(_group(deal, by, name, names) for name in names)


def _as_made(
    deal: Opportunity, made: Sequence[tuple[str, Mapping[str, Any] | None]]
) -> tuple[Group, ...]:
    tellings = [told for _, told in made if told is not None]
    if not tellings:
        return (_group(deal, AS_ONE, WHOLE, (WHOLE,)),)
    by = str(tellings[0]["by"])
    stands = {name for name, _ in made}
    planned = {str(name) for told in tellings for name in told["groups"]}
    names = tuple(sorted(stands | planned))
    found = [_group(deal, by, name, names) for name in sorted(stands | set(_names(deal, by)))]
    return tuple(replace(each, is_further=each.name not in names) for each in found)


def _group(deal: Opportunity, by: str, name: str, names: tuple[str, ...]) -> Group:
    if by == AS_ONE or deal.cap_amount is None:
        return Group(by=by, name=name, names=names, deal_amount=deal.amount)
    return Group(
        by=by,
        name=name,
        names=names,
        deal_amount=deal.amount,
        deal_cap=deal.cap_amount,
        line_caps=_sum(_number(line.extras.get(_CAP)) for line in deal.lines),
    )


def part_of_deal(deal: Opportunity, *, by: str, name: str) -> Opportunity:
    """Return what a deal says of one of its groups: its lines, with their worth, under a code of their own.

    What the deal's amount says beyond its lines stays in sight in each of them.
    """
    if by == AS_ONE:
        return deal
    lines = tuple(line for line in deal.lines if group_name(deal, line, by) == name)
    value = (_value(deal, lines[0], by) if lines else None) or name.lower()
    caps = [_number(line.extras.get(_CAP)) for line in lines]
    return replace(
        deal,
        name=f"{deal.name}: {value}",
        amount=_amount(deal, lines),
        cap_amount=_sum(caps) if deal.cap_amount is not None else None,
        practice=value if by == BY_PRACTICE and lines else deal.practice,
        entity_code=value if by == BY_ENTITY and lines else deal.entity_code,
        project_code=f"{deal.project_code}-{name}" if deal.project_code else None,
        lines=lines,
    )


def group_name(deal: Opportunity, line: OpportunityLine, by: str) -> str:
    """Return what the group of a line is called: what it says, as a part of a project code."""
    said = (_value(deal, line, by) or "").upper()
    return _NOT_IN_A_CODE.sub("-", said).strip("-") or OTHER


def _names(deal: Opportunity, by: str) -> tuple[str, ...]:
    return tuple(sorted({group_name(deal, line, by) for line in deal.lines}))


def _value(deal: Opportunity, line: OpportunityLine, by: str) -> str | None:
    match by:
        case "practice":
            return line.extras.get(LINE_PRACTICE) or deal.practice
        case "entity":
            return line.extras.get(_ENTITY) or deal.entity_code
        case "product":
            return line.extras.get(LINE_PRODUCT)
        case _:
            return None


def _amount(deal: Opportunity, lines: Sequence[OpportunityLine]) -> Decimal | None:
    own, everything = _sum(map(_worth, lines)), _sum(map(_worth, deal.lines))
    if own is None or everything is None or deal.amount is None:
        return None
    return own + deal.amount - everything


def _worth(line: OpportunityLine) -> Decimal | None:
    if line.amount is not None or line.hours is None or line.rate_amount is None:
        return line.amount
    return line.hours * line.rate_amount


def _sum(amounts: Any) -> Decimal | None:
    told = list(amounts)
    return None if None in told else sum(told, Decimal(0))


def _number(text: str | None) -> Decimal | None:
    try:
        number = Decimal(text or "")
    except ArithmeticError:
        return None
    # What a CRM writes into a property of its own may be no amount at all.
    return number if number.is_finite() and number.adjusted() <= _EXPONENT_MAX else None

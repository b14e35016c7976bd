"""Read a deal in our codes, and name its labor categories as its ERP does.

What a connection has no code for is *unknown*: it stays as it was told, and holds the deal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from psycopg import Connection

from tieline.canonical import Opportunity, OpportunityLine
from tieline.register import INBOUND_KINDS, LABOR_CATEGORY, PRACTICE, STAGE, WON, Code, our_codes
from tieline.runtime.database import Row
from tieline.services.deal_groups import LINE_PRACTICE

# A kind is called as the deal's own field of it.
_OF_DEAL = tuple(kind for kind in INBOUND_KINDS if kind != LABOR_CATEGORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedDeal:
    """A deal in our codes; ``unknown`` are the codes of its CRM that nobody gave a meaning, as KIND CODE."""

    deal: Opportunity
    unknown: tuple[str, ...]


def in_our_codes(
    connection: Connection[Row], *, told: Sequence[tuple[str, Opportunity]], on: date
) -> list[CodedDeal]:
    """Return deals, each with the key of its CRM's connection, in the codes that hold on a day."""
    asked = [list(_codes(key, deal, on)) for key, deal in told]
    found = our_codes(connection, asked=(code for codes in asked for code in codes))
    return [
        _coded(deal, {code: found[code] for code in codes if code in found})
        for (_, deal), codes in zip(told, asked, strict=True)
    ]


def _codes(key: str, deal: Opportunity, on: date) -> Iterator[Code]:
    told = [(name, getattr(deal, name)) for name in _OF_DEAL]
    told += [(LABOR_CATEGORY, line.labor_category) for line in deal.lines]
    told += [(PRACTICE, line.extras.get(LINE_PRACTICE)) for line in deal.lines]
    for kind, code in told:
        if code:
            yield Code(
                connection_key=key, kind=kind, entity_code=deal.entity_code or "", code=code, on=on
            )


def _coded(deal: Opportunity, found: dict[Code, str | None]) -> CodedDeal:
    if not found:
        return CodedDeal(deal=deal, unknown=())
    ours = {(code.kind, code.code): becomes for code, becomes in found.items() if becomes}
    changed: dict[str, Any] = {
        name: ours.get((name, getattr(deal, name)), getattr(deal, name)) for name in _OF_DEAL
    }
    if (STAGE, deal.stage) in ours:
        changed["is_won"] = changed[STAGE] == WON
    lines = tuple(
        replace(
            line,
            labor_category=ours.get(
                (LABOR_CATEGORY, line.labor_category or ""), line.labor_category
            ),
            extras=_coded_extras(line, ours),
        )
        for line in deal.lines
    )
    unknown = sorted({f"{code.kind} {code.code}" for code, becomes in found.items() if not becomes})
    return CodedDeal(deal=replace(deal, **changed, lines=lines), unknown=tuple(unknown))


def _coded_extras(line: OpportunityLine, ours: Mapping[tuple[str, str], str]) -> Mapping[str, str]:
    practice = ours.get((PRACTICE, line.extras.get(LINE_PRACTICE, "")))
    return {**line.extras, LINE_PRACTICE: practice} if practice else line.extras

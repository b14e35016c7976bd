"""Read a deal in our codes, and name what goes out with it as its ERP does.

What a connection has no code for is *unknown*: it stays as it was told, and holds the deal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from psycopg import Connection

from tieline.canonical import Opportunity, OpportunityLine
from tieline.register import (
    BILLING_CODE,
    COST_CENTER,
    INBOUND_KINDS,
    LABOR_CATEGORY,
    PRACTICE,
    STAGE,
    WON,
    Code,
    our_codes,
    their_codes,
)
from tieline.runtime.database import Row
from tieline.services.deal_groups import LINE_PRACTICE, LINE_PRODUCT

# A kind is called as the deal's own field of it.
_OF_DEAL = tuple(kind for kind in INBOUND_KINDS if kind not in (LABOR_CATEGORY, BILLING_CODE))
_OF_LINE = {PRACTICE: LINE_PRACTICE, BILLING_CODE: LINE_PRODUCT}
# What an ERP is told as it stands where nobody said what it is called; of the rest it has words of its own.
_AS_IT_STANDS = (COST_CENTER, PRACTICE)
_OF_PART = (LABOR_CATEGORY, BILLING_CODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedDeal:
    """A deal in our codes; ``unknown`` are the codes of its CRM that nobody gave a meaning, as KIND CODE."""

    deal: Opportunity
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What goes out with a deal: our codes, each with the part of a line it is of, '' for the whole.

    ``otherwise`` is what the ERP's connection says of labor categories where it has no rows of them.
    """

    codes: Sequence[tuple[str, Code]]
    otherwise: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpNames:
    """What the ERP of a deal calls what goes out with it.

    ``categories`` and ``products`` are by the part of a line, ``codes`` of the whole by their kind; ``unnamed`` are
    our codes that the ERP has none for, by their kind.
    """

    categories: Mapping[str, str] = field(default_factory=dict)
    products: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    unnamed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


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
    told += [
        (kind, line.extras.get(name)) for line in deal.lines for kind, name in _OF_LINE.items()
    ]
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
    coded = {
        name: ours[kind, line.extras[name]]
        for kind, name in _OF_LINE.items()
        if (kind, line.extras.get(name, "")) in ours
    }
    return {**line.extras, **coded} if coded else line.extras


def erp_names(connection: Connection[Row], *, asked: Sequence[Outgoing]) -> list[ErpNames]:
    """Return what ERPs call what goes out with each deal."""
    theirs = their_codes(connection, asked=(code for deal in asked for _, code in deal.codes))
    return [_names(deal, theirs) for deal in asked]


def _names(deal: Outgoing, theirs: Mapping[Code, str | None]) -> ErpNames:
    found: dict[tuple[str, str], str] = {}
    unnamed: dict[str, set[str]] = {}
    for part, code in deal.codes:
        name = theirs[code] if code in theirs else _as_it_stands(code, deal.otherwise)
        if code in theirs and name is None:
            unnamed.setdefault(code.kind, set()).add(code.code)
        if name is None and code.kind == LABOR_CATEGORY:
            # A plan that waits for the code shows its lines all the same.
            name = code.code
        if name is not None:
            found[code.kind, part] = name
    categories, products = (
        {part: name for (kind, part), name in found.items() if kind == wanted}
        for wanted in _OF_PART
    )
    return ErpNames(
        categories=categories,
        products=products,
        codes={kind: name for (kind, _), name in found.items() if kind not in _OF_PART},
        unnamed={kind: tuple(sorted(each)) for kind, each in unnamed.items()},
    )


def _as_it_stands(code: Code, otherwise: Mapping[str, str]) -> str | None:
    if code.kind == LABOR_CATEGORY:
        return otherwise.get(code.code, code.code)
    return code.code if code.kind in _AS_IT_STANDS else None

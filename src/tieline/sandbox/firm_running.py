"""Contracts that ran before Tieline came: 48 of them, and the teams that work on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from tieline.sandbox.firm_agency import PROJECT as AGENCY_PROJECT
from tieline.sandbox.firm_agency import TASK as AGENCY_TASK
from tieline.sandbox.firm_calendar import months_after, months_before
from tieline.sandbox.firm_deals import CAPPED, ENDS_AFTER_MONTHS, TIME_AND_MATERIALS
from tieline.sandbox.firm_model import (
    ANALYST,
    CONSULTANT,
    DATA_ENGINEER,
    SENIOR_CONSULTANT,
    SENIOR_DATA_ENGINEER,
    Assignment,
    Deal,
    DealLine,
)

MUNICH, LONDON, BOSTON, KRAKOW = "HR-DE", "HR-UK", "HR-US", "HR-PL"
READY, AT_RISK, BLOCKED = "ready", "at_risk", "blocked"
_FULL, _FULL_IN_LONDON = "40", "37.5"
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody of a team; ``home`` is the company that employs them."""

    key: str
    home: str
    labor_category: str
    weekly_hours: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """People who share their hours among the same contracts of one company."""

    entity_code: str
    members: tuple[Member, ...]
    contracts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What is told of one contract; ``state`` is how it stands at the month's cut-off."""

    code: str
    client_key: str
    subject: str
    tasks: tuple[str, str]
    state: str = READY
    # Task, labor category, hours sold, price an hour: of a contract that the story counts on.
    lines: tuple[tuple[str, str, int, int], ...] = ()


def _terms(
    client_key: str, *contracts: tuple[str, str, tuple[str, str], str]
) -> tuple[_Terms, ...]:
    return tuple(
        _Terms(code=code, client_key=client_key, subject=subject, tasks=tasks, state=state)
        for code, subject, tasks, state in contracts
    )


_PLANNING = ("Planning model", "Data platform")
_ROUTES = ("Network analysis", "Route engine")
_CLAIMS = ("Claims model", "Data platform")
_STRATEGY = ("Data strategy", "Data platform")
_PROCESS = ("Process design", "Integration")
_STOCK = ("Stock forecast", "Data feeds")
_PRICING = ("Pricing model", "Data feeds")
BEGUN_PROJECT, LOAD_PROJECT = "LEC-PLAN", "VOL-HUB"
_IN_MUNICH = (
    *_terms(
        "rheintor",
        ("RHE-ROUTE", "route planning", _ROUTES, READY),
        ("RHE-HUB", "hub capacity", _ROUTES, AT_RISK),
        ("RHE-DATA", "freight data", _STRATEGY, READY),
    ),
    *_terms(
        "allgaeuer-molkerei",
        ("ALM-MILK", "milk collection", _ROUTES, READY),
        ("ALM-PLAN", "filling plan", _PLANNING, BLOCKED),
    ),
    *_terms(
        "hafenwind",
        ("HAW-YIELD", "yield forecast", _PLANNING, READY),
        ("HAW-SPARE", "spare parts", _PLANNING, AT_RISK),
    ),
    *_terms(
        "falkenried",
        ("FAL-ORDER", "order sequence", _PLANNING, READY),
        ("FAL-QUAL", "quality records", _PROCESS, READY),
        ("FAL-BOM", "parts lists", _PROCESS, BLOCKED),
    ),
    *_terms(
        "saalebau",
        ("SAA-SITE", "site logistics", _ROUTES, READY),
    ),
    *_terms(
        "spreequell",
        ("SPR-LEAK", "leak detection", _STRATEGY, READY),
        ("SPR-METER", "meter data", _STRATEGY, AT_RISK),
    ),
    *_terms(
        "weserstahl",
        ("WES-PRICE", "price lists", _PROCESS, READY),
        ("WES-STOCK", "stock turn", _PLANNING, BLOCKED),
    ),
    *_terms(
        "taunus-bank",
        ("TAU-LOAN", "loan files", _CLAIMS, READY),
        ("TAU-RISK", "early warning", _CLAIMS, READY),
        ("TAU-ARCH", "archive", _PROCESS, AT_RISK),
    ),
    *_terms(
        "schwarzwald-uhren",
        ("SCH-FORE", "demand forecast", _PLANNING, READY),
        ("SCH-SERV", "repair process", _PROCESS, READY),
    ),
    *_terms(
        "grazer-werke",
        ("GRA-PLANT", "plant data", _STRATEGY, READY),
        ("GRA-TOOL", "tool planning", _PLANNING, READY),
        ("GRA-FAULT", "fault records", _STRATEGY, AT_RISK),
    ),
    *_terms(
        "kessler-group",
        ("KES-HOLD", "group reporting", _STRATEGY, READY),
        ("KES-BUY", "purchasing data", _STRATEGY, READY),
        ("KES-LETTER", "incoming mail", _CLAIMS, BLOCKED),
    ),
    # Seven of its people have not handed in everything.
    _Terms(
        code=LOAD_PROJECT,
        client_key="voltwerk",
        subject="load model",
        tasks=("Load model", "Load model"),
        lines=(
            ("Load model", CONSULTANT, 1800, 132),
            ("Load model", SENIOR_CONSULTANT, 400, 155),
            ("Load model", SENIOR_DATA_ENGINEER, 300, 165),
        ),
    ),
    # The agency's people send their hours of this one as a file.
    *_terms("sternberg", (AGENCY_PROJECT, "portal migration", ("Concept", AGENCY_TASK), READY)),
    # The board makes an hour of its month before shorter.
    *_terms("lechtal", (BEGUN_PROJECT, "production planning", _PLANNING, READY)),
)
_IN_LONDON = (
    *_terms(
        "pennine-rail",
        ("PEN-CREW", "crew rosters", _STOCK, READY),
        ("PEN-PART", "rolling stock parts", _STOCK, AT_RISK),
        ("PEN-FARE", "fare model", _PRICING, READY),
    ),
    *_terms(
        "severn-water",
        ("SEV-PUMP", "pump stations", _STOCK, READY),
        ("SEV-BILL", "billing data", _PRICING, BLOCKED),
    ),
    *_terms(
        "kestrel-media",
        ("KTL-REACH", "reach model", _PRICING, READY),
    ),
    *_terms(
        "harrow-foods",
        ("HRW-SHELF", "shelf forecast", _STOCK, READY),
        ("HRW-PROMO", "promotions", _STOCK, BLOCKED),
        ("HRW-FEED", "supplier feeds", _STOCK, READY),
    ),
    *_terms(
        "tamar-shipping",
        ("TAM-LOAD", "load planning", _STOCK, READY),
        ("TAM-RATE", "freight rates", _PRICING, AT_RISK),
    ),
    *_terms(
        "clyde-homes",
        ("CLY-REPAIR", "repairs", _STOCK, READY),
        ("CLY-RENT", "rent model", _PRICING, READY),
    ),
    *_terms(
        "cotswold-care",
        ("COT-STAFF", "staffing model", _PRICING, BLOCKED),
        ("COT-BEDS", "bed forecast", _STOCK, READY),
    ),
)
_IN_BOSTON = (
    *_terms(
        "berkshire-tools",
        ("BER-BIN", "bin stock", _STOCK, READY),
        ("BER-QUOTE", "quotes", _PRICING, READY),
    ),
    *_terms("cape-ferry", ("CAP-SAIL", "sailing plan", _STOCK, READY)),
    *_terms("merrimack-paper", ("MER-ROLL", "roll yield", _STOCK, READY)),
)
_ALL = ((MUNICH, _IN_MUNICH), (LONDON, _IN_LONDON), (BOSTON, _IN_BOSTON))
STATES: Mapping[str, str] = {terms.code: terms.state for _, several in _ALL for terms in several}
"""How each running contract stands at the cut-off, by its code."""

_MUNICH_TEAMS, _LONDON_TEAMS = 8, 4
_MUNICH_ROLES = (SENIOR_CONSULTANT, CONSULTANT, CONSULTANT, DATA_ENGINEER)
_LONDON_ROLES = (SENIOR_CONSULTANT, CONSULTANT, CONSULTANT, CONSULTANT, DATA_ENGINEER)
_BOSTON_ROLES = (SENIOR_CONSULTANT, CONSULTANT, DATA_ENGINEER)
_KRAKOW_ROLES = (ANALYST, DATA_ENGINEER, DATA_ENGINEER)
# So many of the teams, the first ones, have one more of these.
_MORE_IN_MUNICH, _MORE_IN_LONDON, _MORE_IN_KRAKOW = 3, 2, 1
# The third of a team works part of the week, except in one.
_PART_TIME_PLACE = 2
_PART_TIME = ("20", "25", "30")
# Euros, pounds or dollars an hour, and hours sold; the first task of a contract is of the first two.
_RATES: Mapping[str, Mapping[str, int]] = {
    MUNICH: {SENIOR_CONSULTANT: 170, CONSULTANT: 130, DATA_ENGINEER: 140},
    LONDON: {SENIOR_CONSULTANT: 145, CONSULTANT: 108, DATA_ENGINEER: 115, ANALYST: 82},
    BOSTON: {SENIOR_CONSULTANT: 195, CONSULTANT: 150, DATA_ENGINEER: 165},
}
_CURRENCIES = {MUNICH: "EUR", LONDON: "GBP", BOSTON: "USD"}
_SOLD = {SENIOR_CONSULTANT: 900, CONSULTANT: 2400, DATA_ENGINEER: 1200, ANALYST: 700}
_ON_FIRST_TASK = (SENIOR_CONSULTANT, CONSULTANT)
# What the story says of a contract to the euro.
_AGREED = {(AGENCY_PROJECT, DATA_ENGINEER): 110, (BEGUN_PROJECT, SENIOR_CONSULTANT): 180}


def _members(
    key: str, home: str, roles: Sequence[str], *, hours: str, part_time: str | None
) -> tuple[Member, ...]:
    return tuple(
        Member(
            key=f"{key}-{number}",
            home=home,
            labor_category=role,
            weekly_hours=part_time if part_time and number == _PART_TIME_PLACE else hours,
        )
        for number, role in enumerate(roles, start=1)
    )


def _team_of_munich(number: int) -> tuple[Member, ...]:
    more = (CONSULTANT,) if number < _MORE_IN_MUNICH else ()
    part_time = _PART_TIME[number % len(_PART_TIME)]
    roles = (*_MUNICH_ROLES, *more)
    return _members(f"de-team-{number + 1}", MUNICH, roles, hours=_FULL, part_time=part_time)


def _team_of_london(number: int) -> tuple[Member, ...]:
    """Return people of London, and those whom Krakow lends them by agreement."""
    key = f"-team-{number + 1}"
    more = (CONSULTANT,) if number < _MORE_IN_LONDON else ()
    lent = (DATA_ENGINEER,) if number < _MORE_IN_KRAKOW else ()
    part_time = _PART_TIME[number % len(_PART_TIME)] if number else None
    at_home = (*_LONDON_ROLES, *more)
    return (
        *_members(f"uk{key}", LONDON, at_home, hours=_FULL_IN_LONDON, part_time=part_time),
        *_members(f"pl{key}", KRAKOW, (*_KRAKOW_ROLES, *lent), hours=_FULL, part_time=None),
    )


def _shared(
    entity_code: str, terms: Sequence[_Terms], teams: Sequence[tuple[Member, ...]]
) -> tuple[Team, ...]:
    """Deal the contracts of a company out to its teams, one after the other."""
    return tuple(
        Team(
            entity_code=entity_code,
            members=members,
            contracts=tuple(each.code for each in terms[number :: len(teams)]),
        )
        for number, members in enumerate(teams)
    )


TEAMS: tuple[Team, ...] = (
    *_shared(MUNICH, _IN_MUNICH, [_team_of_munich(number) for number in range(_MUNICH_TEAMS)]),
    *_shared(LONDON, _IN_LONDON, [_team_of_london(number) for number in range(_LONDON_TEAMS)]),
    *_shared(
        BOSTON,
        _IN_BOSTON,
        [_members("us-team-1", BOSTON, _BOSTON_ROLES, hours=_FULL, part_time=None)],
    ),
)
MEMBERS: tuple[Member, ...] = tuple(member for team in TEAMS for member in team.members)
CREW: frozenset[str] = frozenset(member.key for member in MEMBERS)


def make_running(*, month: date, client_names: Mapping[str, str]) -> tuple[Deal, ...]:
    """Return the contracts that run, as the deals that somebody won long ago."""
    return tuple(
        _running(terms, entity_code, month=month, number=number, client_names=client_names)
        for entity_code, several in _ALL
        for number, terms in enumerate(several)
    )


def _running(
    terms: _Terms, entity_code: str, *, month: date, number: int, client_names: Mapping[str, str]
) -> Deal:
    starts_on = months_before(month, 2 + number % 9)
    lines = _lines(terms, entity_code, starts_on=starts_on, number=number)
    is_capped = number % 5 == 4
    return Deal(
        key=terms.code,
        name=f"{client_names[terms.client_key]}, {terms.subject}",
        client_key=terms.client_key,
        entity_code=entity_code,
        currency=_CURRENCIES[entity_code],
        practice=("Data & AI", "Operations")[number % 2],
        billing_method=CAPPED if is_capped else TIME_AND_MATERIALS,
        purchase_order=f"PO-{starts_on:%y%m}-{number:02d}" if number % 3 == 0 else None,
        is_purchase_order_required=number % 6 == 0,
        rate_card=f"{entity_code} {starts_on.year}",
        tax_treatment="reverse_charge" if terms.client_key == "grazer-werke" else "standard",
        project_code=terms.code,
        cap_amount=sum((line.amount for line in lines), Decimal(0)) if is_capped else None,
        starts_on=starts_on,
        ends_on=months_after(month, ENDS_AFTER_MONTHS),
        owner_key="sales-de" if entity_code == MUNICH else "sales-uk",
        won_at=datetime.combine(starts_on, time(9), tzinfo=UTC),
        lines=lines,
        blocker=None,
    )


def _lines(
    terms: _Terms, entity_code: str, *, starts_on: date, number: int
) -> tuple[DealLine, ...]:
    lines = terms.lines or tuple(
        (
            terms.tasks[0 if category in _ON_FIRST_TASK else 1],
            category,
            _SOLD[category],
            _AGREED.get((terms.code, category), rate + 3 * (number % 4)),
        )
        for category, rate in _RATES[entity_code].items()
    )
    return tuple(
        DealLine(
            key=f"{terms.code}-{position}",
            task=task,
            labor_category=category,
            hours=Decimal(hours),
            rate=Decimal(rate).quantize(_CENT),
            rate_starts_on=starts_on,
        )
        for position, (task, category, hours, rate) in enumerate(lines, start=1)
    )


def make_team_assignments(
    *, running: Sequence[Deal], approvers: Mapping[str, tuple[str, str]]
) -> tuple[Assignment, ...]:
    """Return who of the teams works where: everybody on each contract of their team."""
    told = {contract.project_code: contract for contract in running}
    return tuple(
        Assignment(
            person_key=member.key,
            project_code=code,
            labor_category=member.labor_category,
            starts_on=told[code].starts_on,
            ends_on=told[code].ends_on,
            approver_key=approvers[team.entity_code][0],
            deputy_key=approvers[team.entity_code][1],
            is_late=False,
        )
        for team in TEAMS
        for member in team.members
        for code in team.contracts
    )

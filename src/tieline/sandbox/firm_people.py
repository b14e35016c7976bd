"""The people of the firm: names and e-mails of their country, roles, cost by date."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache

from faker import Faker

from tieline.sandbox.firm_agency import PROJECT as AGENCY_PROJECT
from tieline.sandbox.firm_calendar import (
    business_now,
    common_days,
    early_end,
    leaver_ends_on,
    month_before,
    months_after,
    months_before,
    next_workday,
)
from tieline.sandbox.firm_deals import ENDS_AFTER_MONTHS
from tieline.sandbox.firm_model import (
    ANALYST,
    CONSULTANT,
    DATA_ENGINEER,
    PROJECT_MANAGER,
    SENIOR_CONSULTANT,
    SENIOR_DATA_ENGINEER,
    Assignment,
    CostRate,
    Deal,
    Intercompany,
    Leave,
    Owner,
    Person,
)
from tieline.sandbox.firm_running import (
    BEGUN_PROJECT,
    BOSTON,
    KRAKOW,
    LOAD_PROJECT,
    LONDON,
    MEMBERS,
    MUNICH,
    TEAMS,
    make_team_assignments,
)

DOMAIN = "halden-roe.example"
_GERMAN = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    key: str
    entity_code: str
    role: str
    labor_category: str | None
    cost: int
    weekly_hours: str
    is_planned: bool = False
    is_from_agency: bool = False


_PLACES = tuple(
    _Place(
        key=key, entity_code=entity, role=role, labor_category=category, cost=cost, weekly_hours=h
    )
    for key, entity, role, category, cost, h in (
        ("de-director", "HR-DE", "Delivery Manager", None, 98, "40"),
        ("de-pm", "HR-DE", PROJECT_MANAGER, PROJECT_MANAGER, 82, "40"),
        ("de-senior-1", "HR-DE", SENIOR_CONSULTANT, SENIOR_CONSULTANT, 86, "40"),
        ("de-senior-2", "HR-DE", SENIOR_CONSULTANT, SENIOR_CONSULTANT, 84, "40"),
        ("de-consultant-1", "HR-DE", CONSULTANT, CONSULTANT, 58, "40"),
        ("de-part-time", "HR-DE", CONSULTANT, CONSULTANT, 60, "20"),
        ("de-engineer", "HR-DE", DATA_ENGINEER, DATA_ENGINEER, 66, "40"),
        ("de-senior-engineer", "HR-DE", SENIOR_DATA_ENGINEER, SENIOR_DATA_ENGINEER, 80, "40"),
        ("de-consultant-2", "HR-DE", CONSULTANT, CONSULTANT, 56, "40"),
        ("de-leaver", "HR-DE", DATA_ENGINEER, DATA_ENGINEER, 64, "40"),
        ("uk-director", "HR-UK", "Delivery Manager", None, 92, "37.5"),
        ("uk-pm", "HR-UK", PROJECT_MANAGER, PROJECT_MANAGER, 74, "37.5"),
        ("uk-senior", "HR-UK", SENIOR_CONSULTANT, SENIOR_CONSULTANT, 78, "37.5"),
        ("uk-consultant", "HR-UK", CONSULTANT, CONSULTANT, 52, "37.5"),
        ("uk-engineer", "HR-UK", DATA_ENGINEER, DATA_ENGINEER, 60, "37.5"),
        ("uk-senior-engineer", "HR-UK", SENIOR_DATA_ENGINEER, SENIOR_DATA_ENGINEER, 72, "37.5"),
    )
)
# The laboratory's team, which works up its cap; the load model's team, of whom some have not handed in
# everything; whoever the story needs in Boston and Krakow; and whom an agency sends.
_TEAMS = (
    *(("de-lab-senior", SENIOR_CONSULTANT, "40"),) * 3,
    *(("de-lab", CONSULTANT, "40"),) * 3,
    *(("de-load", CONSULTANT, hours) for hours in ("40", "40", "40", "40", "40", "25", "32.5")),
)
# What an hour of a team's people costs, in the money of their company; and of those it lends, in the borrower's.
_TEAM_COSTS = {MUNICH: 61, LONDON: 55, BOSTON: 74, KRAKOW: 130}
_LENT_COST = 26
_MORE_PLACES = (
    *(
        _Place(
            key=f"{key}-{number}",
            entity_code="HR-DE",
            role=category,
            labor_category=category,
            cost=62,
            weekly_hours=hours,
            is_planned=True,
        )
        for number, (key, category, hours) in enumerate(_TEAMS, start=1)
    ),
    *(
        _Place(
            key=f"de-agency-{number}",
            entity_code="HR-DE",
            role="Contractor",
            labor_category=DATA_ENGINEER,
            cost=70,
            weekly_hours="40",
            is_from_agency=True,
        )
        for number in range(1, 10)
    ),
    *(
        _Place(
            key=key,
            entity_code=entity,
            role=role,
            labor_category=category,
            cost=cost,
            weekly_hours="40",
        )
        for key, entity, role, category, cost in (
            ("de-lead", "HR-DE", "Delivery Manager", None, 90),
            ("us-director", "HR-US", "Delivery Manager", None, 105),
            ("us-senior", "HR-US", SENIOR_CONSULTANT, SENIOR_CONSULTANT, 95),
            *(
                (f"us-senior-{number}", "HR-US", SENIOR_CONSULTANT, SENIOR_CONSULTANT, 92)
                for number in range(2, 6)
            ),
            ("pl-director", "HR-PL", "Delivery Manager", None, 180),
            ("pl-analyst", "HR-PL", ANALYST, ANALYST, 120),
        )
    ),
    *(
        _Place(
            key=member.key,
            entity_code=member.home,
            role=member.labor_category,
            labor_category=member.labor_category,
            cost=_TEAM_COSTS[member.home],
            weekly_hours=member.weekly_hours,
        )
        for member in MEMBERS
    ),
)
APPROVERS = {
    "HR-DE": ("de-director", "de-pm"),
    "HR-UK": ("uk-director", "uk-pm"),
    "HR-US": ("us-director", "us-senior"),
}
LAB_SENIORS = ("de-lab-senior-1", "de-lab-senior-2", "de-lab-senior-3")
LAB_CONSULTANTS = ("de-lab-4", "de-lab-5", "de-lab-6")
LOAD_TEAM = tuple(f"de-load-{number}" for number in range(7, 14))
AGENCY = tuple(f"de-agency-{number}" for number in range(1, 10))
# Three of the load model's team hand in to a lead who is on leave.
_LED = dict.fromkeys(LOAD_TEAM[:3], ("de-lead", "de-director"))
COUNTRIES = {"HR-DE": "DE", "HR-UK": "GB", "HR-US": "US", "HR-PL": "PL"}

# Who works on what. Each line of a contract that a person may book is of the person's category,
# except where the story wants it otherwise: nobody agreed a price for the senior data engineer
# at the insurer.
_ASSIGNED = {
    "AUR-GRID": ("de-pm", "de-senior-1", "de-engineer", "de-senior-engineer"),
    "ISA-CLAIM": ("de-senior-2",),
    "KES-LIMS": (*LAB_SENIORS, *LAB_CONSULTANTS),
    "DON-STRAT": ("de-senior-2", "de-part-time", "de-consultant-1"),
    "NOR-ROUTE": ("de-engineer", "de-senior-2", "de-leaver", "uk-engineer", "pl-analyst"),
    LOAD_PROJECT: (
        *("de-senior-1", "de-senior-engineer", "de-consultant-1", "de-consultant-2"),
        *(*LAB_SENIORS, *LAB_CONSULTANTS, *LOAD_TEAM),
    ),
    BEGUN_PROJECT: ("de-senior-1",),
    AGENCY_PROJECT: AGENCY,
    "HAR-RISK": ("us-senior", "us-senior-2", "us-senior-3"),
    "FEN-ASSAY": ("us-senior-4", "us-senior-5"),
    "ALD-PRICE": ("uk-pm", "uk-senior", "uk-consultant", "uk-senior-engineer"),
    "THO-STOCK": ("uk-senior", "uk-consultant", "uk-engineer", "uk-senior-engineer"),
}


@lru_cache(maxsize=8)
def _faker(locale: str) -> Faker:
    return Faker(locale)


def faker_for(country_code: str, *, seed: str) -> Faker:
    """Return the source of names of a country, begun anew for the seed."""
    locales = {
        "DE": "de_DE",
        "GB": "en_GB",
        "AT": "de_AT",
        "CH": "de_CH",
        "US": "en_US",
        "PL": "pl_PL",
    }
    faker = _faker(locales[country_code])
    faker.seed_instance(seed)
    return faker


def ascii_word(text: str) -> str:
    """Write a name the way mail addresses do."""
    plain = unicodedata.normalize("NFKD", text.translate(_GERMAN))
    return "".join(c for c in plain.lower() if c.isascii() and c.isalnum())


def make_people(*, seed: int, month: date) -> tuple[Person, ...]:
    """Return the people of all companies."""
    leaves_on = leaver_ends_on(month)
    dice = random.Random(f"people:{seed}")
    numbers: dict[str, int] = {}
    taken: set[str] = set()
    people = []
    for place in (*_PLACES, *_MORE_PLACES):
        country = COUNTRIES[place.entity_code]
        first, last = _free_name(country, f"{seed}:{place.key}", taken)
        numbers[place.entity_code] = numbers.get(place.entity_code, 100) + 1
        began = date(month.year - dice.randint(2, 7), dice.randint(1, 12), 1)
        people.append(
            Person(
                key=place.key,
                first_name=first,
                last_name=last,
                email=f"{ascii_word(first)}.{ascii_word(last)}@{DOMAIN}",
                employee_code=f"{place.entity_code}-{numbers[place.entity_code]}",
                entity_code=place.entity_code,
                country_code=country,
                role=place.role,
                labor_category=place.labor_category,
                weekly_hours=Decimal(place.weekly_hours),
                employed_from=began,
                employed_to=leaves_on if place.key == "de-leaver" else None,
                cost_rates=_cost_rates(place.cost, began=began, month=month),
                is_planned=place.is_planned,
                is_from_agency=place.is_from_agency,
            )
        )
    return tuple(people)


def _free_name(country: str, seed: str, taken: set[str]) -> tuple[str, str]:
    faker = faker_for(country, seed=seed)
    while True:
        first, last = faker.first_name(), faker.last_name()
        if ascii_word(last) not in taken and len(ascii_word(last)) > 2:
            taken.add(ascii_word(last))
            return first, last


def _cost_rates(cost: int, *, began: date, month: date) -> tuple[CostRate, ...]:
    raised_on = month_before(month_before(month))
    return (
        CostRate(from_on=began, amount=Decimal(cost)),
        CostRate(from_on=raised_on, amount=(Decimal(cost) * Decimal("1.04")).quantize(Decimal(1))),
    )


def make_owners(*, seed: int) -> tuple[Owner, ...]:
    """Return the people in sales."""
    owners = []
    for number, (key, country) in enumerate((("sales-de", "DE"), ("sales-uk", "GB"))):
        faker = faker_for(country, seed=f"{seed}:{key}")
        first, last = faker.first_name(), faker.last_name()
        owners.append(
            Owner(
                key=key,
                owner_id=41_629_001 + number,
                first_name=first,
                last_name=last,
                email=f"{ascii_word(first)}.{ascii_word(last)}.sales@{DOMAIN}",
            )
        )
    return tuple(owners)


def make_assignments(
    *,
    people: tuple[Person, ...],
    deals: tuple[Deal, ...],
    running: tuple[Deal, ...],
    month: date,
) -> tuple[Assignment, ...]:
    """Return who works where in which role, on deals and on contracts that run."""
    categories = {person.key: person.labor_category for person in people}
    sold = {deal.project_code: deal for deal in (*deals, *running)}
    ends_on = months_after(month, ENDS_AFTER_MONTHS)
    of_the_story = tuple(
        Assignment(
            person_key=key,
            project_code=project,
            labor_category=categories[key] or "",
            starts_on=sold[project].starts_on,
            ends_on=early_end(month) if (project, key) == EARLY_END else ends_on,
            approver_key=_approvers(key, sold[project])[0],
            deputy_key=_approvers(key, sold[project])[1],
            is_late=key in _STAFFED_LATE,
        )
        for project, keys in _ASSIGNED.items()
        for key in keys
    )
    return of_the_story + make_team_assignments(running=running, approvers=APPROVERS)


EARLY_END = ("NOR-ROUTE", "de-senior-2")


# Krakow helps out once the project runs; nobody agreed it with Munich.
_STAFFED_LATE = ("pl-analyst",)


def _approvers(person_key: str, deal: Deal) -> tuple[str, str]:
    return _LED.get(person_key) or APPROVERS[deal.entity_code]


def make_leave(*, month: date) -> tuple[Leave, ...]:
    """Return the days on which people are away."""
    days, today = common_days(month), business_now(month).date()
    return (
        Leave(person_key="de-engineer", starts_on=days[3], ends_on=days[5]),
        Leave(person_key="uk-pm", starts_on=days[10], ends_on=days[12]),
        Leave(person_key="de-lead", starts_on=days[-1], ends_on=next_workday(today, after=4)),
    )


def _code_of(people: tuple[Person, ...], key: str) -> str:
    return next(person.employee_code for person in people if person.key == key)


def make_intercompany(*, people: tuple[Person, ...], month: date) -> tuple[Intercompany, ...]:
    """Return who of London may work for Munich, and who of Krakow for London."""
    agreed: list[tuple[str, str, str, str, Decimal | None]] = [
        ("uk-engineer", MUNICH, "NOR-ROUTE", "HR-DE-901", None)
    ]
    agreed += [
        (
            member.key,
            team.entity_code,
            team.contracts[0],
            _code_of(people, member.key),
            Decimal(_LENT_COST),
        )
        for team in TEAMS
        for member in team.members
        if member.home != team.entity_code
    ]
    return tuple(
        Intercompany(
            person_key=key,
            entity_code=entity_code,
            employee_code=employee_code,
            project_code=project_code,
            starts_on=month if cost is None else months_before(month, 12),
            ends_on=months_after(month, ENDS_AFTER_MONTHS),
            cost=cost,
        )
        for key, entity_code, project_code, employee_code, cost in agreed
    )

"""Clients and deals: those that can start at once, and three that must not."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import stdnum.at.uid
import stdnum.ch.vat
import stdnum.de.vat
import stdnum.gb.vat
import stdnum.pl.nip
import stdnum.us.ein

from tieline.sandbox.firm_calendar import months_after
from tieline.sandbox.firm_model import (
    ANALYST,
    CONSULTANT,
    DATA_ENGINEER,
    PROJECT_MANAGER,
    SENIOR_CONSULTANT,
    SENIOR_DATA_ENGINEER,
    Client,
    Deal,
    DealLine,
)

if TYPE_CHECKING:
    from faker import Faker

ENDS_AFTER_MONTHS = 7
RATE_CHANGE_DAY = 16

TIME_AND_MATERIALS = "time_and_materials"
CAPPED = "capped_time_and_materials"
FIXED_FEE = "fixed_fee"


def valid_vat(country_code: str, *, seed: str) -> str:
    """Return a tax number that passes its country's own check."""
    dice = random.Random(f"vat:{seed}")
    make, is_valid = _VAT[country_code]
    while True:
        number = make(dice)
        if is_valid(number):
            return number


def _digits(dice: random.Random, count: int) -> str:
    return str(dice.randint(10 ** (count - 1), 10**count - 1))


_VAT: dict[str, tuple[Callable[[random.Random], str], Callable[[str], bool]]] = {
    "DE": (lambda dice: f"DE{_digits(dice, 9)}", stdnum.de.vat.is_valid),
    "GB": (lambda dice: f"GB{_digits(dice, 9)}", stdnum.gb.vat.is_valid),
    "AT": (lambda dice: f"ATU{_digits(dice, 8)}", stdnum.at.uid.is_valid),
    "PL": (lambda dice: f"PL{_digits(dice, 10)}", stdnum.pl.nip.is_valid),
    "US": (
        lambda dice: f"{dice.randint(10, 99)}-{dice.randint(1, 9999999):07d}",
        stdnum.us.ein.is_valid,
    ),
    "CH": (lambda dice: f"CHE{_digits(dice, 9)}MWST", stdnum.ch.vat.is_valid),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClientPlan:
    key: str
    crm_name: str
    erp_name: str | None
    country_code: str
    city: str
    postal_code: str
    domain: str
    street: str | None = None
    parent_key: str | None = None
    crm_has_vat: bool = True
    has_deal: bool = True


_CLIENTS = (
    _ClientPlan(
        key="aurelia",
        crm_name="Aurelia Energie AG",
        erp_name=None,
        country_code="DE",
        city="München",
        postal_code="80807",
        domain="aurelia-energie.example",
    ),
    _ClientPlan(
        key="isarwerk",
        crm_name="Isarwerk Versicherung AG",
        erp_name="Isarwerk Versicherung AG",
        country_code="DE",
        city="München",
        postal_code="80331",
        domain="isarwerk.example",
    ),
    _ClientPlan(
        key="kessler-group",
        crm_name="Kessler Gruppe SE",
        erp_name="Kessler Gruppe SE",
        country_code="DE",
        city="Stuttgart",
        postal_code="70173",
        domain="kessler-gruppe.example",
        has_deal=False,
    ),
    _ClientPlan(
        key="kessler-pharma",
        crm_name="Kessler Pharma GmbH",
        erp_name=None,
        country_code="DE",
        city="Ulm",
        postal_code="89073",
        domain="kessler-pharma.example",
        parent_key="kessler-group",
    ),
    _ClientPlan(
        key="donautal",
        crm_name="Donautal Kliniken GmbH",
        erp_name=None,
        country_code="AT",
        city="Linz",
        postal_code="4020",
        domain="donautal-kliniken.example",
    ),
    _ClientPlan(
        key="nordlicht",
        crm_name="Nordlicht Logistik GmbH & Co. KG",
        erp_name=None,
        country_code="DE",
        city="Hamburg",
        postal_code="20457",
        domain="nordlicht-logistik.example",
    ),
    # The CRM knows no tax number and spells the name its own way; only a person can tell.
    _ClientPlan(
        key="brandt",
        crm_name="BRANDT Maschinen-Bau",
        erp_name="Brandt Maschinenbau AG",
        country_code="DE",
        city="Augsburg",
        postal_code="86153",
        domain="brandt-maschinenbau.example",
        crm_has_vat=False,
    ),
    _ClientPlan(
        key="saentis",
        crm_name="Säntis Privatbank AG",
        erp_name=None,
        country_code="CH",
        city="St. Gallen",
        postal_code="9000",
        domain="saentis-privatbank.example",
    ),
    # Near-duplicate names, but the same tax number: this one links by itself.
    _ClientPlan(
        key="aldgate",
        crm_name="Aldgate Insurance",
        erp_name="Aldgate Insurance plc",
        country_code="GB",
        city="London",
        postal_code="EC3N 1AB",
        street="22 Aldgate High Street",
        domain="aldgate-insurance.example",
    ),
    _ClientPlan(
        key="thornbury",
        crm_name="Thornbury Retail Ltd",
        erp_name=None,
        country_code="GB",
        city="Bristol",
        postal_code="BS1 4ST",
        street="9 Harbourside Walk",
        domain="thornbury-retail.example",
    ),
    _ClientPlan(
        key="northmoor",
        crm_name="Northmoor Council",
        erp_name=None,
        country_code="GB",
        city="Leeds",
        postal_code="LS1 3AD",
        street="Civic Hall, Calverley Row",
        domain="northmoor-council.example",
    ),
)
_MORE_CLIENTS = (
    _ClientPlan(
        key="voltwerk",
        crm_name="Voltwerk Netz GmbH",
        erp_name="Voltwerk Netz GmbH",
        country_code="DE",
        city="Nürnberg",
        postal_code="90402",
        domain="voltwerk-netz.example",
    ),
    _ClientPlan(
        key="lechtal",
        crm_name="Lechtal Papier AG",
        erp_name="Lechtal Papier AG",
        country_code="DE",
        city="Landsberg am Lech",
        postal_code="86899",
        domain="lechtal-papier.example",
    ),
    _ClientPlan(
        key="sternberg",
        crm_name="Sternberg Handel SE",
        erp_name="Sternberg Handel SE",
        country_code="DE",
        city="Leipzig",
        postal_code="04109",
        domain="sternberg-handel.example",
    ),
    _ClientPlan(
        key="harborline",
        crm_name="Harborline Mutual Inc.",
        erp_name=None,
        country_code="US",
        city="Boston",
        postal_code="02110",
        street="200 Seaport Row",
        domain="harborline-mutual.example",
    ),
)
# Clients of other years, in the CRM and in the ERP: key, name in the CRM, name in the ERP, where.
_OTHER_CLIENTS = tuple(
    _ClientPlan(
        key=key,
        crm_name=crm_name,
        erp_name=erp_name or crm_name,
        country_code=country_code,
        city=city,
        postal_code=postal_code,
        domain=f"{key}.example",
        has_deal=False,
    )
    for key, crm_name, erp_name, country_code, city, postal_code in (
        # Two spellings of one name, and one tax number: it links by itself.
        (
            *("rheintor", "Rheintor Logistik GmbH", "Rhein-Tor Logistik GmbH & Co. KG"),
            *("DE", "Duisburg", "47119"),
        ),
        ("allgaeuer-molkerei", "Allgäuer Molkerei eG", "", "DE", "Kempten", "87435"),
        ("hafenwind", "Hafenwind Energie GmbH", "", "DE", "Bremerhaven", "27568"),
        ("falkenried", "Falkenried Anlagenbau GmbH", "", "DE", "Hamburg", "20251"),
        ("saalebau", "Saalebau AG", "", "DE", "Halle", "06108"),
        ("spreequell", "Spreequell Wasserwerke GmbH", "", "DE", "Berlin", "10179"),
        ("weserstahl", "Weserstahl Handel GmbH", "", "DE", "Bremen", "28195"),
        ("taunus-bank", "Taunus Bank AG", "", "DE", "Frankfurt am Main", "60311"),
        ("schwarzwald-uhren", "Schwarzwald Uhren GmbH", "", "DE", "Furtwangen", "78120"),
        ("grazer-werke", "Grazer Werke AG", "", "AT", "Graz", "8010"),
        ("pennine-rail", "Pennine Rail Services Ltd", "", "GB", "Sheffield", "S1 2BP"),
        ("severn-water", "Severn Valley Water plc", "", "GB", "Worcester", "WR1 2LU"),
        ("kestrel-media", "Kestrel Media Ltd", "", "GB", "Manchester", "M2 4WU"),
        ("harrow-foods", "Harrow Foods Ltd", "", "GB", "Norwich", "NR2 1TF"),
        ("tamar-shipping", "Tamar Shipping Ltd", "", "GB", "Plymouth", "PL1 2AA"),
        ("clyde-homes", "Clyde Homes Ltd", "", "GB", "Glasgow", "G2 1DU"),
        ("cotswold-care", "Cotswold Care Group Ltd", "", "GB", "Cheltenham", "GL50 1HX"),
        ("berkshire-tools", "Berkshire Tools LLC", "", "US", "Pittsfield", "01201"),
        ("fenway-labs", "Fenway Laboratories Co.", "", "US", "Cambridge", "02139"),
        ("cape-ferry", "Cape Ferry Lines Inc.", "", "US", "Hyannis", "02601"),
        ("merrimack-paper", "Merrimack Paper Inc.", "", "US", "Lowell", "01852"),
    )
)
_TITLES = {"DE": "Leitung Einkauf", "AT": "Leitung Einkauf", "CH": "Leitung Einkauf"}


def make_clients(*, seed: int, faker_for: Callable[..., Faker]) -> tuple[Client, ...]:
    """Return the clients of both companies."""
    return tuple(
        _client(plan, seed, faker_for) for plan in (*_CLIENTS, *_MORE_CLIENTS, *_OTHER_CLIENTS)
    )


def _client(plan: _ClientPlan, seed: int, faker_for: Callable[..., Faker]) -> Client:
    faker = faker_for(plan.country_code, seed=f"{seed}:{plan.key}")
    first, last = faker.first_name(), faker.last_name()
    return Client(
        key=plan.key,
        crm_name=plan.crm_name,
        crm_has_vat=plan.crm_has_vat,
        erp_name=plan.erp_name,
        vat_number=valid_vat(plan.country_code, seed=f"{seed}:{plan.key}"),
        domain=plan.domain,
        street=faker.street_address() if plan.street is None else plan.street,
        postal_code=plan.postal_code,
        city=plan.city,
        country_code=plan.country_code,
        parent_key=plan.parent_key,
        has_deal=plan.has_deal,
        contact_first_name=first,
        contact_last_name=last,
        contact_email=f"einkauf@{plan.domain}"
        if plan.country_code not in ("GB", "US")
        else f"procurement@{plan.domain}",
        contact_title=_TITLES.get(plan.country_code, "Head of Procurement"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _DealPlan:
    code: str
    name: str
    client_key: str
    entity_code: str
    practice: str
    lines: tuple[tuple[str, str, int, int], ...]
    billing_method: str = TIME_AND_MATERIALS
    currency: str | None = None
    purchase_order: str | None = None
    is_purchase_order_required: bool = False
    tax_treatment: str = "standard"
    cap_amount: str | None = None
    blocker: str | None = None


# task, labor category, hours sold, price per hour
_DEALS = (
    _DealPlan(
        code="AUR-GRID",
        name="Aurelia Energie, grid analytics",
        client_key="aurelia",
        entity_code="HR-DE",
        practice="Data & AI",
        purchase_order="AE-4500117",
        is_purchase_order_required=True,
        lines=(
            ("Discovery", SENIOR_CONSULTANT, 240, 175),
            ("Data platform", DATA_ENGINEER, 320, 140),
            ("Data platform", SENIOR_DATA_ENGINEER, 280, 165),
            ("Project management", PROJECT_MANAGER, 100, 155),
        ),
    ),
    _DealPlan(
        code="ISA-CLAIM",
        name="Isarwerk Versicherung, claims automation",
        client_key="isarwerk",
        entity_code="HR-DE",
        practice="Operations",
        lines=(
            ("Claims model", SENIOR_CONSULTANT, 200, 150),
            ("Claims model", SENIOR_CONSULTANT, 300, 160),
            ("Rollout", CONSULTANT, 400, 120),
            ("Project management", PROJECT_MANAGER, 120, 150),
        ),
    ),
    _DealPlan(
        code="KES-LIMS",
        name="Kessler Pharma, laboratory data",
        client_key="kessler-pharma",
        entity_code="HR-DE",
        practice="Data & AI",
        billing_method=CAPPED,
        cap_amount="120000.00",
        lines=(
            ("Process design", SENIOR_CONSULTANT, 450, 180),
            ("Process design", CONSULTANT, 400, 150),
        ),
    ),
    _DealPlan(
        code="DON-STRAT",
        name="Donautal Kliniken, data strategy",
        client_key="donautal",
        entity_code="HR-DE",
        practice="Data & AI",
        billing_method=FIXED_FEE,
        tax_treatment="reverse_charge",
        lines=(
            ("Data strategy", SENIOR_CONSULTANT, 180, 160),
            ("Data strategy", CONSULTANT, 160, 120),
        ),
    ),
    _DealPlan(
        code="NOR-ROUTE",
        name="Nordlicht Logistik, route engine",
        client_key="nordlicht",
        entity_code="HR-DE",
        practice="Operations",
        purchase_order="NL-23-0815",
        lines=(
            ("Route engine", DATA_ENGINEER, 520, 135),
            ("Network analysis", SENIOR_CONSULTANT, 160, 180),
            ("Network analysis", ANALYST, 120, 95),
        ),
    ),
    _DealPlan(
        code="ALD-PRICE",
        name="Aldgate Insurance, pricing model",
        client_key="aldgate",
        entity_code="HR-UK",
        practice="Data & AI",
        purchase_order="PO-88213",
        is_purchase_order_required=True,
        lines=(
            ("Pricing model", SENIOR_CONSULTANT, 280, 140),
            ("Pricing model", CONSULTANT, 300, 105),
            ("Project management", PROJECT_MANAGER, 220, 130),
        ),
    ),
    _DealPlan(
        code="THO-STOCK",
        name="Thornbury Retail, stock forecast",
        client_key="thornbury",
        entity_code="HR-UK",
        practice="Operations",
        lines=(
            ("Stock forecast", SENIOR_CONSULTANT, 200, 135),
            ("Stock forecast", CONSULTANT, 200, 100),
            ("Data feeds", DATA_ENGINEER, 240, 115),
            ("Data feeds", SENIOR_DATA_ENGINEER, 320, 135),
        ),
    ),
    _DealPlan(
        code="HAR-RISK",
        name="Harborline Mutual, underwriting model",
        client_key="harborline",
        entity_code="HR-US",
        practice="Data & AI",
        lines=(("Underwriting model", SENIOR_CONSULTANT, 400, 190),),
    ),
    _DealPlan(
        code="FEN-ASSAY",
        name="Fenway Laboratories, assay data",
        client_key="fenway-labs",
        entity_code="HR-US",
        practice="Data & AI",
        lines=(("Assay data", SENIOR_CONSULTANT, 600, 185),),
    ),
    _DealPlan(
        code="NOM-ASSET",
        name="Northmoor Council, asset register",
        client_key="northmoor",
        entity_code="HR-UK",
        practice="Operations",
        is_purchase_order_required=True,
        blocker="purchase_order_missing",
        lines=(("Asset register", CONSULTANT, 800, 120),),
    ),
    _DealPlan(
        code="BRA-SPARE",
        name="BRANDT Maschinen-Bau, spare parts planning",
        client_key="brandt",
        entity_code="HR-DE",
        practice="Operations",
        blocker="client_near_duplicate",
        lines=(
            ("Planning model", SENIOR_CONSULTANT, 640, 175),
            ("Planning model", CONSULTANT, 600, 120),
        ),
    ),
    _DealPlan(
        code="SAE-RISK",
        name="Säntis Privatbank, risk reporting",
        client_key="saentis",
        entity_code="HR-DE",
        practice="Data & AI",
        currency="CHF",
        blocker="currency_not_billable",
        lines=(("Risk reporting", SENIOR_CONSULTANT, 320, 190),),
    ),
)
_CURRENCIES = {"HR-DE": "EUR", "HR-UK": "GBP", "HR-US": "USD"}


def make_deals(*, month: date) -> tuple[Deal, ...]:
    """Return the deals, the ones that can start first."""
    return tuple(_deal(plan, month, number) for number, plan in enumerate(_DEALS))


def _deal(plan: _DealPlan, month: date, number: int) -> Deal:
    won_on = month - timedelta(days=6)
    return Deal(
        key=plan.code,
        name=plan.name,
        client_key=plan.client_key,
        entity_code=plan.entity_code,
        currency=plan.currency or _CURRENCIES[plan.entity_code],
        practice=plan.practice,
        billing_method=plan.billing_method,
        purchase_order=plan.purchase_order,
        is_purchase_order_required=plan.is_purchase_order_required,
        rate_card=f"{plan.entity_code} {month.year}",
        tax_treatment=plan.tax_treatment,
        project_code=plan.code,
        cap_amount=Decimal(plan.cap_amount) if plan.cap_amount else None,
        starts_on=month,
        ends_on=months_after(month, ENDS_AFTER_MONTHS),
        owner_key="sales-de" if plan.entity_code == "HR-DE" else "sales-uk",
        won_at=datetime.combine(won_on, time(9, 20), tzinfo=UTC) + timedelta(minutes=11 * number),
        lines=_lines(plan, month),
        blocker=plan.blocker,
    )


def _lines(plan: _DealPlan, starts_on: date) -> tuple[DealLine, ...]:
    seen: set[tuple[str, str]] = set()
    lines = []
    for number, (task, category, hours, rate) in enumerate(plan.lines, start=1):
        is_second = (task, category) in seen
        seen.add((task, category))
        lines.append(
            DealLine(
                key=f"{plan.code}-{number}",
                task=task,
                labor_category=category,
                hours=Decimal(hours),
                rate=Decimal(rate).quantize(Decimal("0.01")),
                rate_starts_on=starts_on.replace(day=RATE_CHANGE_DAY) if is_second else starts_on,
            )
        )
    return tuple(lines)

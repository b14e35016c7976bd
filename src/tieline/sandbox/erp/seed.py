"""Enter a firm into Tryton: companies, charts, periods, users, clients, people, products.

The firm is JSON; what may be left out is read with ``.get``::

    companies: [{code, name, currency, timezone, fiscal_year_start: "MM-DD" or "4-4-5", opens_on,
                 closes_on, country?, street?, city?, postal_code?, vat?, tax_rate?}]
    clients: [{code, name, country, vat?, street?, city?, postal_code?}]
    employees: [{code, name, email, company_code, starts_on?, ends_on?,
                 cost_rates?: [{from_on, amount}]}]
    labor_categories: [name] or [{code, name}]
    projects?: [{code, name, company_code, client_code,
                 tasks: [{name, labor_category, rate, starts_on}]}]

Fiscal years and their periods, months or whole weeks, cover [opens_on, closes_on); ``ends_on`` of an
employee is the first day after the employment, as everywhere outside Tryton.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pycountry
from babel.numbers import get_currency_name, get_currency_symbol

from tieline.kernel.money import currency_digits
from tieline.kernel.periods import next_month, weeks_of_year
from tieline.sandbox.erp.rpc import RpcSession

Row = Mapping[str, Any]

FIXED_FEE_CODE = "FIXED-FEE"
GENERAL_LABOR_CODE = "LABOR"
INTEGRATION_GROUPS = (
    "Currency Administration",
    "Party Administration",
    "Company Administration",
    "Employee Administration",
    "Accounting",
    "Product Administration",
    "Timesheet Administration",
    "Project Administration",
    "Project Invoice",
    "Sales",
    "Sales Administrator",
)
PAYMENT_DAYS = 30
WEEKS = "4-4-5"
_DAY = timedelta(days=1)
_YEARS_MAX = 40
_EU = re.compile(
    "AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|GR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededFirm:
    """Tell Tryton's own codes for what was entered, and the logins of the integration users."""

    companies: Mapping[str, int]
    logins: Mapping[str, str]
    passwords: Mapping[str, str] = field(repr=False)
    clients: Mapping[str, int]
    employees: Mapping[str, int]
    products: Mapping[str, int]


def seed_firm(*, session: RpcSession, firm: Row) -> SeededFirm:
    """Enter the firm as the administrator the session belongs to."""
    countries = _countries(session=session, firm=firm)
    currencies = _currencies(session=session, firm=firm)
    session.call("model.res.user.write", [1], {"company_filter": "all"})
    companies: dict[str, int] = {}
    accounts: dict[int, dict[str, int]] = {}
    for row in firm["companies"]:
        company = _company(session=session, row=row, currencies=currencies, countries=countries)
        companies[row["code"]] = company
        accounts[company] = _chart(session=session, company=company)
        _fiscal_years(session=session, company=company, row=row)
    _payment_terms(session=session, companies=list(companies.values()))
    category = _category(
        session=session, rows=firm["companies"], companies=companies, accounts=accounts
    )
    products = _products(session=session, firm=firm, category=category)
    clients = _clients(session=session, rows=firm.get("clients", []), countries=countries)
    employees = _employees(session=session, rows=firm.get("employees", []), companies=companies)
    _projects(
        session=session,
        rows=firm.get("projects", []),
        companies=companies,
        clients=clients,
        products=_labor_products(firm, products),
    )
    logins, passwords = _users(session=session, companies=companies)
    session.context = {}
    return SeededFirm(
        companies=companies,
        logins=logins,
        passwords=passwords,
        clients=clients,
        employees=employees,
        products=products,
    )


def fiscal_years(*, start: str, opens_on: date, closes_on: date) -> list[tuple[date, date]]:
    """Return the half-open fiscal years, begun each ``MM-DD``, that cover [opens_on, closes_on)."""
    month, day = (int(word) for word in start.split("-"))
    begins_on = date(opens_on.year, month, day)
    if begins_on > opens_on:
        begins_on = date(opens_on.year - 1, month, day)
    found = []
    while begins_on < closes_on:
        ends_on = date(begins_on.year + 1, month, day)
        found.append((begins_on, ends_on))
        begins_on = ends_on
        if len(found) > _YEARS_MAX:
            raise ValueError(f"{opens_on} to {closes_on} is more than {_YEARS_MAX} fiscal years")
    return found


def years_of_weeks(*, opens_on: date, closes_on: date) -> list[list[tuple[date, date]]]:
    """Return the periods of each year of whole weeks that covers a day of [opens_on, closes_on)."""
    years = [weeks_of_year(year) for year in range(opens_on.year - 1, closes_on.year + 2)]
    return [list(year) for year in years if year[0][0] < closes_on and year[-1][1] > opens_on]


def months_within(*, starts_on: date, ends_on: date) -> list[tuple[date, date]]:
    """Return the half-open calendar months of a span, cut at its ends."""
    found = []
    while starts_on < ends_on:
        stops_on = min(next_month(starts_on), ends_on)
        found.append((starts_on, stops_on))
        starts_on = stops_on
    return found


def _countries(*, session: RpcSession, firm: Row) -> dict[str, int]:
    rows = [*firm["companies"], *firm.get("clients", [])]
    codes = sorted({row["country"] for row in rows if row.get("country")})
    wanted = [
        {
            "name": country.name,
            "code": country.alpha_2,
            "code3": country.alpha_3,
            "code_numeric": country.numeric,
        }
        for country in (pycountry.countries.get(alpha_2=code) for code in codes)
        if country is not None
    ]
    return dict(
        zip(
            [row["code"] for row in wanted],
            session.create("country.country", wanted),
            strict=True,
        )
    )


def _currencies(*, session: RpcSession, firm: Row) -> dict[str, int]:
    codes = sorted({row["currency"] for row in firm["companies"]})
    rows = [
        {
            "name": get_currency_name(code, locale="en"),
            "code": code,
            "symbol": get_currency_symbol(code, locale="en"),
            "digits": currency_digits(code),
            "rounding": Decimal(1).scaleb(-currency_digits(code)),
        }
        for code in codes
    ]
    return dict(zip(codes, session.create("currency.currency", rows), strict=True))


def _company(
    *,
    session: RpcSession,
    row: Row,
    currencies: dict[str, int],
    countries: dict[str, int],
) -> int:
    party = session.create("party.party", [_party(row, countries)])[0]
    values = {
        "party": party,
        "currency": currencies[row["currency"]],
        "timezone": row.get("timezone"),
    }
    company = session.create("company.company", [values])[0]
    session.write("res.user", [1], {"companies": [["add", [company]]], "company": company})
    session.context = {"company": company, "company_filter": "all"}
    return company


def _chart(*, session: RpcSession, company: int) -> dict[str, int]:
    template = session.find("account.account.template", [["parent", "=", None]], ["id"])[0]["id"]
    wizard = "wizard.account.create_chart"
    number, _, _ = session.call(f"{wizard}.create")
    data: dict[str, Any] = {
        "start": {},
        "account": {"company": company, "account_template": template},
    }
    session.call(f"{wizard}.execute", number, data, "create_account")
    found = {
        kind: session.find(
            "account.account",
            [["company", "=", company], ["closed", "!=", True], *domain],
            ["id", "name"],
        )[0]["id"]
        for kind, domain in _ACCOUNT_DOMAINS.items()
    }
    data["properties"] = {
        "company": company,
        "account_receivable": found["receivable"],
        "account_payable": found["payable"],
    }
    session.call(f"{wizard}.execute", number, data, "create_properties")
    session.call(f"{wizard}.delete", number)
    return found


_ACCOUNT_DOMAINS: Mapping[str, list[Any]] = {
    "receivable": [["type.receivable", "=", True], ["party_required", "=", True]],
    "payable": [["type.payable", "=", True], ["party_required", "=", True]],
    "revenue": [["type.revenue", "=", True]],
    "tax": [
        ["type.statement", "=", "balance"],
        ["type.receivable", "!=", True],
        ["type.payable", "!=", True],
        ["name", "ilike", "%tax%"],
    ],
}


def _fiscal_years(*, session: RpcSession, company: int, row: Row) -> None:
    years = _periods_of_years(row)
    kinds = {
        found["name"]: found["id"]
        for found in session.find(
            "ir.sequence.type", [["name", "in", ["Account Move", "Invoice"]]], ["name"]
        )
    }
    sequences = session.create(
        "ir.sequence.strict",
        [
            {
                "name": f"{row['code']} {kind} {_year_of(year)}",
                "sequence_type": kinds[kind],
                "company": company,
                "prefix": f"{row['code']}-{_year_of(year)}-",
                "padding": 5,
            }
            for year in years
            for kind in ("Account Move", "Invoice")
        ],
    )
    session.create(
        "account.fiscalyear",
        [
            _fiscal_year(company=company, year=year, moves=moves, invoices=invoices)
            for year, moves, invoices in zip(years, sequences[::2], sequences[1::2], strict=True)
        ],
    )


def _periods_of_years(row: Row) -> list[list[tuple[date, date]]]:
    start = row.get("fiscal_year_start", "01-01")
    opens_on, closes_on = (date.fromisoformat(row[name]) for name in ("opens_on", "closes_on"))
    if start == WEEKS:
        return years_of_weeks(opens_on=opens_on, closes_on=closes_on)
    return [
        months_within(starts_on=first_on, ends_on=after_on)
        for first_on, after_on in fiscal_years(start=start, opens_on=opens_on, closes_on=closes_on)
    ]


def _year_of(periods: list[tuple[date, date]]) -> int:
    # A year of whole weeks may begin in the December before: a day of its first period tells which it is.
    return periods[0][1].year


def _fiscal_year(
    *, company: int, year: list[tuple[date, date]], moves: int, invoices: int
) -> dict[str, Any]:
    starts_on, ends_on = year[0][0], year[-1][1]
    numbering = {
        f"{direction}_{document}_sequence": invoices
        for direction in ("in", "out")
        for document in ("invoice", "credit_note")
    }
    periods = [
        {
            "name": first.strftime("%Y-%m") if first.day == 1 else f"from {first.isoformat()}",
            "start_date": first,
            "end_date": after - _DAY,
            "type": "standard",
        }
        for first, after in year
    ]
    return {
        "name": f"{starts_on:%Y-%m} to {ends_on - _DAY:%Y-%m}",
        "start_date": starts_on,
        "end_date": ends_on - _DAY,
        "company": company,
        "move_sequence": moves,
        "invoice_sequences": [["create", [{"company": company, **numbering}]]],
        "periods": [["create", periods]],
    }


def _payment_terms(*, session: RpcSession, companies: list[int]) -> None:
    line = {
        "type": "remainder",
        "relativedeltas": [["create", [{"days": PAYMENT_DAYS}]]],
    }
    term = session.create(
        "account.invoice.payment_term",
        [{"name": f"{PAYMENT_DAYS} days net", "lines": [["create", [line]]]}],
    )[0]
    for company in companies:
        session.write(
            "account.configuration",
            [1],
            {"default_customer_payment_term": term},
            company=company,
        )


def _category(
    *,
    session: RpcSession,
    rows: list[Row],
    companies: dict[str, int],
    accounts: dict[int, dict[str, int]],
) -> int:
    taxes = [
        _tax(session=session, company=companies[row["code"]], row=row, accounts=accounts)
        for row in rows
        if row.get("tax_rate")
    ]
    category = session.create(
        "product.category",
        [{"name": "Services", "accounting": True, "customer_taxes": [["add", taxes]]}],
    )[0]
    for company, found in accounts.items():
        session.write(
            "product.category",
            [category],
            {"account_revenue": found["revenue"]},
            company=company,
        )
    return category


def _tax(
    *, session: RpcSession, company: int, row: Row, accounts: dict[int, dict[str, int]]
) -> int:
    rate = Decimal(str(row["tax_rate"]))
    name = f"VAT {(rate * 100).normalize():f} %"
    values = {
        "name": name,
        "description": name,
        "company": company,
        "type": "percentage",
        "rate": rate,
        "invoice_account": accounts[company]["tax"],
        "credit_note_account": accounts[company]["tax"],
    }
    return session.create("account.tax", [values], company=company)[0]


def _products(*, session: RpcSession, firm: Row, category: int) -> dict[str, int]:
    units = {
        found["symbol"]: found["id"]
        for found in session.find("product.uom", [["symbol", "in", ["h", "u"]]], ["symbol"])
    }
    wanted = [(GENERAL_LABOR_CODE, "Labor", "h"), (FIXED_FEE_CODE, "Fixed fee", "u")]
    for entry in firm.get("labor_categories", []):
        labor = {"code": entry, "name": entry} if isinstance(entry, str) else entry
        wanted.append((labor["code"], labor["name"], "h"))
    rows = [
        {
            "name": name,
            "type": "service",
            "default_uom": units[unit],
            "list_price": Decimal(0),
            "account_category": category,
            "salable": True,
            "sale_uom": units[unit],
            "products": [["create", [{"suffix_code": code}]]],
        }
        for code, name, unit in wanted
    ]
    session.create("product.template", rows)
    return {
        found["code"]: found["id"]
        for found in session.find("product.product", [["code", "!=", None]], ["code"])
    }


def _clients(*, session: RpcSession, rows: list[Row], countries: dict[str, int]) -> dict[str, int]:
    numbers = session.create("party.party", [_party(row, countries) for row in rows])
    return dict(zip([row["code"] for row in rows], numbers, strict=True))


def _party(row: Row, countries: dict[str, int]) -> dict[str, Any]:
    address = {
        "street": row.get("street"),
        "city": row.get("city"),
        "postal_code": row.get("postal_code"),
        "country": countries.get(row.get("country", "")),
    }
    values: dict[str, Any] = {
        "name": row["name"],
        "code": row["code"],
        "addresses": [["create", [address]]],
    }
    if row.get("vat"):
        kind = identifier_type(row.get("country"))
        values["identifiers"] = [["create", [{"type": kind, "code": row["vat"]}]]]
    return values


def identifier_type(country_code: str | None) -> str | None:
    """Return Tryton's word for the tax number of a country; None is a number nobody checks."""
    if country_code and _EU.fullmatch(country_code):
        return "eu_vat"
    return {"GB": "gb_vat", "US": "us_ein", "CH": "ch_vat", "NO": "no_mva"}.get(country_code or "")


def _employees(
    *, session: RpcSession, rows: list[Row], companies: dict[str, int]
) -> dict[str, int]:
    parties: dict[str, dict[str, Any]] = {}
    for row in rows:
        parties.setdefault(row["code"], _person(row))
    numbers = dict(zip(parties, session.create("party.party", list(parties.values())), strict=True))
    found: dict[str, int] = {}
    for code, company in companies.items():
        employed = [row for row in rows if row["company_code"] == code]
        values = [_employee(row, party=numbers[row["code"]], company=company) for row in employed]
        ids = session.create("company.employee", values, company=company)
        found.update(zip([f"{row['code']}@{code}" for row in employed], ids, strict=True))
    return found


def _person(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = {"name": row["name"], "code": row["code"]}
    if row.get("email"):
        mechanism = {"type": "email", "value": row["email"]}
        values["contact_mechanisms"] = [["create", [mechanism]]]
    return values


def _employee(row: Row, *, party: int, company: int) -> dict[str, Any]:
    costs = [
        {
            "date": date.fromisoformat(cost["from_on"]),
            "cost_price": Decimal(str(cost["amount"])),
        }
        for cost in row.get("cost_rates", [])
    ]
    ends_on = row.get("ends_on")
    return {
        "party": party,
        "company": company,
        "start_date": date.fromisoformat(row["starts_on"]) if row.get("starts_on") else None,
        "end_date": date.fromisoformat(ends_on) - _DAY if ends_on else None,
        "cost_prices": [["create", costs]],
    }


def _labor_products(firm: Row, products: Mapping[str, int]) -> dict[str, int]:
    """Return the product of each labor category by the category's name."""
    return {
        labor["name"]: products[labor["code"]]
        for labor in firm.get("labor_categories", [])
        if not isinstance(labor, str)
    }


def _projects(
    *,
    session: RpcSession,
    rows: list[Row],
    companies: dict[str, int],
    clients: dict[str, int],
    products: dict[str, int],
) -> None:
    """Enter projects that are invoiced from their hours, each with the tasks that people book on."""
    for code, company in companies.items():
        own = [row for row in rows if row["company_code"] == code]
        values = [_project(row, company=company, party=clients[row["client_code"]]) for row in own]
        numbers = session.create("project.work", values, company=company)
        tasks = [
            _task(task, company=company, parent=number, product=products[task["labor_category"]])
            for row, number in zip(own, numbers, strict=True)
            for task in row["tasks"]
        ]
        session.create("project.work", tasks, company=company)


def _project(row: Row, *, company: int, party: int) -> dict[str, Any]:
    return {
        "type": "project",
        "company": company,
        "name": row["name"],
        "number": row["code"],
        "party": party,
        "project_invoice_method": "timesheet",
    }


def _task(row: Row, *, company: int, parent: int, product: int) -> dict[str, Any]:
    return {
        "type": "task",
        "company": company,
        "parent": parent,
        "name": row["name"],
        "product": product,
        "list_price": Decimal(row["rate"]),
        "timesheet_available": True,
        "timesheet_start_date": date.fromisoformat(row["starts_on"]),
    }


def _users(
    *, session: RpcSession, companies: dict[str, int]
) -> tuple[dict[str, str], dict[str, str]]:
    groups = session.find("res.group", [["name", "in", list(INTEGRATION_GROUPS)]], ["id"])
    passwords = {code: secrets.token_urlsafe(18) for code in companies}
    logins = {code: f"tieline-{code.lower()}" for code in companies}
    # One user per legal entity that sees its own company alone: with several, the company of a
    # user's first call sticks in the server's cache.
    rows = [
        {
            "name": f"Tieline {code}",
            "login": logins[code],
            "password": passwords[code],
            "companies": [["add", [company]]],
            "company": company,
            "company_filter": "all",
            "groups": [["add", [group["id"] for group in groups]]],
        }
        for code, company in companies.items()
    ]
    session.create("res.user", rows)
    return logins, passwords

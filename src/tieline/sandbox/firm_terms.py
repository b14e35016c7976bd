"""What the firm tells Tieline by file because no system of its does: prices between companies, taxes, orders."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tieline.sandbox.firm_calendar import months_before
from tieline.sandbox.firm_model import Client, Deal, LegalEntity
from tieline.sandbox.firm_running import BOSTON, KRAKOW, LONDON, MUNICH

# What an hour of a company's people costs another one, in the money of those who ask it.
_TRANSFER_PRICES = (
    (KRAKOW, LONDON, "PLN", "240.00"),
    (KRAKOW, MUNICH, "PLN", "240.00"),
    (LONDON, MUNICH, "GBP", "74.00"),
)
_REVENUE_ACCOUNTS = {MUNICH: "4400", LONDON: "4000", BOSTON: "4010", KRAKOW: "701"}
_ON_HOLD, _STRICT, _FUNDED = "cotswold-care", "pennine-rail", "RHE-ROUTE"
_FUNDED_AMOUNT = "400000.00"
_YEAR, _HALF_A_YEAR = 12, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsFile:
    """A file of one noun, as `tieline register load` takes it."""

    noun: str
    body: str
    because: str


def terms_of_companies(
    *, month: date, entities: Sequence[LegalEntity], rates: Mapping[str, str], currency: str
) -> tuple[TermsFile, ...]:
    """Return what is told before there is a client: exchange, prices between companies, taxes, accounts."""
    since = months_before(month, _YEAR)
    return (
        _file(
            "fx-rates",
            "the month's rates",
            [
                {
                    "from_currency": each,
                    "to_currency": currency,
                    "factor": factor,
                    "source": "Halden Roe treasury",
                    "starts_on": month,
                }
                for each, factor in rates.items()
            ],
        ),
        _file(
            "transfer-prices",
            "the group's agreement on prices",
            [
                {
                    "home_entity": home,
                    "project_entity": project,
                    "currency": money,
                    "price_amount": price,
                    "starts_on": since,
                }
                for home, project, money, price in _TRANSFER_PRICES
            ],
        ),
        _file(
            "tax-treatments",
            "as the tax adviser says",
            [
                {
                    "entity": each.code,
                    "treatment": treatment,
                    "country": country,
                    "starts_on": since,
                }
                for each in entities
                for treatment, country in (("standard", ""), ("reverse_charge", "AT"))
            ],
        ),
        _file(
            "revenue-accounts",
            "the charts of accounts",
            [
                {
                    "entity": each.code,
                    "practice": "",
                    "account_code": _REVENUE_ACCOUNTS[each.code],
                    "is_enabled": "yes",
                    "starts_on": since,
                }
                for each in entities
            ],
        ),
    )


def terms_of_contracts(
    *, month: date, running: Sequence[Deal], clients: Sequence[Client]
) -> tuple[TermsFile, ...]:
    """Return what is told of contracts that run and their clients: orders, funding, what clients ask, a hold."""
    numbers = {client.key: client.vat_number for client in clients}
    since, ended = months_before(month, _YEAR), months_before(month, _HALF_A_YEAR)
    return (
        _file(
            "purchase-orders",
            "the orders of the contracts that run",
            [
                {
                    "contract": contract.key,
                    "order_number": contract.purchase_order,
                    "task": "",
                    "amount": sum((line.amount for line in contract.lines), Decimal(0)),
                    "currency": contract.currency,
                    "starts_on": contract.starts_on,
                }
                for contract in running
                if contract.purchase_order is not None
            ],
        ),
        _file(
            "spending-limits",
            "the client's board funded it",
            [
                {
                    "kind": "funding",
                    "contract": contract.key,
                    "client": "",
                    "task": "",
                    "code": "",
                    "amount": _FUNDED_AMOUNT,
                    "currency": contract.currency,
                    "starts_on": contract.starts_on,
                }
                for contract in running
                if contract.key == _FUNDED
            ],
        ),
        _file(
            "client-guidelines",
            "the client's terms of purchase",
            [
                {
                    "client": numbers[_STRICT],
                    "bill_days_max": 90,
                    "bill_days_after_end_max": 60,
                    "starts_on": since,
                }
            ],
        ),
        _file(
            "client-holds",
            "what was overdue is paid",
            [
                {
                    "client": numbers[_ON_HOLD],
                    "reason": "credit",
                    "starts_on": since,
                    "ends_on": ended,
                }
            ],
        ),
    )


def _file(noun: str, because: str, rows: Sequence[Mapping[str, object]]) -> TermsFile:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return TermsFile(noun=noun, body=text.getvalue(), because=because)

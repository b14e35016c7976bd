"""One contract and period as sheets: what stands in its way, and the lines of its invoices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from tieline.console.words import QUEUES, WEIGHTS, reason, spoken
from tieline.console.workbook import Column, Kind, Sheet
from tieline.services.invoice_readiness import Readiness


def contract_sheets(
    readiness: Readiness, *, invoices: Sequence[Mapping[str, Any]]
) -> tuple[Sheet, ...]:
    """Return a sheet per table of the page of a contract."""
    shares = (_shares(readiness),) if readiness.shares else ()
    return (_blockers(readiness), *shares, _invoice_lines(invoices))


def _blockers(readiness: Readiness) -> Sheet:
    return Sheet(
        name="What stands in its way",
        columns=(
            Column(title="What", width=44),
            Column(title="Weight"),
            Column(title="Owner", width=20),
            Column(title="What mends it", width=44),
            Column(title="May be carried"),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Deadline (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                reason(str(blocker["code"])),
                spoken(str(blocker["weight"]), WEIGHTS),
                spoken(str(blocker["owner_queue"]), QUEUES),
                str(blocker["fix"]),
                "yes" if blocker.get("may_be_carried") else "no",
                Decimal(blocker["amount"]),
                readiness.currency,
                int(blocker["seconds"]),
                readiness.deadline_at,
            )
            for blocker in readiness.blockers
        ],
    )


def _shares(readiness: Readiness) -> Sheet:
    return Sheet(
        name="Who pays what",
        columns=(
            Column(title="Client", width=44),
            Column(title="Percent", kind=Kind.AMOUNT),
            Column(title="Takes the rounding"),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Invoice", width=20),
        ),
        rows=[
            (
                str(share["client_name"]),
                Decimal(share["percent"]),
                "yes" if share["takes_rounding"] else "no",
                Decimal(share["amount"]),
                readiness.currency,
                ", ".join(each["number"] or each["target_code"] for each in share["invoices"]),
            )
            for share in readiness.shares
        ],
    )


def _invoice_lines(invoices: Sequence[Mapping[str, Any]]) -> Sheet:
    return Sheet(
        name="Lines of its invoices",
        columns=(
            Column(title="Invoice"),
            Column(title="Line"),
            Column(title="What", width=44),
            Column(title="Quantity", kind=Kind.AMOUNT),
            Column(title="Unit"),
            Column(title="Price", kind=Kind.AMOUNT),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Rounding", kind=Kind.AMOUNT),
            Column(title="Currency"),
        ),
        rows=[
            (
                invoice["number"] or f"Draft {invoice['target_code']}",
                line["line_code"],
                line["description"],
                line["quantity"],
                line["unit"],
                line["unit_price"],
                line["amount"],
                line["rounding_amount"],
                invoice["currency"],
            )
            for invoice in invoices
            for line in invoice["lines"]
        ],
    )

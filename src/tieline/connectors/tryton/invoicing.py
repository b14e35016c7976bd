"""Draft invoices: made by Tryton's own buttons, read back line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from tieline.connectors.tryton import translate
from tieline.connectors.tryton.transport import Session, after_a_write, before_the_write
from tieline.kernel.errors import AskPerson, OutcomeUnknown, Refused
from tieline.sdk import HoursBilled, InvoiceDraft, InvoiceItem, InvoiceLine

_KEYS_MAX = 500
# What another sale for the same contract says alike.
SALE_FIELDS = (
    "party", "invoice_party", "invoice_address", "shipment_address", "currency", "description",
    "comment", "payment_term",
)  # fmt: skip


def draft_from_hours(
    *, session: Session, company_id: int, project_id: int, up_to: date
) -> InvoiceDraft | None:
    """Press the project's invoice button for the hours up to a date, inclusive."""
    context = {"company": company_id}
    with before_the_write():
        before = invoices_of_project(session=session, project_id=project_id)
    # The limit is stored on the project, which the button then reads; writing it again is safe.
    session.write(
        "model.project.work.write",
        [project_id],
        {"project_invoice_timesheet_up_to": up_to},
        context=context,
    )
    with before_the_write():
        project = session.search(
            "project.work", [["id", "=", project_id]], ["amount_to_invoice"], context=context
        )
    if not project or not project[0]["amount_to_invoice"]:
        return None
    session.write("model.project.work.invoice", [project_id], context=context)
    with after_a_write():
        made = invoices_of_project(session=session, project_id=project_id) - before
        return _only(session, made)


def draft_from_sale(*, session: Session, company_id: int, sale_id: int) -> InvoiceDraft | None:
    """Quote, confirm and process a fixed-fee sale; Tryton drafts its invoice on the way."""
    context = {"company": company_id}
    with before_the_write():
        found = session.search("sale.sale", [["id", "=", sale_id]], ["state"])
    if not found:
        raise Refused(f"Tryton has no sale {sale_id}", reason="target.reference_unknown")
    state = found[0]["state"]
    if state not in ("draft", "quotation", "confirmed"):
        return None
    if state == "draft":
        session.write("model.sale.sale.quote", [sale_id], context=context)
    if state in ("draft", "quotation"):
        session.write("model.sale.sale.confirm", [sale_id], context=context)
    with after_a_write():
        if not invoices_of_sale(session=session, sale_id=sale_id):
            session.write("model.sale.sale.process", [sale_id], context=context)
        return _only(session, invoices_of_sale(session=session, sale_id=sale_id))


def find_sale(*, session: Session, company_id: int, reference: str) -> int | None:
    """Return the sale that stands under a reference of ours.

    :raises AskPerson: more than one does.
    """
    found = session.search(
        "sale.sale", [["company", "=", company_id], ["reference", "=", reference]], ["id"]
    )
    if len(found) > 1:
        raise AskPerson(f"Tryton has {len(found)} sales with the reference {reference}")
    return int(found[0]["id"]) if found else None


def is_of(*, session: Session, sale_id: int, items: Sequence[InvoiceItem]) -> bool:
    """Say whether a sale of ours is of these very lines."""
    lines = session.search(
        "sale.line",
        [["sale", "=", sale_id], ["type", "=", "line"]],
        ["description", "quantity", "unit_price"],
    )
    standing = [
        (line["description"], Decimal(str(line["quantity"])) * line["unit_price"]) for line in lines
    ]
    return sorted(standing) == sorted(
        (translate.one_line(each.description), each.amount) for each in items
    )


def drop_sale(*, session: Session, company_id: int, sale_id: int) -> None:
    """Delete a sale of ours that came before its schedule changed.

    :raises Refused: an invoice of it stands, or Tryton has begun to make one.
    """
    context = {"company": company_id}
    (sale,) = session.search("sale.sale", [["id", "=", sale_id]], ["state", "invoices"])
    if sale["invoices"] or sale["state"] not in ("draft", "quotation", "confirmed"):
        raise Refused(
            f"Tryton has an invoice of other lines from an earlier attempt, on sale {sale_id}:"
            " cancel it there, or bill the schedule as it was",
            reason="target.state",
        )
    if sale["state"] != "draft":
        session.write("model.sale.sale.draft", [sale_id], context=context)
    session.write("model.sale.sale.delete", [sale_id], context=context)


def read_sale(*, session: Session, sale_id: int, currency: str) -> dict[str, Any]:
    """Return whom the sale of a contract is for, as another sale of it says the same.

    :raises Refused: there is none, or it is in another currency.
    """
    found = session.search(
        "sale.sale",
        [["id", "=", sale_id]],
        [*SALE_FIELDS, "currency.code", "lines.taxes"],
    )
    if not found:
        raise Refused(f"Tryton has no sale {sale_id}", reason="target.reference_unknown")
    if found[0]["currency."]["code"] != currency:
        raise Refused(f"sale {sale_id} is not in {currency}", reason="target.currency_differs")
    return found[0]


def taxes_of(sale: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return how all lines of a sale are taxed; None where it has no lines, or they differ."""
    told = {tuple(sorted(line["taxes"])) for line in sale["lines."]}
    return told.pop() if len(told) == 1 else None


def read_party(*, session: Session, party_id: int) -> dict[str, Any]:
    """Return what a sale for another client says of it in place of the contract's own.

    :raises Refused: there is none, or it has no address.
    """
    found = session.search("party.address", [["party", "=", party_id]], ["id"], limit=1)
    if not found:
        raise Refused(f"Tryton's party {party_id} has no address", reason="tryton.no_address")
    address = found[0]["id"]
    return {
        "party": party_id,
        "invoice_party": None,
        "invoice_address": address,
        "shipment_address": address,
    }


def keep_as_cost(*, session: Session, company_id: int, hours: HoursBilled) -> None:
    """Let a project bill no hours by itself; writing that again is safe.

    :raises Refused: some of the hours stand on an invoice already.
    """
    project_id = int(hours.project_code)
    with before_the_write():
        found = session.search(
            "project.work", [["id", "=", project_id]], ["project_invoice_method"]
        )
    if not found:
        raise Refused(f"Tryton has no project {project_id}", reason="target.reference_unknown")
    if found[0]["project_invoice_method"] != "manual":
        session.write(
            "model.project.work.write",
            [project_id],
            {"project_invoice_method": "manual"},
            context={"company": company_id},
        )
    # Asked after the button has nothing to bill any more, so that nobody presses it in between.
    with before_the_write():
        for start in range(0, len(hours.keys), _KEYS_MAX):
            _refuse_invoiced(session, hours.keys[start : start + _KEYS_MAX])


def _refuse_invoiced(session: Session, keys: Sequence[UUID]) -> None:
    billed = session.search(
        "timesheet.line",
        [["uuid", "in", [str(key) for key in keys]], ["invoice_line", "!=", None]],
        ["invoice_line.invoice"],
    )
    if billed:
        names = ", ".join(sorted({str(row["invoice_line."]["invoice"]) for row in billed}))
        raise Refused(
            f"{len(billed)} of the hours stand on Tryton's invoice {names} already",
            reason="target.invoiced",
        )


def only_of_sale(*, session: Session, sale_id: int) -> InvoiceDraft:
    """Return the one invoice of a sale.

    :raises OutcomeUnknown: it has none, or several.
    """
    return _only(session, invoices_of_sale(session=session, sale_id=sale_id))


def invoices_of_project(*, session: Session, project_id: int | None) -> set[int]:
    """Return the invoices that hours of the project or of its tasks stand on."""
    if project_id is None:
        return set()
    tree = session.search(
        "project.work", [["parent", "child_of", [project_id]]], ["timesheet_works"]
    )
    works = [work for row in tree for work in row["timesheet_works"]]
    lines = session.search(
        "account.invoice.line",
        [["id", "in", _invoice_lines(session, works)]],
        ["invoice"],
    )
    return {row["invoice"] for row in lines if row["invoice"] is not None}


def invoices_of_sale(*, session: Session, sale_id: int | None) -> set[int]:
    """Return the invoices that Tryton made from the sale."""
    if sale_id is None:
        return set()
    found = session.search("sale.sale", [["id", "=", sale_id]], ["invoices"])
    return set(found[0]["invoices"]) if found else set()


def read(*, session: Session, numbers: Sequence[int]) -> list[InvoiceDraft]:
    """Return invoices with their lines, amounts as Tryton has them."""
    invoices = session.search(
        "account.invoice",
        [["id", "in", list(numbers)]],
        ["number", "state", "currency.code", "untaxed_amount", "total_amount"],
    )
    lines = session.search(
        "account.invoice.line",
        [["invoice", "in", list(numbers)], ["type", "=", "line"]],
        ["invoice", "description", "quantity", "unit.symbol", "unit_price", "amount"],
    )
    tasks = _tasks_of_lines(session, [line["id"] for line in lines])
    return [_draft(invoice, lines, tasks) for invoice in invoices]


def _draft(
    invoice: dict[str, Any], lines: Sequence[dict[str, Any]], tasks: dict[int, set[str]]
) -> InvoiceDraft:
    return InvoiceDraft(
        target_code=str(invoice["id"]),
        number=invoice["number"] or "",
        state=invoice["state"],
        currency=invoice["currency."]["code"],
        untaxed_amount=invoice["untaxed_amount"],
        total_amount=invoice["total_amount"],
        lines=tuple(
            InvoiceLine(
                description=line["description"] or "",
                quantity=Decimal(str(line["quantity"])),
                unit=(line["unit."] or {}).get("symbol") or "",
                unit_price=line["unit_price"],
                amount=line["amount"],
                task_codes=tuple(sorted(tasks.get(line["id"], ()), key=int)),
                line_code=str(line["id"]),
            )
            for line in lines
            if line["invoice"] == invoice["id"]
        ),
    )


def _only(session: Session, numbers: set[int]) -> InvoiceDraft:
    if len(numbers) != 1:
        raise OutcomeUnknown(f"Tryton made {len(numbers)} invoices where one was asked for")
    return read(session=session, numbers=sorted(numbers))[0]


def _invoice_lines(session: Session, works: Sequence[int]) -> list[int]:
    rows = session.search(
        "timesheet.line",
        [["work", "in", list(works)], ["invoice_line", "!=", None]],
        ["invoice_line"],
    )
    return sorted({row["invoice_line"] for row in rows})


def _tasks_of_lines(session: Session, lines: Sequence[int]) -> dict[int, set[str]]:
    rows = session.search(
        "timesheet.line", [["invoice_line", "in", list(lines)]], ["invoice_line", "work.origin"]
    )
    found: dict[int, set[str]] = {}
    for row in rows:
        found.setdefault(row["invoice_line"], set()).add(
            translate.origin_id(row["work."]["origin"])
        )
    return found

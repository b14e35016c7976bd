"""An ERP that bills hours as Tryton does, kept in memory, with the ways it can break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.connectors.tryton import translate
from tieline.kernel.errors import NotExecuted, OutcomeUnknown, Refused
from tieline.sdk import HoursBilled, HourSum, InvoiceDraft, InvoiceItem, InvoiceLine
from tieline.sdk.capabilities import Capabilities


@dataclass
class Erp:
    """Hold time lines as (task, day, seconds) and make drafts of what is uninvoiced."""

    prices: dict[str, Decimal] = field(default_factory=dict)
    lines: list[tuple[str, date, int]] = field(default_factory=list)
    fees: dict[str, Decimal] = field(default_factory=dict)
    invoices: list[InvoiceDraft] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    clients: dict[str, str | None] = field(default_factory=dict)
    cost_only: set[str] = field(default_factory=set)
    hours_told: list[tuple[UUID, ...]] = field(default_factory=list)
    calls: int = 0
    late: list[InvoiceDraft] = field(default_factory=list)
    currency: str = "EUR"

    def rule_invoice(self, *, sums: Sequence[HourSum], currency: str) -> list[InvoiceLine]:
        """Compute the lines by the real rule of the real connector."""
        return translate.invoice_rule(sums=sums, currency=currency)

    def draft_invoice(
        self,
        *,
        entity_code: str,
        project_code: str,
        contract_code: str,
        up_to: date,
        billing_method: str,
    ) -> InvoiceDraft | None:
        """Draft as asked, or break as the next fault says."""
        fault = self._fault()
        if billing_method == "fixed_fee":
            made = self._fee(contract_code)
        else:
            made = self._hours(project_code, up_to)
        if fault == "late":
            # It commits long after the answer was given up.
            self.late.append(self.invoices.pop())
            fault = "answer_lost"
        _break(fault)
        return made

    def draft_items(
        self,
        *,
        business_key: UUID,
        entity_code: str,
        contract_code: str,
        client_code: str | None,
        items: Sequence[InvoiceItem],
        currency: str,
        hours: HoursBilled | None,
    ) -> InvoiceDraft:
        """Draft amounts of ours under their key, or break as the next fault says."""
        fault = self._fault()
        if hours is not None:
            self.cost_only.add(hours.project_code)
            self.hours_told.append(hours.keys)
        standing = self.read_items(business_key=business_key, entity_code=entity_code)
        made = standing[0] if standing else self._keep(str(business_key), _lines(items))
        self.clients[made.target_code] = client_code
        _break(fault)
        return made

    def read_items(self, *, business_key: UUID, entity_code: str) -> list[InvoiceDraft]:
        """Return the invoice under the key."""
        return [each for each in self.invoices if each.number.startswith(f"{business_key}/")]

    def read_invoices(
        self, *, entity_code: str, project_code: str, contract_code: str
    ) -> list[InvoiceDraft]:
        """Return every invoice of the project or the sale."""
        asked = project_code or contract_code
        return [each for each in self.invoices if each.number.startswith(f"{asked}/")]

    def _fault(self) -> str:
        self.calls += 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "busy":
            raise NotExecuted("the ERP answered 429", retry_after_seconds=3)
        if fault == "refused":
            raise Refused("the period is closed", reason="erp.period_closed")
        if fault == "overtaken":
            self.invoices += self.late
            raise Refused("nothing is left to invoice", reason="target.refused")
        return fault

    def _hours(self, project_code: str, up_to: date) -> InvoiceDraft | None:
        task = project_code.replace("work-", "task-")
        due = [line for line in self.lines if line[0] == task and line[1] <= up_to]
        self.lines = [line for line in self.lines if line not in due]
        seconds = sum(line[2] for line in due)
        found = self.rule_invoice(
            sums=[
                HourSum(
                    task_code=task,
                    task_name="Build",
                    labor_category=None,
                    rate_starts_on=None,
                    rate_amount=self.prices[task],
                    seconds=seconds,
                )
            ],
            currency=self.currency,
        )
        if not found:
            return None
        return self._keep(project_code, found)

    def _fee(self, contract_code: str) -> InvoiceDraft | None:
        fee = self.fees.pop(contract_code, None)
        if fee is None:
            return None
        fees = [InvoiceItem(item_code="", item="", description="Fee", amount=fee, task_codes=())]
        return self._keep(contract_code, _lines(fees))

    def _keep(self, asked: str, lines: Sequence[InvoiceLine]) -> InvoiceDraft:
        number = len(self.invoices) + 1
        amount = sum((line.amount for line in lines), Decimal(0))
        invoice = InvoiceDraft(
            target_code=str(number),
            number=f"{asked}/{number}",
            state="draft",
            currency=self.currency,
            untaxed_amount=amount,
            total_amount=amount * Decimal("1.19"),
            lines=tuple(
                replace(line, line_code=f"{number}.{index}") for index, line in enumerate(lines)
            ),
        )
        self.invoices.append(invoice)
        return invoice

    def take_over(self, connection: Connection[dict[str, Any]]) -> None:
        """Hold what was posted, as the real ERP would after posting."""
        rows = connection.execute(
            "SELECT x.source_ref, l.work_date, l.seconds, c.rate_amount FROM ledger_line l"
            " JOIN contract_line c USING (contract_line_id)"
            " JOIN crosswalk x ON x.our_id = l.contract_line_id AND x.noun = 'erp_task'"
        ).fetchall()
        for row in rows:
            self.prices[row["source_ref"]] = row["rate_amount"]
            self.lines.append((row["source_ref"], row["work_date"], row["seconds"]))


def _lines(items: Sequence[InvoiceItem]) -> list[InvoiceLine]:
    return [
        InvoiceLine(
            description=item.description,
            quantity=Decimal(1),
            unit="",
            unit_price=item.amount,
            amount=item.amount,
            task_codes=(),
            line_code="",
        )
        for item in items
    ]


def _break(fault: str) -> None:
    if fault == "answer_lost":
        raise OutcomeUnknown("the ERP's answer was lost")
    if fault == "killed":
        raise KeyboardInterrupt


@dataclass(frozen=True)
class OneErp:
    """Give the one ERP for every key."""

    erp: Erp

    def get(self, *, connection_key: str) -> Any:
        return self.erp

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return Capabilities(
            system="tryton",
            kind="erp",
            tier="gold",
            owners=(),
            permissions=(),
            streams=(),
            writes=(),
            limits=(),
            settle_seconds=1,
            record_urls={},
            config_keys=(),
            secret_names=(),
        )

"""Where the amounts of an invoice come from: the target's own hours and sale, or our ledger.

What comes from our ledger is drafted from a sale of its own, line by line as we say; in the ERP the hours of such a
contract are cost alone, and its project bills none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tieline.canonical import COST_PLUS
from tieline.kernel.wording import hours_and_minutes
from tieline.sdk import InvoiceItem
from tieline.services.billing_schedule import is_by_schedule
from tieline.services.readiness_pricing import TaskSum


def is_from_ledger(*, billing_method: str, schedule_count: int, was_split: bool) -> bool:
    """Say whether what a contract is billed comes from our ledger, through a sale of its own.

    The ERP's task has one price: it says nothing of hours that are worth what each person costs. And it never hears
    which hours were billed by shares: its own button would bill them again, also when the contract is split no more.
    """
    is_priced_here = billing_method == COST_PLUS or was_split
    return is_priced_here or is_by_schedule(billing_method, schedule_count)


def hour_items(sums: Sequence[TaskSum]) -> tuple[InvoiceItem, ...]:
    """Return the lines that hours have on an invoice: of each task and rate one, as the ledger has them."""
    return tuple(_hour_item(each) for each in sums if each.ledger_amount)


def _hour_item(found: TaskSum) -> InvoiceItem:
    worked = found.hours
    name = " · ".join(word for word in (worked.task_name, worked.labor_category) if word)
    return InvoiceItem(
        item_code=f"hours|{worked.task_code}|{worked.rate_amount.normalize():f}",
        item=name,
        description=f"{name}: {hours_and_minutes(worked.seconds)} h at {worked.rate_amount.normalize():f}",
        amount=found.ledger_amount,
        task_codes=(worked.task_code,),
    )

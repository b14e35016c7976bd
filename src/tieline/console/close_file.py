"""The tables of the page Close as sheets: what it shows under its filters, all rows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tieline.console.tie_out import TieOut
from tieline.console.words import (
    CHECKS,
    LEG_STATES,
    PLACES,
    QUEUES,
    READINESS,
    reason,
    spoken,
    system_name,
)
from tieline.console.workbook import Column, Kind, Sheet
from tieline.posting.handing_over import ImportFile
from tieline.reconciliation import Check, Standing
from tieline.services.fallback import NotTaken
from tieline.services.invoice_readiness import Readiness
from tieline.services.period_close import Period, Reopened
from tieline.services.preflight import Preflight
from tieline.services.terms_lists import Leg

_NOT_DUE = ("invoiced", "not_due")
_NO_MONTH_YEAR = 1


def close_sheets(found: Mapping[str, Any], *, contracts: Sequence[Readiness]) -> tuple[Sheet, ...]:
    """Return what the page found, a sheet per table, in the order of the page."""
    return (
        _lines([*found["lines"], *found["other_lines"]]),
        _contracts(contracts),
        _blockers(contracts),
        _not_taken(found["not_taken"]),
        _files(found["files"]),
        _legs(found["legs"]),
        _preflights(found["preflights"]),
        _asked(found["unaccounted"].checks),
        _differences(found["differences"]),
        _periods(found["fiscal_periods"], found["reopened"]),
    )


def _lines(lines: Sequence[TieOut]) -> Sheet:
    return Sheet(
        name="The line that adds up",
        columns=(
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="Approved in the time tool", kind=Kind.HOURS),
            *(Column(title=name, kind=Kind.HOURS) for name in PLACES.values()),
            Column(title="Unaccounted", kind=Kind.HOURS),
            Column(title="Apart: not counted", kind=Kind.HOURS),
            Column(title="Apart: being taken back", kind=Kind.HOURS),
            Column(title="Cut-off (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                each.entity_code,
                each.period_code,
                each.approved_seconds,
                *each.places.values(),
                each.unaccounted_seconds,
                each.uncounted_seconds,
                each.leaving_seconds,
                each.cut_off_at,
            )
            for each in lines
        ],
    )


def _contracts(contracts: Sequence[Readiness]) -> Sheet:
    return Sheet(
        name="Contracts",
        columns=(
            Column(title="Contract", width=32),
            Column(title="Code"),
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="State"),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Amount that needs attention", kind=Kind.AMOUNT),
            Column(title="Amount that waits", kind=Kind.AMOUNT),
            Column(title="Amount carried", kind=Kind.AMOUNT),
            Column(title="Checks that say yes", kind=Kind.COUNT),
            Column(title="Not checked", width=44),
            Column(title="Deadline (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                each.contract_name,
                each.contract_code,
                each.entity_code,
                each.period_code,
                spoken(each.state, READINESS),
                each.invoiced_amount if each.state == "invoiced" else each.expected_amount,
                each.currency,
                each.seconds,
                each.held_amount,
                each.waiting_amount,
                each.carried_amount,
                each.checks_passed,
                ", ".join(each.lacking),
                each.deadline_at,
            )
            for each in contracts
        ],
    )


def _blockers(contracts: Sequence[Readiness]) -> Sheet:
    return Sheet(
        name="What blocks them",
        columns=(
            Column(title="Contract"),
            Column(title="Period"),
            Column(title="What", width=44),
            Column(title="Owner", width=20),
            Column(title="What mends it", width=44),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Deadline (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                each.contract_code,
                each.period_code,
                reason(str(blocker["code"])),
                spoken(str(blocker["owner_queue"]), QUEUES),
                str(blocker["fix"]),
                Decimal(blocker["amount"]),
                each.currency,
                each.deadline_at,
            )
            for each in contracts
            if each.state not in _NOT_DUE
            for blocker in each.blockers
            if blocker["weight"] != "warn"
        ],
    )


def _not_taken(found: Sequence[NotTaken]) -> Sheet:
    return Sheet(
        name="Not taken",
        columns=(
            Column(title="ERP"),
            Column(title="Connection"),
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="Cut-off (UTC)", kind=Kind.INSTANT),
            Column(title="Lines", kind=Kind.COUNT),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Amount", kind=Kind.AMOUNT),
            Column(title="Currency"),
        ),
        rows=[
            (
                system_name(each.system),
                each.target_connection,
                each.entity_code,
                each.period_code,
                each.cut_off_at,
                each.lines,
                each.seconds,
                each.amount,
                each.currency,
            )
            for each in found
        ],
    )


def _files(files: Sequence[ImportFile]) -> Sheet:
    return Sheet(
        name="Given to finance as file",
        columns=(
            Column(title="File", width=40),
            Column(title="Legal entity"),
            Column(title="Lines", kind=Kind.COUNT),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="In the ERP", kind=Kind.COUNT),
            Column(title="May be loaded until (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                each.file_name,
                each.entity_code,
                each.lines,
                each.seconds,
                each.matched,
                each.valid_until,
            )
            for each in files
        ],
    )


def _legs(legs: Sequence[Leg]) -> Sheet:
    return Sheet(
        name="Between companies",
        columns=(
            Column(title="People of"),
            Column(title="Its period"),
            Column(title="Worked for"),
            Column(title="Its period there"),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Owed", kind=Kind.AMOUNT),
            Column(title="Booked", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Lines without a price", kind=Kind.COUNT),
            Column(title="Document"),
            Column(title="Both legs", width=24),
        ),
        rows=[
            (
                each.home_entity_code,
                each.home_period_code,
                each.project_entity_code,
                each.project_period_code,
                each.seconds,
                each.amount,
                each.booked_amount,
                each.currency,
                each.unpriced,
                each.document_code,
                spoken(each.state, LEG_STATES),
            )
            for each in legs
        ],
    )


def _preflights(preflights: Sequence[Preflight]) -> Sheet:
    return Sheet(
        name="Will the next cut-off work",
        columns=(
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="Cut-off (UTC)", kind=Kind.INSTANT),
            Column(title="Tried (UTC)", kind=Kind.INSTANT),
            Column(title="Connection"),
            Column(title="What", width=32),
            Column(title="Answer"),
            Column(title="What to do", width=60),
        ),
        rows=[
            (
                each.entity_code,
                each.period_code,
                each.cut_off_at,
                each.tried_at,
                one.connection_key or "this machine",
                one.name,
                "green" if one.is_good else "red",
                one.fix,
            )
            for each in preflights
            for one in each.tried
        ],
    )


def _asked(checks: Sequence[Check]) -> Sheet:
    return Sheet(
        name="What the others say",
        columns=(
            Column(title="System"),
            Column(title="Connection"),
            Column(title="Asked for", width=32),
            Column(title="It says", kind=Kind.HOURS),
            Column(title="We account for", kind=Kind.HOURS),
            Column(title="Differs by", kind=Kind.HOURS),
            Column(title="Apart", kind=Kind.HOURS),
            Column(title="Asked (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                system_name(each.system),
                each.connection_key,
                CHECKS[each.side],
                *(
                    ("not checked", None, None, None)
                    if each.asked_at is None
                    else (
                        each.theirs_seconds,
                        each.ours_seconds,
                        each.gap_seconds,
                        each.apart_seconds,
                    )
                ),
                each.asked_at,
            )
            for each in checks
        ],
    )


def _differences(differences: Sequence[Standing]) -> Sheet:
    return Sheet(
        name="Where they differ",
        columns=(
            Column(title="System"),
            Column(title="Legal entity"),
            Column(title="Project there"),
            Column(title="Month"),
            Column(title="It says", kind=Kind.HOURS),
            Column(title="We account for", kind=Kind.HOURS),
            Column(title="Since (UTC)", kind=Kind.INSTANT),
            Column(title="Checks", kind=Kind.COUNT),
        ),
        rows=[
            (
                each.connection_key,
                each.entity_code,
                each.project_ref,
                f"{each.month_on:%Y-%m}" if each.month_on.year > _NO_MONTH_YEAR else "no date",
                each.theirs_seconds,
                each.ours_seconds,
                each.since,
                each.checks,
            )
            for each in differences
        ],
    )


def _periods(periods: Sequence[Period], reopened: Mapping[Any, Reopened]) -> Sheet:
    return Sheet(
        name="Fiscal periods",
        columns=(
            Column(title="Legal entity"),
            Column(title="Period"),
            Column(title="First day", kind=Kind.DAY),
            Column(title="Last day", kind=Kind.DAY),
            Column(title="State"),
            Column(title="Open again until", kind=Kind.DAY),
            Column(title="Cut-off (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                each.entity_code,
                each.period_code,
                each.starts_on,
                each.ends_on - timedelta(days=1),
                "Closed"
                if each.state == "closed"
                else ("Open again" if each.period_id in reopened else "Open"),
                reopened[each.period_id].until_on if each.period_id in reopened else None,
                each.cut_off_at,
            )
            for each in periods
        ],
    )

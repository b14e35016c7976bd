"""The close: the line that adds up, what stands before each invoice, releasing, drafting, periods."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from psycopg import Connection

from tieline.cli.showing import hours, show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    CONTROLLER,
    GOAL_MISSED,
    Tools,
    by_option,
    decider,
    json_option,
    pass_tools,
    reason_option,
    signed,
)
from tieline.governance import Proposal, open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.reconciliation import Check
from tieline.runtime.telemetry import new_correlation_id
from tieline.services.invoice_readiness import Readiness
from tieline.services.period_close import InFlight, Period
from tieline.services.system import System

_PLACES = (
    "posted_seconds",
    "pending_seconds",
    "held_seconds",
    "excluded_seconds",
    "handed_over_seconds",
)
_LOOK_SECONDS = 1
_WAIT_SECONDS_MAX = 3600

Row = dict[str, Any]


@click.group(invoke_without_command=True)
@click.option("--period", help="Only this period, such as 2026-10.")
@click.option("--entity", help="Only this legal entity.")
@json_option
@click.pass_context
def close(context: click.Context, period: str | None, entity: str | None, as_json: bool) -> int:
    """Per legal entity the line that adds up, and what stands before each invoice.

    Exit 0 when every line adds up and no source or target says otherwise.
    """
    if context.invoked_subcommand is not None:
        return 0
    tools = context.find_object(Tools)
    assert tools is not None
    return _show_close(tools, period, entity, as_json=as_json)


@close.command("release")
@click.argument("contract")
@click.option("--period", required=True, help="Which period, such as 2026-10.")
@click.option("--carry-reason", help="What is carried to the next cycle and why, if incomplete.")
@by_option
@json_option
@pass_tools
def release(
    tools: Tools,
    contract: str,
    period: str,
    carry_reason: str | None,
    login: str,
    as_json: bool,
) -> int:
    """Freeze the hours of a contract, named by code or id, for its invoice."""
    from tieline.services.invoice_readiness import release_in

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        contract_id, period_id = _find(connection, contract, period)
        released = release_in(
            connection,
            contract_id=contract_id,
            period_id=period_id,
            by=by.login,
            carry_reason=carry_reason,
            now=system.clock.now(),
        )
    show_facts(
        {
            "contract": contract,
            "period": period,
            "carried_seconds": released.carried_seconds,
            "carried_amount": str(released.carried_amount),
        },
        as_json=as_json,
    )
    return 0


@close.command("draft")
@click.argument("contract")
@click.option("--period", required=True, help="Which period, such as 2026-10.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.IntRange(0, _WAIT_SECONDS_MAX),
    default=0,
    help="Wait up to so many seconds for the invoice; then exit 0 means that it stands.",
)
@by_option
@json_option
@pass_tools
def draft(
    tools: Tools, contract: str, period: str, wait_seconds: int, login: str, as_json: bool
) -> int:
    """Have the ERP draft the invoice of a released contract; a worker brings it about."""
    from tieline.services.invoicing import ask_for_invoice

    system = tools.system()
    person = signed(system, login)
    decider(person, role=CONTROLLER)
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        contract_id, period_id = _find(connection, contract, period)
        ask_for_invoice(
            connection,
            contract_id=contract_id,
            period_id=period_id,
            correlation_id=new_correlation_id(),
        )
    invoices, are_all = _await_invoices(system, contract_id, period_id, seconds=wait_seconds)
    show_facts(
        {
            "contract": contract,
            "period": period,
            "state": "drafted" if are_all else "asked",
            "invoices": invoices,
        },
        as_json=as_json,
    )
    return GOAL_MISSED if wait_seconds and not are_all else 0


@close.command("periods")
@click.option("--entity", help="Only this legal entity.")
@json_option
@pass_tools
def periods(tools: Tools, entity: str | None, as_json: bool) -> int:
    """List fiscal periods that have begun, the newest first, and whether they are open."""
    from tieline.services.period_close import list_periods

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_periods(connection, entity_code=entity, begun_by=system.clock.now().date())
    if as_json:
        show_json({"periods": found})
        return 0
    show_table(
        title="Fiscal periods",
        columns=("Entity", "Period", "State", "From", "Until", "Cut-off"),
        rows=[
            (
                each.entity_code,
                each.period_code,
                each.state,
                f"{each.starts_on}",
                f"{each.ends_on}",
                f"{each.cut_off_at:%Y-%m-%d %H:%M}",
            )
            for each in found
        ],
    )
    return 0


@close.command("in-flight")
@click.argument("entity")
@click.argument("period_code", metavar="PERIOD")
@json_option
@pass_tools
def in_flight(tools: Tools, entity: str, period_code: str, as_json: bool) -> int:
    """List what still moves in a period. Exit 0 when nothing does."""
    from tieline.services.period_close import look_in_flight

    system = tools.system()
    with system.database.transaction() as connection:
        period = _find_period(connection, entity, period_code)
        found = look_in_flight(connection, period_id=period.period_id)
    _show_in_flight(period, found, as_json=as_json)
    return GOAL_MISSED if found else 0


@close.command("period")
@click.argument("entity")
@click.argument("period_code", metavar="PERIOD")
@click.option("--reason", default="", help="Why what still moves stays behind; else nothing may.")
@by_option
@json_option
@pass_tools
def close_one(
    tools: Tools, entity: str, period_code: str, reason: str, login: str, as_json: bool
) -> int:
    """Propose to close a period; a second person approves it: tieline proposals approve.

    Refused while a write in it is not confirmed. It closes here only, not in the ERP.
    """
    from tieline.services.period_close import propose_close

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        period = _find_period(connection, entity, period_code)
        proposal = propose_close(
            connection,
            period_id=period.period_id,
            reason=reason,
            by=by.login,
            now=system.clock.now(),
        )
    _show_proposed(period, proposal, as_json=as_json)
    return 0


@close.command("reopen")
@click.argument("entity")
@click.argument("period_code", metavar="PERIOD")
@click.option(
    "--until",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    help="The last day it should be open; nothing closes it by itself.",
)
@reason_option
@by_option
@json_option
@pass_tools
def reopen(
    tools: Tools,
    entity: str,
    period_code: str,
    until: datetime | None,
    reason: str,
    login: str,
    as_json: bool,
) -> int:
    """Propose to open a closed period again; a second person approves it."""
    from tieline.services.period_close import propose_reopen

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        period = _find_period(connection, entity, period_code)
        proposal = propose_reopen(
            connection,
            period_id=period.period_id,
            reason=reason,
            until_on=until.date() if until else None,
            by=by.login,
            now=system.clock.now(),
        )
    _show_proposed(period, proposal, as_json=as_json)
    return 0


@close.command("accruals")
@click.argument("entity")
@click.argument("period_code", metavar="PERIOD")
@json_option
@pass_tools
def accruals(tools: Tools, entity: str, period_code: str, as_json: bool) -> int:
    """Offer what of a period is not in the ERP as accrual lines, with their reversal.

    Exit 0 when they are as many hours as the line that adds up has outside the ERP.
    """
    from tieline.services.accruals import read_accruals

    system = tools.system()
    with system.database.transaction() as connection:
        period = _find_period(connection, entity, period_code)
        found = read_accruals(connection, period_id=period.period_id)
    if as_json:
        show_json(
            {
                "period": found.period,
                "lines": [
                    {**asdict(line), "reversal_amount": line.reversal_amount}
                    for line in found.lines
                ],
                "amounts": found.amounts,
                "approved_seconds": found.approved_seconds,
                "tie_out_seconds": found.tie_out_seconds,
                "adds_up": found.adds_up,
            }
        )
        return 0 if found.adds_up else GOAL_MISSED
    show_table(
        title=f"Not in the ERP of {period.period_code} of {period.entity_code}",
        columns=("Project", "Contract", "Category", "Where", "Hours", "Amount", "Reversed on"),
        rows=[
            (
                line.project_code or "not known yet",
                line.contract_code or "",
                line.labor_category,
                line.place,
                hours(line.approved_seconds),
                f"{line.amount} {line.currency}" if line.amount is not None else "unpriced",
                f"{line.reverses_on}",
            )
            for line in found.lines
        ],
    )
    return 0 if found.adds_up else GOAL_MISSED


def _show_close(tools: Tools, period: str | None, entity: str | None, *, as_json: bool) -> int:
    from tieline.reconciliation import list_checks, list_differences
    from tieline.services.invoice_readiness import list_readiness
    from tieline.services.overview import read_tie_out

    system = tools.system()
    with system.database.transaction() as connection:
        lines = [
            line
            for line in read_tie_out(connection)
            if (period is None or line["period_code"] == period)
            and (entity is None or line["entity_code"] == entity)
        ]
        contracts = list_readiness(connection, period_code=period, entity_code=entity)
        checks = list_checks(connection)
        differences = list_differences(connection)
    unaccounted = [
        line["approved_seconds"] - sum(line[place] for place in _PLACES) for line in lines
    ]
    if as_json:
        show_json(
            {
                "periods": [
                    {**line, "unaccounted_seconds": gap}
                    for line, gap in zip(lines, unaccounted, strict=True)
                ],
                "contracts": contracts,
                "checks": checks,
                "differences": differences,
            }
        )
    else:
        _show_lines(lines, unaccounted)
        _show_checks(checks)
        _show_contracts(contracts)
    return GOAL_MISSED if any(unaccounted) or differences else 0


def _show_lines(lines: Sequence[Mapping[str, Any]], unaccounted: Sequence[int]) -> None:
    show_table(
        title="Approved = in the ERP + waiting + needs attention + left out + given to finance",
        columns=(
            "Entity",
            "Period",
            "Approved",
            "In the ERP",
            "Waiting",
            "Needs attention",
            "Left out",
            "Given to finance",
            "Unaccounted",
        ),
        rows=[
            (
                line["entity_code"] or "not known yet",
                line["period_code"] or "",
                hours(line["approved_seconds"]),
                *(hours(line[place]) for place in _PLACES),
                hours(gap),
            )
            for line, gap in zip(lines, unaccounted, strict=True)
        ],
    )


def _show_checks(checks: Sequence[Check]) -> None:
    show_table(
        title="Asked of the systems themselves, in hours",
        columns=("Connection", "Side", "It says", "We account for", "Differs by", "Apart", "Asked"),
        rows=[
            (
                each.connection_key,
                each.side,
                *(
                    ("not checked", "", "", "", "never")
                    if each.asked_at is None
                    else (
                        hours(each.theirs_seconds),
                        hours(each.ours_seconds),
                        hours(each.gap_seconds),
                        hours(each.apart_seconds),
                        f"{each.asked_at:%Y-%m-%d %H:%M}",
                    )
                ),
            )
            for each in checks
        ],
    )


def _show_contracts(contracts: Sequence[Readiness]) -> None:
    show_table(
        title="Contracts",
        columns=("Contract", "Period", "Entity", "State", "Hours", "Amount", "Blockers", "Due"),
        rows=[
            (
                each.contract_code,
                each.period_code,
                each.entity_code,
                each.state,
                hours(each.seconds),
                f"{each.expected_amount} {each.currency}",
                ", ".join(str(blocker["code"]) for blocker in each.blockers),
                f"{each.deadline_at:%Y-%m-%d %H:%M}",
            )
            for each in contracts
        ],
    )
    shares = [(each, share) for each in contracts for share in each.shares]
    if shares:
        show_table(
            title="Who pays what",
            columns=("Contract", "Period", "Client", "Percent", "Amount", "Rounding", "Invoice"),
            rows=[
                (
                    each.contract_code,
                    each.period_code,
                    str(share["client_name"]),
                    str(share["percent"]),
                    f"{share['amount']} {share['currency']}",
                    "takes it" if share["takes_rounding"] else "",
                    ", ".join(one["number"] or one["target_code"] for one in share["invoices"]),
                )
                for each, share in shares
            ],
        )
    lacking = sorted({each for one in contracts for each in one.lacking})
    if lacking:
        tell(f"not checked, for nobody tells of it: {', '.join(lacking)}")


def _find(connection: Connection[Row], contract: str, period: str) -> tuple[UUID, UUID]:
    from tieline.services.invoicing import find_contract_period

    found = find_contract_period(connection, contract=contract, period_code=period)
    if found is None:
        raise UserMistake(f"no contract {contract} with a period {period} is in your sight")
    return found


def _find_period(connection: Connection[Row], entity: str, period_code: str) -> Period:
    from tieline.services.period_close import list_periods

    found = list_periods(connection, entity_code=entity, period_code=period_code)
    if not found:
        raise UserMistake(f"{entity} has no period {period_code} in your sight")
    return found[0]


def _show_in_flight(period: Period, found: Sequence[InFlight], *, as_json: bool) -> None:
    if as_json:
        show_json({"period": period, "in_flight": found})
        return
    show_table(
        title=f"Still moves in {period.period_code} of {period.entity_code}, {period.state}",
        columns=("What", "Items", "Hours", "Amount"),
        rows=[
            (
                each.what,
                str(each.items),
                hours(each.seconds),
                f"{each.amount} {each.currency}" if each.currency else "",
            )
            for each in found
        ],
    )


@close.command()
@click.option("--entity", help="Only this legal entity.")
@json_option
@pass_tools
def preflight(tools: Tools, entity: str | None, as_json: bool) -> int:
    """Try now what the next cut-off needs: credentials, rights, periods, rates, clocks, disk.

    Workers try it by themselves 24 hours and 2 hours before. Exit 1 when something is red.
    """
    from tieline.services.workday import Workday

    found = Workday(system=tools.system()).preflights().run_now(entity_code=entity)
    if not found:
        raise UserMistake("no open period has its cut-off still to come")
    if as_json:
        show_json({"preflights": found})
    else:
        for each in found:
            show_table(
                title=f"{each.entity_code} {each.period_code}, cut-off {each.cut_off_at:%Y-%m-%d %H:%M} UTC",
                columns=("System", "Tried", "", "What to do"),
                rows=[
                    (
                        one.connection_key or "this machine",
                        one.name,
                        "good" if one.is_good else "red",
                        one.fix,
                    )
                    for one in each.tried
                ],
            )
    return 0 if all(each.is_green for each in found) else GOAL_MISSED


def _show_proposed(period: Period, proposal: Proposal, *, as_json: bool) -> None:
    if proposal.payload.get("told"):
        tell(f"stays behind: {proposal.payload['told']}")
    show_facts(
        {
            "entity": period.entity_code,
            "period": period.period_code,
            "proposal_id": proposal.proposal_id,
            "state": proposal.state,
        },
        as_json=as_json,
    )


def _await_invoices(
    system: System, contract_id: UUID, period_id: UUID, *, seconds: int
) -> tuple[list[Row], bool]:
    from tieline.services.invoicing import list_invoices

    deadline = time.monotonic() + seconds
    while True:
        with system.database.transaction() as connection:
            rows, are_all = list_invoices(connection, contract_id=contract_id, period_id=period_id)
        if are_all or time.monotonic() >= deadline:
            return rows, are_all
        time.sleep(_LOOK_SECONDS)


COMMANDS: tuple[click.Command, ...] = (close,)

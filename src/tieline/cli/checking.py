"""The checks that always run: what each of them says, what is stopped because of it, and going on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tieline.cli.showing import hours, show_facts, show_json, show_table
from tieline.cli.tools import (
    CONTROLLER,
    GOAL_MISSED,
    Tools,
    as_id,
    by_option,
    decider,
    json_option,
    pass_tools,
    reason_option,
    signed,
)
from tieline.governance import open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.posting import StandingStop
from tieline.reconciliation import GREEN, NOT_CHECKED, CheckResult, CurrencySum

_OWN_BOOKS = "our own books"


@click.group(invoke_without_command=True)
@click.option("--now", "is_now", is_flag=True, help="Check our own books now; else the last time.")
@click.option(
    "--lines", "is_lines", is_flag=True, help="Hold the lines of every target against ours now."
)
@json_option
@click.pass_context
def checks(context: click.Context, is_now: bool, is_lines: bool, as_json: bool) -> int:
    """What each check says, and where posting is stopped because of it.

    Exit 0 when nothing is red and nothing is stopped; what was not checked is counted and shown.
    """
    if context.invoked_subcommand is not None:
        return 0
    tools = context.find_object(Tools)
    assert tools is not None
    return _show(tools, is_now=is_now, is_lines=is_lines, as_json=as_json)


@checks.command("lift")
@click.argument("stop_id", metavar="STOP")
@reason_option
@by_option
@json_option
@pass_tools
def lift(tools: Tools, stop_id: str, reason: str, login: str, as_json: bool) -> int:
    """Propose that posting go on although a check is red; a second person decides.

    A stop whose check is green again twice is lifted without anybody.
    """
    from tieline.services.standing_checks import propose_lift

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        try:
            proposal = propose_lift(
                connection,
                stop_id=as_id(stop_id, what="stop"),
                reason=reason,
                by=by.login,
                through=by.through,
                now=system.clock.now(),
            )
        except LookupError as error:
            raise UserMistake(str(error)) from error
    show_facts(
        {"stop_id": stop_id, "proposal_id": proposal.proposal_id, "state": proposal.state},
        as_json=as_json,
    )
    return 0


def _show(tools: Tools, *, is_now: bool, is_lines: bool, as_json: bool) -> int:
    from tieline.posting import list_stops
    from tieline.reconciliation import list_results, sum_currencies
    from tieline.services.workday import Workday

    system = tools.system()
    workday = Workday(system=system)
    if is_now:
        workday.standing_checks().look()
    if is_lines:
        workday.line_checks().look_now()
    with system.database.transaction() as connection:
        results = list_results(connection)
        stops = list_stops(connection)
        sums = sum_currencies(connection)
    not_checked = sum(1 for each in results if each.state == NOT_CHECKED)
    if as_json:
        show_json({"checks": results, "not_checked": not_checked, "stops": stops, "sums": sums})
    else:
        _show_results(results, not_checked)
        _show_stops(stops)
        _show_sums(sums)
    is_red = any(each.state not in (GREEN, NOT_CHECKED) for each in results)
    return GOAL_MISSED if is_red or stops else 0


def _show_results(results: Sequence[CheckResult], not_checked: int) -> None:
    show_table(
        title=f"Checks that always run; {not_checked} not checked",
        columns=("Check", "Looks at", "Says", "Things", "Why", "Made", "Took"),
        rows=[
            (
                each.check_name,
                each.subject or _OWN_BOOKS,
                each.state.replace("_", " "),
                str(each.things),
                each.why,
                f"{each.made_at:%Y-%m-%d %H:%M}" if each.made_at else "never",
                f"{each.took_milliseconds} ms" if each.took_milliseconds else "",
            )
            for each in results
        ],
    )


def _show_stops(stops: Sequence[StandingStop]) -> None:
    show_table(
        title="Posting is stopped",
        columns=("Stop", "For", "Because", "Since", "Check", "Lines", "Hours"),
        rows=[
            (
                str(each.stop_id),
                each.scope_words,
                each.because,
                f"{each.since:%Y-%m-%d %H:%M}",
                each.check_name,
                str(each.waiting),
                hours(each.seconds),
            )
            for each in stops
        ],
    )


def _show_sums(sums: Sequence[CurrencySum]) -> None:
    show_table(
        title="Confirmed = in the ledger",
        columns=("Target", "Entity", "Period", "Confirmed", "In the ledger", "Hours", "In it"),
        rows=[
            (
                each.target_connection,
                each.entity_code,
                each.period_code or "",
                f"{each.confirmed_amount} {each.currency or ''}".strip(),
                f"{each.ledger_amount} {each.currency or ''}".strip(),
                hours(each.confirmed_seconds),
                hours(each.ledger_seconds),
            )
            for each in sums
        ],
    )


COMMANDS: tuple[click.Command, ...] = (checks,)

"""Send again: what was received is understood and judged anew, with a preview."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import click

from tieline.cli.showing import hours, show_facts, show_json, show_table, tell
from tieline.cli.tools import Tools, holder, json_option, pass_tools, signed
from tieline.governance import Person, open_web_transaction
from tieline.intake import Slice
from tieline.kernel.errors import UserMistake
from tieline.kernel.periods import Period, month_of
from tieline.services.replaying import Moved, ReplayPlan
from tieline.services.system import System

ROLES = ("controller", "integration")


@click.command()
@click.option("--connection", "connection_key", required=True, help="Whose records.")
@click.option("--object", "object_name", help="Only this kind of record, such as time_entries.")
@click.option("--since", metavar="DAY", help="Only what was received on this day or later.")
@click.option("--until", metavar="DAY", help="Only what was received before this day.")
@click.option("--period", metavar="MONTH", help="Only hours worked in this month, such as 2026-10.")
@click.option("--ref", "refs", multiple=True, help="Only this record of the source; repeat it.")
@click.option("--plan", "is_plan", is_flag=True, help="Say what would happen, and do nothing.")
@click.option("--apply", "is_apply", is_flag=True, help="Do it, or propose it where money moves.")
@click.option("--reason", default="", help="Why; it is kept with the decision.")
@click.option("--by", "login", metavar="LOGIN", help="Who does it; needed to apply.")
@json_option
@pass_tools
def replay(
    tools: Tools,
    connection_key: str,
    object_name: str | None,
    since: str | None,
    until: str | None,
    period: str | None,
    refs: tuple[str, ...],
    is_plan: bool,
    is_apply: bool,
    reason: str,
    login: str | None,
    as_json: bool,
) -> int:
    """Understand and judge again what was received, as it was kept; nothing is asked of its source.

    What is right already does not change. What would change what is sent is proposed, and a second
    person approves it: tieline proposals approve.
    """
    from tieline.services.workday import Workday

    if is_plan == is_apply:
        raise UserMistake("say --plan to see what would happen, or --apply to do it")
    month = _month(period) if period else None
    part = Slice(
        connection_key=connection_key,
        object=object_name,
        since=_day(since),
        until=_day(until),
        worked_since=month.starts_on if month else None,
        worked_until=month.ends_on if month else None,
        refs=refs,
    )
    system = tools.system()
    person = _person(system, login) if is_apply else None
    planned = Workday(system=system).replaying().plan(slice=part)
    if person is None:
        _show(planned, state="planned", proposal=None, as_json=as_json)
        return 0
    _apply(system, person, planned, reason=reason, as_json=as_json)
    return 0


def _apply(
    system: System, person: Person, planned: ReplayPlan, *, reason: str, as_json: bool
) -> None:
    from tieline.services.replaying import must_see, propose_replay
    from tieline.services.workday import Workday

    try:
        must_see(planned, person.entities)
    except LookupError as error:
        raise UserMistake(str(error)) from error
    if not planned.needs_second_person:
        Workday(system=system).replaying().apply(
            plan=planned, by=person.login, through="", reason=reason
        )
        _show(planned, state="done", proposal=None, as_json=as_json)
        return
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        proposal = propose_replay(
            connection,
            plan=planned,
            entities=person.entities,
            by=person.login,
            through="",
            reason=reason,
            now=system.clock.now(),
        )
    _show(planned, state="proposed", proposal=str(proposal.proposal_id), as_json=as_json)


def _person(system: System, login: str | None) -> Person:
    if login is None:
        raise UserMistake("say who does it with --by")
    return holder(signed(system, login), roles=ROLES)


def _show(planned: ReplayPlan, *, state: str, proposal: str | None, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "state": state,
                "proposal_id": proposal,
                "needs_second_person": planned.needs_second_person,
                "plan": planned,
            }
        )
        return
    show_facts(
        {
            "state": state,
            **({"proposal_id": proposal} if proposal else {}),
            "records": planned.records,
            "unchanged": planned.unchanged,
            "newer_versions": planned.newer_versions,
            "not_understood": planned.not_understood,
            "kept_no_longer": planned.kept_no_longer,
            "gone_at_source": planned.gone_at_source,
            "rejudged": planned.rejudged,
            "new_check_results": planned.verdicts,
        },
        as_json=False,
    )
    show_moved(planned.moved, is_done=state == "done")
    if planned.needs_second_person and state == "planned":
        tell("a second person must approve this")


def show_moved(moved: Sequence[Moved], *, is_done: bool) -> None:
    """Print what is sent otherwise, in lines, hours and money per currency."""
    show_table(
        title="What is sent otherwise" if is_done else "What would be sent otherwise",
        columns=("What", "Lines", "Hours", "Amount"),
        rows=[
            (
                each.what.replace("_", " "),
                str(each.lines),
                hours(each.seconds),
                f"{each.amount} {each.currency}" if each.currency else "unpriced",
            )
            for each in moved
        ],
    )


def _month(text: str) -> Period:
    try:
        return month_of(date.fromisoformat(f"{text}-01"))
    except ValueError as error:
        raise UserMistake(f"{text} is not a month: write YYYY-MM") from error


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserMistake(f"{text} is not a day: write YYYY-MM-DD") from error


COMMANDS: tuple[click.Command, ...] = (replay,)

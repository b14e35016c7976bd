"""Who has not handed in or approved time; commands of the group ``time``."""

from __future__ import annotations

from datetime import datetime

import click

from tieline.cli.hours import time
from tieline.cli.showing import hours, show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    Tools,
    as_id,
    by_option,
    decider,
    holder,
    json_option,
    pass_tools,
    reason_option,
    signed,
)
from tieline.governance import open_web_transaction
from tieline.kernel.errors import UserMistake

_DAY = click.DateTime(["%Y-%m-%d"])
_ROLES = ("controller", "finance", "delivery")
_entity_option = click.option("--entity", default="", help="Only this legal entity.")
_period_option = click.option(
    "--period", default="", help="Such as 2026-10; else what closes next."
)


@time.command("missing")
@_entity_option
@_period_option
@json_option
@pass_tools
def missing(tools: Tools, entity: str, period: str, as_json: bool) -> int:
    """Who has not handed in or approved time, per person and approver, with an estimate of its worth."""
    from tieline.services.missing_time import read_missing_time

    system = tools.system()
    with system.database.transaction() as connection:
        found = read_missing_time(
            connection, now=system.clock.now(), entity_code=entity, period_code=period
        )
    if as_json:
        show_json(
            {
                "missing_seconds": found.missing_seconds,
                "unapproved_seconds": found.unapproved_seconds,
                "worths": found.worths,
                "unpriced_seconds": found.unpriced_seconds,
                "unknown_people": found.unknown_people,
                "people": found.people,
                "approvers": found.approvers,
            }
        )
        return 0
    show_table(
        title="Missing time",
        columns=(
            "Person",
            "Entity",
            "Expected",
            "Entered",
            "Submitted",
            "Approved",
            "Missing",
            "About",
        ),
        rows=[
            (
                each.person.name or str(each.person.person_id),
                f"{each.entity_code} {each.period_code}",
                hours(each.expected_seconds),
                hours(each.entered_seconds),
                "not checked" if each.submitted_seconds is None else hours(each.submitted_seconds),
                hours(each.approved_seconds),
                hours(each.missing_seconds),
                f"{each.worth.amount} {each.worth.currency}" if each.worth else "no estimate",
            )
            for each in found.people
            if each.missing_seconds or each.unapproved_seconds
        ],
    )
    show_table(
        title="Waits for approval",
        columns=("Approver", "Entity", "Hours", "Away until before", "Stands in"),
        rows=[
            (
                each.person.name or str(each.person.person_id),
                f"{each.entity_code} {each.period_code}",
                hours(each.unapproved_seconds),
                "" if each.away_until is None else str(each.away_until),
                "" if each.deputy is None else each.deputy.name or str(each.deputy.person_id),
            )
            for each in found.approvers
        ],
    )
    if found.unknown_people:
        tell(f"of {found.unknown_people} people it is not known on some days what was expected")
    return 0


@time.command("remind")
@_entity_option
@_period_option
@reason_option
@by_option
@json_option
@pass_tools
def remind_people(
    tools: Tools, entity: str, period: str, reason: str, login: str, as_json: bool
) -> int:
    """Send one message to each person who is missing time or is to approve, once a day."""
    from tieline.services.missing_time import read_missing_time, remind
    from tieline.services.reminding import reminding_desk

    system = tools.system()
    person = holder(signed(system, login), roles=_ROLES)
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        found = read_missing_time(
            connection, now=system.clock.now(), entity_code=entity, period_code=period
        )
    with system.database.transaction() as connection:
        done = remind(
            connection,
            found=found,
            desk=reminding_desk(connection, system=system),
            by=decider(person).login,
            reason=reason,
        )
    show_facts(
        {
            "messages": done.written,
            "told_today_already": done.already,
            "without_an_address": [str(each.person_id) for each in done.unreached],
        },
        as_json=as_json,
    )
    return 0


@time.command("deputize")
@click.argument("approver")
@click.argument("deputy")
@click.option("--from", "starts", type=_DAY, required=True, help="The first day.")
@click.option("--to", "ends", type=_DAY, required=True, help="The first day after it.")
@reason_option
@by_option
@json_option
@pass_tools
def deputize_approver(
    tools: Tools,
    approver: str,
    deputy: str,
    starts: datetime,
    ends: datetime,
    reason: str,
    login: str,
    as_json: bool,
) -> int:
    """Propose that DEPUTY approves for APPROVER, an id as `time missing --json` gives it."""
    from tieline.services.missing_time import deputize, read_missing_time

    system = tools.system()
    person = holder(signed(system, login), roles=_ROLES)
    approver_id = as_id(approver, what="person")
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        found = read_missing_time(connection, now=system.clock.now())
    if approver_id not in {each.person.person_id for each in found.approvers}:
        raise UserMistake(f"nobody in your sight waits for an approval of {approver}")
    with system.database.transaction() as connection:
        done = deputize(
            connection,
            approver_id=approver_id,
            deputy=deputy,
            starts_on=starts.date(),
            ends_on=ends.date(),
            by=decider(person).login,
            reason=reason,
            now=system.clock.now(),
        )
    show_facts({"proposal": done.proposal_id}, as_json=as_json)
    return 0


# They are found under the group that they join.
COMMANDS: tuple[click.Command, ...] = ()

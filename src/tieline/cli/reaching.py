"""Whom messages reach: addresses, deputies and people on call; commands of the group ``people``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from tieline.cli.rights import people
from tieline.cli.showing import show_facts, show_json, show_table
from tieline.cli.tools import Tools, json_option, pass_tools, shell_user
from tieline.notices import ALL_STAFF

_DAY = click.DateTime(["%Y-%m-%d"])
_QUEUE = "queue:"


@people.command("reach")
@click.argument("who")
@click.option("--channel", "connection_key", required=True, help="A connection to people.")
@click.option("--address", default="", help="Where the channel finds them; not all need one.")
@click.option("--urgent-only", is_flag=True, help="What comes before a cut-off, and no digest.")
@click.option("--remove", is_flag=True, help="Tell them nothing there any more.")
@json_option
@pass_tools
def people_reach(
    tools: Tools,
    who: str,
    connection_key: str,
    address: str,
    urgent_only: bool,
    remove: bool,
    as_json: bool,
) -> int:
    """Say where WHO, a login, queue:NAME or staff:all, is reached over a channel."""
    from tieline.notices import Reached, set_reach, unset_reach

    system = tools.system()
    recipient, by, now = _owner(who), shell_user(), system.clock.now()
    with system.database.transaction() as connection:
        if remove:
            unset_reach(
                connection, recipient=recipient, connection_key=connection_key, by=by, now=now
            )
        else:
            reached = Reached(
                recipient=recipient,
                connection_key=connection_key,
                address=address,
                urgent_only=urgent_only,
            )
            set_reach(connection, reached=reached, by=by, now=now)
    state = "removed" if remove else "reached"
    show_facts({"recipient": recipient, "channel": connection_key, "state": state}, as_json=as_json)
    return 0


@people.command("deputy")
@click.argument("login")
@click.argument("deputy")
@click.option("--from", "starts", type=_DAY, required=True, help="The first day.")
@click.option("--to", "ends", type=_DAY, required=True, help="The first day after it.")
@click.option("--remove", is_flag=True, help="Take back what was said so.")
@json_option
@pass_tools
def people_deputy(
    tools: Tools,
    login: str,
    deputy: str,
    starts: datetime,
    ends: datetime,
    remove: bool,
    as_json: bool,
) -> int:
    """Let DEPUTY be told what LOGIN would be, from a day until before another."""
    from tieline.notices import person_owner, set_deputy, unset_stand_in

    keep = unset_stand_in if remove else set_deputy
    return _stand_in(tools, keep, person_owner(login.lower()), deputy, starts, ends, as_json)


@people.command("on-call")
@click.argument("queue")
@click.argument("login")
@click.option("--from", "starts", type=_DAY, required=True, help="The first day.")
@click.option("--to", "ends", type=_DAY, required=True, help="The first day after it.")
@click.option("--remove", is_flag=True, help="Take back what was said so.")
@json_option
@pass_tools
def people_on_call(
    tools: Tools,
    queue: str,
    login: str,
    starts: datetime,
    ends: datetime,
    remove: bool,
    as_json: bool,
) -> int:
    """Put LOGIN on call for a QUEUE, from a day until before another."""
    from tieline.notices import queue_owner, set_on_call, unset_stand_in

    keep = unset_stand_in if remove else set_on_call
    owner = queue_owner(queue.removeprefix(_QUEUE))
    return _stand_in(tools, keep, owner, login, starts, ends, as_json)


@people.command("reached")
@json_option
@pass_tools
def people_reached(tools: Tools, as_json: bool) -> int:
    """List who is reached where, who stands in for whom, and who is on call."""
    from tieline.notices import list_reached, list_stand_ins

    system = tools.system()
    with system.database.transaction() as connection:
        reached = list_reached(connection)
        stand_ins = list_stand_ins(connection)
    if as_json:
        show_json({"reached": reached, "stand_ins": stand_ins})
        return 0
    show_table(
        title="Reached",
        columns=("Who", "Channel", "Address", "What"),
        rows=[
            (
                each.recipient,
                each.connection_key,
                each.address,
                "urgent only" if each.urgent_only else "everything",
            )
            for each in reached
        ],
    )
    show_table(
        title="Deputies and people on call",
        columns=("For", "Who", "From", "Until before"),
        rows=[
            (each.owner, each.login, f"{each.starts_on}", f"{each.ends_on}") for each in stand_ins
        ],
    )
    return 0


def _stand_in(
    tools: Tools,
    keep: Callable[..., Any],
    owner: str,
    login: str,
    starts: datetime,
    ends: datetime,
    as_json: bool,
) -> int:
    from tieline.notices import StandIn

    system = tools.system()
    stand_in = StandIn(
        owner=owner, login=login.lower(), starts_on=starts.date(), ends_on=ends.date()
    )
    with system.database.transaction() as connection:
        keep(connection, stand_in=stand_in, by=shell_user(), now=system.clock.now())
    show_facts(
        {
            "for": owner,
            "login": stand_in.login,
            "from": stand_in.starts_on,
            "until_before": stand_in.ends_on,
        },
        as_json=as_json,
    )
    return 0


def _owner(who: str) -> str:
    return who if who.startswith(_QUEUE) or who == ALL_STAFF else f"person:{who.lower()}"


# They are found under the group that they join.
COMMANDS: tuple[click.Command, ...] = ()

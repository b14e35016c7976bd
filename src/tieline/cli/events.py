"""Who hears what happened in the business, and what they have not taken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from tieline.cli.showing import show_json, show_table, tell
from tieline.cli.tools import GOAL_MISSED, Tools, json_option, pass_tools, shell_user
from tieline.kernel.errors import UserMistake
from tieline.runtime.outbox import Receiver, list_receivers


@click.command()
@click.argument("connection_key", required=False)
@click.option("--send-again", is_flag=True, help="Queue anew what was given up.")
@json_option
@pass_tools
def events(tools: Tools, connection_key: str | None, send_again: bool, as_json: bool) -> int:
    """Per connection that hears events, how many wait, went out, and were given up.

    The exit code is 0 when nothing was given up.
    """
    from tieline.services.telling import tell_again

    system = tools.system()
    with system.database.transaction() as connection:
        if send_again:
            queued = tell_again(
                connection,
                connection_key=connection_key,
                by=shell_user(),
                now=system.clock.now(),
            )
            tell(f"{queued} events are queued anew")
        receivers = list_receivers(connection, connection_key=connection_key)
    if connection_key is not None and not receivers:
        raise UserMistake(f"{connection_key} is no connection that hears events")
    _show(receivers, as_json=as_json)
    return GOAL_MISSED if any(one.failed for one in receivers) else 0


def _show(receivers: Sequence[Receiver], *, as_json: bool) -> None:
    if as_json:
        show_json({"receivers": receivers})
        return
    show_table(
        title="Who hears events",
        columns=("Connection", "Mode", "Waiting", "Since", "Sent", "Last", "Given up", "Why"),
        rows=[
            (
                one.connection_key,
                "paused" if one.paused else one.mode,
                str(one.waiting),
                _instant(one.waiting_since),
                str(one.sent),
                _instant(one.last_sent_at),
                str(one.failed),
                one.last_error or "",
            )
            for one in receivers
        ],
    )


def _instant(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


COMMANDS: tuple[click.Command, ...] = (events,)

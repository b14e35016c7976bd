"""What people were told: to whom, over which channel, and what was not taken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from tieline.cli.showing import show_json, show_table, tell
from tieline.cli.tools import GOAL_MISSED, Tools, json_option, pass_tools, shell_user
from tieline.notices import WrittenNotice, list_notices

_SHOWN, _SHOWN_MAX = 50, 500


@click.command()
@click.option("--to", "recipient", help="Only those to queue:NAME or person:LOGIN.")
@click.option("--limit", type=click.IntRange(1, _SHOWN_MAX), default=_SHOWN, show_default=True)
@click.option("--send-again", is_flag=True, help="Have sent anew what was given up.")
@json_option
@pass_tools
def messages(
    tools: Tools, recipient: str | None, limit: int, send_again: bool, as_json: bool
) -> int:
    """The newest messages to people, and how each stands.

    The exit code is 0 when none of them was given up.
    """
    from tieline.services.messaging import send_messages_again

    system = tools.system()
    with system.database.transaction() as connection:
        if send_again:
            queued = send_messages_again(connection, by=shell_user(), now=system.clock.now())
            tell(f"{queued} messages are queued anew")
        found = list_notices(connection, owner=recipient, limit=limit)
    _show(found, as_json=as_json)
    return GOAL_MISSED if any(one.state == "failed" for one in found) else 0


def _show(found: Sequence[WrittenNotice], *, as_json: bool) -> None:
    if as_json:
        show_json({"messages": found})
        return
    show_table(
        title="Messages to people",
        columns=("Written", "For", "To", "Channel", "What", "State", "Seen", "Why"),
        rows=[
            (
                _instant(one.written_at),
                one.owner,
                one.recipient,
                one.connection_key or "none",
                one.subject,
                one.state,
                _instant(one.acknowledged_at),
                one.last_error or "",
            )
            for one in found
        ],
    )


def _instant(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


COMMANDS: tuple[click.Command, ...] = (messages,)

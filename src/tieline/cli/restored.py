"""What was posted after the point to which a backup was restored, and how far it is followed up."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tieline.cli.showing import hours, show_json, show_table, tell
from tieline.cli.tools import GOAL_MISSED, Tools, json_option, pass_tools, shell_user
from tieline.kernel.errors import UserMistake


@click.command()
@click.option("--begin", "is_begun", is_flag=True,
              help="Say that the database was restored: nothing is sent before the targets were asked.")  # fmt: skip
@click.option("--end", "is_ended", is_flag=True,
              help="Say that nothing of that time is to come any more.")  # fmt: skip
@click.option("--reason", help="Why; it is kept with --begin and --end.")
@json_option
@pass_tools
def restored(
    tools: Tools, is_begun: bool, is_ended: bool, reason: str | None, as_json: bool
) -> int:
    """List what was posted since the point to which a backup was restored.

    A restored database is noticed when it is opened; --begin says so where nothing shows it. Workers
    then read every source, ask every target, and link what stands there before anything is sent. The
    exit code is 0 when nothing is left to ask or to settle.
    """
    from tieline.services.restoring import begin, end, get_newest, list_writes, waits_for

    if is_begun and is_ended:
        raise UserMistake("--begin or --end, not both")
    if (is_begun or is_ended) and not reason:
        raise UserMistake("say why with --reason")
    system = tools.system()
    with system.database.transaction() as connection:
        if is_begun:
            begin(
                connection,
                because=str(reason),
                by=shell_user(),
                home=system.settings.home,
                now=system.clock.now(),
            )
        if is_ended:
            end(connection, by=shell_user(), reason=str(reason), now=system.clock.now())
        newest = get_newest(connection)
        if newest is None:
            _nothing(as_json=as_json)
            return 0
        writes = list_writes(connection, restoration=newest)
        waiting: Sequence[str] = waits_for(connection, restoration=newest)
    open_writes = [each for each in writes if each.settled_at is None]
    if as_json:
        show_json({"restoration": newest, "waits_for": waiting, "writes": writes})
    else:
        tell(f"{newest.phase} since {newest.begun_at:%Y-%m-%d %H:%M}: {newest.because}")
        for name in waiting:
            tell(f"waits for {name}")
        show_table(
            title="Unknown to the backup",
            columns=("Target", "Entity", "Noun", "There", "Source", "Hours", "Outcome", "Settled"),
            rows=[
                (
                    each.target_connection,
                    each.entity_code,
                    each.noun,
                    each.target_code,
                    f"{each.connection_key} {each.source_ref}",
                    "" if each.seconds is None else hours(each.seconds),
                    each.outcome,
                    "" if each.settled_at is None else f"{each.settled_at:%Y-%m-%d %H:%M}",
                )
                for each in writes
            ],
        )
    return 0 if newest.phase in ("watching", "over") and not open_writes else GOAL_MISSED


def _nothing(*, as_json: bool) -> None:
    if as_json:
        show_json({"restoration": None, "waits_for": [], "writes": []})
    else:
        tell("no backup was restored")


COMMANDS: tuple[click.Command, ...] = (restored,)

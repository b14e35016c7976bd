"""What changed after it was posted: list it, agree to it, say that it was credited."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tieline.cli.showing import hours, show_json, show_table, tell
from tieline.cli.tools import (
    CONTROLLER,
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
from tieline.services.changes import (
    CHANGES_PAGE_MAX,
    OPEN,
    STATES,
    ChangeSum,
    Correction,
    PostedChange,
)


@click.group(invoke_without_command=True)
@click.option("--entity", help="Only this legal entity.")
@click.option("--period", help="Only this period, such as 2026-10.")
@click.option(
    "--state", type=click.Choice([OPEN, *STATES]), help="Only these; open is what is not done."
)
@click.option("--limit", type=click.IntRange(1, CHANGES_PAGE_MAX), default=100, show_default=True)
@json_option
@click.pass_context
def changes(
    context: click.Context,
    entity: str | None,
    period: str | None,
    state: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """What changed after it was posted, with the net money per period and currency."""
    if context.invoked_subcommand is not None:
        return 0
    from tieline.services.changes import list_changes, list_credits, sum_changes

    tools = context.find_object(Tools)
    assert tools is not None
    system = tools.system()
    with system.database.transaction() as connection:
        found, total = list_changes(
            connection, entity_code=entity, period_code=period, state=state, limit=limit
        )
        sums = [
            each
            for each in sum_changes(connection)
            if entity in (None, each.entity_code) and period in (None, each.period_code)
        ]
        credits_ = list_credits(connection)
    if as_json:
        show_json({"sums": sums, "changes": found, "total": total, "credits": credits_})
        return 0
    _show_sums(sums)
    _show_changes(found)
    if total > len(found):
        tell(f"{len(found)} of {total} are shown")
    return 0


@changes.command("agree")
@click.argument("change_ids", nargs=-1, required=True, metavar="CHANGE...")
@click.option("--preview", "is_preview", is_flag=True, help="Show what would happen, and stop.")
@reason_option
@by_option
@json_option
@pass_tools
def agree(
    tools: Tools,
    change_ids: Sequence[str],
    is_preview: bool,
    reason: str,
    login: str,
    as_json: bool,
) -> int:
    """Agree to changes; where money moves, a second person does too: tieline proposals approve."""
    from tieline.services.changes import agree_to_changes, preview_corrections

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    ids = [as_id(each, what="change") for each in change_ids]
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        planned = preview_corrections(connection, change_ids=ids, connectors=system.connectors)
        if is_preview:
            _show_corrections(planned, as_json=as_json)
            return 0
        done = agree_to_changes(
            connection,
            change_ids=ids,
            reason=reason,
            by=by.login,
            connectors=system.connectors,
            now=system.clock.now(),
        )
    if as_json:
        show_json({"agreed": done.agreed, "proposals": done.proposals})
        return 0
    _show_corrections(planned, as_json=False)
    tell(f"{done.agreed} agreed to; {len(done.proposals)} proposals wait for a second person")
    return 0


@changes.command("credited")
@click.argument("change_ids", nargs=-1, required=True, metavar="CHANGE...")
@click.option("--note", required=True, help="The number of the credit note in the ERP.")
@reason_option
@by_option
@json_option
@pass_tools
def credited(
    tools: Tools, change_ids: Sequence[str], note: str, reason: str, login: str, as_json: bool
) -> int:
    """Say that a credit note stands in the ERP for these; a second person agrees."""
    from tieline.services.changes import propose_credited

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    with open_web_transaction(system.web_database, entities=person.entities) as connection:
        proposal = propose_credited(
            connection,
            change_ids=[as_id(each, what="change") for each in change_ids],
            credit_number=note,
            reason=reason,
            by=by.login,
            now=system.clock.now(),
        )
    if as_json:
        show_json({"proposal": proposal})
    else:
        tell(f"proposal {proposal.proposal_id} waits for a second person")
    return 0


def _show_sums(sums: Sequence[ChangeSum]) -> None:
    show_table(
        title="Net of what changed",
        columns=("Entity", "Period", "State", "Changes", "Hours", "Money"),
        rows=[
            (
                each.entity_code or "",
                each.period_code or "",
                each.state,
                str(each.changes),
                hours(each.seconds),
                f"{each.amount} {each.currency}" if each.amount is not None else "unpriced",
            )
            for each in sums
        ],
    )


def _show_changes(found: Sequence[PostedChange]) -> None:
    show_table(
        title="Changed after it was posted",
        columns=("Id", "Hour", "What", "State", "Way", "Period", "Was", "Is", "Changed"),
        rows=[
            (
                str(each.change_id),
                f"{each.connection_key}:{each.source_ref}",
                each.kind,
                each.state,
                each.way,
                f"{each.whose} {each.period_code or each.new_period_code or ''}",
                f"{hours(each.old_seconds)} h {each.old_amount} {each.old_currency or ''}",
                f"{hours(each.new_seconds)} h {each.new_amount} {each.new_currency or ''}",
                f"{each.changed_at:%Y-%m-%d %H:%M}",
            )
            for each in found
        ],
    )


def _show_corrections(planned: Sequence[Correction], *, as_json: bool) -> None:
    if as_json:
        show_json({"corrections": planned})
        return
    show_table(
        title="What agreeing does",
        columns=("Hour", "Taken back in", "Booked in", "Money moves"),
        rows=[
            (
                f"{each.change.connection_key}:{each.change.source_ref}",
                each.reversal_period_code or each.change.period_code or "nothing stands",
                each.booking_period_code
                or (each.change.new_period_code or "" if each.change.new_seconds else "nowhere"),
                "yes, two people" if each.moves_money else "no",
            )
            for each in planned
        ],
    )


COMMANDS: tuple[click.Command, ...] = (changes,)

"""The audit: whether it is what it was, and giving it to an auditor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from tieline.cli.showing import show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    GOAL_MISSED,
    Tools,
    by_option,
    decider,
    json_option,
    pass_tools,
    signed,
)
from tieline.governance import Anchor, AuditState
from tieline.kernel.errors import UserMistake

AUDITOR = "auditor"


@click.group()
def audit() -> None:
    """Who did what to which thing, when and why: a trail that only gains rows."""


@audit.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--anchor",
    "kept",
    multiple=True,
    metavar="NUMBER:HASH",
    help="An anchor that was kept elsewhere; it must lie on the chain. Repeat it.",
)
@json_option
@pass_tools
def audit_verify(tools: Tools, file: Path | None, kept: Sequence[str], as_json: bool) -> int:
    """Follow the chain of the audit, or of an exported FILE without any database.

    Exit 0 only when nothing was changed, deleted, put in or moved; else each place is named. What was cut
    off at the end shows only against an anchor: the one that this home noted is always asked, those that
    others keep are given with --anchor.
    """
    from tieline.governance import verify_export

    anchors = tuple(Anchor.parse(text) for text in kept)
    if file is not None:
        try:
            with file.open("rb") as source:
                state = verify_export(source, anchors=anchors)
        except OSError as error:
            raise UserMistake(f"{file} cannot be read: {error.strerror}") from error
    else:
        from tieline.services.workday import Workday

        state = Workday(system=tools.system()).sealing().verify(anchors=anchors)
    _show(state, as_json=as_json)
    return 0 if state.is_intact else GOAL_MISSED


@audit.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--after", metavar="NUMBER:HASH", help="Begin after the anchor of an earlier export.")
@by_option
@json_option
@pass_tools
def audit_export(tools: Tools, file: Path, after: str | None, login: str, as_json: bool) -> int:
    """Write the audit to FILE for an auditor, a row per line, and say its anchor.

    Rows of legal entities that LOGIN does not see go out as digests, so that the chain can still be
    followed. Keep the anchor where nobody of this installation can change it.
    """
    from tieline.services.workday import Workday

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=AUDITOR)
    sealing = Workday(system=system).sealing()
    try:
        with file.open("xb") as target:
            anchor = sealing.export(
                to=target,
                entities=person.entities,
                after=None if after is None else Anchor.parse(after),
                by=by.login,
                now=system.clock.now(),
            )
    except OSError as error:
        raise UserMistake(f"{file} cannot be written: {error.strerror}") from error
    show_facts({"file": str(file), "anchor": str(anchor)}, as_json=as_json)
    return 0


def _show(state: AuditState, *, as_json: bool) -> None:
    if as_json:
        show_json({**_facts(state), "faults": state.faults})
        return
    tell("the audit is intact" if state.is_intact else "the audit is NOT what it was")
    show_facts(_facts(state), as_json=False)
    if state.faults:
        show_table(
            title=f"Places where it differs: {state.fault_count}",
            columns=("Link", "Row", "Why"),
            rows=[
                (str(each.seal_no or ""), str(each.audit_id or ""), each.why)
                for each in state.faults
            ],
        )


def _facts(state: AuditState) -> dict[str, object]:
    return {
        "is_intact": state.is_intact,
        "links": state.links,
        "waiting": state.waiting,
        "anchor": str(state.anchor),
        "fault_count": state.fault_count,
    }


COMMANDS: tuple[click.Command, ...] = (audit,)

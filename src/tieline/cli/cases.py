"""What needs a person: list, show, take, replay, dismiss, propose what takes two people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from psycopg import Connection

from tieline.casework import CaseSummary
from tieline.cli.replaying import show_moved
from tieline.cli.showing import as_text, hours, plain, show_facts, show_json, show_table
from tieline.cli.tools import (
    Tools,
    as_id,
    by_option,
    holder,
    json_option,
    pass_tools,
    reason_option,
    signed,
)
from tieline.governance import Person, open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.services.deciding import ROLES_THAT_MATCH, ROLES_THAT_WORK, Decider
from tieline.services.same_client import ClientRecord, KnownClient
from tieline.services.sending_again import Again
from tieline.services.system import System

_CASE = "case"


@click.group(invoke_without_command=True)
@click.option("--reason", help="Only cases with this reason.")
@json_option
@click.pass_context
def cases(context: click.Context, reason: str | None, as_json: bool) -> int:
    """What needs a person, most money first."""
    if context.invoked_subcommand is not None:
        return 0
    return _list(context.find_object(Tools), reason, None, "open", as_json)


@cases.command("list")
@click.option("--reason", help="Only cases with this reason.")
@click.option("--queue", help="Only cases of this owner queue.")
@click.option(
    "--state",
    type=click.Choice(["open", "closed", "dismissed"]),
    default="open",
    show_default=True,
)
@json_option
@pass_tools
def list_them(
    tools: Tools, reason: str | None, queue: str | None, state: str, as_json: bool
) -> int:
    """List what needs a person, incidents first, then by deadline and money."""
    return _list(tools, reason, queue, state, as_json)


@cases.command("show")
@click.argument("case_id", metavar="CASE")
@json_option
@pass_tools
def show(tools: Tools, case_id: str, as_json: bool) -> int:
    """Show one case with its members."""
    from tieline.casework import get_case
    from tieline.services.unconfirmed import list_unconfirmed

    system = tools.system()
    with system.database.transaction() as connection, _known():
        detail = get_case(connection, case_id=as_id(case_id, what=_CASE))
        unconfirmed = list_unconfirmed(
            connection, now=system.clock.now(), case_id=detail.case.case_id
        )
    if as_json:
        show_json({"case": detail.case, "members": detail.members, "unconfirmed": unconfirmed})
        return 0
    show_facts(plain(detail.case), as_json=False)
    for each in unconfirmed:
        click.echo(each.text)
    click.echo(f"What it means: docs/reference/reasons.md#{detail.case.reason}")
    show_table(
        title="Members",
        columns=("Kind", "Record", "Hours", "Amount", "Left"),
        rows=[
            (
                member.kind,
                member.key,
                hours(member.seconds or 0),
                f"{member.amount} {member.currency}" if member.amount is not None else "",
                as_text(member.left_at) if member.left_at else "",
            )
            for member in detail.members
        ],
    )
    return 0


@cases.command("assign")
@click.argument("case_id", metavar="CASE")
@click.argument("to")
@by_option
@json_option
@pass_tools
def assign(tools: Tools, case_id: str, to: str, login: str, as_json: bool) -> int:
    """Give a case to somebody."""
    from tieline.services.deciding import assign_case

    with _deciding(tools, login) as desk:
        assign_case(
            desk.connection, case_id=as_id(case_id, what=_CASE), to=to, by=desk.by,
            now=desk.system.clock.now(),
        )  # fmt: skip
    show_facts({"case_id": case_id, "assigned_to": to}, as_json=as_json)
    return 0


@cases.command("replay")
@click.argument("case_id", metavar="CASE")
@reason_option
@by_option
@json_option
@pass_tools
def replay(tools: Tools, case_id: str, reason: str, login: str, as_json: bool) -> int:
    """Judge, read or send the members of a case again, after its cause was fixed."""
    from tieline.services.deciding import replay_case

    with _deciding(tools, login) as desk:
        replayed = replay_case(
            desk.connection, case_id=as_id(case_id, what=_CASE), reason=reason, by=desk.by,
            now=desk.system.clock.now(),
        )  # fmt: skip
    show_facts({"case_id": case_id, "replayed": replayed}, as_json=as_json)
    return 0


@cases.command("again")
@click.argument("case_ids", metavar="CASE...", nargs=-1)
@click.option("--cause", metavar="REASON", help="All open cases with this reason.")
@click.option("--queue", help="All open cases of this owner queue.")
@click.option("--entity", "entity_code", help="All open cases of this legal entity.")
@click.option("--apply", "digest", metavar="DIGEST", help="Do what was shown under this digest.")
@click.option("--reason", default="", help="Why; it is kept with every case.")
@by_option
@json_option
@pass_tools
def again(
    tools: Tools,
    case_ids: tuple[str, ...],
    cause: str | None,
    queue: str | None,
    entity_code: str | None,
    digest: str | None,
    reason: str,
    login: str,
    as_json: bool,
) -> int:
    """Show what sending several cases again would do; with --apply, do what was shown."""
    from tieline.services.sending_again import find_again, preview_again, send_again

    if digest and not reason.strip():
        raise UserMistake("say with --reason what was done about what held them")
    with _deciding(tools, login) as desk:
        system = desk.system
        chosen = [as_id(each, what=_CASE) for each in case_ids] or find_again(
            desk.connection,
            reason=cause,
            owner_queue=queue,
            entity_code=entity_code,
            now=system.clock.now(),
        )
        if digest:
            shown = send_again(
                desk.connection,
                database=system.database,
                case_ids=chosen,
                digest=digest,
                reason=reason,
                by=desk.by,
                clock=system.clock,
            )
        else:
            shown = preview_again(
                desk.connection, database=system.database, case_ids=chosen, clock=system.clock
            )
    _show_again(shown, is_done=bool(digest), as_json=as_json)
    return 0


def _show_again(shown: Again, *, is_done: bool, as_json: bool) -> None:
    state = "done" if is_done else "shown"
    if as_json:
        show_json({"state": state, "digest": shown.digest, "again": shown})
        return
    show_facts(
        {
            "state": state,
            "cases_sent": len(shown.sent),
            "cases_refused": len(shown.refused),
            "hours": shown.hours,
            "still_held": shown.still_held,
            "digest": shown.digest,
        },
        as_json=False,
    )
    show_table(
        title="Case by case",
        columns=("Case", "Reason", "Thing to fix", "Records", "Held", "Asked again", "Refused"),
        rows=[
            (
                str(each.case.case_id),
                each.case.reason,
                f"{each.case.thing_kind} {each.case.thing_key}",
                str(each.hours),
                ", ".join((str(each.still_held), *each.held_by)),
                str(each.writes + each.records),
                each.refused or "",
            )
            for each in shown.cases
        ],
    )
    show_moved(shown.moved, is_done=is_done)


@cases.command("dismiss")
@click.argument("case_id", metavar="CASE")
@reason_option
@by_option
@json_option
@pass_tools
def dismiss(tools: Tools, case_id: str, reason: str, login: str, as_json: bool) -> int:
    """Close a case that needs nothing; refused while hours wait for it."""
    from tieline.services.deciding import dismiss_case

    with _deciding(tools, login) as desk:
        dismiss_case(
            desk.connection, case_id=as_id(case_id, what=_CASE), reason=reason, by=desk.by,
            now=desk.system.clock.now(),
        )  # fmt: skip
    show_facts({"case_id": case_id, "state": "dismissed"}, as_json=as_json)
    return 0


@cases.command("leave-out")
@click.argument("case_id", metavar="CASE")
@reason_option
@by_option
@json_option
@pass_tools
def leave_out(tools: Tools, case_id: str, reason: str, login: str, as_json: bool) -> int:
    """Propose that the hours of a case be left out for good; a second person decides."""
    from tieline.services.deciding import propose_leave_out

    with _deciding(tools, login) as desk:
        proposal = propose_leave_out(
            desk.connection, case_id=as_id(case_id, what=_CASE), reason=reason, by=desk.by,
            now=desk.system.clock.now(),
        )  # fmt: skip
    show_facts(
        {"case_id": case_id, "proposal_id": proposal.proposal_id, "state": proposal.state},
        as_json=as_json,
    )
    return 0


@cases.command("clients")
@click.argument("case_id", metavar="CASE")
@json_option
@pass_tools
def clients(tools: Tools, case_id: str, as_json: bool) -> int:
    """Show the record that a case is about and the clients it may be."""
    from tieline.services.same_client import read_question

    system = tools.system()
    with system.database.transaction() as connection, _known():
        question = read_question(connection, case_id=as_id(case_id, what=_CASE))
    if as_json:
        show_json({"record": question.record, "candidates": question.candidates})
        return 0
    record = question.record
    show_table(
        title=f"Which client is {record.connection_key} {record.source_ref}?",
        columns=("Client", "Name", "Tax number", "City", "Domain", "Known as", "Alike"),
        rows=[
            ("the record", *_looks(record), "", ""),
            *(
                (
                    str(each.client_id),
                    *_looks(each),
                    ", ".join(each.known_as),
                    "" if each.score is None else str(each.score),
                )
                for each in question.candidates
            ),
        ],
    )
    return 0


@cases.command("same-client")
@click.argument("case_id", metavar="CASE")
@click.option("--client", "client_id", metavar="CLIENT", help="The client that the record is.")
@click.option("--new", "is_new", is_flag=True, help="It is a client that nobody knows yet.")
@reason_option
@by_option
@json_option
@pass_tools
def same_client(
    tools: Tools,
    case_id: str,
    client_id: str | None,
    is_new: bool,
    reason: str,
    login: str,
    as_json: bool,
) -> int:
    """Propose which client the record of a case is; a second person decides."""
    from tieline.services.same_client import propose_same_client

    if is_new == (client_id is not None):
        raise UserMistake("say which client it is with --client, or that it is new with --new")
    with _deciding(tools, login, roles=ROLES_THAT_MATCH) as desk:
        proposal = propose_same_client(
            desk.connection,
            case_id=as_id(case_id, what=_CASE),
            client_id=as_id(client_id, what="client") if client_id else None,
            reason=reason,
            by=desk.by.login,
            now=desk.system.clock.now(),
        )
    show_facts(
        {"case_id": case_id, "proposal_id": proposal.proposal_id, "state": proposal.state},
        as_json=as_json,
    )
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Desk:
    connection: Connection[dict[str, Any]]
    system: System
    person: Person

    @property
    def by(self) -> Decider:
        return Decider(login=self.person.login)


@contextmanager
def _deciding(
    tools: Tools, login: str, *, roles: Sequence[str] = ROLES_THAT_WORK
) -> Iterator[_Desk]:
    system = tools.system()
    person = holder(signed(system, login), roles=roles)
    with (
        open_web_transaction(system.web_database, entities=person.entities) as connection,
        _known(),
    ):
        yield _Desk(connection=connection, system=system, person=person)


@contextmanager
def _known() -> Iterator[None]:
    try:
        yield
    except LookupError as error:
        if type(error) is not LookupError:
            raise
        raise UserMistake(str(error)) from error


def _list(
    tools: Tools | None, reason: str | None, queue: str | None, state: str, as_json: bool
) -> int:
    from tieline.casework import list_cases

    assert tools is not None
    system = tools.system()
    with system.database.transaction() as connection:
        found = list_cases(connection, reason=reason, owner_queue=queue, state=state)
    if as_json:
        show_json({"cases": found})
        return 0
    show_table(
        title="Needs attention",
        columns=("Case", "Reason", "Queue", "Thing to fix", "Entity", "Hours", "Amount", "Due"),
        rows=[_row(case) for case in found],
    )
    return 0


def _looks(client: ClientRecord | KnownClient) -> tuple[str, str, str, str]:
    return (client.name, client.vat_number or "", client.city or "", client.domain or "")


def _row(case: CaseSummary) -> tuple[str, ...]:
    return (
        str(case.case_id),
        case.reason,
        case.owner_queue,
        f"{case.thing_kind} {case.thing_key}",
        case.entity_code or "",
        hours(case.seconds),
        ", ".join(f"{money.amount} {money.currency}" for money in case.amounts),
        f"{case.due_at:%Y-%m-%d %H:%M}" if case.due_at else "",
    )


COMMANDS: tuple[click.Command, ...] = (cases,)

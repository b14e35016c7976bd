"""The register: reference data from files, and who is on which project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from tieline.cli.showing import hours, plain, show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    CONTROLLER,
    GOAL_MISSED,
    Tools,
    decider,
    instant,
    json_option,
    pass_tools,
    read_bytes,
    signed,
    write_bytes,
)
from tieline.kernel.errors import UserMistake

if TYPE_CHECKING:
    from tieline.services.code_impact import Impact
    from tieline.services.reference_files import File, Preview
    from tieline.services.register_lists import Standing, ToldBy
    from tieline.validation import Effect

_SHOWN_MAX = 500


@click.command()
@click.option("--project", help="Only this project, by its code.")
@click.option("--person", type=click.UUID, help="Only this person, by our id.")
@click.option("--entity", help="Only projects of this legal entity.")
@click.option("--on", "on_day", help="Only what holds on this day: YYYY-MM-DD.")
@json_option
@pass_tools
def assignments(
    tools: Tools,
    project: str | None,
    person: UUID | None,
    entity: str | None,
    on_day: str | None,
    as_json: bool,
) -> int:
    """Who is on which project from when until when, who said so and where it stands; 500 at most."""
    from tieline.services.register_lists import list_assignments

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_assignments(
            connection,
            systems=system.systems,
            project_code=project,
            person_id=person,
            entity_code=entity,
            on_date=_day(on_day),
            limit=_SHOWN_MAX,
        )
    if as_json:
        show_json({"assignments": found})
        return 0
    show_table(
        title="Assignments",
        columns=("Project", "Person", "As", "From", "Until", "Told by", "Stands", "Cases"),
        rows=[
            (
                each.project_code,
                each.person_name or str(each.person_id),
                each.labor_category,
                each.starts_on.isoformat(),
                "" if each.ends_on is None else each.ends_on.isoformat(),
                _origin(each.told_by),
                ", ".join(_standing(one) for one in each.standing),
                str(len(each.cases)),
            )
            for each in found
        ],
    )
    return 0


@click.group()
def register() -> None:
    """Reference data from files: which nouns there are, and loading one."""


@register.command("nouns")
@click.argument("name", required=False)
@json_option
@pass_tools
def nouns(tools: Tools, name: str | None, as_json: bool) -> int:
    """What may be loaded, or the columns of the file of one NAME."""
    from tieline.register import NOUNS, file_columns
    from tieline.services.reference_files import get_noun

    if name is None:
        listed = [
            (each.name, "two" if each.moves_money else "one", each.says) for each in NOUNS.values()
        ]
        if as_json:
            show_json(
                {
                    "nouns": [
                        dict(zip(("noun", "people", "says"), each, strict=True)) for each in listed
                    ]
                }
            )
            return 0
        show_table(title="Nouns", columns=("Noun", "People", "What it says"), rows=listed)
        return 0
    noun = get_noun(name)
    columns = [
        (each.name, each.kind.value, each.empty.value, each.says) for each in file_columns(noun)
    ]
    if as_json:
        names = ("column", "kind", "empty", "says")
        show_json(
            {"noun": name, "columns": [dict(zip(names, each, strict=True)) for each in columns]}
        )
        return 0
    show_table(
        title=f"{name}: {noun.says}",
        columns=("Column", "Holds", "Empty means", "What it says"),
        rows=columns,
    )
    return 0


@register.command("load")
@click.argument("noun")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--whole", "is_whole", is_flag=True, help="What the file does not name is ended.")
@click.option(
    "--effect",
    "is_tried",
    is_flag=True,
    help="Also what it would do to hours, unposted, posted, drafted and invoiced, and to deals.",
)
@click.option(
    "--apply", "is_applied", is_flag=True, help="Load it, or propose it where money moves."
)
@click.option("--by", "login", metavar="LOGIN", help="Who loads it; needed with --apply.")
@click.option("--reason", help="Why; it is kept with the load. Needed with --apply.")
@json_option
@pass_tools
def load(
    tools: Tools,
    noun: str,
    file: Path,
    is_whole: bool,
    is_tried: bool,
    is_applied: bool,
    login: str | None,
    reason: str | None,
    as_json: bool,
) -> int:
    """Show what a FILE of a NOUN, CSV or XLSX, would change; with --apply, change it.

    Exit 1 when a line cannot be loaded. What moves money waits for a second person then.
    """
    from tieline.services.reference_files import (
        deals_of_file,
        effect_of_file,
        preview_file,
        read_file,
    )

    read = read_file(noun=noun, name=file.name, body=read_bytes(file), is_whole=is_whole)
    if is_applied:
        if login is None or reason is None:
            raise UserMistake("--apply needs --by LOGIN and --reason TEXT")
        return _load(tools, read, login, reason, as_json=as_json)
    system = tools.system()
    effects: tuple[Effect, ...] = ()
    deals: Impact | None = None
    with system.database.transaction() as connection:
        preview = preview_file(connection, file=read)
        if is_tried and not preview.mistakes:
            effects = effect_of_file(connection, file=read, now=system.clock.now())
            deals = deals_of_file(connection, file=read, now=system.clock.now())
    if as_json:
        show_json({**plain(preview), "effect": effects, "deals": deals})
    else:
        _show_preview(preview)
        if is_tried:
            _show_effect(effects)
        if deals is not None and deals.is_asked:
            _show_deals(deals)
    return GOAL_MISSED if preview.mistakes else 0


@register.command("export")
@click.argument("noun")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Into this file, XLSX where it ends so; without it, CSV to the output.",
)
@click.option("--known-at", help="As it was known at an instant, such as 2026-10-31T22:00:00Z.")
@json_option
@pass_tools
def export(tools: Tools, noun: str, out: Path | None, known_at: str | None, as_json: bool) -> int:
    """Write what stands of a NOUN as a file that may be loaded; what stood before takes a load back."""
    from tieline.register import as_csv
    from tieline.services.reference_files import export_file

    if as_json and out is not None:
        raise UserMistake("--json and --out are two ways to write it: choose one")
    system = tools.system()
    at = system.clock.now() if known_at is None else instant(known_at, hint="--known-at")
    with system.database.transaction() as connection:
        rows = export_file(connection, noun=noun, known_at=at)
    header, told = rows[0], rows[1:]
    if as_json:
        show_json({"noun": noun, "rows": [dict(zip(header, row, strict=True)) for row in told]})
        return 0
    if out is None:
        click.echo(as_csv(rows).decode(), nl=False)
        return 0
    is_book = out.suffix.casefold() == ".xlsx"
    write_bytes(out, _workbook(noun, rows, at) if is_book else as_csv(rows))
    tell(f"{len(told)} rows are in {out}")
    return 0


@register.command("orders")
@click.argument("contract", required=False)
@json_option
@pass_tools
def orders(tools: Tools, contract: str | None, as_json: bool) -> int:
    """Clients' purchase orders, of one CONTRACT or all, and what stands on each by place."""
    from tieline.services.terms_lists import list_orders

    with tools.system().database.transaction() as connection:
        found = list_orders(connection, contract_code=contract)
    if as_json:
        show_json({"orders": [{**plain(each), "left_amount": each.left_amount} for each in found]})
        return 0
    show_table(
        title="Purchase orders",
        columns=(
            "Contract",
            "Order",
            "From",
            "Until",
            "Tasks",
            "Worth",
            "Not posted",
            "Posted",
            "Drafted",
            "Invoiced",
            "Left",
        ),
        rows=[
            (
                each.contract_code,
                each.order_number,
                each.starts_on.isoformat(),
                "" if each.ends_on is None else each.ends_on.isoformat(),
                each.tasks or "",
                "" if each.amount is None else f"{each.amount} {each.currency}",
                str(each.unposted_amount),
                str(each.posted_amount),
                str(each.drafted_amount),
                str(each.invoiced_amount),
                "" if each.left_amount is None else str(each.left_amount),
            )
            for each in found
        ],
    )
    return 0


@register.command("legs")
@click.option("--period", help="Only this period of either company, such as 2026-10.")
@json_option
@pass_tools
def legs(tools: Tools, period: str | None, as_json: bool) -> int:
    """What one company owes another for its people, and the state of each one's period.

    It is expected by transfer price; what the home company booked is told by a file.
    """
    from tieline.services.terms_lists import list_legs

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_legs(connection, period_code=period, now=system.clock.now())
    if as_json:
        show_json({"legs": found})
        return 0
    show_table(
        title="Between companies",
        columns=(
            "Home",
            "Period",
            "Project",
            "Period",
            "Hours",
            "Amount",
            "Unpriced",
            "Booked",
            "State",
        ),
        rows=[
            (
                each.home_entity_code,
                f"{each.home_period_code or ''} {each.home_period_state or 'none'}",
                each.project_entity_code,
                f"{each.project_period_code} {each.project_period_state}",
                hours(each.seconds),
                "" if each.amount is None else f"{each.amount} {each.currency}",
                str(each.unpriced),
                "" if each.booked_amount is None else f"{each.booked_amount} {each.currency}",
                each.state.replace("_", " "),
            )
            for each in found
        ],
    )
    return 0


def _workbook(noun: str, rows: Sequence[Sequence[str]], at: datetime) -> bytes:
    from tieline.console.workbook import About, Column, Sheet, make_workbook
    from tieline.services.reference_files import SHEET

    about = About(
        title=noun,
        as_of=at,
        by="shell",
        filters={},
        notes=(f"Send it back: tieline register load {noun} FILE. Days stay text: 2026-10-31.",),
    )
    columns = [Column(title=title, width=24) for title in rows[0]]
    return make_workbook(about=about, sheets=[Sheet(name=SHEET, columns=columns, rows=rows[1:])])


def _load(tools: Tools, read: File, login: str, reason: str, *, as_json: bool) -> int:
    from tieline.services.reference_files import load_file

    system = tools.system()
    by = decider(signed(system, login), role=CONTROLLER)
    with system.database.transaction() as connection:
        done = load_file(connection, file=read, by=by.login, reason=reason, now=system.clock.now())
    show_facts({"rows": done.rows, "proposal": done.proposal_id}, as_json=as_json)
    return 0


def _show_preview(preview: Preview) -> None:
    for each in preview.mistakes:
        tell(f"line {each.line}{', ' + each.column if each.column else ''}: {each.sentence}")
    show_table(
        title=f"{preview.file_name}: {preview.added} added, {preview.changed} changed,"
        f" {preview.ended} ended, {preview.same} the same",
        columns=("Line", "What", "Of", "Before", "After"),
        rows=[
            (
                str(each.line or ""),
                each.kind,
                " ".join(word for word in each.key.values() if word),
                _told(each.before),
                _told(each.after),
            )
            for each in preview.changes
        ],
    )
    if preview.takes_two:
        tell("it moves money: with --apply it waits for a second person")


def _show_effect(effects: Sequence[Effect]) -> None:
    show_table(
        title="What it would do",
        columns=("Contract", "Place", "Hours", "Before", "After", "Held", "Free", "Other order"),
        rows=[
            (
                each.contract_code,
                each.place,
                hours(each.seconds),
                f"{each.before_amount} {each.currency or ''}",
                f"{each.after_amount} {each.currency or ''}",
                str(each.newly_held),
                str(each.newly_free),
                str(each.other_order),
            )
            for each in effects
        ],
    )


def _show_deals(impact: Impact) -> None:
    show_table(
        title="Deals that would be read otherwise",
        columns=("Now", "Deals", "Worth", "Newly won", "Newly held"),
        rows=[
            (
                each.place,
                str(each.deals),
                f"{each.amount} {each.currency or ''}",
                str(each.newly_won),
                str(each.newly_held),
            )
            for each in impact.sums
        ],
    )
    show_table(
        title="What they would say",
        columns=("Deal", "Project", "What", "Now", "Then"),
        rows=[
            (deal.deal, deal.project_code or "", each.name, each.before, each.after)
            for deal in impact.deals
            for each in deal.readings
        ],
    )


def _told(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value)


def _origin(told: ToldBy | None) -> str:
    if told is None:
        return ""
    line = "" if told.line_number is None else f" line {told.line_number}"
    return f"{told.connection_key}{line}"


def _standing(one: Standing) -> str:
    if one.state == "CONFIRMED":
        return one.connection_key
    why = one.state.lower() if one.because is None else f"{one.state.lower()}: {one.because}"
    return f"{one.connection_key} ({why})"


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserMistake(f"--on {text} is not a day: write YYYY-MM-DD") from error


COMMANDS: tuple[click.Command, ...] = (assignments, register)

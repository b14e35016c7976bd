"""Make the installation, keep it running, and say whether everything runs; the demo."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import click

from tieline.cli.rights import chosen_password, login_of
from tieline.cli.showing import as_text, hours, show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    GOAL_MISSED,
    Tools,
    in_file,
    installed_settings,
    json_option,
    pass_tools,
)
from tieline.kernel.errors import UserMistake
from tieline.proof import processes
from tieline.proof.supervising import Supervisor, Watch, alone
from tieline.runtime.postgres import EmbeddedCluster
from tieline.settings import Settings, read_settings

_PEOPLE_MIN = 2
_WORKERS_MAX = 32
_WEB = "web"
_WEB_RUN_FILE = "console.json"


@click.command()
@click.option(
    "--firm",
    "firm_file",
    type=click.Path(path_type=Path),
    help="The legal entities and when they close, as TOML; see examples/firm.toml.",
)
@click.option(
    "--person",
    "people",
    multiple=True,
    default=("controller", "finance"),
    show_default=True,
    metavar="LOGIN",
    help="Who may log in first; two at least, for nobody approves their own proposal.",
)
@click.option("--ask-passwords", is_flag=True, help="Ask for the passwords; else they are made up.")
@json_option
@pass_tools
def init(
    tools: Tools,
    firm_file: Path | None,
    people: Sequence[str],
    ask_passwords: bool,
    as_json: bool,
) -> int:
    """Make the installation: database, roles, first people, and the shipped rules as a draft.

    Asked for again it adds what is missing. Passwords that are made up are shown once. The first
    person proposes the rules; another approves them: tieline proposals approve release:1 --by LOGIN.
    """
    from tieline.services.beginning import FirstPerson, begin, read_firm

    logins = [login_of(person) for person in people]
    if len(set(logins)) < _PEOPLE_MIN:
        raise UserMistake("two people at least: nobody approves their own proposal")
    entities = in_file(firm_file, read_firm) if firm_file else ()
    settings = read_settings()
    first = [
        FirstPerson(login=login, password=chosen_password(login, is_asked=ask_passwords))
        for login in logins
    ]
    system = tools.open(settings)
    with system.database.transaction() as connection:
        begun = begin(connection, people=first, entities=entities, now=system.clock.now())
    shown = {} if ask_passwords else {person.login: person.password for person in first}
    facts = {
        "home": str(settings.home),
        "people": {login: shown.get(login, "as chosen") for login in begun.people},
        "entities": begun.entities,
        "periods_opened": begun.periods,
        "draft_release": None if begun.release_id is None else f"release:{begun.release_id}",
    }
    show_facts(facts, as_json=as_json)
    return 0


@click.command()
@click.option(
    "--workers", type=click.IntRange(1, _WORKERS_MAX), default=2, show_default=True,
    help="How many worker processes.",
)  # fmt: skip
@json_option
@click.pass_context
def up(context: click.Context, workers: int, as_json: bool) -> int:
    """Run the database, the workers and the pages until Ctrl-C; what dies is started again."""
    tools = context.find_object(Tools)
    assert tools is not None
    settings = installed_settings()
    group = context.find_root().command
    has_web = isinstance(group, click.Group) and _WEB in group.commands
    stop = _stop_on_signals()
    with alone(settings.run_directory):
        for name in processes.clear(settings.run_directory):
            tell(f"cleared {name}, left behind by an earlier run")
        cluster = None if settings.dsn else EmbeddedCluster(settings.postgres_directory)
        was_running = cluster is not None and cluster.is_running
        # Brings the database up and to date before the first worker asks for it.
        tools.system()
        supervisor = Supervisor(
            run_directory=settings.run_directory,
            log_directory=settings.log_directory,
            environment=_environment(settings),
            look_after=Watch(
                cluster=cluster, run_file=settings.run_directory / _WEB_RUN_FILE, tell=tell
            ).look,
            tell=tell,
        )
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        for name in names:
            supervisor.add(name=name, words=["worker"])
        if has_web:
            supervisor.add(name=_WEB, words=[_WEB])
        _say_up(settings, [*names, *([_WEB] if has_web else [])], as_json=as_json)
        supervisor.run(stop)
        if cluster is not None and not was_running:
            cluster.stop()
    tell("stopped")
    return 0


@click.command()
@pass_tools
def worker(tools: Tools) -> int:
    """Read, judge, post and provision until told to stop."""
    return tools.run_worker(installed_settings())


@click.command(hidden=True)
@pass_tools
def web(tools: Tools) -> int:
    """Serve the API and the console until told to stop; run/console.json says where."""
    return tools.run_web(installed_settings())


@click.command()
@json_option
@pass_tools
def status(tools: Tools, as_json: bool) -> int:
    """Say whether everything runs: connections, workers, what waits, what needs attention.

    Exit 1 when something is connected and no worker runs.
    """
    from tieline.services.overview import read_status

    system = tools.system()
    with system.database.transaction() as connection:
        facts = read_status(connection, now=system.clock.now())
    if as_json:
        show_json(facts)
    else:
        _show_status(facts)
    if facts["connections"] and not facts["workers"]:
        tell("no worker runs: start `tieline up`, or a `tieline worker`")
        return GOAL_MISSED
    return 0


@click.command()
@click.option("--once", is_flag=True, help="Run the story once and end; no console.")
@click.option("--json", "json_file", is_flag=False, flag_value="-", metavar="[FILE]",
              help="The figures as one JSON object, in a file or on standard output.")  # fmt: skip
@click.option("--seed", default=7, show_default=True, help="Which firm.")
@click.option("--today", help="Fix the day, for tests: YYYY-MM-DD.")
@click.option("--input", "input_directory", type=click.Path(path_type=Path), help="Real records.")
@click.option("--mapping", type=click.Path(path_type=Path), help="How to read the real records.")
@pass_tools
def demo(
    tools: Tools,
    once: bool,
    json_file: str | None,
    seed: int,
    today: str | None,
    input_directory: Path | None,
    mapping: Path | None,
) -> int:
    """Run a firm in a box on real systems, with faults on."""
    from tieline.proof.run import DemoOptions, run_demo

    if (input_directory is None) != (mapping is None):
        raise UserMistake("--input and --mapping go together: a folder, and how to read it")
    return run_demo(
        options=DemoOptions(
            is_once=once,
            json_file=None if json_file is None else Path(json_file),
            seed=seed,
            today=_day(today),
            input_directory=input_directory,
            mapping=mapping,
        ),
        settings=read_settings(),
        open_system=tools.open_system,
        systems=tools.systems,
    )


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in processes.ending_signals():
        signal.signal(number, end)
    return stop


def _environment(settings: Settings) -> Mapping[str, str]:
    values = {"TIELINE_HOME": str(settings.home), "TIELINE_CACHE": str(settings.cache)}
    if settings.business_now is not None:
        values["TIELINE_BUSINESS_NOW"] = settings.business_now.isoformat()
    return values


def _say_up(settings: Settings, names: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        show_json({"home": str(settings.home), "processes": names})
        return
    tell(f"running {', '.join(names)}; logs are in {settings.log_directory}; Ctrl-C stops")


def _show_status(facts: Mapping[str, Any]) -> None:
    click.echo(f"as of {facts['as_of']}")
    for name, title in (
        ("connections", "Connections"),
        ("workers", "Workers"),
        ("waiting_work", "Waiting work"),
        ("unconfirmed_writes", "Writes without an answer"),
        ("open_cases", "Needs attention"),
        ("refused_changes", "Changes refused: another system owns the field"),
        ("periods", "Periods, in hours"),
    ):
        rows = [_in_hours(row) for row in facts[name]]
        columns = list(rows[0]) if rows else ["nothing"]
        show_table(
            title=title,
            columns=[column.replace("_", " ").capitalize() for column in columns],
            rows=[["" if row[c] is None else as_text(row[c]) for c in columns] for row in rows],
        )


def _in_hours(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        name.removesuffix("_seconds"): hours(value) if name.endswith("_seconds") else value
        for name, value in row.items()
    }


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserMistake(f"--today {text} is not a day: write YYYY-MM-DD") from error


COMMANDS: tuple[click.Command, ...] = (init, up, worker, web, status, demo)

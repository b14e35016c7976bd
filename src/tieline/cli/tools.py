"""What every command is given: the way to open the installation, and how to begin work."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import UUID

import click
import psycopg
from psycopg.conninfo import conninfo_to_dict

from tieline import __version__
from tieline.governance import Person, authenticate
from tieline.kernel.errors import UserMistake
from tieline.runtime.executor import LEASE_SECONDS
from tieline.sdk.directory import Systems
from tieline.services.deciding import Decider
from tieline.services.system import System
from tieline.settings import DSN_VARIABLE, PASSWORD_VARIABLE, Settings, read_settings

OpenSystem = Callable[[Settings], System]

RunWeb = Callable[[Settings], int]
ConnectorPackages = Callable[[], Mapping[str, str]]
GOAL_MISSED = 1
CONTROLLER = "controller"
CANNOT = 2
_TEXT_BYTES_MAX = 1024 * 1024
_FILE_BYTES_MAX = 64 * 1024 * 1024
_Understood = TypeVar("_Understood")


class RunWorker(Protocol):
    def __call__(
        self, settings: Settings, *, lease_seconds: int = LEASE_SECONDS, version: str = __version__
    ) -> int:
        """Work until told to stop; return the exit code."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The concrete things that app.py chose."""

    open_system: OpenSystem
    run_worker: RunWorker
    run_web: RunWeb
    connector_packages: ConnectorPackages
    systems: Systems

    def system(self) -> System:
        """Open the installation that the settings name.

        :raises UserMistake: there is none, or the settings cannot be understood.
        """
        return self.open(installed_settings())

    def open(self, settings: Settings) -> System:
        """Open, or make, an installation.

        :raises UserMistake: the database's address or its role is of no use.
        """
        _check_dsn(settings)
        try:
            return self.open_system(settings)
        except psycopg.errors.InsufficientPrivilege as error:
            raise UserMistake(
                f"the role of {DSN_VARIABLE} may not create roles and databases"
            ) from error


def installed_settings() -> Settings:
    """Return the settings of an installation that was begun.

    :raises UserMistake: there is none.
    """
    settings = read_settings()
    if not (settings.secrets_directory / "master.key").exists():
        raise UserMistake(f"nothing is installed in {settings.home}: run `tieline init` first")
    return settings


def signed(system: System, login: str) -> Person:
    """Return the person who acts, by their password from the environment or the terminal.

    :raises UserMistake: it is not theirs.
    """
    password = os.environ.get(PASSWORD_VARIABLE) or ask_secret(
        f"Password of {login}", variable=PASSWORD_VARIABLE
    )
    with system.web_database.transaction() as connection:
        person = authenticate(connection, login=login, password=password, now=system.clock.now())
    if person is None:
        raise UserMistake(f"{login} and this password open nothing")
    return person


def decider(person: Person, *, role: str | None = None) -> Decider:
    """Return who decides.

    :raises UserMistake: the person has not the role it takes.
    """
    if role is not None and not person.has_role(role):
        raise UserMistake(f"{person.login} is no {role}")
    return Decider(login=person.login)


def holder(person: Person, *, roles: Sequence[str]) -> Person:
    """Return the person who has one of these roles.

    :raises UserMistake: they have none of them.
    """
    if not any(map(person.has_role, roles)):
        raise UserMistake(f"{person.login} is none of {', '.join(roles)}")
    return person


def ask_secret(question: str, *, variable: str) -> str:
    """Ask for a secret at the terminal; it never stands on a command line.

    :raises UserMistake: nobody is there to answer.
    """
    if not sys.stdin.isatty():
        raise UserMistake(f"{question}: set {variable}, for nobody is at a terminal to ask")
    answer: str = click.prompt(question, hide_input=True, err=True)
    return answer


def shell_user() -> str:
    """Return who sits at the shell, for the audit of what needs no login."""
    try:
        return f"shell:{getpass.getuser()}"
    except (KeyError, OSError):
        return "shell"


def in_file(path: Path, understand: Callable[[str], _Understood]) -> _Understood:
    """Return what a file says; a mistake in it is told with the file's name.

    :raises UserMistake: it cannot be read or understood.
    """
    text = read_text(path)
    try:
        return understand(text)
    except UserMistake as error:
        raise UserMistake(f"{path}: {error}") from error


def read_text(path: Path) -> str:
    """Return a small text file.

    :raises UserMistake: it is missing, no text, or too large.
    """
    try:
        return read_bytes(path, bytes_max=_TEXT_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserMistake(f"{path} is not text in UTF-8") from error


def instant(text: str, *, hint: str) -> datetime:
    """Return an instant that somebody wrote; ``hint`` names the option.

    :raises click.BadParameter: it is none, or names no time zone.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is no instant such as 2026-10-31T22:00:00Z", param_hint=hint
        ) from error
    if at.tzinfo is None:
        raise click.BadParameter(f"{text!r} names no time zone", param_hint=hint)
    return at


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file.

    :raises UserMistake: it cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UserMistake(f"{path} cannot be written: {error.strerror}") from error


def read_bytes(path: Path, *, bytes_max: int = _FILE_BYTES_MAX) -> bytes:
    """Return a file, or what a pipe brings; never more than a limit, for a device may have no end.

    :raises UserMistake: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as opened:
            body = opened.read(bytes_max + 1)
    except OSError as error:
        raise UserMistake(f"{path} cannot be read: {error.strerror}") from error
    if len(body) > bytes_max:
        raise UserMistake(f"{path} is larger than {bytes_max} bytes: cut it into parts")
    return body


def as_id(text: str, *, what: str) -> UUID:
    """Return an id that a person wrote.

    :raises UserMistake: it is none.
    """
    try:
        return UUID(text)
    except ValueError as error:
        raise UserMistake(f"{text} is no id of a {what}") from error


def _check_dsn(settings: Settings) -> None:
    if settings.dsn is None:
        return
    try:
        conninfo_to_dict(settings.dsn)
    except psycopg.ProgrammingError as error:
        # Not chained and not quoted: it may hold a password.
        raise UserMistake(f"{DSN_VARIABLE} is no connection string of PostgreSQL") from error


pass_tools = click.make_pass_decorator(Tools)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)
by_option = click.option(
    "--by",
    "login",
    required=True,
    metavar="LOGIN",
    help=f"Who does it; the password comes from {PASSWORD_VARIABLE} or the terminal.",
)
reason_option = click.option("--reason", required=True, help="Why; it is kept with the decision.")

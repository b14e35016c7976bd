"""The command group, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

import click
import psycopg
from psycopg_pool import PoolTimeout

from tieline import __version__
from tieline.cli import (
    adopting,
    auditing,
    cases,
    changes,
    checking,
    clients,
    closing,
    configuring,
    connections,
    connectors,
    delivery,
    doctoring,
    drifting,
    early,
    events,
    explaining,
    fallback,
    hours,
    messages,
    missing,
    operating,
    policy,
    proving,
    provisioning,
    reaching,
    register,
    replaying,
    restored,
    revenue,
    rights,
    rules,
)
from tieline.cli.tools import (
    CANNOT,
    GOAL_MISSED,
    ConnectorPackages,
    OpenSystem,
    RunWeb,
    RunWorker,
    Tools,
)
from tieline.kernel.errors import MendTieline, TielineError, UserMistake
from tieline.sdk.directory import Systems

# What is wrong with a disk, not with us.
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Connectivity for professional-services firms."""


for _module in (
    operating,
    doctoring,
    connections,
    connectors,
    configuring,
    adopting,
    provisioning,
    clients,
    drifting,
    register,
    hours,
    rules,
    policy,
    cases,
    checking,
    replaying,
    changes,
    closing,
    fallback,
    explaining,
    revenue,
    events,
    messages,
    early,
    missing,
    delivery,
    rights,
    auditing,
    reaching,
    proving,
    restored,
):
    for _command in _module.COMMANDS:
        main.add_command(_command)


def run(
    *,
    open_system: OpenSystem,
    run_worker: RunWorker,
    run_web: RunWeb,
    connector_packages: ConnectorPackages,
    systems: Systems,
    words: Sequence[str] | None = None,
) -> int:
    """Run one command; a user's mistake is one sentence on standard error."""
    given = list(sys.argv[1:] if words is None else words)
    try:
        _refuse_what_is_no_text(given)
        answer = main.main(
            args=given,
            prog_name="tieline",
            obj=Tools(
                open_system=open_system,
                run_worker=run_worker,
                run_web=run_web,
                connector_packages=connector_packages,
                systems=systems,
            ),
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return CANNOT
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return GOAL_MISSED
    except UserMistake as error:
        return _end(str(error), CANNOT)
    except MendTieline:
        raise
    except TielineError as error:
        return _end(str(error), GOAL_MISSED)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        return _end(f"it cannot be written: {error.strerror}", GOAL_MISSED)
    except (psycopg.OperationalError, PoolTimeout) as error:
        return _end(f"the database does not answer: {_first_line(error)}", CANNOT)
    return int(answer or 0)


def _refuse_what_is_no_text(words: Sequence[str]) -> None:
    for place, word in enumerate(words, start=1):
        if "\x00" in word or any("\ud800" <= mark <= "\udfff" for mark in word):
            raise UserMistake(f"word {place} of the command is not text")


def _end(sentence: str, code: int) -> int:
    click.echo(sentence, err=True)
    return code


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""What a page or an API call may see: the legal entities of its caller, and costs, for one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database


@contextmanager
def open_web_transaction(
    database: Database, *, entities: Collection[str], sees_costs: bool = False
) -> Iterator[Connection[dict[str, Any]]]:
    """Open a transaction that sees the rows of these legal entities only, and costs with the right to them.

    The setting dies with the transaction, so the next user of the connection starts blind.

    :raises UserMistake: an entity code holds a comma.
    """
    if any("," in code for code in entities):
        raise UserMistake("a legal entity's code has no comma")
    with database.transaction() as connection:
        connection.execute(
            "SELECT set_config('tieline.entities', %s, true)", (",".join(sorted(entities)),)
        )
        if sees_costs:
            show_costs(connection)
        yield connection


def show_costs(connection: Connection[dict[str, Any]]) -> None:
    """Let a transaction see what hours cost, whose caller has the right to it."""
    connection.execute("SELECT set_config('tieline.sees_costs', 'yes', true)")

"""One pool per process and role; one transaction per piece of work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import Connection, DataError, Error
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

_STATEMENT_TIMEOUT_SECONDS = 120
_LOCK_TIMEOUT_SECONDS = 30
# Who holds a transaction open and says nothing is asleep: what it locked must not wait for its waking.
_IDLE_SECONDS = 15
_POOL_WAIT_SECONDS = 30
_RECONNECT_SECONDS = 8
_CLIENT_CHECK_SECONDS = 2
# To ask before every transaction is a tenth of all that is asked.
_TRUSTED_SECONDS = 1
_RANDOM_PAGE_COST = "1.1"

Row = dict[str, Any]


class Database:
    """Lend connections of one role, each for exactly one transaction."""

    def __init__(
        self,
        dsn: str,
        *,
        pool_max: int = 8,
        application_name: str = "tieline",
        statement_timeout_seconds: int = _STATEMENT_TIMEOUT_SECONDS,
        lock_timeout_seconds: int = _LOCK_TIMEOUT_SECONDS,
        wait_seconds: int = _POOL_WAIT_SECONDS,
    ) -> None:
        self._used_at: WeakKeyDictionary[Connection[Row], float] = WeakKeyDictionary()
        options = (
            f"-c statement_timeout={statement_timeout_seconds}s"
            f" -c lock_timeout={lock_timeout_seconds}s"
            f" -c idle_in_transaction_session_timeout={_IDLE_SECONDS}s"
            # What a killed process asked for is not computed to its end.
            f" -c client_connection_check_interval={_CLIENT_CHECK_SECONDS}s"
            # What a page needs of a large table is looked up row by row and mostly in memory; by the price of a
            # turning disk, a planner reads the whole table for each page instead.
            f" -c random_page_cost={_RANDOM_PAGE_COST}"
            # Our statements are long and their answers short: compiling them takes longer than answering them.
            " -c jit=off"
            " -c timezone=UTC"
        )
        self._pool: ConnectionPool[Connection[Row]] = ConnectionPool(
            dsn,
            min_size=1,
            max_size=pool_max,
            timeout=wait_seconds,
            # Pauses between attempts double: after a long outage a new one begins with the next call.
            reconnect_timeout=_RECONNECT_SECONDS,
            open=False,
            check=self._check,
            kwargs={
                "row_factory": dict_row,
                "application_name": application_name,
                "options": options,
            },
        )

    def open(self) -> Database:
        """Open the pool, waiting until the database answers."""
        self._pool.open(wait=True, timeout=_POOL_WAIT_SECONDS)
        return self

    def close(self) -> None:
        """Give back every connection."""
        self._pool.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection[Row]]:
        """Lend a connection for one transaction; it commits when the block ends, nobody else."""
        if self._pool.closed:
            self._pool.open()
        with _without_rows(), self._pool.connection() as connection:
            with connection.transaction():
                yield connection
            self._used_at[connection] = time.monotonic()

    @contextmanager
    def statement(self) -> Iterator[Connection[Row]]:
        """Lend a connection for one statement, which is a transaction of its own: nothing begins it or commits it."""
        if self._pool.closed:
            self._pool.open()
        with _without_rows(), self._pool.connection() as connection:
            connection.autocommit = True
            try:
                yield connection
            finally:
                if not connection.closed:
                    connection.autocommit = False
            self._used_at[connection] = time.monotonic()

    def _check(self, connection: Connection[Row]) -> None:
        """Ask a connection that rested whether it still is one; who was answered a moment ago is not asked again."""
        rested_seconds = time.monotonic() - self._used_at.get(connection, float("-inf"))
        if rested_seconds >= _TRUSTED_SECONDS:
            ConnectionPool.check_connection(connection)


@contextmanager
def _without_rows() -> Iterator[None]:
    """Let an error say what is wrong and not which row: that holds what people are called and wrote.

    Errors are logged, kept with work that failed and told in cases.
    """
    try:
        yield
    except Error as error:
        told = error.diag.message_primary
        if told is not None:
            # A value that cannot be read is quoted at the end of the very sentence.
            error.args = (told.partition(': "')[0] if isinstance(error, DataError) else told,)
        raise

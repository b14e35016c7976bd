"""What a database holds, in one number: to see whether anything was stored."""

from __future__ import annotations

from psycopg import sql

from tieline.runtime.database import Database

# A connector says its limits whenever it is made, and nobody sent them.
_SAID_BY_CONNECTORS = ["connection_budget", "connection_limit"]


class Traces:
    """Remember what all tables hold and say whether it is otherwise now."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            names = connection.execute(
                "SELECT c.relname FROM pg_class c"
                " WHERE c.relnamespace = 'tieline'::regnamespace AND c.relkind = 'r'"
                " AND has_table_privilege(c.oid, 'SELECT') AND c.relname <> ALL (%s) ORDER BY 1",
                (_SAID_BY_CONNECTORS,),
            ).fetchall()
        self._statement = sql.SQL(" UNION ALL ").join(
            sql.SQL(
                "SELECT {name} AS name, count(*) AS rows, sum(hashtext(t::text)) AS marks FROM {table} t"
            ).format(name=sql.Literal(row["relname"]), table=sql.Identifier(row["relname"]))
            for row in names
        )
        self._before = self._read()

    def changed(self) -> list[str]:
        """Name the tables that hold something else than when it was last remembered."""
        now = self._read()
        return sorted(name for name in now if now[name] != self._before[name])

    def renew(self) -> None:
        """Remember what they hold now."""
        self._before = self._read()

    def _read(self) -> dict[str, tuple[int, int | None]]:
        with self._database.transaction() as connection:
            rows = connection.execute(self._statement).fetchall()
        return {row["name"]: (row["rows"], row["marks"]) for row in rows}

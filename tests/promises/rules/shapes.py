"""Write what the server says of each step that may be left out: python -m tests.promises.rules.shapes."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path

from psycopg import Connection

from tests.conftest import memory_folder, new_database, prepare_cluster
from tieline.runtime.database import Database
from tieline.validation.context import context_steps
from tieline.validation.context.untold import named_steps, needs
from tieline.validation.statement import RETURNING, STORED_SUBJECT

FILE = resources.files("tieline.validation.context").joinpath("shapes.toml")
_HEAD = "# The columns of what may be left out, with their types; `python -m tests.promises.rules.shapes` writes them."
_VALUES = (
    ("%(known_at)s", "'2026-01-01'"),
    ("%(release_id)s", "1"),
    ("{newest}", "v.is_newest"),
    ("{returning}", RETURNING),
    ("{stands}", "true"),
    ("{undone}", "true"),
    ("{standing}", "standing_sum"),
)


def described(connection: Connection[dict[str, object]]) -> str:
    """Return the text of the file; the server only reads each step, it plans and runs none."""
    connection.execute("CREATE TEMP TABLE judge_subject (entry_id uuid) ON COMMIT DROP")
    steps = context_steps()
    head = f"WITH judging_subject AS ({STORED_SUBJECT}), {steps}"
    for name, value in _VALUES:
        head = head.replace(name, value)
    known = named_steps(steps)
    types = _types(connection)
    lines = [_HEAD]
    for name in sorted(needs()):
        question = f"{head} SELECT * FROM {name}" if name in known else f"SELECT * FROM {name}"
        connection.pgconn.prepare(b"shape", question.encode())
        answer = connection.pgconn.describe_prepared(b"shape")
        connection.execute("DEALLOCATE shape")
        columns = ", ".join(
            f'{(answer.fname(n) or b"").decode()} = "{types[answer.ftype(n)]}"'
            for n in range(answer.nfields)
        )
        lines.append(f"{name} = {{ {columns} }}")
    return "\n".join(lines) + "\n"


def _types(connection: Connection[dict[str, object]]) -> dict[int, str]:
    rows = connection.execute(
        "SELECT oid::bigint AS oid, format_type(oid, NULL) AS name FROM pg_type"
    ).fetchall()
    return {int(str(row["oid"])): str(row["name"]) for row in rows}


def main() -> None:
    """Write the file anew from an empty database."""
    home = Path(tempfile.mkdtemp(prefix="tieline-shapes-", dir=memory_folder()))
    home.chmod(0o755)
    prepared = prepare_cluster(home, major=18)
    try:
        with new_database(prepared) as dsns:
            database = Database(dsns.worker, pool_max=1, application_name="shapes").open()
            try:
                with database.transaction() as connection:
                    text = described(connection)
            finally:
                database.close()
    finally:
        prepared.cluster.stop()
        shutil.rmtree(prepared.cluster.socket_directory, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)
    Path(str(FILE)).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

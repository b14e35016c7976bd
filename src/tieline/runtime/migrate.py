"""Bring a database up to date: roles with generated passwords, schema, migrations, DBOS tables."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict

from tieline.kernel.errors import UserMistake
from tieline.runtime.postgres import EmbeddedCluster

DATABASE = "tieline"
SCHEMA = "tieline"
OWNER = "tieline_owner"
WORKER = "tieline_worker"
WEB = "tieline_web"
JUDGE = "tieline_judge"
AUDIT = "tieline_audit"
ROLES = (OWNER, WORKER, WEB, JUDGE, AUDIT)

_MAJOR_MIN = 16
_LOCK_TIMEOUT_SECONDS = 30
_LOCK_KEY = 7_146_254_639
_MUST_BE_ON: tuple[LiteralString, ...] = ("fsync", "full_page_writes", "synchronous_commit")
_MIGRATIONS = Path(__file__).with_name("migrations")
_log = structlog.get_logger("tieline.migrate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsns:
    """The ways into one database, a role each; they hold passwords and are never printed."""

    owner: str
    worker: str
    web: str
    judge: str
    audit: str

    def __repr__(self) -> str:
        return "Dsns(...)"


def prepare_database(
    source: EmbeddedCluster | str, *, secrets_directory: Path, database: str = DATABASE
) -> Dsns:
    """Create what is missing, migrate forward, check what Tieline relies on, return the ways in.

    ``source`` is a running embedded cluster, or the DSN of a role that may create roles and
    databases.

    :raises UserMistake: the server or a role is set up in a way that would lose or leak data.
    """
    admin_dsn = source if isinstance(source, str) else source.superuser_dsn
    passwords = _passwords(secrets_directory)
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        check_server(admin)
        # Two starters would create the same role twice.
        admin.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        for role in ROLES:
            _ensure_role(admin, role, passwords[role])
        _ensure_database(admin, database)
        dsns = _dsns(admin_dsn, database, passwords)
        with psycopg.connect(_with(admin_dsn, dbname=database), autocommit=True) as inside:
            _ensure_schema(inside, database)
        migrate(owner_dsn=dsns.owner)
        check_roles(admin)
    # What is set for a database or a role is seen only by those who come in that way.
    for dsn in (dsns.worker, dsns.web):
        with psycopg.connect(dsn) as inside:
            check_server(inside)
    return dsns


def migrate(*, owner_dsn: str) -> None:
    """Run every migration that is not yet applied, ours and DBOS's, as the owner.

    :raises UserMistake: a newer version of Tieline has been here.
    """
    engine = f"DBOS {version('dbos')}"
    with psycopg.connect(owner_dsn) as connection:
        if _is_up_to_date(connection, engine):
            return
        _refuse_newer(connection)
    _apply(owner_dsn)
    with psycopg.connect(owner_dsn) as connection:
        connection.execute("GRANT USAGE ON SCHEMA dbos TO tieline_judge")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA dbos TO tieline_judge")
        connection.execute(sql.SQL("COMMENT ON SCHEMA dbos IS {}").format(sql.Literal(engine)))


def _is_up_to_date(connection: Connection[Any], engine: str) -> bool:
    told = connection.execute(
        "SELECT obj_description(to_regnamespace('dbos'), 'pg_namespace')"
    ).fetchone()
    if told != (engine,):
        return False
    stands = connection.execute("SELECT version_num FROM tieline.schema_version").fetchone()
    return stands == (newest_migration(),)


def _refuse_newer(connection: Connection[Any]) -> None:
    told = connection.execute("SELECT to_regclass('tieline.schema_version')").fetchone()
    if told == (None,):
        return
    stands = connection.execute("SELECT version_num FROM tieline.schema_version").fetchone()
    if stands and not (_MIGRATIONS / "versions" / f"{stands[0]}.py").exists():
        raise UserMistake(
            f"the database stands at {stands[0]}, which this version of Tieline does not know:"
            " install the newer version again, or restore a backup from before it"
        )


def newest_migration() -> str:
    """Return the migration that this code was written for."""
    return max(path.stem for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _apply(owner_dsn: str) -> None:
    # To load them takes longer than all that most commands do, and there is rarely something to apply.
    from alembic import command
    from alembic.config import Config
    from dbos import DBOS

    configuration = Config()
    # Alembic's configuration takes a percent sign for the begin of a name.
    configuration.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    configuration.attributes["dsn"] = owner_dsn
    configuration.attributes["lock_timeout_seconds"] = _LOCK_TIMEOUT_SECONDS
    command.upgrade(configuration, "head")
    DBOS.migrate(sqlalchemy_url(owner_dsn), schema="dbos", application_role=WORKER)


def check_server(connection: Connection[Any]) -> None:
    """Refuse a server that may lose acknowledged rows; warn when it cannot notice rot.

    :raises UserMistake: a setting is off, or the server is too old.
    """
    if connection.info.server_version < _MAJOR_MIN * 10_000:
        raise UserMistake(f"PostgreSQL {_MAJOR_MIN} or later is needed")
    for name in _MUST_BE_ON:
        if _setting(connection, name) == "off":
            raise UserMistake(f"PostgreSQL runs with {name} = off and may lose money: turn it on")
    if _setting(connection, "data_checksums") != "on":
        _log.warning("database.without_checksums")


def check_roles(connection: Connection[Any]) -> None:
    """Refuse roles that could see past row security.

    :raises UserMistake: a role is superuser or may bypass row security.
    """
    rows = connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND (rolsuper OR rolbypassrls)",
        (list(ROLES),),
    ).fetchall()
    if rows:
        names = ", ".join(sorted(row[0] for row in rows))
        raise UserMistake(
            f"{names} may bypass row security: ALTER ROLE ... NOBYPASSRLS NOSUPERUSER"
        )


def sqlalchemy_url(dsn: str) -> str:
    """Return a DSN in the form that SQLAlchemy, and so DBOS and Alembic, reads."""
    from sqlalchemy import URL

    parts = conninfo_to_dict(dsn)
    query = {
        name: str(value)
        for name, value in parts.items()
        if name not in ("user", "password", "dbname", "port") and value is not None
    }
    url = URL.create(
        "postgresql+psycopg",
        username=_text(parts.get("user")),
        password=_text(parts.get("password")),
        port=int(str(parts["port"])) if parts.get("port") else None,
        database=_text(parts.get("dbname")),
        query=query,
    )
    return url.render_as_string(hide_password=False)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _setting(connection: Connection[Any], name: LiteralString) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def _passwords(directory: Path) -> dict[str, str]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {role: _password(directory / f"{role}.password") for role in ROLES}


def _password(path: Path) -> str:
    try:
        with path.open("x", encoding="utf-8") as file:
            path.chmod(0o600)
            file.write(secrets.token_urlsafe(24))
    except FileExistsError:
        pass
    return path.read_text(encoding="utf-8").strip()


def _ensure_role(admin: Connection[Any], role: str, password: str) -> None:
    exists = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    verb = "ALTER" if exists else "CREATE"
    admin.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL(verb), sql.Identifier(role), sql.Literal(_scram(admin, role, password))
        )
    )


def _scram(admin: Connection[Any], role: str, password: str) -> str:
    # Hashed here, so that the password itself never reaches a server log.
    hashed = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return hashed.decode()


def _ensure_database(admin: Connection[Any], database: str) -> None:
    if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
        return
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))


def _ensure_schema(inside: Connection[Any], database: str) -> None:
    name = sql.Identifier(database)
    owner = sql.Identifier(OWNER)
    inside.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    inside.execute(
        sql.SQL("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}").format(name, owner)
    )
    # Staging tables of a batch are temporary: only the worker stages.
    inside.execute(
        sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO tieline_worker").format(name)
    )
    inside.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO tieline_web, tieline_judge, tieline_audit").format(
            name
        )
    )
    if (
        inside.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (SCHEMA,)).fetchone()
        is None
    ):
        # GRANT of membership is what lets a creator who is no superuser hand the schema over.
        if not _is_superuser(inside):
            inside.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
        inside.execute(sql.SQL("CREATE SCHEMA tieline AUTHORIZATION {}").format(owner))
    for role in ROLES:
        inside.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = tieline").format(
                sql.Identifier(role), name
            )
        )


def _is_superuser(connection: Connection[Any]) -> bool:
    return connection.info.parameter_status("is_superuser") == "on"


def _dsns(admin_dsn: str, database: str, passwords: dict[str, str]) -> Dsns:
    def dsn(role: str) -> str:
        return _with(admin_dsn, dbname=database, user=role, password=passwords[role])

    return Dsns(
        owner=dsn(OWNER), worker=dsn(WORKER), web=dsn(WEB), judge=dsn(JUDGE), audit=dsn(AUDIT)
    )


def _with(dsn: str, **changes: str) -> str:
    return psycopg.conninfo.make_conninfo(dsn, **changes)

"""Alembic's environment: one connection as the owner, with a lock timeout, each step committed."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from tieline.runtime.migrate import SCHEMA, sqlalchemy_url


def _run() -> None:
    attributes = context.config.attributes
    engine = create_engine(sqlalchemy_url(attributes["dsn"]), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{attributes['lock_timeout_seconds']}s'"))
        connection.commit()
        context.configure(
            connection=connection,
            version_table="schema_version",
            version_table_schema=SCHEMA,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


_run()

"""Publish where every hour is, and find verdicts by their neighbor keys."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003_validation"
down_revision = "0002_core"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run before the code that uses it; forward only."""
    statements = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().connection.driver_connection.execute(statements)


def downgrade() -> None:
    """Refuse: migrations only go forward.

    :raises NotImplementedError: always.
    """
    raise NotImplementedError("migrations only go forward")

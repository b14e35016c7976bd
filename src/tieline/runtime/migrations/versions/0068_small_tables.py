"""Keep statistics of the small tables that most statements join, which were never analyzed."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0068_small_tables"
down_revision = "0067_templates"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run before the code that uses it; forward only."""
    run_statements(__file__)


def downgrade() -> None:
    """Refuse: migrations only go forward.

    :raises NotImplementedError: always.
    """
    raise NotImplementedError("migrations only go forward")

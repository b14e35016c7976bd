"""Look up by key what a day is held against."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0069_expected_by_key"
down_revision = "0068_small_tables"
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

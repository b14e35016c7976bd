"""Count calls in windows, quotas, buckets and at once, and keep part of each for what is due."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0021_budgets"
down_revision = "0020_stops"
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

"""Find again what was posted after the point to which a backup was restored."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0022_restored"
down_revision = "0021_budgets"
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

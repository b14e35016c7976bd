"""Send lines of one deadline in the order in which they were planned."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0022_lines_in_turn"
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

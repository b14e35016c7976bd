"""Price hours of a cost-plus contract by what the person costs, and ask again when that changes."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0074_cost_plus"
down_revision = "0073_project_managers"
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

"""Tell who manages a project."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0073_project_managers"
down_revision = "0072_staffed_before"
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

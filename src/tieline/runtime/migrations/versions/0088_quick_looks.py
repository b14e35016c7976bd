"""Find invoiced hours that changed by what tells of them, and keep one index of lines by their effect."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0088_quick_looks"
down_revision = "0087_asked_by"
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

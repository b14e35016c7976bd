"""Let a project open before its deal is signed, at somebody's risk."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0064_at_risk"
down_revision = "0063_open_by_key"
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

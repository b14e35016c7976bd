"""Count how often a target is asked about a write."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0026_asked"
down_revision = "0025_cut_off_class"
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

"""Keep what companies of the firm booked between them, and hold it against what they owe."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0050_legs"
down_revision = "0049_repriced"
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

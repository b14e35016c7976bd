"""Let a stream that was never read say what keeps it from being read."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0086_never_read"
down_revision = "0085_outside_shares_nothing"
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

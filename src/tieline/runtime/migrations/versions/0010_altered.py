"""Open a case for a line that the target stored otherwise than it was sent."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0010_altered"
down_revision = "0009_time_plane"
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

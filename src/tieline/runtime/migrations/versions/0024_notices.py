"""Keep what people are told, who stands in for whom, and how often a target was asked."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0024_notices"
down_revision = "0023_replays"
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

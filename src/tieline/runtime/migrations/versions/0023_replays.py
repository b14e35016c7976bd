"""Know a batch that was read from what is kept, and not from its source."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0023_replays"
down_revision = "0022_restored"
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

"""Keep what is proposed to be linked, so that a page, a filter or one confirmation need not propose all of it."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0094_kept_proposals"
down_revision = "0093_changes_by_name"
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

"""Keep the plans that people were shown, so that what is applied is what they saw."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0044_shown_plans"
down_revision = "0043_leaner_plane"
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

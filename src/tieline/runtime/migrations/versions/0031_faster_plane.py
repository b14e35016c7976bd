"""Let rows that come together lie together, and compute keys without a call for each word."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0031_faster_plane"
down_revision = "0030_reference_files"
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

"""Keep cards of rates, and how worked time becomes billed time."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0032_terms"
down_revision = "0031_faster_plane"
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

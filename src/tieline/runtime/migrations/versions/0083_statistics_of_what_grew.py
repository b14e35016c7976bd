"""Let the server take statistics of what grew."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0083_statistics_of_what_grew"
down_revision = "0082_practices_out"
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

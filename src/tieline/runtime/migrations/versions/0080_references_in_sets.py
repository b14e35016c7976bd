"""Look up once per statement what its rows have in common; clean up behind more of them at once."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0080_references_in_sets"
down_revision = "0079_missing_in_sets"
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

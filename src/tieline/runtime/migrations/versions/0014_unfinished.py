"""Find the batches of a reader that died."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0014_unfinished"
down_revision = "0013_waiting_marks"
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

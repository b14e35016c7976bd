"""Let schedules say what a fee covers and what the client confirmed, and keep what was billed of them."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0056_billing"
down_revision = "0055_adopt_left"
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

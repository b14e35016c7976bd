"""Ask again every hour that may be decided otherwise, whatever it was that changed."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0097_asked_again"
down_revision = "0096_erased_everywhere"
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

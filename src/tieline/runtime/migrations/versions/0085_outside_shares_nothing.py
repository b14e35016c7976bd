"""List no hour that counts nowhere with those that share a cap."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0085_outside_shares_nothing"
down_revision = "0084_standing_sums"
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

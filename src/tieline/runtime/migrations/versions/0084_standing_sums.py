"""Keep what stands of each contract, and which hours share a scarce amount and do not stand yet."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0084_standing_sums"
down_revision = "0083_statistics_of_what_grew"
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

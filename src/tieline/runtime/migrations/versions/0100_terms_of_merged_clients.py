"""Ask for the hours of the client who stays when terms of one that was merged change."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0100_terms_of_merged_clients"
down_revision = "0099_fewer_samples"
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

"""Keep less of what comes by the hundred thousand: fewer samples, a shorter index, and each verdict beside its hour."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0099_fewer_samples"
down_revision = "0098_records_alone"
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

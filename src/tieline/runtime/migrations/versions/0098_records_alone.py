"""Ask of a record of master data nothing that is told of hours alone."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0098_records_alone"
down_revision = "0097_asked_again"
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

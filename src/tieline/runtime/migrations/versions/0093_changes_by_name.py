"""Name whose hour it is that changed after it was posted, to those who see the change."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0093_changes_by_name"
down_revision = "0092_codes_out"
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

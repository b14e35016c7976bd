"""Look for approvers of all hours together."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0079_missing_in_sets"
down_revision = "0078_invoice_keys"
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

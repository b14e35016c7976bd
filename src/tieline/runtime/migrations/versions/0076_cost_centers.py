"""Keep the cost center of a contract's project, and what other systems call one."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0076_cost_centers"
down_revision = "0075_invoice_shares"
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

"""Split invoices by order, and show what one company owes another."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0035_orders"
down_revision = "0034_limits"
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

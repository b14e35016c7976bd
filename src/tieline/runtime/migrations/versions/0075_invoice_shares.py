"""Keep what each client pays of a contract that is split, and which invoices were made of our ledger."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0075_invoice_shares"
down_revision = "0074_cost_plus"
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

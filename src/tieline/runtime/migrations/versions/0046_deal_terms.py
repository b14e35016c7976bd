"""Let a firm tell how contracts are billed and split, and whom not to work for."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0046_deal_terms"
down_revision = "0045_field_owners"
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

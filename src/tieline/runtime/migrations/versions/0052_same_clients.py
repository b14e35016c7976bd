"""Keep how alike clients were found, what stewards decided, and which clients were merged."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0052_same_clients"
down_revision = "0051_delivery"
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

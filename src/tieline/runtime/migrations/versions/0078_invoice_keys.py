"""Find the invoice of a share by its key."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0078_invoice_keys"
down_revision = "0077_places_in_sets"
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

"""Give what is due before a cut-off a class of its own, and order work by what it is worth."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0025_cut_off_class"
down_revision = "0024_notices"
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

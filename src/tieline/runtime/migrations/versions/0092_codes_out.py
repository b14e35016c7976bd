"""Let units, tax treatments, currencies and billing codes go out by codes."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0092_codes_out"
down_revision = "0091_days_by_person"
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

"""Let a firm declare, dated and per region, which kind of system owns a field."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0045_field_owners"
down_revision = "0044_shown_plans"
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

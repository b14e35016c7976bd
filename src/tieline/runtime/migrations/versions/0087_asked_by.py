"""Find deals, staffing and plans by what is asked of them."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0087_asked_by"
down_revision = "0086_never_read"
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

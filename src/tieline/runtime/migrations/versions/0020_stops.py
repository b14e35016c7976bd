"""Stop posting for a scope whose figures do not agree, and keep what each check found."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0020_stops"
down_revision = "0019_late_twins"
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

"""Call a change done when every line of its hour is."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0070_whole_changes"
down_revision = "0069_expected_by_key"
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

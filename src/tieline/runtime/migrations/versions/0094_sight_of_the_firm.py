"""Let the whole firm be seen by who sees all of it, and take from pages what no page does."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0094_sight_of_the_firm"
down_revision = "0093_changes_by_name"
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

"""Count where all hours are without looking each of them up."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0077_places_in_sets"
down_revision = "0076_cost_centers"
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

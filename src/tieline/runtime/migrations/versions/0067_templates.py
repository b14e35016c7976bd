"""Let a firm say what the projects of a kind have beside what was sold."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0067_templates"
down_revision = "0066_rates_told"
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

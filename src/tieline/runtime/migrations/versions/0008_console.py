"""Let pages show the close line by line, and how fresh each connection is."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0008_console"
down_revision = "0007_services"
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

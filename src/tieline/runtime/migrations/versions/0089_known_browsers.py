"""Know the browsers in which people came in, so that guesses from elsewhere lock out nobody there."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0089_known_browsers"
down_revision = "0088_quick_looks"
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

"""Show refused changes, cases of clients, and what the source and the target answer themselves."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0011_seen"
down_revision = "0010_altered"
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

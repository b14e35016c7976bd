"""Keep whose a contract was before another client took it over."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0071_novations"
down_revision = "0070_whole_changes"
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

"""Keep what a contract says of time above its cap, and which part of an hour that is."""

from __future__ import annotations

from tieline.runtime.migrations.statements import ask_again_when_changed, run_statements

revision = "0061_over_cap"
down_revision = "0060_costs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run before the code that uses it; forward only."""
    run_statements(__file__)
    ask_again_when_changed({"over_cap": "contracts_changed"})


def downgrade() -> None:
    """Refuse: migrations only go forward.

    :raises NotImplementedError: always.
    """
    raise NotImplementedError("migrations only go forward")

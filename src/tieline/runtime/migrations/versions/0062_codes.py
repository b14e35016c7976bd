"""Keep what other systems call our codes: per connection and legal entity, on two time axes."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0062_codes"
down_revision = "0061_over_cap"
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

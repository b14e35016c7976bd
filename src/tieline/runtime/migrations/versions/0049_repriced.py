"""Find posted hours whose price is another one by now, whichever step of the rates changed."""

from __future__ import annotations

from tieline.runtime.migrations.statements import run_statements

revision = "0049_repriced"
down_revision = "0048_people_leave"
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

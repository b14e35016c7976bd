"""Keep cards of rates, and how worked time becomes billed time."""

from __future__ import annotations

from tieline.runtime.migrations.statements import ask_again_when_changed, run_statements

revision = "0032_terms"
down_revision = "0031_faster_plane"
branch_labels = None
depends_on = None

# What asks again when rows of a table are added or ended.
_ASK_AGAIN = {
    "person_rate": "person_rates_changed",
    "client_rate": "client_terms_changed",
    "practice_rate": "practice_rates_changed",
    "list_rate": "list_rates_changed",
    "rate_bound": "client_terms_changed",
    "billing_terms": "contracts_changed",
    "fx_rate": "fx_rates_changed",
}


def upgrade() -> None:
    """Run before the code that uses it; forward only."""
    run_statements(__file__)
    ask_again_when_changed(_ASK_AGAIN)


def downgrade() -> None:
    """Refuse: migrations only go forward.

    :raises NotImplementedError: always.
    """
    raise NotImplementedError("migrations only go forward")

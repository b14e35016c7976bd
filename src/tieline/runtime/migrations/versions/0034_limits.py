"""Keep what may be spent, purchase orders, and what one company asks of another."""

from __future__ import annotations

from tieline.runtime.migrations.statements import ask_again_when_changed, run_statements

revision = "0034_limits"
down_revision = "0033_changes"
branch_labels = None
depends_on = None

# What asks again when rows of a table are added or ended.
_ASK_AGAIN = {
    "spending_limit": "limits_changed",
    "purchase_order": "contracts_changed",
    "transfer_price": "home_terms_changed",
    "tax_treatment": "entity_terms_changed",
    "revenue_account": "entity_terms_changed",
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

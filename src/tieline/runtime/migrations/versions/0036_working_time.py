"""Keep when people work: their pattern, share and place, holidays, leave in parts, and what they may do beyond it."""

from __future__ import annotations

from tieline.runtime.migrations.statements import ask_again_when_changed, run_statements

revision = "0036_working_time"
down_revision = "0035_orders"
branch_labels = None
depends_on = None

# What asks again when rows of a table are added or ended.
_ASK_AGAIN = {
    "work_pattern": "people_changed",
    "employment_share": "people_changed",
    "work_place": "people_changed",
    "work_permission": "people_changed",
    "public_holiday": "places_changed",
    "holiday_year": "years_changed",
    "company_holiday": "company_days_changed",
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

"""Keep what clients, projects and people are held to beside contract and assignment."""

from __future__ import annotations

from tieline.runtime.migrations.statements import ask_again_when_changed, run_statements

revision = "0038_guidelines"
down_revision = "0037_accruals"
branch_labels = None
depends_on = None

# What asks again when rows of a table are added or ended.
_ASK_AGAIN = {
    "client_guideline": "clients_changed",
    "client_code": "clients_changed",
    "client_word": "clients_changed",
    "timekeeper": "clients_changed",
    "task_code": "projects_changed",
    "closed_for_time": "projects_changed",
    "charge_control": "projects_changed",
    "approval_authority": "everything_changed",
    "approval_delegation": "everything_changed",
    "required_clearance": "projects_changed",
    "held_clearance": "people_changed",
    "ethical_wall": "people_changed",
    "qualification": "people_changed",
    "subcontract": "people_changed",
    "attendance": "people_changed",
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

"""What the promises need to rehearse HubSpot: the one noun it writes."""

from __future__ import annotations

from uuid import UUID

from tieline.canonical import FieldCommand, StatusCommand
from tieline.sdk.promises import Rehearsal

REHEARSAL = Rehearsal(
    commands=(
        StatusCommand(
            business_key=UUID("5b1f9a52-6f7c-4d0b-9f56-2f3f4b8f0c11"),
            entity_code="EW-DE",
            object="deal",
            record_code="91000001",
            values={"project_status": "active", "revenue_wip": "1200.50"},
        ),
        StatusCommand(
            business_key=UUID("5b1f9a52-6f7c-4d0b-9f56-2f3f4b8f0c11"),
            entity_code="EW-DE",
            object="companies",
            record_code="91000002",
            values={"revenue_wip": "1200.50", "revenue_currency": "EUR"},
        ),
        FieldCommand(
            business_key=UUID("5b1f9a52-6f7c-4d0b-9f56-2f3f4b8f0c11"),
            entity_code="EW-DE",
            object="companies",
            record_code="91000002",
            before={"name": "Example Works"},
            values={"name": "Example Works GmbH"},
        ),
    ),
)

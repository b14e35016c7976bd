"""What the promises need to rehearse Harvest: one command of every noun it writes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from tieline.canonical import (
    AssignmentCommand,
    ClientCommand,
    FieldCommand,
    ProjectCommand,
    TaskCommand,
)
from tieline.sdk.promises import Rehearsal

_KEY = UUID("5b1f9a52-6f7c-4d0b-9f56-2f3f4b8f0c11")

REHEARSAL = Rehearsal(
    commands=(
        ClientCommand(
            business_key=_KEY,
            entity_code="EW-DE",
            name="Example Works GmbH",
            vat_number="DE136695976",
            street="Hafenstrasse 1",
            postal_code="20457",
            city="Hamburg",
            country_code="DE",
            parent_code=None,
        ),
        ProjectCommand(
            business_key=_KEY,
            entity_code="EW-DE",
            client_code="5740001",
            contract_code=None,
            code="EW-001",
            name="Data platform",
            billing_method="time_and_materials",
            is_split=False,
            starts_on=date(2026, 10, 1),
            ends_on=date(2027, 1, 1),
        ),
        TaskCommand(
            business_key=_KEY,
            entity_code="EW-DE",
            project_code="14310001",
            name="Development, senior",
            labor_category="senior",
            rate_amount=Decimal("120.50"),
            currency="EUR",
            is_billable=True,
            starts_on=date(2026, 10, 1),
            ends_on=None,
            budget_hours=None,
        ),
        AssignmentCommand(
            business_key=_KEY,
            entity_code="EW-DE",
            project_code="14310001",
            person_code="3200001",
        ),
        FieldCommand(
            business_key=_KEY,
            entity_code="EW-DE",
            object="clients",
            record_code="5740001",
            before={"name": "Example Works"},
            values={"name": "Example Works GmbH"},
        ),
        FieldCommand(
            business_key=_KEY,
            entity_code="EW-DE",
            object="projects",
            record_code="14310001",
            before={"client_id": "5740002"},
            values={"client_id": "5740001"},
        ),
    ),
)

"""What the promises need to rehearse Tryton: one command of every noun it writes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from tieline.canonical import (
    ClientCommand,
    ContractCommand,
    EmployeeCommand,
    FieldCommand,
    ProjectCommand,
    TaskCommand,
    TimeLineCommand,
)
from tieline.canonical.commands import ContractLine
from tieline.sdk.promises import Rehearsal

_KEY = UUID("5b1f9a52-6f7c-4d0b-9f56-2f3f4b8f0c11")
_ENTITY = "EW-DE"
_STARTS_ON = date(2026, 10, 1)

REHEARSAL = Rehearsal(
    config={"database": "erp", "companies": {_ENTITY: {"login": "tieline"}}},
    secrets={f"password.{_ENTITY}": "{canary}"},
    questions=(
        (b"common.db.login", b'{"id": 1, "result": [7, "token", null]}'),
        (b"company.company.search_read", b'{"id": 1, "result": [{"id": 1}]}'),
        (b"country.country.search_read", b'{"id": 1, "result": [{"id": 2}]}'),
        (b"currency.currency.search_read", b'{"id": 1, "result": [{"id": 3}]}'),
        (b"party.address.search_read", b'{"id": 1, "result": [{"id": 4}]}'),
        (b"sale.sale.search_read", b'{"id": 1, "result": []}'),
        (
            b"company.employee.search_read",
            (
                b'{"id": 1, "result": [{"id": 12, "company": 1, "start_date": null,'
                b' "end_date": null, "party": 11}]}'
            ),
        ),
        (
            b"product.product.search_read",
            (
                b'{"id": 1, "result": [{"id": 5, "code": "CON", "default_uom.": {"id": 9,'
                b' "category": 2, "factor": 3600.0}, "account_category.": null}]}'
            ),
        ),
        (
            b"timesheet.work.search_read",
            (
                b'{"id": 1, "result": [{"id": 8, "origin": "project.work,21", "company": 1,'
                b' "timesheet_start_date": null, "timesheet_end_date": null}]}'
            ),
        ),
    ),
    commands=(
        ClientCommand(
            business_key=_KEY,
            entity_code=_ENTITY,
            name="Example Works GmbH",
            vat_number="DE136695976",
            street="Hafenstrasse 1",
            postal_code="20457",
            city="Hamburg",
            country_code="DE",
            parent_code=None,
        ),
        ContractCommand(
            business_key=_KEY,
            entity_code=_ENTITY,
            client_code="31",
            name="Data platform",
            currency="EUR",
            billing_method="time_and_materials",
            signed_on=_STARTS_ON,
            purchase_order="PO-7",
            lines=(
                ContractLine(
                    task_name="Development",
                    labor_category="CON",
                    hours=Decimal(40),
                    rate_amount=Decimal("120.50"),
                ),
            ),
        ),
        ProjectCommand(
            business_key=_KEY,
            entity_code=_ENTITY,
            client_code="31",
            contract_code="41",
            code="EW-001",
            name="Data platform",
            billing_method="time_and_materials",
            is_split=False,
            starts_on=_STARTS_ON,
            ends_on=None,
        ),
        TaskCommand(
            business_key=_KEY,
            entity_code=_ENTITY,
            project_code="20",
            name="Development",
            labor_category="CON",
            rate_amount=Decimal("120.50"),
            currency="EUR",
            is_billable=True,
            starts_on=_STARTS_ON,
            ends_on=None,
            budget_hours=None,
        ),
        EmployeeCommand(
            business_key=_KEY,
            entity_code=_ENTITY,
            party_code="11",
            employee_code="E-1",
            starts_on=_STARTS_ON,
            ends_on=None,
            cost_rate=Decimal("64.00"),
        ),
        TimeLineCommand(
            business_key=_KEY,
            entity_code=_ENTITY,
            person_code="12",
            task_code="21",
            work_date=date(2026, 10, 5),
            seconds=5400,
            narrative="load profiles",
        ),
        FieldCommand(
            business_key=_KEY,
            entity_code=_ENTITY,
            object="parties",
            record_code="11",
            before={"name": "Example Works"},
            values={"name": "Example Works GmbH"},
        ),
    ),
)

"""Which kind of system owns which field; a write from elsewhere is refused and told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.runtime.outbox import publish

REFUSED = "register.write_refused"
CRM, ERP, HR, TIME = "crm", "erp", "hr", "time"

# A client's tax number and address belong to the CRM until an ERP knows the client.
CLIENT_OWNERS: Mapping[str, str] = {
    "name": CRM,
    "domain": CRM,
    "parent_client_id": CRM,
    "is_active": CRM,
    "vat_number": ERP,
    "street": ERP,
    "postal_code": ERP,
    "city": ERP,
    "country_code": ERP,
}
EMPLOYMENT_OWNERS: Mapping[str, str] = {
    "employee_code": HR,
    "starts_on": HR,
    "ends_on": HR,
    "week_seconds": HR,
    "cost_rate": ERP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A system that does not own a field says something else; what it says is not kept."""

    noun: str
    our_id: UUID
    field: str
    owner_kind: str
    written_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The values that stand after a write, and what of it was refused."""

    values: Mapping[str, Any]
    drifts: tuple[Drift, ...]


def settle(
    *,
    noun: str,
    our_id: UUID,
    current: Mapping[str, Any],
    proposed: Mapping[str, Any],
    owners: Mapping[str, str],
    written_by: str,
    kind: str,
    present_kinds: frozenset[str],
) -> Settled:
    """Take the fields that the writer owns, or that nobody present owns or has filled.

    A value that an owner leaves empty may be filled by anybody; what differs otherwise is drift.
    """
    values = dict(current)
    drifts = []
    for name, value in proposed.items():
        if name not in owners:
            values[name] = value
            continue
        owner = owners[name]
        owns = owner == kind or owner not in present_kinds
        if (owns and value is not None) or (not owns and current.get(name) is None):
            values[name] = value
        elif not owns and value is not None and value != current[name]:
            drifts.append(
                Drift(noun=noun, our_id=our_id, field=name, owner_kind=owner, written_by=written_by)
            )
    return Settled(values=values, drifts=tuple(drifts))


def record_drift(
    connection: Connection[Row], *, drift: Drift, now: datetime, correlation_id: str
) -> bool:
    """Keep a refused write as an event, once; return whether it is new. Values are not kept."""
    data = {
        "field": drift.field,
        "owner_kind": drift.owner_kind,
        "written_by": drift.written_by,
    }
    known = connection.execute(
        """
        SELECT 1 FROM event WHERE type = %s AND subject_kind = %s AND subject_id = %s
          AND data ->> 'field' = %s AND data ->> 'written_by' = %s LIMIT 1
        """,
        (REFUSED, drift.noun, str(drift.our_id), drift.field, drift.written_by),
    ).fetchone()
    if known is not None:
        return False
    publish(
        connection,
        type=REFUSED,
        subject_kind=drift.noun,
        subject_id=str(drift.our_id),
        entity_code=None,
        occurred_at=now,
        recorded_at=now,
        correlation_id=correlation_id,
        data=data,
    )
    return True

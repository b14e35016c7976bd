"""Which kind of system owns which field; a write from elsewhere is refused and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from psycopg import Connection

from tieline.runtime.database import Row
from tieline.runtime.outbox import Happened, publish_all
from tieline.runtime.sql import load

REFUSED = "register.write_refused"
DRIFTS_PAGE_MAX = 500
_BEGIN_DRIFTS = load("tieline.register", "begin_drifts")
_END_DRIFTS = load("tieline.register", "end_drifts")
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
# Once an ERP has a project, its number and name are the ERP's; the time tool follows.
PROJECT_OWNERS: Mapping[str, str] = {"code": ERP, "name": ERP, "is_active": ERP}
# What was agreed with the client is the deal's; what was provisioned follows by a plan.
DEAL_OWNERS: Mapping[str, str] = dict.fromkeys(
    (
        "entity_code",
        "currency",
        "billing_method",
        "project_code",
        "amount",
        "cap_amount",
        "starts_on",
        "ends_on",
        "lines",
    ),
    CRM,
)
OWNERS: Mapping[str, Mapping[str, str]] = {
    "client": CLIENT_OWNERS,
    "project": PROJECT_OWNERS,
    "deal": DEAL_OWNERS,
}
"""The owner of each field as it ships; a firm declares what differs."""

EMPLOYMENT_OWNERS: Mapping[str, str] = {
    "employee_code": HR,
    "starts_on": HR,
    "ends_on": HR,
    "week_seconds": HR,
    "cost_rate": ERP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Who owns the fields of a noun on one day: as it ships, and what the firm declared otherwise.

    ``declared`` is by field and region, where the region '' is everywhere.
    """

    shipped: Mapping[str, str]
    declared: Mapping[tuple[str, str], str]

    def of_region(self, region: str | None) -> Mapping[str, str]:
        """Return the owner of every field in a region: its own, else everywhere's, else as shipped."""
        return {
            name: self.declared.get((name, region or ""), self.declared.get((name, ""), owner))
            for name, owner in self.shipped.items()
        }


def read_ownership(connection: Connection[Row], *, noun: str, on: date) -> Ownership:
    """Return who owns the fields of a noun on a day, as known now."""
    rows = connection.execute(
        """
        SELECT field, region, owner_kind FROM field_owner
        WHERE noun = %(noun)s AND superseded_at IS NULL
          AND starts_on <= %(on)s AND (ends_on IS NULL OR %(on)s < ends_on)
        """,
        {"noun": noun, "on": on},
    ).fetchall()
    return Ownership(
        shipped=OWNERS[noun],
        declared={(row["field"], row["region"]): row["owner_kind"] for row in rows},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A system that does not own a field says something else; what it says is not kept."""

    noun: str
    our_id: UUID
    field: str
    owner_kind: str
    written_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingDrift:
    """A refused write as a person asks about it: of what, who owns it, who tried, since when."""

    noun: str
    our_id: UUID
    name: str | None
    field: str
    owner_kind: str
    owner_key: str | None
    owner_system: str | None
    owner_ref: str | None
    written_by: str
    writer_system: str | None
    writer_ref: str | None
    since: datetime
    ended_at: datetime | None


def keep_drifts(
    connection: Connection[Row],
    *,
    noun: str,
    drifts: Sequence[Drift],
    now: datetime,
    correlation_id: str,
) -> int:
    """Let exactly these refused writes stand for a noun; return how many began.

    Each that begins is kept as an event; one that is no longer said ends. Values are not kept.
    """
    values = {
        "noun": noun,
        "now": now,
        "our_ids": [drift.our_id for drift in drifts],
        "fields": [drift.field for drift in drifts],
        "owner_kinds": [drift.owner_kind for drift in drifts],
        "writers": [drift.written_by for drift in drifts],
    }
    connection.execute(_END_DRIFTS, values)
    begun = connection.execute(_BEGIN_DRIFTS, values).fetchall()
    publish_all(
        connection,
        type=REFUSED,
        happened=[
            Happened(
                subject_kind=noun,
                subject_id=str(row["our_id"]),
                entity_code=None,
                occurred_at=now,
                data={
                    "field": row["field"],
                    "owner_kind": row["owner_kind"],
                    "written_by": row["written_by"],
                },
            )
            for row in begun
        ],
        recorded_at=now,
        correlation_id=correlation_id,
    )
    return len(begun)


def list_drifts(connection: Connection[Row]) -> tuple[StandingDrift, ...]:
    """List refused writes, those that stand first, the newest first."""
    rows = connection.execute("SELECT * FROM page_drifts() LIMIT %s", (DRIFTS_PAGE_MAX,)).fetchall()
    return tuple(StandingDrift(**row) for row in rows)

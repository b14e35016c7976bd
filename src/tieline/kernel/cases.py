"""A request for a person's attention: one cause, with the records it holds up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMember:
    """One record that waits for the cause to be fixed."""

    kind: str
    key: str
    entry_id: UUID | None = None
    seconds: int | None = None
    amount: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRequest:
    """One exception: its key is (reason, owner queue, thing kind, thing key)."""

    reason: str
    owner_queue: str
    thing_kind: str
    thing_key: str
    entity_code: str | None
    members: tuple[CaseMember, ...]
    details: Mapping[str, str] = field(default_factory=dict)
    due_at: datetime | None = None
    is_incident: bool = False

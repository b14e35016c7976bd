"""What became of a write."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tieline.kernel.keys import SourceIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRequest:
    """Ask for one effect of master data: what event it answers and where it goes."""

    source: SourceIdentity
    target_connection: str
    noun: str
    part: str
    entity_code: str
    work_class: int
    deadline_at: datetime | None
    release_id: int | None
    correlation_id: str
    project_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The target holds it, and said so when asked again. ``is_new`` when this call wrote it."""

    business_key: UUID
    target_code: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nobody knows yet, or the target asked to wait; come back after so many seconds."""

    business_key: UUID
    due_in_seconds: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The target refused it for a reason; nothing stands there."""

    business_key: UUID
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflicted:
    """The target holds something else under our key; a person decides."""

    business_key: UUID
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """The record was taken back; ``how`` is the target's way."""

    business_key: UUID
    how: str


PostResult = Confirmed | Waiting | Rejected | Conflicted

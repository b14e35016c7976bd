"""What the promises need to rehearse a service desk: where it is, and one message for its people."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from tieline.sdk import Notice
from tieline.sdk.promises import Rehearsal

REHEARSAL = Rehearsal(
    config={"service_desk": "10", "request_type": "25"},
    notices=(
        Notice(
            notice_key=UUID("0f3c8a51-7a0b-4c7e-9a51-6d2e6f0b7c11"),
            kind="digest",
            is_urgent=False,
            recipient="queue:finance",
            address="",
            subject="3 cases wait for finance",
            text="The oldest has waited since Monday.",
            entity_code=None,
            written_at=datetime(2026, 11, 30, 9, tzinfo=UTC),
            due_at=None,
            acknowledge_url="https://tieline.example/ack/1",
        ),
    ),
)

"""Tell a receiver one event or one notice: a CloudEvent in JSON, signed as Standard Webhooks asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tieline.connectors.webhook.signing import key_of, sign
from tieline.kernel.errors import AskPerson, TielineError
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    Connection,
    Notice,
    NoticeReceipt,
    load_manifest,
)
from tieline.sdk.http import HttpClient
from tieline.sdk.slices import encode_exact

MANIFEST: Capabilities = load_manifest(__package__)
SECRET = "signing_secret"  # noqa: S105 - the name of a secret
CHECKED = "tieline.checked"
NOTICE = "tieline.notice"
CARRIED = ("events", "notices")


def build(
    connection: Connection, *, transport: httpx.BaseTransport | None = None
) -> WebhookConnector:
    """Make the connector of one receiver."""
    return WebhookConnector(
        connection=connection,
        client=HttpClient(connection=connection, headers={}, transport=transport),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConnector:
    """One receiver of events, or of messages to people."""

    connection: Connection
    client: HttpClient

    def check(self) -> CheckReport:
        """Try the secret, the words of the file, and whether the receiver takes a signed event."""
        items = [
            self._secret(),
            self._carries(),
            *(self._words(name) for name in ("events", "legal_entities")),
        ]
        if all(item.is_good for item in items):
            items.append(self._receiver())
        return CheckReport(items=tuple(items))

    def tell(self, *, event_id: str, event: Mapping[str, Any]) -> None:
        """Send one event once.

        :raises TielineError: it was not taken, or nobody can say; it is sent again under its id.
        """
        timestamp = int(time.time())
        signature = sign(
            secret=self.connection.secrets.get(SECRET, ""),
            event_id=event_id,
            timestamp=timestamp,
            body=encode_exact(event),
        )
        self.client.write(
            method="POST",
            path="",
            content=event,
            headers={
                "webhook-id": event_id,
                "webhook-timestamp": str(timestamp),
                "webhook-signature": signature,
            },
        )

    def send(self, *, notice: Notice) -> NoticeReceipt:
        """Send one notice once, under its key as the event's id.

        :raises TielineError: it was not taken, or nobody can say; it is sent again under its id.
        """
        self.tell(event_id=str(notice.notice_key), event=as_cloud_event(notice))
        return NoticeReceipt(receiver_code="")

    def _carries(self) -> CheckItem:
        is_good = self.connection.config.get("carries", CARRIED[0]) in CARRIED
        fix = "" if is_good else f"It carries {' or '.join(CARRIED)}."
        return CheckItem(name="carries", is_good=is_good, fix=fix)

    def _secret(self) -> CheckItem:
        try:
            key_of(self.connection.secrets.get(SECRET, ""))
        except AskPerson as error:
            return CheckItem(name=SECRET, is_good=False, fix=f"{error}.")
        return CheckItem(name=SECRET, is_good=True)

    def _words(self, name: str) -> CheckItem:
        value = self.connection.config.get(name, [])
        is_good = isinstance(value, list) and all(isinstance(word, str) and word for word in value)
        return CheckItem(name=name, is_good=is_good, fix="" if is_good else "Give a list of words.")

    def _receiver(self) -> CheckItem:
        event_id = str(uuid4())
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "tieline",
            "type": CHECKED,
            "subject": f"connection:{self.connection.connection_key}",
        }
        try:
            self.tell(event_id=event_id, event=event)
        except TielineError as error:
            return CheckItem(name="receiver", is_good=False, fix=f"{error}.")
        return CheckItem(name="receiver", is_good=True)


def as_cloud_event(notice: Notice) -> Mapping[str, Any]:
    """Return a notice as CloudEvents 1.0 writes it; the recipient's address goes along where there is one."""
    told = {
        "specversion": "1.0",
        "id": str(notice.notice_key),
        "source": "tieline",
        "type": NOTICE,
        "subject": notice.recipient,
        "time": notice.written_at.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "kind": notice.kind,
            "urgent": notice.is_urgent,
            "address": notice.address,
            "subject": notice.subject,
            "text": notice.text,
            "due_at": None if notice.due_at is None else notice.due_at.isoformat(),
            "acknowledge_url": notice.acknowledge_url,
        },
    }
    return told if notice.entity_code is None else {**told, "legalentity": notice.entity_code}

"""HubSpot's webhooks: signed batches that come late, twice, out of order, or not at all."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tieline.sandbox.process import SandboxClock
from tieline.sandbox.wire import Request, encode_json, exchange

_ATTEMPTS_MAX = 4
_RETRY_SECONDS = 2
_BATCH_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """Say where batches go and how badly they travel."""

    url: str
    duplicates: int = 0
    is_reordered: bool = False


class Webhooks:
    """Send events about committed changes, at least once and in no promised order."""

    def __init__(self, *, secret: str, clock: SandboxClock, app_id: int, portal_id: int) -> None:
        self._secret = secret
        self._clock = clock
        self._app_id = app_id
        self._portal_id = portal_id
        self._last_event = 0
        self._random = random.Random(app_id)
        self._sending: set[asyncio.Task[None]] = set()
        self.target: WebhookTarget | None = None
        self.sent = 0
        self.failed = 0

    def announce(self, facts: Sequence[Mapping[str, Any]]) -> None:
        """Send events about these facts, if a target is configured."""
        if self.target is None or not facts:
            return
        events = [self._event(fact) for fact in facts]
        if self.target.is_reordered:
            self._random.shuffle(events)
        for first in range(0, len(events), _BATCH_MAX):
            batch = events[first : first + _BATCH_MAX]
            for _ in range(1 + self.target.duplicates):
                self._start(batch, self.target.url)

    async def settle(self) -> None:
        """Wait until every batch was delivered or given up."""
        while self._sending:
            await asyncio.gather(*self._sending)

    def _event(self, fact: Mapping[str, Any]) -> dict[str, Any]:
        self._last_event += 1
        return {
            "eventId": self._last_event,
            "subscriptionId": 2_100_000 + self._last_event % 7,
            "portalId": self._portal_id,
            "appId": self._app_id,
            "occurredAt": _epoch_ms(self._clock),
            "attemptNumber": 0,
            "changeSource": "CRM_UI",
            **fact,
        }

    def _start(self, batch: Sequence[Mapping[str, Any]], url: str) -> None:
        task = asyncio.create_task(self._send(batch, url))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, batch: Sequence[Mapping[str, Any]], url: str) -> None:
        for attempt in range(_ATTEMPTS_MAX):
            body = encode_json([{**event, "attemptNumber": attempt} for event in batch]).encode()
            if await self._post(url, body):
                self.sent += 1
                return
            await asyncio.sleep(_RETRY_SECONDS * (attempt + 1))
        self.failed += 1

    async def _post(self, url: str, body: bytes) -> bool:
        address = urlsplit(url)
        timestamp = str(_epoch_ms(self._clock))
        request = Request(
            method="POST",
            target=address.path or "/",
            headers={
                "content-type": "application/json",
                "user-agent": "HubSpot Connect 2.0 (http://dev.hubspot.com/)",
                "x-hubspot-request-timestamp": timestamp,
                "x-hubspot-signature-version": "v3",
                "x-hubspot-signature-v3": signature_v3(
                    secret=self._secret, method="POST", uri=url, body=body, timestamp=timestamp
                ),
            },
            body=body,
        )
        try:
            response = await exchange(
                request, host=address.hostname or "localhost", port=address.port or 80
            )
        except OSError:
            return False
        return response.status < 300


def signature_v3(*, secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """Return base64 of HMAC-SHA256 over method, URI, body and timestamp."""
    signed = method.encode() + uri.encode() + body + timestamp.encode()
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def _epoch_ms(clock: SandboxClock) -> int:
    return int(clock.now().timestamp() * 1000)

"""Webhooks are hints: who is dirty, never what is true; believed only with a fresh signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from tieline.kernel.errors import AskPerson, UserMistake
from tieline.sdk import Hint
from tieline.sdk.slices import NotJson, decode_exact

REPLAY_WINDOW_SECONDS = 300
HINTS_MAX = 1000
# "Decode the URL-encoded characters of the URI": these twelve, the query's first "?" excepted.
_ENCODED = re.compile("%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
_OBJECTS = {
    "company": "companies",
    "contact": "contacts",
    "deal": "deals",
    "line_item": "line_items",
    "0-1": "contacts",
    "0-2": "companies",
    "0-3": "deals",
    "0-8": "line_items",
}


class SignatureRefused(AskPerson):
    """The call is not from the vendor, or was seen too long ago."""

    code = "webhook.signature_refused"


def verify_webhook(
    *, method: str, url: str, body: bytes, headers: Mapping[str, str], secret: str, now: datetime
) -> list[Hint]:
    """Return the hints of a call that carries a fresh signature of version 3.

    :raises SignatureRefused: the signature is missing, wrong, or older than the replay window.
    :raises UserMistake: the body is not a list of events.
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = given.get("x-hubspot-request-timestamp", "")
    if not re.fullmatch(r"[0-9]{1,16}", timestamp):
        raise SignatureRefused("the webhook carries no timestamp")
    age_ms = abs(int(now.timestamp() * 1000) - int(timestamp))
    if age_ms > REPLAY_WINDOW_SECONDS * 1000:
        raise SignatureRefused("the webhook's timestamp is outside the replay window")
    expected = _signature(method, url, body, timestamp, secret)
    if not hmac.compare_digest(
        expected, given.get("x-hubspot-signature-v3", "").encode("ascii", "replace")
    ):
        raise SignatureRefused("the webhook's signature is wrong")
    return _hints(body)


def _signature(method: str, url: str, body: bytes, timestamp: str, secret: str) -> bytes:
    signed = method.upper().encode() + _decoded(url).encode() + body + timestamp.encode()
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())


def _decoded(url: str) -> str:
    """Decode the characters that the vendor signs decoded, and no others."""
    return _ENCODED.sub(lambda found: unquote(found.group()), url)


def _hints(body: bytes) -> list[Hint]:
    try:
        events = decode_exact(body)
    except NotJson:
        raise UserMistake("the webhook's body is not JSON") from None
    if not isinstance(events, list) or len(events) > HINTS_MAX:
        raise UserMistake(f"the webhook's body is not a list of at most {HINTS_MAX} events")
    return [hint for event in events if (hint := _hint(event)) is not None]


def _hint(event: Any) -> Hint | None:
    try:
        kind = str(event["subscriptionType"]).partition(".")[0]
        if kind == "object":
            kind = str(event["objectTypeId"])
        reference = event.get("objectId", event.get("fromObjectId"))
        event_id = str(event["eventId"])
    except (KeyError, TypeError, AttributeError):
        raise UserMistake("the webhook has an event without its type, object or number") from None
    if kind not in _OBJECTS or reference is None:
        return None
    return Hint(object=_OBJECTS[kind], source_ref=str(reference), event_id=event_id)

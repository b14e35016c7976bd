"""Signatures of the Standard Webhooks specification, version 1."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from tieline.kernel.errors import AskPerson

PREFIX = "whsec_"
KEY_BYTES_MIN, KEY_BYTES_MAX = 24, 64


def key_of(secret: str) -> bytes:
    """Return the key in a secret as the specification writes it: ``whsec_`` and base64.

    :raises AskPerson: it is no such secret, or its key is shorter or longer than allowed.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise AskPerson(
            f"the signing secret is {PREFIX} followed by {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes"
            " in base64"
        )
    return key


def sign(*, secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature``: HMAC-SHA256 over id, seconds since 1970 and body.

    :raises AskPerson: the secret is none.
    """
    signed = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()

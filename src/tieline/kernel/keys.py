"""Business keys: computed from the source alone, so that they survive a restored database."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from uuid import UUID

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceIdentity:
    """Name one record of one account of one system."""

    connection_key: str
    source_epoch: int
    object: str
    source_ref: str


def business_key(
    *,
    source: SourceIdentity,
    target_connection: str,
    noun: str,
    part: str,
    effect_no: int,
) -> UUID:
    """Return the key of an effect: the first 128 bits of SHA-256 over its length-prefixed parts."""
    digest = hashlib.sha256()
    for word in (
        source.connection_key,
        str(source.source_epoch),
        source.object,
        source.source_ref,
        target_connection,
        noun,
        part,
        str(effect_no),
    ):
        encoded = word.encode()
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    return UUID(bytes=digest.digest()[:_KEY_BYTES])


def key_as_base32(key: UUID) -> str:
    """Return the key in 26 upper-case characters without padding."""
    return base64.b32encode(key.bytes).decode().rstrip("=")


def key_as_digits(key: UUID) -> str:
    """Return the key in 39 decimal digits."""
    return str(key.int).zfill(39)

"""Random words for machines and browsers, kept only as a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_SECRET_BYTES = 32
_TOKEN_CHARACTERS_MAX = 200


def new_token(*, prefix: str) -> str:
    """Return a fresh word that nobody can guess."""
    return f"{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def token_hash(token: str, *, pepper: bytes) -> bytes:
    """Return HMAC-SHA-256 of a token; the pepper is kept outside the database.

    :raises ValueError: the pepper is too short to keep anything.
    """
    if len(pepper) < 16:
        raise ValueError("the pepper of token hashes needs at least 16 bytes")
    return hmac.digest(pepper, token[:_TOKEN_CHARACTERS_MAX].encode(), hashlib.sha256)

"""Credentials of connections: sealed before they reach the database, opened only for a call."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import Connection

from tieline.kernel.errors import AskPerson, UserMistake
from tieline.runtime.database import Database, Row

_KEY_FILE = "master.key"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MasterKey:
    """The key that seals; it lives in a private file and never enters the database."""

    key_id: str
    _bytes: bytes

    def seal(self, *, text: str, context: str) -> bytes:
        """Encrypt a text that can only be opened in the same context."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._bytes).encrypt(nonce, text.encode(), context.encode())

    def open(self, *, envelope: bytes, context: str) -> str:
        """Decrypt an envelope.

        :raises AskPerson: it was sealed with another key or for another place.
        """
        nonce, sealed = envelope[:_NONCE_BYTES], envelope[_NONCE_BYTES:]
        try:
            return AESGCM(self._bytes).decrypt(nonce, sealed, context.encode()).decode()
        except InvalidTag as error:
            raise AskPerson(f"the secret of {context} cannot be opened: store it again") from error

    def derive(self, *, purpose: str) -> bytes:
        """Return another key for a named purpose, such as hashing material."""
        return hashlib.blake2b(purpose.encode(), key=self._bytes, digest_size=_KEY_BYTES).digest()


def open_master_key(*, secrets_directory: Path) -> MasterKey:
    """Read the master key, making it the first time.

    :raises UserMistake: others may read the key file.
    """
    secrets_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = secrets_directory / _KEY_FILE
    _create(path)
    if path.stat().st_mode & 0o077:
        raise UserMistake(f"{path} may be read by others: chmod 600 it")
    key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    return MasterKey(key_id=hashlib.sha256(key).hexdigest()[:_ID_LENGTH], _bytes=key)


def _create(path: Path) -> None:
    # Written whole beside it and linked, so that a second process never reads half a key.
    if path.exists():
        return
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(os.urandom(_KEY_BYTES).hex())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def store_secret(
    connection: Connection[Row], *, key: MasterKey, connection_key: str, name: str, value: str
) -> None:
    """Seal and store a credential, replacing the one before."""
    place = (connection_key, name)
    connection.execute("DELETE FROM secret WHERE connection_key = %s AND name = %s", place)
    connection.execute(
        "INSERT INTO secret (connection_key, name, key_id, envelope) VALUES (%s, %s, %s, %s)",
        (*place, key.key_id, key.seal(text=value, context="/".join(place))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Open credentials for connectors, in the worker only."""

    database: Database
    key: MasterKey

    def get(self, *, connection_key: str, name: str) -> str:
        """Return a credential.

        :raises AskPerson: none is stored, or it cannot be opened.
        """
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT envelope FROM secret WHERE connection_key = %s AND name = %s",
                (connection_key, name),
            ).fetchone()
        if row is None:
            raise AskPerson(f"{connection_key} has no stored {name}")
        return self.key.open(envelope=bytes(row["envelope"]), context=f"{connection_key}/{name}")

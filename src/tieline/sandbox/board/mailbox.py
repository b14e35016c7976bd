"""The mailbox: a small mail server that takes everything, keeps the last of it, and sends nothing on.

RFC 5321 as far as a submitting client goes: no login, no TLS, and nobody but this machine reaches it.
What it keeps is bounded: mails, characters of each, connections, and what a connection may say.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from itertools import count, islice

KEPT_MAX = 200
MAIL_BYTES_MAX = 1024 * 1024
BODY_CHARACTERS_MAX = 32 * 1024
_SUBJECT_CHARACTERS_MAX = 500
_ADDRESS_CHARACTERS_MAX = 320
_RECIPIENTS_MAX = 20
_CONNECTIONS_MAX = 16
_MISTAKES_MAX = 10
_PARTS_MAX = 50
_IDLE_SECONDS = 60
# A mail that is too large is read on for so long, so that its sender hears why it is not taken.
_READ_BYTES_MAX = 64 * MAIL_BYTES_MAX
_PATH = re.compile(rb"(?:MAIL FROM|RCPT TO):\s*<([^<>\s]*)>(?:\s.*)?", re.IGNORECASE)
# Control characters, and those that turn the direction of what follows.
_UNSHOWN = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"),
    ord("\n"): "\n",
    ord("\t"): "\t",
    ord("\r"): "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail that was taken, as far as it is shown; ``is_cut`` says that its text was longer."""

    number: int
    at: datetime
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    is_cut: bool


@dataclass(slots=True, kw_only=True)
class Mailbox:
    """What was sent; the oldest goes when there is no room."""

    now: Callable[[], datetime]
    mails: deque[Mail] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _connections: int = 0

    async def listen(self, *, host: str = "127.0.0.1", port: int = 0) -> asyncio.Server:
        """Accept mail until the returned server is closed."""
        return await asyncio.start_server(self._connected, host, port, limit=64 * 1024)

    def take(self, raw: bytes, *, sender: str, recipients: tuple[str, ...]) -> None:
        """Keep what can be shown of a mail."""
        subject, text = _read(raw)
        self.mails.append(
            Mail(
                number=next(self._numbers),
                at=self.now(),
                sender=_shown(sender),
                recipients=tuple(_shown(each) for each in recipients),
                subject=_shown(subject)[:_SUBJECT_CHARACTERS_MAX],
                text=_shown(text[:BODY_CHARACTERS_MAX]),
                is_cut=len(text) > BODY_CHARACTERS_MAX,
            )
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > _CONNECTIONS_MAX:
                writer.write(b"421 too many connections\r\n")
                return
            with contextlib.suppress(
                ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                await _Dialog(mailbox=self, reader=reader, writer=writer).hold()
        finally:
            self._connections -= 1
            writer.close()


@dataclass(slots=True, kw_only=True)
class _Dialog:
    """One connection: what its client said so far of the mail it is about to send."""

    mailbox: Mailbox
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _sender: str | None = None
    _recipients: list[str] = field(default_factory=list)
    _mistakes: int = 0

    async def hold(self) -> None:
        await self._say("220 board.example ready")
        while self._mistakes < _MISTAKES_MAX:
            line = await self._line()
            verb = b"" if line is None else line[:4].upper()
            match verb:
                case b"QUIT":
                    await self._say("221 farewell")
                    return
                case b"DATA" if self._recipients:
                    await self._say("354 go on")
                    await self._say(await self._take())
                    self._forget()
                case _:
                    await self._say(self._answer(verb, line or b""))
        await self._say("421 this leads nowhere")

    def _answer(self, verb: bytes, line: bytes) -> str:
        match verb:
            case b"EHLO" | b"HELO":
                self._forget()
                if verb == b"HELO":
                    return "250 board.example"
                return f"250-board.example\r\n250-SIZE {MAIL_BYTES_MAX}\r\n250 8BITMIME"
            case b"MAIL" if self._sender is None:
                return self._path(line, is_sender=True)
            case b"RCPT" if self._sender is not None:
                if len(self._recipients) >= _RECIPIENTS_MAX:
                    return "452 too many recipients"
                return self._path(line, is_sender=False)
            case b"RSET":
                self._forget()
                return "250 forgotten"
            case b"NOOP":
                return "250 well"
            case b"MAIL" | b"RCPT" | b"DATA":
                self._mistakes += 1
                return "503 not now"
            case _:
                self._mistakes += 1
                return "500 not understood"

    def _path(self, line: bytes, *, is_sender: bool) -> str:
        found = _PATH.fullmatch(line)
        if found is None or len(found[1]) > _ADDRESS_CHARACTERS_MAX:
            self._mistakes += 1
            return "501 no address"
        address = found[1].decode("utf-8", "replace")
        if is_sender:
            self._sender = address
        elif address:
            self._recipients.append(address)
        else:
            return "501 no address"
        return "250 go on"

    async def _take(self) -> str:
        """Read a mail to its end; keep it unless it is too large."""
        pieces: list[bytes] = []
        size, at_start = 0, True
        while True:
            piece, is_line = await self._piece()
            if at_start and piece == b".\r\n":
                break
            if at_start and piece.startswith(b"."):
                piece = piece[1:]
            size += len(piece)
            if size > _READ_BYTES_MAX:
                raise ConnectionAbortedError("a mail without an end")
            if size <= MAIL_BYTES_MAX:
                pieces.append(piece)
            at_start = is_line
        if size > MAIL_BYTES_MAX:
            return "552 too large"
        sender, recipients = self._sender or "", tuple(self._recipients)
        raw = b"".join(pieces)
        await asyncio.to_thread(self.mailbox.take, raw, sender=sender, recipients=recipients)
        return "250 taken"

    async def _line(self) -> bytes | None:
        """Return a command without its end; None for one that is too long, or where nobody is left."""
        piece, is_line = await self._piece()
        if is_line:
            return piece.rstrip(b"\r\n")
        while not is_line:
            self._mistakes += 1
            if self._mistakes >= _MISTAKES_MAX:
                return None
            _, is_line = await self._piece()
        return None

    async def _piece(self) -> tuple[bytes, bool]:
        """Return the next line with its end, or as much of it as fits, and whether it was one."""
        async with asyncio.timeout(_IDLE_SECONDS):
            try:
                return await self.reader.readuntil(b"\n"), True
            except asyncio.LimitOverrunError as error:
                return await self.reader.readexactly(max(1, error.consumed)), False

    async def _say(self, line: str) -> None:
        self.writer.write(f"{line}\r\n".encode())
        async with asyncio.timeout(_IDLE_SECONDS):
            await self.writer.drain()

    def _forget(self) -> None:
        self._sender = None
        self._recipients = []


def _read(raw: bytes) -> tuple[str, str]:
    """Return subject and text of a mail, or all of it as it came where it cannot be understood."""
    try:
        mail = message_from_bytes(raw)
        words = str(mail.get("Subject", ""))[:_SUBJECT_CHARACTERS_MAX]
        subject = str(make_header(decode_header(words)))
        return " ".join(subject.split()), _text(mail)
    except (MessageError, LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return "(cannot be read)", raw.decode("utf-8", "replace")


def _text(mail: Message) -> str:
    parts = list(islice((part for part in mail.walk() if not part.is_multipart()), _PARTS_MAX))
    plain = [part for part in parts if part.get_content_type() == "text/plain"]
    content = (plain or parts)[0].get_payload(decode=True) if parts else b""
    if not isinstance(content, bytes):
        return ""
    charset = (plain or parts)[0].get_content_charset("utf-8")
    return content.decode(charset, "replace")


def _shown(text: str) -> str:
    # Half a surrogate pair cannot be written into a page.
    return text.encode("utf-8", "replace").decode().translate(_UNSHOWN)

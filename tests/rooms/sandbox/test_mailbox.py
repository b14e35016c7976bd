"""The mailbox: it takes what a mail program submits, keeps a bounded part of it, and shows it as text."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from tieline.sandbox.board.mailbox import (
    BODY_CHARACTERS_MAX,
    KEPT_MAX,
    MAIL_BYTES_MAX,
    Mail,
    Mailbox,
)
from tieline.sandbox.wire import port_of

_NOW = datetime(2026, 11, 3, 13, 56, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Post:
    mailbox: Mailbox
    port: int

    def submit(self, raw: bytes | str, *to: str) -> tuple[int, bytes]:
        """Submit what smtplib would make of it; return the server's answer to the data."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as server:
            server.ehlo()
            assert server.mail("tieline@haldenroe.example")[0] == 250
            for address in to or ("ann@haldenroe.example",):
                assert server.rcpt(address)[0] == 250
            return server.data(raw)

    def say(self, *lines: bytes) -> list[bytes]:
        """Say lines as no mail program would; return the first words of the answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as raw:
            raw.sendall(b"".join(line + b"\r\n" for line in (*lines, b"QUIT")))
            answers = raw.makefile("rb").read().splitlines()
        return [line[:3] for line in answers if line[3:4] == b" "]

    @property
    def last(self) -> Mail:
        return self.mailbox.mails[-1]


@pytest.fixture
def post() -> Iterator[_Post]:
    mailbox = Mailbox(now=lambda: _NOW)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(mailbox.listen(), loop).result(timeout=10)
    yield _Post(mailbox=mailbox, port=port_of(server))
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=10)
    loop.close()


class TestTheMailbox:
    def test_keeps_what_was_said_to_whom(self, post: _Post) -> None:
        mail = EmailMessage()
        mail["Subject"] = "Zeit fehlt für Müller: 12,50 Stunden"
        mail.set_content("First line\n.a line with a dot\n\nGrüße, “quoted”\n")

        answer = post.submit(
            mail.as_bytes(policy=SMTP), "ann@haldenroe.example", "ben@haldenroe.example"
        )

        assert answer[0] == 250
        assert post.last == Mail(
            number=1,
            at=_NOW,
            sender="tieline@haldenroe.example",
            recipients=("ann@haldenroe.example", "ben@haldenroe.example"),
            subject="Zeit fehlt für Müller: 12,50 Stunden",
            text="First line\n.a line with a dot\n\nGrüße, “quoted”\n",
            is_cut=False,
        )

    def test_keeps_no_more_than_it_has_room_for(self, post: _Post) -> None:
        for number in range(KEPT_MAX + 3):
            post.mailbox.take(b"Subject: %d\n\nx" % number, sender="s", recipients=("r",))
        post.submit("Subject: long\n\n" + "x" * BODY_CHARACTERS_MAX + "yz")
        text, is_cut = post.last.text, post.last.is_cut

        too_large = post.submit("Subject: huge\n\n" + ("x" * 70_000 + "\n") * 16)

        assert MAIL_BYTES_MAX < 70_000 * 16
        assert (len(text), is_cut) == (BODY_CHARACTERS_MAX, True)
        assert (too_large[0], post.last.subject) == (552, "long")
        assert (len(post.mailbox.mails), post.mailbox.mails[0].subject) == (KEPT_MAX, "4")

    def test_shows_any_bytes_as_text(self, post: _Post) -> None:
        turning = "a\u202eb"
        mails: tuple[bytes, ...] = (
            b"",
            b"Subject: a\x00b\x1b[31m\r\n\r\nc\x00d",
            f"Subject: {turning}\r\n\r\n{turning}".encode(),
            b"Subject: =?no-such-charset?Q?=FF?=\r\n\r\n",
            b"Subject: =?utf-8?B?!!?=\r\nContent-Type: text/plain; charset=nonsense\r\n\r\nx\xff",
            b"Content-Transfer-Encoding: base64\r\n\r\n!!!",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b--\r\n",
            b"Content-Type: message/rfc822\r\n\r\nSubject: within\r\n\r\nx",
            b"".join(
                b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
                for n in range(1500)
            ),
            b"\xff" * 100,
        )
        for raw in mails:
            post.mailbox.take(raw, sender="a\x00", recipients=("<b>",))

        shown = "".join(mail.subject + mail.text + mail.sender for mail in post.mailbox.mails)
        assert len(post.mailbox.mails) == len(mails)
        assert post.mailbox.mails[6].text == "first"
        assert not {"\x00", "\x1b", "\u202e"} & set(shown)

    def test_answers_what_is_no_mail(self, post: _Post) -> None:
        assert post.say(b"DATA", b"RCPT TO:<a@b>", b"MAIL FROM: nobody", b"FLY") == [
            *(b"220", b"503", b"503", b"501", b"500", b"221")
        ]
        assert post.say(b"MAIL FROM:<a@b>", b"RCPT TO:<>", b"RSET", b"NOOP", b"\x00\xff") == [
            *(b"220", b"250", b"501", b"250", b"250", b"500", b"221")
        ]
        assert post.say(b"x" * 200_000)[:2] == [b"220", b"500"]
        assert post.say(*[b"FLY"] * 20)[-1] == b"421"
        assert not post.mailbox.mails

    def test_turns_away_who_comes_when_all_places_are_taken(self, post: _Post) -> None:
        with ExitStack() as held:
            for _ in range(16):
                held.enter_context(smtplib.SMTP("127.0.0.1", post.port, timeout=10))
            with pytest.raises(smtplib.SMTPConnectError):
                smtplib.SMTP("127.0.0.1", post.port, timeout=10)

        assert post.submit("Subject: again\n\n")[0] == 250

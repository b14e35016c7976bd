"""A mail server that keeps what it is given, and misbehaves when told."""

from __future__ import annotations

import base64
import contextlib
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

TAKEN = "250 taken"
LOST = "taken, and the answer lost"


@dataclass(slots=True)
class MailSink:
    """What a mail server was given; ``answers`` says what becomes of the next mails, in order."""

    answers: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    login: str = ""
    password: str = ""
    context: ssl.SSLContext | None = None
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    port: int = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def to(self, address: str) -> list[EmailMessage]:
        return [
            mail
            for mail, recipient in zip(self.mails, self.recipients, strict=True)
            if recipient == address
        ]


@contextlib.contextmanager
def serving(sink: MailSink) -> Iterator[MailSink]:
    """Let a sink listen on this machine."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                _Dialog(self, sink).hold()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield sink
        server.shutdown()
        thread.join()


class _Dialog:
    def __init__(self, handler: socketserver.StreamRequestHandler, sink: MailSink) -> None:
        self._handler = handler
        self._sink = sink
        self._is_secured = False
        self._is_known = not sink.login
        self._recipient = ""

    def hold(self) -> None:
        self._say("220 sink")
        while line := self._handler.rfile.readline().decode().rstrip("\r\n"):
            verb = line.split(" ", 1)[0].upper()
            if verb == "QUIT":
                self._say("221 farewell")
                return
            if verb == "DATA":
                if not self._take():
                    return
            elif verb == "STARTTLS" and self._sink.context is not None:
                self._secure(self._sink.context)
            else:
                self._say(self._answer(verb, line))

    def _answer(self, verb: str, line: str) -> str:
        match verb:
            case "EHLO":
                offered = ["sink", "AUTH PLAIN"]
                offered += ["STARTTLS"] if self._sink.context and not self._is_secured else []
                return "\r\n".join(f"250-{each}" for each in offered) + "\r\n250 8BITMIME"
            case "AUTH":
                given = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:]
                self._is_known = given == [self._sink.login, self._sink.password]
                return "235 known" if self._is_known else "535 not known"
            case "MAIL":
                return "250 go on" if self._is_known else "530 who are you"
            case "RCPT":
                self._recipient = line[line.index("<") + 1 : line.index(">")]
                return self._sink.refused.get(self._recipient, "250 go on")
            case _:
                return "250 as you say"

    def _take(self) -> bool:
        self._say("354 go on")
        lines = []
        while (line := self._handler.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        answer = self._sink.answers.pop(0) if self._sink.answers else TAKEN
        if answer in (TAKEN, LOST):
            self._sink.mails.append(message_from_bytes(b"".join(lines), policy=default))
            self._sink.recipients.append(self._recipient)
            self._sink.secured.append(self._is_secured)
        if answer == LOST:
            return False
        self._say(answer)
        return True

    def _secure(self, context: ssl.SSLContext) -> None:
        self._say("220 go on")
        secured = context.wrap_socket(self._handler.request, server_side=True)
        self._handler.request = secured
        self._handler.rfile = secured.makefile("rb")
        self._handler.wfile = secured.makefile("wb", buffering=0)  # type: ignore[assignment]
        self._is_secured = True

    def _say(self, line: str) -> None:
        self._handler.wfile.write(f"{line}\r\n".encode())

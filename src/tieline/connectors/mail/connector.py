"""Submit mail: one connection per mail, TLS before anything is said, errors by consequence."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cache
from urllib.parse import urlsplit

from tieline.connectors.mail.message import as_sent, is_address, write_mail
from tieline.kernel.errors import AskPerson, NotExecuted, OutcomeUnknown, Refused, TielineError
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    Connection,
    Notice,
    NoticeReceipt,
    load_manifest,
)

MANIFEST: Capabilities = load_manifest(__package__)
PASSWORD = "password"  # noqa: S105 - the name of a secret
_PORTS = {"smtps": 465, "smtp": 587}
_TAKEN = (250, 251)
_BUSY_SECONDS = 60
# A relay on this very machine is spoken to in clear: nothing leaves it before the relay's own TLS.
_GREETED = 220
_OWN_MACHINE = frozenset({"127.0.0.1", "::1", "localhost"})


def build(connection: Connection, *, context: ssl.SSLContext | None = None) -> MailConnector:
    """Make the connector of one mail server; ``context`` says whom to trust, else whom this machine does."""
    return MailConnector(connection=connection, context=context)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailConnector:
    """One mail server that takes our mail."""

    connection: Connection
    context: ssl.SSLContext | None = field(default=None, repr=False)

    def check(self) -> CheckReport:
        """Try the words of the file, the way to the server, and whether it lets us in; nothing is sent."""
        items = [self._sender()]
        try:
            with self._server():
                pass
        except TielineError as error:
            items.append(CheckItem(name="server", is_good=False, fix=f"{error}."))
        else:
            items.append(CheckItem(name="server", is_good=True))
        return CheckReport(items=tuple(items))

    def send(self, *, notice: Notice) -> NoticeReceipt:
        """Submit one mail to one address.

        :raises NotExecuted: the server did not take it, and may later.
        :raises Refused: it refuses the mail or its recipient for good.
        :raises AskPerson: it refuses us, cannot be trusted, or an address is none.
        :raises OutcomeUnknown: the connection was lost while it was handed over.
        """
        mail = write_mail(notice, sender=self._from())
        with self._server() as server:
            self._address(server, mail)
            if self.connection.before_write is not None:
                self.connection.before_write()
            try:
                code, _ = server.data(as_sent(mail))
            except smtplib.SMTPDataError as error:
                # The server answered before the mail was handed over: it has not got it.
                raise self._error(error.smtp_code, "the mail") from None
            except (smtplib.SMTPException, OSError) as error:
                raise OutcomeUnknown(
                    f"{self._name()} was lost while it took a mail ({type(error).__name__})"
                ) from None
            if code not in _TAKEN:
                raise self._error(code, "the mail")
        return NoticeReceipt(receiver_code=str(mail["Message-ID"]))

    @contextlib.contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        """Lend a connection on which we are known."""
        place = self._place()
        before_call = self.connection.before_call
        paced = before_call() if before_call is not None else None
        try:
            server = self._enter(*place)
        except NotExecuted:
            if paced is not None:
                paced.failed()
            raise
        except BaseException:
            if paced is not None:
                paced.not_made()
            raise
        try:
            yield server
        finally:
            if paced is not None:
                paced.answered(status=_GREETED, headers={}, wait_seconds=None)
            # What was taken is taken, whether the farewell is heard or not.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
            server.close()

    def _enter(self, scheme: str, host: str, port: int) -> smtplib.SMTP:
        try:
            server = self._open(scheme, host, port)
        except ssl.SSLCertVerificationError:
            raise AskPerson(f"the certificate of {self._name()} cannot be verified") from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotExecuted(
                f"{self._name()} could not be reached ({type(error).__name__})"
            ) from None
        try:
            self._log_in(server)
        except BaseException:
            server.close()
            raise
        return server

    def _open(self, scheme: str, host: str, port: int) -> smtplib.SMTP:
        trusted = self.context or _trusted_here()
        seconds = self.connection.timeout_seconds
        if scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=seconds, context=trusted)
        server = smtplib.SMTP(host, port, timeout=seconds)
        try:
            server.ehlo_or_helo_if_needed()
            if server.has_extn("starttls"):
                server.starttls(context=trusted)
                server.ehlo()
            elif host not in _OWN_MACHINE:
                raise AskPerson(f"{self._name()} offers no STARTTLS: nothing is sent in clear")
        except BaseException:
            server.close()
            raise
        return server

    def _log_in(self, server: smtplib.SMTP) -> None:
        login = str(self.connection.config.get("login", ""))
        if not login:
            return
        try:
            server.login(login, self.connection.secrets.get(PASSWORD, ""))
        except smtplib.SMTPAuthenticationError as error:
            raise self._error(error.smtp_code, "the login", is_ours=True) from None
        except smtplib.SMTPNotSupportedError:
            raise AskPerson(f"{self._name()} offers no login: leave it out") from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotExecuted(f"{self._name()} went away ({type(error).__name__})") from None

    def _address(self, server: smtplib.SMTP, mail: EmailMessage) -> None:
        try:
            code, _ = server.mail(self._from())
            if code not in _TAKEN:
                raise self._error(code, "the sender", is_ours=True)
            code, _ = server.rcpt(mail["To"].addresses[0].addr_spec)
            if code not in _TAKEN:
                raise self._error(code, "the recipient")
        except (smtplib.SMTPException, OSError) as error:
            raise NotExecuted(f"{self._name()} went away ({type(error).__name__})") from None

    def _error(self, code: int, what: str, *, is_ours: bool = False) -> TielineError:
        """Say what a reply means; its words may hold an address, so only its number is told."""
        sentence = f"{self._name()} answered {code} to {what}"
        if code < 500:
            return NotExecuted(sentence, retry_after_seconds=_BUSY_SECONDS)
        if is_ours:
            return AskPerson(f"{sentence}: it does not let us send")
        return Refused(sentence, reason="vendor.mail_refused")

    def _place(self) -> tuple[str, str, int]:
        parts = urlsplit(self.connection.base_url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise AskPerson(f"the address of {self._name()} is smtps://HOST:465 or smtp://HOST:587")
        port = parts.port or _PORTS[parts.scheme]
        if f"{parts.hostname}:{port}" not in self.connection.allowed_hosts:
            raise AskPerson(f"{self._name()} is not among its allowed hosts")
        return parts.scheme, parts.hostname, port

    def _from(self) -> str:
        return str(self.connection.config.get("from", ""))

    def _sender(self) -> CheckItem:
        is_good = is_address(self._from())
        fix = "" if is_good else "Give the plain mail address that mail is sent from."
        return CheckItem(name="from", is_good=is_good, fix=fix)

    def _name(self) -> str:
        return f"the mail server of {self.connection.connection_key}"


@cache
def _trusted_here() -> ssl.SSLContext:
    # A firm's own mail server is often certified by the firm, which its machines know.
    return ssl.create_default_context()

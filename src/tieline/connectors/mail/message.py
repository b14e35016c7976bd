"""Write a notice as a mail that cannot say more than was meant: one sender, one recipient, plain text."""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from tieline.kernel.errors import AskPerson
from tieline.sdk import Notice

SUBJECT_CHARACTERS_MAX = 200
_LINE_MAX = 998
# Narrower than what mail allows: no quotes, no comments, no lists, and so nothing that ends a header.
_ADDRESS = re.compile(
    r"(?P<name>[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64})@(?P<domain>[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*)"
)


def is_address(text: str) -> bool:
    """Tell whether a text is one plain mail address."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and not re.search(r"^\.|\.\.|\.$", found["name"])


def write_mail(notice: Notice, *, sender: str) -> EmailMessage:
    """Return the mail of a notice; the same notice is the same mail, down to its Message-ID.

    :raises AskPerson: sender or recipient is no plain mail address.
    """
    for what, address in (("from", sender), ("the recipient's address", notice.address)):
        if not is_address(address):
            raise AskPerson(f"{what} is no plain mail address")
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address("Tieline", addr_spec=sender)
    mail["To"] = Address(addr_spec=notice.address)
    mail["Subject"] = one_line(notice.subject)[:SUBJECT_CHARACTERS_MAX]
    mail["Date"] = format_datetime(notice.written_at)
    mail["Message-ID"] = f"<{notice.notice_key}@{sender.rpartition('@')[2]}>"
    # RFC 3834: answering machines keep silent.
    mail["Auto-Submitted"] = "auto-generated"
    if notice.is_urgent:
        mail["Importance"] = "high"
    mail.set_content(_body(notice), cte="quoted-printable")
    return mail


def as_sent(mail: EmailMessage) -> bytes:
    """Return a mail as it goes over the wire."""
    # Folding may leave the first line of a header empty, which not every mail program reads.
    is_plain = str(mail["Subject"]).isascii()
    return mail.as_bytes(policy=SMTP.clone(max_line_length=_LINE_MAX) if is_plain else SMTP)


def one_line(text: str) -> str:
    """Return a text on one line, without any mark that is not printed."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


def _body(notice: Notice) -> str:
    if not notice.acknowledge_url:
        return notice.text
    asked = (
        f"Say that you have seen this, and no later step is sent to you:\n{notice.acknowledge_url}"
    )
    return f"{notice.text.rstrip()}\n\n{asked}\n"

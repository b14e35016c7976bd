"""Mail goes out under TLS, once per notice, and can say nothing that its notice does not."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.support.certificate import write_certificate
from tests.support.mail_sink import LOST, MailSink, serving
from tieline.connectors.mail import MailConnector, build
from tieline.connectors.mail.message import is_address
from tieline.kernel.errors import AskPerson, NotExecuted, OutcomeUnknown, Refused, TielineError
from tieline.sdk import Connection, Notice

ADDRESS = "finance@example.com"
NOTICE = Notice(
    notice_key=UUID("6f1c7a52-8a55-4a7e-9d8f-3f0f6f0a5b11"),
    kind="escalation",
    is_urgent=True,
    recipient="queue:finance",
    address=ADDRESS,
    subject="60 minutes to the cut-off of Müller & Söhne",
    text="Two cases, EUR 2,610.00.\n.\nA line that begins with a dot.",
    entity_code="HR-DE",
    written_at=datetime(2026, 11, 3, 16, tzinfo=UTC),
    due_at=None,
    acknowledge_url="https://tieline.example.com/seen/tla_secret",
)


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with serving(MailSink()) as listening:
        yield listening


def connector(sink: MailSink, **changed: Any) -> MailConnector:
    connection = Connection(
        connection_key="post",
        base_url=f"smtp://{sink.place}",
        config={"from": "tieline@example.com", "login": sink.login},
        secrets={"password": sink.password},
        allowed_hosts=frozenset({sink.place}),
    )
    context = changed.pop("context", None)
    return build(replace(connection, **changed), context=context)


def error_of(mail: MailConnector, notice: Notice = NOTICE) -> TielineError:
    with pytest.raises(TielineError) as raised:
        mail.send(notice=notice)
    told = "".join(traceback.format_exception(raised.value))
    assert ADDRESS not in told
    assert "tla_secret" not in told
    return raised.value


class TestMail:
    def test_says_what_its_notice_says(self, sink: MailSink) -> None:
        connector(sink).send(notice=NOTICE)

        (mail,) = sink.to(ADDRESS)
        assert mail["Subject"] == NOTICE.subject
        assert mail["From"] == "Tieline <tieline@example.com>"
        assert mail["Auto-Submitted"] == "auto-generated"
        content = mail.get_content().replace("\r\n", "\n")
        assert content.startswith(NOTICE.text)
        assert content.endswith(f"{NOTICE.acknowledge_url}\n")

    def test_keeps_a_long_subject_whole(self, sink: MailSink) -> None:
        subject = "DE 2026-10: 1 h 00 min to the cut-off, " + "EUR 2,610.00, " * 10 + "all"

        connector(sink).send(notice=replace(NOTICE, subject=subject))

        (mail,) = sink.mails
        assert mail["Subject"] == subject

    def test_is_the_same_mail_when_it_is_sent_again(self, sink: MailSink) -> None:
        sink.answers = [LOST]

        assert isinstance(error_of(connector(sink)), OutcomeUnknown)
        receipt = connector(sink).send(notice=NOTICE)

        first, second = sink.mails
        assert first.as_bytes() == second.as_bytes()
        assert receipt.receiver_code == first["Message-ID"]
        assert first["Message-ID"] == f"<{NOTICE.notice_key}@example.com>"

    def test_has_no_header_that_a_subject_brings_along(self, sink: MailSink) -> None:
        subject = "Due\r\nBcc: thief@example.com\r\n\r\nand a body\x00\u2028of its own"

        connector(sink).send(notice=replace(NOTICE, subject=subject))

        (mail,) = sink.mails
        assert mail["Bcc"] is None
        assert mail["Subject"] == "Due Bcc: thief@example.com and a body of its own"

    @pytest.mark.parametrize(
        "address",
        ["", "finance", "a@b@c", "a b@c", "a@b\r\nBcc: t@x", "<a@b>", "a@b,c@d", ".a@b", "a@b>"],
    )
    def test_goes_to_one_plain_address_only(self, sink: MailSink, address: str) -> None:
        assert not is_address(address)
        assert isinstance(error_of(connector(sink), replace(NOTICE, address=address)), AskPerson)
        assert sink.mails == []

    @pytest.mark.parametrize(
        ("answer", "consequence"), [("451 later", NotExecuted), ("554 spam", Refused)]
    )
    def test_that_is_refused_says_what_follows(
        self, sink: MailSink, answer: str, consequence: type[TielineError]
    ) -> None:
        sink.answers = [answer]
        sink.refused = {"gone@example.com": "550 no such user"}

        assert type(error_of(connector(sink))) is consequence
        assert isinstance(
            error_of(connector(sink), replace(NOTICE, address="gone@example.com")), Refused
        )


class TestTheServer:
    def test_is_spoken_to_under_tls_and_knows_us(self, sink: MailSink, tmp_path: Path) -> None:
        pem = write_certificate(tmp_path)
        sink.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        sink.context.load_cert_chain(pem)
        sink.login, sink.password = "tieline", "a word"
        trusting = ssl.create_default_context(cafile=str(pem))

        connector(sink, context=trusting).send(notice=NOTICE)

        assert sink.secured == [True]
        assert isinstance(error_of(connector(sink)), AskPerson)
        wrong = connector(sink, context=trusting, secrets={"password": "another"})
        assert isinstance(error_of(wrong), AskPerson)
        assert [item.is_good for item in wrong.check().items] == [True, False]
        assert connector(sink, context=trusting).check().is_good

    def test_is_called_only_where_it_is_allowed(self, sink: MailSink) -> None:
        assert isinstance(error_of(connector(sink, allowed_hosts=frozenset({"x:1"}))), AskPerson)
        assert isinstance(error_of(connector(sink, base_url="http://127.0.0.1:9")), AskPerson)
        away = connector(
            sink, base_url="smtp://127.0.0.1:9", allowed_hosts=frozenset({"127.0.0.1:9"})
        )
        assert isinstance(error_of(away), NotExecuted)

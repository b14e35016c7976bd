"""The service desk's connector against a faithful server, through the guard where descriptions are."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.promises.connectors.vendors import Vendor, running_service_desk
from tieline.connectors import jira_service
from tieline.kernel.errors import AskPerson, NotExecuted, OutcomeUnknown, Refused, StreamBroken
from tieline.sdk import Notice

SECRETS = {"email": "tieline@example.com", "api_token": "token"}
DUE = datetime(2026, 11, 30, 17, tzinfo=UTC)
HOSTILE = (
    "*All* of [~accountid:boss] {code}x{code} !http://evil/i.png! [here|http://evil] "
    "C:\\temp &lt;b&gt; <script>1</script> |a|b| -gone- _x_ ~y~ ^z^ ??who?? (x) snake_case a-b\n"
    "h1. Title\nbq. said\n* one\n# two"
)


def _notice(number: int = 1, **changes: Any) -> Notice:
    notice = Notice(
        notice_key=UUID(int=number),
        kind="cutoff",
        is_urgent=True,
        recipient="queue:finance",
        address="",
        subject="EUR 2,610.00 are not in Tryton, due 17:00",
        text="Sent 16:41, no answer.",
        entity_code="HR-DE",
        written_at=DUE - timedelta(minutes=60),
        due_at=DUE,
        acknowledge_url="https://tieline.example/ack/a_b-c~d",
    )
    return replace(notice, **changes)


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with running_service_desk(tmp_path) as running:
        yield running
        assert running.exchanges


def _connector(
    vendor: Vendor, secrets: dict[str, str] = SECRETS, **config: Any
) -> jira_service.JiraServiceConnector:
    place = {"service_desk": "FIN", "request_type": "Report a problem"}
    return jira_service.build(vendor.connection(secrets=secrets, **{**place, **config}))


@pytest.fixture
def connector(vendor: Vendor) -> jira_service.JiraServiceConnector:
    return _connector(vendor)


def _records(vendor: Vendor, table: str) -> list[dict[str, Any]]:
    """Return what stands, each as it was last written."""
    lines = [line for line in vendor.journal() if line["table"] == table]
    return list({line["id"]: line["record"] for line in lines}.values())


def _on(vendor: Vendor, path: str, kind: str, **more: Any) -> None:
    rule = {"name": "one", "kind": kind, "method": "POST", "path": path, "occurrences": [1]}
    vendor.do("faults", {"add": [{**rule, **more}]})


class TestANotice:
    def test_becomes_a_request_that_shows_it_and_leads_back(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        notice = _notice(text=HOSTILE)

        receipt = connector.send(notice=notice)

        (request,) = _records(vendor, "requests")
        summary, description = (request["fields"][name] for name in ("summary", "description"))
        assert receipt.receiver_code == request["key"] == "FIN-1"
        assert re.fullmatch(re.escape(notice.subject) + r" \[tl[0-9a-f]{24}\]", summary)
        assert notice.acknowledge_url in description
        assert connector.find_notice(notice=notice) == receipt
        (shown,) = [
            field["renderedValue"]["html"]
            for exchange in vendor.exchanges
            if exchange.response is not None and exchange.response.status == 201
            for field in _body(exchange.response.body)["requestFieldValues"]
            if "renderedValue" in field
        ]
        as_written = html.escape(HOSTILE, quote=False).replace("\n", "<br/>")
        assert shown.startswith(f"<p>{as_written}<br/>")

    @pytest.mark.parametrize("sign", ["x", "\\", "😀", "[", "a\n"])
    def test_is_cut_to_what_the_vendor_takes_and_found_all_the_same(
        self, connector: jira_service.JiraServiceConnector, sign: str
    ) -> None:
        notice = _notice(subject=sign * 40_000, text=sign * 40_000)

        receipt = connector.send(notice=notice)

        assert connector.find_notice(notice=notice) == receipt

    def test_about_the_same_matter_becomes_a_comment(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        notices = [_notice(number, text=f"Still {number}.") for number in (1, 2, 3)]

        receipts = [connector.send(notice=notice).receiver_code for notice in notices]

        assert receipts == ["FIN-1", "FIN-1#1000", "FIN-1#1001"]
        assert len(_records(vendor, "requests")) == 1
        assert [c["body"].splitlines()[0] for c in _records(vendor, "comments")] == [
            "Still 2.",
            "Still 3.",
        ]
        found = [connector.find_notice(notice=notice) for notice in notices]
        assert [one and one.receiver_code for one in found] == receipts

    @pytest.mark.parametrize(
        "change",
        [
            {"due_at": DUE + timedelta(days=30)},
            {"due_at": None},
            {"entity_code": "HR-UK"},
            {"recipient": "queue:delivery"},
            {"is_urgent": False},
        ],
        ids=["deadline", "without", "legal entity", "recipient", "weight"],
    )
    def test_about_another_matter_becomes_another_request(
        self,
        connector: jira_service.JiraServiceConnector,
        vendor: Vendor,
        change: dict[str, Any],
    ) -> None:
        connector.send(notice=_notice(1))

        assert connector.send(notice=_notice(2, **change)).receiver_code == "FIN-2"

    def test_after_the_request_was_closed_is_not_buried_in_it(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        connector.send(notice=_notice(1))
        connector.send(notice=_notice(2))
        vendor.do("move", {"key": "FIN-1", "status": "Resolved", "category": "DONE"})

        third = connector.send(notice=_notice(3))
        fourth = connector.send(notice=_notice(4))

        assert (third.receiver_code, fourth.receiver_code) == ("FIN-2", "FIN-2#1001")
        found = connector.find_notice(notice=_notice(2))
        assert found is not None
        assert found.receiver_code == "FIN-1#1000"

    def test_is_found_behind_many_comments(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        connector.send(notice=_notice(1))
        vendor.do("comment", {"key": "FIN-1", "body": "I look into it.", "count": 55})

        receipt = connector.send(notice=_notice(2))

        assert receipt.receiver_code == "FIN-1#1055"
        assert connector.find_notice(notice=_notice(2)) == receipt

    def test_is_not_taken_for_what_somebody_else_raised_under_our_word(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        connector.send(notice=_notice(1))
        copied = _records(vendor, "requests")[0]["fields"]
        for is_shared in (False, True):
            vendor.do("raise", {"request_type_id": "25", "fields": copied, "shared": is_shared})

        found = connector.find_notice(notice=_notice(1))

        assert found is not None
        assert found.receiver_code == "FIN-1"


class TestABadDay:
    @pytest.mark.parametrize("fault", ["answer_lost", "late_commit", "truncated_body"])
    @pytest.mark.parametrize("number", [1, 2], ids=["request", "comment"])
    def test_a_lost_answer_is_unknown_and_then_found_once(
        self,
        connector: jira_service.JiraServiceConnector,
        vendor: Vendor,
        fault: str,
        number: int,
    ) -> None:
        if number == 2:
            connector.send(notice=_notice(1))
        _on(vendor, "/request", fault, delay_ms=50, hold_ms=10)

        with pytest.raises(OutcomeUnknown):
            connector.send(notice=_notice(number))
        _wait_until_found(connector, _notice(number))
        again = connector.send(notice=_notice(number))

        assert again == connector.find_notice(notice=_notice(number))
        assert len(_records(vendor, "requests")) == 1
        assert len(_records(vendor, "comments")) == number - 1

    def test_a_refusal_with_retry_after_did_not_happen(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        _on(vendor, "/request", "rate_limit_429", retry_after_seconds=9)

        with pytest.raises(NotExecuted) as told:
            connector.send(notice=_notice())

        assert told.value.retry_after_seconds == 9
        assert connector.find_notice(notice=_notice()) is None
        assert _records(vendor, "requests") == []

    @pytest.mark.parametrize("fault", ["skipped_page", "duplicate_page"])
    def test_a_page_that_slips_is_noticed(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor, fault: str
    ) -> None:
        connector.send(notice=_notice())
        _on(vendor, r"/request\?", fault, method="GET")

        with pytest.raises(StreamBroken):
            connector.find_notice(notice=_notice())

        assert connector.find_notice(notice=_notice()) is not None

    @pytest.mark.parametrize("fault", ["refuse_503_before", "rate_limit_429", "truncated_body"])
    def test_a_question_before_that_gets_no_answer_is_nothing_sent(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor, fault: str
    ) -> None:
        _on(vendor, r"/request\?", fault, method="GET")

        with pytest.raises(NotExecuted):
            connector.send(notice=_notice())

        assert _records(vendor, "requests") == []

    def test_what_the_search_does_not_know_yet_is_not_found_and_then_is(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        vendor.do("index", {"lag_ms": 60_000})
        receipt = connector.send(notice=_notice())

        assert connector.find_notice(notice=_notice()) is None
        vendor.do("index", {"lag_ms": 0})
        assert connector.find_notice(notice=_notice()) == receipt

    def test_a_right_that_was_taken_asks_for_a_person(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        vendor.do("rights", {"refused": ["create"]})

        with pytest.raises(AskPerson):
            connector.send(notice=_notice())

    def test_a_form_that_asks_for_more_is_refused_in_the_vendors_words(
        self, vendor: Vendor
    ) -> None:
        made = vendor.do("load", {"request_types": [_type("Order", required=True)]})
        connector = _connector(
            vendor, service_desk="10", request_type=made["request_types"]["Order"]
        )

        with pytest.raises(Refused, match=r"Cost center is required") as told:
            connector.send(notice=_notice())

        assert _notice().text not in str(told.value)


class TestTheCheck:
    def test_is_good_and_leaves_nothing_behind(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor
    ) -> None:
        report = connector.check()

        assert [item.name for item in report.items] == [
            "credentials",
            "service_desk",
            "request_type",
            "form",
            "rights",
        ]
        assert report.is_good
        assert _records(vendor, "requests") == []

    @pytest.mark.parametrize(
        ("config", "name", "fix"),
        [
            ({"service_desk": "HR"}, "service_desk", "this account sees FIN (10)."),
            ({"request_type": "Order"}, "request_type", "sees Report a problem (25)."),
        ],
    )
    def test_names_what_there_is(
        self, vendor: Vendor, config: dict[str, Any], name: str, fix: str
    ) -> None:
        item = _connector(vendor, **config).check().items[-1]

        assert (item.name, item.is_good) == (name, False)
        assert item.fix.endswith(fix)

    def test_sees_a_form_that_asks_for_more(self, vendor: Vendor) -> None:
        types = [_type("Order", required=True), _type("Ask", required=False)]
        vendor.do("load", {"request_types": types})

        order = _connector(vendor, request_type="Order").check()
        ask = _connector(vendor, request_type="Ask").check()

        assert [item.name for item in order.items if not item.is_good] == ["form"]
        assert "Cost center" in order.items[3].fix
        assert ask.is_good

    @pytest.mark.parametrize(("right", "name"), [("create", "rights"), ("see", "service_desk")])
    def test_sees_a_right_that_is_missing(
        self, connector: jira_service.JiraServiceConnector, vendor: Vendor, right: str, name: str
    ) -> None:
        vendor.do("rights", {"refused": [right]})

        assert [item.name for item in connector.check().items if not item.is_good] == [name]

    def test_refuses_a_wrong_token_without_showing_it(self, vendor: Vendor) -> None:
        connector = _connector(vendor, {**SECRETS, "api_token": "not-the-token"})

        (item,) = connector.check().items

        assert (item.name, item.is_good) == ("credentials", False)
        assert "not-the-token" not in item.fix + repr(connector)


def _type(name: str, *, required: bool) -> dict[str, Any]:
    field = {"fieldId": "customfield_1", "name": "Cost center", "required": required}
    return {"desk": "FIN", "name": name, "fields": [{**field, "defaultValues": []}]}


def _body(content: bytes) -> Any:
    return json.loads(content)


def _wait_until_found(connector: jira_service.JiraServiceConnector, notice: Notice) -> None:
    deadline = time.monotonic() + 10
    while connector.find_notice(notice=notice) is None and time.monotonic() < deadline:
        time.sleep(0.02)

"""HubSpot's connector against a faithful server, through the guard where descriptions are."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.promises.connectors.vendors import Vendor, running_hubspot
from tieline.canonical import Client, Opportunity, StatusCommand
from tieline.connectors import hubspot
from tieline.connectors.hubspot.webhook import SignatureRefused
from tieline.kernel.errors import OutcomeUnknown, Refused, StreamBroken
from tieline.sdk import Hint, Translated, Untranslatable

SECRETS = {"access_token": "token", "client_secret": "hook"}
NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
URL = "https://tieline.example/hooks/hubspot?a=b%20c"


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Vendor]:
    with running_hubspot(tmp_path) as running:
        yield running
        assert running.exchanges


@pytest.fixture
def connector(vendor: Vendor) -> hubspot.HubSpotConnector:
    made = hubspot.build(vendor.connection(secrets=SECRETS))
    made.create_properties(made.missing_properties())
    return made


@pytest.fixture
def ids(connector: hubspot.HubSpotConnector, vendor: Vendor) -> dict[str, dict[str, int]]:
    assert connector.check().is_good
    loaded: dict[str, dict[str, int]] = vendor.do("load", _firm())["ids"]
    return loaded


def _firm() -> dict[str, Any]:
    deal = {
        "dealname": "Data platform",
        "dealstage": "closedwon",
        "pipeline": "default",
        "amount": "1000.50",
        "deal_currency_code": "EUR",
        "closedate": "2026-10-02T22:30:00.000Z",
        "tieline_legal_entity": "EW-DE",
        "tieline_billing_method": "capped_time_and_materials",
        "tieline_purchase_order_required": "true",
        "tieline_starts_on": "2026-10-05",
        "tieline_cap_amount": "5000",
    }
    line = {"name": "Senior", "quantity": "10", "price": "100.05", "tieline_task": "Build"}
    return {
        "owners": [{"id": "4001", "email": "o@example.com", "firstName": "O", "lastName": "W"}],
        "companies": [
            {"key": "parent", "properties": {"name": "Example Group AG"}},
            {"key": "child", "properties": {"name": "Example Works GmbH", "country": "DE"}},
        ],
        "contacts": [{"key": "c", "properties": {"email": "q@example.com", "firstname": "Q"}}],
        "deals": [{"key": "d", "properties": deal}],
        "line_items": [{"key": "l", "properties": line}],
        "associations": [
            {"from": ["companies", "child"], "to": ["companies", "parent"], "type": "parent"},
            {"from": ["deals", "d"], "to": ["companies", "child"]},
            {"from": ["deals", "d"], "to": ["line_items", "l"]},
            {"from": ["contacts", "c"], "to": ["companies", "child"]},
        ],
    }


def _status(deal: int, *, wip: str = "1200.50") -> StatusCommand:
    return StatusCommand(
        business_key=UUID(int=9),
        entity_code="EW-DE",
        object="deal",
        record_code=str(deal),
        values={"project_status": "active", "revenue_wip": wip},
    )


class TestReading:
    def test_a_deal_comes_with_its_client_lines_and_stage(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]]
    ) -> None:
        (page,) = connector.pages(stream="deals", cursor=None, is_full=True)

        (record,) = page.records
        deal = _deal(connector.translate(record=record))
        assert (deal.client_ref, deal.is_won) == (str(ids["companies"]["child"]), True)
        assert (deal.amount, deal.cap_amount) == (Decimal("1000.50"), Decimal(5000))
        assert (deal.closed_on, deal.starts_on) == (date(2026, 10, 2), date(2026, 10, 5))
        assert deal.is_purchase_order_required is True
        assert [(one.task_name, one.hours, one.rate_amount) for one in deal.lines] == [
            ("Build", Decimal(10), Decimal("100.05"))
        ]

    def test_every_stream_is_read_one_by_one_with_the_same_bytes(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]]
    ) -> None:
        assert ids
        for stream in hubspot.MANIFEST.streams:
            (page,) = connector.pages(stream=stream.name, cursor=None, is_full=True)
            assert page.records, stream.name
            for record in page.records:
                again = connector.read_one(object=record.object, source_ref=record.source_ref)
                assert again == record

    def test_a_company_knows_its_parent(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]]
    ) -> None:
        (page,) = connector.pages(stream="companies", cursor=None, is_full=True)

        parents = {r.source_ref: connector.translate(record=r) for r in page.records}
        child = parents[str(ids["companies"]["child"])]
        assert isinstance(child, Translated)
        assert isinstance(child.noun, Client)
        assert child.noun.parent_ref == str(ids["companies"]["parent"])

    def test_a_changed_line_item_brings_its_deal(
        self,
        connector: hubspot.HubSpotConnector,
        ids: dict[str, dict[str, int]],
        vendor: Vendor,
    ) -> None:
        vendor.do("clock", {"now": (datetime.now(UTC) + timedelta(days=1)).isoformat()})
        vendor.do(
            "edit",
            {
                "object": "line_items",
                "id": ids["line_items"]["l"],
                "properties": {"quantity": "12"},
            },
        )
        since = (datetime.now(UTC) + timedelta(hours=12)).isoformat()

        pages = list(
            connector.pages(stream="deals", cursor=json.dumps({"deals": since}), is_full=False)
        )

        (record,) = [record for page in pages for record in page.records]
        assert _deal(connector.translate(record=record)).lines[0].hours == Decimal(12)
        assert pages[-1].is_last

    @pytest.mark.parametrize("told_at", [timedelta(days=1), timedelta(days=365_000)])
    def test_the_cursor_does_not_follow_a_record_into_the_future(
        self,
        connector: hubspot.HubSpotConnector,
        ids: dict[str, dict[str, int]],
        vendor: Vendor,
        told_at: timedelta,
    ) -> None:
        def renamed(key: str) -> str:
            ref = ids["companies"][key]
            vendor.do("edit", {"object": "companies", "id": ref, "properties": {"name": "New"}})
            return str(ref)

        vendor.do("clock", {"now": (datetime.now(UTC) + told_at).isoformat()})
        renamed("parent")
        vendor.do("clock", {"now": datetime.now(UTC).isoformat()})
        first = list(connector.pages(stream="companies", cursor=None, is_full=True))
        later = renamed("child")

        second = list(connector.pages(stream="companies", cursor=first[-1].cursor, is_full=False))

        assert later in [record.source_ref for page in second for record in page.records]

    def test_a_hint_on_a_line_item_is_read_as_its_deal(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]]
    ) -> None:
        record = connector.read_one(object="line_items", source_ref=str(ids["line_items"]["l"]))

        assert record is not None
        assert (record.object, record.source_ref) == ("deals", str(ids["deals"]["d"]))

    @pytest.mark.parametrize("fault", ["skipped_page", "duplicate_page", "truncated_body"])
    def test_a_page_that_slips_is_noticed(
        self,
        connector: hubspot.HubSpotConnector,
        ids: dict[str, dict[str, int]],
        vendor: Vendor,
        fault: str,
    ) -> None:
        assert ids
        path = "/crm/v3/objects/contacts[?]"
        vendor.do(
            "faults", {"add": [{"name": "f", "kind": fault, "path": path, "occurrences": [1]}]}
        )

        with pytest.raises(StreamBroken):
            list(connector.pages(stream="contacts", cursor=None, is_full=True))

    def test_two_companies_without_a_primary_one_are_a_case(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]], vendor: Vendor
    ) -> None:
        deal, parent = ids["deals"]["d"], ids["companies"]["parent"]
        connector.http.write(
            method="PUT",
            path=f"/crm/v4/objects/0-3/{deal}/associations/default/companies/{parent}",
        )

        record = connector.read_one(object="deals", source_ref=str(deal))
        assert record is not None
        result = connector.translate(record=record)

        assert isinstance(result, Untranslatable)
        assert result.reason == "translate.ambiguous_reference"


class TestStatus:
    def test_is_absent_then_written_then_found(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]]
    ) -> None:
        command = _status(ids["deals"]["d"])
        assert connector.probe(command=command) == []

        connector.write(command=command)

        assert [one.content for one in connector.probe(command=command)] == [command.content()]

    def test_what_nobody_can_tell_any_more_empties_the_field(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]]
    ) -> None:
        connector.write(command=_status(ids["deals"]["d"]))
        unknown = _status(ids["deals"]["d"], wip="")
        assert connector.probe(command=unknown) == []

        connector.write(command=unknown)

        assert [one.content for one in connector.probe(command=unknown)] == [unknown.content()]

    def test_a_lost_answer_is_unknown_and_sending_again_is_safe(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]], vendor: Vendor
    ) -> None:
        rule = {"name": "f", "kind": "answer_lost", "method": "PATCH", "path": "/crm"}
        vendor.do("faults", {"add": [{**rule, "occurrences": [1]}]})
        command = _status(ids["deals"]["d"])

        with pytest.raises(OutcomeUnknown):
            connector.write(command=command)
        connector.write(command=command)

        assert [one.content for one in connector.probe(command=command)] == [command.content()]

    def test_an_unknown_value_is_refused(
        self, connector: hubspot.HubSpotConnector, ids: dict[str, dict[str, int]]
    ) -> None:
        command = StatusCommand(
            business_key=UUID(int=9),
            entity_code="EW-DE",
            object="deal",
            record_code=str(ids["deals"]["d"]),
            values={"dealname": "another"},
        )

        with pytest.raises(Refused):
            connector.write(command=command)


class TestTheCheck:
    def test_names_missing_properties_and_unknown_words(self, vendor: Vendor) -> None:
        config = {"fields": {"deals": {"mood": "x", "practice": "nowhere"}}, "won_stages": ["no"]}
        connector = hubspot.build(vendor.connection(secrets=SECRETS, **config))

        fixes = " ".join(item.fix for item in connector.check().items)

        assert "fields.deals.mood is not a canonical field" in fixes
        assert "deals have no property nowhere" in fixes
        assert "No pipeline has a stage no." in fixes


class TestWebhooks:
    def test_a_signed_call_is_hints(self) -> None:
        body = json.dumps(
            [
                {"eventId": 1, "subscriptionType": "deal.propertyChange", "objectId": 7},
                {"eventId": 2, "subscriptionType": "ticket.creation", "objectId": 8},
            ]
        ).encode()

        hints = _verify(body, _headers(body))

        assert hints == [Hint(object="deals", source_ref="7", event_id="1")]

    @pytest.mark.parametrize("age_seconds", [-301, 301, 86_400])
    def test_an_old_or_early_one_is_refused(self, age_seconds: int) -> None:
        with pytest.raises(SignatureRefused):
            _verify(b"[]", _headers(b"[]", at=NOW - timedelta(seconds=age_seconds)))

    def test_another_body_is_refused(self) -> None:
        with pytest.raises(SignatureRefused):
            _verify(b'[{"eventId": 1}]', _headers(b"[]"))

    @pytest.mark.parametrize("missing", ["x-hubspot-signature-v3", "x-hubspot-request-timestamp"])
    def test_a_call_without_its_headers_is_refused(self, missing: str) -> None:
        headers = {name: value for name, value in _headers(b"[]").items() if name != missing}

        with pytest.raises(SignatureRefused):
            _verify(b"[]", headers)

    def test_a_signature_that_is_no_ascii_is_refused(self) -> None:
        with pytest.raises(SignatureRefused):
            _verify(b"[]", {**_headers(b"[]"), "x-hubspot-signature-v3": "ü"})


def _verify(body: bytes, headers: dict[str, str]) -> list[Hint]:
    return hubspot.verify_webhook(
        method="POST", url=URL, body=body, headers=headers, secret="hook", now=NOW
    )


def _headers(body: bytes, *, at: datetime = NOW) -> dict[str, str]:
    timestamp = str(int(at.timestamp() * 1000))
    signed = b"POST" + URL.encode() + body + timestamp.encode()
    digest = hmac.new(b"hook", signed, hashlib.sha256).digest()
    return {
        "x-hubspot-signature-v3": base64.b64encode(digest).decode(),
        "x-hubspot-request-timestamp": timestamp,
    }


def _deal(result: object) -> Opportunity:
    assert isinstance(result, Translated)
    assert isinstance(result.noun, Opportunity)
    return result.noun

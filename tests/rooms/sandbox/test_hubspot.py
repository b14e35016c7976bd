from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.promises.connectors.guard import descriptions
from tests.rooms.sandbox.conftest import Vendor
from tests.rooms.sandbox.serving import serving

from tieline.sandbox.firm import Firm
from tieline.sandbox.wire import Delivery, Request, json_response


@pytest.fixture
def filled(crm: Vendor, firm: Firm) -> Vendor:
    crm.do("load", firm.hubspot_load())
    return crm


def _deal(crm: Vendor, name: str) -> str:
    deals = crm.api.get("/crm/v3/objects/0-3?limit=100").json()["results"]
    identity: str = next(
        deal["id"] for deal in deals if name in str(deal["properties"]["dealname"])
    )
    return identity


class TestHubSpot:
    def test_answers_only_who_has_the_token(self, crm: Vendor) -> None:
        answer = crm.api.get("/crm/v3/owners/", headers={"Authorization": "Bearer wrong"})

        assert answer.status_code == 401
        assert answer.json()["category"] == "INVALID_AUTHENTICATION"

    @pytest.mark.parametrize("word", ["deals", "0-3", "deal"])
    def test_knows_a_deal_in_every_spelling(self, filled: Vendor, word: str) -> None:
        page = filled.api.get(f"/crm/v3/objects/{word}?limit=3&properties=dealname").json()

        assert len(page["results"]) == 3
        assert page["paging"]["next"]["after"]

    def test_pages_to_the_end_by_its_cursor(self, filled: Vendor, firm: Firm) -> None:
        seen: list[str] = []
        after = "0"
        while after:
            page = filled.api.get(f"/crm/v3/objects/line_items?limit=7&after={after}").json()
            seen += [item["id"] for item in page["results"]]
            after = page.get("paging", {}).get("next", {}).get("after", "")

        assert len(seen) == len(set(seen)) == sum(len(deal.lines) for deal in firm.deals)

    def test_searches_what_changed_since_in_order(self, filled: Vendor, firm: Firm) -> None:
        for win in firm.wins()[:3]:
            filled.do("win", win)
        since = firm.deals[1].won_at
        body = {
            "filterGroups": [
                {
                    "filters": [
                        {
                            "propertyName": "hs_lastmodifieddate",
                            "operator": "GTE",
                            "value": str(int(since.timestamp() * 1000)),
                        }
                    ]
                }
            ],
            "sorts": ["hs_lastmodifieddate"],
            "properties": ["dealname", "dealstage"],
            "limit": 1,
            "after": "0",
        }

        first = filled.api.post("/crm/v3/objects/0-3/search", json=body).json()
        second = filled.api.post(
            "/crm/v3/objects/0-3/search",
            json={**body, "after": first["paging"]["next"]["after"]},
        ).json()

        assert (first["total"], second["total"]) == (2, 2)
        names = [page["results"][0]["properties"]["dealname"] for page in (first, second)]
        assert names == [deal.name for deal in firm.deals[1:3]]
        assert "paging" not in second

    def test_limits_searches_to_a_few_per_second(self, crm: Vendor) -> None:
        body = {"filterGroups": [], "sorts": [], "properties": [], "limit": 1, "after": "0"}

        # At once: one after the other, a busy machine keeps within the limit by itself.
        with ThreadPoolExecutor(16) as several:
            answers = list(
                several.map(
                    lambda _: crm.api.post("/crm/v3/objects/0-3/search", json=body), range(160)
                )
            )

        limited = [answer for answer in answers if answer.status_code == 429]
        assert limited
        assert limited[0].json()["errorType"] == "RATE_LIMIT"
        assert limited[0].json()["policyName"] in ("SECONDLY", "TEN_SECONDLY_ROLLING")

    def test_leads_from_deal_to_client_to_parent(self, filled: Vendor) -> None:
        deal = _deal(filled, "Kessler Pharma")
        lines = filled.api.get(f"/crm/v4/objects/deals/{deal}/associations/line_items").json()
        (company,) = filled.api.get(f"/crm/v4/objects/deals/{deal}/associations/companies").json()[
            "results"
        ]

        (parent,) = filled.api.get(
            f"/crm/v4/objects/companies/{company['toObjectId']}/associations/companies"
        ).json()["results"]

        assert len(lines["results"]) == 2
        assert parent["associationTypes"] == [
            {"category": "HUBSPOT_DEFINED", "typeId": 14, "label": "Parent Company"}
        ]
        name = filled.api.get(f"/crm/v3/objects/companies/{parent['toObjectId']}").json()
        assert name["properties"]["name"] == "Kessler Gruppe SE"

    def test_takes_status_back_and_refuses_unknown_properties(self, filled: Vendor) -> None:
        path = f"/crm/v3/objects/0-3/{_deal(filled, 'Aurelia')}"

        taken = filled.api.patch(path, json={"properties": {"tieline_project_status": "active"}})
        refused = filled.api.patch(path, json={"properties": {"tieline_nonsense": "x"}})
        malformed = filled.api.patch(path, json={"properties": {"tieline_revenue_wip": "much"}})

        assert taken.json()["properties"]["tieline_project_status"] == "active"
        assert (refused.status_code, malformed.status_code) == (400, 400)
        assert refused.json()["category"] == "VALIDATION_ERROR"

    def test_creates_a_property_once(self, crm: Vendor) -> None:
        wanted = {
            "name": "tieline_project_status",
            "label": "Project status",
            "type": "string",
            "fieldType": "text",
            "groupName": "dealinformation",
        }
        missing = crm.api.get("/crm/v3/properties/deals/tieline_project_status")

        made = crm.api.post("/crm/v3/properties/deals", json=wanted)
        again = crm.api.post("/crm/v3/properties/deals", json=wanted)

        assert (missing.status_code, made.status_code, again.status_code) == (404, 201, 409)

    def test_hides_what_was_archived(self, filled: Vendor) -> None:
        path = f"/crm/v3/objects/0-3/{_deal(filled, 'Aurelia')}"

        gone = filled.api.delete(path)

        assert gone.status_code == 204
        assert filled.api.get(path).status_code == 404
        assert filled.api.get(f"{path}?archived=true").json()["archived"] is True

    def test_announces_a_won_deal_with_its_signature(self, filled: Vendor, firm: Firm) -> None:
        received: list[Request] = []

        async def hook(request: Request) -> Delivery:
            received.append(request)
            return Delivery(response=json_response({}))

        with serving(hook) as address:
            target = f"{address}/v1/hooks/hubspot"
            filled.do("webhooks", {"target": target, "duplicates": 1, "reorder": True})
            filled.do("win", firm.wins()[0])
            deadline = time.monotonic() + 5
            while len(received) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)

        assert len(received) == 2
        for request in received:
            stamp = request.headers["x-hubspot-request-timestamp"]
            signed = b"POST" + target.encode() + request.body + stamp.encode()
            digest = hmac.new(b"hook", signed, hashlib.sha256).digest()
            expected = base64.b64encode(digest).decode()
            assert request.headers["x-hubspot-signature-v3"] == expected
        events = json.loads(received[0].body)
        stage = next(event for event in events if event["propertyName"] == "dealstage")
        assert (stage["subscriptionType"], stage["propertyValue"]) == (
            "deal.propertyChange",
            "closedwon",
        )
        assert str(stage["objectId"]) == _deal(filled, "Aurelia")

    def test_leaves_out_of_a_batch_what_has_no_association(self, filled: Vendor) -> None:
        companies = filled.api.get("/crm/v3/objects/companies?limit=100").json()["results"]
        inputs = [{"id": company["id"]} for company in companies]

        answer = filled.api.post(
            "/crm/v4/associations/companies/companies/batch/read", json={"inputs": inputs}
        ).json()

        assert len(answer["results"]) == 2


class TestHubSpotDescription:
    def test_knows_every_kind_of_answer(self, filled: Vendor) -> None:
        """Ask for each; what is told is held against the description at the end."""
        descriptions()
        deal = _deal(filled, "Kessler Pharma")
        item = filled.api.get("/crm/v3/objects/line_items").json()["results"][0]["id"]
        batch = {"inputs": [{"id": deal}], "properties": [], "propertiesWithHistory": []}
        search = {"filterGroups": [], "sorts": [], "properties": [], "limit": 3, "after": "0"}
        asked: list[tuple[str, str, Any]] = [
            ("GET", "/crm/v3/objects/0-3?associations=line_items&limit=2", None),
            ("GET", f"/crm/v3/objects/0-3/{deal}?associations=companies", None),
            ("GET", "/crm/v3/objects/0-3/1", None),
            ("PATCH", f"/crm/v3/objects/0-3/{deal}", {"properties": {"amount": "5"}}),
            ("POST", "/crm/v3/objects/0-3/search", search),
            ("POST", "/crm/v3/objects/0-3/batch/read", batch),
            ("GET", "/crm/v3/objects/companies", None),
            ("GET", f"/crm/v3/objects/line_items/{item}", None),
            ("GET", "/crm/v3/owners", None),
            ("GET", "/crm/v3/pipelines/deals", None),
            ("GET", "/crm/v3/pipelines/deals/default/stages", None),
            ("GET", "/crm/v3/properties/deals", None),
            ("GET", "/crm/v3/properties/deals/tieline_practice", None),
            ("GET", f"/crm/v4/objects/deals/{deal}/associations/line_items", None),
            (
                "POST",
                "/crm/v4/associations/deals/line_items/batch/read",
                {"inputs": [{"id": deal}]},
            ),
        ]

        statuses = [
            filled.api.request(method, path, json=body).status_code for method, path, body in asked
        ]

        assert [status for status in statuses if status >= 300] == [404]

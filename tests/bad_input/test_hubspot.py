"""A CRM that answers with what nobody should say: each bad record is a case with its bytes, and the rest goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.support.deal import BOOKS, CLOCK, CRM, NOW, Directory, Flow, found_firm
from tests.support.target import FixedClock
from tieline.connectors import hubspot
from tieline.intake import Reader
from tieline.runtime.database import Database
from tieline.runtime.leases import Leases
from tieline.runtime.migrate import Dsns
from tieline.sdk import Connection

_PAGE = 10
_AT = "2026-11-02T10:00:00.000Z"
_LONG = "x" * 1_000_000
_MARKS = "Zalgo" + "\u0301" * 100_000
_DIGITS = "9" * 10_000
_SECONDS_MAX = 60


def _record(ref: str, properties: Any, **changed: Any) -> dict[str, Any]:
    told = (
        {"hs_lastmodifieddate": _AT, **properties} if isinstance(properties, dict) else properties
    )
    record = {"id": ref, "properties": told, "updatedAt": _AT, "createdAt": _AT, "archived": False}
    return {name: value for name, value in {**record, **changed}.items() if value is not Ellipsis}


def _company(ref: str, **changed: Any) -> dict[str, Any]:
    told = {"name": f"Firm {ref}", "address": "Hafenstr. 1", "zip": "20457", "city": "Hamburg"}
    return _record(ref, {**told, "country": "DE", **changed})


def _deal(ref: str, **changed: Any) -> dict[str, Any]:
    told = {
        "dealname": f"Deal {ref}",
        "dealstage": "closedwon",
        "closedate": "2026-10-05",
        "amount": "15000",
        "deal_currency_code": "EUR",
        "tieline_legal_entity": "HR-DE",
        "tieline_billing_method": "time_and_materials",
        "tieline_rate_card": "2026",
        "tieline_tax_treatment": "standard",
        "tieline_project_code": f"DP-{ref}",
        "tieline_practice": "data",
        "tieline_starts_on": "2026-10-05",
        "tieline_ends_on": "2027-04-01",
    }
    return _record(ref, {**told, **changed})


def _line(ref: str, **changed: Any) -> dict[str, Any]:
    told = {"name": "Build", "quantity": "100", "price": "150", "tieline_task": "Build"}
    return _record(ref, {**told, "tieline_labor_category": "Consultant", **changed})


# What cannot be understood at all, by its number; the rest of its page is.
_COMPANIES_UNREAD: Mapping[str, dict[str, Any]] = {
    "100": _company("100", name="a NUL \0 inside"),
    "101": _company("101", name="half a character \ud800"),
    "102": _company("102", name=5),
    "103": _record("103", None),
    "104": _record("104", {"name": "Never archived"}, archived=...),
    "105": _company("105"),  # Of two parents.
    "106": _record("106", {"name": "Of no day"}, updatedAt="yesterday"),
    "107": _record("107", {"name": "Of a day without a zone"}, updatedAt="2026-11-02T10:00:00"),
    "108": _record("108", {"name": "Of a year nobody has"}, updatedAt="9999-12-31T23:59:59-12:00"),
    "112": _company("112", annualrevenue=float("nan")),
    "110": _company("110", name=_LONG, city=_LONG),
    "111": _company("111", address=_MARKS),
}
_COMPANIES: Mapping[str, dict[str, Any]] = {
    "1": _company("1", name="Nordwind AG", tieline_vat_number="DE136695976"),
    "11": _record("11", {"name": "Of no day", "hs_lastmodifieddate": []}),
    # Each the parent of the next, and the last of the first; and one that is its own.
    "2": _company("2"),
    "3": _company("3"),
    "4": _company("4"),
    "5": _company("5"),
    "6": _company("6", country="Atlantis", tieline_vat_number=_DIGITS),
    "7": _company("7", name="x" * 10_000, city="Z" + "\u0301" * 9_999),
    "8": _company("8", name="DE136695976", domain="no domain"),
    "9": _company("9", name="\u202egnirtS \u200b", domain="\ufdfa" * 1000),
    "10": _company("10", name="<script>alert(1)</script>", zip="'; DROP TABLE client; --"),
}
_PARENTS = {"2": ["3"], "3": ["4"], "4": ["2"], "5": ["5"], "105": ["1", "2"]}
_DEALS_UNREAD: Mapping[str, dict[str, Any]] = {
    "200": _deal("200", amount="NaN"),
    "201": _deal("201", amount="Infinity"),
    "202": _deal("202", amount="1E+1000000"),
    "203": _deal("203", amount=_DIGITS),
    "204": _deal("204", amount="many"),
    "205": _deal("205", closedate="253402300800000"),  # The first instant of the year 10000.
    "206": _deal("206", closedate="-99999999999999999999"),
    "207": _deal("207", closedate="9999-12-31T23:00:00-12:00"),
    "208": _deal("208", tieline_starts_on="2026-02-30"),
    "209": _deal("209", dealstage="renamed"),
    "210": _deal("210", dealstage=None),
    "211": _deal("211", tieline_purchase_order_required="perhaps"),
    "212": _deal("212"),  # Of two companies.
    "213": _deal("213"),  # Of a line whose hours are no number.
    "214": _deal("214"),  # Of a line whose hours are too many.
    "215": _deal("215", dealname="a NUL \0 inside"),
    "216": _record("216", []),
    "217": _deal("217"),  # Of a line that is named by a word.
    "218": _deal("218", dealname=_LONG, tieline_project_code=_LONG),
    "220": _deal("220", dealname=_MARKS, tieline_practice=_MARKS),
    "219": _deal("219", tieline_cap_amount="1e-1000000"),
}
# They are understood, and something stands in their way.
_DEALS_BLOCKED: Mapping[str, dict[str, Any]] = {
    "300": _deal("300"),  # Without lines.
    "301": _deal("301", tieline_starts_on="2027-04-01", tieline_ends_on="2026-10-05"),
    "303": _deal("303", deal_currency_code="DOUBLOONS"),
    "304": _deal("304", tieline_legal_entity="Atlantis"),
    "305": _deal("305", tieline_billing_method="barter"),
    "306": _deal("306", amount="-15000"),
    "307": _deal("307", dealname="x" * 10_000, tieline_project_code="x" * 10_000),
    "308": _deal("308", dealname="Z" + "\u0301" * 9_999, tieline_practice="\ufdfa" * 10_000),
    "310": _deal("310"),  # Of lines whose prices begin twice on one day.
    "311": _deal("311", tieline_ends_on="0001-01-01"),
    "312": _deal("312"),  # Of a client whose name is a megabyte.
    "314": _deal("314"),  # Of a client that is named by a word.
    "313": _deal("313"),  # Of a client that nobody sent.
    "402": _deal("402", tieline_project_code="DP-400"),  # Of the code of another.
}
_DEALS: Mapping[str, dict[str, Any]] = {
    "400": _deal("400"),
    "401": _deal("401", tieline_starts_on="9999-12-30", tieline_ends_on="9999-12-31"),
}
_LINES: Mapping[str, dict[str, Any]] = {
    "20": _line("20", quantity="NaN"),
    "21": _line("21", quantity="1e4000"),
    "22": _line("22", tieline_rate_starts_on="2026-11-01", price="150"),
    "23": _line("23", tieline_rate_starts_on="2026-11-01", price="160"),
    **{
        str(1000 + int(ref)): _line(str(1000 + int(ref)))
        for ref in (*_DEALS_UNREAD, *_DEALS_BLOCKED, *_DEALS)
    },
}
_LINES_OF = {
    **{ref: [str(1000 + int(ref))] for ref in (*_DEALS_UNREAD, *_DEALS_BLOCKED, *_DEALS)},
    "213": ["20"],
    "214": ["21"],
    "217": ["line"],
    "300": [],
    "310": ["22", "23"],
}
_COMPANIES_OF = {
    **{ref: ["1"] for ref in (*_DEALS_UNREAD, *_DEALS_BLOCKED, *_DEALS)},
    "212": ["1", "2"],
    "314": ["firm"],
    "312": ["110"],
    "313": ["999"],
}


@dataclass(slots=True, kw_only=True)
class Portal:
    """A portal of the vendor's addresses; ``pages`` may show a page in another way than it is."""

    companies: dict[str, dict[str, Any]] = field(default_factory=dict)
    deals: dict[str, dict[str, Any]] = field(default_factory=dict)
    nameless: list[dict[str, Any]] = field(default_factory=list)
    twist: str = ""

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        asked = json.loads(request.content or b"{}")
        if path.startswith("/crm/v3/pipelines/"):
            won = {"isClosed": "true", "probability": "1.0"}
            stages = [{"id": "closedwon", "metadata": won}]
            return _json({"results": [{"id": "default", "stages": stages}]})
        if path.startswith("/crm/v4/associations/"):
            return _json({"results": self._links(path, [each["id"] for each in asked["inputs"]])})
        stands = self.companies if "/companies" in path else self.deals
        records = [*stands.values(), *(self.nameless if "/companies" in path else ())]
        if path.endswith("/search"):
            return _json({"total": len(records), "results": []})
        if path.endswith("/batch/read"):
            return _json({"results": [_LINES[each["id"]] for each in asked["inputs"]]})
        return _json(self._page(records, int(request.url.params.get("after", 0))))

    def _page(self, records: list[dict[str, Any]], first: int) -> dict[str, Any]:
        shown = records[first : first + _PAGE]
        more = {"paging": {"next": {"after": str(first + _PAGE)}}}
        match self.twist:
            case "one record twice" if first:
                shown = [shown[0], *shown]
            case "the page before" if first:
                shown = records[:_PAGE]
            case "a record less" if first:
                shown = shown[1:]
            case "no end":
                shown, more = [], {"paging": {"next": {"after": str(first)}}}
            case "a page of words" if first:
                return {"results": "none today"}
            case _:
                pass
        is_last = first + _PAGE >= len(records) and self.twist != "no end"
        return {"results": shown, **({} if is_last else more)}

    def _links(self, path: str, refs: list[str]) -> list[dict[str, Any]]:
        if path.startswith("/crm/v4/associations/companies"):
            links, kind = _PARENTS, 14
        elif "/line_items/" in path:
            links, kind = _LINES_OF, 19
        else:
            links, kind = _COMPANIES_OF, 341
        return [
            {
                "from": {"id": ref},
                "to": [
                    {"toObjectId": other, "associationTypes": [{"typeId": kind}]}
                    for other in links[ref]
                ],
            }
            for ref in refs
            if links.get(ref)
        ]


def _json(content: Any) -> httpx.Response:
    return httpx.Response(
        200,
        stream=httpx.ByteStream(json.dumps(content).encode()),
        headers={"content-type": "application/json"},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Firm:
    """A firm that reads a portal as the product does, up to the plans of its deals."""

    portal: Portal
    flow: Flow
    reader: Reader

    def read(self, stream: str) -> Any:
        return self.reader.poll(
            connection_key=CRM, stream=stream, is_full=True, correlation_id="read"
        )

    def rows(self, statement: str) -> list[dict[str, Any]]:
        with self.flow.owner.transaction() as connection:
            return connection.execute(statement).fetchall()

    def unread(self, stream: str) -> set[str]:
        return {
            row["source_ref"]
            for row in self.rows(
                f"SELECT source_ref FROM untranslated WHERE object = '{stream}' AND healed_at IS NULL"
            )
        }


@pytest.fixture
def firm(database: Dsns, worker_database: Database) -> Iterator[Firm]:
    portal = Portal()
    connector = hubspot.build(
        Connection(
            connection_key=CRM,
            base_url="http://crm.test",
            config={},
            secrets={"access_token": "token", "client_secret": "hook"},
            allowed_hosts=frozenset({"crm.test"}),
            timeout_seconds=5,
        ),
        transport=httpx.MockTransport(portal.answer),
    )
    directory = Directory(connectors={CRM: connector, CLOCK: None, BOOKS: None})
    owner = Database(database.owner, pool_max=1, application_name="test-owner").open()
    with owner.transaction() as connection:
        found_firm(connection)
    yield Firm(
        portal=portal,
        flow=Flow(database=worker_database, owner=owner, directory=directory),
        reader=Reader(
            database=worker_database,
            connectors=directory,
            leases=Leases(database=worker_database, holder="test"),
            clock=FixedClock(NOW),
            material_key=b"key",
            on_batch=lambda *_: None,
        ),
    )
    owner.close()


class TestAHostileCrm:
    def test_stops_nothing_but_what_it_says(self, firm: Firm) -> None:
        firm.portal.companies = {**_COMPANIES_UNREAD, **_COMPANIES}
        firm.portal.nameless = [{"id": 5, "properties": {}}, {"properties": None}]
        firm.portal.deals = {**_DEALS_UNREAD, **_DEALS_BLOCKED, **_DEALS}
        began = time.process_time()

        read = [firm.read(stream) for stream in ("companies", "deals")]
        firm.flow.keep_register()

        assert [each.problem for each in read] == ["", ""]
        # Every record is kept as it came, also one that has no name.
        (kept,) = firm.rows("SELECT count(*)::int AS n FROM raw_record")
        assert kept["n"] == len(firm.portal.companies) + len(firm.portal.deals) + 2
        assert firm.unread("deals") == set(_DEALS_UNREAD)
        assert {ref for ref in firm.unread("companies") if ref.isdecimal()} == set(
            _COMPANIES_UNREAD
        )
        assert len(firm.unread("companies")) == len(_COMPANIES_UNREAD) + 2
        plans = {
            row["deal_ref"]: [each["code"] for each in row["blockers"]]
            for row in firm.rows("SELECT deal_ref, blockers FROM provisioning_plan")
        }
        assert not any(plans[ref] for ref in _DEALS), plans
        assert {ref for ref, codes in plans.items() if codes} == set(_DEALS_BLOCKED), plans
        # Nobody is above themselves.
        assert firm.rows(_CYCLES) == []
        assert time.process_time() - began < _SECONDS_MAX

        # What is put right heals, and only that.
        firm.portal.companies |= {ref: _company(ref) for ref in _COMPANIES_UNREAD if ref != "105"}
        firm.portal.deals |= {ref: _deal(ref, dealname="right") for ref in ("200", "205", "216")}
        for stream in ("companies", "deals"):
            firm.read(stream)

        assert firm.unread("deals") == set(_DEALS_UNREAD) - {"200", "205", "216"}
        assert {ref for ref in firm.unread("companies") if ref.isdecimal()} == {"105"}

    @pytest.mark.parametrize(
        "twist",
        ["one record twice", "the page before", "a record less", "no end", "a page of words"],
    )
    def test_is_not_believed_when_its_pages_do_not_add_up(
        self, firm: Firm, twist: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hubspot.connector, "PAGES_MAX", 50)
        firm.portal.companies = {str(ref): _company(str(ref)) for ref in range(1, 16)}
        firm.portal.twist = twist

        broken = firm.read("companies")
        firm.portal.twist = ""
        whole = firm.read("companies")

        assert broken.problem
        assert whole.problem == ""
        (versions,) = firm.rows("SELECT count(*)::int AS n FROM source_version")
        assert versions["n"] == 15


_CYCLES = """
    WITH RECURSIVE above AS (
        SELECT client_id, parent_client_id, 1 AS steps FROM client_version WHERE superseded_at IS NULL
        UNION ALL
        SELECT a.client_id, v.parent_client_id, a.steps + 1
        FROM above a JOIN client_version v ON v.client_id = a.parent_client_id AND v.superseded_at IS NULL
        WHERE a.steps < 20
    )
    SELECT client_id FROM above WHERE parent_client_id = client_id
"""

"""What belongs to another legal entity answers as if it did not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from tests.rooms.casework.hand_made_firm import Firm

from .conftest import House, add_plan
from .test_description import described

_BECAUSE = {"reason": "because"}
_PLACE = re.compile(r"\{([a-z_]+)\}")


@pytest.fixture
def theirs(house: House, held_elsewhere: UUID) -> dict[str, str]:
    """Give one thing of each kind that belongs to the other entity."""
    proposal = house.post(f"/v1/cases/{held_elsewhere}:leave-out", _BECAUSE, key="uk")
    entry = house.rows("SELECT entry_id FROM time_entry WHERE source_ref = 'h-2'")[0]
    period = house.rows("SELECT period_id FROM fiscal_period WHERE entity_code = 'UK'")[0]
    plan_id = add_plan(house, entity_code="UK", deal_ref="8")
    with house.worker.transaction() as connection:
        Firm(connection).deal("8", entity_code="UK")
    return {
        "case": str(held_elsewhere),
        "plan": str(plan_id),
        "proposal": proposal.json()["proposal_id"],
        "contract": str(house.other_project["contract_id"]),
        "hour": str(entry["entry_id"]),
        "period": str(period["period_id"]),
    }


# What each place of an address names, where it belongs to a legal entity.
_PLACES = {
    "case_id": "{case}",
    "plan_id": "{plan}",
    "proposal_id": "{proposal}",
    "contract_id": "{contract}",
    "period_id": "{period}",
    "period_code": "2026-10",
}
# The whole firm's, told to whoever holds the scope; what is of one entity there is asked below or elsewhere.
_OF_THE_FIRM = {
    "client_id": "a client is every company's",
    "connection_key": "a system is connected for the firm",
    "kind": "what is explained is asked by its reference, below",
    "release_id": "rules hold for every company",
    "stop_id": "tests/flows/test_standing_checks.py stops one company",
    "what_if_id": "asked and read by who sees every company",
}
_SAME = {"client_id": None, **_BECAUSE}
# A body that would do, so that what is refused is refused for whose it is.
_BODIES: dict[str, Any] = {
    "/v1/cases/{case_id}:assign": {"assigned_to": "gil"},
    "/v1/cases/{case_id}:same-client": _SAME,
    "/v1/contracts/{contract_id}/periods/{period_code}:draft": None,
    "/v1/contracts/{contract_id}/periods/{period_code}:release": {},
    "/v1/deals/{plan_id}:provision": None,
    "/v1/same-client/{case_id}:answer": {"client_id": str(uuid4()), "answer": "same", **_BECAUSE},
}
# Addresses without a place whose body names a thing.
_NAMED_IN_A_BODY = {
    "/v1/cases:preview-again": {"case_ids": ["{case}"]},
    "/v1/cases:send-again": {"case_ids": ["{case}"], "digest": "0" * 64, **_BECAUSE},
    "/v1/deals:plan": {"deal": "{plan}"},
    "/v1/deals:apply": {"deal": "{plan}", "digest": "0" * 64, **_BECAUSE},
}


def _operations() -> Iterator[tuple[str, str, Any]]:
    """Give every address that names a thing of a legal entity, as the description has it."""
    for path, methods in described()["paths"].items():
        places = set(_PLACE.findall(path))
        if path in _NAMED_IN_A_BODY:
            yield "post", path, _NAMED_IN_A_BODY[path]
        elif places and places <= set(_PLACES):
            for method in methods:
                body = _BODIES.get(path, _BECAUSE) if method == "post" else None
                yield method, _PLACE.sub(lambda place: _PLACES[place[1]], path), body


class TestAnotherEntity:
    def test_is_told_of_every_place_whose_it_is(self) -> None:
        places = {place for path in described()["paths"] for place in _PLACE.findall(path)}

        assert places == set(_PLACES) | set(_OF_THE_FIRM)
        assert set(_BODIES) | set(_NAMED_IN_A_BODY) <= set(described()["paths"])

    def test_answers_each_address_as_if_it_did_not_exist(
        self, house: House, theirs: dict[str, str]
    ) -> None:
        nothing = dict.fromkeys(theirs, str(uuid4()))
        wrong, asked = [], 0

        for method, address, body in _operations():
            hidden, missing = (
                _send(house, method, address.format(**things), _filled(body, things))
                for things in (theirs, nothing)
            )
            asked += 1
            is_same = _words(hidden.json()) == _words(missing.json())
            if not (hidden.status_code == missing.status_code == 404 and is_same):
                wrong.append((method, address, hidden.status_code, missing.status_code))

        assert wrong == []
        assert asked > 18
        assert house.rows("SELECT state FROM proposal") == [{"state": "proposed"}]
        assert house.rows("SELECT count(*) AS n FROM exclusion")[0]["n"] == 0
        assert house.rows("SELECT count(*) AS n FROM work_item")[0]["n"] == 0

    def test_is_read_by_whose_it_is(self, house: House, theirs: dict[str, str]) -> None:
        for address in ("/v1/cases/{case}", "/v1/deals/{plan}", "/v1/periods/{period}"):
            assert house.get(address.format(**theirs), key="uk").status_code == 200

    @pytest.mark.parametrize(
        ("kind", "ref"),
        [("hour", "{hour}"), ("hour", "clock:h-2"), ("case", "{case}"), ("deal", "sales:8")],
    )
    def test_is_not_explained(
        self, house: House, theirs: dict[str, str], kind: str, ref: str
    ) -> None:
        known = house.get(f"/v1/explain/{kind}", key="uk", ref=ref.format(**theirs))
        hidden = house.get(f"/v1/explain/{kind}", ref=ref.format(**theirs))
        missing = house.get(f"/v1/explain/{kind}", ref="clock:nothing")

        assert known.status_code == 200, known.text
        assert known.json()["steps"]
        assert hidden.status_code == missing.status_code == 404
        assert _words(hidden.json()) == _words(missing.json())

    def test_is_not_listed(self, house: House, theirs: dict[str, str]) -> None:
        lists = {
            "/v1/cases": "cases",
            "/v1/deals": "deals",
            "/v1/proposals": "proposals",
            "/v1/close": "periods",
            "/v1/readiness": "contracts",
            "/v1/revenue-status": "projects",
            "/v1/assignments": "assignments",
        }

        for address, name in lists.items():
            assert house.get(address).json()[name] == [], address
        assert house.get("/v1/cases", key="uk").json()["cases"]

    def test_a_key_without_entities_sees_nothing(
        self, house: House, theirs: dict[str, str]
    ) -> None:
        for address in (
            "/v1/cases",
            "/v1/deals",
            "/v1/connections",
            "/v1/close",
            "/v1/periods",
            "/v1/drifts",
        ):
            told = house.get(address, key="blind").json()
            forecast = told.pop("forecast", {})
            assert [*chain(*told.values())] == [], address
            assert {forecast.get(name, 0) for name in ("deals", "steps", "calls")} == {0}, address


class TestExplaining:
    def test_an_hour_shows_rules_release_and_links(self, house: House, held: UUID) -> None:
        house.rows(
            "UPDATE connection SET system = 'harvest' WHERE connection_key = 'clock' RETURNING 1"
        )
        house.rows("UPDATE time_entry SET object = 'time_entries' RETURNING 1")

        way = house.get("/v1/explain/hour", ref="clock:h-1").json()

        steps = {step["what"]: step for step in way["steps"]}
        assert steps["received"]["link"] == "https://app.harvestapp.com/time/week?entry=h-1"
        judged = steps["judged"]["facts"]
        assert (judged["outcome"], judged["release_title"]) == ("held", "first")
        assert judged["reasons"][0] == {
            "rule": "time.narrative_missing",
            "severity": "error",
            "message": "It is wrong.",
            "fix": "Put it right.",
        }
        assert judged["amount"] == "150.00"
        assert steps["in a case"]["facts"]["case_id"] == str(held)


def _send(house: House, method: str, address: str, body: Any) -> httpx.Response:
    return house.get(address) if method == "get" else house.post(address, body)


def _words(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "trace_id"}


def _filled(body: Any, things: dict[str, str]) -> Any:
    body = body or {}
    if "case_ids" in body:
        return {**body, "case_ids": [each.format(**things) for each in body["case_ids"]]}
    if "deal" in body:
        return {**body, "deal": body["deal"].format(**things)}
    return body

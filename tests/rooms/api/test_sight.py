"""What belongs to another legal entity answers as if it did not exist."""

from __future__ import annotations

from itertools import chain
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.rooms.casework.hand_made_firm import Firm

from .conftest import House, add_plan

_BECAUSE = {"reason": "because"}


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


READS = ("/v1/cases/{case}", "/v1/deals/{plan}", "/v1/periods/{period}")
CHANGES: tuple[tuple[str, Any], ...] = (
    ("/v1/cases/{case}:assign", {"assigned_to": "gil"}),
    ("/v1/cases/{case}:replay", _BECAUSE),
    ("/v1/cases/{case}:dismiss", _BECAUSE),
    ("/v1/cases/{case}:leave-out", _BECAUSE),
    ("/v1/deals/{plan}:provision", None),
    ("/v1/deals:plan", {"deal": "{plan}"}),
    ("/v1/deals:apply", {"deal": "{plan}", "digest": "0" * 64, **_BECAUSE}),
    ("/v1/proposals/{proposal}:approve", _BECAUSE),
    ("/v1/proposals/{proposal}:reject", _BECAUSE),
    ("/v1/contracts/{contract}/periods/2026-10:release", {}),
    ("/v1/contracts/{contract}/periods/2026-10:draft", None),
    ("/v1/periods/{period}:close", _BECAUSE),
    ("/v1/periods/{period}:reopen", _BECAUSE),
)


class TestAnotherEntity:
    @pytest.mark.parametrize("address", READS)
    def test_is_not_read(self, house: House, theirs: dict[str, str], address: str) -> None:
        nothing = dict.fromkeys(theirs, str(uuid4()))

        hidden = house.get(address.format(**theirs))
        missing = house.get(address.format(**nothing))

        assert house.get(address.format(**theirs), key="uk").status_code == 200
        assert hidden.status_code == missing.status_code == 404
        assert _words(hidden.json()) == _words(missing.json())

    @pytest.mark.parametrize(("address", "body"), CHANGES)
    def test_is_not_changed(
        self, house: House, theirs: dict[str, str], address: str, body: Any
    ) -> None:
        nothing = dict.fromkeys(theirs, str(uuid4()))

        hidden = house.post(address.format(**theirs), _filled(body, theirs))
        missing = house.post(address.format(**nothing), _filled(body, nothing))

        assert hidden.status_code == missing.status_code == 404
        assert _words(hidden.json()) == _words(missing.json())
        assert house.rows("SELECT state FROM proposal") == [{"state": "proposed"}]
        assert house.rows("SELECT count(*) AS n FROM exclusion")[0]["n"] == 0
        assert house.rows("SELECT count(*) AS n FROM work_item")[0]["n"] == 0

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
            listed = [*chain(*house.get(address, key="blind").json().values())]
            assert listed == []


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


def _words(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "trace_id"}


def _filled(body: Any, things: dict[str, str]) -> Any:
    if "deal" not in (body or {}):
        return body
    return {**body, "deal": body["deal"].format(**things)}

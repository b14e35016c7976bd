"""A machine drafts a policy and asks what it would do; a second person decides."""

from __future__ import annotations

from uuid import uuid4

from tests.rooms.casework.hand_made_firm import NOW
from tests.support.target import FixedClock

from tieline.runtime.work import AtOnce
from tieline.services.what_if_runs import WhatIfRuns

from .conftest import House

_RULE = {
    "code": "firm.no_long_day",
    "predicate": "seconds <= 4 * 3600",
    "severity": "warn",
    "owner": "delivery",
    "message": "Too long.",
    "fix": "Split it.",
}
_QUESTION = {"title": "longer days", "starts_on": "2026-10-01", "ends_on": "2026-11-01"}


class TestAPolicy:
    def test_is_drafted_asked_about_and_answered(self, house: House) -> None:
        said = house.get("/v1/policy", key="all").json()
        body = {"policy": {**said, "rule": [_RULE]}, "reason": "asked for"}

        drafted = house.post("/v1/releases", body, key="all", once="d")
        again = house.post("/v1/releases", body, key="all", once="d")
        release_id = drafted.json()["release_id"]
        shown = house.get(f"/v1/releases/{release_id}", key="all").json()
        asked = house.post("/v1/what-ifs", {**_QUESTION, "release_id": release_id}, key="all")
        address = f"/v1/what-ifs/{asked.json()['what_if_id']}"
        waiting = house.get(address, key="all").json()
        WhatIfRuns(database=house.worker, clock=FixedClock(NOW)).answer(AtOnce(), "next")
        answered = house.get(address, key="all").json()

        assert (drafted.status_code, again.json()) == (202, drafted.json())
        changes = drafted.json()["changes"]
        assert any(each.startswith("rule firm.no_long_day: none -> warn") for each in changes)
        assert (shown["line"]["state"], shown["changes"]) == ("draft", changes)
        assert shown["policy"]["rule"][0]["predicate"] == _RULE["predicate"]
        assert (waiting["asked"]["state"], waiting["answer"]) == ("waiting", None)
        assert answered["asked"]["state"] == "done", answered
        assert (answered["answer"]["entries"], answered["answer"]["policy"]) == (0, changes)
        assert house.post(f"{address}:stop", key="all").status_code == 404
        assert house.post(f"/v1/releases/{release_id}:approve", key="all").status_code == 409
        assert len(house.get("/v1/what-ifs", key="all").json()["what_ifs"]) == 1

    def test_is_refused_with_what_is_wrong(self, house: House) -> None:
        said = house.get("/v1/policy", key="all").json()
        wrong = {**_RULE, "predicate": "seconds <= (SELECT 1)"}
        rows = {"noun": "person-links", "name": "x", "text": "who\n1\n"}

        draft = house.post(
            "/v1/releases", {"policy": {**said, "rule": [wrong]}, "reason": "x"}, key="all"
        )
        nothing = house.post("/v1/what-ifs", _QUESTION, key="all")
        columns = house.post("/v1/what-ifs", {**_QUESTION, "files": [rows]}, key="all")

        assert draft.status_code == 409
        assert "which is not allowed" in draft.json()["detail"]
        assert "name a draft" in nothing.json()["detail"]
        assert "who is no column" in columns.json()["detail"]
        assert house.get("/v1/releases/99", key="all").status_code == 404

    def test_is_for_keys_of_the_whole_firm(self, house: House) -> None:
        for address in ("/v1/policy", "/v1/releases", "/v1/releases/1", "/v1/what-ifs"):
            assert house.get(address).status_code == 409, address
        assert house.get(f"/v1/what-ifs/{uuid4()}").status_code == 404
        assert house.post("/v1/what-ifs", {**_QUESTION, "release_id": 1}).status_code == 409
        assert house.get("/v1/policy", key="reader").status_code == 403

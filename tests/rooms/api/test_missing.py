"""What callers are told of missing time, and what they may do about it."""

from __future__ import annotations

from uuid import uuid4

from .conftest import House


class TestMissingTime:
    def test_is_told_within_sight_and_reminded_of_by_who_may(self, house: House) -> None:
        found = house.get("/v1/missing-time").json()
        remind = {"reason": "the period closes"}
        deputy = {
            "approver_id": str(uuid4()),
            "deputy": "bea@x.example",
            "starts_on": "2026-11-03",
            "ends_on": "2026-11-07",
            "reason": "on leave",
        }

        (person,) = found["people"]
        assert (person["entity_code"], person["unknown"]) == ("DE", "pattern")
        assert (person["submitted_seconds"], person["worth"]) == (None, None)
        assert house.get("/v1/missing-time", key="uk").json()["people"] == []
        assert house.get("/v1/missing-time", approver_id=str(uuid4())).json()["people"] == []
        assert house.post("/v1/missing-time:remind", remind, key="reader").status_code == 403
        told = house.post("/v1/missing-time:remind", remind)
        assert told.status_code == 409
        assert "reach staff:all" in told.json()["detail"]
        assert house.post("/v1/missing-time:deputize", deputy).status_code == 409

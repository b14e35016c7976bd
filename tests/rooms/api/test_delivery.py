"""What callers are told of running projects."""

from __future__ import annotations

from .conftest import House


class TestDelivery:
    def test_tells_the_hours_of_projects_in_sight(self, house: House) -> None:
        found = house.get("/v1/delivery").json()
        (project,) = found["projects"]

        assert (project["project_code"], project["sold_seconds"]) == ("P-DE", None)
        assert (found["booked_seconds"], found["projects_in_all"]) == (0, 1)
        assert found["entities_without_staffing"] == ["DE"]
        assert house.get("/v1/delivery", offset=1).json()["projects"] == []
        assert house.get("/v1/delivery", state="oversold").json()["projects"] == []
        assert house.get("/v1/delivery", state="odd").status_code == 422
        assert house.get("/v1/delivery", key="blind").json()["projects"] == []
        assert "rate" not in str(found)

"""What callers are told of records without a link, and what they decide."""

from __future__ import annotations

from datetime import datetime

from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW

from tieline.services.proposing_links import propose_links

from .conftest import House


class TestAdoption:
    def test_is_told_and_decided_by_who_sees_the_whole_firm(self, house: House) -> None:
        item = {
            "kind": "project",
            "name": "A",
            "code": "P-DE",
            "parent_ref": None,
            "client_ref": None,
        }
        for ref, code in (("11", "P-DE"), ("12", None)):
            house.rows(
                "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version, is_newest,"
                " noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id, correlation_id)"
                " VALUES ('clock', 0, 'projects', %s, 1, true, 'WorkItem', %s, false, '', 1, %s, 1, 'c') RETURNING 1 AS one",
                ref, Jsonb({**item, "code": code}), NOW,
            )  # fmt: skip

        unasked = house.get("/v1/adoption", key="all").json()
        asked = house.post("/v1/adoption:propose", key="all")
        waiting = house.get("/v1/adoption", key="all").json()
        with house.worker.transaction() as connection:
            propose_links(connection, by="w", now=NOW, progress=lambda done, total: None)
        found = house.get("/v1/adoption", key="all", noun="project").json()
        sure, other = found["proposals"]
        named = {name: other[name] for name in ("connection_key", "noun", "source_ref")}
        body = {
            "links": [{**named, "source_ref": "11", "our_id": sure["our_id"]}],
            "leave": [named],
            "reason": "go-live",
        }

        assert house.get("/v1/adoption").status_code == 409
        assert (unasked["proposed_at"], unasked["is_being_proposed"]) == (None, False)
        assert (asked.status_code, waiting["is_being_proposed"]) == (202, True)
        assert datetime.fromisoformat(found["proposed_at"]) == NOW
        assert house.post("/v1/adoption:propose").status_code == 409
        assert (found["not_decided"], found["sure"], found["proposals_in_all"]) == (2, 1, 2)
        assert (sure["source_ref"], sure["state"], sure["why"]) == ("11", "strong", "same code")
        assert house.post("/v1/adoption:decide", body).status_code == 409
        assert house.post("/v1/adoption:decide", body, key="reader").status_code == 403
        assert house.post("/v1/adoption:decide", body, key="all").json() == {
            "linked": 1, "left": 1, "refused": [], "looked_at_again": 0,
        }  # fmt: skip
        assert house.post("/v1/adoption:decide", body, key="all").status_code == 409
        (left,) = house.get("/v1/adoption", key="all", state="left").json()["proposals"]
        assert left["source_ref"] == "12"

"""Clients become one and two again: whatever the series, what remains is what the standing merges make of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from tests.flows.test_clients import Town
from tests.rooms.casework.hand_made_firm import NOW
from tests.support.target import OneConnector

from tieline.app import InstalledSystems
from tieline.canonical import FieldCommand
from tieline.kernel.errors import UserMistake
from tieline.posting import Confirmed, EffectRequest
from tieline.register import survive
from tieline.register.owners import CLIENT_OWNERS
from tieline.register.survivorship import AGREED, COMPLETENESS, KEPT, OWNER, RECENCY, Told
from tieline.runtime.database import Database
from tieline.runtime.work import AtOnce
from tieline.sdk import Capabilities
from tieline.services.client_merging import Merged, Repointing, merge_clients, unmerge_clients

_SEED = 56


class _Harvest(OneConnector):
    """A directory whose every system lets a project be given another client."""

    def capabilities(self, *, connection_key: str) -> Capabilities:
        return InstalledSystems().manifest(system="harvest")


class _Poster:
    """What would be written, in order."""

    def __init__(self) -> None:
        self.requests: list[EffectRequest] = []
        self.commands: list[FieldCommand] = []

    def post(self, *, request: EffectRequest, build: Callable[[UUID], FieldCommand]) -> Confirmed:
        self.requests.append(request)
        self.commands.append(build(UUID(int=len(self.requests))))
        return Confirmed(business_key=UUID(int=len(self.requests)), target_code="1", is_new=True)


class Merging(Town):
    """A town whose clients are merged and taken apart."""

    connectors: OneConnector = OneConnector(None)

    def merge(self, losing: UUID, winning: UUID, by: str = "ann") -> Merged:
        self.clock.instant += timedelta(minutes=1)
        with self.worker.transaction() as connection:
            return merge_clients(
                connection, losing_id=losing, winning_id=winning, by=by, reason="the same firm",
                connectors=self.connectors, now=self.clock.now(),
            )  # fmt: skip

    def unmerge(self, losing: UUID, by: str = "ann") -> Merged:
        self.clock.instant += timedelta(minutes=1)
        with self.worker.transaction() as connection:
            return unmerge_clients(
                connection, losing_id=losing, by=by, reason="two firms after all",
                connectors=self.connectors, now=self.clock.now(),
            )  # fmt: skip

    def links(self) -> dict[tuple[str, str], UUID]:
        rows = self.rows(
            "SELECT connection_key, source_ref, our_id FROM crosswalk"
            " WHERE noun = 'client' AND superseded_at IS NULL"
        )
        return {(row["connection_key"], row["source_ref"]): row["our_id"] for row in rows}

    def redirects(self) -> dict[UUID, UUID]:
        rows = self.rows("SELECT client_id, redirect_to FROM client WHERE redirect_to IS NOT NULL")
        return {row["client_id"]: row["redirect_to"] for row in rows}

    def values(self) -> dict[UUID, dict[str, Any]]:
        rows = self.rows("SELECT * FROM client_version WHERE superseded_at IS NULL")
        for row in rows:
            del row["recorded_at"]
        return {row["client_id"]: row for row in rows}


@pytest.fixture
def town(worker_database: Database) -> Merging:
    town = Merging(worker_database)
    for number, name in enumerate(
        ("Kelloran", "Ostsee", "Brandt", "Luminar", "Fjellheim"), start=10
    ):
        town.say(
            "books",
            str(number),
            name=f"{name} Holding AG",
            city=f"Town {number}",
            country_code="DE",
        )
        town.say(
            "sales", str(number), name=f"{name} Group", domain=f"{name}.example", country_code="DE"
        )
    town.keep()
    return town


class TestClients:
    def test_end_where_the_merges_that_stand_lead(self, town: Merging) -> None:
        print(f"seed {_SEED}")
        draw = random.Random(_SEED)
        homes, begun = town.links(), town.values()
        clients = sorted({*homes.values()})
        edges: dict[UUID, UUID] = {}

        def root(client_id: UUID) -> UUID:
            while client_id in edges:
                client_id = edges[client_id]
            return client_id

        for _ in range(16):
            one, other = draw.sample(clients, 2)
            if one in edges and draw.random() < 0.5:
                town.unmerge(one)
                del edges[one]
            elif one not in edges and root(other) != one:
                town.merge(one, other)
                edges[one] = root(other)
            else:
                with pytest.raises(UserMistake, match="already"):
                    town.merge(one, other)

            assert town.redirects() == {each: root(each) for each in edges}
            assert town.links() == {key: root(home) for key, home in homes.items()}

        assert edges, "the series ended with no merge to take back"
        # A pass over clients finds nothing to put right, and nobody's records are lost in it.
        town.keep()
        assert town.links() == {key: root(home) for key, home in homes.items()}
        for losing in list(edges):
            town.unmerge(losing)
        assert town.values() == begun
        assert (town.links(), town.redirects()) == (homes, {})

    def test_take_two_people_where_money_was_posted_and_leave_it_where_it_is(
        self, town: Merging
    ) -> None:
        links = town.links()
        losing, winning = town.client_id, links["books", "10"]
        town.link("books", "77")
        with town.worker.transaction() as connection:
            town.firm.connection = connection
            town.firm.hour("h1", project=town.firm.project("NW-1"))
        (contract,) = town.rows("SELECT * FROM contract")
        (line,) = town.rows("SELECT * FROM ledger_line")

        asked = town.merge(losing, winning)
        assert asked.proposal is not None
        assert town.redirects() == {}
        with pytest.raises(UserMistake, match="proposed it already"):
            town.merge(losing, winning)
        town.approve(asked.proposal.proposal_id)

        assert town.redirects() == {losing: winning}
        assert town.links()["books", "77"] == winning
        # Both are companies of one ERP: one of them is the client's first there, and a person merges them.
        town.keep()
        (case,) = town.rows(
            "SELECT thing_key FROM case_file WHERE reason = 'client.merge_by_hand' AND state = 'open'"
        )
        assert case["thing_key"] == "books:77"
        assert town.rows("SELECT * FROM contract") == [contract]
        assert town.rows("SELECT * FROM ledger_line") == [line]
        assert town.rows(
            "SELECT because FROM rejudge WHERE neighbor_key = %s",
            f"contract:{contract['contract_id']}",
        )

        back = town.unmerge(losing)
        assert back.proposal is not None
        town.approve(back.proposal.proposal_id)
        assert town.redirects() == {}
        assert town.links() == {**links, ("books", "77"): losing}
        audit = town.rows("SELECT actor, action, reason FROM audit WHERE action LIKE 'client.%%'")
        assert [(row["actor"], row["action"]) for row in audit] == [
            ("bob", "client.merged"),
            ("bob", "client.unmerged"),
        ]

    def test_are_followed_by_a_system_whose_projects_can_be_given_another_client(
        self, town: Merging
    ) -> None:
        links = town.links()
        losing, winning = links["sales", "12"], links["sales", "13"]
        for client_id, source_ref in ((losing, "c1"), (winning, "c2")):
            town.rows(
                "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                " VALUES ('clock', 'client', %s, %s, 'test', %s) RETURNING our_id",
                source_ref, client_id, NOW,
            )  # fmt: skip
        for source_ref, client_ref in (("p1", "c1"), ("p2", "c2")):
            town.rows(
                "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version,"
                " is_newest, noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id,"
                " correlation_id) VALUES ('clock', 0, 'projects', %s, 1, true, 'WorkItem', %s, false, 'h',"
                " 1, %s, 1, 'c') RETURNING version",
                source_ref, Jsonb({"kind": "project", "client_ref": client_ref}), NOW,
            )  # fmt: skip
        town.connectors = _Harvest(None)

        done = town.merge(losing, winning)
        told = _Poster()
        work = Repointing(database=town.worker, poster=cast(Any, told), clock=town.clock)
        (waiting,) = town.rows("SELECT subject FROM work_item WHERE kind = 'repoint'")
        work.repoint(AtOnce(), waiting["subject"])
        town.unmerge(losing)
        work.repoint(AtOnce(), waiting["subject"])

        assert waiting["subject"] == str(done.merge_id)
        assert [(each.record_code, each.before, each.values) for each in told.commands] == [
            ("p1", {"client_id": "c1"}, {"client_id": "c2"}),
            ("p1", {"client_id": "c2"}, {"client_id": "c1"}),
        ]
        assert len({request.part for request in told.requests}) == 2

    def test_are_no_part_of_themselves(self, town: Merging) -> None:
        links = town.links()
        part, whole = links["sales", "10"], links["sales", "11"]
        town.say("sales", "10", name="Kelloran Group", parent_ref="11")
        town.keep()

        with pytest.raises(UserMistake, match="is a part of"):
            town.merge(part, whole)

        # What two systems say together may go round where neither does alone.
        town.merge(links["sales", "12"], part)
        town.say("sales", "11", name="Ostsee Group", parent_ref="12")
        town.keep()
        parents = {key: row["parent_client_id"] for key, row in town.values().items()}
        assert parents[part] == whole
        assert parents[whole] is None
        assert town.rows(
            "SELECT thing_key FROM case_file WHERE reason = 'client.hierarchy_cycle' AND state = 'open'"
        )


class TestAField:
    def test_is_its_owners_then_the_newest_then_the_most_complete_ones(self) -> None:
        def told(key: str, kind: str, days: int, **values: Any) -> Told:
            return Told(
                connection_key=key, source_ref="1", kind=kind, told_at=NOW + timedelta(days=days),
                values=values,
            )  # fmt: skip

        found = survive(
            [
                told("sales", "crm", 3, name="Nord", city="Kiel", domain="a.example", street="s"),
                told("shop", "crm", 3, name="Nordwind", city="Kiel", domain=None, street=None),
                told("books", "erp", 1, name="NW", city="Bremen", domain=None, street=None),
                told("ledger", "erp", 2, name="NW", city="Emden", domain=None, street=None),
            ],
            noun="client", our_id=UUID(int=1), owners=CLIENT_OWNERS,
            standing=[{"name": "old", "country_code": "DE"}],
        )  # fmt: skip

        said = {
            each.field: (each.value, each.because, each.connection_key) for each in found.survivors
        }
        assert said["city"] == ("Emden", RECENCY, "ledger")
        assert said["name"] == ("Nord", COMPLETENESS, "sales")
        assert said["domain"] == ("a.example", AGREED, "sales")
        assert said["street"] == ("s", AGREED, "sales")
        assert said["country_code"] == ("DE", KEPT, "")
        assert {(each.field, each.written_by) for each in found.drifts} >= {
            ("city", "sales"), ("city", "shop"), ("name", "books"),
        }  # fmt: skip
        one = survive(
            [told("sales", "crm", 3, city="Kiel"), told("books", "erp", 1, city="Bremen")],
            noun="client", our_id=UUID(int=1), owners={"city": "erp"}, standing=[],
        )  # fmt: skip
        assert (one.survivors[0].value, one.survivors[0].because) == ("Bremen", OWNER)

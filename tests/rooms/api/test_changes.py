"""A change is made once, by whoever may, with a second person where it moves money."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import Response
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW

from tieline.runtime.housekeeping import purge

from .conftest import House, add_plan

_BECAUSE = {"reason": "the consultant was asked"}


class TestOnce:
    def test_a_repeated_call_repeats_its_answer(self, house: House, held: UUID) -> None:
        first = house.post(f"/v1/cases/{held}:replay", _BECAUSE, once="a")

        second = house.post(f"/v1/cases/{held}:replay", _BECAUSE, once="a")

        assert first.json() == second.json() == {"case_id": str(held), "replayed": 1}
        assert second.headers["Idempotent-Replayed"] == "true"
        assert (
            house.rows("SELECT count(*) AS n FROM rejudge WHERE because LIKE 'case.replay:%%'")[0][
                "n"
            ]
            == 1
        )

    def test_the_same_key_with_another_body_is_refused(self, house: House, held: UUID) -> None:
        house.post(f"/v1/cases/{held}:replay", _BECAUSE, once="a")

        answer = house.post(f"/v1/cases/{held}:replay", {"reason": "another"}, once="a")

        assert answer.status_code == 422
        assert answer.json()["code"] == "idempotency_key.reused"

    def test_the_same_key_at_another_address_is_refused(self, house: House, held: UUID) -> None:
        house.post(f"/v1/cases/{held}:replay", _BECAUSE, once="a")

        assert house.post(f"/v1/cases/{held}:dismiss", _BECAUSE, once="a").status_code == 422

    def test_keys_belong_to_their_caller(self, house: House, held: UUID) -> None:
        house.post(f"/v1/cases/{held}:replay", _BECAUSE, once="a")

        answer = house.post(
            f"/v1/cases/{held}:replay", {"reason": "by another"}, key="de-second", once="a"
        )

        assert answer.status_code == 200
        assert "Idempotent-Replayed" not in answer.headers

    def test_a_refused_call_keeps_nothing(self, house: House) -> None:
        refused = house.post(f"/v1/cases/{uuid4()}:replay", _BECAUSE, once="a")

        assert refused.status_code == 404
        assert house.rows("SELECT count(*) AS n FROM api_answer")[0]["n"] == 0

    def test_a_change_without_a_key_is_refused(self, house: House, held: UUID) -> None:
        answer = house.client.post(
            f"/v1/cases/{held}:replay",
            json=_BECAUSE,
            headers={"Authorization": f"Bearer {house.keys['de']}"},
        )

        assert answer.status_code == 400
        assert answer.json()["code"] == "idempotency_key.missing"

    def test_calls_at_the_same_moment_change_once(self, house: House, held: UUID) -> None:
        def call(_: int) -> int:
            return house.post(f"/v1/cases/{held}:replay", _BECAUSE, once="a").status_code

        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(call, range(8)))

        assert set(statuses) == {200}
        assert (
            house.rows("SELECT count(*) AS n FROM rejudge WHERE because LIKE 'case.replay:%%'")[0][
                "n"
            ]
            == 1
        )

    def test_answers_that_nobody_repeats_are_removed(self, house: House, held: UUID) -> None:
        house.post(f"/v1/cases/{held}:replay", _BECAUSE, once="a")

        assert purge(house.worker) == 0
        assert purge(house.worker, keep_seconds=0) == 1
        assert house.rows("SELECT count(*) AS n FROM api_answer")[0]["n"] == 0


class TestCases:
    def test_are_taken_with_an_audit_row(self, house: House, held: UUID) -> None:
        answer = house.post(f"/v1/cases/{held}:assign", {"assigned_to": "gil"})

        assert answer.json() == {"case_id": str(held), "assigned_to": "gil"}
        audit = house.rows(
            "SELECT actor, action, data FROM audit WHERE object = %s", f"case:{held}"
        )
        assert audit == [{"actor": "ann", "action": "case.assigned", "data": {"key": "de"}}]

    def test_are_not_dismissed_while_hours_wait(self, house: House, held: UUID) -> None:
        answer = house.post(f"/v1/cases/{held}:dismiss", _BECAUSE)

        assert answer.status_code == 409
        assert "leave them out" in answer.json()["detail"]

    def test_are_sent_again_together_once_and_as_it_was_shown(
        self, house: House, held: UUID, held_elsewhere: UUID
    ) -> None:
        shown = house.post("/v1/cases:preview-again", {}, key="all").json()
        body = {"case_ids": [each["case_id"] for each in shown["cases"]], **_BECAUSE}
        untrue = house.post("/v1/cases:send-again", {**body, "digest": "0" * 64}, key="all")
        before = house.rows("SELECT 1 AS one FROM rejudge WHERE because LIKE 'case.replay:%%'")
        done = [
            house.post(
                "/v1/cases:send-again", {**body, "digest": shown["digest"]}, key="all", once="a"
            )
            for _ in range(2)
        ]

        assert (shown["hours"], shown["still_held"]) == (2, 0)
        assert (untrue.status_code, before) == (409, [])
        assert done[0].json() == done[1].json()
        assert set(done[0].json()["case_ids"]) == {str(held), str(held_elsewhere)}
        assert (
            len(house.rows("SELECT 1 AS one FROM rejudge WHERE because LIKE 'case.replay:%%'")) == 2
        )
        audit = house.rows("SELECT reason, data FROM audit WHERE action = 'case.replayed'")
        assert audit == [{"reason": _BECAUSE["reason"], "data": {"key": "all"}}] * 2

    def test_are_left_out_by_a_second_person(self, house: House, held: UUID) -> None:
        proposed = house.post(f"/v1/cases/{held}:leave-out", _BECAUSE)
        proposal_id = proposed.json()["proposal_id"]

        own = house.post(f"/v1/proposals/{proposal_id}:approve", _BECAUSE)
        other = house.post(f"/v1/proposals/{proposal_id}:approve", _BECAUSE, key="de-second")

        assert proposed.status_code == 202
        assert own.status_code == 409
        assert other.json() == {"proposal_id": proposal_id, "state": "approved", "things": 1}
        left_out = house.rows("SELECT proposed_by, approved_by FROM exclusion")
        assert left_out == [{"proposed_by": "ann", "approved_by": "bob"}]

    def test_are_proposed_once(self, house: House, held: UUID) -> None:
        house.post(f"/v1/cases/{held}:leave-out", _BECAUSE)

        assert house.post(f"/v1/cases/{held}:leave-out", _BECAUSE).status_code == 409

    def test_a_rejected_proposal_leaves_the_hours(self, house: House, held: UUID) -> None:
        proposed = house.post(f"/v1/cases/{held}:leave-out", _BECAUSE).json()

        answer = house.post(f"/v1/proposals/{proposed['proposal_id']}:reject", _BECAUSE)

        assert answer.json()["state"] == "rejected"
        assert house.rows("SELECT count(*) AS n FROM exclusion")[0]["n"] == 0


class TestDeals:
    def test_a_ready_plan_is_scheduled(self, house: House) -> None:
        plan_id = add_plan(house, entity_code="DE", deal_ref="7")

        answer = house.post(f"/v1/deals/{plan_id}:provision")

        assert (answer.status_code, answer.json()["state"]) == (202, "ready")
        work = house.rows("SELECT kind, subject FROM work_item")
        assert work == [{"kind": "provision", "subject": str(plan_id)}]

    def test_a_plan_waits_while_another_is_carried_out(self, house: House) -> None:
        add_plan(house, entity_code="DE", deal_ref="6", state="running")
        plan_id = add_plan(house, entity_code="DE", deal_ref="7")

        assert house.post(f"/v1/deals/{plan_id}:provision").status_code == 202
        assert house.rows("SELECT count(*) AS n FROM work_item")[0]["n"] == 0

    def test_a_plan_that_was_taken_back_is_tried_again(self, house: House) -> None:
        plan_id = add_plan(house, entity_code="DE", deal_ref="7", state="compensated")

        assert house.post(f"/v1/deals/{plan_id}:provision").json()["state"] == "ready"

    def test_a_blocked_plan_names_every_blocker(self, house: House) -> None:
        blockers = [{"code": "deal.amount_missing"}, {"code": "deal.client_missing"}]
        plan_id = add_plan(
            house, entity_code="DE", deal_ref="7", state="blocked", blockers=blockers
        )

        answer = house.post(f"/v1/deals/{plan_id}:provision")

        assert answer.status_code == 409
        assert "deal.amount_missing, deal.client_missing" in answer.json()["detail"]
        listed = house.get("/v1/deals", state="blocked").json()["deals"]
        assert listed[0]["blockers"] == blockers


class TestClients:
    @pytest.fixture
    def asked(self, house: House) -> UUID:
        """Ask which client a company of the CRM is."""
        _add_company(house)
        client_id = house.rows("SELECT client_id FROM client")[0]["client_id"]
        rows = house.rows(
            "INSERT INTO case_file (reason, owner_queue, thing_kind, thing_key, opened_at,"
            " correlation_id, details) VALUES ('client.same_client_unclear', 'client_steward',"
            " 'client', 'sales:9', %s, 'c', %s) RETURNING case_id",
            NOW, Jsonb({"candidates": f"{client_id} (93)"}),
        )  # fmt: skip
        case_id: UUID = rows[0]["case_id"]
        return case_id

    def test_are_shown_beside_the_record(self, house: House, asked: UUID) -> None:
        shown = house.get(f"/v1/cases/{asked}/clients").json()

        assert shown["record"]["name"] == "Nordwind"
        assert [(each["name"], each["score"]) for each in shown["candidates"]] == [
            ("Nordwind AG", 93)
        ]

    def test_are_answered_as_a_pair_and_the_answer_is_taken_back(
        self, house: House, asked: UUID
    ) -> None:
        (waits,) = house.get("/v1/same-client").json()["pairs"]
        pair = house.get(f"/v1/same-client/{asked}").json()
        body = {"client_id": pair["right"]["client_id"], "answer": "same", "reason": "by phone"}
        said = house.post(f"/v1/same-client/{asked}:answer", body)

        assert (waits["case_id"], waits["reason"]) == (str(asked), "client.same_client_unclear")
        assert pair["left"]["records"][0] == {
            "connection_key": "sales", "source_ref": "9", "url": None,
        }  # fmt: skip
        assert {each["field"]: each["agrees"] for each in pair["compared"]}["name"] is True
        assert said.json() == {"case_id": str(asked), "answer": "same", "waits_for_second": True}
        assert house.get("/v1/same-client").json()["pairs"] == []
        assert house.post("/v1/same-client:undo").json()["answer"] == "undone"
        assert house.rows("SELECT state FROM proposal") == [{"state": "rejected"}]
        assert house.post("/v1/same-client:undo").status_code == 409

    def test_become_one_and_two_again_and_are_explained(self, house: House) -> None:
        first = house.rows("SELECT client_id FROM client")[0]["client_id"]
        twin = house.rows(
            "INSERT INTO client (recorded_at) VALUES (%s) RETURNING client_id", NOW
        )[0]["client_id"]  # fmt: skip
        house.rows(
            "INSERT INTO client_version (client_id, name, name_key, domain, is_active, recorded_at)"
            " VALUES (%s, 'Nord', 'nord', 'nord.example', true, %s) RETURNING 1 AS one", twin, NOW,
        )  # fmt: skip
        into = {"into": str(first), "reason": "one firm"}

        merged = house.post(f"/v1/clients/{twin}:merge", into)
        again = house.post(f"/v1/clients/{twin}:merge", into)
        fields = house.get(f"/v1/clients/{twin}/fields").json()
        found = {each["field"]: (each["value"], each["because"]) for each in fields["fields"]}
        back = house.post(f"/v1/clients/{twin}:unmerge", _BECAUSE)

        assert (merged.status_code, again.status_code) == (200, 409)
        assert merged.json()["proposal_id"] is None
        assert fields["client_id"] == str(first)
        assert (found["name"], found["domain"]) == (
            ("Nordwind AG", "kept"),
            ("nord.example", "kept"),
        )
        assert [each["reason"] for each in fields["merges"]] == ["one firm"]
        assert back.status_code == 200
        alone = house.get(f"/v1/clients/{first}/fields").json()
        assert {each["field"]: each["value"] for each in alone["fields"]}["domain"] is None
        assert alone["merges"][0]["undone_by"] == "ann"
        assert house.post(f"/v1/clients/{UUID(int=7)}:unmerge", _BECAUSE).status_code == 404

    def test_are_decided_by_two_people(self, house: House, asked: UUID) -> None:
        client_id = house.rows("SELECT client_id FROM client")[0]["client_id"]
        body = {"client_id": str(client_id), "reason": "the same register number"}

        proposed = house.post(f"/v1/cases/{asked}:same-client", body)
        address = f"/v1/proposals/{proposed.json()['proposal_id']}:approve"
        own = house.post(address, _BECAUSE)
        before = house.rows("SELECT 1 AS one FROM crosswalk WHERE source_ref = '9'")
        done = house.post(address, _BECAUSE, key="de-second")

        assert (proposed.status_code, own.status_code) == (202, 409)
        assert before == []
        assert done.json()["things"] == 1
        link = house.rows("SELECT our_id, because FROM crosswalk WHERE source_ref = '9'")
        assert link == [{"our_id": client_id, "because": "steward:bob"}]
        told = house.rows(
            "SELECT actor, data ->> 'proposed_by' AS proposed_by FROM audit"
            " WHERE action = 'client.same_client_decided'"
        )
        assert told == [{"actor": "bob", "proposed_by": "ann"}]
        assert house.rows("SELECT state FROM case_file") == [{"state": "closed"}]

    def test_a_record_that_changed_is_looked_at_again(self, house: House, asked: UUID) -> None:
        body = {"client_id": None, "reason": "nobody knows them"}
        proposed = house.post(f"/v1/cases/{asked}:same-client", body).json()
        house.rows("UPDATE source_version SET version = 2 RETURNING version")

        answer = house.post(
            f"/v1/proposals/{proposed['proposal_id']}:approve", _BECAUSE, key="de-second"
        )

        assert answer.status_code == 409
        assert "changed since it was proposed" in answer.json()["detail"]
        assert house.rows("SELECT state FROM proposal") == [{"state": "proposed"}]

    def test_a_client_that_has_a_record_there_is_not_taken(self, house: House, asked: UUID) -> None:
        client_id = house.rows("SELECT client_id FROM client")[0]["client_id"]
        house.rows(
            "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
            " VALUES ('sales', 'client', '8', %s, 'test', %s) RETURNING our_id",
            client_id, NOW,
        )  # fmt: skip

        answer = house.post(
            f"/v1/cases/{asked}:same-client", {"client_id": str(client_id), "reason": "x"}
        )

        assert answer.status_code == 409
        assert "is sales:8 already" in answer.json()["detail"]

    def test_a_case_about_something_else_asks_nothing(self, house: House, held: UUID) -> None:
        answer = house.post(f"/v1/cases/{held}:same-client", {"client_id": None, "reason": "x"})

        assert answer.status_code == 404


class TestDrifts:
    def test_say_whose_the_field_is_and_who_tried(self, house: House) -> None:
        house.rows(
            "INSERT INTO drift (noun, our_id, field, written_by, owner_kind, since)"
            " SELECT 'client', client_id, 'vat_number', 'sales', 'erp', %s FROM client"
            " RETURNING field",
            NOW,
        )

        (told,) = house.get("/v1/drifts").json()["drifts"]

        assert (told["name"], told["field"]) == ("Nordwind AG", "vat_number")
        assert (told["written_by"], told["owner_key"], told["ended_at"]) == ("sales", "books", None)
        assert house.get("/v1/drifts", key="blind").json() == {"drifts": []}


class TestClosing:
    def test_releases_and_asks_for_the_invoice(self, house: House) -> None:
        contract_id = _make_ready(house, house.project, "ready")
        address = f"/v1/contracts/{contract_id}/periods/2026-10"

        too_early = house.post(f"{address}:draft")
        released = house.post(f"{address}:release", {})
        asked = house.post(f"{address}:draft")

        assert too_early.status_code == 409
        assert released.status_code == 200, released.text
        assert asked.status_code == 202
        work = house.rows("SELECT kind, subject FROM work_item")
        assert [row["kind"] for row in work] == ["draft_invoice"]
        assert work[0]["subject"].startswith(str(contract_id))

    def test_an_incomplete_contract_needs_a_reason(self, house: House) -> None:
        contract_id = _make_ready(house, house.project, "at_risk")
        address = f"/v1/contracts/{contract_id}/periods/2026-10:release"

        without = house.post(address, {})
        with_reason = house.post(address, {"carry_reason": "two hours wait for the client"})

        assert without.status_code == 409
        assert with_reason.json()["carried_seconds"] == 7200

    def test_needs_the_scope(self, house: House) -> None:
        contract_id = _make_ready(house, house.project, "ready")

        answer = house.post(
            f"/v1/contracts/{contract_id}/periods/2026-10:release", {}, key="reader"
        )

        assert (answer.status_code, answer.json()["code"]) == (403, "key.scope_missing")


class TestPeriods:
    @pytest.fixture
    def address(self, house: House, held: UUID) -> str:
        rows = house.rows("SELECT period_id FROM fiscal_period WHERE entity_code = 'DE'")
        return f"/v1/periods/{rows[0]['period_id']}"

    def test_tell_what_still_moves(self, house: House, address: str) -> None:
        listed = house.get("/v1/periods").json()["periods"]
        shown = house.get(address).json()

        assert [(each["entity_code"], each["state"]) for each in listed] == [("DE", "open")]
        assert [(each["what"], each["seconds"]) for each in shown["in_flight"]] == [("held", 3600)]

    def test_are_closed_and_opened_again_by_two_people(self, house: House, address: str) -> None:
        def second(answer: Response) -> Response:
            proposal = answer.json()["proposal_id"]
            return house.post(f"/v1/proposals/{proposal}:approve", _BECAUSE, key="de-second")

        silent = house.post(f"{address}:close", {})
        closing = house.post(f"{address}:close", _BECAUSE)
        twice = house.post(f"{address}:close", _BECAUSE)
        own = house.post(f"/v1/proposals/{closing.json()['proposal_id']}:approve", _BECAUSE)
        closed = second(closing)
        reopened = second(house.post(f"{address}:reopen", _BECAUSE))

        assert (silent.status_code, closing.status_code, twice.status_code) == (409, 202, 409)
        assert own.status_code == 409
        assert (closed.json()["things"], reopened.json()["things"]) == (1, 1)
        states = house.rows("SELECT state FROM fiscal_period_state ORDER BY recorded_at, state")
        assert [row["state"] for row in states] == ["closed", "open"]

    def test_of_another_legal_entity_do_not_exist(self, house: House, address: str) -> None:
        assert house.get(address, key="uk").status_code == 404
        answer = house.post(f"{address}:close", _BECAUSE, key="uk")
        assert (answer.status_code, answer.json()["code"]) == (404, "period.unknown")


class TestReleases:
    @pytest.fixture
    def draft_id(self, house: House) -> int:
        rows = house.rows(
            "INSERT INTO release (title, proposed_by, proposed_at, reason)"
            " VALUES ('stricter', 'ann', %s, 'a test') RETURNING release_id",
            NOW,
        )
        return int(rows[0]["release_id"])

    def test_are_listed(self, house: House, draft_id: int) -> None:
        listed = house.get("/v1/proposals").json()["releases"]

        assert [(each["release_id"], each["proposed_by"]) for each in listed] == [(draft_id, "ann")]

    def test_decide_for_every_entity_or_do_not_exist(self, house: House, draft_id: int) -> None:
        assert house.post(f"/v1/releases/{draft_id}:approve", key="de-second").status_code == 404
        assert house.post(f"/v1/releases/{draft_id}:approve", key="all").status_code == 200
        state = house.rows("SELECT approved_by FROM release WHERE state = 'current'")
        assert state == [{"approved_by": "dan"}]


class TestPausing:
    def test_needs_an_administrator(self, house: House) -> None:
        assert house.post("/v1/connections/books:pause", _BECAUSE).status_code == 403

    def test_pauses_and_resumes(self, house: House) -> None:
        paused = house.post("/v1/connections/books:pause", _BECAUSE, key="all")
        shown = {
            each["connection_key"]: each["paused"]
            for each in house.get("/v1/connections").json()["connections"]
        }
        resumed = house.post("/v1/connections/books:resume", _BECAUSE, key="all")

        assert paused.json() == {"connection_key": "books", "paused": True}
        assert shown == {"books": True, "clock": False, "sales": False}
        assert resumed.json()["paused"] is False

    def test_an_unknown_connection_is_told(self, house: House) -> None:
        answer = house.post("/v1/connections/none:pause", _BECAUSE, key="all")

        assert (answer.status_code, answer.json()["code"]) == (404, "connection.unknown")


def _make_ready(house: House, project: dict[str, object], state: str) -> UUID:
    contract_id = project["contract_id"]
    held = {"code": "readiness.hours_held", "weight": "risk", "seconds": 7200, "amount": "300.00"}
    blockers = [] if state == "ready" else [held]
    house.rows(
        "INSERT INTO readiness (contract_id, period_id, entity_code, state, computed_at, deadline_at,"
        " currency, seconds, ledger_amount, expected_amount, rounding_amount, waiting_seconds,"
        " waiting_amount, held_seconds, held_amount, carried_seconds, carried_amount, checks_passed,"
        " blockers, not_checked) SELECT %s, period_id, entity_code, %s, %s, cut_off_at, 'EUR', 3600, %s,"
        " %s, 0, 0, 0, 7200, 300, 0, 0, 1, %s, '[]' FROM fiscal_period WHERE entity_code = %s"
        " RETURNING contract_id",
        contract_id, state, NOW, Decimal(150), Decimal(150), Jsonb(blockers),
        project["entity_code"],
    )  # fmt: skip
    assert isinstance(contract_id, UUID)
    return contract_id


def _add_company(house: House) -> None:
    house.rows(
        "UPDATE connection SET kind = 'crm' WHERE connection_key = 'sales' RETURNING connection_key"
    )
    data: dict[str, Any] = {
        "name": "Nordwind", "vat_number": None, "street": None, "postal_code": None, "city": None,
        "country_code": None, "domain": None, "parent_ref": None, "is_active": True, "extras": {},
    }  # fmt: skip
    house.rows(
        "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version,"
        " is_newest, noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id,"
        " correlation_id) VALUES ('sales', 0, 'companies', '9', 1, true, 'Client', %s, false, 'h', 1,"
        " %s, 1, 'c') RETURNING version",
        Jsonb(data), NOW,
    )  # fmt: skip

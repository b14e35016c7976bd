"""One pair after the other: the page, the exception and the command decide the very same thing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW
from tests.support.target import FixedClock, OneConnector

from tieline.services.system import System
from tieline.services.workday import Workday

from .conftest import House

_TWIN = UUID(int=1)


@pytest.fixture
def town(firm: House) -> House:
    """Let a second client look like the first, and a company of the CRM like both."""
    firm.rows(
        "INSERT INTO client (client_id, recorded_at) VALUES (%s, %s) RETURNING 1 AS one", _TWIN, NOW
    )
    firm.rows(
        "INSERT INTO client_version (client_id, name, name_key, city, country_code, is_active, recorded_at)"
        " VALUES (%s, 'NORDWIND A.G.', 'nordwind', 'Hamburg', 'DE', true, %s) RETURNING 1 AS one",
        _TWIN, NOW,
    )  # fmt: skip
    data: dict[str, Any] = {
        "name": "Nordwind", "vat_number": None, "street": None, "postal_code": None, "city": "Kiel",
        "country_code": None, "domain": None, "parent_ref": None, "is_active": True, "extras": {},
    }  # fmt: skip
    firm.rows(
        "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version, is_newest,"
        " noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id, correlation_id)"
        " VALUES ('sales', 0, 'companies', '9', 1, true, 'Client', %s, false, 'h', 1, %s, 1, 'c')"
        " RETURNING version",
        Jsonb(data), NOW,
    )  # fmt: skip
    system = SimpleNamespace(
        database=firm.worker, clock=FixedClock(NOW), connectors=OneConnector(None)
    )
    Workday(system=cast(System, system)).keep_register()
    return firm


def _case(town: House, reason: str) -> UUID:
    (row,) = town.rows(
        "SELECT case_id FROM case_file WHERE reason = %s AND state = 'open'", f"client.{reason}"
    )
    case_id: UUID = row["case_id"]
    return case_id


class TestThePage:
    def test_decides_two_clients_at_once_and_takes_it_back(self, town: House) -> None:
        ann, case_id = town.browser("ann"), _case(town, "duplicate_suspected")
        first = town.rows("SELECT client_id FROM client WHERE client_id <> %s", _TWIN)[0][
            "client_id"
        ]
        answer = {"case": str(case_id), "client": str(first)}

        shown = ann.get("/same-client", case=str(case_id)).text
        assert "<strong>2</strong>" in shown
        assert "NORDWIND A.G." in shown
        assert "Hafenstr. 1" in shown
        assert "It happens at once" in shown
        assert 'value="same" data-key="s"' in shown
        assert str(case_id) in ann.get(f"/exceptions/{case_id}").text

        ann.send("/same-client/answer", **answer, answer="same")
        assert town.rows("SELECT redirect_to FROM client WHERE client_id = %s", _TWIN) == [
            {"redirect_to": first}
        ]
        assert ann.send("/same-client/answer", **answer, answer="same").status_code == 409

        back = ann.send("/same-client/undo")
        assert town.rows("SELECT redirect_to FROM client WHERE client_id = %s", _TWIN) == [
            {"redirect_to": None}
        ]
        again = _case(town, "duplicate_suspected")
        assert back.headers["location"] == f"/same-client?case={again}&done=pair_undone"

        answer["case"] = str(again)
        ann.send("/same-client/answer", **answer, answer="later")
        assert "1 of them put off" in ann.get("/same-client").text
        ann.send("/same-client/answer", **answer, answer="different", reason="two owners")
        assert "<strong>1</strong>" in ann.get("/same-client").text
        assert town.rows("SELECT is_same, reason FROM client_decision WHERE undone_at IS NULL") == [
            {"is_same": False, "reason": "two owners"}
        ]

    def test_asks_about_a_records_candidates_one_by_one(self, town: House) -> None:
        ann, bob, case_id = (
            town.browser("ann"),
            town.browser("bob"),
            _case(town, "same_client_unclear"),
        )
        case = {"case": str(case_id)}

        assert "the likeliest of 2" in ann.get("/same-client", case=str(case_id)).text
        ann.send("/same-client/answer", **case, client=str(_TWIN), answer="different")
        assert "the likeliest of" not in ann.get("/same-client", case=str(case_id)).text
        first = town.rows("SELECT client_id FROM client WHERE client_id <> %s", _TWIN)[0][
            "client_id"
        ]
        refused = ann.send("/same-client/answer", **case, client=str(_TWIN), answer="same")
        proposed = ann.send("/same-client/answer", **case, client=str(first), answer="same")
        assert (refused.status_code, proposed.status_code) == (409, 303)
        assert "done=pair_proposed" in proposed.headers["location"]
        assert "It was proposed" in ann.get(f"/exceptions/{case_id}").text
        assert str(case_id) not in bob.get("/same-client").text

        ann.send("/same-client/undo")
        assert town.rows("SELECT state FROM proposal") == [{"state": "rejected"}]
        ann.send("/same-client/answer", **case, client=str(first), answer="same")
        (waits,) = town.rows("SELECT proposal_id FROM proposal WHERE state = 'proposed'")
        bob.send(f"/approvals/{waits['proposal_id']}/approve")
        assert town.rows("SELECT our_id FROM crosswalk WHERE source_ref = '9'") == [
            {"our_id": first}
        ]

    def test_is_only_looked_at_without_a_role(self, town: House) -> None:
        eve, case_id = town.browser("eve"), _case(town, "duplicate_suspected")

        assert 'data-key="s"' not in eve.get("/same-client").text
        for address in ("/same-client/answer", "/same-client/undo"):
            told = {"case": str(case_id), "client": str(_TWIN), "answer": "same"}
            assert eve.send(address, **told).status_code == 403
        assert town.browser("fay").get("/same-client", case=str(case_id)).status_code == 404

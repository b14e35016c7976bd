"""A record finds its client by the mechanism of the dedupe: identifiers decide, a score links or asks."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from tests.flows.test_clients import Town

from tieline.register import find_weights, read_looks, read_scores
from tieline.runtime.database import Database
from tieline.services.client_dedupe import dedupe

_HELD = (
    "Kelloran Ports GmbH",
    "Ostsee Reederei AG",
    "Brandt Maschinenbau AG",
    "Luminar Optik GmbH",
)
_VAT = "DE811907906"


@pytest.fixture
def town(worker_database: Database) -> Town:
    """Let an ERP hold four firms at different places."""
    town = Town(worker_database)
    town.rows(
        "INSERT INTO connection (connection_key, system, kind, mode, config, created_at)"
        " SELECT k, 'hubspot', 'crm', 'act', '{}', clock_timestamp()"
        " FROM unnest(ARRAY['shop', 'desk', 'mail', 'other']) k RETURNING connection_key"
    )
    for number, name in enumerate(_HELD, start=10):
        town.say(
            "books", str(number), name=name, street=f"Hafenweg {number}", city=f"Kiel{number}",
            postal_code=f"2410{number}", country_code="DE",
        )  # fmt: skip
    town.say(
        "books", "20", name="Vorwerk & Talheim KG", vat_number=_VAT, country_code="DE", city="Ulm",
        domain="vorwerk-talheim.example", extras={"phone": "+49 731 5550123", "lei": "213800KUD8LAJWSQ9D15"},
    )  # fmt: skip
    return town


def _asked(town: Town) -> dict[str, str]:
    rows = town.rows(
        "SELECT thing_key, reason FROM case_file WHERE state = 'open' AND reason LIKE 'client.%%'"
    )
    return {row["thing_key"]: row["reason"] for row in rows}


def _client_of(town: Town, key: str, source_ref: str) -> Any:
    rows = town.rows(
        "SELECT our_id, because FROM crosswalk WHERE (connection_key, source_ref) = (%s, %s)"
        " AND superseded_at IS NULL",
        key,
        source_ref,
    )
    return (rows[0]["our_id"], rows[0]["because"]) if rows else None


class TestARecord:
    def test_is_scored_as_the_dedupe_of_a_file_scores_it(self, town: Town, tmp_path: Path) -> None:
        town.say("sales", "1", name="BRANDT Maschinen-Bau", city="Kiel12", country_code="DE")
        told = town.rows(
            "SELECT connection_key || ':' || source_ref AS record_id, connection_key AS source,"
            " data ->> 'name' AS name, data ->> 'street' AS address, data ->> 'city' AS city,"
            " data ->> 'postal_code' AS postal_code, data ->> 'country_code' AS country,"
            " data ->> 'vat_number' AS tax_id, data -> 'extras' ->> 'phone' AS phone,"
            " '@' || (data ->> 'domain') AS email FROM source_version WHERE noun = 'Client'"
            " AND (connection_key, source_ref) <> ('books', '1')"
            " UNION ALL SELECT client_id::text, '', name, street, city, postal_code, country_code, vat_number,"
            " NULL, NULL FROM client_version WHERE superseded_at IS NULL",
        )
        town.keep()

        with town.worker.transaction() as connection:
            (score,) = read_scores(connection, subject="record:sales:1")
            weights = find_weights(connection)
        assert weights is not None
        path = tmp_path / "clients.csv"
        with path.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, list(told[0]))
            writer.writeheader()
            writer.writerows({name: value or "" for name, value in row.items()} for row in told)
        (pair,) = dedupe(path, labels=0, say=lambda _: None).pairs
        assert {pair.left, pair.right} == {"books:12", "sales:1"}
        assert score.client_id == _client_of(town, "books", "12")[0]
        assert score.score == round(100 * pair.score)
        assert {name: float(told) for name, told in score.told.items()} == pair.weights
        assert score.weights_version == weights.version

    def test_links_by_what_names_one_firm_and_by_nothing_that_others_have(self, town: Town) -> None:
        town.keep()
        held, _ = _client_of(town, "books", "20")
        same = {"name": "Talheim", "country_code": "DE"}
        town.say("sales", "1", **same, vat_number="DE 811.907.906")
        town.say("shop", "1", **same, extras={"lei": "213800kud8lajwsq9d15"})
        town.say(
            "desk", "1", name="VORWERK + TALHEIM", domain="https://www.vorwerk-talheim.example/"
        )
        town.say(
            "mail",
            "1",
            name="Vorwerk & Talheim",
            extras={"phone": "0731/5550123"},
            country_code="DE",
        )
        # A slip of the pen is no number, a group shares its domain, and anybody has a page there.
        town.say("other", "1", name="Kranich Verlag", vat_number="DE811907907", country_code="DE")
        town.say("other", "2", name="Talheim Reisen", domain="vorwerk-talheim.example")
        town.keep()

        assert _client_of(town, "sales", "1") == (held, "identifier")
        assert _client_of(town, "shop", "1") == (held, "identifier")
        assert _client_of(town, "desk", "1") == (held, "identifier")
        assert _client_of(town, "mail", "1") == (held, "identifier")
        assert _client_of(town, "other", "1")[1] == "created"
        assert (_client_of(town, "other", "2") or (None, ""))[0] != held
        with town.worker.transaction() as connection:
            assert read_looks(connection)["record:shop:1"].because == "the same LEI"

        # A record that is gone in its system keeps its link: the next one is no first one there.
        town.rows(
            "UPDATE source_version SET is_deleted = true WHERE (connection_key, source_ref) = ('sales', '1')"
            " RETURNING version"
        )
        town.say("sales", "2", **same, vat_number=_VAT)
        town.keep()
        assert _client_of(town, "sales", "2") is None
        assert _asked(town)["sales:2"] == "client.duplicate_in_source"

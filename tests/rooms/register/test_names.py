"""Names and tax numbers as they are compared."""

from __future__ import annotations

import pytest

from tieline.register import name_key, vat_key


class TestANameKey:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Isarwerk Versicherung AG", "ISARWERK VERSICHERUNG"),
            ("Thornbury Retail Ltd.", "Thornbury Retail Limited"),
            ("Société Générale S.A.", "Societe Generale"),
            ("Straßenbau GmbH & Co. KG", "Strassenbau"),
        ],
    )
    def test_leaves_legal_form_case_and_accents_aside(self, one: str, other: str) -> None:
        assert name_key(one) == name_key(other)

    def test_tells_firms_apart(self) -> None:
        assert name_key("Nordlicht Logistik GmbH") != name_key("Nordlicht Medien GmbH")

    def test_of_a_legal_form_alone_is_not_empty(self) -> None:
        assert name_key("GmbH") != ""


class TestATaxNumberKey:
    def test_is_the_same_with_and_without_its_country(self) -> None:
        assert vat_key("DE 811.907.980", country_code="DE") == vat_key(
            "811907980", country_code="DE"
        )

    def test_of_nothing_is_none(self) -> None:
        assert vat_key(" ", country_code="DE") is None

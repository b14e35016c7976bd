"""Which records are the same client, while nobody has said anything and after somebody has."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import product

import pytest

from tieline.register.likeness import Matched, gather, match, pairing
from tieline.register.likeness.comparing import word_likeness
from tieline.register.likeness.wording import (
    country_code,
    email_parts,
    phone_key,
    split_name,
    tax_key,
)

_TOWNS = ("Genova", "Kiel", "Lyon", "Porto", "Brno", "Turku", "Izmir", "Graz", "Cork", "Gdansk")
_TRADES = ("Maritime", "Textile", "Optics", "Foods", "Timber", "Energy", "Press", "Freight")
_FORMS = ("GmbH", "S.p.A.", "Ltd", "S.A.", "Oy", "a.s.", "B.V.")


def made_firms(count: int, *, seed: int) -> list[dict[str, str]]:
    """Return made-up firms."""
    draw = random.Random(seed)
    syllables = "ka lo mi ter ven dor sa lin bru gos pel rax".split()
    firms = []
    for _ in range(count):
        word = "".join(draw.sample(syllables, 3)).capitalize()
        firms.append(
            {
                "name": f"{word} {draw.choice(_TRADES)} {draw.choice(_FORMS)}",
                "address": f"{''.join(draw.sample(syllables, 2))} street {draw.randint(1, 99)}",
                "city": draw.choice(_TOWNS),
            }
        )
    return firms


def written_again(firm: Mapping[str, str], draw: random.Random) -> dict[str, str]:
    """Return a firm as another system writes it."""
    name = firm["name"].rsplit(" ", 1)[0].upper()
    place = draw.randrange(1, len(name) - 1)
    slipped = name[:place] + name[place + 1 :] if draw.random() < 0.5 else name
    address = firm["address"].replace("street", "str.") if draw.random() < 0.8 else ""
    return {"name": slipped, "address": address, "city": firm["city"]}


def _pairs_in_order(found: Matched) -> list[tuple[int, int]]:
    return list(zip(found.left.tolist(), found.right.tolist(), strict=True))


def _pairs(found: Matched) -> set[tuple[int, int]]:
    return set(_pairs_in_order(found))


class TestMatching:
    def test_finds_firms_written_again_and_hardly_anything_else(self) -> None:
        draw = random.Random(11)
        firms = made_firms(300, seed=7)
        rows = [*firms, *(written_again(firm, draw) for firm in firms[:90])]
        true = {(place, 300 + place) for place in range(90)}

        found = match(gather(rows), say=lambda _: None)

        said = _pairs(found)
        assert len(said & true) >= 84
        assert len(said - true) <= 3

    def test_glances_at_pairs_that_are_too_many_to_compare(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        draw = random.Random(12)
        firms = made_firms(200, seed=4)
        records = gather([*firms, *(written_again(firm, draw) for firm in firms)])
        true = {(place, 200 + place) for place in range(200)}

        whole = match(records, say=lambda _: None)
        monkeypatch.setattr(pairing, "MAYBE_MAX", 0)
        glanced = match(records, say=lambda _: None)

        assert glanced.candidates * 2 < whole.candidates
        assert len(_pairs(glanced) & true) >= 190
        assert len(_pairs(glanced) - true) <= 4

    def test_learns_from_decided_pairs_without_forgetting_the_rest(self) -> None:
        draw = random.Random(12)
        firms = made_firms(200, seed=8)
        rows = [*firms, *(written_again(firm, draw) for firm in firms)]

        found = match(
            gather(rows),
            say=lambda _: None,
            labels=60,
            is_same=lambda one, other: one % 200 == other % 200,
        )

        true = {(place, 200 + place) for place in range(200)}
        assert len(found.asked) == 60
        assert len(_pairs(found) & true) >= 195
        assert len(_pairs(found) - true) <= 4

    def test_does_not_take_an_agents_house_for_one_client(self) -> None:
        house = {"address": "Harbour Road 1", "city": "Cork", "phone": "+353 21 4270000"}
        firms = [{**firm, **house} for firm in made_firms(120, seed=9)]

        found = match(gather(firms), say=lambda _: None)

        assert len(found.left) <= 2

    def test_leaves_firms_of_other_names_in_one_house_to_a_steward(self) -> None:
        draw = random.Random(14)
        firms = made_firms(400, seed=6)
        for place, firm in enumerate(firms):
            firm |= {"phone": f"+353 21 {4270000 + place}", "source": "crm"}
        house = ("address", "city", "phone")
        guests = [
            {"name": name, "source": "erp", **{field: firm[field] for field in house}}
            for name, firm in zip(("Umbra", "Wyse & Holt", "Fjord Quarry"), firms, strict=False)
        ]
        again = [
            {
                **written_again(firm, draw),
                "source": "erp",
                **{field: firm[field] for field in house},
            }
            for firm in firms[3:300]
        ]

        found = match(gather([*firms, *guests, *again]), say=lambda _: None)

        linked = {
            pair for pair, may in zip(_pairs_in_order(found), found.may_link, strict=True) if may
        }
        assert {(place, 400 + place) for place in range(3)} <= _pairs(found) - linked
        assert len(linked & {(place, 400 + place) for place in range(3, 300)}) >= 280

    def test_leaves_the_units_of_an_institution_apart(self) -> None:
        draw = random.Random(3)
        units = ("Department of Physics", "Department of Law", "Library", "School of Medicine")
        towns = (*_TOWNS, "Siena", "Durham", "Ghent", "Lund", "Ulm")
        rows, unit_of = [], []
        for place, (town, unit) in enumerate(product(towns, units)):
            names = [f"{town} College of Art, {unit}", f"{unit}, {town} Art College"]
            for name in names[: 1 + place % 2]:
                told = {
                    "postal_code": str(1000 + 7 * towns.index(town)),
                    "phone": f"+353 21 {4270000 + 37 * place}",
                    "email": f"{unit.lower()[-3:]}@{town.lower()}.ac.example",
                }
                kept = {field: told[field] for field in told if draw.random() > 0.4}
                rows.append({"name": name, "address": "5 College Road", "city": town, **kept})
                unit_of.append(place)

        found = match(gather(rows), say=lambda _: None)

        linked = [
            pair for pair, may in zip(_pairs_in_order(found), found.may_link, strict=True) if may
        ]
        assert len(linked) >= 25
        assert [pair for pair in linked if unit_of[pair[0]] != unit_of[pair[1]]] == []

    def test_leaves_a_family_and_two_tax_numbers_to_a_steward(self) -> None:
        draw = random.Random(4)
        firsts = "Javier Lucia Manuel Raquel Pilar David Isabel Antonio".split()
        lasts = "Morales Castro Serrano Gil Navarro Ramos Torres Blanco Molina Ortega Rubio".split()
        people = [
            {
                **firm,
                "name": " ".join((draw.choice(firsts), *draw.sample(lasts, 2))),
                "phone": f"+353 21 {4270000 + 37 * place}",
            }
            for place, firm in enumerate(made_firms(200, seed=8))
        ]
        brothers = [
            {**each, "name": f"Marta {each['name'].split(maxsplit=1)[1]}"} for each in people[:5]
        ]
        again = [{**each, "name": each["name"].upper()} for each in people[5:60]]
        for number in range(3):
            people[5 + number]["tax_id"] = f"5248153{number}F"
            again[number]["tax_id"] = f"1781788{number}Y"

        found = match(gather([*people, *brothers, *again]), say=lambda _: None)

        linked = {
            pair for pair, may in zip(_pairs_in_order(found), found.may_link, strict=True) if may
        }
        assert {(place, 200 + place) for place in range(8)} & linked == set()
        assert len(linked & {(place, 200 + place) for place in range(8, 60)}) >= 50

    def test_links_one_payer_by_whatever_name(self) -> None:
        firms = made_firms(150, seed=6)
        for place, firm in enumerate(firms):
            firm["tax_id"] = f"DE8119{place:05}"
            firm["phone"] = f"+353 21 {4270000 + place}"
        renamed = [
            {**firm, "name": name} for firm, name in zip(firms, ("Umbra", "Wyse"), strict=False)
        ]

        found = match(gather([*firms, *renamed]), say=lambda _: None)

        assert {(0, 150), (1, 151)} <= {
            pair for pair, may in zip(_pairs_in_order(found), found.may_link, strict=True) if may
        }

    def test_tells_a_series_apart(self) -> None:
        series = [
            {"name": f"Kelloran Ports Fund {number}", "city": "Kiel"}
            for number in ("II", "III", "4")
        ]

        found = match(gather([*series, *made_firms(60, seed=3)]), say=lambda _: None)

        assert not _pairs(found) & {(0, 1), (0, 2), (1, 2)}

    def test_of_names_that_say_a_word_twice_is_of_the_others(self) -> None:
        subjects = ("Law", "Physics", "Music", "Botany", "History", "Geology")
        rows = [
            {"name": f"Chair of {subject} of the Faculty of Arts of Siena"} for subject in subjects
        ]
        again = [{"name": f"Siena Faculty of Arts, Chair of {each} of {each}"} for each in subjects]

        found = match(gather([*rows, *again]), say=lambda _: None)

        assert _pairs(found) <= {(place, place + 6) for place in range(6)}

    def test_says_the_same_whatever_order_the_records_come_in(self) -> None:
        draw = random.Random(13)
        firms = made_firms(80, seed=5)
        rows = [*firms, *(written_again(firm, draw) for firm in firms[:30])]
        order = list(range(len(rows)))
        draw.shuffle(order)

        straight = _pairs(match(gather(rows), say=lambda _: None))
        shuffled = _pairs(match(gather([rows[place] for place in order]), say=lambda _: None))

        back = {tuple(sorted((order[one], order[other]))) for one, other in shuffled}
        assert back == straight

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_of_hardly_any_records_finds_nothing_wrong(self, count: int) -> None:
        found = match(gather(made_firms(count, seed=1)), say=lambda _: None)

        assert len(found.left) == 0


class TestAName:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Straßenbau GmbH & Co. KG", "STRASSENBAU"),
            ("AB Volvo", "Volvo Aktiebolag"),
            ("ООО «Ромашка»", "Romashka"),
            ("Общество с ограниченной ответственностью Заря", "Zarya OOO"),
            ("株式会社日立", "日立"),
            ("삼성전자(주)", "삼성전자"),
            ("Koninklijke Philips N.V.", "KONINKLIJKE PHILIPS NV"),
            ("München Rück", "MUENCHEN RUECK"),
            ("PT Astra Tbk", "Astra"),
            ("Infosys Private Limited", "infosys"),
        ],
    )
    def test_is_the_same_without_form_script_and_accents(self, one: str, other: str) -> None:
        assert split_name(one)[0] == split_name(other)[0]

    def test_of_a_legal_form_alone_stays(self) -> None:
        assert split_name("GmbH")[0] == ("gmbh",)

    @pytest.mark.parametrize(
        ("one", "other"),
        [("international", "intl"), ("ericsson", "erics"), ("mohamed", "mhmd"), ("meyer", "meier")],
    )
    def test_has_words_that_are_alike(self, one: str, other: str) -> None:
        assert word_likeness(one, other) > 0

    @pytest.mark.parametrize(("one", "other"), [("north", "south"), ("12", "13"), ("rex", "max")])
    def test_has_words_that_are_not(self, one: str, other: str) -> None:
        assert word_likeness(one, other) == 0


class TestAValue:
    def test_is_the_same_telephone_however_it_is_dialed(self) -> None:
        assert phone_key("+49 (0)30 1234567", "DE") == phone_key("030/1234567", "DE")

    def test_is_the_same_country_by_code_and_name(self) -> None:
        assert {country_code(text) for text in ("AUT", "at", "Austria")} == {"AT"}

    def test_of_a_public_mailbox_names_no_firm(self) -> None:
        assert email_parts("A.B+bills@gmail.com") == ("a.b", "")

    def test_is_the_same_tax_number_with_its_country(self) -> None:
        assert tax_key("DE 811.907.980") == tax_key("811907980")

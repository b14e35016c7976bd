"""How projects stand, as a delivery manager sees it and takes it home."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from tests.rooms.casework.hand_made_firm import NOW

from .conftest import ANOTHER_NAME, House

_STAFFED = """
    WITH named AS (INSERT INTO subject (subject_id, kind, name, email, recorded_at)
                   SELECT person_id, 'person', '=1+1 Anna', 'anna@x.example', %(at)s FROM person),
         hr AS (INSERT INTO connection (connection_key, system, kind, mode) VALUES ('staff', 'filedrop', 'hr', 'observe')),
         linked AS (INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)
                    SELECT 'clock', 'project', 'p1', %(project)s, 'a test', %(at)s
                    UNION ALL SELECT 'clock', 'person', 'anna', person_id, 'a test', %(at)s FROM person),
         sold AS (UPDATE contract_line SET sold_seconds = 3600 RETURNING 1)
    INSERT INTO assignment (person_id, project_id, labor_category, starts_on, ends_on, recorded_at)
    SELECT person_id, %(project)s, 'Consultant', '2026-11-01', '2026-11-07', %(at)s FROM person
"""


def _staff(firm: House) -> None:
    values: dict[str, Any] = {"at": NOW, "project": firm.project["project_id"]}
    with firm.worker.transaction() as connection:
        connection.execute(_STAFFED, values)


class TestTheDeliveryPage:
    def test_says_why_it_is_empty(self, house: House) -> None:
        assert (
            "No project is running in your sight yet" in house.browser("ann").get("/delivery").text
        )

    def test_tells_hours_of_what_is_in_sight_and_who_to_assign_anew(self, firm: House) -> None:
        ann, cyd = firm.browser("ann"), firm.browser("cyd")
        before = ann.get("/delivery").text
        _staff(firm)

        page = ann.get("/delivery").text
        other = cyd.get("/delivery").text
        fitting = ann.get("/delivery", state="stray", words="p-de").text
        nothing = ann.get("/delivery", state="exceeded").text

        assert "Not checked in DE" in before
        assert "1.00</strong> <span>h sold in 1 running project" in page
        assert "=1+1 Anna" in page
        assert "Ends within 10 working days" in page
        assert "Books without an assignment" in page
        assert 'href="/connections#connection-staff"' in page
        assert "https://app.harvestapp.com/projects/p1" in page
        assert ANOTHER_NAME not in page
        assert "h over" in fitting
        assert "P-DE" not in other
        assert "No running contract fits these filters" in nothing
        assert ann.get("/delivery", approver="nobody").status_code == 409

    def test_gives_the_same_as_a_file(self, firm: House) -> None:
        _staff(firm)

        file = firm.browser("ann").get("/delivery.xlsx", words="P-DE")

        with zipfile.ZipFile(io.BytesIO(file.content)) as book:
            sheets = [name for name in book.namelist() if "sheets/sheet" in name]
            texts = [book.read(name).decode() for name in sheets]
        assert len(sheets) == 4
        assert all("<f>" not in text for text in texts)
        assert "<v>1</v>" in texts[1], "an hour is a number"
        assert "P-UK" not in "".join(texts)

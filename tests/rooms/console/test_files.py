"""What may go out as a file is seen, proposed and downloaded from the close page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.flows.test_fallback import Close
from tests.flows.test_time_validation import World
from tests.rooms.casework.hand_made_firm import NOW

from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns

from .conftest import Browser, House


class TestTheClosePage:
    def test_names_lines_that_are_not_taken_and_files_in_sight(self, firm: House) -> None:
        firm.rows(
            "UPDATE fiscal_period SET cut_off_at = %s::timestamptz + interval '2 hours' RETURNING 1 AS one",
            NOW,
        )
        firm.rows(
            "INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref, target_connection,"
            " noun, part, effect_no, kind, verdict_id, entry_id, entry_version, verdict_outcome, entity_code,"
            " period_id, project_id, seconds, amount, currency, work_class, correlation_id, planned_at, reason)"
            " SELECT gen_random_uuid(), connection_key, source_epoch, object, source_ref, target_connection, noun,"
            " 'more', 1, kind, verdict_id, entry_id, entry_version, verdict_outcome, entity_code, period_id,"
            " project_id, seconds, amount, currency, work_class, correlation_id, %s::timestamptz - interval '1 hour',"
            " 'write.not_executed' FROM effect WHERE noun = 'time_line' RETURNING 1 AS one",
            NOW,
        )
        firm.rows(
            "WITH p AS (INSERT INTO proposal (kind, object, entity_code, payload, proposed_by, proposed_at, reason)"
            " SELECT 'fallback.make', 'target:erp:' || code, code, '{}', 'ann', %s, 'down'"
            " FROM unnest(ARRAY['DE', 'UK']) code RETURNING proposal_id, entity_code)"
            " INSERT INTO import_file (file_name, target_connection, entity_code, proposal_id, reason, made_by,"
            " approved_by, made_at, valid_until, checksum, cover, lines, seconds)"
            " SELECT 'erp-' || p.entity_code || '.csv', (SELECT min(target_connection) FROM effect), p.entity_code,"
            " p.proposal_id, 'down', 'ann', 'bob', %s, %s::timestamptz + interval '1 day', 'x', '{}', 3, 10800 FROM p"
            " RETURNING 1 AS one",
            NOW, NOW, NOW,
        )  # fmt: skip

        page = firm.browser("ann").get("/close").text

        assert "erp-DE.csv" in page
        assert "erp-UK.csv" not in page
        assert "/close/files?target=books&amp;entity=DE&amp;period=2026-10" in page
        assert "entity=UK" not in page


@pytest.mark.sql
class TestAFile:
    """Of two hours that the books do not take, and of one that may stand there."""

    @pytest.fixture
    def close(self, house: House, database: Dsns, worker_database: Database) -> Iterator[Close]:
        owner = Database(database.owner, pool_max=2, application_name="test-owner").open()
        close = Close(World(owner, worker_database), "unique")
        close.book(a=3600, b=1800, c=900)
        close.move("INTENT", seconds=900)
        house.system.connectors = close.connectors
        house.system.clock.instant = close.world.clock.now()
        house.rows(
            "UPDATE person_login SET entities = '{HR-DE}' WHERE login IN ('ann', 'eve') RETURNING login"
        )
        yield close
        owner.close()

    def test_is_looked_at_proposed_made_and_downloaded(self, house: House, close: Close) -> None:
        ann = house.browser("ann")
        about = {"target": "tryton", "entity": "HR-DE"}
        page = ann.get("/close/files", **about).text
        assert ("<dd>2</dd>" in page, "Unconfirmed" in page) == (True, True)

        assert ann.send("/close/files", **about, reason="down since noon").status_code == 303
        assert "down since noon" in ann.get("/close/files", **about).text
        (proposal,) = house.rows("SELECT proposal_id FROM proposal WHERE kind = 'fallback.make'")
        file = close.approve(proposal["proposal_id"])

        shown = ann.get(f"/close/files/{file.file_name}").text
        assert (file.checksum in shown, "Download the file" in shown) == (True, True)
        answer = ann.get(f"/close/files/{file.file_name}/content")
        assert answer.content == close.content(file)
        assert answer.headers["content-disposition"].endswith(f'"{file.file_name}"')
        assert file.checksum in ann.get(f"/close/files/{file.file_name}/cover").text

    def test_is_nobodys_who_does_not_see_the_company_or_may_not_load(
        self, house: House, close: Close
    ) -> None:
        file = close.make()
        about = {"target": "tryton", "entity": "HR-DE"}

        def statuses(browser: Browser) -> list[int]:
            path = f"/close/files/{file.file_name}"
            return [
                browser.get(path).status_code,
                browser.get(f"{path}/content").status_code,
                browser.get(f"{path}/cover").status_code,
                browser.get("/close/files", **about).status_code,
                browser.send("/close/files", **about, reason="x").status_code,
            ]

        assert statuses(house.browser("cyd")) == [404, 404, 404, 409, 409]
        assert statuses(house.browser("eve")) == [200, 403, 200, 200, 403]
        house.rows("UPDATE import_file SET content = NULL RETURNING file_id")
        gone = house.browser("ann").get(f"/close/files/{file.file_name}/content")
        assert (gone.status_code, "kept no longer" in gone.text) == (404, True)

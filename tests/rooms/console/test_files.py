"""The close page says what may go out as a file, and which files are on their way."""

from __future__ import annotations

from tests.rooms.casework.hand_made_firm import NOW

from .conftest import House


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
        assert "tieline fallback make --target" in page
        assert "--entity DE --period 2026-10" in page
        assert "--entity UK" not in page

"""What lands is stored raw, and only a change of a material field is a version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tieline.canonical import Approval, TimeEntry
from tieline.intake import Landed, LandingPage, confirm_deletes, land
from tieline.runtime.database import Database
from tieline.sdk import RawRecord, Translated, Untranslatable

NOW = datetime(2026, 11, 3, 14, tzinfo=UTC)
Land = Callable[[Sequence[RawRecord]], Landed]

pytestmark = pytest.mark.sql


def _record(source_ref: str, seconds: int, *, minute: int | None = 0) -> RawRecord:
    return RawRecord(
        object="time_entries",
        source_ref=source_ref,
        body=f"{source_ref}|{seconds}|{minute}".encode(),
        source_at=None if minute is None else NOW + timedelta(minutes=minute),
    )


def _translate(record: RawRecord) -> Translated | Untranslatable:
    seconds = int(record.body.decode().split("|")[1])
    if seconds == 13:
        return Untranslatable(reason="time.field_missing", message="no person", field="user")
    return Translated(
        noun=TimeEntry(
            person_ref="p1",
            project_ref="pr",
            task_ref="t",
            labor_category=None,
            work_date=date(2026, 10, 5),
            zone="Europe/Berlin",
            seconds=seconds,
            quantum_seconds=36,
            started_at=None,
            ended_at=None,
            billable=True,
            approval=Approval.APPROVED,
            approval_word="locked",
            approver_ref=None,
            approved_at=None,
            created_at=None,
            narrative="built the thing",
        )
    )


def _land(
    database: Database,
    records: Sequence[RawRecord],
    *,
    translate: Callable[[RawRecord], Translated | Untranslatable] = _translate,
    translator: int = 0,
) -> Landed:
    return land(
        database,
        page=LandingPage(
            connection_key="harvest",
            source_epoch=0,
            stream="time_entries",
            kind="poll",
            records=records,
            cursor="c",
            correlation_id="x",
        ),
        translate=translate,
        translator=translator,
        material_key=b"key",
        now=NOW,
    )


@pytest.fixture
def land_page(worker_database: Database) -> Land:
    with worker_database.transaction() as connection:
        connection.execute(
            "INSERT INTO connection (connection_key, system, kind) VALUES ('harvest', 'harvest', 'time')"
        )

    return lambda records: _land(worker_database, records)


def _versions(database: Database) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        rows = connection.execute(
            "SELECT t.source_ref, v.version, v.is_newest, v.seconds, v.is_deleted"
            " FROM time_entry t JOIN time_entry_version v USING (entry_id) ORDER BY 1, 2"
        ).fetchall()
    return [tuple(row.values()) for row in rows]


def _count(database: Database, table: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(f"SELECT count(*) AS n FROM {table}").fetchone()
    assert row is not None
    return int(row["n"])


class TestLanding:
    def test_stores_the_same_bytes_and_the_same_content_once(
        self, worker_database: Database, land_page: Land
    ) -> None:
        land_page([_record("1", 3600), _record("2", 7200)])

        again = land_page([_record("1", 3600), _record("2", 7200)])

        assert again.versions == 0
        assert _count(worker_database, "raw_record") == 2

    def test_makes_three_versions_of_a_b_a(
        self, worker_database: Database, land_page: Land
    ) -> None:
        for minute, seconds in enumerate((3600, 1800, 3600)):
            land_page([_record("1", seconds, minute=minute)])

        assert _versions(worker_database) == [
            ("1", 1, False, 3600, False),
            ("1", 2, False, 1800, False),
            ("1", 3, True, 3600, False),
        ]

    def test_keeps_an_older_state_without_believing_it(
        self, worker_database: Database, land_page: Land
    ) -> None:
        land_page([_record("1", 3600, minute=5)])

        stale = land_page([_record("1", 1800, minute=1)])

        assert stale.versions == 0
        assert _versions(worker_database) == [
            ("1", 1, True, 3600, False),
            ("1", 2, False, 1800, False),
        ]

    def test_keeps_one_row_of_a_record_that_a_page_repeats(
        self, worker_database: Database, land_page: Land
    ) -> None:
        landed = land_page([_record("1", 3600, minute=1), _record("1", 1800, minute=2)])

        assert landed.versions == 1
        assert _versions(worker_database) == [("1", 1, True, 1800, False)]

    def test_fails_a_record_and_not_its_batch_and_heals_it_later(
        self, worker_database: Database, land_page: Land
    ) -> None:
        landed = land_page([_record("1", 13), _record("2", 3600)])

        assert (landed.versions, landed.untranslated) == (1, 1)
        assert _count(worker_database, "untranslated WHERE healed_at IS NULL") == 1
        land_page([_record("1", 1800, minute=1)])
        assert _count(worker_database, "untranslated WHERE healed_at IS NULL") == 0

    def test_keeps_names_and_narratives_out_of_the_versions(
        self, worker_database: Database, land_page: Land
    ) -> None:
        land_page([_record("1", 3600)])

        assert _count(worker_database, "narrative") == 1
        with worker_database.transaction() as connection:
            row = connection.execute("SELECT v::text AS text FROM time_entry_version v").fetchone()
        assert row is not None
        assert "built" not in row["text"]


class TestDeletes:
    def _confirm(self, database: Database, *, seen: set[str], gone: set[str]) -> tuple[int, bool]:
        found = confirm_deletes(
            database,
            connection_key="harvest",
            object="time_entries",
            seen=frozenset(("time_entries", ref) for ref in seen),
            is_gone=lambda source_ref: source_ref in gone,
            now=NOW,
            correlation_id="d",
        )
        return found.deleted, found.incident is not None

    def test_believes_a_missing_record_only_when_its_own_read_says_gone(
        self, worker_database: Database, land_page: Land
    ) -> None:
        land_page([_record("1", 3600), _record("2", 3600), _record("3", 3600)])

        assert self._confirm(worker_database, seen={"1"}, gone={"3"}) == (1, False)

        assert [row[0] for row in _versions(worker_database) if row[4]] == ["3"]

    def test_deletes_nothing_when_too_much_is_missing(
        self, worker_database: Database, land_page: Land
    ) -> None:
        refs = {str(number) for number in range(30)}
        land_page([_record(ref, 3600) for ref in sorted(refs)])

        assert self._confirm(worker_database, seen=set(), gone=refs) == (0, True)

    def test_lets_a_deleted_record_come_back(
        self, worker_database: Database, land_page: Land
    ) -> None:
        land_page([_record("1", 3600)])
        self._confirm(worker_database, seen=set(), gone={"1"})

        land_page([_record("1", 3600, minute=9)])

        assert _versions(worker_database)[-1] == ("1", 3, True, 3600, False)


class TestWhatNoTableCanHold:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("narrative", "half a character \ud800"),
            ("narrative", "a NUL \0 inside"),
            ("person_ref", "p\0"),
            ("seconds", 3600 * 10**12),
            ("seconds", -(2**31) - 1),
            ("billable", "perhaps"),
        ],
    )
    def test_is_a_case_with_its_bytes_and_the_rest_of_the_page_lands(
        self, field: str, value: Any, worker_database: Database, land_page: Land
    ) -> None:
        land_page([])

        def translate(record: RawRecord) -> Translated | Untranslatable:
            result = _translate(record)
            if record.source_ref != "bad":
                return result
            assert isinstance(result, Translated)
            return Translated(noun=replace(result.noun, **{field: value}))

        landed = _land(
            worker_database,
            [_record("1", 3600), _record("bad", 60), _record("2", 7200)],
            translate=translate,
        )

        assert (landed.versions, landed.untranslated) == (2, 1)
        assert _count(worker_database, "raw_record") == 3
        with worker_database.transaction() as connection:
            row = connection.execute(
                "SELECT u.field, convert_from(r.body, 'UTF8') AS body FROM untranslated u"
                " JOIN raw_record r USING (raw_id)"
            ).fetchone()
        assert row == {"field": field, "body": "bad|60|0"}

    def test_is_not_a_long_text_nor_a_far_day(
        self, worker_database: Database, land_page: Land
    ) -> None:
        land_page([])
        texts = {"1": "x" * 1_000_000, "2": "a" + "\u0301" * 50_000}

        def translate(record: RawRecord) -> Translated | Untranslatable:
            result = _translate(record)
            assert isinstance(result, Translated)
            assert isinstance(result.noun, TimeEntry)
            return Translated(
                noun=replace(
                    result.noun,
                    narrative=texts[record.source_ref],
                    work_date=date(9999, 12, 31),
                )
            )

        landed = _land(
            worker_database, [_record("1", 3600), _record("2", 7200)], translate=translate
        )

        assert (landed.versions, landed.untranslated) == (2, 0)


class TestANewTranslator:
    """It reads the same bytes with an hour more in each."""

    @pytest.fixture
    def land_anew(self, worker_database: Database, land_page: Land) -> Land:
        land_page([_record("1", 3600), _record("2", 7200)])

        def translate(record: RawRecord) -> Translated | Untranslatable:
            result = _translate(record)
            assert isinstance(result, Translated)
            assert isinstance(result.noun, TimeEntry)
            return Translated(noun=replace(result.noun, seconds=result.noun.seconds + 3600))

        return lambda records: _land(worker_database, records, translate=translate, translator=1)

    def test_is_no_change_of_what_the_source_left_as_it_was(
        self, worker_database: Database, land_anew: Land
    ) -> None:
        landed = land_anew([_record("1", 3600), _record("2", 7200)])

        assert (landed.versions, landed.otherwise) == (0, 2)
        assert _versions(worker_database) == [
            ("1", 1, True, 3600, False),
            ("2", 1, True, 7200, False),
        ]

    def test_reads_what_the_source_changed(
        self, worker_database: Database, land_anew: Land
    ) -> None:
        landed = land_anew([_record("1", 3636, minute=1), _record("2", 7200)])

        assert (landed.versions, landed.otherwise) == (1, 1)
        assert _versions(worker_database) == [
            ("1", 1, False, 3600, False),
            ("1", 2, True, 7236, False),
            ("2", 1, True, 7200, False),
        ]

    def test_counts_nothing_that_it_read_itself(self, land_anew: Land) -> None:
        land_anew([_record("1", 3636, minute=1)])

        landed = land_anew([_record("1", 3636, minute=1)])

        assert (landed.versions, landed.otherwise) == (0, 0)

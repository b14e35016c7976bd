"""A file of reference data: read, understood, planned on two time axes, and loaded by two people."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from tests.support.scene import build_scene

from tieline.governance import approve, get_proposal, open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.reference_files import (
    Loaded,
    Preview,
    carry_out_load,
    load_file,
    preview_file,
    read_file,
)

NOW = datetime(2026, 11, 3, 14, 0, tzinfo=UTC)
_HEADER = "from_currency,to_currency,factor,source,starts_on,ends_on\n"


class _Firm:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW

    def preview(self, text: str, *, is_whole: bool = False) -> Preview:
        with self.database.transaction() as connection:
            return preview_file(connection, file=_file(text, is_whole))

    def propose(self, text: str, *, is_whole: bool = False) -> Loaded:
        with self.database.transaction() as connection:
            return load_file(
                connection, file=_file(text, is_whole), by="ann", reason="a test", now=self.now
            )

    def approve(self, loaded: Loaded, *, by: str = "bob", entities: Any = ("HR-DE",)) -> int:
        assert loaded.proposal_id is not None
        self.now += timedelta(seconds=1)
        with open_web_transaction(self.database, entities=entities) as connection:
            approve(connection, proposal_id=loaded.proposal_id, by=by, now=self.now)
            proposal = get_proposal(connection, proposal_id=loaded.proposal_id)
            return carry_out_load(connection, proposal, self.now)

    def rates(
        self, *, known_at: datetime | None = None
    ) -> list[tuple[date, date | None, Decimal, int]]:
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM fx_rate WHERE recorded_at <= %(at)s"
                " AND (superseded_at IS NULL OR superseded_at > %(at)s) ORDER BY starts_on",
                {"at": known_at or self.now},
            ).fetchall()
        return [
            (row["starts_on"], row["ends_on"], row["factor"], row["line_number"]) for row in rows
        ]


def _file(text: str, is_whole: bool) -> Any:
    return read_file(noun="fx-rates", name="fx.csv", body=text.encode(), is_whole=is_whole)


@pytest.fixture
def firm(database: Dsns, worker_database: Database) -> _Firm:
    with psycopg.connect(database.owner, row_factory=psycopg.rows.dict_row) as connection:
        build_scene(connection)
    return _Firm(worker_database)


class TestAFile:
    def test_is_loaded_by_two_and_keeps_what_was_known_before(self, firm: _Firm) -> None:
        first = _HEADER + "USD,EUR,0.92,ECB,2026-01-01,\nUSD,EUR,0.93,ECB,2026-10-05,\n"
        assert firm.preview(first).added == 2
        assert firm.approve(firm.propose(first)) == 2
        january, october = date(2026, 1, 1), date(2026, 10, 5)
        assert firm.rates() == [
            (january, october, Decimal("0.92"), 2),
            (october, None, Decimal("0.93"), 3),
        ]
        before = firm.now

        # What holds in between cuts the older row short; that row keeps the line it came from.
        second = _HEADER + "USD,EUR,0.95,ECB,2026-07-01,\n"
        shown = firm.preview(second)
        assert (shown.added, shown.changed, shown.ended, shown.same) == (1, 1, 0, 1)
        firm.approve(firm.propose(second))
        july = date(2026, 7, 1)
        assert firm.rates() == [
            (january, july, Decimal("0.92"), 2),
            (july, october, Decimal("0.95"), 2),
            (october, None, Decimal("0.93"), 3),
        ]
        assert [row[2] for row in firm.rates(known_at=before)] == [Decimal("0.92"), Decimal("0.93")]

        with pytest.raises(UserMistake, match="stands already"):
            firm.propose(second)
        whole = firm.propose(_HEADER + "USD,EUR,0.95,ECB,2026-07-01,\n", is_whole=True)
        assert firm.approve(whole) == 3
        assert [row[:2] for row in firm.rates()] == [(july, None)]

    def test_is_refused_where_the_table_moved_or_the_wrong_person_agrees(self, firm: _Firm) -> None:
        loaded = firm.propose(_HEADER + "USD,EUR,0.92,ECB,2026-01-01,\n")
        with pytest.raises(UserMistake, match="ann proposed it"):
            firm.approve(loaded, by="ann")
        with pytest.raises(UserMistake, match="not in your sight"):
            firm.approve(loaded, entities=("HR-UK",))
        other = firm.propose(_HEADER + "USD,EUR,0.99,ECB,2026-01-01,\n")
        firm.approve(other)
        with pytest.raises(UserMistake, match="changed since"):
            firm.approve(loaded)
        assert [row[2] for row in firm.rates()] == [Decimal("0.99")]

    def test_says_every_mistake_with_its_line_and_loads_nothing(self, firm: _Firm) -> None:
        text = _HEADER + (
            "USD,EUR,0.92,ECB,2026-01-01,\n"
            "usd,EUR,NaN,=cmd,2026-02-30,\n"
            "GBP,EUR,-1,ECB,2026-03-01,2026-02-01\n"
            "USD,EUR,0.93,ECB,2026-01-01,\n"
        )
        shown = firm.preview(text)
        assert [(each.line, each.column) for each in shown.mistakes] == [
            (3, "factor"),
            (3, "from_currency"),
            (3, "source"),
            (3, "starts_on"),
            (4, "ends_on"),
            (4, "factor"),
            (5, ""),
        ]
        with pytest.raises(UserMistake, match=r"line 3, factor: .* and 6 more"):
            firm.propose(text)
        with pytest.raises(UserMistake, match="faktor is no column of fx-rates; factor is missing"):
            firm.preview(_HEADER.replace("factor", "faktor"))
        with pytest.raises(UserMistake, match="not UTF-8"):
            read_file(noun="fx-rates", name="x", body=b"\xff\xfe", is_whole=False)
        words = ("0", "1e400000000", "1e-400000000", "1_0", "\u0661", "9" * 999, "1E+1")
        numbers = _HEADER + "".join(
            f"USD,EUR,{word},ECB,2026-{n:02}-01,2026-{n:02}-02\n"
            for n, word in enumerate(words, start=1)
        )
        assert [each.line for each in firm.preview(numbers).mistakes] == [2, 3, 4, 5, 6, 7]
        overlapping = _HEADER + ("USD,EUR,1,ECB,2026-01-01,2026-03-01\nUSD,EUR,2,ECB,2026-02-01,\n")
        assert [(each.line, each.column) for each in firm.preview(overlapping).mistakes] == [
            (2, "ends_on")
        ]
        assert firm.rates() == []

    def test_of_shares_holds_percents_of_each_client_once(self, firm: _Firm) -> None:
        with firm.database.transaction() as connection:
            row = connection.execute("SELECT min(client_id::text) AS id FROM client").fetchone()
            assert row is not None
            words = ("NaN", "-1", "0", "100.1", "Infinity", "half", "", "60", "40")
            text = "contract_code,client,percent,takes_rounding,starts_on\n" + "".join(
                f"DP-1,{row['id']},{word},yes,2026-01-01\n" for word in words
            )
            file = read_file(
                noun="billing-splits", name="s.csv", body=text.encode(), is_whole=False
            )

            shown = preview_file(connection, file=file)

        assert [(each.line, each.column) for each in shown.mistakes] == [
            *((line, "percent") for line in range(2, 9)),
            (10, ""),
        ]

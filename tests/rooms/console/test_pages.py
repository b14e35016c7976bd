"""Each page asks one question, in words of finance, and is empty only with a reason."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW

from tieline.console.tie_out import TieOut, Unaccounted, unaccounted
from tieline.reconciliation import Check
from tieline.runtime.outbox import publish
from tieline.settings import read_settings

from .conftest import ANOTHER_NAME, House, fill
from .test_workbook import cells_of

ADDRESSES = (
    "/",
    "/early",
    "/handover",
    "/exceptions",
    "/close",
    "/changes",
    "/trace",
    "/connections",
    "/approvals",
)
_TAGS = re.compile(r"<script.*?</script>|<style.*?</style>|<[^>]+>", re.DOTALL)
_ENGINE = re.compile(
    r"\b(landed|cleared|held|posted|reversed|excluded|parked|pending|probing|UNKNOWN|CONFLICT|INTENT"
    r"|CONFIRMED|handed[_ ]over|conservation|crosswalk|saga|verdict|steward|replay\w*|rejudge)\b"
)
_INLINE = re.compile(r"<script(?![^>]*(src=|type=\"application/json\"))|<style|\sstyle=|\son\w+=")


def _all_addresses(firm: House) -> list[str]:
    contract = f"{firm.project['contract_id']}/{firm.periods['DE', '2026-10']}"
    return [
        *ADDRESSES,
        "/overview/now",
        f"/exceptions/{firm.case_id}",
        f"/exceptions/{firm.case_id}/again",
        "/exceptions/again",
        f"/close/{contract}",
        f"/close/periods/{firm.periods['DE', '2026-10']}",
        f"/trace?kind=hour&ref={firm.entry_id}",
        f"/trace?kind=case&ref={firm.case_id}",
        "/approvals?state=approved",
        "/handover/plan?deal=sales:7",
    ]


PARTS = ("/overview/now",)


class TestTheReportingCurrency:
    def test_is_told_in_one_line_with_rate_day_and_source_or_not_at_all(self, house: House) -> None:
        firm = fill(house)
        firm.rows(
            "UPDATE person_login SET entities = '{DE, UK}' WHERE login = 'ann' RETURNING login"
        )
        browser = firm.browser("ann")
        addresses = ("/", "/exceptions", "/close?period=-")

        def files() -> list[str]:
            paths = ("/overview.xlsx", "/exceptions.xlsx", "/close.xlsx?period=-")
            return [_last_sheet(browser.get(path).content) for path in paths]

        silent, in_files = [browser.get(address).text for address in addresses], files()
        firm.system.settings = read_settings(
            environment={"TIELINE_ENVIRONMENT": "test", "TIELINE_REPORTING_CURRENCY": "EUR"}
        )
        unknown = [browser.get(address).text for address in addresses]
        unknown_in_files = files()
        firm.rows(
            "WITH load AS (INSERT INTO reference_load (noun, file_name, loaded_by, reason, rows, recorded_at)"
            " VALUES ('fx-rates', 'x', 'ann', 'ECB', 1, '2026-11-02') RETURNING load_id)"
            " INSERT INTO fx_rate (from_currency, to_currency, factor, source, starts_on, recorded_at,"
            " load_id, line_number) SELECT 'GBP', 'EUR', 1.15, 'ECB', '2026-11-01', '2026-11-02', load_id, 2"
            " FROM load RETURNING factor"
        )
        told = [browser.get(address).text for address in addresses]

        assert not any("Together" in page or "No total" in page for page in silent)
        assert all(
            "No total in EUR: no rate of 3 Nov 2026 is known for GBP" in page for page in unknown
        )
        rates = "on 3 Nov 2026 at GBP 1.15 (ECB, since 1 Nov 2026)"
        assert all(rates in page for page in told)
        # 150.00 euros and 150.00 pounds at risk.
        assert all("Together EUR 322.50" in page for page in told[:2])
        # A file says what its page says.
        assert not any("Together" in file or "No total" in file for file in in_files)
        assert all(
            "No total in EUR: no rate of 3 Nov 2026 is known for GBP | EUR | 46329 |" in file
            and file.endswith("GBP | not known")
            for file in unknown_in_files
        )
        told_in_files = files()
        assert all(
            file.endswith("EUR | 46329 | GBP | 1.15 | ECB | 46327") for file in told_in_files
        )
        assert all("Together EUR 322.50 | 322.5" in file for file in told_in_files[:2])


def _last_sheet(content: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        sheets = sum(name.startswith("xl/worksheets/sheet") for name in file.namelist())
    return " | ".join(text for row in cells_of(content, sheets) for _, text in row)


class TestEveryPage:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_asks_who_looks(self, house: House, address: str) -> None:
        answer = house.browser().get(address)

        assert answer.status_code == 303
        assert answer.headers["location"].split("?")[0].endswith("/login")

    def test_has_one_question_and_says_no_word_of_the_engine(self, firm: House) -> None:
        browser = firm.browser("dan")

        for address in _all_addresses(firm):
            answer = browser.get(address)
            text = _TAGS.sub(" ", answer.text)

            assert answer.status_code == 200, address
            assert answer.text.count("<h1") == 1, address
            # What refreshes itself is a part of a page that has said it already.
            assert (">TEST</p>" in answer.text) is (address not in PARTS), address
            assert not _ENGINE.findall(text), (address, _ENGINE.findall(text))

    def test_allows_no_script_but_its_own(self, firm: House) -> None:
        browser = firm.browser("dan")

        for address in _all_addresses(firm):
            answer = browser.get(address)
            policy = answer.headers["content-security-policy"]

            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert not _INLINE.findall(answer.text), address

    def test_escapes_what_people_wrote(self, firm: House) -> None:
        browser = firm.browser("dan")

        for address in _all_addresses(firm):
            assert ANOTHER_NAME not in browser.get(address).text
        assert "&lt;script&gt;alert" in browser.get("/close").text

    def test_says_why_it_is_empty(self, house: House) -> None:
        browser = house.browser("dan")

        for address in ADDRESSES:
            answer = browser.get(address)

            assert answer.status_code == 200
            assert "empty-state" in answer.text, address

    def test_says_so_where_it_looks_plain(self, house: House) -> None:
        text = house.browser("dan").get("/").text

        assert "/static/plain.css" in text
        assert "The console uses its plain style sheet." in text


class TestClose:
    def test_begins_with_lines_that_add_up(self, firm: House) -> None:
        text = _TAGS.sub(" ", firm.browser("dan").get("/close").text)
        cells = " ".join(text.split())

        assert "Firm DE 2026-10 3.00 = 2.00 + 0.00 + 1.00 + 0.00 + 0.00 0.00" in cells
        assert "Firm UK 2026-10 2.50 = 1.50 + 0.00 + 1.00 + 0.00 + 0.00 0.00" in cells
        assert "No legal entity known yet none yet 1.00 = 0.00 + 0.00 + 1.00" in cells
        assert "1.00 h not approved yet" in cells

    def test_shows_an_hour_that_is_nowhere(self) -> None:
        counted: dict[str, Any] = {
            name: 0 for name in TieOut.__dataclass_fields__ if name.endswith("_seconds")
        }
        named: dict[str, Any] = {
            name: None for name in TieOut.__dataclass_fields__ if name not in counted
        }

        line = TieOut(**{**named, **counted, "approved_seconds": 3600, "posted_seconds": 1800})

        assert line.unaccounted_seconds == 1800
        assert unaccounted([line, line]) == 3600

    def test_shows_what_was_set_up_last_and_how_long_it_took(self, firm: House) -> None:
        with firm.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state, entity_code,"
                " plan, won_at, planned_at, active_at, known_at, correlation_id)"
                " VALUES ('sales', 0, '9', 'active', 'DE', '{}', %s, %s, %s, %s, 'c')",
                (NOW - timedelta(seconds=75), NOW, NOW, NOW),
            )
            connection.execute(
                "INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state, entity_code,"
                " plan, won_at, planned_at, known_at, correlation_id, blockers)"
                " VALUES ('sales', 0, '10', 'blocked', 'DE', '{}', %s, %s, %s, 'c', %s)",
                (NOW, NOW, NOW, Jsonb([{"code": "deal.purchase_order_missing"}])),
            )

        mine = firm.browser("ann").get("/handover").text
        others = firm.browser("cyd").get("/handover").text

        assert "Set up last" in mine
        assert mine.count('href="/exceptions?reason=deal.purchase_order_missing"') == 2
        assert "/trace?kind=deal&amp;ref=sales%3A9" in mine
        assert ">1 min</td>" in mine
        (row,) = cells_of(firm.browser("ann").get("/handover.xlsx").content, 3)[1:]
        assert (row[0][1], row[-1]) == ("sales:9", ("n", "75"))
        assert "sales:9" not in others

    def test_says_before_the_cut_off_what_does_not_work(self, firm: House) -> None:
        with firm.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO preflight (period_id, entity_code, stage, tried_at, tried)"
                " VALUES (%s, 'DE', '24h', %s, %s)",
                (
                    firm.periods["DE", "2026-10"],
                    NOW,
                    Jsonb(
                        [
                            {"connection_key": "books", "name": "login", "is_good": False,
                             "fix": "Give it <b>another</b> password."},
                            {"connection_key": None, "name": "disk", "is_good": True, "fix": ""},
                        ]
                    ),
                ),
            )  # fmt: skip

        shown = firm.browser("ann").get("/close").text

        assert "Will the next cut-off work?" in shown
        assert "1 of 2 red" in shown
        assert "Give it &lt;b&gt;another&lt;/b&gt; password." in shown
        assert "Will the next cut-off work?" not in firm.browser("cyd").get("/close").text

    def test_filters_by_the_address(self, firm: House) -> None:
        browser = firm.browser("dan")

        ready = browser.get("/close", state="ready").text
        later = browser.get("/close", period="2026-12").text

        assert "Contract P-UK" in ready
        assert "C-P-DE" not in ready
        assert "Not checked of any of them, for nobody tells of it: expenses." in ready
        # What is due in a period that is not shown is told of whom and in which.
        assert "1 due in 2026-10 of Firm UK" in later
        assert "due in 2026-10 of" not in ready


class TestUnaccountedHours:
    @pytest.mark.parametrize("address", ["/", "/close"])
    def test_are_not_checked_until_both_sides_were_asked(self, firm: House, address: str) -> None:
        def told() -> str:
            text = " ".join(_TAGS.sub(" ", firm.browser("ann").get(address).text).split())
            return text[text.index("Unaccounted hours") :][:150]

        nobody = told()
        _asked(firm, "source", "clock", ours=10800)
        one = told()
        _asked(firm, "target", "books", ours=7200)
        both = told()

        assert nobody.startswith("Unaccounted hours not checked Harvest was not asked yet; Tryton")
        assert one.startswith("Unaccounted hours not checked Tryton was not asked yet")
        assert both.startswith("Unaccounted hours 0.00 the others were asked Tue 3 Nov 2026, 09:00")

    def test_are_what_the_others_count_otherwise(self, firm: House) -> None:
        _asked(firm, "source", "clock", ours=10800)
        _asked(firm, "target", "books", ours=7200, theirs=3600)

        text = " ".join(_TAGS.sub(" ", firm.browser("ann").get("/close").text).split())

        assert "Unaccounted hours 1.00" in text
        assert "books work-P-DE 2026-10 1.00 2.00" in text

    def test_of_another_legal_entity_are_out_of_sight(self, firm: House) -> None:
        _asked(firm, "source", "clock", ours=10800)
        _asked(firm, "target", "books", ours=7200, theirs=3600)

        text = " ".join(_TAGS.sub(" ", firm.browser("cyd").get("/close").text).split())

        assert "Unaccounted hours not checked Tryton was not asked yet" in text
        assert "work-P-DE" not in text

    def test_never_let_a_doubt_hide_a_gap(self) -> None:
        check = Check(
            side="source", connection_key="clock", system="harvest", asked_at=None,
            theirs_seconds=0, ours_seconds=0, gap_seconds=0, apart_seconds=0,
        )  # fmt: skip

        assert Unaccounted(books_seconds=0, checks=(check,)).seconds is None
        assert Unaccounted(books_seconds=60, checks=(check,)).seconds == 60
        assert Unaccounted(books_seconds=0, checks=()).seconds is None


def _asked(
    firm: House, side: str, connection_key: str, *, ours: int, theirs: int | None = None
) -> None:
    """Keep what one side said of the German entity's October."""
    said = ours if theirs is None else theirs
    with firm.worker.transaction() as connection:
        connection.execute(
            "INSERT INTO conservation_check VALUES (%s, %s, %s)", (side, connection_key, NOW)
        )
        connection.execute(
            "INSERT INTO conservation_line VALUES (%s, %s, 'DE', '2026-10-01', %s, %s, %s, %s, 0)",
            (side, connection_key, NOW, said, ours, abs(said - ours)),
        )
        if said != ours:
            connection.execute(
                "INSERT INTO conservation_difference VALUES"
                " (%s, %s, 'DE', '2026-10-01', 'work-P-DE', %s, %s, %s, 1)",
                (side, connection_key, said, ours, NOW),
            )


class TestConnections:
    def test_say_whose_a_refused_field_is_and_what_now(self, firm: House) -> None:
        firm.rows(
            "INSERT INTO drift (noun, our_id, field, written_by, owner_kind, since)"
            " SELECT 'client', client_id, 'vat_number', 'sales', 'erp', now() FROM client"
            " RETURNING field"
        )

        text = " ".join(_TAGS.sub(" ", firm.browser("ann").get("/connections").text).split())

        assert "Nordwind AG HubSpot says another tax number Tryton" in text
        assert "Kept as Tryton says it: change it there, or put HubSpot right." in text

    @pytest.mark.parametrize(
        ("mode", "state", "told"),
        [
            ("observe", "waiting", "Hears nothing until it acts"),
            ("act", "waiting", "Hears what happens"),
            ("act", "failed", "Refuses events of ours"),
        ],
    )
    def test_say_of_a_receiver_whether_it_hears(
        self, firm: House, mode: str, state: str, told: str
    ) -> None:
        with firm.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode)"
                " VALUES ('bus', 'webhook', 'events', %s)",
                (mode,),
            )
            publish(
                connection,
                type="deal.won",
                subject_kind="deal",
                subject_id="7",
                entity_code="DE",
                occurred_at=NOW,
                recorded_at=NOW,
                correlation_id="c",
            )
            connection.execute("UPDATE outbox SET state = %s", (state,))

        assert told in firm.browser("ann").get("/connections").text


class TestTrace:
    def test_follows_an_hour_by_its_own_reference(self, firm: House) -> None:
        text = firm.browser("ann").get("/trace", kind="hour", ref="clock:booked-1").text

        for word in ("Received", "Checked", "Ready to post", "In Tryton", "In our books"):
            assert word in text
        assert "What each rule answered: " in text
        assert 'href="/guide/reference/reasons#time.' in text
        assert 'href="https://app.harvestapp.com/time/week?entry=booked-1"' in text

    def test_says_when_nothing_is_known(self, firm: House) -> None:
        answer = firm.browser("ann").get("/trace", kind="deal", ref="sales:<b>1</b>")

        assert answer.status_code == 404
        assert "<b>1</b>" not in answer.text

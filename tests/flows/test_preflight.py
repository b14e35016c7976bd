"""Before a cut-off everything that the close needs is tried; what is red is a case until it is green."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import Firm
from tests.support.certificate import ENDS_AT, write_certificate
from tests.support.target import FixedClock, OneConnector

from tieline.app import InstalledSystems
from tieline.casework import list_cases
from tieline.kernel.errors import AskPerson, StreamBroken, TielineError
from tieline.kernel.limits import LimitKind
from tieline.posting.pace import Pace
from tieline.runtime.budget import LimitState
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.sdk import CheckItem, CheckReport, FiscalPeriod
from tieline.sdk.directory import Connectors
from tieline.services import preflight
from tieline.services.forecast import Forecast, Outlook
from tieline.services.preflight import (
    RED,
    Preflights,
    list_preflights,
    read_certificate_end,
)

pytestmark = pytest.mark.sql
CUT_OFF = datetime(2026, 11, 5, tzinfo=UTC)


@dataclass
class Portal:
    """A connector that can be tried."""

    items: list[CheckItem] = field(default_factory=lambda: [CheckItem(name="login", is_good=True)])
    periods: list[FiscalPeriod] = field(
        default_factory=lambda: [FiscalPeriod(name="2026-10", is_open=True)]
    )
    errors: list[TielineError] = field(default_factory=list)
    checks: int = 0
    missing: str = ""

    def check(self) -> CheckReport:
        self.checks += 1
        if self.errors:
            raise self.errors.pop(0)
        return CheckReport(items=tuple(self.items))

    def fiscal_periods(
        self, *, entity_code: str, starts_on: date, ends_on: date
    ) -> list[FiscalPeriod]:
        assert (entity_code, starts_on, ends_on) == ("DE", date(2026, 10, 1), date(2026, 11, 1))
        return self.periods


class World:
    """A firm with one cut-off to come."""

    def __init__(self, worker: Database, home: Path) -> None:
        self.worker = worker
        self.clock = FixedClock(CUT_OFF - timedelta(hours=30))
        self.portals = {"books": Portal(), "clock": Portal()}
        with worker.transaction() as connection:
            firm = Firm(connection).found()
            self.period_id = firm.periods["DE", "2026-10"]
            connection.execute("UPDATE fiscal_period SET state = 'closed' WHERE entity_code = 'UK'")
            connection.execute(
                "INSERT INTO connection_go_live (connection_key, entity_code, go_live_on)"
                " VALUES ('clock', 'DE', '2026-01-01')"
            )
        self.preflights = Preflights(
            database=worker,
            connectors=cast(Connectors, self),
            systems=InstalledSystems(),
            clock=self.clock,
            home=home,
        )

    def get(self, *, connection_key: str) -> Any:
        if self.portals[connection_key].missing:
            raise AskPerson(self.portals[connection_key].missing)
        return self.portals[connection_key]

    def capabilities(self, *, connection_key: str) -> Any:
        return OneConnector(None).capabilities(connection_key=connection_key)

    def hours_before(self, hours: int) -> int:
        self.clock.instant = CUT_OFF - timedelta(hours=hours)
        return self.preflights.run_due()

    def cases(self) -> list[str]:
        with self.worker.transaction() as connection:
            return [
                f"{case.thing_key}: {case.details['fix']}"
                for case in list_cases(connection, reason=RED)
            ]

    def stages(self) -> list[tuple[str, bool]]:
        with self.worker.transaction() as connection:
            rows = connection.execute(
                "SELECT stage, NOT tried @> '[{\"is_good\": false}]' AS green FROM preflight"
                " ORDER BY preflight_id"
            ).fetchall()
        return [(row["stage"], row["green"]) for row in rows]


@pytest.fixture
def world(worker_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(preflight, "_PATIENCE_SECONDS", 0)
    return World(worker_database, tmp_path)


class _Crowded:
    """An outlook by which a backlog is through an hour after the cut-off."""

    def waiting(self, key: str, *, until: datetime) -> int:
        return 9

    def forecast(self, key: str, *, items: int, now: datetime) -> Forecast:
        return Forecast(
            connection_key=key,
            items=items,
            calls=1,
            through_at=CUT_OFF + timedelta(hours=1),
            because="at what is left of the rate",
        )


class TestPreflight:
    def test_is_tried_a_day_and_two_hours_before_and_no_more(self, world: World) -> None:
        tried = [world.hours_before(hours) for hours in (30, 23, 22, 3, 2, 1)]

        assert tried == [0, 1, 0, 0, 1, 0]
        assert world.stages() == [("24h", True), ("2h", True)]
        assert world.cases() == []

    def test_opens_a_case_for_what_is_red_and_closes_it_once_it_is_green(
        self, world: World
    ) -> None:
        world.portals["books"].items = [
            CheckItem(name="login", is_good=False, fix="Give it a new password.")
        ]

        world.hours_before(20)
        assert world.cases() == ["DE:2026-10: Give it a new password."]
        world.portals["books"].items = [CheckItem(name="login", is_good=True)]
        world.hours_before(19)

        assert world.cases() == []
        assert world.stages() == [("24h", False), ("24h", True)]

    @pytest.mark.parametrize(
        "change", ["cut_off_at = cut_off_at - interval '1 day'", "state = 'closed'"]
    )
    def test_leaves_no_case_behind_once_the_cut_off_is_over(
        self, world: World, database: Dsns, change: str
    ) -> None:
        world.portals["clock"].errors = [AskPerson("the token is refused")]
        world.hours_before(20)
        with psycopg.connect(database.owner) as owner:
            owner.execute(f"UPDATE fiscal_period SET {change}".encode())

        world.preflights.run_due()

        assert world.cases() == []

    def test_tries_the_channels_that_people_are_told_over(self, world: World) -> None:
        with world.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode) VALUES"
                " ('post', 'mail', 'channel', 'act'), ('later', 'mail', 'channel', 'observe')"
            )
        world.portals["post"] = Portal(errors=[AskPerson("the login is refused")])

        world.hours_before(20)

        assert world.cases() == ["DE:2026-10: the login is refused."]

    def test_asks_again_before_it_calls_a_system_broken(self, world: World) -> None:
        world.portals["clock"].errors = [StreamBroken("no answer"), StreamBroken("no answer")]

        world.hours_before(20)

        assert world.stages() == [("24h", True)]
        assert world.portals["clock"].checks == 3

    def test_does_not_ask_again_who_refuses(self, world: World) -> None:
        world.portals["clock"].errors = [AskPerson("the token is refused")]

        world.hours_before(20)

        assert world.cases() == ["DE:2026-10: the token is refused."]
        assert world.portals["clock"].checks == 1

    @pytest.mark.parametrize(
        ("periods", "told"),
        [
            ([], "Create the period 2026-10 of DE there."),
            ([FiscalPeriod(name="10/2026", is_open=False)], "Open the period 10/2026 there."),
        ],
    )
    def test_finds_a_period_that_the_target_has_not_open(
        self, world: World, periods: list[FiscalPeriod], told: str
    ) -> None:
        world.portals["books"].periods = periods

        world.hours_before(20)

        assert world.cases() == [f"DE:2026-10: {told}"]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ("paused = true", "books is paused: resume it."),
            ("mode = 'observe'", 'books observes: connect it with mode = "act".'),
        ],
    )
    def test_finds_a_target_that_does_not_act(
        self, world: World, database: Dsns, change: str, told: str
    ) -> None:
        with psycopg.connect(database.owner) as owner:
            owner.execute(f"UPDATE connection SET {change} WHERE connection_key = 'books'".encode())

        world.hours_before(20)

        assert world.cases() == [f"DE:2026-10: {told}"]

    def test_finds_a_certificate_that_nobody_can_verify(self, world: World) -> None:
        with world.worker.transaction() as connection:
            connection.execute(
                "UPDATE connection SET config = %s WHERE connection_key = 'books'",
                (Jsonb({"base_url": "https://127.0.0.1:1"}),),
            )

        world.hours_before(20)

        assert world.cases() == [
            "DE:2026-10: The certificate of 127.0.0.1 cannot be verified: ConnectionRefusedError."
        ]

    def test_finds_what_would_fail_at_the_cut_off(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with world.worker.transaction() as connection:
            connection.execute(
                "UPDATE connection SET config = %s WHERE connection_key = 'books'",
                (Jsonb({"base_url": "https://books.example", "credentials_end_on": "2026-11-05"}),),
            )
        ends_at = CUT_OFF - timedelta(hours=1)
        monkeypatch.setattr(preflight, "read_certificate_end", lambda *_, **__: ends_at)
        monkeypatch.setattr(preflight, "seconds_apart", lambda _: 6)
        monkeypatch.setattr(
            "shutil.disk_usage", lambda _: SimpleNamespace(total=100 * 2**30, free=4 * 2**30)
        )
        monkeypatch.setattr(preflight, "read_outlook", lambda *_, **__: _Crowded())
        world.portals["clock"].missing = "clock has no access_token stored"

        world.hours_before(20)

        assert world.cases() == [
            (
                f"DE:2026-10: Only 4096 MiB are free where {world.preflights.home} lies."
                " The clocks of database and workers are 6 s apart."
                " The credentials of books end 2026-11-05, before the cut-off: renew them."
                " The certificate of books.example ends 2026-11-04, before the cut-off."
                " 9 lines take 75600 s at what is left of the rate, and 72000 s are left:"
                " raise the rate, or carry what can wait."
                " clock has no access_token stored."
            )
        ]

    def test_is_shown_per_legal_entity(self, world: World, database: Dsns) -> None:
        world.hours_before(20)

        with psycopg.connect(database.web, row_factory=dict_row) as connection:
            connection.execute("SELECT set_config('tieline.entities', 'UK', false)")
            hidden = list_preflights(connection, now=world.clock.now())
            connection.execute("SELECT set_config('tieline.entities', 'DE', false)")
            shown = list_preflights(connection, now=world.clock.now())

        assert hidden == ()
        assert [(each.entity_code, each.is_green) for each in shown] == [("DE", True)]

    def test_is_run_whenever_somebody_asks(self, world: World) -> None:
        (found,) = world.preflights.run_now(entity_code="DE")

        assert found.is_green
        assert {each.connection_key for each in found.tried} == {None, "books", "clock"}
        assert world.preflights.run_now(entity_code="UK") == ()


class TestTheForecast:
    @pytest.mark.parametrize(
        ("lines", "seconds"), [(0, 0), (1, 5), (200, 5), (201, 10), (20_000, 500)]
    )
    def test_counts_whole_batches_at_what_others_leave_of_the_rate(
        self, lines: int, seconds: int
    ) -> None:
        found = outlook(limit("window", 10, window_seconds=10)).forecast(
            "books", items=lines, now=CUT_OFF
        )

        assert found.through_at == CUT_OFF + timedelta(seconds=seconds)

    def test_waits_for_the_day_on_which_a_quota_is_new(self) -> None:
        full = limit("quota", 100, used=98, every="day", resets_in_seconds=3600)

        found = outlook(full).forecast("books", items=800, now=CUT_OFF)

        assert found.calls == 12
        assert found.through_at == CUT_OFF + timedelta(hours=1)
        assert not found.is_before(CUT_OFF)

    def test_believes_a_measured_pace_more_than_what_is_allowed(self) -> None:
        pace = Pace(items=1000, calls=20, best_minute=500)

        found = outlook(limit("window", 1000, window_seconds=1), pace=pace).forecast(
            "books", items=2000, now=CUT_OFF
        )

        assert (found.calls, found.because) == (40, "at the pace of the last hour")
        assert found.through_at == CUT_OFF + timedelta(minutes=4)

    def test_says_why_nothing_goes_where_it_is_paused(self) -> None:
        found = outlook(limit("window", 10, window_seconds=10), paused=True).forecast(
            "books", items=1, now=CUT_OFF
        )

        assert (found.through_at, found.because) == (None, "it is paused")
        assert not found.is_before(CUT_OFF)


def limit(kind: str, allowed: int, **words: Any) -> LimitState:
    usual = {"used": 0, "window_seconds": 0, "every": "", "resets_in_seconds": 0}
    return LimitState(
        connection_key="books",
        name="one",
        kind=LimitKind(kind),
        allowed=allowed,
        source="a test",
        **{**usual, **words},
    )


def outlook(*limits: LimitState, pace: Pace | None = None, paused: bool = False) -> Outlook:
    return Outlook(
        targets={"books": {"mode": "act", "paused": paused, "rest_seconds": 0}},
        limits={"books": limits},
        paces={"books": pace} if pace else {},
        lines_per_call={"books": 200},
        backlog=(),
        target_of={},
    )


class TestCertificates:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext, datetime]]:
        pem = write_certificate(tmp_path)
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(pem)
        with socket.create_server(("localhost", 0)) as listener:

            def serve() -> None:
                peer, _ = listener.accept()
                with serving.wrap_socket(peer, server_side=True) as secured:
                    secured.recv(1)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            trusting = ssl.create_default_context(cafile=str(pem))
            yield listener.getsockname()[1], trusting, ENDS_AT
            thread.join(timeout=5)

    def test_end_when_they_say(self, server: tuple[int, ssl.SSLContext, datetime]) -> None:
        port, context, ends_at = server

        assert read_certificate_end("localhost", port, context=context) == ends_at

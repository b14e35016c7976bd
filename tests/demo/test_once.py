"""The main job on real systems, once, with faults on and a worker killed while money moves.

It runs out of the wheel, in an empty folder, as a firm installs it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from tests.conftest import memory_folder
from tests.demo.eyes import CHROMIUM, browsing, reading
from tests.demo.walks import WALKS, Facts, allowed, offered
from tests.promises.connectors.guard import (
    are_here,
    descriptions,
    each_record_once,
    hold,
    read_exchanges,
)
from tests.support.wheel import install_wheel

from tieline.runtime.postgres import EmbeddedCluster

_SECONDS_MAX = 900
_MONEY_MOVES = "first money moved"
_ZERO = (
    "orphan_projects",
    "conservation_gap_seconds",
    "erp_duplicate_lines",
    "erp_missing_lines",
    "reversals_without_cause",
    "cases_without_mistake",
    "invoice_total_mismatch",
    "incidents_not_found",
    "contracts_misjudged",
)
_EXCHANGES_MIN = 50
_START_SECONDS_MAX, _STOP_SECONDS = 300, 30
_PASSWORD = "a long enough password"
# As many kinds of deeds are met at least.
_DEEDS_MIN = 12
_REFUSALS = ("refuse_503_before", "rate_limit_429")

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run of the demo left: its exit code, its words, its figures and its home."""

    exit_code: int
    words: str
    figures: dict[str, Any]
    killed_pid: int
    home: Path
    command: Path


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    folder = Path(tempfile.mkdtemp(prefix="tieline-demo-", dir=memory_folder()))
    folder.chmod(0o755)
    home, empty, report = folder / "home", folder / "empty", folder / "figures.json"
    empty.mkdir()
    with report.open("w", encoding="utf-8") as told:
        command = install_wheel(folder / "venv")
        demo = subprocess.Popen(
            [command, "demo", "--once", "--json"],
            cwd=empty,
            env={
                **os.environ,
                "TIELINE_HOME": str(home),
                **({"TIELINE_SANDBOX_RECORD": str(folder)} if are_here() else {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.PIPE,
            text=True,
        )
        words, killed_pid = _follow(demo, home)
        exit_code = demo.wait(timeout=_SECONDS_MAX)
    yield Run(
        exit_code=exit_code,
        words=words,
        # Standard output is one JSON object and nothing else; a run that failed may have said nothing.
        figures=json.loads(report.read_text(encoding="utf-8") or "{}"),
        killed_pid=killed_pid,
        home=home,
        command=command,
    )
    shutil.rmtree(folder, ignore_errors=True)


def _follow(demo: subprocess.Popen[str], home: Path) -> tuple[str, int]:
    """Read what the demo says to its end; kill a worker when money begins to move."""
    assert demo.stderr is not None
    lines = []
    killed_pid = 0
    for line in demo.stderr:
        lines.append(line)
        if _MONEY_MOVES in line and not killed_pid:
            facts = json.loads((home / "run" / "worker-1.json").read_text(encoding="utf-8"))
            killed_pid = int(facts["pid"])
            os.kill(killed_pid, signal.SIGKILL)
    return "".join(lines), killed_pid


class TestOnce:
    @pytest.mark.parametrize("vendor", ["harvest", "hubspot"])
    def test_speaks_as_the_vendors_describe(self, run: Run, vendor: str) -> None:
        """Every request of the workers, and every reply of the servers, in a whole demo."""
        descriptions()

        exchanges = read_exchanges(run.home.parent / f"{vendor}.jsonl")

        assert len(exchanges) > _EXCHANGES_MIN
        hold(each_record_once(exchanges), vendor=vendor)

    def test_holds_every_promise_although_a_worker_was_killed(self, run: Run) -> None:
        broken = {name: run.figures.get(name) for name in _ZERO if run.figures.get(name) != 0}

        assert run.killed_pid, run.words
        assert broken == {}, run.words
        assert run.exit_code == 0, run.words

    def test_puts_every_hour_in_one_place(self, run: Run) -> None:
        entries = run.figures["time_entries"]
        places = ("pending", "held", "handed_over", "posted", "excluded")

        assert entries["landed"] == sum(entries[place] for place in places)
        assert entries["pending"] == 0
        assert entries["posted"] >= 4000
        assert entries["reversed"] > 0

    def test_makes_projects_of_deals_and_invoices_of_hours(self, run: Run) -> None:
        figures = run.figures

        assert 0 < figures["projects_active"] < figures["deals_won"]
        assert figures["invoices_drafted"] == figures["contracts_released"] > 0
        assert figures["contracts_ready"] >= figures["contracts_released"]
        assert figures["cases_open"] > 0

    def test_adopts_what_ran_before_and_tells_how_it_stands(self, run: Run) -> None:
        figures = run.figures

        assert figures["contracts_adopted"] == 48
        assert figures["contracts_at_cut_off"] == {"ready": 34, "at_risk": 7, "blocked": 7}

    def test_finds_all_that_went_wrong_with_its_hours_and_money(self, run: Run) -> None:
        figures = run.figures

        assert [each["found"] for each in figures["incidents"]] == [
            each["planted"] for each in figures["incidents"]
        ], run.words
        assert figures["incidents_planted"] == figures["incidents_found"] == 12

    def test_meets_the_faults_it_claims_to_survive(self, run: Run) -> None:
        faults: dict[str, int] = run.figures["faults_injected"]

        def count(*kinds: str) -> int:
            return sum(n for name, n in faults.items() if name.partition(".")[2] in kinds)

        assert count("answer_lost") >= 5
        assert count("late_commit") >= 5
        assert count(*_REFUSALS) >= 20
        assert {"skipped_page", "stale_read", "duplicate_page"} <= {
            name.partition(".")[2] for name in faults
        }

    def test_leaves_no_process_behind(self, run: Run) -> None:
        left = [
            process.name
            for process in Path("/proc").glob("[0-9]*")
            if str(run.home) in _command_line(process)
        ]

        assert left == []


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The pages of what the run left: where they are, what is known of the firm, and who may enter."""

    address: str
    facts: Facts
    roles: dict[str, tuple[str, ...]]


@pytest.fixture(scope="class")
def house(run: Run) -> Iterator[House]:
    """Open the console of the wheel on what the run left, in the firm's own time."""
    clock = json.loads((run.home / "run" / "clock.json").read_text(encoding="utf-8"))
    web = subprocess.Popen(
        [run.command, "web"],
        cwd=run.home.parent / "empty",
        env={
            **os.environ,
            "TIELINE_HOME": str(run.home),
            "TIELINE_BUSINESS_NOW": clock["anchor"],
            "TIELINE_REPORTING_CURRENCY": "EUR",
            # Foreign style sheets and scripts are used where they were fetched before, and fetched by others.
            "npm_config_offline": "true",
            "PIP_NO_INDEX": "1",
        },
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = _address(web, run.home / "run" / "console.json")
        dsn = make_conninfo(EmbeddedCluster(run.home / "pg").superuser_dsn, dbname="tieline")
        with psycopg.connect(
            dsn, autocommit=True, row_factory=dict_row, options="-c search_path=tieline"
        ) as connection:
            people = connection.execute(
                "UPDATE person_login SET password_hash = %s RETURNING login, roles",
                (PasswordHasher().hash(_PASSWORD),),
            ).fetchall()
            yield House(
                address=address,
                facts=Facts(
                    figures=run.figures, ask=lambda words: connection.execute(words).fetchall()
                ),
                roles={row["login"]: tuple(row["roles"]) for row in people},
            )
    finally:
        web.terminate()
        web.wait(timeout=_STOP_SECONDS)
        EmbeddedCluster(run.home / "pg").stop()


def _address(web: subprocess.Popen[bytes], run_file: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while not run_file.exists():
        assert web.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    address: str = json.loads(run_file.read_text(encoding="utf-8"))["url"]
    return address


class TestThePages:
    """Each role walks its part of the five minutes over what the run left."""

    def test_are_for_the_roles_of_the_firm(self, house: House) -> None:
        assert set(house.roles) == set(WALKS)

    @pytest.mark.parametrize("login", WALKS)
    def test_hold_the_numbers_for(self, house: House, login: str) -> None:
        with reading(house.address, login=login, password=_PASSWORD) as eyes:
            WALKS[login](eyes, house.facts)

    @pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium, or no playwright, here")
    def test_hold_them_in_a_browser(self, house: House) -> None:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as driver:
            chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            for login, walk in WALKS.items():
                with browsing(chromium, house.address, login=login, password=_PASSWORD) as eyes:
                    walk(eyes, house.facts)
                assert eyes.told == [], login
            chromium.close()

    def test_offer_to_each_role_what_it_may_do_and_nothing_else(self, house: House) -> None:
        offers = {}
        # One of those who have the same roles stands for all of them.
        for login in {roles: login for login, roles in sorted(house.roles.items())}.values():
            with reading(house.address, login=login, password=_PASSWORD) as eyes:
                offers[login] = offered(eyes)
        everything = offers["administrator"]

        assert len(everything) > _DEEDS_MIN
        assert offers == {login: allowed(house.roles[login], everything) for login in offers}


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

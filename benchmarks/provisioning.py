"""Measure how soon a won deal is an active project, and whether the forecast of the last one is right.

Run it with the project's Python: ``python benchmarks/provisioning.py --deals 600 --json``.
Deals are won in a CRM, so many a second; its webhooks and a poll each second bring them. Workers as they ship carry
them into an ERP and a time tool, all in processes of their own, each reply after a pause. The platform's own time is
what is left of the time from won to active without what passed while it waited for a reply. ``--forecast`` keeps to
the vendors' real limits instead. It starts a database of its own under TIELINE_HOME and removes it at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import psycopg
from own_home import own_home
from provisioning_erp import server as erp_server
from provisioning_firm import CLOCK, CRM, ERP, Firm, Place, connections
from provisioning_worker import CALLS_VARIABLE
from time_plane import describe_machine

from tieline.app import open_system
from tieline.policy import approve_release, draft_release
from tieline.proof import processes
from tieline.proof.supervising import worker_environment
from tieline.proof.town import CONTROL, Vendor, fresh_database, start_vendor
from tieline.runtime.postgres import EmbeddedCluster
from tieline.services.deals import count_deal_plans
from tieline.services.handover_forecast import forecast_handover
from tieline.services.installation import connect, create_entity, open_periods
from tieline.services.system import System
from tieline.settings import Settings
from tieline.validation import builtin_rules, builtin_values

_FOLDER = Path(__file__).parent
_ACCOUNT = "2411"
_LOOK_SECONDS = 0.2
_PREPARE_SECONDS_MAX = 120
_UNLIMITED = 1_000_000
_LIMITS: dict[str, dict[str, Any]] = {
    CRM: {
        "burst": {"calls": _UNLIMITED, "window_seconds": 1},
        "day": {"calls": _UNLIMITED * 100},
    },
    CLOCK: {"general": {"calls": _UNLIMITED, "window_seconds": 1}},
    ERP: {"courtesy": {"calls": _UNLIMITED, "window_seconds": 1}},
}
_ACTIVE = """
    SELECT p.plan_id::text AS plan_id, p.deal_ref, p.active_at, min(v.recorded_at) AS read_at
    FROM provisioning_plan p
    JOIN source_version v ON v.connection_key = p.connection_key AND v.source_ref = p.deal_ref
     AND v.noun = 'Opportunity' AND (v.data ->> 'is_won')::boolean
    WHERE p.state = 'active' GROUP BY p.plan_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """The vendors' servers."""

    crm: Vendor
    clock: Vendor
    erp: Vendor

    @property
    def all(self) -> tuple[Vendor, ...]:
        return (self.crm, self.clock, self.erp)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Win the deals and return every figure."""
    firm = Firm(deals=arguments.deals, today=datetime.now(UTC).date())
    with own_home("provisioning") as settings:
        calls = settings.home / "calls.jsonl"
        with _announced(settings.home), ThreadPoolExecutor(max_workers=4) as pool:
            opened = _begin_town(settings, firm, pool, is_limited=arguments.forecast)
            cluster, _ = fresh_database(settings=settings, progress=_say)
            system = open_system(settings)
            town, places = opened()
            _install(system, firm, town, places, is_limited=arguments.forecast)
            _start_workers(settings, calls, count=arguments.workers)
            _wait(
                lambda: _is_read(system), seconds_max=_PREPARE_SECONDS_MAX, what="what stood before"
            )
            if arguments.webhooks:
                _send_webhooks(settings, town)
            for vendor in town.all:
                rule = {"name": "pause", "kind": "slow", "delay_ms": arguments.reply_ms}
                vendor.act("faults", {"add": [rule]})
            before = _processor_seconds(settings, cluster)
            won = _win(town, firm, per_second=arguments.per_second)
            forecast = _forecast(system, firm) if arguments.forecast else None
            limit = arguments.seconds_max
            _wait(lambda: _is_through(system, firm), seconds_max=limit, what="the last project")
            after = _processor_seconds(settings, cluster)
            for vendor in town.all:
                vendor.act("faults", {"disarm": ["pause"]})
            figures = _figures(system, town, won, calls, forecast)
            processes.clear(settings.run_directory)
            figures["processor_milliseconds_of_a_deal"] = {
                name: round((after[name] - before[name]) * 1000 / firm.deals) for name in after
            }
            with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
                figures["machine"] = describe_machine(admin)
            system.database.close()
    return {
        "deals": firm.deals,
        "per_second": arguments.per_second,
        "reply_ms": arguments.reply_ms,
        "workers": arguments.workers,
        **figures,
    }


# -- before the first deal is won ----------------------------------------------------------------------


def _begin_town(
    settings: Settings, firm: Firm, pool: ThreadPoolExecutor, *, is_limited: bool
) -> Callable[[], tuple[Town, dict[str, Place]]]:
    """Begin to start the vendors all at once; return what waits for them."""
    control, token, hook = (secrets.token_urlsafe(18) for _ in range(3))
    people = settings.home / "people.json"
    people.write_text(json.dumps(firm.employees()), encoding="utf-8")
    limit = () if is_limited else ("--requests-max", str(_UNLIMITED))
    crm = pool.submit(
        _vendor, settings, "crm", "tieline.sandbox.hubspot",
        ["--directory", str(settings.home / "crm"), *limit],
        {CONTROL: control, "TIELINE_SANDBOX_HUBSPOT_TOKEN": token,
         "TIELINE_SANDBOX_WEBHOOK_SECRET": hook},
    )  # fmt: skip
    clock = pool.submit(
        _vendor, settings, "clock", "tieline.sandbox.harvest",
        ["--directory", str(settings.home / "clock"), "--account", _ACCOUNT, *limit],
        {CONTROL: control, "TIELINE_SANDBOX_HARVEST_TOKEN": token},
    )  # fmt: skip
    erp = pool.submit(
        _vendor, settings, "erp", erp_server.__name__, ["--people", str(people)],
        {CONTROL: control, erp_server.TOKEN_VARIABLE: token},
    )  # fmt: skip

    def opened() -> tuple[Town, dict[str, Place]]:
        town = Town(crm=crm.result(), clock=clock.result(), erp=erp.result())
        town.clock.act("load", firm.users())
        return town, {
            CRM: Place(url=town.crm.url, secrets={"access_token": token, "client_secret": hook}),
            CLOCK: Place(
                url=town.clock.url, secrets={"access_token": token, "account_id": _ACCOUNT}
            ),
            ERP: Place(url=town.erp.url, secrets={"token": token}),
        }

    return opened


def _vendor(
    settings: Settings, name: str, module: str, arguments: list[str], words: dict[str, str]
) -> Vendor:
    return start_vendor(
        settings=settings, name=name, module=module, arguments=arguments, secret_words=words
    )


def _install(
    system: System, firm: Firm, town: Town, places: dict[str, Place], *, is_limited: bool
) -> None:
    drop = system.settings.home / "drop"
    drop.mkdir()
    (drop / "staffing.csv").write_text(firm.staffing(), encoding="utf-8")
    now = system.clock.now()
    with system.database.transaction() as connection:
        create_entity(connection, entity=firm.entity, now=now)
        open_periods(
            connection, entity=firm.entity, starts_on=firm.starts_on, ends_on=firm.ends_on,
            opened_by="benchmark", now=now,
        )  # fmt: skip
        for setup in connections(
            crm=places[CRM], clock=places[CLOCK], erp=places[ERP], drop=str(drop),
            limits={} if is_limited else _LIMITS,
        ):  # fmt: skip
            connect(connection, key=system.master_key, setup=setup, now=now)
        release_id = draft_release(
            connection, title="The rules that ship", rules=builtin_rules(),
            values=builtin_values(), overrides=(), proposed_by="ann", reason="a benchmark", now=now,
        )  # fmt: skip
        approve_release(connection, release_id=release_id, approved_by="bob", now=now)
    crm: Any = system.connectors.get(connection_key=CRM)
    crm.create_properties(crm.missing_properties())
    town.crm.act("load", firm.crm())


@contextmanager
def _announced(home: Path) -> Iterator[None]:
    """Let the ERP's connector be found as that of any installed package is, here and in the workers."""
    plugins = home / "plugins"
    facts = plugins / "provisioning_erp-1.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: provisioning_erp\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        "[tieline.connectors]\nprovisioning_erp = provisioning_erp\n"
    )
    before = os.environ.get("PYTHONPATH", "")
    own = [str(plugins), str(_FOLDER)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*own, *filter(None, [before])])
    sys.path[:0] = own
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = before
        for path in own:
            sys.path.remove(path)


def _start_workers(settings: Settings, calls: Path, *, count: int) -> None:
    for number in range(1, count + 1):
        process = processes.spawn(
            name=f"worker-{number}",
            module="provisioning_worker",
            arguments=[],
            log_file=settings.log_directory / f"worker-{number}.log",
            environment={**worker_environment(settings), CALLS_VARIABLE: str(calls)},
        )
        processes.remember(settings.run_directory, name=f"worker-{number}", pid=process.pid)


def _send_webhooks(settings: Settings, town: Town) -> None:
    web = processes.start(
        name="console",
        module="tieline.app",
        arguments=["web"],
        run_file=settings.run_directory / "console.json",
        log_file=settings.log_directory / "console.log",
        environment=worker_environment(settings),
        wait_seconds=_PREPARE_SECONDS_MAX,
    )
    town.crm.act("webhooks", {"target": f"{web.url}/v1/webhooks/{CRM}"})


def _is_read(system: System) -> bool:
    """Everybody is known, and every deal that is not won yet."""
    with system.database.transaction() as connection:
        row = connection.execute(
            """
            SELECT (SELECT count(*) FROM stream_cursor WHERE read_at IS NOT NULL) AS streams,
                   (SELECT count(*) FROM crosswalk WHERE noun IN ('person', 'employee')) AS people
            """
        ).fetchone()
    return row is not None and row["streams"] >= 7 and row["people"] >= 16


# -- while they are won --------------------------------------------------------------------------------


def _win(town: Town, firm: Firm, *, per_second: int) -> dict[str, float]:
    """Win each deal at its time; return when each was won, by its number in the CRM."""
    won: dict[str, float] = {}
    began = time.time()
    for number, key in enumerate(firm.deal_keys()):
        time.sleep(max(0.0, began + number / per_second - time.time()))
        at = time.time()
        won[town.crm.act("win", {"deal_id": key})["deal_id"]] = at
    return won


def _is_through(system: System, firm: Firm) -> bool:
    with system.database.transaction() as connection:
        states = count_deal_plans(connection)
        waiting = connection.execute(
            "SELECT count(*) AS count FROM work_item WHERE kind = 'provision' AND state <> 'done'"
        ).fetchone()
    return states.get("active", 0) == firm.deals and waiting is not None and not waiting["count"]


def _wait(is_done: Callable[[], bool], *, seconds_max: int, what: str) -> None:
    ends = time.monotonic() + seconds_max
    while not is_done():
        if time.monotonic() > ends:
            _say(f"{what} took longer than {seconds_max} seconds")
            return
        time.sleep(_LOOK_SECONDS)


# -- what came of it -----------------------------------------------------------------------------------


def _figures(
    system: System,
    town: Town,
    won: dict[str, float],
    calls: Path,
    forecast: tuple[float, float] | None,
) -> dict[str, Any]:
    with system.database.transaction() as connection:
        rows = connection.execute(_ACTIVE).fetchall()
        links = connection.execute(
            "SELECT noun, count(*) AS count, count(DISTINCT our_id) AS ours FROM crosswalk"
            " WHERE superseded_at IS NULL AND because LIKE 'plan:%' GROUP BY noun"
        ).fetchall()
    of_plan, reading = _read_calls(calls)
    walls, waits, reads = [], [], []
    for row in rows:
        began, ended = won[row["deal_ref"]], row["active_at"].timestamp()
        own_calls = [call for call in of_plan.get(row["plan_id"], ()) if call[1] <= ended]
        read_at = row["read_at"].timestamp()
        waited = sum(end - start for start, end in own_calls)
        waited += _overlap(reading, began, read_at)
        walls.append(ended - began)
        waits.append(waited)
        reads.append(read_at - began)
    own = [wall - wait for wall, wait in zip(walls, waits, strict=True)]
    standing = town.erp.ask("standing")["standing"]
    figures: dict[str, Any] = {
        "active": len(rows),
        "links": {row["noun"]: row["count"] for row in links},
        "standing": {
            "erp": standing,
            "clock": _standing_in_clock(town),
        },
    }
    if len(rows) > 1:
        figures |= {
            "own_to_waiting_median": _ratio(own, waits, 50),
            "own_to_waiting_p99": _ratio(own, waits, 99),
            "seconds": {
                name: {f"p{p}": _at(values, p) for p in (50, 90, 99)}
                for name, values in (
                    ("won_to_active", walls),
                    ("waiting_for_replies", waits),
                    ("own", own),
                    ("won_to_read", reads),
                )
            },
            "seconds_total": round(
                max(row["active_at"].timestamp() for row in rows) - min(won.values()), 3
            ),
            "a_deal": _of_a_deal(calls, deals=len(rows)),
            "calls_of_a_deal": round(sum(map(len, of_plan.values())) / len(rows), 1),
        }
    if forecast is not None and rows:
        asked_at, told_at = forecast
        took = max(row["active_at"].timestamp() for row in rows) - asked_at
        figures |= {
            "forecast_seconds": round(told_at - asked_at, 1),
            "took_seconds": round(took, 1),
            "forecast_error": round(abs(told_at - asked_at - took) / took, 3),
        }
    return figures


def _of_a_deal(calls: Path, *, deals: int) -> dict[str, float]:
    """Return what carrying out a plan takes in our own process, whatever else the machine does."""
    lines = [json.loads(line) for line in calls.read_text(encoding="utf-8").splitlines()]
    runs = [line for line in lines if "statements" in line]
    return {
        "runs": round(len(runs) / deals, 2),
        "statements": round(sum(run["statements"] for run in runs) / deals, 1),
        "processor_milliseconds": round(sum(run["milliseconds"] for run in runs) / deals, 1),
    }


def _read_calls(
    path: Path,
) -> tuple[dict[str, list[tuple[float, float]]], list[tuple[float, float]]]:
    """Return the calls of each plan, and those by which the CRM was read, as they went."""
    of_plan: dict[str, list[tuple[float, float]]] = {}
    reading = []
    for line in path.read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        if "began" not in call:
            continue
        span = (call["began"], call["ended"])
        if call["plan"]:
            of_plan.setdefault(call["plan"], []).append(span)
        else:
            reading.append(span)
    return of_plan, sorted(reading)


def _overlap(spans: Sequence[tuple[float, float]], began: float, ended: float) -> float:
    """Return how much of a time some call was under way."""
    seconds, reached = 0.0, began
    for start, end in spans:
        first, last = max(start, reached), min(end, ended)
        if last > first:
            seconds += last - first
            reached = last
    return seconds


def _at(values: Sequence[float], percent: int) -> float:
    return round(quantiles(values, n=100, method="inclusive")[percent - 1], 3)


def _ratio(own: Sequence[float], waits: Sequence[float], percent: int) -> float:
    return round(_at(own, percent) / _at(waits, percent), 3)


def _standing_in_clock(town: Town) -> dict[str, int]:
    lines = town.clock.ask("journal")["journal"]
    newest = {(line["table"], line["id"]): line["record"] for line in lines}
    return dict(Counter(table for (table, _), record in newest.items() if record))


def _processor_seconds(settings: Settings, cluster: EmbeddedCluster) -> dict[str, float]:
    """Return what our workers and our database took of the processors so far."""
    facts = {
        path.stem: json.loads(path.read_text()) for path in settings.run_directory.glob("*.json")
    }
    workers = [each["pid"] for name, each in facts.items() if name.startswith("worker-")]
    postmaster = int((cluster.data_directory / "postmaster.pid").read_text().split()[0])
    children = [
        pid
        for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
        if _stat(pid)[1] == postmaster
    ]
    return {
        "workers": sum(_stat(pid)[0] for pid in workers),
        "database": sum(_stat(pid)[0] for pid in (postmaster, *children)),
    }


def _stat(pid: int) -> tuple[float, int]:
    """Return a process's processor seconds, those of its children that ended included, and its parent."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0, 0
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"), int(fields[1])


def _forecast(system: System, firm: Firm) -> tuple[float, float]:
    """Ask when the last one will be active once all are known, and some are; return when, and by when."""

    def is_planned() -> bool:
        with system.database.transaction() as connection:
            states = count_deal_plans(connection)
        return bool(sum(states.values()) == firm.deals and states.get("active", 0) > 0)

    _wait(is_planned, seconds_max=_PREPARE_SECONDS_MAX, what="planning")
    now = system.clock.now()
    with system.database.transaction() as connection:
        found = forecast_handover(connection, states=count_deal_plans(connection), now=now)
    _say(f"{found}")
    return now.timestamp(), (found.through_at or now).timestamp()


def _say(told: str) -> None:
    print(told, file=sys.stderr)


def main() -> None:
    """Parse the command line, measure, print; exit 1 where a deal is not active once in each system."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deals", type=int, default=600)
    parser.add_argument("--per-second", type=int, default=10)
    parser.add_argument("--reply-ms", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds-max", type=int, default=1800)
    parser.add_argument("--forecast", action="store_true")
    parser.add_argument("--webhooks", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    figures = measure(arguments)
    print(json.dumps(figures) if arguments.json else json.dumps(figures, indent=2))
    sys.exit(0 if _is_complete(figures) else 1)


def _is_complete(figures: dict[str, Any]) -> bool:
    """Every deal is active, and each system has what it becomes once."""
    standing = figures["standing"]
    once = [standing["erp"].get(noun) for noun in ("client", "contract", "project", "task")]
    once += [
        standing["clock"].get(table)
        for table in ("clients", "projects", "task_assignments", "user_assignments")
    ]
    return {figures["active"], *once} == {figures["deals"]}


if __name__ == "__main__":
    main()

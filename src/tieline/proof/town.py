"""Bring a firm's systems up: our database, the ERP with its own, and the vendors with their moods."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tieline.kernel.errors import MendTieline
from tieline.kernel.shipped import shipped
from tieline.proof import processes
from tieline.runtime.migrate import DATABASE, Dsns, prepare_database
from tieline.runtime.postgres import EmbeddedCluster
from tieline.sandbox import erp
from tieline.settings import Settings

_ERP_LOCK = "requirements/tryton.txt"
ERP_DATABASE = "erp"
POSTGRES_PORT = 5432
HARVEST_ACCOUNT = "2411"
CONTROL = "TIELINE_SANDBOX_TOKEN"
_CONTROL_TIMEOUT_SECONDS = 60
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A simulated vendor's server and the way to act as the people in it."""

    name: str
    url: str
    control_token: str = field(repr=False)

    def act(self, verb: str, body: Mapping[str, Any]) -> Any:
        """Do what a person does in the vendor's own pages.

        :raises MendTieline: the vendor's server did not understand it.
        """
        return self._call("POST", verb, body)

    def ask(self, verb: str) -> Any:
        """Read the vendor's journal, faults or state."""
        return self._call("GET", verb, None)

    def _call(self, method: str, verb: str, body: Mapping[str, Any] | None) -> Any:
        answer = httpx.request(
            method,
            f"{self.url}/_sandbox/{verb}",
            json=body,
            headers={"X-Sandbox-Token": self.control_token},
            timeout=_CONTROL_TIMEOUT_SECONDS,
            # It is on this machine, whatever proxy leads out of it.
            trust_env=False,
        )
        if answer.status_code != httpx.codes.OK:
            raise MendTieline(
                f"{self.name} refused {verb}: {answer.status_code} {answer.text[:300]}"
            )
        return answer.json()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """The time tool and the CRM with the secrets to enter them, and the board that acts on them."""

    harvest: Vendor
    hubspot: Vendor
    board: Vendor
    harvest_token: str = field(repr=False)
    harvest_account: str
    hubspot_token: str = field(repr=False)
    hubspot_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Everything that runs, and the secrets to enter it."""

    dsns: Dsns
    cluster: EmbeddedCluster
    erp: erp.RunningErp
    tryton: Vendor
    vendors: Vendors | None

    @property
    def harvest(self) -> Vendor:
        return self.saas.harvest

    @property
    def hubspot(self) -> Vendor:
        return self.saas.hubspot

    @property
    def board(self) -> Vendor:
        return self.saas.board

    @property
    def saas(self) -> Vendors:
        """Return the simulated vendors.

        :raises MendTieline: this town has none.
        """
        if self.vendors is None:
            raise MendTieline("this town has an ERP alone")
        return self.vendors


def build_town(
    *,
    settings: Settings,
    firm_seed: Mapping[str, Any],
    now: datetime,
    progress: Progress,
    on_database: Callable[[], None],
) -> Town:
    """Start every system of a fresh firm; what a killed demo left behind is cleared first.

    ``on_database`` is called as soon as our database stands, while the ERP still comes up: what needs
    no system but ours is done there.
    """
    for name in processes.clear(settings.run_directory):
        progress(f"cleared {name}, left behind by an earlier run")
    tokens = [secrets.token_urlsafe(18) for _ in range(4)]
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="town") as pool:
        erp_ready: Future[erp.RunningErp] = pool.submit(
            _erp, settings=settings, firm_seed=firm_seed, progress=progress
        )
        vendors_ready = pool.submit(_crm_and_time_tool, settings=settings, tokens=tokens)
        cluster, dsns = fresh_database(settings=settings, progress=progress)
        on_database()
        hubspot, harvest = vendors_ready.result()
        if not erp_ready.done():
            progress("waiting for the ERP")
        running = erp_ready.result()
    tryton = _proxy(settings=settings, upstream=running.server.url, control=tokens[2])
    board = _board(
        settings=settings, running=running, front=tryton, hubspot=hubspot, harvest=harvest
    )
    for vendor in (harvest, hubspot, board):
        vendor.act("clock", {"now": now.isoformat()})
    return Town(
        dsns=dsns,
        cluster=cluster,
        erp=running,
        tryton=tryton,
        vendors=Vendors(
            harvest=harvest,
            hubspot=hubspot,
            board=board,
            harvest_token=tokens[3],
            harvest_account=HARVEST_ACCOUNT,
            hubspot_token=tokens[0],
            hubspot_secret=tokens[1],
        ),
    )


def build_erp_town(
    *,
    settings: Settings,
    firm_seed: Mapping[str, Any],
    progress: Progress,
    front_options: Sequence[str] = (),
) -> Town:
    """Start our database and the ERP alone, for hours that come as files."""
    for name in processes.clear(settings.run_directory):
        progress(f"cleared {name}, left behind by an earlier run")
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="town") as pool:
        erp_ready: Future[erp.RunningErp] = pool.submit(
            _erp, settings=settings, firm_seed=firm_seed, progress=progress
        )
        cluster, dsns = fresh_database(settings=settings, progress=progress)
        running = erp_ready.result()
    control = secrets.token_urlsafe(18)
    tryton = _proxy(*front_options, settings=settings, upstream=running.server.url, control=control)
    return Town(dsns=dsns, cluster=cluster, erp=running, tryton=tryton, vendors=None)


def close_town(settings: Settings) -> None:
    """End every process of a town and its two database servers; their data stay."""
    processes.clear(settings.run_directory)
    for directory in (settings.postgres_directory, _erp_cluster_directory(settings)):
        EmbeddedCluster(directory).stop()


def erp_directory(settings: Settings) -> Path:
    """Return where a demo keeps its ERP; a home that has none was never a demo's."""
    return settings.home / "erp"


def _erp_cluster_directory(settings: Settings) -> Path:
    return erp_directory(settings) / "pg"


def fresh_database(*, settings: Settings, progress: Progress) -> tuple[EmbeddedCluster, Dsns]:
    """Start our own database with nothing in it."""
    started = time.monotonic()
    cluster = EmbeddedCluster(settings.postgres_directory)
    cluster.ensure_running()
    with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
        admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE))
        )
    dsns = prepare_database(cluster, secrets_directory=settings.secrets_directory)
    progress(f"our database is ready ({time.monotonic() - started:.1f} s)")
    return cluster, dsns


def _erp(*, settings: Settings, firm_seed: Mapping[str, Any], progress: Progress) -> erp.RunningErp:
    started = time.monotonic()
    cluster = EmbeddedCluster(_erp_cluster_directory(settings))
    cluster.ensure_running()
    facts = conninfo_to_dict(cluster.superuser_dsn)
    running = erp.bring_up(
        cluster=erp.Cluster(
            socket_directory=cluster.socket_directory,
            port=POSTGRES_PORT,
            superuser=str(facts["user"]),
            password=str(facts["password"]),
            bin_directory=cluster.bin_directory,
        ),
        cache=settings.cache,
        lock=shipped(_ERP_LOCK),
        directory=erp_directory(settings),
        run_file=settings.run_directory / "tryton.json",
        database=ERP_DATABASE,
        firm=firm_seed,
        is_fresh=True,
        progress=progress,
    )
    progress(f"the ERP is ready ({time.monotonic() - started:.1f} s)")
    return running


def start_vendor(
    *,
    settings: Settings,
    name: str,
    module: str,
    arguments: list[str],
    secret_words: Mapping[str, str],
) -> Vendor:
    """Start the server of a simulated vendor and wait until it says where it listens."""
    # Secrets travel in the environment: a command line is there for everybody to read.
    run_file = settings.run_directory / f"{name}.json"
    running = processes.start(
        name=name,
        module=module,
        arguments=["--run-file", str(run_file), *arguments],
        run_file=run_file,
        log_file=settings.log_directory / f"{name}.log",
        environment=secret_words,
    )
    return Vendor(name=name, url=running.url, control_token=secret_words[CONTROL])


def _crm_and_time_tool(*, settings: Settings, tokens: Sequence[str]) -> tuple[Vendor, Vendor]:
    return (
        _hubspot(settings=settings, token=tokens[0], secret=tokens[1], control=tokens[2]),
        _harvest(settings=settings, token=tokens[3], control=tokens[2]),
    )


def _fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _hubspot(*, settings: Settings, token: str, secret: str, control: str) -> Vendor:
    directory = _fresh(settings.home / "sandbox" / "hubspot")
    return start_vendor(
        settings=settings,
        name="hubspot",
        module="tieline.sandbox.hubspot",
        arguments=["--directory", str(directory)],
        secret_words={
            CONTROL: control,
            "TIELINE_SANDBOX_HUBSPOT_TOKEN": token,
            "TIELINE_SANDBOX_WEBHOOK_SECRET": secret,
        },
    )


def _harvest(*, settings: Settings, token: str, control: str) -> Vendor:
    directory = _fresh(settings.home / "sandbox" / "harvest")
    return start_vendor(
        settings=settings,
        name="harvest",
        module="tieline.sandbox.harvest",
        arguments=["--directory", str(directory), "--account", HARVEST_ACCOUNT],
        secret_words={CONTROL: control, "TIELINE_SANDBOX_HARVEST_TOKEN": token},
    )


def _proxy(*options: str, settings: Settings, upstream: str, control: str) -> Vendor:
    log = settings.home / "sandbox" / "tryton-faults.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    return start_vendor(
        settings=settings,
        name="tryton-front",
        module="tieline.sandbox.front",
        arguments=["--upstream", upstream, "--log", str(log), "--name", "tryton", *options],
        secret_words={CONTROL: control},
    )


def _board(
    *, settings: Settings, running: erp.RunningErp, front: Vendor, hubspot: Vendor, harvest: Vendor
) -> Vendor:
    return start_vendor(
        settings=settings,
        name="board",
        module="tieline.sandbox.board",
        arguments=[
            *("--hubspot", hubspot.url, "--harvest", harvest.url, "--front", front.url),
            *("--erp", running.server.url, "--erp-database", running.server.database),
            *("--console", str(settings.run_directory / "console.json")),
        ],
        secret_words={
            CONTROL: front.control_token,
            "TIELINE_SANDBOX_ERP_PASSWORD": running.template.admin_password,
        },
    )

"""The composition root: the only place that chooses concrete things."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import urlsplit

import structlog

from tieline import __version__, cli
from tieline.console import words
from tieline.intake import Reader
from tieline.kernel.clock import Clock
from tieline.kernel.errors import AskPerson
from tieline.kernel.limits import Limit
from tieline.posting import Poster
from tieline.posting.lines import LinePoster
from tieline.proof import books
from tieline.runtime.budget import Budgets, Call, calls_of
from tieline.runtime.clock import LatestClock, open_clock
from tieline.runtime.database import Database
from tieline.runtime.executor import LEASE_SECONDS, new_executor_id
from tieline.runtime.leases import Fence, Leases
from tieline.runtime.migrate import Dsns, prepare_database
from tieline.runtime.postgres import EmbeddedCluster
from tieline.runtime.secrets import Secrets, open_master_key
from tieline.runtime.telemetry import configure_logging
from tieline.runtime.work import Handler, Outcome, Steps
from tieline.sdk import Capabilities, Connection
from tieline.services.fitness import refuse_unfit, why_no_call
from tieline.services.message_text import Speech
from tieline.services.restoring import notice
from tieline.services.system import System
from tieline.services.time_validation import TimeValidation
from tieline.settings import Environment, Settings

BUILT_IN = {
    "harvest": "tieline.connectors.harvest",
    "hubspot": "tieline.connectors.hubspot",
    "tryton": "tieline.connectors.tryton",
    "filedrop": "tieline.connectors.filedrop",
    "webhook": "tieline.connectors.webhook",
    "mail": "tieline.connectors.mail",
    "jira_service": "tieline.connectors.jira_service",
}
ENTRY_POINT_GROUP = "tieline.connectors"
_PORTS = {"https": 443, "http": 80, "smtps": 465, "smtp": 587}


def main() -> None:
    """Run the command line; the exit code is 0 only when the goal of the command holds."""
    sys.exit(
        cli.run(
            open_system=open_system,
            run_worker=run_worker,
            run_web=run_web,
            connector_packages=connector_packages,
            systems=InstalledSystems(),
        )
    )


def open_system(settings: Settings, *, pool_max: int = 8) -> System:
    """Put one process's view of an installation together."""
    configure_logging(level=settings.log_level)
    refuse_unfit(settings, variables=os.environ)
    settings.prepare_folders()
    dsns = _dsns(settings)
    clock = open_clock(settings=settings)
    database = Database(dsns.worker, pool_max=pool_max, application_name="tieline-worker").open()
    notice(database, home=settings.home, now=clock.now())
    master_key = open_master_key(secrets_directory=settings.secrets_directory)
    secrets = Secrets(database=database, key=master_key)
    fence = Fence()
    # One name for everything this process holds: when it is lost, all of it is free.
    executor_id = new_executor_id()
    budgets = Budgets(database=database, holder=executor_id)
    connectors = ConfiguredConnectors(
        database=database,
        secrets=secrets,
        budgets=budgets,
        fence=fence,
        environment=settings.environment,
        clock=LatestClock(business=clock),
    )
    time_validation = TimeValidation(
        database=database,
        line_poster=LinePoster(
            database=database, connectors=connectors, budgets=budgets, clock=clock
        ),
        clock=clock,
    )
    reader = Reader(
        database=database,
        connectors=connectors,
        leases=Leases(database=database, holder=executor_id),
        clock=clock,
        material_key=master_key.derive(purpose="material"),
        on_batch=time_validation.batch_landed,
    )
    return System(
        settings=settings,
        clock=clock,
        database=database,
        web_database=Database(dsns.web, pool_max=pool_max, application_name="tieline-web"),
        judge_database=Database(dsns.judge, pool_max=4, application_name="tieline-judge"),
        master_key=master_key,
        pepper=master_key.derive(purpose="pepper"),
        connectors=connectors,
        systems=InstalledSystems(),
        budgets=budgets,
        fence=fence,
        executor_id=executor_id,
        reader=reader,
        poster=Poster(database=database, connectors=connectors, budgets=budgets, clock=clock),
        time_validation=time_validation,
        # A message says what a page says.
        speech=Speech(
            say_reason=words.reason, say_system=words.system_name, web_url=settings.web_url
        ),
    )


def run_worker(
    settings: Settings, *, lease_seconds: int = LEASE_SECONDS, version: str = __version__
) -> int:
    """Work until told to stop; ``version`` is another one where a proof installs anew."""
    # Whoever does not work does not wait for the engine to load.
    from tieline.runtime.worker import Worker
    from tieline.services.workday import CLASSES, KEEPS_STEPS, OWN_SLOTS, Workday

    system = open_system(settings)
    workday = Workday(system=system)
    worker = Worker(
        worker_dsn=_dsns(settings).worker,
        database=system.database,
        handlers={
            kind: _paced(handler, CLASSES[kind]) for kind, handler in workday.handlers().items()
        },
        jobs=workday.jobs(),
        own_slots=OWN_SLOTS,
        keeps_steps=KEEPS_STEPS,
        clock=system.clock,
        fence=system.fence,
        executor_id=system.executor_id,
        lease_seconds=lease_seconds,
        version=version,
    )
    return worker.run()


def run_web(settings: Settings) -> int:
    """Serve the API and the console until told to stop."""
    # Pages and addresses take as long to load as all the rest: only who serves them waits for it.
    from tieline.console.application import create_web
    from tieline.console.assets import build_assets
    from tieline.console.serving import serve

    assets = build_assets(cache=settings.cache)
    if assets.notice:
        structlog.get_logger().warning("console.plain", why=assets.notice)
    application = create_web(open_system(settings), assets=assets)
    host, port = settings.listen
    return serve(
        application,
        run_directory=settings.run_directory,
        notice=assets.notice,
        host=host,
        port=port,
    )


def _paced(handler: Handler, work_class: int) -> Handler:
    # The calls a handler makes count under its own class, so that billing finds room.
    def run(steps: Steps, subject: str) -> Outcome:
        with calls_of(work_class=work_class):
            return handler(steps, subject)

    return run


def _dsns(settings: Settings) -> Dsns:
    if settings.dsn is not None:
        return prepare_database(settings.dsn, secrets_directory=settings.secrets_directory)
    cluster = EmbeddedCluster(settings.postgres_directory)
    cluster.ensure_running()
    return prepare_database(cluster, secrets_directory=settings.secrets_directory)


@dataclass(slots=True, kw_only=True)
class ConfiguredConnectors:
    """Build connectors from the connections table, anew when configuration or a credential changed."""

    database: Database
    secrets: Secrets
    budgets: Budgets
    fence: Fence = field(default_factory=Fence)
    clock: Clock | None = None
    environment: Environment = field(default_factory=Environment)
    _built: dict[str, tuple[str, Any, Capabilities]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, *, connection_key: str) -> Any:
        return self._of(connection_key)[1]

    def capabilities(self, *, connection_key: str) -> Capabilities:
        # What a system can do changes with its release alone, whatever its connection says.
        with self._lock:
            known = self._built.get(connection_key)
        return self._of(connection_key)[2] if known is None else known[2]

    def _of(self, connection_key: str) -> tuple[str, Any, Capabilities]:
        with self.database.statement() as connection:
            row = connection.execute(
                "SELECT system, config, md5(config::text || coalesce((SELECT"
                " string_agg(md5(s::text), ',' ORDER BY s.name) FROM secret s"
                " WHERE s.connection_key = c.connection_key), '')) AS state"
                " FROM connection c WHERE connection_key = %s",
                (connection_key,),
            ).fetchone()
        if row is None:
            raise LookupError(f"no connection is called {connection_key}")
        with self._lock:
            known = self._built.get(connection_key)
        if known is not None and known[0] == row["state"]:
            return known
        with self.database.statement() as connection:
            names = connection.execute(
                "SELECT name FROM secret WHERE connection_key = %s", (connection_key,)
            ).fetchall()
        secret_words = {
            name["name"]: self.secrets.get(connection_key=connection_key, name=name["name"])
            for name in names
        }
        built = self._build(connection_key, row, secret_words)
        with self._lock:
            self._built[connection_key] = built
        return built

    def _build(
        self, connection_key: str, row: Mapping[str, Any], secret_words: Mapping[str, str]
    ) -> tuple[str, Any, Capabilities]:
        because = why_no_call(self.environment, row["config"])
        if because is not None:
            raise AskPerson(f"{connection_key}: {because}")
        module = _module(row["system"])
        capabilities: Capabilities = module.MANIFEST
        limits = capabilities.limits_of(row["config"])
        if limits:
            self.budgets.configure(connection_key=connection_key, limits=limits)
        connection = as_connection(
            connection_key,
            config=row["config"],
            secrets=secret_words,
            budgets=self.budgets,
            limits=limits,
            fence=self.fence,
            clock=self.clock,
        )
        try:
            return row["state"], module.build(connection), capabilities
        except KeyError as error:
            raise AskPerson(f"{connection_key} has no {error.args[0]} stored") from error


@dataclass(frozen=True, slots=True)
class InstalledSystems:
    """Know every connector package that is installed, whether a connection uses it or not."""

    def names(self) -> Sequence[str]:
        return sorted(connector_packages())

    def manifest(self, *, system: str) -> Capabilities:
        manifest: Capabilities = _module(system).MANIFEST
        return manifest

    def build(
        self,
        *,
        system: str,
        connection_key: str,
        config: Mapping[str, Any],
        secrets: Mapping[str, str],
    ) -> Any:
        connection = as_connection(connection_key, config=config, secrets=secrets, budgets=None)
        return _module(system).build(connection)


def _module(system: str) -> Any:
    # What a proof writes into is connected by the proof alone, and offered to nobody.
    packages = {**connector_packages(), **books.PACKAGES}
    if system not in packages:
        raise LookupError(f"{system} is no installed system: {', '.join(sorted(packages))}")
    return importlib.import_module(packages[system] + ".connector")


def as_connection(
    connection_key: str,
    *,
    config: Mapping[str, Any],
    secrets: Mapping[str, str],
    budgets: Budgets | None,
    limits: Sequence[Limit] = (),
    fence: Fence | None = None,
    clock: Clock | None = None,
) -> Connection:
    """Return what a connector is given; only the host of its own address is allowed.

    Without budgets it is not paced: a check before saving has no row to count in.
    """

    def pace() -> Call | None:
        if budgets is None:
            return None
        return budgets.wait(connection_key=connection_key, limits=limits)

    address = str(config.get("base_url", ""))
    return Connection(
        connection_key=connection_key,
        base_url=address,
        config=config,
        secrets=secrets,
        allowed_hosts=frozenset([*_hosts(address), *config.get("allowed_hosts", ())]),
        timeout_seconds=int(config.get("timeout_seconds", 10)),
        before_call=pace,
        before_write=None if fence is None else fence.check,
        clock=clock,
    )


def connector_packages() -> dict[str, str]:
    """Return the package of every known system: ours and those that other packages announce."""
    found = {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    return {**found, **BUILT_IN}


def _hosts(address: str) -> Sequence[str]:
    try:
        parts = urlsplit(address)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        # Whoever calls it says so; nothing is allowed meanwhile.
        return ()
    return (f"{parts.hostname}:{port}",) if parts.hostname else ()


if __name__ == "__main__":
    main()

"""An activated and seeded Tryton database in a file, restored in a second instead of a minute."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tieline.sandbox.erp import seed as seed_module
from tieline.sandbox.erp.cluster import (
    Cluster,
    create_database,
    drop_database,
    dump_database,
    find_label,
    label_database,
    load_database,
)
from tieline.sandbox.erp.environment import Progress, held, lock_hash
from tieline.sandbox.erp.rpc import RpcSession
from tieline.sandbox.erp.seed import SeededFirm, seed_firm
from tieline.sandbox.erp.server import start_server, stop_server, write_configuration

# project_plan is left out: deleting a project tree with allocations hangs a server thread.
MODULES = ("project_invoice", "project_revenue", "timesheet_cost", "sale")

_ACTIVATION_SECONDS_MAX = 600
_STATISTICS_SECONDS = 4
_BUSY_CATALOGS = ("pg_class", "pg_attribute", "pg_constraint", "pg_depend", "pg_index")
_KEEP_COMMITS_CHEAP = "-c jit=off -c synchronous_commit=off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Point to a dump and keep the logins that work in it."""

    path: Path
    admin_password: str = field(repr=False)
    firm: SeededFirm | None


def ensure_template(
    *,
    cluster: Cluster,
    cache: Path,
    lock: Path,
    environment: Path,
    firm: Mapping[str, Any] | None,
    progress: Progress,
) -> Template:
    """Return the dump of an activated database, seeded with the firm when one is given.

    The bare dump depends on the lock and the module list; the seeded one also on the firm and on
    the seed's own source, so a changed firm costs seconds and not an activation.
    """
    bare_hash = _hash(lock_hash(lock), *MODULES)
    with held(cache / f"tryton-template-{bare_hash}.lock"):
        bare = _find_template(cache / f"tryton-template-{bare_hash}.dump")
        if bare is None:
            progress("activating Tryton's modules, about half a minute, once")
            bare = _make_bare(
                cluster=cluster,
                environment=environment,
                path=cache / f"tryton-template-{bare_hash}.dump",
            )
    if firm is None:
        return bare
    source = Path(seed_module.__file__).read_text(encoding="utf-8")
    seeded_hash = _hash(bare_hash, source, json.dumps(firm, sort_keys=True))
    path = cache / f"tryton-template-{seeded_hash}.dump"
    with held(path.with_suffix(".lock")):
        seeded = _find_template(path)
        if seeded is None:
            progress("entering the firm into Tryton")
            seeded = _make_seeded(
                cluster=cluster,
                environment=environment,
                bare=bare,
                firm=firm,
                path=path,
            )
    return seeded


def restore_template(*, cluster: Cluster, template: Template, database: str) -> None:
    """Put a fresh copy of the template in place of the database.

    The file is loaded once per cluster, into a database that nobody touches; copies of that take a
    fraction of the time.
    """
    label = str(template.path)
    pristine = f"pristine_{_hash(label)}"
    with held(template.path.with_suffix(f".{_hash(str(cluster.socket_directory))}.lock")):
        if find_label(cluster=cluster, database=pristine) != label:
            drop_database(cluster=cluster, database=pristine)
            create_database(cluster=cluster, database=pristine)
            load_database(cluster=cluster, database=pristine, path=template.path)
            label_database(cluster=cluster, database=pristine, label=label)
        drop_database(cluster=cluster, database=database)
        create_database(cluster=cluster, database=database, template=pristine)
    label_database(cluster=cluster, database=database, label=label)


def find_restored(*, cluster: Cluster, database: str) -> Template | None:
    """Return the template a standing database was restored from, with the logins it holds."""
    label = find_label(cluster=cluster, database=database)
    return None if label is None else _find_template(Path(label))


def _make_bare(*, cluster: Cluster, environment: Path, path: Path) -> Template:
    password = secrets.token_urlsafe(18)
    with _scratch_database(cluster) as database:
        create_database(cluster=cluster, database=database)
        with _fresh_statistics(cluster=cluster, database=database):
            _activate(
                cluster=cluster,
                environment=environment,
                database=database,
                password=password,
            )
        dump_database(cluster=cluster, database=database, path=path)
    return _keep(Template(path=path, admin_password=password, firm=None))


def _make_seeded(
    *,
    cluster: Cluster,
    environment: Path,
    bare: Template,
    firm: Mapping[str, Any],
    path: Path,
) -> Template:
    with (
        _scratch_database(cluster) as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        restore_template(cluster=cluster, template=bare, database=database)
        run_file = Path(folder) / "run.json"
        server = start_server(
            environment=environment,
            cluster=cluster,
            database=database,
            directory=Path(folder),
            run_file=run_file,
        )
        try:
            session = RpcSession(
                url=server.url,
                database=database,
                login="admin",
                password=bare.admin_password,
            )
            seeded = seed_firm(session=session, firm=firm)
            session.close()
        finally:
            stop_server(run_file=run_file)
        dump_database(cluster=cluster, database=database, path=path)
    return _keep(Template(path=path, admin_password=bare.admin_password, firm=seeded))


def _activate(*, cluster: Cluster, environment: Path, database: str, password: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        configuration = write_configuration(cluster=cluster, path=Path(folder) / "trytond.conf")
        password_file = Path(folder) / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(password, encoding="utf-8")
        done = subprocess.run(
            [
                str(environment / "bin" / "python"),
                str(environment / "bin" / "trytond-admin"),
                "-c",
                str(configuration),
                "-d",
                database,
                "-u",
                "ir",
                *MODULES,
                "--activate-dependencies",
                "--email",
                "admin@example.org",
            ],
            env={
                **cluster.environment(options=_KEEP_COMMITS_CHEAP),
                "TRYTONPASSFILE": str(password_file),
            },
            capture_output=True,
            text=True,
            timeout=_ACTIVATION_SECONDS_MAX,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(f"trytond-admin ended with {done.returncode}: {done.stderr[-800:]}")


@contextmanager
def _scratch_database(cluster: Cluster) -> Iterator[str]:
    name = f"tryton_template_{os.getpid()}_{secrets.token_hex(4)}"
    try:
        yield name
    finally:
        drop_database(cluster=cluster, database=name)


@contextmanager
def _fresh_statistics(*, cluster: Cluster, database: str) -> Iterator[None]:
    """Keep the catalogs analyzed: activation asks them 10,000 times while they grow.

    Without it activation takes half as long again, because autovacuum looks once a minute.
    """
    is_over = threading.Event()
    errors: list[psycopg.Error] = []

    def analyze() -> None:
        try:
            with cluster.connect(database=database) as connection:
                while not is_over.wait(_STATISTICS_SECONDS):
                    for catalog in _BUSY_CATALOGS:
                        connection.execute(f"analyze pg_catalog.{catalog}".encode())
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=analyze, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if errors:
        raise errors[0]


def _hash(*words: str) -> str:
    digest = hashlib.sha256()
    for word in words:
        encoded = word.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()[:12]


def _facts_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _keep(template: Template) -> Template:
    facts = {
        "admin_password": template.admin_password,
        "firm": None if template.firm is None else asdict(template.firm),
    }
    path = _facts_path(template.path)
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts), encoding="utf-8")
    return template


def _find_template(path: Path) -> Template | None:
    facts_path = _facts_path(path)
    if not (path.exists() and facts_path.exists()):
        return None
    facts = json.loads(facts_path.read_text(encoding="utf-8"))
    firm = None if facts["firm"] is None else SeededFirm(**facts["firm"])
    return Template(path=path, admin_password=facts["admin_password"], firm=firm)

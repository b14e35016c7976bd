"""Everything between nothing and an answering Tryton, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tieline.sandbox.erp.cluster import Cluster
from tieline.sandbox.erp.environment import Progress, ensure_environment
from tieline.sandbox.erp.server import Server, find_server, start_server, stop_server
from tieline.sandbox.erp.template import (
    Template,
    ensure_template,
    find_restored,
    restore_template,
)
from tieline.sandbox.erp.web_client import web_client_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningErp:
    """Hold what a caller needs to talk to this Tryton and to restart it."""

    server: Server
    template: Template
    environment: Path
    cluster: Cluster


def bring_up(
    *,
    cluster: Cluster,
    cache: Path,
    lock: Path,
    directory: Path,
    run_file: Path,
    database: str,
    firm: Mapping[str, Any],
    is_fresh: bool,
    progress: Progress,
    port: int = 0,
) -> RunningErp:
    """Return a running Tryton that holds the firm.

    A database that is there is kept with whatever firm it was made for, unless ``is_fresh``.
    """
    environment = ensure_environment(cache=cache, lock=lock, title="Tryton 8.0", progress=progress)
    standing = None if is_fresh else find_restored(cluster=cluster, database=database)
    server = None if standing is None else find_server(run_file=run_file)
    template = standing or ensure_template(
        cluster=cluster,
        cache=cache,
        lock=lock,
        environment=environment,
        firm=firm,
        progress=progress,
    )
    if standing is None:
        stop_server(run_file=run_file)
        restore_template(cluster=cluster, template=template, database=database)
    if server is None:
        progress("starting Tryton")
        server = start_server(
            environment=environment,
            cluster=cluster,
            database=database,
            directory=directory,
            run_file=run_file,
            port=port,
            web_root=web_client_folder(cache=cache),
        )
    return RunningErp(server=server, template=template, environment=environment, cluster=cluster)

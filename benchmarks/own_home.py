"""A home that a benchmark makes for itself, with the database and the vendors in it, and removes at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tieline.proof.town import close_town
from tieline.runtime.postgres import EmbeddedCluster
from tieline.settings import HOME_VARIABLE, Settings, read_settings


@contextmanager
def own_home(name: str) -> Iterator[Settings]:
    """Lend the settings of a new home under TIELINE_HOME; end what runs in it and remove it."""
    home = Path(os.environ.get(HOME_VARIABLE) or tempfile.gettempdir())
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=home))
    folder.chmod(0o755)
    settings = replace(read_settings(), home=folder, dsn=None, log_level="warning")
    settings.prepare_folders()
    cluster = EmbeddedCluster(settings.postgres_directory)
    try:
        yield settings
    finally:
        data = cluster.data_directory
        close_town(settings)
        shutil.rmtree(cluster.socket_directory, ignore_errors=True)
        if folder not in data.parents:
            shutil.rmtree(data.parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)

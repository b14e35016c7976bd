"""How full the disks are that this installation writes on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tieline.runtime.postgres import EmbeddedCluster
from tieline.settings import Settings

# From here on nothing more is read: what is under way needs the room that is left.
FULL_PERCENT = 85
# A large disk has room enough for days when it is that full.
ENOUGH_BYTES = 10 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class LowDisk:
    """A disk that is too full, by a folder that lies on it."""

    folder: Path
    used_percent: int
    free_bytes: int

    def __str__(self) -> str:
        return (
            f"the disk of {self.folder} is {self.used_percent} % full,"
            f" {self.free_bytes // 1024**2} MiB are free"
        )


def folders_we_fill(settings: Settings) -> Sequence[Path]:
    """Return what lies on the disks that we fill; a server of one's own watches its own."""
    if settings.dsn is not None:
        return (settings.home,)
    return (settings.home, EmbeddedCluster(settings.postgres_directory).data_directory.parent)


def find_low_disk(folders: Sequence[Path]) -> LowDisk | None:
    """Return the fullest disk that is too full, None when there is room on all."""
    low = [found for folder in folders if (found := _look(folder)) is not None]
    return max(low, key=lambda each: each.used_percent, default=None)


def _look(folder: Path) -> LowDisk | None:
    # What is not there yet will lie where its parent does.
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    # What is kept back for the system is not ours to fill.
    ours = usage.used + usage.free
    percent = 100 * usage.used // ours if ours else 100
    if percent < FULL_PERCENT or usage.free >= ENOUGH_BYTES:
        return None
    return LowDisk(folder=folder, used_percent=percent, free_bytes=usage.free)

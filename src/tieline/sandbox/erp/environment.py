"""Virtual environments beside Tieline's: each its own lock and folder, never mixed with ours."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str], None]

_INSTALL_SECONDS_MAX = 600
_COMPLETE = "complete"


def lock_hash(lock: Path) -> str:
    """Return the first 12 hexadecimal digits of the lock file's SHA-256."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:12]


def ensure_environment(*, cache: Path, lock: Path, title: str, progress: Progress) -> Path:
    """Return the environment made from exactly this lock; make it when it is not there yet.

    :raises RuntimeError: what is locked could not be installed.
    """
    target = cache / f"{lock.stem}-venv-{lock_hash(lock)}"
    with held(cache / f"{target.name}.lock"):
        if (target / _COMPLETE).exists():
            return target
        shutil.rmtree(target, ignore_errors=True)
        progress(f"installing {title} in an environment of its own")
        _call([sys.executable, "-m", "venv", str(target)])
        _call(
            [
                str(target / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--require-hashes",
                "-r",
                str(lock),
            ]
        )
        (target / _COMPLETE).touch()
    return target


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file lock, so that two demos on one machine prepare a thing once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _call(command: list[str]) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-800:]
        raise RuntimeError(f"{' '.join(command[:5])} ended with {done.returncode}: {said}")

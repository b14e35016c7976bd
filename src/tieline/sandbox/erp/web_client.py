"""Tryton's own web client: fetched from the npm registry, locked by hash, served by trytond itself.

It is under the GPL as Tryton is; it runs in a browser and in trytond's process, never in one of ours.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

from tieline.sandbox.erp.environment import held

_LOCK_FILES = ("package.json", "package-lock.json")
_OWN = ("index.html", "dist", "images", "locale", "sounds", "LICENSE", "COPYRIGHT")
_TAKEN = re.compile(r'(?:src|href)="(node_modules/[^"]+)"')
_FETCH_SECONDS_MAX = 300
_SAID_MAX = 200


def web_client_folder(*, cache: Path) -> Path:
    """Return where the client of this lock is, or will be: trytond looks there at each request."""
    lock = files("tieline.sandbox.erp").joinpath("npm", "package-lock.json").read_bytes()
    return cache / f"tryton-web-client-{hashlib.sha256(lock).hexdigest()[:12]}"


def ensure_web_client(*, cache: Path) -> None:
    """Fetch the client unless it is there.

    :raises RuntimeError: there is no npm, or it could not fetch what is locked.
    """
    folder = web_client_folder(cache=cache)
    with held(cache / f"{folder.name}.lock"):
        if not folder.exists():
            _fetch(folder)


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("there is no npm on this machine")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as scratch:
        work = Path(scratch)
        for name in _LOCK_FILES:
            (work / name).write_bytes(
                files("tieline.sandbox.erp").joinpath("npm", name).read_bytes()
            )
        # Nothing of what is fetched runs here.
        _call(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            folder=work,
        )
        _keep(work, draft=work / "draft").replace(folder)


def _keep(work: Path, *, draft: Path) -> Path:
    """Copy what a browser asks for, and leave what the client was built with."""
    client = work / "node_modules" / "tryton-sao"
    draft.mkdir(mode=0o755)
    for name in _OWN:
        if (client / name).is_dir():
            shutil.copytree(client / name, draft / name)
        else:
            shutil.copyfile(client / name, draft / name)
    for taken in _TAKEN.findall((client / "index.html").read_text(encoding="utf-8")):
        (draft / taken).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work / taken, draft / taken)
    return draft


def _call(command: list[str], *, folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"npm did not end within {_FETCH_SECONDS_MAX} s") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise RuntimeError(f"npm could not fetch what is locked ({lines[0][:_SAID_MAX]})")

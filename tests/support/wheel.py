"""The product as it is installed: its wheel, and an environment that holds nothing else of it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PIP = "pip --disable-pip-version-check --no-input"


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into a folder."""
    _pip(*"wheel --quiet --no-deps --no-build-isolation --wheel-dir".split(), folder, ROOT)
    return next(folder.glob("tieline-*.whl"))


def install_wheel(folder: Path) -> Path:
    """Return the ``tieline`` of a fresh environment in a folder, installed from the wheel.

    What Tieline needs is lent by this environment, without its own installation in place.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    place = next((folder / "lib").glob("python*")) / "site-packages"
    (place / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _pip("--python", python, "install", "--no-deps", "--no-index", build_wheel(folder))
    return folder / "bin" / "tieline"


def _pip(*words: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", *_PIP.split(), *map(str, words)],
        check=True,
        capture_output=True,
        timeout=300,
    )

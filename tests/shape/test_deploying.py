"""What runs Tieline on a firm's machines: the unit is hardened, the image locked and nobody's root."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


class TestTheUnit:
    def test_is_understood_and_hardened(self, tmp_path: Path) -> None:
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            pytest.skip("systemd-analyze is not installed")
        unit = tmp_path / "tieline.service"
        text = (DEPLOY / "tieline.service").read_text(encoding="utf-8")
        # Only the program is not in its place here.
        unit.write_text(text.replace("/opt/tieline/bin/tieline", "/bin/true"), encoding="utf-8")

        understood = subprocess.run(
            [analyze, "verify", str(unit)], capture_output=True, text=True, check=False
        )
        exposed = subprocess.run(
            [analyze, "security", "--offline=true", "--threshold=20", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (understood.returncode, understood.stderr) == (0, "")
        assert exposed.returncode == 0, exposed.stdout


class TestTheImage:
    def test_is_locked_and_runs_as_nobody_special(self) -> None:
        text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")

        installed = re.findall(r"pip install (.*)", text)
        assert installed
        assert all("--require-hashes" in line or "--no-index" in line for line in installed)
        assert re.findall(r"^USER (\d+)$", text, re.MULTILINE) == ["10001"]

"""Assets are built once from what is locked; without them the console says so and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tieline.console import assets
from tieline.console.assets import build_assets


class TestAssets:
    def test_are_locked_by_version_and_hash(self) -> None:
        lock = json.loads((Path(assets.__file__).parent / "npm/package-lock.json").read_text())
        packages = {name: facts for name, facts in lock["packages"].items() if name}

        assert packages["node_modules/htmx.org"]["version"] == "4.0.1"
        assert packages["node_modules/echarts"]["version"] == "6.1.0"
        assert packages["node_modules/@tabler/core"]["version"] == "1.6.1"
        assert all(facts["integrity"].startswith("sha512-") for facts in packages.values())

    def test_that_cannot_be_built_are_told_in_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        npm = tmp_path / "bin"
        npm.mkdir()
        for name in ("npm", "node"):
            (npm / name).write_text("#!/bin/sh\necho 'no registry answers' >&2\nexit 1\n")
            (npm / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{npm}:/usr/bin:/bin")

        built = build_assets(cache=tmp_path / "cache")

        assert built.folder is None
        assert "no registry answers" in built.notice
        assert "\n" not in built.notice
        assert not list((tmp_path / "cache" / "console").iterdir())

    def test_that_stand_are_not_built_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = build_digest(tmp_path, monkeypatch)
        folder = tmp_path / "console" / digest
        folder.mkdir(parents=True)
        for name in assets._FILES:
            (folder / name).write_text("built before")

        assert build_assets(cache=tmp_path).folder == folder


def build_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of the folder, without building."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(assets, "_build", lambda *_, **__: None)
    return build_assets(cache=tmp_path).digest

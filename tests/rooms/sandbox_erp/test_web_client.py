"""Tryton's own web client is fetched as it is locked, and only what a browser asks for is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tieline.sandbox.erp import ensure_web_client
from tieline.sandbox.erp.web_client import web_client_folder

_NPM = """#!/bin/sh
echo "$@" > {said}
test -s package-lock.json || exit 1
mkdir -p node_modules/jquery node_modules/grunt node_modules/tryton-sao
cd node_modules
echo jquery > jquery/jquery.js
echo builds > grunt/grunt.js
cd tryton-sao
mkdir dist images locale sounds
echo '<script src="node_modules/jquery/jquery.js"></script>' > index.html
touch LICENSE COPYRIGHT Gruntfile.js dist/tryton-sao.js
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an npm of ours first in the path; return where it writes what it was asked."""
    folder, said = tmp_path / "bin", tmp_path / "said"
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(_NPM.format(said=said))
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    return said


class TestTheWebClient:
    def test_is_fetched_once_without_running_anything_of_it(
        self, said: Path, tmp_path: Path
    ) -> None:
        ensure_web_client(cache=tmp_path)
        words = said.read_text().split()
        said.unlink()
        ensure_web_client(cache=tmp_path)

        folder = web_client_folder(cache=tmp_path)
        kept = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert words[:2] == ["ci", "--ignore-scripts"]
        assert not said.exists()
        assert kept == {
            *("index.html", "LICENSE", "COPYRIGHT", "dist/tryton-sao.js"),
            "node_modules/jquery/jquery.js",
        }

    def test_is_left_out_where_it_cannot_be_fetched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(RuntimeError, match="there is no npm"):
            ensure_web_client(cache=tmp_path)

        assert not web_client_folder(cache=tmp_path).exists()

"""A file of hours is judged without a server: by the firm in it, or by the installation at hand."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from .conftest import Run

EXAMPLE = Path(__file__).parents[3] / "examples" / "hours.json"


class TestValidate:
    def test_needs_no_installation_and_leaves_nothing_behind(
        self, run_bare: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Not the test's own folder: the server's user must be able to reach it.
        folder = Path(tempfile.mkdtemp(prefix="tieline-test-"))
        folder.chmod(0o755)
        # As many as a file has, and a call has not: by a server as it is made, with the rights of its roles.
        told = json.loads(EXAMPLE.read_text(encoding="utf-8"))
        told["entries"] += [
            {**told["entries"][0], "ref": f"more-{n}", "hours": 0.01, "narrative": f"Part {n}"}
            for n in range(150)
        ]
        file = tmp_path / "hours.json"
        file.write_text(json.dumps(told))
        with monkeypatch.context() as patched:
            patched.setattr(tempfile, "tempdir", str(folder))

            ran = run_bare("time", "validate", "--file", str(file), "--json")

        assert ran.code == 0, ran.err
        assert ran.json["summary"]["judged"] == 155
        assert [entry["verdict"] for entry in ran.json["entries"][:5]] == [
            "cleared", "cleared", "held", "held", "held",
        ]  # fmt: skip
        assert ran.json["summary"]["context"] == "file"
        assert list(folder.iterdir()) == []
        folder.rmdir()
        assert not (tmp_path / "home").exists()

    def test_asks_the_installation_where_the_file_tells_no_firm(
        self, run: Run, tmp_path: Path
    ) -> None:
        words = ("proposals", "approve", "release:1", "--by", "finance", "--json")
        assert run(*words).code == 0
        file = tmp_path / "hours.csv"
        file.write_text(
            "ref,person,hours,work_date,approved\n1,ana,7.5,2026-10-05,yes\n2,ana,x,2026-10-05,yes\n"
        )

        ran = run("time", "validate", "--file", str(file), "--json")

        assert ran.code == 1
        held, unread = ran.json["entries"]
        assert "time.person_unknown" in [reason["code"] for reason in held["reasons"]]
        assert unread["verdict"] == "not_judged"
        assert ran.json["summary"]["context"] == "installation"
        assert "row 2.hours (line 3): x is no number\n" in ran.err
        file.write_text("ref,person,hours,work_date,approved\n1,ana,7.5,2026-10-05,yes\n")
        assert run("time", "validate", "--file", str(file)).code == 0
        assert run("time", "validate", "--file", str(file), "--strict").code == 1

    def test_says_what_is_wrong_with_a_context_and_judges_nothing(
        self, run: Run, tmp_path: Path
    ) -> None:
        file = tmp_path / "hours.json"
        file.write_text(
            json.dumps({"entries": [1], "context": {"people": [{"person": "a"}], "x": []}})
        )

        ran = run("time", "validate", "--file", str(file), "--json")

        assert (ran.code, ran.out) == (2, "")
        assert "context.people[0].entity: it is empty\n" in ran.err
        assert "2 problems of the context: nothing was judged" in ran.err

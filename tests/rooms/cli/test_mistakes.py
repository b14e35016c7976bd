"""A user's mistake is one sentence and exit 2, never a traceback and never a word on stdout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tieline.proof.supervising import alone

from .conftest import Run

_NOBODY = "00000000-0000-0000-0000-000000000000"
_BY = ("--by", "finance")


_MISTAKES: tuple[tuple[str, ...], ...] = (
    ("sync", "nowhere"),
    ("connect", "nothing", "--file", "{good}"),
    ("connect", "harvest", "--file", "{missing}"),
    ("connect", "harvest", "--file", "{directory}"),
    ("connect", "harvest", "--file", "{bad}"),
    ("connect", "harvest", "--file", "{binary}"),
    ("connect", "harvest", "--file", "{unknown}"),
    ("connect", "harvest", "--file", "{nul}"),
    ("connect", "harvest", "--file", "{secret}"),
    ("connect", "harvest", "--file", "{incomplete}"),
    ("connect", "hubspot", "--file", "{good}"),
    ("init", "--firm", "{missing}"),
    ("init", "--firm", "{bad}"),
    ("init", "--firm", "{good}"),
    ("init", "--person", "alone"),
    ("init", "--person", "a b", "--person", "c"),
    ("explain", "hour", "clock:nothing"),
    ("explain", "hour", "\u2603" * 300),
    ("explain", "case", "not an id"),
    ("explain", "deal", ":::"),
    ("explain", "invoice-line", ""),
    ("explain", "nothing", "x"),
    ("cases", "show", "x"),
    ("cases", "show", _NOBODY),
    ("cases", "assign", _NOBODY, "gil", *_BY),
    ("cases", "dismiss", "x", "--reason", "r", *_BY),
    ("cases", "leave-out", _NOBODY, "--reason", "r", *_BY),
    ("provision", "hubspot:nothing"),
    ("provision", "x", "--plan"),
    ("provision", "x", "--apply"),
    ("provision", "x", "--plan", "--apply"),
    ("provision", "x", "--digest", "0123456789"),
    ("close", "release", "NONE", "--period", "garbage", *_BY),
    ("close", "draft", "NONE", "--period", "2026-10", *_BY),
    ("close", "draft", "NONE", "--period", "2026-10", "--wait", "-1", *_BY),
    ("proposals", "approve", _NOBODY, *_BY),
    ("proposals", "approve", "release:x", *_BY),
    ("proposals", "approve", "release:999999999", *_BY),
    ("proposals", "approve", "release:99999999999999999999", *_BY),
    ("keys", "issue", "k", "--scope", "everything", *_BY),
    ("keys", "issue", "k", "--scope", "time:read", "--entity", "XX", *_BY),
    ("keys", "issue", "k", "--scope", "time:read", "--days", "garbage", *_BY),
    ("keys", "issue", "k", "--scope", "time:read", "--by", "nobody"),
    ("keys", "revoke", "none", "--reason", "r", *_BY),
    ("people", "erase", "nobody@firm.example", "--reason", "r", *_BY),
    ("people", "add", "controller", "--role", "controller"),
    ("people", "add", "a b", "--role", "controller"),
    ("people", "add", "new", "--role", "controller", "--entity", "XX"),
    ("demo", "--today", "garbage"),
    ("demo", "--today", "2026-13-45"),
    ("demo", "--seed", "garbage"),
    ("demo", "--input", "/tmp"),
    ("connector", "new", "Bad Name", "--kind", "crm"),
    ("nothing",),
    ("cases", "--nothing"),
)


class TestAMistake:
    def test_is_one_sentence(self, run: Run, tmp_path: Path) -> None:
        files = _files(tmp_path)
        wrong = []

        for words in _MISTAKES:
            ran = run(*(word.format(**files) if "{" in word else word for word in words))
            if (ran.code, ran.out) != (2, "") or "Traceback" in ran.err or not ran.err.strip():
                wrong.append((words, ran))

        assert wrong == []

    @pytest.mark.parametrize("word", ["a\x00b", "a\udcffb"])
    @pytest.mark.parametrize("before", [("sync",), ("explain", "hour"), ("cases", "show")])
    def test_a_word_that_is_no_text_is_told(
        self, run_bare: Run, before: tuple[str, ...], word: str
    ) -> None:
        ran = run_bare(*before, word)

        assert (ran.code, ran.out) == (2, "")
        assert ran.err == f"word {len(before) + 1} of the command is not text\n"

    def test_a_full_disk_is_told(self) -> None:
        with open("/dev/full", "w") as full:
            ran = subprocess.run(
                [sys.executable, "-m", "tieline.app", "rules", "--json"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )

        assert (ran.returncode, ran.stderr) == (
            1,
            "it cannot be written: No space left on device\n",
        )

    @pytest.mark.parametrize("words", [("status",), ("worker",), ("up",), ("cases",), ("close",)])
    def test_nothing_installed_is_told(self, run_bare: Run, words: tuple[str, ...]) -> None:
        ran = run_bare(*words)

        assert (ran.code, ran.out) == (2, "")
        assert "run `tieline init` first" in ran.err

    @pytest.mark.parametrize(
        "dsn",
        [
            "postgresql://somebody:a-secret@127.0.0.1:1/none",
            "postgresql://somebody:a-secret@/none?host=/nowhere",
            "host=127.0.0.1 port=1 password=a-secret",
        ],
    )
    def test_no_database_is_told_without_its_password(
        self, run_bare: Run, monkeypatch: pytest.MonkeyPatch, dsn: str
    ) -> None:
        monkeypatch.setenv("TIELINE_DSN", dsn)

        ran = run_bare("init")

        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("the database does not answer: ")
        assert "a-secret" not in ran.err

    def test_an_address_that_is_none_is_told_without_its_words(
        self, run_bare: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIELINE_DSN", "a-secret without an equals sign")

        ran = run_bare("init")

        assert ran.code == 2
        assert ran.err == "TIELINE_DSN is no connection string of PostgreSQL\n"

    def test_a_wrong_password_is_told(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TIELINE_PASSWORD", "another password")

        ran = run("cases", "assign", _NOBODY, "gil", *_BY)

        assert (ran.code, ran.err) == (2, "finance and this password open nothing\n")

    def test_a_secret_that_nobody_can_be_asked_for_names_its_variable(
        self, run: Run, tmp_path: Path
    ) -> None:
        ran = run("connect", "harvest", "--file", _files(tmp_path)["good"])

        assert ran.code == 2
        assert "TIELINE_SECRET_HARVEST_ACCESS_TOKEN" in ran.err


class TestDemo:
    def test_refuses_a_mapping_without_a_key_before_anything_is_started(
        self, run_bare: Run, tmp_path: Path
    ) -> None:
        example = (Path(__file__).parents[3] / "examples" / "sip.toml").read_text(encoding="utf-8")
        mapping = tmp_path / "mapping.toml"
        mapping.write_text(example.replace('key = ["TaskNumber", "DeveloperID"]\n', ""), "utf-8")

        ran = run_bare("demo", "--once", "--input", str(tmp_path), "--mapping", str(mapping))

        assert ran.code == 2
        assert ran.err.endswith("has no key: name the columns that identify a row\n")
        assert not (tmp_path / "home" / "pg").exists()


def _files(folder: Path) -> dict[str, str]:
    good = (Path(__file__).parents[3] / "examples" / "harvest.toml").read_text(encoding="utf-8")
    texts = {
        "good": good.encode(),
        "bad": b"connection_key = [",
        "binary": b"\xff\xfe\x00",
        "unknown": b'colour = "blue"\n' + good.encode(),
        "nul": good.replace("harvestapp", "harvest\\u0000app").encode(),
        "secret": b'access_token = "x"\n' + good.encode(),
        "incomplete": b'system = "harvest"\n',
    }
    for name, text in texts.items():
        (folder / f"{name}.toml").write_bytes(text)
    return {name: str(folder / f"{name}.toml") for name in texts} | {
        "missing": str(folder / "missing.toml"),
        "directory": str(folder),
    }


class TestADemoAndAHome:
    def test_never_empties_a_firm_s_installation(self, run_bare: Run, tmp_path: Path) -> None:
        key = tmp_path / "home" / "secrets" / "master.key"
        key.parent.mkdir(parents=True)
        key.write_text("00", encoding="ascii")

        ended = run_bare("demo", "--once")

        assert ended.code == 2
        assert "is a firm's installation, and a demo would empty it" in ended.err

    def test_never_runs_in_a_database_that_is_given(
        self, run_bare: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TIELINE_DSN", "postgresql://nobody@127.0.0.1:1/tieline")

        ended = run_bare("demo", "--once")

        assert ended.code == 2
        assert "run it without TIELINE_DSN" in ended.err

    def test_leaves_a_home_alone_in_which_something_runs(
        self, run_bare: Run, tmp_path: Path
    ) -> None:
        running = tmp_path / "home" / "run"
        running.mkdir(parents=True)

        with alone(running):
            ended = run_bare("demo", "--once")

        assert ended.code == 2
        assert "`tieline up` or a demo runs there already" in ended.err

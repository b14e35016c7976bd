"""Whatever stands behind whatever command, it ends with a sentence: made from the commands and the corpus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import click
import pytest

from tests.bad_input.corpus import read_corpus, some_of
from tests.rooms.cli.conftest import Ran, Run
from tieline.cli.entry import main

_CALLS_IN_SHORT = 120
_SECONDS_MAX = 10
# They run until they are stopped, or start a machine of their own: of them only what is refused at once is sent.
_START_SOMETHING = {"up", "worker", "web", "demo", "prove", "prove-worker"}
_RIGHT = {
    "login": "finance",
    "reason": "because",
    "starts": "2026-10-01",
    "ends": "2026-11-01",
    "name": "time",
    "kind": "hour",
    "period": "2026-10",
    "period_code": "2026-10",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One command as somebody writes it, and what is odd about it."""

    words: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        return f"{' '.join(self.words)[:120]!r}: {self.what}"


def test_every_command_ends_with_a_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thorough: bool, seed: int
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = _paths(tmp_path)
    spoken = [each for path, command in _commands() for each in _spoken(path, command, paths)]
    chosen = spoken if thorough else some_of(spoken, count=_CALLS_IN_SHORT, seed=seed)
    wrong: list[str] = []
    slowest = (0.0, "")

    for each in chosen:
        began = time.monotonic()
        try:
            ran = run(*each.words)
        except Exception as error:  # noqa: BLE001 - what is no sentence is what is looked for
            wrong.append(f"{each} raises {error!r}"[:600])
            continue
        slowest = max(slowest, (time.monotonic() - began, str(each)))
        wrong += [f"{each} {sentence}" for sentence in _mistakes(each, ran)]

    assert wrong == [], f"{len(wrong)} of {len(chosen)}; the seed is {seed}"
    assert not thorough or slowest[0] < _SECONDS_MAX, slowest
    print(f"{len(chosen)} commands; the slowest took {slowest[0]:.2f} s: {slowest[1]}")


@pytest.mark.parametrize(
    "home", ["missing", "a file", "under a file", "read only", "no key", "no database"]
)
def test_every_command_tells_what_is_not_there(
    run_bare: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIELINE_HOME", _home(tmp_path, home))
    if home == "no database":
        monkeypatch.setenv("TIELINE_DSN", "postgresql://x:a-secret@127.0.0.1:1/none")
    paths = _paths(tmp_path)
    wrong, ran = [], 0

    for path, command in _commands():
        # `init` makes the home that is not there.
        if path[0] in {"demo", "prove", "prove-worker"} or (
            path == ("init",) and home in ("missing", "no key")
        ):
            continue
        words = (*path, *_right(command, paths))
        try:
            ended = run_bare(*words)
        except Exception as error:  # noqa: BLE001 - what is no sentence is what is looked for
            wrong.append(f"{words} raises {error!r}"[:600])
            continue
        ran += 1
        wrong += [
            f"{words} {sentence}" for sentence in _mistakes(Spoken(words=words, what=""), ended)
        ]

    assert wrong == []
    assert ran > 100


def _home(folder: Path, home: str) -> str:
    file = folder / "file"
    file.write_text("x", encoding="ascii")
    no_key = folder / "no key"
    (no_key / "secrets").mkdir(parents=True)
    installed = folder / "installed" / "secrets"
    installed.mkdir(parents=True)
    (installed / "master.key").write_text("00" * 32, encoding="ascii")
    return {
        "missing": str(folder / "nowhere"),
        "a file": str(file),
        "under a file": str(file / "home"),
        # Nobody may make a file there, not even root.
        "read only": "/proc/tieline",
        "no key": str(no_key),
        "no database": str(installed.parent),
    }[home]


def _commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name, each in command.commands.items():
        yield from _commands(each, (*path, name))


def _spoken(
    path: tuple[str, ...], command: click.Command, paths: dict[str, str]
) -> Iterator[Spoken]:
    yield Spoken(words=(*path, "--nothing"), what="an option that is none")
    yield Spoken(words=(*path, *["x"] * 20), what="twenty words")
    if any(each.required for each in command.params):
        yield Spoken(words=path, what="nothing that it needs")
    if path[0] in _START_SOMETHING:
        return
    yield Spoken(
        words=(*path, *_right(command, paths)), what="what it needs, of nothing that is there"
    )
    for given in command.params:
        if isinstance(given, click.Option) and given.is_flag:
            yield Spoken(
                words=(*path, *_right(command, paths), given.opts[0]), what="one more option"
            )
            continue
        values = paths if isinstance(given.type, click.Path) else _values()
        for name, value in values.items():
            yield Spoken(
                words=(*path, *_right(command, paths, given, value)), what=f"{given.name} is {name}"
            )


def _values() -> dict[str, str]:
    return {item.name: item.text for item in read_corpus("words")}


def _right(
    command: click.Command,
    paths: dict[str, str],
    odd: click.Parameter | None = None,
    value: str = "",
) -> list[str]:
    """Return what a command needs, and what is odd in its place; words that are no options stand last."""
    options, words = [], []
    for given in command.params:
        if isinstance(given, click.Option) and given.name == "as_json":
            options.append("--json")
        if given is not odd and not given.required:
            continue
        word = value if given is odd else _something(given, paths)
        if isinstance(given, click.Option):
            options += [f"{given.opts[0]}={word}"]
        else:
            words.append(word)
    return [*options, "--", *words]


def _something(given: click.Parameter, paths: dict[str, str]) -> str:
    if isinstance(given.type, click.Choice):
        return str(given.type.choices[0])
    if isinstance(given.type, click.Path):
        return paths["a table"]
    if isinstance(given.type, click.types.IntParamType):
        return "1"
    return _RIGHT.get(given.name or "", str(uuid4()))


def _paths(folder: Path) -> dict[str, str]:
    held = {
        "empty": b"",
        "a table": b"code,name\nx,y\n",
        "bytes": b"\xff\xfe\x00PK\x03\x04",
        "a zip that is cut off": b"PK\x03\x04" + b"\x00" * 40,
        "JSON": b'{"a": [1]}',
        "TOML": b'a = "b"\n[c]\nd = 1\n',
    }
    for name, content in held.items():
        (folder / f"{name}.given").write_bytes(content)
    return {name: str(folder / f"{name}.given") for name in held} | {
        "missing": str(folder / "missing"),
        "a directory": str(folder),
        "under a file": str(folder / "empty.given" / "x"),
        "a name that is too long": str(folder / ("x" * 300)),
        "full": "/dev/full",
        "nothing": "",
    }


def _mistakes(spoken: Spoken, ran: Ran) -> list[str]:
    found = []
    if ran.code not in (0, 1, 2):
        found.append(f"ends with {ran.code}")
    if "Traceback" in ran.err + ran.out:
        found.append("shows a traceback")
    if "a-secret" in ran.err + ran.out:
        found.append("shows a password")
    if ran.code and not (ran.err.strip() or ran.out.strip()):
        found.append(f"ends with {ran.code} and says nothing")
    if ran.code == 2 and ran.out:
        found.append(f"is refused and prints {ran.out[:80]!r}")
    if "--json" in spoken.words and ran.out and not _is_object(ran.out):
        found.append(f"prints no object: {ran.out[:80]!r}")
    return found


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict) and len(text.splitlines()) == 1
    except ValueError:
        return False

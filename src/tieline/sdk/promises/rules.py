"""One check per rule of the scale that a machine can hold; each returns what is wrong."""

from __future__ import annotations

import ast
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from tieline.canonical import Approval, Command, TimeEntry
from tieline.kernel.errors import (
    AskPerson,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TryAgain,
)
from tieline.sdk.capabilities import Strategy, Undo
from tieline.sdk.promises import server as bad
from tieline.sdk.promises.rehearsal import CANARY, Subject
from tieline.sdk.promises.server import Misbehavior, closed_port, misbehaving
from tieline.sdk.protocols import Notice, RawRecord, Translated, Untranslatable

Problems = list[str]
_Call = Callable[[str], BaseException | None]
_NOTICE = "notice"
_NOWHERE = "http://127.0.0.1:9"
_FOLDER = ("manifest.toml", "quality.toml", "connector.py", "translate.py", "fixtures")
_IMPURE = frozenset(
    {"httpx", "socket", "random", "time", "os", "pathlib", "subprocess", "requests"}
)
_CLOCKS = frozenset({"now", "utcnow", "today"})
_CHATTY = ("httpx", "httpcore")
_RECONCILIATION = {"erp": "line_totals", "time": "window_pages"}
_MONEY_NOUNS = frozenset({"time_line", "journal", "invoice", "contract"})


def problems_of(*, rule: str, subject: Subject) -> Problems:
    """Return what is wrong with a connector under a rule; a rule without a check has none."""
    check = CHECKS.get(rule)
    if check is None:
        return []
    try:
        return check(subject)
    except Exception as error:  # noqa: BLE001 (a connector that breaks its rehearsal is the finding)
        return [f"the rehearsal broke off with {type(error).__name__}: {error}"]


def _folder_shape(subject: Subject) -> Problems:
    folder = subject.folder
    missing = [f"{name} is missing" for name in _FOLDER if not _exists(folder.joinpath(name))]
    if not subject.manifest.owners:
        missing.append("manifest.toml names no owners")
    return missing


def _check_before_saving(subject: Subject) -> Problems:
    connector = subject.build(base_url=_NOWHERE)
    if not hasattr(connector, "check"):
        return ["the connector has no check()"]
    if subject.rehearsal is None or not subject.rehearsal.is_http:
        return []
    with misbehaving(bad.UNAUTHORIZED) as vendor:
        if subject.build(base_url=vendor.url).check().is_good:
            return ["check() is good although the vendor refuses the credentials"]
    return []


def _stream_fixtures(subject: Subject) -> Problems:
    problems = []
    connector = subject.build(base_url=_NOWHERE)
    for stream in subject.manifest.streams:
        fixtures = subject.fixtures(stream=stream.name)
        if not fixtures:
            problems.append(f"the stream {stream.name} has no fixture")
        for name, record in fixtures.items():
            result = connector.translate(record=record)
            if ".unknown" not in name and isinstance(result, Untranslatable):
                problems.append(f"fixtures/{name} is not understood: {result.message}")
    return problems


def _pure_translate(subject: Subject) -> Problems:
    source = subject.folder.joinpath("translate.py").read_text(encoding="utf-8")
    problems = _impurities(ast.parse(source))
    connector = subject.build(base_url=_NOWHERE)
    for stream in subject.manifest.streams:
        for name, record in subject.fixtures(stream=stream.name).items():
            if connector.translate(record=record) != connector.translate(record=record):
                problems.append(f"fixtures/{name} is translated differently the second time")
    return problems


def _impurities(tree: ast.Module) -> Problems:
    problems = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        problems += [
            f"translate.py imports {name}" for name in names if name.split(".")[0] in _IMPURE
        ]
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in _CLOCKS:
                problems.append(f"translate.py reads a clock: {name}()")
            case ast.Call(func=ast.Name(id="float")):
                problems.append("translate.py turns a number into a float")
            case _:
                pass
    return problems


def _required_by_index(subject: Subject) -> Problems:
    """Take away one member after the other: the record fails by itself, nothing is raised."""
    problems = []
    connector = subject.build(base_url=_NOWHERE)
    for stream in subject.manifest.streams:
        for name, record in subject.fixtures(stream=stream.name).items():
            for body in _damaged(record):
                result = _translated(connector, replace(record, body=body))
                if isinstance(result, str):
                    problems.append(f"fixtures/{name}, damaged: translate raised {result}")
            empty = _translated(connector, replace(record, body=b"{}"))
            if not isinstance(empty, Untranslatable):
                problems.append(f"fixtures/{name}: nothing in it is required")
    return sorted(set(problems))


def _damaged(record: RawRecord) -> list[bytes]:
    bodies = [
        b"",
        b"\x00",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        record.body[: len(record.body) // 2],
    ]
    try:
        whole = json.loads(record.body)
    except ValueError:
        return bodies
    if not isinstance(whole, dict):
        return bodies
    return bodies + [json.dumps(variant).encode() for variant in _without_each(whole)]


def _without_each(whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    variants: list[dict[str, Any]] = []
    for name, value in whole.items():
        variants.append({key: held for key, held in whole.items() if key != name})
        variants.append({**whole, name: {"unexpected": [1]}})
        if isinstance(value, dict):
            variants += [{**whole, name: variant} for variant in _without_each(value)]
    return variants


def _translated(connector: Any, record: RawRecord) -> Translated | Untranslatable | str:
    try:
        result: Translated | Untranslatable = connector.translate(record=record)
    except Exception as error:  # noqa: BLE001 (whatever escapes is the finding)
        return type(error).__name__
    return result


def _permissions_listed(subject: Subject) -> Problems:
    return [] if subject.manifest.permissions else ["manifest.toml lists no permissions"]


def _rate_limit_honored(subject: Subject) -> Problems:
    manifest = subject.manifest
    if not manifest.limits:
        return ["manifest.toml declares no limit"]

    def is_patient(error: BaseException | None) -> bool:
        return isinstance(error, TryAgain) and error.retry_after_seconds == 7

    wanted = "TryAgain that carries Retry-After"
    return _wire(subject, bad.LIMITED, is_patient, wanted, with_notices=True)


def _credentials_refused_once(subject: Subject) -> Problems:
    problems = []
    for behavior in (bad.UNAUTHORIZED, bad.FORBIDDEN):
        problems += _wire(
            subject,
            behavior,
            lambda error: isinstance(error, AskPerson),
            "AskPerson",
            with_notices=True,
        )
        if subject.rehearsal is not None and subject.rehearsal.is_http:
            for name, call in _calls(subject, with_notices=True)[:1]:
                with misbehaving(behavior) as vendor:
                    call(vendor.url)
                if len(vendor.methods) > 1:
                    problems.append(f"{name} called {len(vendor.methods)} times after a refusal")
    return problems


def _logs_once(subject: Subject) -> Problems:
    """Read three times while the vendor is down: telling it once is enough, telling it never is fine."""
    if subject.rehearsal is None or not subject.rehearsal.is_http:
        return []
    stream = subject.manifest.streams[0].name
    with misbehaving(bad.BUSY) as vendor, _heard() as lines:
        connector = subject.build(base_url=vendor.url)
        for _ in range(3):
            _error_of(lambda: list(connector.pages(stream=stream, cursor=None, is_full=True)))
    return [f"{stream} down for three reads is logged {len(lines)} times"] if len(lines) > 1 else []


@contextmanager
def _heard() -> Iterator[list[str]]:
    lines: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith(_CHATTY):
                lines.append(record.getMessage())

    ear, root = Ear(), logging.getLogger()
    root.addHandler(ear)
    try:
        yield lines
    finally:
        root.removeHandler(ear)


def _unknown_words(subject: Subject) -> Problems:
    connector = subject.build(base_url=_NOWHERE)
    problems, seen = [], 0
    for stream in subject.manifest.streams:
        for name, record in subject.fixtures(stream=stream.name).items():
            if ".unknown" not in name:
                continue
            seen += 1
            result = connector.translate(record=record)
            if isinstance(result, Translated) and not _is_open(result):
                problems.append(f"fixtures/{name} holds an unknown word and was guessed at")
    if not seen:
        problems.append("no fixture <stream>.unknown_<what>.json shows an unknown word")
    return problems


def _is_open(result: Translated) -> bool:
    return isinstance(result.noun, TimeEntry) and result.noun.approval is Approval.UNKNOWN


def _resumes_from_cursor(subject: Subject) -> Problems:
    """A read that breaks yields no page that could move the cursor past what was not read."""
    problems = []
    for behavior in (bad.MISSING, bad.BUSY, bad.DROPPED, bad.CUT, bad.GARBAGE, bad.EMPTY):
        problems += _wire(
            subject,
            behavior,
            lambda error: isinstance(error, TryAgain | AskPerson),
            "TryAgain or AskPerson, and no page",
        )
    return problems


def _secrets_stay_out(subject: Subject) -> Problems:
    problems = []
    if CANARY in repr(subject.connection(base_url=_NOWHERE)):
        problems.append("a secret stands in the connection's repr")
    if CANARY in repr(subject.build(base_url=_NOWHERE)):
        problems.append("a secret stands in the connector's repr")
    if subject.rehearsal is None or not subject.rehearsal.is_http:
        return problems
    for behavior in (bad.UNAUTHORIZED, bad.INVALID, bad.BROKEN, bad.GARBAGE, bad.REDIRECT):
        with misbehaving(behavior) as vendor:
            errors = [_read_error(subject, vendor.url, s.name) for s in subject.manifest.streams]
            errors += [_write_error(subject, vendor.url, c) for c in _sent(subject)]
        problems += [
            f"a secret stands in the error after {behavior.name}"
            for error in errors
            if error is not None and CANARY in "".join(traceback.format_exception(error))
        ]
    return problems


def _writes_made_safe(subject: Subject) -> Problems:
    problems = [
        f"{write.noun} moves money and may not use strategy (f)"
        for write in subject.manifest.writes
        if write.strategy is Strategy.ONCE_THEN_CASE and write.noun in _MONEY_NOUNS
    ]
    rehearsal = subject.rehearsal
    if rehearsal is None:
        return problems
    missing = {write.noun for write in subject.manifest.writes} - {
        c.noun for c in rehearsal.commands
    }
    problems += [f"rehearsal.py has no command for {noun}" for noun in sorted(missing)]
    for command in _sent(subject) if rehearsal.is_http else ():
        error = _write_error(subject, closed_port(), command)
        if not isinstance(error, NotExecuted):
            problems.append(f"{_noun(command)}: nobody listens, and that is not NotExecuted")
        problems += _write_wire(subject, command, bad.INVALID, Refused | TryAgain | AskPerson)
        problems += _write_wire(subject, command, bad.LIMITED, NotExecuted)
    return problems


def _lost_answer(subject: Subject) -> Problems:
    rehearsal = subject.rehearsal
    if rehearsal is None or not rehearsal.is_http:
        return []
    problems = []
    for command in _sent(subject):
        for behavior in (bad.DROPPED, bad.CUT, bad.GARBAGE, bad.EMPTY, bad.BROKEN, bad.BUSY):
            problems += _write_wire(subject, command, behavior, OutcomeUnknown)
    return problems


def _reconciliation_query(subject: Subject) -> Problems:
    query = _RECONCILIATION.get(subject.manifest.kind)
    if query is None:
        return [f"a {subject.manifest.kind} holds nothing to reconcile: exempt it with the reason"]
    if hasattr(subject.build(base_url=_NOWHERE), query):
        return []
    return [f"the connector has no {query}()"]


def _sandbox_recipe(subject: Subject) -> Problems:
    readme = subject.folder.joinpath("README.md")
    if not readme.is_file():
        return ["README.md is missing"]
    lines = readme.read_text(encoding="utf-8").splitlines()
    return [] if "## Sandbox" in lines else ["README.md has no part ## Sandbox"]


def _compensation(subject: Subject) -> Problems:
    return [
        f"{write.noun} cannot be taken back: exempt it with the reason"
        for write in subject.manifest.writes
        if write.undo is Undo.NONE and write.strategy is not Strategy.UPSERT
    ]


def _wire(
    subject: Subject,
    behavior: Misbehavior,
    is_right: Callable[[BaseException | None], bool],
    wanted: str,
    *,
    with_notices: bool = False,
) -> Problems:
    if subject.rehearsal is None or not subject.rehearsal.is_http:
        return []
    problems = []
    for name, call in _calls(subject, with_notices=with_notices):
        with misbehaving(behavior) as vendor:
            error = call(vendor.url)
        if not is_right(error):
            problems.append(f"{name} after {behavior.name}: {_named(error)}, not {wanted}")
    return problems


def _calls(subject: Subject, *, with_notices: bool) -> list[tuple[str, _Call]]:
    """Return by name what can be tried at an address: the reads, and perhaps the messages."""
    calls: list[tuple[str, _Call]] = [
        (stream.name, partial(_read_error, subject, stream=stream.name))
        for stream in subject.manifest.streams
    ]
    if with_notices and subject.rehearsal is not None:
        calls += [
            (_NOTICE, partial(_write_error, subject, command=notice))
            for notice in subject.rehearsal.notices
        ]
    return calls


def _write_wire(
    subject: Subject, command: Command | Notice, behavior: Misbehavior, wanted: Any
) -> Problems:
    questions = () if subject.rehearsal is None else subject.rehearsal.questions
    with misbehaving(behavior, questions=questions) as vendor:
        error = _write_error(subject, vendor.url, command)
        is_sent = any(method != "GET" for method in vendor.methods)
    # A write that first looks around and cannot has surely not happened.
    is_right = isinstance(error, wanted if is_sent else NotExecuted | Refused | AskPerson)
    if is_right:
        return []
    return [f"{_noun(command)} after {behavior.name}: {_named(error)}"]


def _read_error(subject: Subject, url: str, stream: str) -> BaseException | None:
    connector = subject.build(base_url=url)
    return _error_of(lambda: list(connector.pages(stream=stream, cursor=None, is_full=True)))


def _write_error(subject: Subject, url: str, command: Command | Notice) -> BaseException | None:
    connector = subject.build(base_url=url)
    if isinstance(command, Notice):
        return _error_of(lambda: connector.send(notice=command))
    return _error_of(lambda: connector.write(command=command))


def _sent(subject: Subject) -> tuple[Command | Notice, ...]:
    rehearsal = subject.rehearsal
    return () if rehearsal is None else (*rehearsal.commands, *rehearsal.notices)


def _noun(command: Command | Notice) -> str:
    return _NOTICE if isinstance(command, Notice) else command.noun


def _error_of(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 (an error of another kind is the finding)
        return error
    return None


def _named(error: BaseException | None) -> str:
    return "nothing was raised" if error is None else type(error).__name__


def _exists(entry: Any) -> bool:
    return bool(entry.is_file() or entry.is_dir())


CHECKS: Mapping[str, Callable[[Subject], Problems]] = {
    "folder_shape": _folder_shape,
    "check_before_saving": _check_before_saving,
    "stream_fixtures": _stream_fixtures,
    "pure_translate": _pure_translate,
    "required_by_index": _required_by_index,
    "permissions_listed": _permissions_listed,
    "rate_limit_honored": _rate_limit_honored,
    "credentials_refused_once": _credentials_refused_once,
    "logs_once": _logs_once,
    "unknown_words_become_cases": _unknown_words,
    "resumes_from_cursor": _resumes_from_cursor,
    "secrets_stay_out": _secrets_stay_out,
    "writes_made_safe": _writes_made_safe,
    "lost_answer_leaves_one": _lost_answer,
    "reconciliation_query": _reconciliation_query,
    "compensation_for_writes": _compensation,
    "sandbox_recipe": _sandbox_recipe,
}

"""Write docs/reference from the code: settings, commands, endpoints, reasons, connectors, events."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click

from tieline.api import create_api
from tieline.app import BUILT_IN
from tieline.cli import main
from tieline.kernel.limits import Limit, LimitKind
from tieline.register import NOUNS, Empty, FileColumn
from tieline.sdk import Capabilities, load_manifest
from tieline.sdk.quality import RULES, read_answers
from tieline.services.firm_file import FIRM_NOUNS, VALUES
from tieline.services.hours_file import ENTRIES_MAX, FIELDS, FILE_BYTES_MAX, FORMAT
from tieline.services.provisioning_checks import CHECKS as PROVISIONING_CHECKS
from tieline.services.readiness_checks import CHECKS as READINESS_CHECKS
from tieline.services.system import System
from tieline.validation import builtin_values, deal_columns, invoice_columns
from tieline.validation.asking import BookRule
from tieline.validation.books import ShippedRule, shipped_rules
from tieline.validation.columns import ContextColumn, documented_columns

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
_WRITTEN = "<!-- Written by script/reference; change the code, or words.toml, and run it. -->"


def pages() -> dict[str, str]:
    """Return every page of the reference by its file name."""
    return {
        name: "\n".join([_WRITTEN, *write()]).rstrip() + "\n"
        for name, write in sorted(_PAGES.items())
    }


def words() -> dict[str, dict[str, str]]:
    """Return the sentences for what the code names without explaining."""
    return tomllib.loads((FOLDER / "words.toml").read_text(encoding="utf-8"))


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Everything is read once from the environment."
    yield ""
    yield from _table(("Variable", "What it says"), sorted(words()["settings"].items()))


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "With `--json` a command prints exactly one JSON object on standard output; everything else"
    yield "goes to standard error. Exit 0: the goal holds; 1: it does not; 2: it cannot be done as asked."
    yield from _command(main, "tieline", None)


def _command(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    if parent is not None:
        usage = " ".join(command.collect_usage_pieces(context))
        yield ""
        yield f"## {context.command_path}"
        yield ""
        yield f"`{context.command_path} {usage}`".replace(" `", "`")
        yield ""
        yield _paragraphs(command.help or "")
        options = [
            record
            for parameter in command.params
            if (record := parameter.get_help_record(context)) is not None
        ]
        if options:
            yield ""
            yield from _table(
                ("Option", "What it does"), [(f"`{name}`", text) for name, text in options]
            )
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from _command(command.commands[child], child, context)


def _endpoints() -> Iterator[str]:
    yield "# Endpoints"
    yield ""
    yield "The whole description is `GET /v1/openapi.json`, OpenAPI 3.1. A key goes along as a bearer"
    yield "token. A call that changes something carries the header `Idempotency-Key`. Errors are problem"
    yield "documents (RFC 9457) whose `code` is one of [the reasons](reasons.md)."
    yield ""
    rows = []
    for path, methods in _description()["paths"].items():
        for method, operation in methods.items():
            statuses = ", ".join(operation["responses"])
            sentence = " ".join(operation.get("description", "").split())
            scope = operation.get("x-scope", "-")
            rows.append((f"`{method.upper()} {path}`", sentence, scope, statuses))
    yield from _table(("Address", "What it does", "Scope", "Answers"), sorted(rows))


def _description() -> dict[str, Any]:
    return create_api(cast(System, SimpleNamespace(database=None, web_database=None))).openapi()


def _reasons() -> Iterator[str]:
    yield "# Reasons and rules"
    yield ""
    yield "Codes are for ever: they are added, never renamed and never used again for something else."
    yield "Incidents and messages have a page of their own: [what each alarm means](../operate/alarms.md)."
    yield ""
    yield "## Rules about hours"
    yield ""
    yield "Each is a row of a release; severity, and the values below, may differ per release."
    yield ""
    yield "`tieline rules --json` says the same without an installation. The columns are in"
    yield "[the context](context.md); an example names those that matter."
    for shipped in shipped_rules():
        yield ""
        yield from _rule(shipped)
    yield ""
    yield "### Values that rules compare with"
    yield ""
    yield from _table(
        ("Value", "Shipped as"), [(f"`{each.name}`", each.value) for each in builtin_values()]
    )
    yield ""
    yield "## Checks of a won deal"
    yield ""
    yield "Each is asked of a deal, of its lines, or of the people on it. A release may change its severity"
    yield "for a legal entity or a client. What it has nothing to go by for is told as not checked."
    for each in PROVISIONING_CHECKS:
        yield ""
        yield from _book_rule(each, (f"of a {each.scope}",), unknown="No data decides it yet.")
    yield ""
    yield "## Checks before an invoice"
    yield ""
    yield "Each is asked of a contract and a period. What blocks needs a person, a risk heals by itself or by"
    yield "time, a warning is only told; a release may weigh it differently for a legal entity, a client or a"
    yield "contract. What may be carried is merely not on this invoice. What a check has nothing to go by for is"
    yield "counted as not checked. The columns are in [what a check of an invoice may look at](invoice-context.md)."
    for check in READINESS_CHECKS:
        yield ""
        carried = ("may be carried",) if check.may_be_carried else ()
        yield from _book_rule(check, carried, unknown=f"Not checked: {check.unknown}")
    yield ""
    yield "## Other reasons and problem codes"
    yield ""
    others = words()["reasons"] | words()["composed"]
    yield from _table(
        ("Code", "What it says"), [(_anchored(code), text) for code, text in sorted(others.items())]
    )


def _rule(shipped: ShippedRule) -> Iterator[str]:
    rule = shipped.rule
    yield f"### {shipped.title}"
    yield ""
    asked = "by itself" if rule.scope == "row" else "together with others"
    facts = (rule.severity, rule.owner_queue, f"judged {asked}", rule.source)
    yield f"{_anchored(rule.code)} ({', '.join(facts)})"
    yield ""
    yield f"{rule.message} {rule.fix_hint}"
    yield ""
    if shipped.told:
        yield f"- Decided where the firm has told {shipped.told}."
    yield f"- Must be true: `{rule.predicate}`" + _unless_always(rule.applies_when)
    yield f"- Holds: {_example(shipped.pass_example())}"
    yield f"- Fails: {_example(shipped.fail_example())}"


def _book_rule(rule: BookRule, more: Sequence[str], *, unknown: str) -> Iterator[str]:
    yield f"### {rule.message.rstrip('.')}"
    yield ""
    facts = (rule.severity, rule.owner_queue, *more, rule.source)
    yield f"{_anchored(rule.code)} ({', '.join(facts)})"
    yield ""
    yield rule.fix_hint
    yield ""
    if not rule.is_decidable:
        yield f"- {unknown}" + _unless_always(rule.applies_when)
        return
    if rule.known_when.lower() != "true":
        yield f"- Known where `{rule.known_when}`"
    yield f"- Must be true: `{rule.predicate}`" + _unless_always(rule.applies_when)
    yield f"- Holds: {_example(rule.pass_example())}"
    yield f"- Fails: {_example(rule.fail_example())}"


def _example(columns: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name} = {_literal(value)}`" for name, value in columns.items())


def _literal(value: Any) -> str:
    match value:
        case None:
            return "unknown"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _context() -> Iterator[str]:
    yield "# What a rule may look at"
    yield ""
    yield "One row per hour, as known at one instant. A predicate says what must be true of these columns;"
    yield "false and unknown alike are a violation, so what may be unknown without harm is said in `applies_when`."
    areas: dict[str, list[ContextColumn]] = {}
    for column in documented_columns():
        areas.setdefault(column.area, []).append(column)
    for area, columns in areas.items():
        yield ""
        yield f"## {area}"
        yield ""
        yield from _table(
            ("Column", "Type", "What it means"),
            [(f"`{each.name}`", each.type, each.says) for each in columns],
        )


def _deal_columns() -> Iterator[str]:
    yield "# What a check of a won deal may look at"
    yield ""
    yield "One row per deal, one for each of its lines and one for each person assigned. A predicate says what"
    yield "must be true of these columns."
    for scope in ("deal", "line", "person"):
        yield ""
        yield f"## Of a {scope}"
        yield ""
        yield from _table(
            ("Column", "Type", "What it means"),
            [(f"`{name}`", *told) for name, told in deal_columns(scope).items()],
        )


def _invoice_columns() -> Iterator[str]:
    yield "# What a check of an invoice may look at"
    yield ""
    yield "One row per contract and fiscal period that is still to be billed, released or invoiced. A predicate"
    yield "says what must be true of these columns."
    yield ""
    yield from _table(
        ("Column", "Type", "What it means"),
        [(f"`{name}`", *told) for name, told in invoice_columns().items()],
    )


def _anchored(code: str) -> str:
    return f'<a id="{code}"></a>`{code}`'


def _unless_always(applies_when: str) -> str:
    return "" if applies_when.lower() == "true" else f" where `{applies_when}`"


def _connectors() -> Iterator[str]:
    yield "# Connectors"
    yield ""
    yield "How a write is made safe: (a) the target's own idempotency key, (b) upsert on a unique id,"
    yield "(c) a unique business field, (d) asked for before it is tried again, (e) an import batch,"
    yield "(f) once, then a case."
    for system, package in sorted(BUILT_IN.items()):
        yield ""
        yield f"## {system}"
        yield ""
        yield from _connector(load_manifest(package), read_answers(package))


def _limit(limit: Limit) -> str:
    match limit.kind:
        case LimitKind.WINDOW:
            told = f"{limit.calls} calls in any {limit.window_seconds} s"
        case LimitKind.BUCKET:
            told = f"{limit.calls} calls, filled again in {limit.window_seconds} s"
        case LimitKind.QUOTA:
            told = f"{limit.calls} calls each {limit.every}"
        case LimitKind.CONCURRENT:
            told = f"{limit.calls} calls at once"
    return f"{told} ({limit.source})"


def _connector(manifest: Capabilities, answers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield from _table(
        ("Declares", ""),
        [
            ("Kind", manifest.kind),
            ("Claims", manifest.tier),
            ("Tried against", manifest.tried_against),
            ("Owners", ", ".join(manifest.owners)),
            ("Permissions", "; ".join(manifest.permissions)),
            *((f"Limit `{limit.name}`", _limit(limit)) for limit in manifest.limits),
            ("Settles within", f"{manifest.settle_seconds} s"),
            ("Settings of a connection", ", ".join(f"`{key}`" for key in manifest.config_keys)),
            ("Secrets", ", ".join(f"`{name}`" for name in manifest.secret_names) or "none"),
        ],
    )
    yield ""
    yield from _table(
        ("Stream", "Noun", "Announces deletes", "Tells its total", "Overlap", "Link"),
        [
            (
                f"`{stream.name}`",
                stream.noun,
                "yes" if stream.announces_deletes else "no",
                "yes" if stream.has_total else "no",
                f"{stream.overlap_seconds} s",
                f"`{manifest.record_urls[stream.name]}`"
                if stream.name in manifest.record_urls
                else "",
            )
            for stream in manifest.streams
        ],
    )
    if manifest.writes:
        yield ""
        yield from _table(
            ("Writes", "Made safe by", "Undone by", "Lines in a batch"),
            [
                (write.noun, f"({write.strategy})", str(write.undo), str(write.batch_lines_max))
                for write in manifest.writes
            ],
        )
    yield ""
    yield from _table(
        ("Quality", *RULES),
        [("kept", *(_kept(answers.get(tier, {}), RULES[tier]) for tier in RULES))],
    )


def _kept(answers: Mapping[str, Any], rules: Iterable[str]) -> str:
    parts = []
    for rule in rules:
        answer = answers.get(rule)
        if answer is None:
            parts.append(f"{rule}: open")
        elif isinstance(answer, dict):
            parts.append(f"{rule}: exempt, {answer['exempt']}")
        else:
            parts.append(f"{rule}: {answer}")
    return "<br>".join(parts)


def _events() -> Iterator[str]:
    yield "# Events and the audit"
    yield ""
    yield "Events are CloudEvents, queued in an outbox for who hears them; they are kept for ever and hold ids, numbers and codes,"
    yield "never names or texts."
    yield ""
    yield from _table(
        ("Event", "What it says"), [(f"`{n}`", t) for n, t in sorted(words()["events"].items())]
    )
    yield ""
    yield "## Actions in the audit"
    yield ""
    yield "The audit only gains rows: who did what to which thing, when and why."
    yield ""
    yield from _table(
        ("Action", "What happened"), [(f"`{n}`", t) for n, t in sorted(words()["actions"].items())]
    )


def _hours_file() -> Iterator[str]:
    yield "# A file of hours"
    yield ""
    yield "`tieline time validate --file entries.json --json` judges the hours of a file with the rules and the"
    yield "statement that judge every other hour. No server needs to run, and nothing is stored. An example with its"
    yield "own firm is [examples/hours.json](../../examples/hours.json)."
    yield ""
    yield "A JSON file is a list of entries, or an object with these members:"
    yield ""
    yield from _table(
        ("Member", "What it holds"),
        (
            ("`entries`", "The list of entries."),
            ("`context`", "The firm, as lists; see below."),
            ("`as_of`", "The instant to judge as of, with a zone; empty: now."),
            ("`format`", f"{FORMAT}, the only one there is."),
        ),
    )
    yield ""
    yield "A file whose name ends in `.csv` has one entry in each row, and the fields as its first line. A file has"
    yield f"{ENTRIES_MAX:,} entries and {FILE_BYTES_MAX // 1024**2} MiB at most. What the firm is can stand in a file of"
    yield "its own: `--context`."
    yield ""
    yield "Where a context is given, the hours are judged by it and by nothing else, in a database that is made for"
    yield "this file and gone afterwards. Without one the installation in `TIELINE_HOME` says what the firm is, with"
    yield "its own rules and with the hours it knows. Without both nothing is known: everybody is unknown, and held."
    yield ""
    yield "## Fields of an entry"
    yield ""
    yield from _table(
        ("Field", "What it is", "Must", "What it says"),
        [(f"`{f.name}`", f.kind, "yes" if f.is_required else "", f.says) for f in FIELDS],
    )
    yield ""
    yield "## What is answered"
    yield ""
    yield "One object: `entries` in the order of the file, and `summary`. The `verdict` of an entry is `cleared`,"
    yield "`held`, `parked`, `outside` (before the go-live), or `not_judged`: then `reasons` say what cannot be read,"
    yield "and where. By an installation it is `correct` where another version of the hour is posted already, and"
    yield "`excluded` where people left it out. `is_early` says that the hour is not approved yet: it was judged as"
    yield "if it were. `amount` is what it would be worth. Two entries with one `ref` are both not judged."
    yield ""
    yield "Exit 0: every entry could be judged; what is held is a result. 1: some could not be read, or, with"
    yield "`--strict`, some are held or parked. 2: it is no such file, or the context is not sound: then nothing is"
    yield "judged. Every problem is one sentence with its place on standard error."
    yield ""
    yield "## Lists of a context"
    yield ""
    yield "Every list is optional; a row names other rows by their words. What is missing is not known, and holds."
    for noun in (*FIRM_NOUNS, VALUES):
        yield from _list(noun.name, noun.says, noun.columns)
    yield ""
    yield "### Terms"
    yield ""
    yield "What [`tieline register load`](../how-to/load-terms-from-a-file.md) takes may stand in it, too, under the"
    yield "same names and with the same columns: " + ", ".join(f"`{name}`" for name in NOUNS) + "."
    yield "`tieline register nouns NAME` tells the columns."


def _list(name: str, says: str, columns: Sequence[FileColumn]) -> Iterator[str]:
    yield ""
    yield f"### {name}"
    yield ""
    yield says
    yield ""
    yield from _table(
        ("Column", "What it is", "Must", "What it says"),
        [
            (f"`{c.name}`", c.kind, "yes" if c.empty is Empty.REFUSED else "", c.says)
            for c in columns
        ],
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(cell) for cell in row)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


_PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "commands.md": _commands,
    "connectors.md": _connectors,
    "context.md": _context,
    "deal-context.md": _deal_columns,
    "endpoints.md": _endpoints,
    "events.md": _events,
    "hours-file.md": _hours_file,
    "invoice-context.md": _invoice_columns,
    "reasons.md": _reasons,
    "settings.md": _settings,
}


if __name__ == "__main__":
    for file_name, text in pages().items():
        (FOLDER / file_name).write_text(text, encoding="utf-8")

"""The world of a proof: our database, a folder that is the source, and books that are the target."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time as clock_time
from pathlib import Path
from typing import Any

import psycopg

from tieline.policy import approve_release, draft_release
from tieline.proof import processes
from tieline.proof.books import SYSTEMS
from tieline.proof.proving.load import (
    AFTER_PERIODS,
    CURRENCY,
    FIRST_PERIOD,
    NOW,
    RATE,
    TASKS,
)
from tieline.proof.proving.options import SETTLE_SECONDS, ProveOptions
from tieline.proof.proving.real_erp import TableJournal, firm_of, open_tasks
from tieline.proof.supervising import tell
from tieline.proof.town import (
    CONTROL,
    ERP_DATABASE,
    Town,
    Vendor,
    build_erp_town,
    fresh_database,
    start_vendor,
)
from tieline.runtime.migrate import Dsns
from tieline.runtime.postgres import EmbeddedCluster
from tieline.runtime.sql import load
from tieline.sandbox.erp.seed import SeededFirm
from tieline.services.installation import (
    ConnectionSetup,
    EntitySetup,
    connect,
    create_entity,
    open_periods,
)
from tieline.services.system import System
from tieline.settings import Settings
from tieline.validation import builtin_rules, builtin_values

ENTITY, SOURCE, TARGET = "PV", "hours", "books"
_MASTERS = load("tieline.proof.proving", "masters")
_EARLY = "2026-01-01T00:00:00Z"
_TIMEOUT_SECONDS = 2
_ERP_TIMEOUT_SECONDS = 10
# Small batches meet many faults; a large proof posts as large a batch as the books take.
_BATCH_LINES, _BATCH_LINES_MAX, _BATCHES = 20, 200, 1000
_LINES = r"^/v1/(lines|documents)$"
_SEARCH = r"^/v1/(lines/search$|documents\?)"

Rule = Mapping[str, Any]

# Of a hundred batches so many meet each fault; a late commit comes within the declared settle time.
FAULTS: Sequence[Rule] = (
    {"name": "lost", "kind": "answer_lost", "path": _LINES, "probability": 0.05},
    {"name": "late", "kind": "late_commit", "path": _LINES, "probability": 0.05,
     "delay_ms": 1600, "hold_ms": 100},
    {"name": "refused", "kind": "refuse_503_before", "path": _LINES, "probability": 0.03},
    {"name": "busy", "kind": "rate_limit_429", "path": _LINES, "probability": 0.02,
     "retry_after_seconds": 1},
    {"name": "cut", "kind": "truncated_body", "path": _LINES, "probability": 0.03},
    {"name": "search-refused", "kind": "refuse_503_before", "path": _SEARCH, "probability": 0.03},
    {"name": "search-cut", "kind": "truncated_body", "path": _SEARCH, "probability": 0.03},
)  # fmt: skip

_ERP_LINES = r"model\.timesheet\.line\.create"
_ERP_SEARCH = r"model\.timesheet\.line\.search_read"
# The same for an ERP that takes every call at one address.
_ERP_FAULTS: Sequence[Rule] = tuple(
    {
        **{name: value for name, value in rule.items() if name != "path"},
        "body": _ERP_LINES if rule["path"] == _LINES else _ERP_SEARCH,
    }
    for rule in FAULTS
)

_LATER_THAN_DECLARED: Rule = {
    "name": "late", "kind": "late_commit", "path": _LINES, "probability": 0.1,
    "delay_ms": 1000 * (SETTLE_SECONDS + 4), "hold_ms": 100,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What runs beside the workers.

    ``people`` and ``tasks`` are what the target calls them, in the order of the source's numbers;
    ``erp`` is there when the target is the real one.
    """

    settings: Settings
    cluster: EmbeddedCluster
    dsns: Dsns
    target: Vendor
    target_setup: ConnectionSetup
    folder: Path
    journal: Path
    people: Sequence[str]
    tasks: Sequence[str]
    erp: TableJournal | None = None


def proof_directory(settings: Settings) -> Path:
    """Return where a proof keeps what it made up; a home that has none was never a proof's."""
    return settings.home / "proof"


def build_world(*, settings: Settings, options: ProveOptions, people: int) -> World:
    """Start database and target anew."""
    processes.clear(settings.run_directory)
    directory = proof_directory(settings)
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "source").mkdir(parents=True)
    make = _with_real_erp if options.is_real_erp else _with_books
    return make(settings, options, directory, people)


def _with_books(settings: Settings, options: ProveOptions, directory: Path, people: int) -> World:
    cluster, dsns = fresh_database(settings=settings, progress=tell)
    token, control = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    plan = directory / "faults.json"
    rules = [*FAULTS, *([_LATER_THAN_DECLARED] if options.is_late else [])]
    plan.write_text(json.dumps({"seed": options.seed, "rules": rules}), encoding="utf-8")
    books = start_vendor(
        settings=settings,
        name=TARGET,
        module="tieline.sandbox.books",
        arguments=[
            *("--directory", str(directory / "books")),
            *("--profile", options.profile),
            *("--plan", str(plan)),
        ],
        secret_words={"TIELINE_SANDBOX_BOOKS_TOKEN": token, CONTROL: control},
    )
    return World(
        settings=settings,
        cluster=cluster,
        dsns=dsns,
        target=books,
        target_setup=_setup_of_books(books, token, options),
        folder=directory / "source",
        journal=directory / "books" / "journal.jsonl",
        people=[str(number) for number in range(people)],
        tasks=[str(number) for number in range(TASKS)],
    )


def _with_real_erp(
    settings: Settings, options: ProveOptions, directory: Path, people: int
) -> World:
    heard = directory / "heard.jsonl"
    heard.touch()
    town = build_erp_town(
        settings=settings,
        firm_seed=firm_of(entity_code=ENTITY, people=people),
        progress=tell,
        front_options=("--heard", str(heard), "--heard-body", _ERP_LINES),
    )
    firm = town.erp.template.firm
    assert firm is not None
    tasks = open_tasks(town, entity_code=ENTITY)
    town.tryton.act("faults", {"add": list(_ERP_FAULTS)})
    journal = TableJournal(town=town, heard=heard, path=directory / "journal.jsonl")
    journal.follow()
    return World(
        settings=settings,
        cluster=town.cluster,
        dsns=town.dsns,
        target=town.tryton,
        target_setup=_setup_of_erp(town, firm, options),
        folder=directory / "source",
        journal=journal.path,
        people=[str(firm.employees[f"{number}@{ENTITY}"]) for number in range(people)],
        tasks=tasks,
        erp=journal,
    )


def settle_world(*, world: World, system: System) -> None:
    """Declare the firm of the proof: legal entity, connections, rules, and the masters of its hours."""
    entity = EntitySetup(
        entity_code=ENTITY,
        name="Entity of the proof",
        currency=CURRENCY,
        zone="Europe/Berlin",
        erp_connection_key=TARGET,
        close_working_day=5,
        close_time=clock_time(17),
    )
    with system.database.transaction() as connection:
        create_entity(connection, entity=entity, now=NOW)
        open_periods(
            connection,
            entity=entity,
            starts_on=FIRST_PERIOD,
            ends_on=AFTER_PERIODS,
            opened_by="proof",
            now=NOW,
        )
        for setup in (_source(world), world.target_setup):
            connect(connection, key=system.master_key, setup=setup, now=NOW)
        release_id = draft_release(
            connection,
            title="The shipped rules",
            rules=builtin_rules(),
            values=builtin_values(),
            overrides=(),
            proposed_by="proposer",
            reason="the rules of a proof",
            now=NOW,
        )
        approve_release(connection, release_id=release_id, approved_by="approver", now=NOW)
    with psycopg.connect(world.dsns.owner) as owner:
        # Several statements with values go in one text only when the client puts them in.
        psycopg.ClientCursor(owner).execute(
            _MASTERS,
            {
                "entity_code": ENTITY,
                "people": list(world.people),
                "tasks": list(world.tasks),
                "rate": RATE,
                "currency": CURRENCY,
                "early": _EARLY,
            },
        )


def _source(world: World) -> ConnectionSetup:
    return ConnectionSetup(
        connection_key=SOURCE,
        system="filedrop",
        kind="time",
        mode="act",
        config={
            "directory": str(world.folder),
            "streams": ["time_entries"],
            "poll_seconds": 1,
            "files": {
                "time_entries": {
                    "pattern": "hours-*.csv",
                    "key": ["id"],
                    "stable_seconds": 0,
                    "fields": {
                        "person_ref": "person",
                        "project_ref": "project",
                        "task_ref": "task",
                        "work_date": "day",
                        "hours": "hours",
                        "approval": "state",
                        "narrative": "note",
                    },
                    "values": {"approval": {"approved": ["APPROVED"], "not_approved": ["OPEN"]}},
                    "constants": {"quantum_seconds": 36, "billable": True},
                }
            },
        },
        secrets={},
        settle_seconds=0,
        go_live={ENTITY: FIRST_PERIOD},
    )


def _setup_of_books(books: Vendor, token: str, options: ProveOptions) -> ConnectionSetup:
    return ConnectionSetup(
        connection_key=TARGET,
        system=SYSTEMS[options.profile],
        kind="erp",
        mode="act",
        config={
            "base_url": books.url,
            "timeout_seconds": _TIMEOUT_SECONDS,
            "batch_lines_max": _batch_lines(options),
            "has_references": options.profile != "naive-erp",
            "streams": [],
        },
        secrets={"token": token},
        settle_seconds=SETTLE_SECONDS,
        go_live={ENTITY: FIRST_PERIOD},
    )


def _setup_of_erp(town: Town, firm: SeededFirm, options: ProveOptions) -> ConnectionSetup:
    return ConnectionSetup(
        connection_key=TARGET,
        system="tryton",
        kind="erp",
        mode="act",
        config={
            "base_url": town.tryton.url,
            "timeout_seconds": _ERP_TIMEOUT_SECONDS,
            "batch_lines_max": _batch_lines(options),
            "database": ERP_DATABASE,
            "companies": {code: {"login": login} for code, login in firm.logins.items()},
            "streams": [],
        },
        secrets={f"password.{code}": word for code, word in firm.passwords.items()},
        settle_seconds=_ERP_TIMEOUT_SECONDS,
        go_live={ENTITY: FIRST_PERIOD},
    )


def _batch_lines(options: ProveOptions) -> int:
    return min(_BATCH_LINES_MAX, max(_BATCH_LINES, options.entries // _BATCHES))

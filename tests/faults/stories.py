"""Flows that a process runs until nothing waits, and what they leave behind for the next."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.flows.readiness_erp import OneErp
from tests.flows.test_readiness import Scene as InvoiceScene
from tests.promises.connectors.vendors import (
    Vendor,
    running_harvest,
    running_hubspot,
    running_service_desk,
)
from tests.rooms.casework.hand_made_firm import NOW as INVOICE_NOW
from tests.support.deal import (
    Systems,
    deal_refs,
    found_firm,
    land_nouns,
    lend_ben,
    open_flow,
    open_systems,
    user_refs,
)
from tests.support.mail_sink import MailSink, serving
from tests.support.message_town import Town, words_at
from tests.support.outliving import Outliving
from tests.support.scene import DAY, NOW, approve_shipped_rules, build_scene, complete_scene
from tests.support.target import FixedClock, LineTarget, OneConnector, OpenBudgets
from tieline.canonical import Approval, TimeEntry, TimeLineCommand
from tieline.casework import list_cases, sync_time_cases
from tieline.intake import LandingPage, abandon, land
from tieline.kernel.failpoints import VARIABLE
from tieline.posting.lines import LinePoster
from tieline.reconciliation import read_places
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.runtime.work import AtOnce
from tieline.sdk import RawRecord, Translated
from tieline.services.invoice_readiness import Drafted, draft_invoice
from tieline.services.time_validation import (
    JUDGE_BATCH,
    JUDGE_WAITING,
    POST_LINES,
    TimeValidation,
)

_ROUNDS_MAX = 40
_OPEN = ("INTENT", "UNKNOWN", "PROBING")

State = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a process is told: where the database and the systems are. Plain data."""

    story: str
    dsns: Dsns
    target: Path
    systems: Systems | None = None
    ids: Mapping[str, UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Set a stage in the test's process; play in another; look at what there is."""

    set_stage: Callable[..., Any]
    play: Callable[[Stage], None]
    look: Callable[[Stage, Sequence[Vendor]], State]


def play(stage: Stage, failpoint: str | None) -> None:
    """Run a story in this process, dying where it is told to."""
    if failpoint is not None:
        os.environ[VARIABLE] = failpoint
    STORIES[stage.story].play(stage)


# -- a won deal, one that a system refuses, one whose project gains a person -------------------------------------------------------


@contextmanager
def _set_deal(story: str, dsns: Dsns, folder: Path) -> Iterator[tuple[Stage, Sequence[Vendor]]]:
    with running_hubspot(folder) as crm, running_harvest(folder) as clock:
        systems = open_systems(crm, clock, folder=folder)
        users = user_refs(clock)
        with _transactions(dsns) as (worker, owner):
            with owner.transaction() as connection:
                found_firm(connection)
            staffed = () if story == "staffed" else ("anna", "ben")
            land_nouns(worker, deal=deal_refs(crm)[0], users=users, staffed=staffed)
        if story == "refused":
            systems = replace(systems, clock_refuses=frozenset({f"assignment:{users[1]}"}))
        stage = Stage(story=story, dsns=dsns, target=systems.books_path, systems=systems)
        yield stage, (crm, clock)
        # Nobody but the other processes calls it.
        assert clock.exchanges


def _play_deal(stage: Stage) -> None:
    assert stage.systems is not None
    flow = open_flow(stage.dsns, stage.systems)
    flow.run()
    flow.keep_register()
    flow.database.close()
    flow.owner.close()


def _play_staffing(stage: Stage) -> None:
    assert stage.systems is not None
    flow = open_flow(stage.dsns, stage.systems)
    flow.run()
    lend_ben(flow.database, project_code="DP-1")
    flow.run()
    flow.keep_register()
    flow.database.close()
    flow.owner.close()


def _look_at_deal(stage: Stage, vendors: Sequence[Vendor]) -> State:
    crm, clock = vendors
    assert stage.systems is not None
    with stage.systems.books.changed() as books:
        in_books = {"made": sorted(books.made), "standing": sorted(books.standing())}
    with _transactions(stage.dsns) as (_, owner):
        found = {
            "plan": _rows(owner, "SELECT state, blockers FROM provisioning_plan"),
            "done": sorted(_rows(owner, "SELECT plan -> 'done' AS done FROM provisioning_plan")[0]["done"] or ()),
            "project": _rows(
                owner,
                "SELECT status, accepts_time FROM project_version WHERE superseded_at IS NULL",
            ),
            "links": _rows(
                owner,
                "SELECT connection_key, noun, count(*) FROM crosswalk WHERE superseded_at IS NULL"
                " GROUP BY 1, 2 ORDER BY 1, 2",
            ),
            **_common(owner),
        }  # fmt: skip
    return {**found, "books": in_books, "clock": _journal(clock), "crm": _journal(crm)}


def _journal(vendor: Vendor) -> State:
    """Return how much was created, and what stands at the end, without the vendor's instants."""
    lines = [line for line in vendor.journal() if line["by"] != "person"]
    standing: dict[tuple[str, int], Any] = {}
    for line in vendor.journal():
        standing[line["table"], line["id"]] = line["record"]
    return {
        "created": Counter(line["table"] for line in lines if line["operation"] == "create"),
        "standing": sorted(
            (table, _without_instants(record))
            for (table, _), record in standing.items()
            if record and record.get("is_active", True)
        ),
    }


def _without_instants(record: Mapping[str, Any]) -> str:
    flat = {**record, **record.get("properties", {})}
    kept = {
        name: value
        for name, value in flat.items()
        if not name.endswith(("_at", "At", "date")) and name not in ("id", "properties")
    }
    return repr(sorted(kept.items(), key=str))


# -- approved hours, one of them changed and one withdrawn ---------------------------------------------


@dataclass(slots=True)
class CountingTarget(LineTarget):
    """Count how many lines were ever created, whatever became of them."""

    created: list[int] = field(default_factory=list)

    def _store(self, lines: Sequence[TimeLineCommand]) -> None:
        LineTarget._store(self, lines)
        self.created += [line.seconds for line in lines]


@contextmanager
def _set_hours(story: str, dsns: Dsns, folder: Path) -> Iterator[tuple[Stage, Sequence[Vendor]]]:
    with _transactions(dsns) as (_, owner):
        with owner.transaction() as connection:
            complete_scene(connection, build_scene(connection))
            connection.execute("UPDATE release SET state = 'superseded'")
        with owner.transaction() as connection:
            approve_shipped_rules(connection)
    target = folder / "target"
    Outliving(target).put(CountingTarget())
    yield Stage(story=story, dsns=dsns, target=target), ()


def _play_hours(stage: Stage) -> None:
    with _transactions(stage.dsns) as (worker, owner):
        flow = TimeValidation(
            database=worker,
            line_poster=LinePoster(
                database=worker,
                connectors=OneConnector(Outliving(stage.target)),
                budgets=OpenBudgets(),  # type: ignore[arg-type]
                clock=FixedClock(NOW),
                batch_lines_max=2,
            ),
            clock=FixedClock(NOW),
        )
        for minute, hours in enumerate(
            (
                {"e1": _hour(3600), "e2": _hour(1800), "e3": _hour(900)},
                {"e2": _hour(5400), "e3": _hour(900, approval=Approval.NOT_APPROVED)},
            )
        ):
            _land_hours(flow, worker, hours, minute=minute)
            _follow_hours(flow, worker, owner)


def _hour(seconds: int, *, approval: Approval = Approval.APPROVED) -> TimeEntry:
    return TimeEntry(
        person_ref="u1",
        project_ref="p1",
        task_ref="t1",
        labor_category=None,
        work_date=DAY,
        zone="Europe/Berlin",
        seconds=seconds,
        quantum_seconds=36,
        started_at=None,
        ended_at=None,
        billable=True,
        approval=approval,
        approval_word=approval.value,
        approver_ref=None,
        approved_at=None,
        created_at=NOW - timedelta(days=20),
        narrative=f"work of {seconds} seconds",
    )


def _land_hours(
    flow: TimeValidation, worker: Database, hours: Mapping[str, TimeEntry], *, minute: int
) -> None:
    # As the reader does, before it reads a stream.
    abandon(worker, connection_key="harvest", stream="time_entries")
    landed = land(
        worker,
        page=LandingPage(
            connection_key="harvest",
            source_epoch=0,
            stream="time_entries",
            kind="poll",
            records=[
                RawRecord(
                    object="time_entries",
                    source_ref=ref,
                    body=repr(hour).encode(),
                    source_at=NOW + timedelta(minutes=minute),
                )
                for ref, hour in hours.items()
            ],
            cursor="c",
            correlation_id="x",
        ),
        translate=lambda record: Translated(noun=hours[record.source_ref]),
        material_key=b"key",
        now=NOW,
    )
    with worker.transaction() as connection:
        flow.batch_landed(connection, landed.batch_id, "x")


def _follow_hours(flow: TimeValidation, worker: Database, owner: Database) -> None:
    handlers = {
        JUDGE_BATCH: flow.judge_batch,
        JUDGE_WAITING: flow.judge_waiting,
        POST_LINES: flow.post_lines,
    }
    for _ in range(_ROUNDS_MAX):
        flow.plan_left_out()
        flow.schedule_waiting()
        items = _rows(owner, "DELETE FROM work_item RETURNING kind, subject")
        if not items:
            return
        for item in items:
            handlers[item["kind"]](AtOnce(), item["subject"])
        _pass_time(owner)
    raise AssertionError("the hours did not come to an end")


def _look_at_hours(stage: Stage, _: Sequence[Vendor]) -> State:
    with Outliving(stage.target).changed() as target:
        lines = sorted(line.seconds for line in target.lines.values())
        created = sorted(target.created)
    with _transactions(stage.dsns) as (worker, owner):
        with worker.transaction() as connection:
            places = read_places(connection)
        assert (
            _rows(
                owner,
                "SELECT FROM intake_batch WHERE correlation_id = 'x' AND state IN ('landing', 'landed')",
            )
            == []
        )
        found = {
            "places": places,
            "ledger": _rows(
                owner,
                "SELECT seconds, amount, reverses_line_id IS NOT NULL AS is_reversal"
                " FROM ledger_line ORDER BY 1, 2, 3",
            ),
            "versions": _rows(
                owner,
                "SELECT source_ref, version, seconds, approval FROM time_entry_version"
                " JOIN time_entry USING (entry_id) ORDER BY 1, 2",
            ),
            "rejudge": _rows(owner, "SELECT count(*) FROM rejudge"),
            **_common(owner),
        }
    net = sum(line["seconds"] for line in found["ledger"])
    assert net == sum(lines), "the ledger and the target differ"
    return {**found, "lines": lines, "created": created}


# -- an invoice ----------------------------------------------------------------------------------------


@contextmanager
def _set_invoice(story: str, dsns: Dsns, folder: Path) -> Iterator[tuple[Stage, Sequence[Vendor]]]:
    with _transactions(dsns) as (worker, _):
        scene = InvoiceScene(worker)
        scene.arrange(lambda firm: firm.hour("e1", project=firm.last))
        scene.compute()
        scene.release()
        ids = {"contract_id": scene.project["contract_id"], "period_id": scene.period_id}
        target = folder / "erp"
        Outliving(target).put(scene.erp)
    yield Stage(story=story, dsns=dsns, target=target, ids=ids), ()


def _play_invoice(stage: Stage) -> None:
    connectors: Any = OneErp(Outliving(stage.target))  # type: ignore[arg-type]
    with _transactions(stage.dsns) as (worker, owner):
        for _ in range(_ROUNDS_MAX):
            drafted = draft_invoice(
                worker, connectors, now=INVOICE_NOW, correlation_id="c", **stage.ids
            )
            if isinstance(drafted, Drafted):
                return
            _pass_time(owner)
    raise AssertionError("the invoice did not come to an end")


def _look_at_invoice(stage: Stage, _: Sequence[Vendor]) -> State:
    with Outliving(stage.target).changed() as erp:
        made = {"calls": erp.calls, "invoices": [repr(invoice) for invoice in erp.invoices]}
    with _transactions(stage.dsns) as (_worker, owner):
        return {
            "made": made,
            "invoices": _rows(
                owner, "SELECT target_code, untaxed_amount, expected_amount FROM invoice_record"
            ),
            "bound": _rows(owner, "SELECT count(*) FROM invoice_ledger_line"),
            "readiness": _rows(owner, "SELECT state FROM readiness"),
            **_common(owner),
        }


# -- messages before a cut-off --------------------------------------------------------------------------


@contextmanager
def _set_messages(story: str, dsns: Dsns, folder: Path) -> Iterator[tuple[Stage, Sequence[Any]]]:
    with serving(MailSink()) as sink, _transactions(dsns) as (worker, _):
        town = Town(database=worker, folder=folder / "secrets").found()
        town.channel("post", "mail", f"smtp://{sink.place}", config={"from": "tieline@example.com"})
        for recipient in ("queue:delivery", "queue:integration", "person:ann"):
            name = recipient.partition(":")[2]
            town.reach(recipient, "post", f"{name}@example.com", urgent_only=True)
        yield Stage(story=story, dsns=dsns, target=town.folder), (sink,)


def _play_messages(stage: Stage) -> None:
    with _transactions(stage.dsns) as (worker, owner):
        with owner.transaction() as connection:
            # As the watchdog does with what a dead worker was at.
            connection.execute("UPDATE work_item SET state = 'waiting' WHERE state = 'running'")
        Town(database=worker, folder=stage.target).at(minutes=60).run()


def _look_at_messages(stage: Stage, vendors: Sequence[Any]) -> State:
    (sink,) = vendors
    by_id: dict[str, set[tuple[str, bytes]]] = {}
    for mail, recipient in zip(sink.mails, sink.recipients, strict=True):
        by_id.setdefault(mail["Message-ID"], set()).add((recipient, mail.as_bytes()))
    # A mail may come twice; then it is the same one, which its reader's program shows once.
    assert [mails for mails in by_id.values() if len(mails) > 1] == []
    with _transactions(stage.dsns) as (_worker, owner):
        return {
            "notices": _rows(owner, "SELECT owner, state FROM notice ORDER BY owner"),
            "mails": sorted(recipient for mails in by_id.values() for recipient, _ in mails),
        }


@contextmanager
def _set_desk(story: str, dsns: Dsns, folder: Path) -> Iterator[tuple[Stage, Sequence[Vendor]]]:
    with running_service_desk(folder) as desk, _transactions(dsns) as (worker, _):
        town = Town(database=worker, folder=folder / "secrets").found()
        town.service_desk(desk.url)
        town.reach("queue:delivery", "desk", urgent_only=True)
        yield Stage(story=story, dsns=dsns, target=town.folder), (desk,)
        # Nobody but the other processes calls it.
        assert desk.exchanges


def _play_desk(stage: Stage) -> None:
    with _transactions(stage.dsns) as (worker, owner):
        with owner.transaction() as connection:
            # As the watchdog does with what a dead worker was at.
            connection.execute("UPDATE work_item SET state = 'waiting' WHERE state = 'running'")
        Town(database=worker, folder=stage.target).at(minutes=60).bring()


def _look_at_desk(stage: Stage, vendors: Sequence[Vendor]) -> State:
    requests, comments = words_at(vendors[0])
    with _transactions(stage.dsns) as (_worker, owner):
        return {
            "notices": _rows(owner, "SELECT owner, state FROM notice ORDER BY owner, state"),
            "requests": Counter(Counter(requests).values()),
            "comments": len(comments),
        }


# -- common --------------------------------------------------------------------------------------------


def _common(owner: Database) -> State:
    """Return effects, events and cases; nothing may be left under way."""
    effects = _rows(
        owner,
        "SELECT target_connection, noun, part, effect_no, kind, state, seconds FROM effect"
        " ORDER BY 1, 2, 3, object, source_ref, 4",
    )
    assert [effect for effect in effects if effect["state"] in _OPEN] == []
    with owner.transaction() as connection:
        sync_time_cases(connection, now=NOW, correlation_id="c")
        cases = Counter(case.reason for case in list_cases(connection))
    events = Counter(row["type"] for row in _rows(owner, "SELECT type FROM event"))
    return {"effects": effects, "events": events, "cases": cases}


def _pass_time(owner: Database) -> None:
    """Let every settle window and every lease of a dead process run out."""
    with owner.transaction() as connection:
        connection.execute("UPDATE effect SET due_at = NULL WHERE due_at IS NOT NULL")
        connection.execute("UPDATE lease SET until = clock_timestamp()")


@contextmanager
def _transactions(dsns: Dsns) -> Iterator[tuple[Database, Database]]:
    worker = Database(dsns.worker, pool_max=2, application_name="test").open()
    owner = Database(dsns.owner, pool_max=1, application_name="test-owner").open()
    yield worker, owner
    worker.close()
    owner.close()


def _rows(database: Database, statement: str) -> list[dict[str, Any]]:
    with database.transaction() as connection:
        return connection.execute(statement).fetchall()


STORIES: Mapping[str, Story] = {
    "won": Story(set_stage=_set_deal, play=_play_deal, look=_look_at_deal),
    "refused": Story(set_stage=_set_deal, play=_play_deal, look=_look_at_deal),
    "staffed": Story(set_stage=_set_deal, play=_play_staffing, look=_look_at_deal),
    "hours": Story(set_stage=_set_hours, play=_play_hours, look=_look_at_hours),
    "invoice": Story(set_stage=_set_invoice, play=_play_invoice, look=_look_at_invoice),
    "desk": Story(set_stage=_set_desk, play=_play_desk, look=_look_at_desk),
    "messages": Story(set_stage=_set_messages, play=_play_messages, look=_look_at_messages),
}

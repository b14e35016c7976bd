"""One proof from its seed to its verdict."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from tieline import __version__
from tieline.casework import get_case, list_cases
from tieline.posting import DOUBLED
from tieline.proof.processes import interrupted_by_signals
from tieline.proof.proving.backup import Backup
from tieline.proof.proving.havoc import Havoc
from tieline.proof.proving.load import NOW, LineKey, Load, people_for, read_acknowledged
from tieline.proof.proving.options import LEASE_SECONDS, ProveOptions
from tieline.proof.proving.oracle import Findings, StoredLines, judge_journal
from tieline.proof.proving.world import (
    SOURCE,
    World,
    build_world,
    proof_directory,
    settle_world,
)
from tieline.proof.sabotage import SABOTAGES
from tieline.proof.supervising import (
    alone,
    fresh,
    refuse_a_home_in_use,
    tell,
    worker_environment,
)
from tieline.proof.town import close_town
from tieline.proof.watch import moving
from tieline.services.conservation_checks import STANDS_TWICE
from tieline.services.system import System
from tieline.settings import Settings

OpenSystem = Callable[[Settings], System]
_CONFLICT = "posted.conflict"
_CASES_MAX = 100_000
_PAUSE_SECONDS = 0.1
_BETWEEN_SECONDS = (0.0, 0.7)
_WORK_SECONDS_MAX = 8
# What is broken must meet work of every age: the source never runs further ahead than this.
_AHEAD_PORTIONS_MAX = 3
_CATCH_UP_SECONDS_MAX = 10
_FALL_ASLEEP_SECONDS_MAX = 15
_DRAIN_SECONDS_MAX = 180
_DRAIN_ENTRIES_PER_SECOND = 40
# A write that was dropped may reach the target so much later.
_LATE_SECONDS = 3
_STUCK_SECONDS_MAX = 30 + LEASE_SECONDS
_UNFINISHED = """
    SELECT (SELECT count(*) FROM time_entry WHERE connection_key = %(source)s)::int AS entries,
           (SELECT count(*) FROM open_effect
            WHERE %(is_late)s AND state = 'CONFIRMED' AND attempt > 1 AND asked_again_at IS NULL)::int AS unasked
"""
_WAITING = """
    SELECT p.source_ref AS person, replace(l.task_name, 'Task ', '') AS task, v.work_date, e.seconds
    FROM open_effect e JOIN verdict v USING (verdict_id)
    JOIN crosswalk p ON p.connection_key = %s AND p.noun = 'person' AND p.our_id = v.person_id
    JOIN contract_line l ON l.contract_line_id = v.contract_line_id AND l.superseded_at IS NULL
    WHERE e.state = 'CONFLICT'
"""


def run_proof(
    *, options: ProveOptions, settings: Settings, open_system: OpenSystem
) -> Mapping[str, Any]:
    """Run a proof and return its figures; ``is_held`` tells whether the promise held.

    :raises UserMistake: the home is not a proof's to empty.
    """
    refuse_a_home_in_use(
        settings, made_up_in=proof_directory(settings), what="proof", found="an installation"
    )
    settings = fresh(replace(settings, business_now=NOW))
    with interrupted_by_signals(), alone(settings.run_directory):
        try:
            return _Proof(options=options, settings=settings, open_system=open_system).run()
        finally:
            close_town(settings)


class _Proof:
    def __init__(
        self, *, options: ProveOptions, settings: Settings, open_system: OpenSystem
    ) -> None:
        self._options = options
        self._settings = settings
        self._open_system = open_system
        self._began = time.monotonic()
        self._random = Random(f"order:{options.seed}")

    def run(self) -> Mapping[str, Any]:
        options = self._options
        tell(f"seed {options.seed}, {options.target}{_said(options.sabotage)}")
        world = build_world(
            settings=self._settings, options=options, people=people_for(options.entries)
        )
        self._backup = Backup(world=world, tell=tell)
        system = self._open_system(self._settings)
        load = Load(entries=options.entries, seed=options.seed, folder=world.folder)
        settle_world(world=world, system=system)
        havoc = Havoc(
            world=world,
            settings=self._settings,
            seed=options.seed,
            sabotage=options.sabotage,
            environment=worker_environment(self._settings),
            tell=tell,
        )
        try:
            for _ in range(options.workers):
                havoc.add_worker()
            self._break(world, havoc, load)
            drained_at = time.monotonic()
            is_drained = self._drain(system, havoc, load)
            drain_seconds = round(time.monotonic() - drained_at)
        finally:
            havoc.end()
        return self._figures(
            world, system, havoc, load, is_drained=is_drained, drain_seconds=drain_seconds
        )

    def _break(self, world: World, havoc: Havoc, load: Load) -> None:
        """Give the hours to the source portion by portion, and break something after each."""
        options = self._options
        stored = StoredLines(world.journal)
        actions = [
            *(["kill"] * options.kills),
            *(["zombie"] * options.zombies),
            *(["database"] * options.database_crashes),
            *(["upgrade"] * options.upgrades),
        ]
        self._random.shuffle(actions)
        if options.is_restored:
            actions = _with_a_restore(actions, self._random)
        portion = -(-options.entries // (len(actions) + 1))
        load.drop(portion)
        for number, action in enumerate(actions, start=1):
            self._let_work(world, havoc)
            self._let_catch_up(stored, havoc, given=load.dropped - _AHEAD_PORTIONS_MAX * portion)
            match action:
                case "kill" if havoc.kills < options.kills:
                    havoc.kill()
                case "zombie":
                    self._let_sleepers_wake(havoc)
                    havoc.stop_one()
                case "database":
                    havoc.crash_database()
                case "upgrade":
                    havoc.upgrade()
                case "dump":
                    self._backup.dump()
                case "restore":
                    workers = havoc.stop_all()
                    self._backup.restore()
                    for _ in range(workers):
                        havoc.add_worker()
                    havoc.note_break()
                case _:
                    # It died in the place it was told, which counts.
                    pass
            load.drop(portion)
            if number % 10 == 0:
                tell(f"  {number} of {len(actions)} broken, {load.dropped} hours given")
        while load.drop(portion):
            continue

    def _let_work(self, world: World, havoc: Havoc) -> None:
        """Let something be stored first: what is broken while nobody works proves nothing."""
        size = world.journal.stat().st_size
        ends = time.monotonic() + _WORK_SECONDS_MAX
        while world.journal.stat().st_size == size and time.monotonic() < ends:
            self._let_pass(havoc, _PAUSE_SECONDS)
        self._let_pass(havoc, self._random.uniform(*_BETWEEN_SECONDS))

    def _let_catch_up(self, stored: StoredLines, havoc: Havoc, *, given: int) -> None:
        # What a sleeper holds is caught up with when it wakes.
        ends = time.monotonic() + _CATCH_UP_SECONDS_MAX
        while stored.count() < given and not havoc.asleep and time.monotonic() < ends:
            self._let_pass(havoc, _PAUSE_SECONDS)

    def _let_sleepers_wake(self, havoc: Havoc) -> None:
        """Let one sleeper wake before the next falls asleep: a fleet asleep proves nothing."""
        ends = time.monotonic() + _FALL_ASLEEP_SECONDS_MAX
        while havoc.is_anybody_asleep:
            if time.monotonic() > ends:
                havoc.put_down()
            self._let_pass(havoc, _PAUSE_SECONDS)

    def _let_pass(self, havoc: Havoc, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            havoc.look()
            time.sleep(_PAUSE_SECONDS)

    def _drain(self, system: System, havoc: Havoc, load: Load) -> bool:
        """Break nothing more, and wait until nothing moves; tell whether it came to that."""
        havoc.calm()
        havoc.wake_all()
        limit = _DRAIN_SECONDS_MAX + load.entries // _DRAIN_ENTRIES_PER_SECOND
        deadline = time.monotonic() + limit
        told = time.monotonic()
        while time.monotonic() < deadline:
            self._let_pass(havoc, 0.5)
            left = self._left(system, load)
            if left == 0 and not havoc.is_anybody_asleep:
                # Whatever was dropped on its way may still arrive, and wake nobody.
                self._let_pass(havoc, _LATE_SECONDS)
                if self._left(system, load) == 0:
                    return True
            if time.monotonic() - told > 10:
                tell(f"  {left} still moving")
                told = time.monotonic()
        return False

    def _left(self, system: System, load: Load) -> int:
        """Count what is not done; a database that is away has everything to do."""
        try:
            with system.database.transaction() as connection:
                row = connection.execute(
                    _UNFINISHED, {"source": SOURCE, "is_late": self._options.is_late}
                ).fetchone()
            assert row is not None
            return (
                load.dropped
                - int(row["entries"])
                + int(row["unasked"])
                + sum(moving(system.database).values())
            )
        except (psycopg.Error, PoolTimeout):
            return load.entries

    def _backup_was_asked(self, system: System) -> list[datetime]:
        at = self._backup.asked_at(system) if self._options.is_restored else None
        return [] if at is None else [at]

    def _figures(
        self,
        world: World,
        system: System,
        havoc: Havoc,
        load: Load,
        *,
        is_drained: bool,
        drain_seconds: int,
    ) -> Mapping[str, Any]:
        options = self._options
        if world.erp is not None:
            world.erp.write_whole()
        findings = judge_journal(
            acknowledged=read_acknowledged(world.folder),
            journal=world.journal,
            waiting=_waiting(system),
            dropped_at=load.dropped_at,
            broken_at=[*havoc.broken_at, *self._backup_was_asked(system)],
        )
        figures = {
            "seed": options.seed,
            "profile": options.profile,
            "erp": options.erp,
            "sabotage": options.sabotage,
            "version": __version__,
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
            "workers": options.workers,
            "seconds_total": round(time.monotonic() - self._began),
            "acknowledged": findings.acknowledged,
            "posted": findings.posted,
            "waiting_for_a_person": findings.waiting,
            "lost": findings.lost,
            "duplicated": findings.duplicated,
            "told_as_incident": _told(system),
            "money_difference": str(findings.money_difference),
            "longest_wait_seconds": findings.longest_wait_seconds,
            "longest_stuck_seconds": findings.longest_stuck_seconds,
            "write_calls": findings.write_calls,
            "calls_per_success": _ratio(findings),
            "drain_seconds": drain_seconds,
            "is_drained": is_drained,
            "kills": havoc.kills,
            "zombies": havoc.zombies,
            "database_crashes": havoc.database_crashes,
            "database_crashes_by_kind": dict(havoc.fates),
            "upgrades": havoc.upgrades,
            "workers_ended_by_themselves": havoc.unexpected,
            "faults_injected": {
                f"{options.erp}.{kind}": count for kind, count in world.target.ask("faults").items()
            },
        }
        if options.is_restored:
            figures |= self._backup.compare(system)
        broken = broken_promises(figures, options)
        return {
            **figures,
            "is_held": not broken,
            **({"broken": broken} if broken else {}),
            **({"examples": list(findings.examples)} if findings.examples else {}),
        }


def broken_promises(figures: Mapping[str, Any], options: ProveOptions) -> list[str]:
    """Return the promises that did not hold, a sentence each."""
    broken = [f"{figures['lost']} lines are lost"] if figures["lost"] else []
    silent = figures["duplicated"] - (figures["told_as_incident"] if options.is_late else 0)
    if silent:
        broken.append(f"{silent} lines are duplicated")
    if options.is_late and not figures["duplicated"]:
        broken.append("nothing was stored later than declared, which proves nothing")
    if Decimal(figures["money_difference"]) != 0 and not options.is_late:
        broken.append(f"the money differs by {figures['money_difference']}")
    if not figures["is_drained"]:
        broken.append("it did not come to an end")
    if figures["acknowledged"] != figures["posted"] + figures["waiting_for_a_person"]:
        broken.append("what was acknowledged is not what is posted or waits for a person")
    if figures["longest_stuck_seconds"] > _STUCK_SECONDS_MAX:
        broken.append(f"something was stuck for {figures['longest_stuck_seconds']} s")
    if options.is_restored:
        broken.extend(_about_the_list(figures))
    if figures["kills"] < options.kills:
        broken.append(f"only {figures['kills']} workers were killed")
    if figures["zombies"] < options.zombies:
        broken.append(f"only {figures['zombies']} workers were put to sleep")
    if figures["database_crashes"] < options.database_crashes:
        broken.append(f"the database crashed only {figures['database_crashes']} times")
    return broken


def _about_the_list(figures: Mapping[str, Any]) -> list[str]:
    broken = []
    if not figures["posted_after_backup"]:
        broken.append("nothing was posted after the backup, which proves nothing")
    if figures["missing_in_list"]:
        broken.append(f"{figures['missing_in_list']} lines are missing in the list of a restore")
    if figures["wrongly_in_list"]:
        broken.append(f"{figures['wrongly_in_list']} lines stand wrongly in the list of a restore")
    return broken


def _with_a_restore(actions: Sequence[str], chance: Random) -> list[str]:
    """Put a backup and a restore among what is broken: each at a random point, with work between."""
    third = max(1, len(actions) // 3)
    dump = chance.randint(0, third)
    restore = chance.randint(len(actions) - third, len(actions))
    restore = max(restore, min(dump + 2, len(actions)))
    return [*actions[:dump], "dump", *actions[dump:restore], "restore", *actions[restore:]]


def _waiting(system: System) -> Counter[LineKey]:
    with system.database.transaction() as connection:
        rows = connection.execute(_WAITING, (SOURCE,)).fetchall()
    return Counter(
        (row["person"], row["task"], row["work_date"].isoformat(), int(row["seconds"]))
        for row in rows
    )


def _told(system: System) -> int:
    """Count the lines too many that an open case names, document by document."""
    with system.database.transaction() as connection:
        found = [
            get_case(connection, case_id=case.case_id)
            for case in list_cases(connection, reason=STANDS_TWICE)
        ]
        # Whoever is asked about before the answer is believed names them in the case of the write itself.
        conflicts = list_cases(connection, reason=_CONFLICT, limit=_CASES_MAX)
    keys = [member.key for one in found for member in one.members if member.left_at is None]
    keys += [
        said
        for case in conflicts
        if (said := str(case.details.get("message", ""))).startswith(DOUBLED)
    ]
    return sum(key.count(",") for key in keys)


def _ratio(findings: Findings) -> str:
    if not findings.batches_stored:
        return "0"
    return f"{Decimal(findings.write_calls) / findings.batches_stored:.2f}"


def _said(sabotage: str | None) -> str:
    return "" if sabotage is None else f", without {sabotage}: {SABOTAGES[sabotage].meaning}"

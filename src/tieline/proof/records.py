"""The same job on real work records: files in place of generated time, a declaration in place of deals."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from datetime import time as clock_time
from pathlib import Path
from typing import Any

from tieline.kernel.errors import UserMistake
from tieline.policy import Override, approve_release, draft_release
from tieline.proof import faultplan, watch
from tieline.proof.demo import OpenSystem, Workers
from tieline.proof.figures import conservation_differences, count_entries
from tieline.proof.town import ERP_DATABASE, Town, build_erp_town
from tieline.proof.verify import compare_hours
from tieline.runtime.work import Again, AtOnce, Done, Failed
from tieline.sandbox import erp, work_records
from tieline.sdk.directory import Systems
from tieline.services.declaration import Declaring, parse_declaration
from tieline.services.installation import (
    ConnectionSetup,
    EntitySetup,
    connect,
    create_entity,
    open_periods,
)
from tieline.services.system import System
from tieline.settings import Settings
from tieline.validation import builtin_rules, builtin_values, mark_reference_change

CONNECTION = "work_records"
_STREAM = "time_entries"
_SECONDS_MAX = 600
_BATCH_LINES = 200
_FIRST_DAY = date(2004, 1, 1)


@dataclass(slots=True, kw_only=True)
class RecordsDemo:
    """One run on real records in one home."""

    settings: Settings
    directory: Path
    mapping: Path
    open_system: OpenSystem
    systems: Systems
    progress: Callable[[str], None]
    workers: Workers
    records: list[work_records.WorkRecord] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Take the records over and return the figures."""
        self.config = _read_mapping(self.mapping)
        self._check()
        self.records = _read_records(self.directory)
        declared = self.config["declare"]
        town = build_erp_town(
            settings=self.settings,
            firm_seed=work_records.erp_seed(self.records, declared=declared),
            progress=self.progress,
        )
        system = self.open_system(self.settings)
        self._install(town, system, declared)
        self.workers.start()
        self._land(system)
        self._declare(system, declared)
        town.tryton.act("faults", {"add": list(faultplan.ERP_WHILE_POSTING_RECORDS)})
        self._wait_quiet(system)
        return self._figures(system, town, declared)

    def _install(self, town: Town, system: System, declared: dict[str, Any]) -> None:
        now = system.clock.now()
        entity = EntitySetup(
            entity_code=declared["entity"]["code"],
            name=declared["entity"]["name"],
            currency=declared["entity"]["currency"],
            zone=declared["entity"]["zone"],
            erp_connection_key="tryton",
            close_working_day=2,
            close_time=clock_time(17),
        )
        with system.database.transaction() as connection:
            create_entity(connection, entity=entity, now=now)
            open_periods(
                connection,
                entity=entity,
                starts_on=declared["periods"]["starts_on"],
                ends_on=declared["periods"]["ends_on"],
                opened_by=f"setup: {declared['periods']['reason']}",
                now=now,
            )
            for setup in self._connections(town, entity.entity_code):
                connect(connection, key=system.master_key, setup=setup, now=now)
            release_id = draft_release(
                connection,
                title="Rules for the records taken over",
                rules=builtin_rules(),
                values=builtin_values(),
                overrides=[
                    Override(
                        code=row["code"],
                        entity_code=entity.entity_code,
                        client_id=None,
                        contract_id=None,
                        starts_on=_FIRST_DAY,
                        ends_on=None,
                        severity=row["severity"],
                        reason=row["reason"],
                    )
                    for row in declared.get("severity", ())
                ],
                proposed_by="integration",
                reason=declared["reason"],
                now=now,
            )
            approve_release(connection, release_id=release_id, approved_by="controller", now=now)

    def _connections(self, town: Town, entity_code: str) -> list[ConnectionSetup]:
        assert town.erp.template.firm is not None
        firm = town.erp.template.firm
        go_live = {entity_code: _FIRST_DAY}
        return [
            ConnectionSetup(
                connection_key="tryton",
                system="tryton",
                kind="erp",
                mode="act",
                config={
                    "base_url": town.tryton.url,
                    "timeout_seconds": 10,
                    "database": ERP_DATABASE,
                    "companies": {code: {"login": login} for code, login in firm.logins.items()},
                    "streams": ["parties", "employees"],
                    "poll_seconds": 30,
                    "batch_lines_max": _BATCH_LINES,
                },
                secrets={f"password.{code}": word for code, word in firm.passwords.items()},
                settle_seconds=2,
                go_live=go_live,
            ),
            ConnectionSetup(
                connection_key=CONNECTION,
                system="filedrop",
                kind="time",
                mode="act",
                config=self._file_config(),
                secrets={},
                settle_seconds=0,
                go_live=go_live,
            ),
        ]

    def _check(self) -> None:
        connector = self.systems.build(
            system="filedrop", connection_key=CONNECTION, config=self._file_config(), secrets={}
        )
        wrong = [item.fix for item in connector.check().items if not item.is_good]
        if wrong:
            raise UserMistake(f"the mapping {self.mapping} cannot be used: {'; '.join(wrong)}")

    def _file_config(self) -> dict[str, Any]:
        return {
            **{name: value for name, value in self.config.items() if name != "declare"},
            "directory": str(self.directory.resolve()),
            "streams": [_STREAM],
            "poll_seconds": 5,
        }

    def _land(self, system: System) -> None:
        watch.wait_for(
            "landing",
            lambda: (
                watch.count(system.database, "SELECT count(*) FROM time_entry") >= len(self.records)
                and watch.count(system.database, "SELECT count(*) FROM employment") > 0
            ),
            seconds_max=_SECONDS_MAX,
            progress=self.progress,
            tell=lambda: (
                f"{watch.count(system.database, 'SELECT count(*) FROM time_entry')} of "
                f"{len(self.records)} records"
            ),
        )

    def _declare(self, system: System, declared: dict[str, Any]) -> None:
        declaring = Declaring(
            database=system.database,
            poster=system.poster,
            clock=system.clock,
            declaration=parse_declaration(CONNECTION, declared),
        )
        while True:
            outcome = declaring.declare(AtOnce(), declared["contract"]["code"])
            match outcome:
                case Done():
                    break
                case Failed(reason=reason):
                    raise UserMistake(reason)
                case Again(due_in_seconds=seconds):
                    watch.pause(seconds)
        with system.database.transaction() as connection:
            keys = [
                f"project:{CONNECTION}:{code}" for code in sorted({r.project for r in self.records})
            ]
            mark_reference_change(
                connection,
                keys=keys,
                because="declared",
                correlation_id="declaration",
                now=system.clock.now(),
            )
        self.progress(f"  {len(keys)} projects declared and created in the ERP")

    def _wait_quiet(self, system: System) -> None:
        watch.wait_for(
            "posting",
            lambda: watch.is_quiet(system.database),
            seconds_max=_SECONDS_MAX,
            progress=self.progress,
            tell=lambda: watch.in_words(watch.place_counts(system.database)),
        )

    def _figures(self, system: System, town: Town, declared: dict[str, Any]) -> dict[str, Any]:
        truth = erp.read_truth(cluster=town.erp.cluster, database=ERP_DATABASE)
        hours = compare_hours(
            truth=truth,
            expected=work_records.records_truth(
                self.records, entity_code=declared["entity"]["code"]
            ),
        )
        differences = conservation_differences(system)
        with system.database.transaction() as connection:
            reasons = connection.execute(
                """
                SELECT coalesce(r.codes, p.because, 'without a reason') AS code, count(*) AS entries
                FROM entry_place p
                LEFT JOIN LATERAL (
                    SELECT string_agg(v.code, ' and ' ORDER BY v.code) AS codes FROM verdict_reason v
                    WHERE v.verdict_id = p.verdict_id AND v.severity = 'error'
                ) r ON true
                WHERE p.place = 'held' GROUP BY 1 ORDER BY 2 DESC, 1
                """
            ).fetchall()
        figures: dict[str, Any] = {
            "seconds_total": self.workers.seconds,
            "time_entries": count_entries(system),
            "held_by_reason": {row["code"]: int(row["entries"]) for row in reasons},
            "conservation_gap_seconds": sum(each.gap_seconds for each in differences),
            "erp_duplicate_lines": hours.duplicate_lines,
            "erp_missing_lines": hours.missing_lines,
            "orphan_projects": len(truth.orphan_projects),
            "faults_injected": {
                f"tryton.{kind}": n for kind, n in town.tryton.ask("faults").items()
            },
        }
        examples = [
            *hours.examples,
            *(f"{d.kind} {d.key}: {d.ours_seconds} / {d.theirs_seconds}" for d in differences),
        ]
        if examples:
            figures["examples"] = examples[:40]
        return figures


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserMistake(f"the mapping {path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserMistake(f"the mapping {path} is no TOML: {error}") from error
    if "declare" not in config:
        raise UserMistake(f"the mapping {path} declares no client, contract and periods")
    for word in ("connection_key", "system", "mode"):
        config.pop(word, None)
    return config


def _read_records(directory: Path) -> list[work_records.WorkRecord]:
    try:
        return work_records.read_records(directory)
    except FileNotFoundError as error:
        raise UserMistake(str(error)) from error
    except (KeyError, ValueError) as error:
        raise UserMistake(f"the records of {directory} cannot be read: {error}") from error

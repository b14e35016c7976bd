"""Apply a plan of a configuration: all of it in one transaction, or nothing.

Pattern: on request. Vendor calls: the check of each connection that changes, before anything is written.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from psycopg import Connection

from tieline.governance import add_person, bind_identity, change_person, record_audit
from tieline.kernel.errors import UserMistake
from tieline.notices import Reached, StandIn, set_deputy, set_on_call, set_reach
from tieline.services.config_tables import load_table
from tieline.services.configuration import (
    ADDED,
    ONLY_THERE,
    ConfigFile,
    ConfigPlan,
    Difference,
    as_json,
    export_config,
    plan_config,
    plan_id_of,
    stored_secrets,
    written_connection,
)
from tieline.services.connecting import (
    Connected,
    WrittenConnection,
    save_connection,
    try_connection,
)
from tieline.services.installation import (
    EntitySetup,
    PeriodSetup,
    add_period,
    create_entity,
)
from tieline.services.policy_files import draft_policy
from tieline.services.system import System

_FOLDER = "config"
_PASSWORD_BYTES = 12
_QUEUE = "queue:"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done, whom it waits for, and how to undo it; new passwords are told once."""

    plan_id: str
    done: tuple[str, ...]
    waits: tuple[str, ...]
    undo: tuple[str, ...]
    passwords: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True, kw_only=True)
class _Applying:
    system: System
    connection: Connection[Row]
    file: ConfigFile
    tried: dict[str, tuple[WrittenConnection, Row, Connected]]
    by: str
    reason: str
    now: datetime
    waits: list[str] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)

    def entity(self, change: Difference) -> None:
        told = self.file.entities[change.key]
        create_entity(
            self.connection,
            entity=EntitySetup(
                entity_code=change.key,
                name=told.name,
                currency=told.currency,
                zone=told.zone,
                erp_connection_key=told.erp,
                close_working_day=1,
                close_time=time(),
            ),
            now=self.now,
        )
        for code, period in told.periods.items():
            add_period(
                self.connection,
                period=PeriodSetup(entity_code=change.key, period_code=code, **dict(period)),
                opened_by=self.by,
                now=self.now,
            )

    def connect(self, change: Difference) -> None:
        written, words, tried = self.tried[change.key]
        saved = save_connection(
            self.connection,
            system=self.system,
            written=written,
            secrets=words,
            tried=tried,
            by=self.by,
            now=self.now,
        )
        if saved.mode != written.mode:
            self.waits.append(
                f"{change.key} is new and observes: plan and apply again to let it {written.mode}"
            )

    def person(self, change: Difference) -> None:
        told = self.file.people[change.key]
        if change.what != ADDED:
            change_person(
                self.connection,
                login=change.key,
                display_name=told.name,
                roles=told.roles,
                entities=told.entities,
                ends_at=told.ends_at,
                by=self.by,
                reason=self.reason,
                now=self.now,
            )
            return
        self.passwords[change.key] = secrets.token_urlsafe(_PASSWORD_BYTES)
        add_person(
            self.connection,
            login=change.key,
            display_name=told.name,
            password=self.passwords[change.key],
            roles=told.roles,
            entities=told.entities,
            by=self.by,
            now=self.now,
            ends_at=told.ends_at,
        )

    def reach(self, change: Difference) -> None:
        recipient, _, channel = change.key.partition(" ")
        told = self.file.reach[change.key]
        set_reach(
            self.connection,
            reached=Reached(
                recipient=recipient,
                connection_key=channel,
                address=told.address,
                urgent_only=told.urgent_only,
            ),
            by=self.by,
            now=self.now,
        )

    def stand_in(self, change: Difference) -> None:
        if change.what != ADDED:
            self.waits.append(f"{change.key}: somebody else stands in already, take it back first")
            return
        owner, _, day = change.key.partition(" ")
        told = self.file.stand_ins[change.key]
        keep = set_on_call if owner.startswith(_QUEUE) else set_deputy
        keep(
            self.connection,
            stand_in=StandIn(
                owner=owner, login=told.login, starts_on=_day(day), ends_on=told.ends_on
            ),
            by=self.by,
            now=self.now,
        )

    def identity(self, change: Difference) -> None:
        login, _, issuer = change.key.partition(" ")
        if change.what != ADDED:
            self.waits.append(
                f"{login} is bound at {issuer} already: tieline people unbind {login} first"
            )
            return
        bind_identity(
            self.connection,
            login=login,
            issuer=issuer,
            subject=self.file.identities[change.key].subject,
            email=None,
            pepper=self.system.pepper,
            by=self.by,
            reason=self.reason,
            now=self.now,
        )

    def table(self, change: Difference) -> None:
        waits = load_table(
            self.connection,
            name=change.key,
            rows=self.file.tables[change.key],
            by=self.by,
            reason=self.reason,
            now=self.now,
        )
        if waits:
            self.waits.append(waits)

    def policy(self, change: Difference) -> None:
        assert self.file.policy is not None
        drafted = draft_policy(
            self.connection, file=self.file.policy, by=self.by, reason=self.reason, now=self.now
        )
        self.waits.append(
            f"the policy waits for a second controller: tieline policy approve {drafted.release_id}"
        )


_SECTIONS = {
    "entities": _Applying.entity,
    "connections": _Applying.connect,
    "people": _Applying.person,
    "reach": _Applying.reach,
    "stand_ins": _Applying.stand_in,
    "identities": _Applying.identity,
    "tables": _Applying.table,
    "policy": _Applying.policy,
}


def apply_config(
    system: System, *, file: ConfigFile, plan_id: str, to: str, by: str, reason: str
) -> Applied:
    """Apply exactly the plan that was read.

    :raises UserMistake: the file or the installation changed since, or something stands in the way.
    """
    now = system.clock.now()
    plan = plan_config(system, file=file, to=to, with_calls=False)
    _refuse(plan, plan_id)
    tried = _try(system, file, plan)
    undo_file = system.settings.home / _FOLDER / f"before-{plan_id}.json"
    with system.database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('tieline.config', 0))")
        standing = export_config(connection, environment=to, now=now)
        if plan_id_of(standing, file) != plan_id:
            raise UserMistake("the plan is stale: plan again, and read what differs now")
        _keep(undo_file, standing)
        work = _Applying(
            system=system,
            connection=connection,
            file=file,
            tried=tried,
            by=by,
            reason=reason,
            now=now,
        )
        wanted = [each for each in plan.differences if each.what != ONLY_THERE]
        for section, apply in _SECTIONS.items():
            for change in wanted:
                if change.section == section:
                    apply(work, change)
        record_audit(
            connection,
            now=now,
            actor=by,
            action="config.applied",
            object=f"config:{plan_id}",
            entity_code=None,
            reason=reason,
            data={"to": to, "things": [f"{each.section}.{each.key}" for each in wanted]},
        )
    return Applied(
        plan_id=plan_id,
        done=tuple(f"{each.section}.{each.key} {each.what}" for each in wanted),
        waits=tuple(work.waits),
        undo=_undo(undo_file, wanted, to=to),
        passwords=work.passwords,
    )


def _refuse(plan: ConfigPlan, plan_id: str) -> None:
    if plan.plan_id != plan_id:
        raise UserMistake("the plan is stale: plan again, and read what differs now")
    if not plan.may_apply:
        raise UserMistake("; ".join((*plan.refused, *plan.missing)))
    if not any(each.what != ONLY_THERE for each in plan.differences):
        raise UserMistake("nothing differs: there is nothing to apply")


def _try(
    system: System, file: ConfigFile, plan: ConfigPlan
) -> dict[str, tuple[WrittenConnection, Row, Connected]]:
    found = {}
    for each in plan.differences:
        if each.section != "connections" or each.what == ONLY_THERE:
            continue
        written = written_connection(system, key=each.key, told=file.connections[each.key])
        words, _ = stored_secrets(system, written=written)
        tried = try_connection(system, written=written, secrets=words)
        bad = [f"{item.name}: {item.fix}" for item in tried.checks if not item.is_good]
        if bad:
            raise UserMistake(f"{each.key}: {'; '.join(bad)}")
        found[each.key] = (written, words, tried)
    return found


def _keep(path: Path, standing: ConfigFile) -> None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        text = json.dumps(as_json(standing), indent=2, ensure_ascii=False, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserMistake(f"{path} cannot be written: {error.strerror}") from error


def _undo(path: Path, wanted: Sequence[Difference], *, to: str) -> tuple[str, ...]:
    steps = [
        f"tieline config plan {path} --to {to}, then apply it: what was changed is as it was before"
    ]
    for each in wanted:
        if each.what != ADDED:
            continue
        match each.section:
            case "connections":
                steps.append(f"tieline connections pause {each.key}: it is new")
            case "people":
                steps.append(f"tieline people close {each.key}: they are new")
            case "reach" | "stand_ins":
                steps.append(f"take back {each.key} with --remove: it is new")
            case "identities":
                steps.append(f"tieline people unbind {each.key.partition(' ')[0]}: it is new")
            case "entities":
                steps.append(
                    f"{each.key} stays; nothing is booked for it before a connection says so"
                )
            case _:
                continue
    if any(each.section == "tables" for each in wanted):
        steps.append(
            "tieline proposals reject what waits of the tables, or apply the file above once approved"
        )
    if any(each.section == "policy" for each in wanted):
        steps.append("tieline policy reject the draft, or draft the policy of the file above")
    return tuple(steps)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UserMistake(f"{text} is no day, such as 2026-11-03") from error

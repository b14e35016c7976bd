"""Write what a field's owner says into the systems that say otherwise: shown first, then carried out.

Pattern: one transaction to show, one to apply; the writes are durable work through the posting protocol,
one effect per record. What a system takes from nobody, a person sets there by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.canonical import FieldCommand
from tieline.governance import record_audit
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TryAgain, UserMistake
from tieline.kernel.keys import SourceIdentity
from tieline.posting import Confirmed, EffectRequest, Poster, Waiting
from tieline.register import OWNERS
from tieline.runtime.database import Database, Row
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import REFERENCE, Again, Done, Outcome, Steps, schedule
from tieline.sdk.directory import Connectors
from tieline.services.drifting import SET, Difference, list_differences
from tieline.services.shown_plans import (
    Chosen,
    ShownPlan,
    get_shown,
    keep_shown,
    note_applied,
    refuse_stale,
)

ALIGN = "align"
ROLES_THAT_ALIGN = ("controller", "integration")
WRITES_MAX = 1000
_RETRY_SECONDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignPlan:
    """What would be written where, and what only a person can put right."""

    field: str
    writes: tuple[Difference, ...]
    others: tuple[Difference, ...]

    @property
    def content(self) -> dict[str, Any]:
        return {
            "field": self.field,
            "writes": {_place(each): _told(each) for each in self.writes},
            "others": {_place(each): each.action for each in self.others},
        }


def show_alignment(
    connection: Connection[Row], *, field: str, connectors: Connectors, to: str, now: datetime
) -> tuple[AlignPlan, ShownPlan]:
    """Plan what would make every system say of a field what its owner says, and keep it as shown.

    :raises UserMistake: the field is none of ours, or too many records differ.
    """
    plan = _draw(connection, field=field, connectors=connectors, now=now)
    shown = keep_shown(
        connection, kind=ALIGN, subject=plan.field, entity_code=None, content=plan.content,
        to=to, now=now,
    )  # fmt: skip
    return plan, shown


def apply_alignment(
    connection: Connection[Row],
    *,
    field: str,
    chosen: Chosen,
    connectors: Connectors,
    by: str,
    reason: str,
    now: datetime,
) -> ShownPlan:
    """Have the very plan that was shown carried out by a worker.

    :raises UserMistake: no reason is given, nothing is to be written, or the plan is stale.
    """
    if not reason.strip():
        raise UserMistake("say why")
    plan = _draw(connection, field=field, connectors=connectors, now=now)
    shown = get_shown(connection, kind=ALIGN, subject=plan.field, chosen=chosen)
    if shown.applied_at is not None:
        # Asked a second time: it is written once.
        return shown
    refuse_stale(shown, content=plan.content)
    if not plan.writes:
        raise UserMistake(f"nothing of {plan.field} can be written from here")
    note_applied(connection, shown=shown, by=by, now=now)
    record_audit(
        connection, now=now, actor=by, action="drift.aligned", object=f"field:{plan.field}",
        entity_code=None, reason=reason,
        data={"digest": shown.digest, "records": [_place(each) for each in plan.writes]},
    )  # fmt: skip
    schedule(
        connection, kind=ALIGN, subject=str(shown.shown_id), work_class=REFERENCE,
        correlation_id=new_correlation_id(),
    )  # fmt: skip
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligning:
    """Carry out a plan that was applied: one write after the other, each read back."""

    database: Database
    poster: Poster
    clock: Clock

    def align(self, steps: Steps, subject: str) -> Outcome:
        """Write every record of a plan; a lost run is continued, nothing is written twice."""
        content = steps.run("read", lambda: self._content(UUID(subject)))
        try:
            for place in sorted(content["writes"]):
                told = content["writes"][place]
                wait = steps.run(place, partial(self._write, subject, content["field"], told))
                if wait:
                    return Again(due_in_seconds=wait)
        except TryAgain as error:
            return Again(due_in_seconds=error.retry_after_seconds or _RETRY_SECONDS)
        return Done()

    def _content(self, shown_id: UUID) -> dict[str, Any]:
        with self.database.transaction() as connection:
            row = connection.execute(
                "SELECT content FROM shown_plan WHERE shown_id = %s", (shown_id,)
            ).fetchone()
        if row is None:
            raise LookupError(f"no plan was shown under {shown_id}")
        content: dict[str, Any] = row["content"]
        return content

    def _write(self, subject: str, field: str, told: Mapping[str, str]) -> int:
        noun, _, name = field.partition(".")
        with self.database.transaction() as connection:
            entity_code = _entity_of(connection, told["system_key"])
            source = _owner(connection, noun, told)

        def build(key: UUID) -> FieldCommand:
            return FieldCommand(
                business_key=key,
                entity_code=entity_code,
                object=told["system_object"],
                record_code=told["system_ref"],
                before={name: told["value"]},
                values={name: told["owner_value"]},
            )

        request = EffectRequest(
            source=source,
            target_connection=told["system_key"],
            noun=FieldCommand.noun,
            # One alignment writes a record once; the next one, of another value, is another effect.
            part=f"{name}|{told['system_ref']}|{subject}",
            entity_code=entity_code,
            work_class=REFERENCE,
            deadline_at=None,
            release_id=None,
            correlation_id=subject,
            project_id=None,
        )
        match self.poster.post(request=request, build=build):
            case Waiting(due_in_seconds=seconds):
                return max(1, seconds)
            case Confirmed():
                return 0
            case _:
                # Refused or otherwise there: it is its own case, and the other records go on.
                return 0


def _draw(
    connection: Connection[Row], *, field: str, connectors: Connectors, now: datetime
) -> AlignPlan:
    noun, name = _named(field)
    found = list_differences(connection, connectors=connectors, now=now, noun=noun, field=name)
    writes = tuple(each for each in found if each.action == SET)
    if len(writes) > WRITES_MAX:
        raise UserMistake(
            f"{len(writes)} records differ in {field}: more than {WRITES_MAX} are a migration"
        )
    return AlignPlan(
        field=f"{noun}.{name}",
        writes=writes,
        others=tuple(each for each in found if each.action != SET),
    )


def _named(field: str) -> tuple[str, str]:
    """Return noun and field of a name such as ``client.city``; the noun may go unsaid.

    :raises UserMistake: it is no field of ours, or of two nouns.
    """
    noun, _, name = field.rpartition(".")
    nouns = [each for each, owners in OWNERS.items() if name in owners and noun in ("", each)]
    if len(nouns) == 1:
        return nouns[0], name
    known = ", ".join(f"{each}.{one}" for each, owners in OWNERS.items() for one in owners)
    if nouns:
        raise UserMistake(
            f"{field} is a field of {' and of '.join(nouns)}: write {nouns[0]}.{name}"
        )
    raise UserMistake(f"{field} is none of {known}")


def _place(each: Difference) -> str:
    return f"{each.system_key}:{each.system_object}/{each.system_ref}"


def _told(each: Difference) -> dict[str, str]:
    kept = (
        "system_key",
        "system_object",
        "system_ref",
        "value",
        "owner_key",
        "owner_ref",
        "owner_value",
    )
    values = asdict(each)
    return {name: str(values[name]) for name in kept}


def _owner(connection: Connection[Row], noun: str, told: Mapping[str, str]) -> SourceIdentity:
    """Return the record whose word is written: it is the event of the effect."""
    # A system may count the records of each object from one: its client 31 is not its invoice 31.
    rows = connection.execute(
        """
        SELECT s.connection_key, s.source_epoch, s.object, s.source_ref
        FROM source_version s JOIN connection c USING (connection_key, source_epoch)
        WHERE s.is_newest AND s.connection_key = %(owner_key)s AND s.source_ref = %(owner_ref)s
          AND CASE %(noun)s WHEN 'client' THEN s.noun = 'Client'
              ELSE s.noun = 'WorkItem' AND s.data ->> 'kind' = %(noun)s END
        """,
        {"noun": noun, "owner_key": told["owner_key"], "owner_ref": told["owner_ref"]},
    ).fetchall()
    if len(rows) != 1:
        raise LookupError(f"{told['owner_key']} has not one {noun} {told['owner_ref']}")
    return SourceIdentity(**rows[0])


def _entity_of(connection: Connection[Row], connection_key: str) -> str:
    """Return a legal entity as whose user a system is written to: its own, else the first."""
    row = connection.execute(
        """
        SELECT entity_code FROM legal_entity
        ORDER BY erp_connection_key IS DISTINCT FROM %s, entity_code LIMIT 1
        """,
        (connection_key,),
    ).fetchone()
    if row is None:
        raise LookupError("there is no legal entity")
    return str(row["entity_code"])


def writes_in_words(plan: AlignPlan) -> Sequence[tuple[str, str, str, str]]:
    """Return system, record, what it says and what it would say, for people."""
    return [
        (
            each.system_key,
            f"{each.system_object} {each.system_ref}",
            each.value,
            each.owner_value or "",
        )
        for each in plan.writes
    ]

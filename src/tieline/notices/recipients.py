"""Whom a message for an owner reaches: addresses per channel, deputies and people on call by date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import Connection

from tieline.governance import list_people, record_audit
from tieline.kernel.errors import UserMistake

PERSON, QUEUE, STAFF = "person", "queue", "staff"
# Where everybody of the staffing file is reached, at the address that stands in it.
ALL_STAFF = f"{STAFF}:all"
ADDRESS_CHARACTERS_MAX = 254
# Whoever stands in for somebody may be away too, but not without end.
_STAND_INS_MAX = 5
_NONE: frozenset[str] = frozenset()

_REMOVE: Mapping[str, LiteralString] = {
    PERSON: "DELETE FROM deputy WHERE (login, deputy_login, starts_on, ends_on) = (%s, %s, %s, %s)",
    QUEUE: "DELETE FROM on_call WHERE (queue, login, starts_on, ends_on) = (%s, %s, %s, %s)",
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A recipient on one channel; the address is read again when a message goes out."""

    recipient: str
    connection_key: str
    urgent_only: bool
    address: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """Somebody acts for a person, or is on call for a queue, on the days of [starts_on, ends_on)."""

    owner: str
    login: str
    starts_on: date
    ends_on: date


def person_owner(login: str) -> str:
    """Return how a person is written where an owner stands."""
    return f"{PERSON}:{login}"


def queue_owner(queue: str) -> str:
    """Return how a queue is written where an owner stands."""
    return f"{QUEUE}:{queue}"


def staff_owner(person_id: UUID) -> str:
    """Return how somebody of the staffing file is written where an owner stands."""
    return f"{STAFF}:{person_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Who is reached where; ``channels`` are those that bring messages now.

    ``sight`` holds the legal entities that each person sees, who may log in today.
    """

    channels: frozenset[str]
    reached: Mapping[str, Sequence[Reached]]
    stand_ins: Sequence[StandIn]
    sight: Mapping[str, frozenset[str]]

    @property
    def is_used(self) -> bool:
        """Tell whether the firm has a channel; without one the console alone tells people."""
        return bool(self.channels)

    def of_owner(self, owner: str, *, day: date, is_urgent: bool) -> Sequence[Reached]:
        """Return where an owner is reached on a day: a deputy's place, a queue's own or who is on call."""
        if owner.startswith(STAFF):
            found: Sequence[Reached] = [
                replace(each, recipient=owner) for each in self.reached.get(ALL_STAFF, ())
            ]
        else:
            found = self._of_queue(owner, day) if owner.startswith(QUEUE) else self._of(owner, day)
        return self._fitting(found, is_urgent=is_urgent)

    def sees(self, owner: str, entity_code: str | None) -> bool:
        """Tell whether a person sees a legal entity: nobody is told of another."""
        return entity_code is None or entity_code in self.sight.get(owner, ())

    def on_call(self, queue: str, *, day: date) -> Sequence[Reached]:
        """Return where whoever is on call for a queue is reached, the queue itself where nobody is."""
        called = self._stand_in(queue_owner(queue), day)
        found = self._of(called, day) if called else ()
        return self._fitting(found or self._of_queue(queue_owner(queue), day), is_urgent=True)

    def _of_queue(self, owner: str, day: date) -> Sequence[Reached]:
        called = self._stand_in(owner, day)
        return self.reached.get(owner, ()) or (self._of(called, day) if called else ())

    def _of(self, owner: str, day: date) -> Sequence[Reached]:
        for _ in range(_STAND_INS_MAX):
            deputy = self._stand_in(owner, day)
            # Rights may have changed since: who sees less than the other is told nothing for them.
            if deputy is None or self.sight.get(owner, frozenset()) - self.sight.get(deputy, _NONE):
                break
            owner = deputy
        return self.reached.get(owner, ()) if owner in self.sight else ()

    def _stand_in(self, owner: str, day: date) -> str | None:
        for each in self.stand_ins:
            if each.owner == owner and each.starts_on <= day < each.ends_on:
                return person_owner(each.login)
        return None

    def _fitting(self, found: Sequence[Reached], *, is_urgent: bool) -> Sequence[Reached]:
        return [
            each
            for each in found
            if each.connection_key in self.channels and (is_urgent or not each.urgent_only)
        ]


def read_directory(connection: Connection[Row]) -> Directory:
    """Read who is reached where."""
    channels = connection.execute(
        "SELECT connection_key FROM connection WHERE kind = 'channel' AND mode = 'act'"
    ).fetchall()
    reached: dict[str, list[Reached]] = {}
    for each in list_reached(connection):
        reached.setdefault(each.recipient, []).append(each)
    return Directory(
        channels=frozenset(row["connection_key"] for row in channels),
        reached=reached,
        stand_ins=list_stand_ins(connection),
        sight=_read_sight(connection),
    )


def _read_sight(connection: Connection[Row]) -> Mapping[str, frozenset[str]]:
    return {
        person_owner(person.login): frozenset(person.entities) for person in list_people(connection)
    }


def list_reached(connection: Connection[Row]) -> tuple[Reached, ...]:
    """List who is reached over which channel."""
    rows = connection.execute(
        "SELECT recipient, connection_key, urgent_only, address FROM reach ORDER BY 1, 2"
    ).fetchall()
    return tuple(Reached(**row) for row in rows)


def list_stand_ins(connection: Connection[Row]) -> tuple[StandIn, ...]:
    """List deputies and people on call, the earliest first."""
    rows = connection.execute(
        """
        SELECT 'person:' || login AS owner, deputy_login AS login, starts_on, ends_on FROM deputy
        UNION ALL SELECT 'queue:' || queue, login, starts_on, ends_on FROM on_call
        ORDER BY starts_on, owner
        """
    ).fetchall()
    return tuple(StandIn(**row) for row in rows)


def set_reach(connection: Connection[Row], *, reached: Reached, by: str, now: datetime) -> None:
    """Say where a recipient is reached over one channel, in place of what was said before.

    :raises UserMistake: there is no such channel or login, or the address is no line of text.
    """
    address = reached.address
    if len(address) > ADDRESS_CHARACTERS_MAX or not address.isprintable() or " " in address:
        raise UserMistake("an address is one word without blanks")
    kind = connection.execute(
        "SELECT kind FROM connection WHERE connection_key = %s", (reached.connection_key,)
    ).fetchone()
    if kind is None or kind["kind"] != "channel":
        raise UserMistake(f"{reached.connection_key} is no channel to people")
    if reached.recipient != ALL_STAFF:
        _must_log_in(connection, reached.recipient)
    elif address:
        raise UserMistake(
            "people of the staffing file are reached at the address that stands there"
        )
    connection.execute(
        """
        INSERT INTO reach (recipient, connection_key, address, urgent_only) VALUES (%s, %s, %s, %s)
        ON CONFLICT (recipient, connection_key) DO UPDATE
        SET address = excluded.address, urgent_only = excluded.urgent_only
        """,
        (reached.recipient, reached.connection_key, address, reached.urgent_only),
    )
    _audit(connection, "notice.reach_set", reached.recipient, by, now, at=reached.connection_key)


def unset_reach(
    connection: Connection[Row], *, recipient: str, connection_key: str, by: str, now: datetime
) -> None:
    """Forget a recipient's address on one channel.

    :raises UserMistake: it has none there.
    """
    gone = connection.execute(
        "DELETE FROM reach WHERE (recipient, connection_key) = (%s, %s)",
        (recipient, connection_key),
    )
    if gone.rowcount != 1:
        raise UserMistake(f"{recipient} is not reached over {connection_key}")
    _audit(connection, "notice.reach_set", recipient, by, now, at=f"no longer {connection_key}")


def set_deputy(connection: Connection[Row], *, stand_in: StandIn, by: str, now: datetime) -> None:
    """Let one person stand in for another on some days.

    :raises UserMistake: somebody else does already, one of them may not log in, or the deputy sees
        less than the other does.
    """
    sight = _read_sight(connection)
    unseen = sight.get(stand_in.owner, _NONE) - sight.get(person_owner(stand_in.login), _NONE)
    if unseen and person_owner(stand_in.login) in sight:
        raise UserMistake(f"{stand_in.login} does not see {', '.join(sorted(unseen))}")
    login = stand_in.owner.removeprefix(f"{PERSON}:")
    _insert(
        connection,
        "INSERT INTO deputy (login, deputy_login, starts_on, ends_on) VALUES (%s, %s, %s, %s)",
        (login, stand_in.login, stand_in.starts_on, stand_in.ends_on),
        stand_in,
    )
    _audit(connection, "notice.deputy_set", stand_in.owner, by, now, at=_days(stand_in))


def set_on_call(connection: Connection[Row], *, stand_in: StandIn, by: str, now: datetime) -> None:
    """Put somebody on call for a queue on some days.

    :raises UserMistake: somebody else is already, or they may not log in.
    """
    _insert(
        connection,
        "INSERT INTO on_call (queue, login, starts_on, ends_on) VALUES (%s, %s, %s, %s)",
        (
            stand_in.owner.removeprefix(f"{QUEUE}:"),
            stand_in.login,
            stand_in.starts_on,
            stand_in.ends_on,
        ),
        stand_in,
    )
    _audit(connection, "notice.on_call_set", stand_in.owner, by, now, at=_days(stand_in))


def unset_stand_in(
    connection: Connection[Row], *, stand_in: StandIn, by: str, now: datetime
) -> None:
    """Let somebody no longer act for a person or a queue on the days that were said.

    :raises UserMistake: that was not said.
    """
    kind, _, name = stand_in.owner.partition(":")
    gone = connection.execute(
        _REMOVE[kind], (name, stand_in.login, stand_in.starts_on, stand_in.ends_on)
    )
    if gone.rowcount != 1:
        raise UserMistake(f"{_days(stand_in)} does not stand for {stand_in.owner}")
    action = "notice.deputy_set" if kind == PERSON else "notice.on_call_set"
    _audit(connection, action, stand_in.owner, by, now, at=f"no longer {_days(stand_in)}")


def _insert(
    connection: Connection[Row], statement: Any, values: tuple[Any, ...], stand_in: StandIn
) -> None:
    if stand_in.ends_on <= stand_in.starts_on:
        raise UserMistake(f"{_days(stand_in)} holds no day: the last one is not part of it")
    if stand_in.owner == person_owner(stand_in.login):
        raise UserMistake(f"{stand_in.login} cannot stand in for themselves")
    for owner in (stand_in.owner, person_owner(stand_in.login)):
        _must_log_in(connection, owner)
    try:
        with connection.transaction():
            connection.execute(statement, values)
    except psycopg.errors.ExclusionViolation as error:
        raise UserMistake(f"somebody acts for {stand_in.owner} on one of these days") from error


def _must_log_in(connection: Connection[Row], owner: str) -> None:
    kind, _, login = owner.partition(":")
    if kind == QUEUE:
        return
    row = connection.execute(
        "SELECT 1 AS one FROM person_login WHERE login = %s AND is_active", (login,)
    ).fetchone()
    if row is None:
        raise UserMistake(f"nobody has the login {login}")


def _days(stand_in: StandIn) -> str:
    return f"{stand_in.login} from {stand_in.starts_on} to {stand_in.ends_on}"


def _audit(
    connection: Connection[Row], action: str, owner: str, by: str, now: datetime, *, at: str
) -> None:
    record_audit(
        connection, now=now, actor=by, action=action, object=owner, entity_code=None, reason=at
    )

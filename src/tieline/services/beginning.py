"""Begin an installation: legal entities, the first people, and the shipped rules as a draft.

Pattern: on request; asked for again, it adds what is missing and changes nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pycountry
from psycopg import Connection

from tieline.governance import ADMIN, add_person, list_people
from tieline.kernel.errors import UserMistake
from tieline.policy import draft_release
from tieline.services.installation import (
    CALENDARS,
    MONTHS,
    EntitySetup,
    create_entity,
    entity_codes,
    holidays_of,
    open_periods,
)
from tieline.validation import builtin_rules, builtin_values

SETUP = "setup"
_CODE = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,19}")
_WORDS = frozenset(
    {"name", "currency", "zone", "erp", "closes_on_working_day", "closes_at", "opens", "until"}
)
_MAY = frozenset({"calendar", "holidays", "grace_minutes", "urgent_hours"})
_WORKING_DAYS_MAX = 20
_GRACE_MINUTES_MAX = 7 * 24 * 60
_URGENT_HOURS_MAX = 14 * 24

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPerson:
    """Somebody who may log in from the beginning, and see every legal entity."""

    login: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEntity:
    """A legal entity as a person wrote it down, with the periods to open."""

    setup: EntitySetup
    opens: date
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What was new; ``release_id`` is the draft that waits for a second person, if one does."""

    people: tuple[str, ...]
    entities: tuple[str, ...]
    periods: int
    release_id: int | None


def begin(
    connection: Connection[Row],
    *,
    people: Sequence[FirstPerson],
    entities: Sequence[WrittenEntity],
    now: datetime,
) -> Begun:
    """Declare what is not there yet."""
    known = set(entity_codes(connection))
    periods = 0
    for entity in entities:
        create_entity(connection, entity=entity.setup, now=now)
        periods += open_periods(
            connection,
            entity=entity.setup,
            starts_on=entity.opens,
            ends_on=entity.until,
            opened_by=SETUP,
            now=now,
        )
    codes = entity_codes(connection)
    added = _add_people(connection, people, codes, now=now)
    connection.execute(
        # Administrators are the firm's own: they see a new legal entity at once.
        "UPDATE person_login SET entities = %s WHERE %s = ANY (roles)",
        (list(codes), ADMIN),
    )
    return Begun(
        people=added,
        entities=tuple(code for code in codes if code not in known),
        periods=periods,
        release_id=_draft_rules(connection, people, now=now),
    )


def read_firm(text: str) -> tuple[WrittenEntity, ...]:
    """Understand the TOML of a firm: its legal entities and when each closes.

    :raises UserMistake: a word is missing, unknown or of another kind than it must be.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserMistake(f"it is not TOML: {error}") from error
    if set(table) != {"entities"} or not isinstance(table["entities"], dict):
        raise UserMistake("a firm is a table [entities.CODE] for each legal entity, nothing else")
    return tuple(_entity(code, words) for code, words in table["entities"].items())


def _entity(code: str, words: Any) -> WrittenEntity:
    if not _CODE.fullmatch(code):
        raise UserMistake(f"{code} is no code: capitals, digits, - and _, at most 20")
    if not isinstance(words, dict) or not _WORDS <= set(words) <= _WORDS | _MAY:
        raise UserMistake(
            f"[entities.{code}] says {', '.join(sorted(_WORDS))}, may say {', '.join(sorted(_MAY))},"
            " and nothing else"
        )
    opens, until = words["opens"], words["until"]
    if type(opens) is not date or type(until) is not date or not opens < until:
        raise UserMistake(f"{code}: opens and until are days, the first before the second")
    return WrittenEntity(
        setup=EntitySetup(
            entity_code=code,
            name=_text(code, words, "name"),
            currency=_currency(code, words),
            zone=_zone(code, words),
            erp_connection_key=_text(code, words, "erp"),
            close_working_day=_working_day(code, words),
            close_time=_clock(code, words),
            holidays=_holidays(code, words),
            grace_minutes=_whole(code, words, "grace_minutes", usual=0, most=_GRACE_MINUTES_MAX),
            urgent_hours=_whole(code, words, "urgent_hours", usual=24, most=_URGENT_HOURS_MAX),
            calendar=_calendar(code, words),
        ),
        opens=opens,
        until=until,
    )


def _text(code: str, words: Mapping[str, Any], name: str) -> str:
    value = words[name]
    if not isinstance(value, str) or not value.strip() or "\x00" in value:
        raise UserMistake(f"{code}: {name} is a word")
    return value


def _currency(code: str, words: Mapping[str, Any]) -> str:
    currency = _text(code, words, "currency")
    if pycountry.currencies.get(alpha_3=currency) is None:
        raise UserMistake(f"{code}: {currency} is no currency of ISO 4217")
    return currency


def _zone(code: str, words: Mapping[str, Any]) -> str:
    zone = _text(code, words, "zone")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UserMistake(f"{code}: {zone} is no time zone, such as Europe/Berlin") from error
    return zone


def _working_day(code: str, words: Mapping[str, Any]) -> int:
    day = words["closes_on_working_day"]
    if type(day) is not int or not 1 <= day <= _WORKING_DAYS_MAX:
        raise UserMistake(f"{code}: closes_on_working_day is 1 to {_WORKING_DAYS_MAX}")
    return day


def _calendar(code: str, words: Mapping[str, Any]) -> str:
    named = words.get("calendar", MONTHS)
    if named not in CALENDARS:
        raise UserMistake(f"{code}: calendar is {' or '.join(CALENDARS)}")
    return str(named)


def _holidays(code: str, words: Mapping[str, Any]) -> str:
    named = words.get("holidays", "")
    try:
        holidays_of(str(named))
    except LookupError as error:
        raise UserMistake(
            f"{code}: {error}; name a country such as DE, or a part: DE-BE"
        ) from error
    return str(named)


def _whole(code: str, words: Mapping[str, Any], name: str, *, usual: int, most: int) -> int:
    value = words.get(name, usual)
    if type(value) is not int or not 0 <= value <= most:
        raise UserMistake(f"{code}: {name} is a whole number from 0 to {most}")
    return value


def _clock(code: str, words: Mapping[str, Any]) -> time:
    given = words["closes_at"]
    try:
        return given if isinstance(given, time) else time.fromisoformat(str(given))
    except ValueError as error:
        raise UserMistake(f"{code}: closes_at is a time of day, such as 17:00") from error


def _add_people(
    connection: Connection[Row],
    people: Sequence[FirstPerson],
    codes: Sequence[str],
    *,
    now: datetime,
) -> tuple[str, ...]:
    standing = {person.login for person in list_people(connection)}
    added = [person for person in people if person.login not in standing]
    for person in added:
        add_person(
            connection,
            login=person.login,
            display_name=person.login.capitalize(),
            password=person.password,
            roles=(ADMIN,),
            entities=codes,
            by=SETUP,
            now=now,
        )
    return tuple(person.login for person in added)


def _draft_rules(
    connection: Connection[Row], people: Sequence[FirstPerson], *, now: datetime
) -> int | None:
    waiting = connection.execute(
        "SELECT release_id, state FROM release ORDER BY release_id DESC LIMIT 1"
    ).fetchone()
    if waiting is not None:
        return waiting["release_id"] if waiting["state"] == "draft" else None
    return draft_release(
        connection,
        title="The shipped rules",
        rules=builtin_rules(),
        values=builtin_values(),
        overrides=(),
        proposed_by=people[0].login,
        reason="rules that ship with Tieline, to be read and approved",
        now=now,
    )

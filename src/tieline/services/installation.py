"""Set an installation up: legal entities, fiscal periods, connections; what a person declares once."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from holidays import country_holidays
from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.kernel.periods import next_month, weeks_of_year
from tieline.runtime.secrets import MasterKey, store_secret
from tieline.validation import mark_reference_change

_SATURDAY = 5
_PERIODS_MAX = 240
MONTHS, WEEKS = "months", "4-4-5"
CALENDARS = (MONTHS, WEEKS)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitySetup:
    """Declare a legal entity; it closes at ``close_time`` on its n-th working day after a period.

    ``calendar`` says whether its periods are months or whole weeks, four, four and five in a quarter.

    ``holidays`` names whose public holidays are no working days, such as DE or DE-BE; without it only
    weekends are none. ``grace_minutes`` after the cut-off hours that come late are still taken in, and
    ``urgent_hours`` before it what is due by it goes before everything else.
    """

    entity_code: str
    name: str
    currency: str
    zone: str
    erp_connection_key: str
    close_working_day: int
    close_time: time
    holidays: str = ""
    grace_minutes: int = 0
    urgent_hours: int = 24
    calendar: str = MONTHS


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodSetup:
    """Declare a fiscal period of a legal entity and the instants around its close."""

    entity_code: str
    period_code: str
    starts_on: date
    ends_on: date
    cut_off_at: datetime
    urgent_from: datetime
    grace_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSetup:
    """Declare one account of one system and where its time begins to count."""

    connection_key: str
    system: str
    kind: str
    mode: str
    config: Mapping[str, Any]
    secrets: Mapping[str, str]
    settle_seconds: int | None
    go_live: Mapping[str, date]


def create_entity(connection: Connection[Row], *, entity: EntitySetup, now: datetime) -> None:
    """Declare a legal entity, or change what is declared."""
    connection.execute(
        """
        INSERT INTO legal_entity (entity_code, name, currency, zone, erp_connection_key, recorded_at)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (entity_code) DO UPDATE SET name = excluded.name,
            erp_connection_key = excluded.erp_connection_key
        """,
        (
            entity.entity_code,
            entity.name,
            entity.currency,
            entity.zone,
            entity.erp_connection_key,
            now,
        ),
    )


def open_periods(
    connection: Connection[Row],
    *,
    entity: EntitySetup,
    starts_on: date,
    ends_on: date,
    opened_by: str,
    now: datetime,
) -> int:
    """Open the periods of the entity's calendar that cover [starts_on, ends_on); return how many are new."""
    cover = _weeks if entity.calendar == WEEKS else _months
    opened = 0
    for code, first_on, after_on in cover(starts_on, ends_on)[:_PERIODS_MAX]:
        cut_off_at = cut_off_of(entity=entity, period_ends_on=after_on)
        opened += add_period(
            connection,
            period=PeriodSetup(
                entity_code=entity.entity_code,
                period_code=code,
                starts_on=first_on,
                ends_on=after_on,
                cut_off_at=cut_off_at,
                urgent_from=cut_off_at - timedelta(hours=entity.urgent_hours),
                grace_until=cut_off_at + timedelta(minutes=entity.grace_minutes),
            ),
            opened_by=opened_by,
            now=now,
        )
    return opened


def _months(starts_on: date, ends_on: date) -> list[tuple[str, date, date]]:
    """Return code, first day and day after of the months that begin before the end, such as 2026-10."""
    months = []
    first_on = starts_on.replace(day=1)
    while first_on < ends_on:
        months.append((f"{first_on:%Y-%m}", first_on, next_month(first_on)))
        first_on = next_month(first_on)
    return months


def _weeks(starts_on: date, ends_on: date) -> list[tuple[str, date, date]]:
    """Return the same of periods of whole weeks that share a day with the span, such as 2026-P10."""
    return [
        (f"{year}-P{number:02d}", first_on, after_on)
        for year in range(starts_on.year - 1, ends_on.year + 2)
        for number, (first_on, after_on) in enumerate(weeks_of_year(year), start=1)
        if first_on < ends_on and after_on > starts_on
    ]


def cut_off_of(*, entity: EntitySetup, period_ends_on: date) -> datetime:
    """Return the instant a period closes: the entity's own clock on its n-th working day after."""
    day, working_days = period_ends_on, 0
    free = holidays_of(entity.holidays)
    while True:
        working_days += day.weekday() < _SATURDAY and day not in free
        if working_days == entity.close_working_day:
            break
        day += timedelta(days=1)
    local = datetime.combine(day, entity.close_time, tzinfo=ZoneInfo(entity.zone))
    return local.astimezone(UTC)


def holidays_of(code: str) -> Container[date]:
    """Return the public holidays of a country, or of a part of it as DE-BE is of Germany.

    :raises LookupError: no such country or part is known.
    """
    if not code:
        return ()
    country, _, part = code.partition("-")
    try:
        found: Container[date] = country_holidays(country, subdiv=part or None)
    except NotImplementedError as error:
        raise LookupError(f"{code} has no known holidays") from error
    return found


def connect(
    connection: Connection[Row], *, key: MasterKey, setup: ConnectionSetup, now: datetime
) -> None:
    """Store a connection, its encrypted credentials and its go-live dates."""
    connection.execute(
        """
        INSERT INTO connection (connection_key, system, kind, mode, config, settle_seconds, created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (connection_key) DO UPDATE SET mode = excluded.mode, config = excluded.config,
            settle_seconds = excluded.settle_seconds
        """,
        (
            setup.connection_key,
            setup.system,
            setup.kind,
            setup.mode,
            Jsonb(dict(setup.config)),
            setup.settle_seconds,
            now,
        ),
    )
    for name, value in setup.secrets.items():
        store_secret(
            connection, key=key, connection_key=setup.connection_key, name=name, value=value
        )
    for entity_code, go_live_on in setup.go_live.items():
        connection.execute(
            """
            INSERT INTO connection_go_live (connection_key, entity_code, go_live_on) VALUES (%s, %s, %s)
            ON CONFLICT (connection_key, entity_code) DO UPDATE SET go_live_on = excluded.go_live_on
            """,
            (setup.connection_key, entity_code, go_live_on),
        )


def add_period(
    connection: Connection[Row], *, period: PeriodSetup, opened_by: str, now: datetime
) -> int:
    """Open a period that is not there; return how many are new."""
    row = connection.execute(
        """
        INSERT INTO fiscal_period (entity_code, period_code, starts_on, ends_on, state, cut_off_at,
            urgent_from, grace_until)
        VALUES (%(entity_code)s, %(period_code)s, %(starts_on)s, %(ends_on)s, 'open', %(cut_off_at)s,
            %(urgent_from)s, %(grace_until)s)
        ON CONFLICT DO NOTHING RETURNING period_id
        """,
        asdict(period),
    ).fetchone()
    if row is None:
        return 0
    connection.execute(
        """
        INSERT INTO fiscal_period_state (period_id, state, recorded_at, changed_by)
        VALUES (%s, 'open', %s, %s)
        """,
        (row["period_id"], now, opened_by),
    )
    # Days that lay in no period may have held hours.
    mark_reference_change(
        connection,
        keys=[f"period:{row['period_id']}"],
        because="period.added",
        correlation_id="period.added",
        now=now,
    )
    return 1


def entity_codes(connection: Connection[Row]) -> Sequence[str]:
    """Return the codes of all legal entities in order."""
    rows = connection.execute("SELECT entity_code FROM legal_entity ORDER BY 1").fetchall()
    return [row["entity_code"] for row in rows]

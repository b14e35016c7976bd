"""Try before a cut-off what the close will need, so that what is broken is known while there is time.

Pattern: scheduled, 24 hours and 2 hours before each cut-off, and whenever somebody asks. Vendor calls:
those of each connection's own check, and one question for the target's periods.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from uuid import UUID

from cryptography import x509
from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.casework import keep_cases
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.clock import Clock
from tieline.kernel.errors import TielineError, TryAgain
from tieline.runtime.database import Database
from tieline.sdk import CheckReport, FiscalPeriod, TellsPeriods
from tieline.sdk.directory import Connectors, Systems
from tieline.sdk.http import trusted_authorities
from tieline.services.forecast import read_outlook

RED = "preflight.red"
STAGES: Sequence[tuple[str, timedelta]] = (("24h", timedelta(hours=24)), ("2h", timedelta(hours=2)))
_ASKED = "asked"
_FREE_BYTES_MIN = 1024**3
_FREE_PERCENT_MIN = 5
CLOCK_SECONDS_MAX = 5
_CERTIFICATE_SECONDS = 10
_HTTPS_PORT = 443
_PATIENCE, _PATIENCE_SECONDS = 4, 3

Row = dict[str, Any]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One thing that was tried; ``fix`` is a sentence where it is not good."""

    connection_key: str | None
    name: str
    is_good: bool
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """What was tried for the cut-off of one period of one legal entity."""

    period_id: UUID
    entity_code: str
    period_code: str
    cut_off_at: datetime
    stage: str
    tried_at: datetime
    tried: tuple[Tried, ...]

    @property
    def is_green(self) -> bool:
        return all(each.is_good for each in self.tried)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflights:
    """Try what closes need, on their schedule or when asked."""

    database: Database
    connectors: Connectors
    systems: Systems
    clock: Clock
    home: Path

    def run_due(self) -> int:
        """Try what is due before cut-offs, and open or close the cases; return how many were tried."""
        with self.database.transaction() as connection:
            due = _due(connection, now=self.clock.now())
        for row in due:
            self._try(row, stage=row["stage"])
        self._keep_cases()
        return len(due)

    def run_now(self, *, entity_code: str | None) -> tuple[Preflight, ...]:
        """Try now what the next cut-off of each legal entity needs."""
        with self.database.transaction() as connection:
            rows = _next(connection, now=self.clock.now(), entity_code=entity_code)
        found = tuple(self._try(row, stage=_ASKED) for row in rows)
        self._keep_cases()
        return found

    def _try(self, row: Row, *, stage: str) -> Preflight:
        with self.database.transaction() as connection:
            needed = _needed(connection, row["entity_code"])
            database_at = connection.execute("SELECT clock_timestamp() AS at").fetchone()
        assert database_at is not None
        tried = [
            _disk(self.home),
            _clocks(database_at["at"]),
            *(each for one in needed for each in self._connection(one, row)),
        ]
        done = Preflight(
            period_id=row["period_id"],
            entity_code=row["entity_code"],
            period_code=row["period_code"],
            cut_off_at=row["cut_off_at"],
            stage=stage,
            tried_at=self.clock.now(),
            tried=tuple(tried),
        )
        with self.database.transaction() as connection:
            _store(connection, done)
        return done

    def _connection(self, needed: Row, row: Row) -> list[Tried]:
        key = needed["connection_key"]
        try:
            connector = self.connectors.get(connection_key=key)
        except TielineError as error:
            # Such as a credential that was taken away: the others are tried all the same.
            return [_mode(needed), *_checked(key, error)]
        tried = [_mode(needed), *_checked(key, _patiently(connector.check))]
        if "credentials_end_on" in needed["config"]:
            tried.append(_credentials(needed, until=row["cut_off_at"]))
        address = str(needed["config"].get("base_url", ""))
        place = certificate_place(address)
        if place is not None:
            tried.append(_certificate(key, place, until=row["cut_off_at"]))
        if needed["kind"] == "erp":
            tried = _with_way_out(tried, connector)
            tried += _target(key, connector, row)
            tried.append(self._forecast(key, row))
        return tried

    def _forecast(self, key: str, row: Row) -> Tried:
        now = self.clock.now()
        with self.database.transaction() as connection:
            outlook = read_outlook(connection, systems=self.systems)
        found = outlook.forecast(key, items=outlook.waiting(key, until=row["cut_off_at"]), now=now)
        is_good = found.is_before(row["cut_off_at"])
        if found.through_at is None:
            name, fix = f"{found.items} lines wait", f"Nothing is sent to {key}: {found.because}."
        else:
            seconds = int((found.through_at - now).total_seconds())
            left = int((row["cut_off_at"] - now).total_seconds())
            name = f"{found.items} lines in {seconds} s"
            fix = (
                f"{found.items} lines take {seconds} s {found.because}, and {left} s are left:"
                " raise the rate, or carry what can wait."
            )
        return Tried(connection_key=key, name=name, is_good=is_good, fix="" if is_good else fix)

    def _keep_cases(self) -> None:
        now = self.clock.now()
        with self.database.transaction() as connection:
            keep_cases(
                connection,
                requests=[
                    _case(each)
                    for each in list_preflights(connection, now=now)
                    if not each.is_green
                ],
                reasons=(RED,),
                now=now,
                correlation_id="preflight",
            )


def list_preflights(connection: Connection[Row], *, now: datetime) -> tuple[Preflight, ...]:
    """Return the newest try of each cut-off that is still to come, in sight of the caller."""
    rows = connection.execute(
        """
        SELECT DISTINCT ON (p.period_id) p.period_id, f.entity_code, f.period_code, f.cut_off_at, p.stage,
               p.tried_at, p.tried
        FROM preflight p JOIN fiscal_period f USING (period_id)
        WHERE f.state = 'open' AND f.cut_off_at > %s
        ORDER BY p.period_id, p.tried_at DESC, p.preflight_id DESC
        """,
        (now,),
    ).fetchall()
    found = [
        Preflight(**{**row, "tried": tuple(Tried(**each) for each in row["tried"])}) for row in rows
    ]
    return tuple(sorted(found, key=lambda each: (each.cut_off_at, each.entity_code)))


# -- what is tried ---------------------------------------------------------------------------------


def _patiently(ask: Callable[[], _Answer]) -> _Answer | TielineError:
    """Ask a few times before a system counts as broken: one lost answer is no red light."""
    for _ in range(_PATIENCE):
        try:
            return ask()
        except TryAgain as error:
            told: TielineError = error
            time.sleep(_PATIENCE_SECONDS)
        except TielineError as error:
            return error
    return told


def _with_way_out(tried: Sequence[Tried], connector: Any) -> list[Tried]:
    # What does not depend on the target at all is worth saying before it is needed; once.
    if not hasattr(connector, "import_layout"):
        return list(tried)
    for place, each in enumerate(tried):
        if not each.is_good:
            told = (
                f"{each.fix.rstrip('.')}. If it stays down:"
                f" tieline fallback make --target {each.connection_key}."
            )
            return [*tried[:place], replace(each, fix=told), *tried[place + 1 :]]
    return list(tried)


def _target(key: str, connector: Any, row: Row) -> list[Tried]:
    if not hasattr(connector, "fiscal_periods"):
        return []
    teller = cast(TellsPeriods, connector)
    periods: Sequence[FiscalPeriod] | TielineError = _patiently(
        lambda: teller.fiscal_periods(
            entity_code=row["entity_code"], starts_on=row["starts_on"], ends_on=row["ends_on"]
        )
    )
    if isinstance(periods, TielineError):
        return [Tried(connection_key=key, name="periods", is_good=False, fix=f"{periods}.")]
    if not periods:
        fix = f"Create the period {row['period_code']} of {row['entity_code']} there."
        return [Tried(connection_key=key, name="periods", is_good=False, fix=fix)]
    return [
        Tried(
            connection_key=key,
            name=f"period {period.name}",
            is_good=period.is_open,
            fix="" if period.is_open else f"Open the period {period.name} there.",
        )
        for period in periods
    ]


def _mode(needed: Row) -> Tried:
    key, is_target = needed["connection_key"], needed["kind"] == "erp"
    is_good = not needed["paused"] and (not is_target or needed["mode"] == "act")
    wrong = "is paused: resume it" if needed["paused"] else 'observes: connect it with mode = "act"'
    return Tried(
        connection_key=key, name="mode", is_good=is_good, fix="" if is_good else f"{key} {wrong}."
    )


def _checked(key: str, report: CheckReport | TielineError) -> list[Tried]:
    if isinstance(report, TielineError):
        return [Tried(connection_key=key, name="check", is_good=False, fix=f"{report}.")]
    return [
        Tried(connection_key=key, name=item.name, is_good=item.is_good, fix=item.fix)
        for item in report.items
    ]


def _credentials(needed: Row, *, until: datetime) -> Tried:
    key, ends_on = needed["connection_key"], needed["config"]["credentials_end_on"]
    is_good = date.fromisoformat(ends_on) > until.date()
    fix = (
        ""
        if is_good
        else f"The credentials of {key} end {ends_on}, before the cut-off: renew them."
    )
    return Tried(connection_key=key, name="credentials last", is_good=is_good, fix=fix)


def certificate_place(address: str) -> tuple[str, int] | None:
    """Return host and port that show a certificate, None where an address asks for none."""
    if not address.startswith("https://"):
        return None
    parts = urlsplit(address)
    return str(parts.hostname), parts.port or _HTTPS_PORT


def _certificate(key: str, place: tuple[str, int], *, until: datetime) -> Tried:
    host, port = place
    try:
        ends_at = read_certificate_end(host, port, context=trusted_authorities())
    except (OSError, ValueError) as error:
        fix = f"The certificate of {host} cannot be verified: {why_untrusted(error)}."
        return Tried(connection_key=key, name="certificate", is_good=False, fix=fix)
    is_good = ends_at > until
    fix = (
        "" if is_good else f"The certificate of {host} ends {ends_at:%Y-%m-%d}, before the cut-off."
    )
    return Tried(connection_key=key, name="certificate", is_good=is_good, fix=fix)


def read_certificate_end(host: str, port: int, *, context: ssl.SSLContext) -> datetime:
    """Return when a server's certificate ends.

    :raises OSError: it cannot be reached, or its certificate is not trusted.
    """
    with (
        socket.create_connection((host, port), timeout=_CERTIFICATE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert(binary_form=True)
    if certificate is None:
        raise OSError("no certificate was shown")
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc


def why_untrusted(error: Exception) -> str:
    """Say why a certificate is not trusted, such as that it has expired; or what kept us from seeing it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    return type(error).__name__


def seconds_apart(database_at: datetime) -> int:
    """Return how far a database's clock is from this machine's, whatever business time a rehearsal has."""
    return abs(int(database_at.timestamp()) - int(time.time()))


def _disk(home: Path) -> Tried:
    usage = shutil.disk_usage(home)
    is_good = usage.free >= max(_FREE_BYTES_MIN, usage.total * _FREE_PERCENT_MIN // 100)
    fix = "" if is_good else f"Only {usage.free // 1024**2} MiB are free where {home} lies."
    return Tried(connection_key=None, name="disk", is_good=is_good, fix=fix)


def _clocks(database_at: datetime) -> Tried:
    apart = seconds_apart(database_at)
    is_good = apart <= CLOCK_SECONDS_MAX
    fix = "" if is_good else f"The clocks of database and workers are {apart} s apart."
    return Tried(connection_key=None, name="clocks", is_good=is_good, fix=fix)


# -- what is asked of our own tables -----------------------------------------------------------------


def _due(connection: Connection[Row], *, now: datetime) -> list[Row]:
    """Return each open period whose stage has come and was not tried; the nearest stage only."""
    rows: list[Row] = []
    for row in _next(connection, now=now, entity_code=None):
        stages = [name for name, before in STAGES if row["cut_off_at"] - now <= before]
        if stages and stages[-1] not in _stages_done(connection, row["period_id"]):
            rows.append({**row, "stage": stages[-1]})
    return rows


def _next(connection: Connection[Row], *, now: datetime, entity_code: str | None) -> list[Row]:
    return connection.execute(
        """
        SELECT DISTINCT ON (entity_code) period_id, entity_code, period_code, starts_on, ends_on, cut_off_at
        FROM fiscal_period
        WHERE state = 'open' AND cut_off_at > %(now)s
          AND entity_code = coalesce(%(entity_code)s, entity_code)
        ORDER BY entity_code, cut_off_at
        """,
        {"now": now, "entity_code": entity_code},
    ).fetchall()


def _stages_done(connection: Connection[Row], period_id: UUID) -> set[str]:
    # What was red is tried again until it is green: its case closes itself then.
    rows = connection.execute(
        """
        SELECT stage FROM (
            SELECT DISTINCT ON (stage) stage, tried FROM preflight
            WHERE period_id = %s ORDER BY stage, tried_at DESC, preflight_id DESC) newest
        WHERE NOT tried @> '[{"is_good": false}]'
        """,
        (period_id,),
    ).fetchall()
    return {row["stage"] for row in rows}


def _needed(connection: Connection[Row], entity_code: str) -> list[Row]:
    """Return the entity's ERP, every source whose time counts for it, and the channels to people."""
    return connection.execute(
        """
        SELECT c.connection_key, c.kind, c.mode, c.paused, c.config FROM connection c
        WHERE c.connection_key = (SELECT erp_connection_key FROM legal_entity WHERE entity_code = %(entity)s)
           OR (c.kind = 'channel' AND c.mode = 'act')
           OR (c.kind IN ('time', 'hr') AND EXISTS (
               SELECT FROM connection_go_live g
               WHERE g.connection_key = c.connection_key AND g.entity_code = %(entity)s))
        ORDER BY c.kind, c.connection_key
        """,
        {"entity": entity_code},
    ).fetchall()


def _store(connection: Connection[Row], done: Preflight) -> None:
    connection.execute(
        "INSERT INTO preflight (period_id, entity_code, stage, tried_at, tried) VALUES (%s, %s, %s, %s, %s)",
        (
            done.period_id,
            done.entity_code,
            done.stage,
            done.tried_at,
            Jsonb([asdict(each) for each in done.tried]),
        ),
    )


def _case(red: Preflight) -> CaseRequest:
    wrong = [each for each in red.tried if not each.is_good]
    return CaseRequest(
        reason=RED,
        owner_queue="integration",
        thing_kind="period",
        thing_key=f"{red.entity_code}:{red.period_code}",
        entity_code=red.entity_code,
        members=tuple(
            CaseMember(kind="try", key=f"{each.connection_key or 'this machine'}: {each.name}")
            for each in wrong
        ),
        details={
            "problem": f"{len(wrong)} of {len(red.tried)} things that the close needs do not work",
            "fix": " ".join(dict.fromkeys(each.fix for each in wrong)),
        },
        due_at=red.cut_off_at,
    )

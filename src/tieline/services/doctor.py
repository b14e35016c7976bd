"""Look at everything an installation stands on, and say of each thing what it means and what to do.

Pattern: on request. Vendor calls: those of each connection's own check, and one look at its certificate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tieline import __version__
from tieline.governance import find_noted_anchor, has_anchor
from tieline.kernel.errors import TielineError
from tieline.posting import list_stops
from tieline.runtime.disk import find_low_disk, folders_we_fill
from tieline.runtime.health import (
    ServerState,
    look_at_guards,
    look_at_server,
    look_at_workers,
)
from tieline.runtime.migrate import newest_migration
from tieline.runtime.secrets import Secrets
from tieline.sdk.http import trusted_authorities
from tieline.services.fitness import unfit_for_production, why_no_call
from tieline.services.preflight import (
    CLOCK_SECONDS_MAX,
    certificate_place,
    read_certificate_end,
    seconds_apart,
    why_untrusted,
)
from tieline.services.sign_in import sign_in_of
from tieline.services.system import System
from tieline.settings import Settings

GREEN, YELLOW, RED = "green", "yellow", "red"
_CERTIFICATE_DAYS_MIN = 21
_CLIENTS_PERCENT_MAX = 80
# By what OpenSSL calls it: the end has passed, or another name stands in it.
_CERTIFICATE_DEEDS = {
    10: "Have it renewed.",
    62: "Call the host by a name that its certificate is for, or have one issued for this name.",
}
_REACH_IT = "See that the host is reached and its authority is one that this machine trusts."

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: its state, what that means, and what to do where it is not green."""

    name: str
    state: str
    means: str
    do: str = ""


def examine_settings(settings: Settings, *, variables: Mapping[str, str]) -> tuple[Finding, ...]:
    """Look at what the environment says, without any database."""
    name = settings.environment.name
    unfit = unfit_for_production(settings, variables=variables)
    if settings.environment.is_production and unfit:
        return tuple(
            Finding(name="environment", state=RED, means=f"unfit for {name}", do=f"{each}.")
            for each in unfit
        )
    where = "the embedded database" if settings.dsn is None else "a database of its own"
    return (Finding(name="environment", state=GREEN, means=f"{name}, on {where}"),)


def no_database(error: Exception) -> Finding:
    """Say that the database could not be opened, and why."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Finding(
        name="database",
        state=RED,
        means=f"it cannot be opened: {first}",
        do="Start it, or mend TIELINE_DSN and the rights of its role; nothing is read or sent before.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Look at one installation that could be opened."""

    system: System

    def examine(self, *, with_calls: bool) -> tuple[Finding, ...]:
        """Look at everything; ``with_calls`` also asks each connected system."""
        return (
            *self._database(),
            self._disk(),
            *self._secrets(),
            self._workers(),
            self._audit(),
            self._stops(),
            *self._sign_in(with_calls=with_calls),
            *self._connections(with_calls=with_calls),
        )

    def _database(self) -> Iterator[Finding]:
        with self.system.database.transaction() as connection:
            server = look_at_server(connection)
            unguarded = look_at_guards(connection)
        yield from _server(server)
        yield _roles(unguarded)
        yield examine_clock(server.at)
        yield _migrations(server.migration)

    def _disk(self) -> Finding:
        low = find_low_disk(folders_we_fill(self.system.settings))
        if low is None:
            return Finding(name="disk", state=GREEN, means="there is room")
        return Finding(
            name="disk",
            state=RED,
            means=f"{low}: nothing more is read",
            do="Make room, or give the installation a larger disk.",
        )

    def _secrets(self) -> Iterator[Finding]:
        with self.system.database.transaction() as connection:
            rows = connection.execute(
                "SELECT connection_key, name FROM secret ORDER BY connection_key, name"
            ).fetchall()
        kept = Secrets(database=self.system.database, key=self.system.master_key)
        shut = []
        for row in rows:
            try:
                kept.get(connection_key=row["connection_key"], name=row["name"])
            except TielineError:
                shut.append(f"{row['name']} of {row['connection_key']}")
        if not shut:
            yield Finding(name="secrets", state=GREEN, means=f"all {len(rows)} can be opened")
            return
        yield Finding(
            name="secrets",
            state=RED,
            means=f"sealed with another key: {', '.join(shut)}",
            do="Put the master.key of this database back, or run `tieline connect SYSTEM --new-secrets`.",
        )

    def _sign_in(self, *, with_calls: bool) -> Iterator[Finding]:
        provider = sign_in_of(
            self.system.settings, database=self.system.database, pepper=self.system.pepper
        )
        if provider is None or not with_calls:
            return
        try:
            provider.look()
        except TielineError as error:
            yield Finding(
                name="sign-in",
                state=RED,
                means=f"nobody signs in by {provider.name}: {error}",
                do="Mend TIELINE_OIDC_ISSUER or TIELINE_OIDC_HOSTS, or wait for the provider;"
                " passwords go on working.",
            )
            return
        yield Finding(name="sign-in", state=GREEN, means=f"{provider.name} answers")

    def _workers(self) -> Finding:
        with self.system.database.transaction() as connection:
            workers = look_at_workers(connection)
        if not workers.alive:
            return Finding(
                name="workers",
                state=RED,
                means="none breathes: nothing is read, judged or sent",
                do="Run `tieline up`, or start `tieline worker`.",
            )
        if workers.silent:
            return Finding(
                name="workers",
                state=YELLOW,
                means=f"{workers.alive} breathe, {workers.silent} stopped without a goodbye",
                do="The others adopt its work within seconds; look in its log for why it ended.",
            )
        if workers.versions != (__version__,):
            return Finding(
                name="workers",
                state=YELLOW,
                means=f"they run {', '.join(workers.versions)}, and this is {__version__}",
                do="Start them anew with the version that is installed.",
            )
        return Finding(name="workers", state=GREEN, means=f"{workers.alive} breathe")

    def _audit(self) -> Finding:
        noted = find_noted_anchor(self.system.settings.home)
        with self.system.database.transaction() as connection:
            is_there = noted is None or has_anchor(connection, anchor=noted)
        if is_there:
            return Finding(name="audit", state=GREEN, means="it reaches as far as this home noted")
        return Finding(
            name="audit",
            state=RED,
            means="it ends before, or differs from, what this home noted",
            do="Run `tieline audit verify`, and keep a copy of the database as it is.",
        )

    def _stops(self) -> Finding:
        with self.system.database.transaction() as connection:
            stops = list_stops(connection)
        if not stops:
            return Finding(name="posting", state=GREEN, means="no check has stopped it")
        return Finding(
            name="posting",
            state=RED,
            means=f"stopped for {len(stops)} scopes: {stops[0].because}",
            do="See `tieline checks`: a stop is lifted by itself once its check is green twice.",
        )

    def _connections(self, *, with_calls: bool) -> Iterator[Finding]:
        with self.system.database.transaction() as connection:
            rows = connection.execute(
                """
                SELECT c.connection_key, c.mode, c.paused, c.config, coalesce(b.breaker, 'closed') AS breaker
                FROM connection c LEFT JOIN connection_budget b USING (connection_key)
                ORDER BY c.connection_key
                """
            ).fetchall()
        for row in rows:
            found = self._standing(row)
            yield found
            if with_calls and found.state != RED:
                yield from self._asked(row)

    def _standing(self, row: Row) -> Finding:
        name = f"connection {row['connection_key']}"
        because = why_no_call(self.system.settings.environment, row["config"])
        if because is not None:
            return Finding(
                name=name, state=RED, means=because, do="Connect it with another address."
            )
        if row["breaker"] == "open":
            return Finding(
                name=name,
                state=RED,
                means="it failed so often that it is left alone for a while",
                do="See what it answers below or on the Connections page; it is tried again by itself.",
            )
        if row["paused"]:
            return Finding(
                name=name,
                state=YELLOW,
                means="paused by a person",
                do="Resume it when it may go on.",
            )
        return Finding(name=name, state=GREEN, means=f"in mode {row['mode']}")

    def _asked(self, row: Row) -> Iterator[Finding]:
        key = row["connection_key"]
        try:
            items = self.system.connectors.get(connection_key=key).check().items
        except TielineError as error:
            yield Finding(name=f"check of {key}", state=RED, means="it failed", do=f"{error}.")
        else:
            for item in items:
                state = GREEN if item.is_good else RED
                yield Finding(name=f"check of {key}", state=state, means=item.name, do=item.fix)
        place = certificate_place(str(row["config"].get("base_url", "")))
        if place is not None:
            yield examine_certificate(*place)


def _server(server: ServerState) -> Iterator[Finding]:
    off = [
        name
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if getattr(server, name) == "off"
    ]
    if off:
        yield Finding(
            name="database",
            state=RED,
            means=f"it may lose what it confirmed: {', '.join(off)} is off",
            do="Turn it on and start the server anew.",
        )
    elif server.data_checksums != "on":
        yield Finding(
            name="database",
            state=YELLOW,
            means=f"PostgreSQL {server.major} answers, and would not notice rot on its disk",
            do="Enable data checksums (pg_checksums --enable) at the next stop.",
        )
    else:
        yield Finding(name="database", state=GREEN, means=f"PostgreSQL {server.major} answers")
    is_crowded = 100 * server.clients >= _CLIENTS_PERCENT_MAX * server.clients_max
    yield Finding(
        name="database connections",
        state=YELLOW if is_crowded else GREEN,
        means=f"{server.clients} of {server.clients_max} are in use",
        do="Raise max_connections, or run fewer workers." if is_crowded else "",
    )


def _roles(unguarded: Sequence[str]) -> Finding:
    if not unguarded:
        return Finding(
            name="row security",
            state=GREEN,
            means="pages see the rows of their legal entities only",
        )
    return Finding(
        name="row security",
        state=RED,
        means=f"{', '.join(unguarded)} sees or shows rows of every legal entity",
        do="ALTER ROLE ... NOSUPERUSER NOBYPASSRLS; ALTER TABLE ... ENABLE and FORCE ROW LEVEL SECURITY.",
    )


def examine_clock(database_at: datetime) -> Finding:
    """Say whether the database's clock is this machine's."""
    apart = seconds_apart(database_at)
    is_good = apart <= CLOCK_SECONDS_MAX
    return Finding(
        name="clocks",
        state=GREEN if is_good else RED,
        means=f"database and this machine are {apart} s apart",
        do=""
        if is_good
        else "Let both follow a time server: cut-offs and tokens go by these clocks.",
    )


def _migrations(standing: str) -> Finding:
    newest = newest_migration()
    is_good = standing == newest
    return Finding(
        name="migrations",
        state=GREEN if is_good else RED,
        means=f"the database is at {standing}" + ("" if is_good else f", this code needs {newest}"),
        do="" if is_good else "Install the version of Tieline that migrated it, or a newer one.",
    )


def examine_certificate(host: str, port: int) -> Finding:
    """Say whether a server's certificate is trusted, and for how long yet."""
    name = f"certificate of {host}"
    try:
        ends_at = read_certificate_end(host, port, context=trusted_authorities())
    except (OSError, ValueError) as error:
        return Finding(
            name=name,
            state=RED,
            means=f"it cannot be verified: {why_untrusted(error)}",
            do=_CERTIFICATE_DEEDS.get(getattr(error, "verify_code", 0), _REACH_IT),
        )
    # A certificate ends in real time, whatever business time a rehearsal has.
    left = ends_at - datetime.fromtimestamp(int(time.time()), tz=UTC)
    if left <= timedelta(days=_CERTIFICATE_DAYS_MIN):
        state = RED if left <= timedelta() else YELLOW
        return Finding(
            name=name, state=state, means=f"it ends {ends_at:%Y-%m-%d}", do="Have it renewed."
        )
    return Finding(name=name, state=GREEN, means=f"it ends {ends_at:%Y-%m-%d}")

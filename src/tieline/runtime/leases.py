"""Named leases with an epoch: by the database's clock when taken, by a monotonic one when used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout

from tieline.kernel.errors import LeaseLost, TryAgain
from tieline.runtime.database import Database

_MARGIN_SECONDS = 2
# A lease is renewed so many times before it would run out: the first of them may fail.
_RENEWALS = 4
_log = structlog.get_logger("tieline.leases")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to act under a name until a monotonic deadline; a successor has a higher epoch."""

    name: str
    holder: str
    epoch: int
    deadline_nanoseconds: int

    def is_held(self) -> bool:
        """Tell whether there is surely time left to act."""
        return time.monotonic_ns() < self.deadline_nanoseconds

    def check(self) -> None:
        """Give up when late.

        :raises TryAgain: the lease may have passed to another holder.
        """
        if not self.is_held():
            raise TryAgain(f"the lease {self.name} ran out before the call was made")


@dataclass(slots=True, kw_only=True)
class Held:
    """A lease that is renewed while it is held."""

    lease: Lease

    def check(self) -> None:
        """Give up when late.

        :raises TryAgain: the lease may have passed to another holder.
        """
        self.lease.check()


@dataclass(slots=True, kw_only=True)
class Fence:
    """Until when this process surely holds its work: what it still means to send later, it does not.

    Open where no executor was registered, for then nobody adopts anything.
    """

    deadline_nanoseconds: int | None = None

    def extend(self, *, asked_at: int, ttl_seconds: int) -> None:
        """Hold until a lease that was asked for at this monotonic instant runs out."""
        self.deadline_nanoseconds = _deadline(asked_at, ttl_seconds)

    def close(self) -> None:
        """Let nothing more be sent."""
        self.deadline_nanoseconds = 0

    def check(self) -> None:
        """Give up when late.

        :raises LeaseLost: our work may have passed to another executor.
        """
        deadline = self.deadline_nanoseconds
        if deadline is not None and time.monotonic_ns() >= deadline:
            raise LeaseLost("this executor's lease ran out before the call was made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Take and give back leases as one holder: an executor."""

    database: Database
    holder: str
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait

    @contextmanager
    def held(self, *, name: str, ttl_seconds: int) -> Iterator[Held | None]:
        """Hold a lease for as long as the block takes, or give None where somebody else has it.

        It is renewed from beside, so that no work is too long for it; only a process that stands still loses it.
        """
        lease = self.acquire(name=name, ttl_seconds=ttl_seconds)
        if lease is None:
            yield None
            return
        held, ended = Held(lease=lease), threading.Event()
        beside = threading.Thread(
            target=self._keep, args=(held, ttl_seconds, ended), name=f"lease {name}", daemon=True
        )
        beside.start()
        try:
            yield held
        finally:
            ended.set()
            beside.join()
            self.release(lease)

    def _keep(self, held: Held, ttl_seconds: int, ended: threading.Event) -> None:
        while not self.wait(ended, ttl_seconds / _RENEWALS):
            try:
                renewed = self.renew(held.lease, ttl_seconds=ttl_seconds)
            except (DatabaseError, PoolTimeout) as error:
                _log.warning("lease.not_renewed", lease=held.lease.name, error=str(error))
                continue
            if renewed is None:
                _log.warning("lease.lost", lease=held.lease.name)
                return
            held.lease = renewed

    def acquire(self, *, name: str, ttl_seconds: int) -> Lease | None:
        """Take a lease that is free or ran out, else return None; every taking raises the epoch."""
        # The deadline counts from before the question, so that it is never later than the row's.
        asked_at = time.monotonic_ns()
        with self.database.transaction() as connection:
            row = connection.execute(
                """
                INSERT INTO lease (name, holder, until)
                VALUES (%(name)s, %(holder)s, clock_timestamp() + make_interval(secs => %(ttl)s))
                ON CONFLICT (name) DO UPDATE
                SET holder = excluded.holder, until = excluded.until, epoch = lease.epoch + 1
                WHERE lease.until <= clock_timestamp()
                RETURNING epoch
                """,
                {"name": name, "holder": self.holder, "ttl": ttl_seconds},
            ).fetchone()
        if row is None:
            return None
        return Lease(
            name=name,
            holder=self.holder,
            epoch=row["epoch"],
            deadline_nanoseconds=_deadline(asked_at, ttl_seconds),
        )

    def renew(self, lease: Lease, *, ttl_seconds: int) -> Lease | None:
        """Prolong a lease that is still ours, else return None."""
        asked_at = time.monotonic_ns()
        with self.database.transaction() as connection:
            renewed = connection.execute(
                """
                UPDATE lease SET until = clock_timestamp() + make_interval(secs => %s)
                WHERE name = %s AND holder = %s AND epoch = %s AND until > clock_timestamp()
                """,
                (ttl_seconds, lease.name, lease.holder, lease.epoch),
            ).rowcount
        if not renewed:
            return None
        return Lease(
            name=lease.name,
            holder=lease.holder,
            epoch=lease.epoch,
            deadline_nanoseconds=_deadline(asked_at, ttl_seconds),
        )

    def release(self, lease: Lease, *, rest_seconds: int = 0) -> None:
        """Give a lease back; nobody gets it for so many seconds. One that passed on is left alone."""
        with self.database.transaction() as connection:
            connection.execute(
                """
                UPDATE lease SET until = clock_timestamp() + make_interval(secs => %s), holder = ''
                WHERE name = %s AND holder = %s AND epoch = %s
                """,
                (rest_seconds, lease.name, lease.holder, lease.epoch),
            )


def _deadline(asked_at: int, ttl_seconds: int) -> int:
    margin = min(_MARGIN_SECONDS, ttl_seconds // 2)
    return asked_at + (ttl_seconds - margin) * 1_000_000_000
